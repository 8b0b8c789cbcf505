//! Round trips between members: how long they take, over which path, and from where each sees the other.
//!
//! A ping is any eight bytes but [`SEEN`], and comes back as it was. They are drawn by chance, each after the one before has come
//! back: who answers has got them, and cannot have sent them ahead of time. So an answer may be late, and never early; what the
//! transport itself measures goes by acknowledgements, which can be made up. Upon [`SEEN`] there comes the address from which its
//! connection is seen, as text, and the stream ends; a program that does not know that sends the eight bytes alone.

use std::net::SocketAddr;
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

/// Asks for the address from which the other end sees this node.
const SEEN: [u8; SIZE] = [0xff; SIZE];
/// The longest address is shorter than this.
const ADDRESS_MAX: usize = 64;

/// What a member was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinged {
    /// Each round trip, in their order.
    pub pongs: Vec<Pong>,
    /// From which address it sees this node; none over a relay, or if its program does not say.
    pub seen_as: Option<SocketAddr>,
}

/// One round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// How long it took.
    pub took: Duration,
    /// The path that was selected when it came back; none if the connection had none at that moment.
    pub path: Option<Address>,
}

/// Measures round trips to a member, one after the other.
pub(crate) async fn ping(shared: &Arc<Shared>, node: NodeId, count: u32) -> Result<Pinged, DialError> {
    if shared.members.standing(node) == Standing::Stranger {
        return Err(DialError::NotMember(node));
    }
    let connection = dial::dial(shared, node, Kind::Ping).await?;
    let lost = |reason: String| DialError::NoReply { node, reason };
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| lost(chain(&error)))?;
    let mut pongs = Vec::new();
    for number in 0..count.clamp(1, limits::PINGS) {
        let ping = drawn();
        let began = Instant::now();
        let back = tokio::time::timeout(limits::PING, there_and_back(&mut sender, &mut receiver, ping)).await;
        back.map_err(|_| lost(format!("ping {number} did not come back within {} s", limits::PING.as_secs())))?
            .map_err(lost)?;
        pongs.push(Pong { took: began.elapsed(), path: links::address(shared, &connection) });
    }
    // Streams are served one after the other; it fails only if this one has ended already.
    let _ = sender.finish();
    // Whoever does not say it in time is no worse than one that does not know.
    let seen_as = tokio::time::timeout(limits::PING, seen(&connection)).await.ok().flatten();
    dial::close(&connection, Code::Done, "thank you");
    Ok(Pinged { pongs, seen_as })
}

/// Asks from where the other end sees this node.
async fn seen(connection: &Connection) -> Option<SocketAddr> {
    let (mut sender, mut receiver) = connection.open_bi().await.ok()?;
    sender.write_all(&SEEN).await.ok()?;
    sender.finish().ok()?;
    let said = receiver.read_to_end(SIZE + ADDRESS_MAX).await.ok()?;
    std::str::from_utf8(said.get(SIZE..)?).ok()?.parse().ok()
}

/// Eight bytes that nobody can guess, and that ask for nothing else.
fn drawn() -> [u8; SIZE] {
    loop {
        let mut ping = [0; SIZE];
        getrandom::fill(&mut ping).expect("the operating system has a random source");
        if ping != SEEN {
            return ping;
        }
    }
}

async fn there_and_back(sender: &mut SendStream, receiver: &mut RecvStream, ping: [u8; SIZE]) -> Result<(), String> {
    sender.write_all(&ping).await.map_err(|error| chain(&error))?;
    let mut pong = [0; SIZE];
    receiver.read_exact(&mut pong).await.map_err(|error| chain(&error))?;
    if ping == pong { Ok(()) } else { Err("something else came back".to_owned()) }
}

/// Sends back what comes, one stream after the other, until the connection ends.
pub(crate) async fn serve(shared: &Shared, connection: Connection) {
    while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
        let mut ping = [0; SIZE];
        while let Ok(Ok(())) = tokio::time::timeout(limits::PING, receiver.read_exact(&mut ping)).await {
            let mut pong = ping.to_vec();
            if ping == SEEN
                && let Some(Address::Direct(address)) = links::address(shared, &connection)
            {
                pong.extend(address.to_string().into_bytes());
            }
            if sender.write_all(&pong).await.is_err() || ping == SEEN {
                break;
            }
        }
        // It fails only if the stream has ended already.
        let _ = sender.finish();
    }
}
