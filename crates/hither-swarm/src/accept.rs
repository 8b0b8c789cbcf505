//! Incoming connections: the handshake, then whoever serves the protocol.

use std::sync::Arc;

use hither_types::id::NodeId;
use iroh::endpoint::{Connection, Incoming};
use tokio::task::JoinSet;

use crate::blobs;
use crate::links::{self, Kind};
use crate::members::Isolation;
use crate::swarm::Shared;
use crate::{ask, hello, limits, ping, talk};

/// Accepts until the endpoint is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            incoming = shared.endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if shared.members.isolation() == Isolation::Isolated || handshakes.len() >= limits::HANDSHAKES {
                    incoming.ignore();
                    continue;
                }
                handshakes.spawn(shake(incoming));
            }
            Some(shaken) = handshakes.join_next() => {
                if let Ok(Some(connection)) = shaken {
                    shared.tasks.spawn(serve(shared.clone(), connection));
                }
            }
        }
    }
}

async fn shake(incoming: Incoming) -> Option<Connection> {
    let accepting = incoming.accept().ok()?;
    match tokio::time::timeout(limits::HELLO, accepting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(error = %crate::dial::chain(&error), "a handshake failed");
            None
        }
        Err(_) => None,
    }
}

async fn serve(shared: Arc<Shared>, connection: Connection) {
    let from = NodeId(*connection.remote_id().as_bytes());
    let Some(kind) = Kind::of(connection.alpn()) else { return };
    if !links::register(&shared, &connection, kind) {
        return;
    }
    match kind {
        Kind::Talk => {
            talk::link(&shared, from, connection).await;
        }
        Kind::Ask => ask::serve(&shared, from, connection).await,
        Kind::Blobs => blobs::serve::serve(&shared, from, connection).await,
        Kind::Chunks => blobs::chunks::serve(&shared, from, connection).await,
        Kind::Hello => hello::hear(&shared, from, connection).await,
        Kind::Ping => ping::serve(&shared, connection).await,
    }
}
