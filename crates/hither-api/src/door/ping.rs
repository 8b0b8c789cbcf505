//! What a ping told.

use std::net::SocketAddr;

use hither_types::id::NodeId;
use hither_types::member::{Member, Relay};
use hither_types::unit::Micros;

/// Round trips to a member, and the path of the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinged {
    /// Who.
    pub node: NodeId,
    /// How long each took, in their order.
    pub took: Vec<Micros>,
    /// The path, if the connection had one when the last came back.
    pub path: Option<PathTaken>,
    /// From which address the member sees this node; none over a relay, or if its program does not say.
    pub seen_as: Option<SocketAddr>,
}

/// How a member was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathTaken {
    /// Packets went to this address.
    Direct(SocketAddr),
    /// Packets went over a relay.
    Relayed {
        /// Which.
        relay: Relay,
        /// The member that runs it; none if it is not known.
        by: Option<Member>,
    },
}
