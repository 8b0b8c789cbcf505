//! The one protocol that is open to strangers: a hello, a reply, and the connection ends.

use std::sync::Arc;

use hither_types::id::NodeId;
use hither_types::member::Address;
use hither_types::message::{Hello, HelloReply};
use hither_types::version::Versions;
use hither_wire::limits::{MAX_HELLO, MAX_HELLO_REPLY};
use iroh::endpoint::Connection;
use tokio::sync::oneshot;

use crate::dial::{self, DialError, chain};
use crate::framing::{self, FrameReader, Framed};
use crate::limits;
use crate::links::{self, Code, Kind};
use crate::preface;
use crate::swarm::{Shared, Swarm, SwarmEvent};

mod heard;

pub(crate) use heard::Heard;

/// Why a stranger is turned away that did nothing wrong.
const BUSY: &str = "too many hellos at once; try again";

/// The way back to the node that said hello. Dropping it closes the connection without a reply.
#[derive(Debug)]
pub struct HelloReplier(oneshot::Sender<HelloReply>);

impl HelloReplier {
    /// Replies.
    pub fn reply(self, reply: HelloReply) {
        // The stranger may be gone by now; nothing depends on it.
        let _ = self.0.send(reply);
    }
}

impl Swarm {
    /// Says hello to a node that need not be a member, and waits for the reply.
    pub async fn hello(&self, to: NodeId, addresses: Vec<Address>, hello: Hello) -> Result<HelloReply, DialError> {
        say(self.shared(), to, addresses, &hello).await
    }
}

/// Says hello to a node and waits for its reply.
async fn say(
    shared: &Arc<Shared>,
    node: NodeId,
    addresses: Vec<Address>,
    hello: &Hello,
) -> Result<HelloReply, DialError> {
    let body = hither_wire::encode_hello(hello).map_err(|error| DialError::Unsayable(error.to_string()))?;
    let frame = framing::frame(body, MAX_HELLO).ok_or_else(|| DialError::Unsayable("it is too large".to_owned()))?;
    let connection = dial::dial_at(shared, node, addresses, Kind::Hello).await?;
    links::register(shared, &connection, Kind::Hello);
    let reply = tokio::time::timeout(limits::HELLO, exchange(&shared.speaks, &connection, frame)).await;
    let silent = || Err(NoReply::Other(format!("nothing came within {} s", limits::HELLO.as_secs())));
    let reply = reply.unwrap_or_else(|_| silent());
    dial::close(&connection, Code::Done, "thank you");
    reply.map_err(|why| match why {
        NoReply::Apart(reason) => DialError::Apart { node, reason },
        NoReply::Other(reason) => DialError::NoReply { node, reason },
    })
}

/// Why there is no reply.
enum NoReply {
    Apart(String),
    Other(String),
}

impl<E: std::error::Error> From<E> for NoReply {
    fn from(error: E) -> Self {
        Self::Other(chain(&error))
    }
}

async fn exchange(own: &Versions, connection: &Connection, hello: Framed) -> Result<HelloReply, NoReply> {
    let (mut sender, receiver) = connection.open_bi().await?;
    framing::write(&mut sender, preface::frame(own)).await?;
    framing::write(&mut sender, hello).await?;
    sender.finish()?;
    let mut reader = FrameReader::new(receiver, MAX_HELLO_REPLY);
    preface::read(own, connection, &mut reader).await.map_err(|refusal| match refusal.is_about_versions() {
        true => NoReply::Apart(refusal.here),
        false => NoReply::Other(refusal.here),
    })?;
    let reply = reader.next().await?;
    let reply = reply.ok_or_else(|| NoReply::Other("the connection ended without a reply".to_owned()))?;
    Ok(hither_wire::decode_hello_reply(&reply)?)
}

/// Hears one hello. Strangers beyond the limits are turned away.
pub(crate) async fn hear(shared: &Arc<Shared>, from: NodeId, connection: Connection) {
    let ip = links::address(shared, &connection).and_then(Address::direct).map(|address| address.ip());
    let Some(place) = shared.heard.enter(ip) else {
        return dial::close(&connection, Code::Busy, BUSY);
    };
    let conversed = tokio::time::timeout(limits::HELLO, converse(shared, from, &connection)).await;
    drop(place);
    match conversed {
        Ok(Ok(())) => {
            // The other end closes once it has the reply; the limit is for one that does not.
            let _ = tokio::time::timeout(limits::HELLO, connection.closed()).await;
            dial::close(&connection, Code::Done, "");
        }
        Ok(Err((code, reason))) => {
            tracing::info!(peer = %from.short(), %reason, "a hello failed");
            dial::close(&connection, code, &reason);
        }
        Err(_) => dial::close(&connection, Code::Slow, "too slow"),
    }
}

async fn converse(shared: &Arc<Shared>, from: NodeId, connection: &Connection) -> Result<(), (Code, String)> {
    let failed = |code, reason: &str| (code, reason.to_owned());
    let broke = || failed(Code::Broken, "the connection broke");
    let (mut sender, receiver) = connection.accept_bi().await.map_err(|_| broke())?;
    // Said before the other's is read: whoever cannot talk to this program has to learn why.
    framing::write(&mut sender, preface::frame(&shared.speaks)).await.map_err(|_| broke())?;
    let mut reader = FrameReader::new(receiver, MAX_HELLO);
    let versions = preface::read(&shared.speaks, connection, &mut reader).await;
    let speaks = versions.map_err(|refusal| (refusal.code, refusal.there))?.newest;
    let body = reader.next().await;
    let body = body.map_err(|_| failed(Code::Garbage, "hello cannot be read"))?.ok_or_else(broke)?;
    let hello = hither_wire::decode_hello(&body).map_err(|_| failed(Code::Garbage, "hello cannot be decoded"))?;
    // Only what was said whole takes one of these.
    let _answered = shared.hellos.try_acquire().map_err(|_| failed(Code::Busy, BUSY))?;
    let (replier, reply) = oneshot::channel();
    let from_address = links::address(shared, connection);
    let event = SwarmEvent::Hello { from, from_address, speaks, hello, reply: HelloReplier(replier) };
    shared.events.send(event).await.map_err(|_| failed(Code::Broken, "stopping"))?;
    let reply = reply.await.map_err(|_| failed(Code::Broken, "no reply"))?;
    let body = hither_wire::encode_hello_reply(&reply).map_err(|error| {
        tracing::error!(%error, "a reply to a hello cannot be said");
        failed(Code::Broken, "no reply")
    })?;
    let frame = framing::frame(body, MAX_HELLO_REPLY).ok_or_else(|| failed(Code::Broken, "no reply"))?;
    framing::write(&mut sender, frame).await.map_err(|_| broke())?;
    sender.finish().map_err(|_| broke())
}
