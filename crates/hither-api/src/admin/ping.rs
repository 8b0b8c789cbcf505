//! Round trips to a member, as JSON.

use hither_types::unit::Micros;
use serde::{Deserialize, Serialize};

use crate::door::{PathTaken, Pinged};

/// The body of `POST /hither/v1/members/{node}/ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ping"))]
#[serde(deny_unknown_fields)]
pub struct PingDto {
    /// How many round trips, one after the other: 1 to 100.
    pub count: u32,
}

/// Over which path a member is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Path"))]
#[serde(rename_all = "snake_case")]
pub enum PathDto {
    /// Packets go to its address.
    Direct,
    /// Packets go over a relay.
    Relayed,
}

/// The relay that passes packets on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Relay"))]
pub struct RelayDto {
    /// The key of the node that runs it.
    pub node: String,
    /// Its site; absent if it is no member.
    pub site: Option<String>,
    /// Where it stands; absent if it is no member.
    pub jurisdiction: Option<String>,
}

/// The answer to `POST /hither/v1/members/{node}/ping`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Pong"))]
pub struct PongDto {
    /// Who was asked.
    pub node: String,
    /// Each round trip in microseconds, in their order.
    pub round_trips_us: Vec<u64>,
    /// The middle one of them: the smaller of the two in the middle of an even number.
    pub p50_us: u64,
    /// The path of the last one; absent if the connection had none when it came back.
    pub path: Option<PathDto>,
    /// The address that the path leads to: the member's, or the relay's.
    pub address: Option<String>,
    /// The relay, if there is one.
    pub relay: Option<RelayDto>,
    /// From which address the member sees this node; absent over a relay, or if its program does not say.
    #[serde(default)]
    pub seen_as: Option<String>,
}

impl From<&Pinged> for PongDto {
    fn from(pinged: &Pinged) -> Self {
        let (path, address, relay) = match &pinged.path {
            None => (None, None, None),
            Some(PathTaken::Direct(address)) => (Some(PathDto::Direct), Some(*address), None),
            Some(PathTaken::Relayed { relay, by }) => {
                let relay_dto = RelayDto {
                    node: relay.node.to_string(),
                    site: by.as_ref().map(|member| member.site.to_string()),
                    jurisdiction: by.as_ref().map(|member| member.jurisdiction.to_string()),
                };
                (Some(PathDto::Relayed), Some(relay.address), Some(relay_dto))
            }
        };
        Self {
            node: pinged.node.to_string(),
            round_trips_us: pinged.took.iter().map(|took| took.0).collect(),
            p50_us: middle(&pinged.took).0,
            path,
            address: address.map(|address| address.to_string()),
            relay,
            seen_as: pinged.seen_as.map(|address| address.to_string()),
        }
    }
}

fn middle(took: &[Micros]) -> Micros {
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(Micros(0))
}

#[cfg(test)]
mod tests;
