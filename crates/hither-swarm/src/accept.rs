//! Incoming connections: the handshake, then whoever serves the protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use hither_types::id::NodeId;
use iroh::endpoint::{Connection, Incoming, IncomingAddr};
use tokio::task::{Id, JoinSet};

use crate::blobs;
use crate::doorway::{Doorway, Verdict, Whose};
use crate::links::{self, Kind};
use crate::members::{Isolation, Standing};
use crate::swarm::Shared;
use crate::{ask, hello, limits, ping, talk};

/// Accepts until the endpoint is closed.
pub(crate) async fn run(shared: Arc<Shared>) {
    let (mut handshakes, mut doorway) = (JoinSet::new(), Doorway::new(Instant::now()));
    // By task, for one that panics gives its place back as well.
    let mut places: HashMap<Id, Whose> = HashMap::new();
    loop {
        tokio::select! {
            incoming = shared.endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                if shared.members.isolation() == Isolation::Isolated {
                    incoming.ignore();
                    continue;
                }
                let whose = whose(&shared, &incoming);
                match doorway.judge(whose, incoming.remote_addr_validated(), Instant::now()) {
                    Verdict::Accept => {
                        places.insert(handshakes.spawn(shake(incoming)).id(), whose);
                    }
                    // It fails for one that was asked before, which `judge` was told.
                    Verdict::Retry => drop(incoming.retry()),
                    Verdict::Ignore => incoming.ignore(),
                }
            }
            Some(shaken) = handshakes.join_next_with_id() => {
                let (id, connection) = shaken.unwrap_or_else(|error| (error.id(), None));
                if let Some(whose) = places.remove(&id) {
                    doorway.ended(whose);
                }
                if let Some(connection) = connection {
                    shared.tasks.spawn(serve(shared.clone(), connection));
                }
            }
        }
    }
}

/// Whether a first packet comes from where a member is. The relay has seen the key of whoever comes over it.
fn whose(shared: &Shared, incoming: &Incoming) -> Whose {
    let is_member = match incoming.remote_addr() {
        IncomingAddr::Ip(address) => shared.members.is_anybody_at(address.ip().to_canonical()),
        IncomingAddr::Relay { endpoint_id, .. } => {
            shared.members.standing(NodeId(*endpoint_id.as_bytes())) == Standing::Member
        }
        _ => false,
    };
    if is_member { Whose::Member } else { Whose::Stranger }
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
            talk::link(&shared, from, connection, || ()).await;
        }
        Kind::Ask => ask::serve(&shared, from, connection).await,
        Kind::Blobs => blobs::serve::serve(&shared, from, connection).await,
        Kind::Chunks => blobs::chunks::serve(&shared, from, connection).await,
        Kind::Hello => hello::hear(&shared, from, connection).await,
        Kind::Ping => ping::serve(&shared, connection).await,
    }
}
