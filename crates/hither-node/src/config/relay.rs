//! Relays: the one that this node runs, and those of others that its operator names.

use std::net::SocketAddr;

use hither_types::member::Relay;
use serde::Deserialize;

use crate::limits::RELAYS_NAMED_MAX;

#[cfg(test)]
mod tests;

/// `[mesh.relay]` of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RelaySection {
    listen: SocketAddr,
    #[serde(default)]
    advertise: Vec<SocketAddr>,
}

/// The relay of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where it listens, over TCP and UDP.
    pub listen: SocketAddr,
    /// Where others reach it besides.
    pub advertise: Vec<SocketAddr>,
}

impl From<RelaySection> for RelayConfig {
    fn from(section: RelaySection) -> Self {
        Self { listen: section.listen, advertise: section.advertise }
    }
}

/// Reads the relays that a file names.
pub(crate) fn named(texts: &[String]) -> Result<Vec<Relay>, String> {
    if texts.len() > RELAYS_NAMED_MAX {
        return Err(format!("[mesh] relays names {} relays, and takes {RELAYS_NAMED_MAX}", texts.len()));
    }
    texts.iter().map(|text| text.parse().map_err(|error| format!("[mesh] relays: {error}"))).collect()
}
