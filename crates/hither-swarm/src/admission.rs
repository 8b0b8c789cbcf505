//! The gate in front of every connection, in both directions. It fails closed: who is not in the table is nobody.

use std::sync::Arc;

use hither_types::id::NodeId;
use iroh::EndpointAddr;
use iroh::endpoint::{AfterHandshakeOutcome, BeforeConnectOutcome, Connection, EndpointHooks, Side};

use crate::links::{Code, Kind};
use crate::members::{Members, Standing};

/// The gate. It holds the table only: an endpoint in here would keep itself alive.
#[derive(Debug)]
pub(crate) struct Admission(pub(crate) Arc<Members>);

impl Admission {
    fn refusal(&self, node: NodeId, kind: Option<Kind>) -> Option<(Code, &'static str)> {
        match (self.0.standing(node), kind) {
            (Standing::Isolated, _) => Some((Code::Isolated, "isolated")),
            (_, None) => Some((Code::Stranger, "unknown protocol")),
            (Standing::Member, Some(_)) | (Standing::Stranger, Some(Kind::Hello)) => None,
            (Standing::Stranger, Some(_)) => Some((Code::Stranger, "not a member")),
        }
    }
}

impl EndpointHooks for Admission {
    async fn before_connect<'a>(&'a self, to: &'a EndpointAddr, alpn: &'a [u8]) -> BeforeConnectOutcome {
        match self.refusal(NodeId(*to.id.as_bytes()), Kind::of(alpn)) {
            None => BeforeConnectOutcome::Accept,
            Some(_) => BeforeConnectOutcome::Reject,
        }
    }

    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        let node = NodeId(*connection.remote_id().as_bytes());
        match self.refusal(node, Kind::of(connection.alpn())) {
            None => AfterHandshakeOutcome::Accept,
            Some((code, reason)) => {
                let direction = if connection.side() == Side::Server { "incoming" } else { "outgoing" };
                tracing::info!(peer = %node.short(), direction, reason, "connection refused");
                AfterHandshakeOutcome::Reject { error_code: code.into(), reason: reason.as_bytes().to_vec() }
            }
        }
    }
}
