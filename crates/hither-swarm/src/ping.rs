//! Round trips between members: how long they take, and over which path.

use std::sync::Arc;
use std::time::Duration;

use hither_types::id::NodeId;
use hither_types::member::Address;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::time::Instant;

use crate::dial::{self, DialError, chain};
use crate::limits;
use crate::links::{self, Code, Kind};
use crate::members::Standing;
use crate::swarm::Shared;

/// Bytes of one ping.
const SIZE: usize = 8;

/// One round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// How long it took.
    pub took: Duration,
    /// The path that was selected when it came back; none if the connection had none at that moment.
    pub path: Option<Address>,
}

/// Measures round trips to a member, one after the other.
pub(crate) async fn ping(shared: &Arc<Shared>, node: NodeId, count: u32) -> Result<Vec<Pong>, DialError> {
    if shared.members.standing(node) == Standing::Stranger {
        return Err(DialError::NotMember(node));
    }
    let connection = dial::dial(shared, node, Kind::Ping).await?;
    let lost = |reason: String| DialError::NoReply { node, reason };
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| lost(chain(&error)))?;
    let mut pongs = Vec::new();
    for number in 0..u64::from(count.clamp(1, limits::PINGS)) {
        let began = Instant::now();
        let back = tokio::time::timeout(limits::PING, there_and_back(&mut sender, &mut receiver, number)).await;
        back.map_err(|_| lost(format!("ping {number} did not come back within {} s", limits::PING.as_secs())))?
            .map_err(lost)?;
        pongs.push(Pong { took: began.elapsed(), path: links::address(shared, &connection) });
    }
    dial::close(&connection, Code::Done, "thank you");
    Ok(pongs)
}

async fn there_and_back(sender: &mut SendStream, receiver: &mut RecvStream, number: u64) -> Result<(), String> {
    let ping: [u8; SIZE] = number.to_le_bytes();
    sender.write_all(&ping).await.map_err(|error| chain(&error))?;
    let mut pong = [0; SIZE];
    receiver.read_exact(&mut pong).await.map_err(|error| chain(&error))?;
    if ping == pong { Ok(()) } else { Err("something else came back".to_owned()) }
}

/// Sends back what comes, one stream after the other, until the connection ends.
pub(crate) async fn serve(connection: Connection) {
    while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
        let mut ping = [0; SIZE];
        while let Ok(Ok(())) = tokio::time::timeout(limits::PING, receiver.read_exact(&mut ping)).await {
            if sender.write_all(&ping).await.is_err() {
                break;
            }
        }
        // It fails only if the stream has ended already.
        let _ = sender.finish();
    }
}
