//! Which start of a program a connection belongs to: both ends say theirs first.
//!
//! A node that is killed and started again at once has the same key, the same address and the same port. Nothing on an
//! older connection shows that it leads nowhere but silence, and two seconds of that are two seconds of requests that
//! fail. So each connection that outlives a question says which start made it, and once a newer one has shown itself,
//! those of the older are closed.

use std::sync::Arc;
use std::time::Duration;

use hither_types::id::NodeId;
use hither_types::version::Versions;
use hither_wire::limits::MAX_MESSAGE;
use iroh::endpoint::{Connection, SendStream};

use crate::framing::{self, FrameReader};
use crate::limits;
use crate::links::{Code, Kind};
use crate::preface::{self, Refusal};
use crate::swarm::Shared;

/// What an introduction brought.
pub(crate) struct Opened {
    /// The stream that small talk goes on with.
    pub(crate) sender: SendStream,
    /// That of the other end.
    pub(crate) reader: FrameReader,
    /// The start that the other end named.
    pub(crate) epoch: u64,
    /// What its program speaks.
    pub(crate) versions: Versions,
}

/// Says which versions this program speaks and which start of it this is, and hears the same from the other. Whoever was
/// dialled says its start last, if the other's is welcome: so who dialled never takes a connection for one that holds and is
/// closed at once.
pub(crate) async fn exchange(
    shared: &Shared,
    connection: &Connection,
    welcome: impl FnOnce(u64) -> Result<(), Refusal>,
) -> Result<Opened, Refusal> {
    let broken = || preface::broken(connection);
    let mut sender = connection.open_uni().await.map_err(|_| broken())?;
    framing::write(&mut sender, preface::frame(&shared.speaks)).await.map_err(|_| broken())?;
    let greeting = framing::frame(shared.epoch.to_le_bytes().to_vec(), MAX_MESSAGE).ok_or_else(broken)?;
    let dialled = connection.side().is_client();
    if dialled {
        framing::write(&mut sender, greeting.clone()).await.map_err(|_| broken())?;
    }
    let mut reader = FrameReader::new(connection.accept_uni().await.map_err(|_| broken())?, MAX_MESSAGE);
    let versions = preface::read(&shared.speaks, connection, &mut reader).await?;
    let theirs = reader.next().await.ok().flatten().ok_or_else(broken)?;
    let epoch = u64::from_le_bytes(theirs.as_ref().try_into().map_err(|_| broken())?);
    welcome(epoch)?;
    if !dialled {
        framing::write(&mut sender, greeting).await.map_err(|_| broken())?;
    }
    Ok(Opened { sender, reader, epoch, versions })
}

/// Whether the connections of a kind are introduced here. Small talk does it by itself, and a hello or a ping ends soon.
pub(crate) fn is_introduced(kind: Kind) -> bool {
    match kind {
        Kind::Ask | Kind::Blobs | Kind::Chunks => true,
        Kind::Talk | Kind::Hello | Kind::Ping => false,
    }
}

/// Finds out to which start of the other program a new connection belongs, and closes it if that has ended.
pub(crate) async fn introduce(shared: Arc<Shared>, node: NodeId, connection: Connection) {
    let told = tokio::time::timeout(limits::LINK_PROOF, exchange(&shared, &connection, |_| Ok(()))).await;
    // Whatever serves the connection has its own opinion of one that never says it.
    let Ok(Ok(Opened { mut sender, epoch, .. })) = told else { return };
    // It fails only if the connection is closed already.
    let _ = sender.finish();
    if shared.links.belongs(node, connection.stable_id(), epoch) {
        close(&connection);
    }
}

/// Why a connection to a start that was not known is not taken up: see [`crate::links::leads`].
pub(crate) fn moved() -> Refusal {
    let text = "the node was started anew at another address: all connections to it are made anew";
    Refusal { code: Code::Stale, here: text.to_owned(), there: text.to_owned() }
}

/// Closes what belongs to earlier starts of a node. Connections that have not said yet where they belong get no new
/// requests, and have a moment to say it.
pub(crate) fn outlived(shared: &Arc<Shared>, node: NodeId, epoch: u64) {
    let (stale, unknown) = shared.links.outlived(node, epoch);
    stale.iter().for_each(close);
    if unknown.is_empty() {
        return;
    }
    for connection in &unknown {
        if let Some(kind) = Kind::of(connection.alpn()) {
            shared.lines.forget(node, kind, connection.stable_id());
        }
    }
    let weak = Arc::downgrade(shared);
    shared.tasks.spawn(async move {
        tokio::time::sleep(patience(&unknown)).await;
        let Some(shared) = weak.upgrade() else { return };
        for connection in unknown {
            if !shared.links.has_said(node, connection.stable_id()) {
                close(&connection);
            }
        }
    });
}

/// How long the first words over the slowest of some connections may take.
fn patience(connections: &[Connection]) -> Duration {
    let slowest = connections.iter().filter_map(crate::links::round_trip).max().unwrap_or_default();
    limits::START_TOLD.max(slowest.saturating_mul(limits::START_TOLD_TRIPS))
}

fn close(connection: &Connection) {
    connection.close(Code::Stale.into(), b"the node was started anew");
}
