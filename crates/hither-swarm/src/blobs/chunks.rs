//! Files on their way to many: words about their chunks, and the chunks. Which goes where is for the driver.
//!
//! Each end speaks and asks over the connection that it dialled, and hears and gives over the other's. What was said over a
//! connection counts as long as that stands: each has a session's number, and whoever comes anew tells everything again.
//!
//! ```text
//! a stream of words    1 byte: 1; then frames
//! a request            1 byte: 2; digest (32), first byte and byte after the last (8 each), name of the offer (4)
//! its answer           the part with its proof
//! the word for it      1 byte: 1, once all of that was read
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hither_types::id::{Digest, NodeId};
use hither_types::message::ChunkTalk;
use hither_wire::limits::MAX_CHUNK_TALK;
use iroh::endpoint::{Connection, ReadError, RecvStream, SendStream, VarInt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::blobs::fetch::Fault;
use crate::blobs::serve;
use crate::blobs::store::{ServeError, is_aligned};
use crate::dial::{self, DialError, chain};
use crate::framing::{self, FrameReader};
use crate::links::{Code, Kind};
use crate::swarm::{Shared, Swarm};
use crate::{ledbat, limits};

const WORDS: u8 = 1;
const REQUEST: u8 = 2;
const READ: u8 = 1;
const REQUEST_BYTES: usize = serve::REQUEST + 4;

/// What partners do.
#[derive(Debug)]
pub enum ChunkEvent {
    /// A member said something about the chunks of a file.
    Said {
        /// Who.
        from: NodeId,
        /// Over which of its connections.
        session: u64,
        /// What.
        talk: ChunkTalk,
    },
    /// A connection of a member ended: what it said over it does not count any more.
    Left {
        /// Who.
        from: NodeId,
        /// Which.
        session: u64,
    },
    /// What is said to a member does not get there. Whatever was said to it before is lost.
    Unheard {
        /// Who.
        to: NodeId,
        /// Why not; `None` if the connection ended.
        error: Option<DialError>,
    },
    /// A member has come for what it was offered.
    Asked(ChunkAsked),
    /// A member asks for some of a file without an offer, as those of earlier releases do.
    Copying {
        /// Who.
        to: NodeId,
        /// The file.
        digest: Digest,
        /// Whether it may. Dropping it refuses.
        may: oneshot::Sender<bool>,
    },
}

/// A request for a part of a file. Dropping it refuses.
#[derive(Debug)]
pub struct ChunkAsked {
    /// Who.
    pub from: NodeId,
    /// The file.
    pub digest: Digest,
    /// The part, in bytes.
    pub part: Range<u64>,
    /// The name of the offer that it comes for.
    pub offered: u32,
    streams: Option<(SendStream, RecvStream)>,
}

impl ChunkAsked {
    /// Gives the part with its proof; `true` once the other has all of it.
    pub async fn give(mut self, encoded: Vec<u8>) -> bool {
        let Some((mut sender, mut receiver)) = self.streams.take() else { return false };
        let mut rest = Bytes::from(encoded);
        while !rest.is_empty() {
            let some = rest.split_to(rest.len().min(limits::CHUNK_WRITE));
            if !matches!(timeout(limits::CHUNK_STALL, sender.write_chunk(some)).await, Ok(Ok(()))) {
                // It fails only if the asker is gone already.
                let _ = sender.reset(Code::Slow.into());
                return false;
            }
        }
        if sender.finish().is_err() {
            return false;
        }
        // The next chunk does not share the line with the end of this one. The transport's own word for it may take 25 ms.
        let mut read = [0];
        let acknowledged = sender.stopped();
        let read = receiver.read_exact(&mut read);
        tokio::pin!(read);
        tokio::select! {
            biased;
            read = timeout(limits::CHUNK_BEGINS, &mut read) => matches!(read, Ok(Ok(()))),
            // All of it is there: whoever does not say so keeps no line from others.
            _ = acknowledged => matches!(timeout(limits::CHUNK_STALL, &mut read).await, Ok(Ok(()))),
        }
    }
}

impl ChunkAsked {
    /// Says why it is not given.
    pub fn refuse(mut self, error: ServeError) {
        let code = match error {
            ServeError::Absent => Code::Absent,
            ServeError::Rotten => Code::Rotten,
        };
        if let Some((mut sender, _)) = self.streams.take() {
            // It fails only if the asker is gone already.
            let _ = sender.reset(code.into());
        }
    }
}

impl Drop for ChunkAsked {
    fn drop(&mut self) {
        if let Some((mut sender, _)) = self.streams.take() {
            // It fails only if the asker is gone already.
            let _ = sender.reset(Code::Absent.into());
        }
    }
}

impl Swarm {
    /// Says something about the chunks of a file to a member. Never waits: [`ChunkEvent::Unheard`] tells if it is lost.
    pub fn say_chunk(&self, to: NodeId, talk: ChunkTalk) {
        say(self.shared(), to, talk);
    }

    /// Has nothing more to say to a member about chunks; the connection ends.
    pub fn hush(&self, to: NodeId) {
        self.shared().chunks.hush(to);
    }

    /// Fetches a part that a member offered under a name, with its proof. `came` is called whenever some of it has come.
    pub async fn fetch_part(
        &self,
        from: NodeId,
        digest: Digest,
        part: Range<u64>,
        offered: u32,
        came: impl FnMut(),
    ) -> Result<Vec<u8>, Fault> {
        fetch(self.shared(), from, (digest, part), offered, came).await
    }
}

/// To whom this node speaks, and where it tells what others do.
#[derive(Debug)]
pub(crate) struct Chunks {
    events: mpsc::Sender<ChunkEvent>,
    mouths: Mutex<HashMap<NodeId, mpsc::Sender<ChunkTalk>>>,
}

impl Chunks {
    pub(crate) fn new(events: mpsc::Sender<ChunkEvent>) -> Self {
        Self { events, mouths: Mutex::default() }
    }

    fn mouths(&self) -> MutexGuard<'_, HashMap<NodeId, mpsc::Sender<ChunkTalk>>> {
        self.mouths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a copy of a file may go to a member; nobody may say yes but the driver.
    pub(crate) async fn may_copy(&self, to: NodeId, digest: Digest) -> bool {
        let (may, answer) = oneshot::channel();
        self.events.send(ChunkEvent::Copying { to, digest, may }).await.is_ok() && answer.await.unwrap_or(false)
    }

    /// Stops speaking to a member: it hears that as the end of everything that was said.
    pub(crate) fn hush(&self, to: NodeId) {
        self.mouths().remove(&to);
    }
}

/// Says something to a member. Never waits: whoever is too slow for what is said is not spoken to any more.
fn say(shared: &Arc<Shared>, to: NodeId, talk: ChunkTalk) {
    let mut mouths = shared.chunks.mouths();
    let mouth = mouths.entry(to).or_insert_with(|| {
        let (mouth, words) = mpsc::channel(limits::CHUNK_WORDS);
        shared.tasks.spawn(speak(shared.clone(), to, words));
        mouth
    });
    if mouth.try_send(talk).is_err() {
        mouths.remove(&to);
    }
}

async fn speak(shared: Arc<Shared>, to: NodeId, mut words: mpsc::Receiver<ChunkTalk>) {
    let error = match dial::connection(&shared, to, Kind::Chunks).await {
        Ok(connection) => {
            say_over(&connection, to, &mut words).await;
            dial::close(&connection, Code::Done, "nothing more to say");
            None
        }
        Err(error) => Some(error),
    };
    words.close();
    shared.chunks.mouths().retain(|_, mouth| !mouth.is_closed());
    // It fails only if nobody listens any more.
    let _ = shared.chunks.events.send(ChunkEvent::Unheard { to, error }).await;
}

/// Speaks until there is nobody who has anything to say, or the connection ends.
async fn say_over(connection: &Connection, to: NodeId, words: &mut mpsc::Receiver<ChunkTalk>) {
    let Ok((mut sender, _receiver)) = connection.open_bi().await else { return };
    if sender.write_all(&[WORDS]).await.is_err() {
        return;
    }
    loop {
        let talk = tokio::select! {
            talk = words.recv() => talk,
            _ = connection.closed() => return,
        };
        let Some(talk) = talk else { return };
        let encoded = hither_wire::encode_chunk_talk(&talk).ok().and_then(|body| framing::frame(body, MAX_CHUNK_TALK));
        let Some(frame) = encoded else {
            tracing::error!(peer = %to.short(), "a word about chunks cannot be said");
            return;
        };
        if framing::write(&mut sender, frame).await.is_err() {
            return;
        }
    }
}

/// Hears and serves one connection until it ends.
pub(crate) async fn serve(shared: &Arc<Shared>, from: NodeId, connection: Connection) {
    let session = connection.stable_id() as u64;
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((sender, receiver)) if streams.len() < limits::CHUNK_STREAMS => {
                    streams.spawn(stream(shared.clone(), (from, session), connection.clone(), sender, receiver));
                }
                Ok(_) => dial::close(&connection, Code::Busy, "too many requests for chunks"),
                Err(_) => break,
            },
            Some(_) = streams.join_next() => {}
        }
    }
    // What was said before the end comes before it.
    streams.shutdown().await;
    let _ = shared.chunks.events.send(ChunkEvent::Left { from, session }).await;
}

async fn stream(
    shared: Arc<Shared>,
    (from, session): (NodeId, u64),
    connection: Connection,
    sender: SendStream,
    mut receiver: RecvStream,
) {
    let mut first = [0];
    if !matches!(timeout(limits::CHUNK_STALL, receiver.read_exact(&mut first)).await, Ok(Ok(()))) {
        return;
    }
    let understood = match first {
        [WORDS] => hear(&shared, from, session, FrameReader::new(receiver, MAX_CHUNK_TALK)).await,
        [REQUEST] => {
            ledbat::give_way(&connection);
            asked(&shared, from, sender, receiver).await
        }
        _ => false,
    };
    if !understood {
        tracing::warn!(peer = %from.short(), "what is said about chunks cannot be read; connection closed");
        dial::close(&connection, Code::Garbage, "cannot be read");
    }
}

async fn hear(shared: &Shared, from: NodeId, session: u64, mut reader: FrameReader) -> bool {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(framing::FramingError::Read(_)) => return true,
            Err(framing::FramingError::TooLarge { .. } | framing::FramingError::Truncated) => return false,
        };
        let Ok(talk) = hither_wire::decode_chunk_talk(&frame) else { return false };
        if shared.chunks.events.send(ChunkEvent::Said { from, session, talk }).await.is_err() {
            return true;
        }
    }
}

async fn asked(shared: &Shared, from: NodeId, sender: SendStream, mut receiver: RecvStream) -> bool {
    let mut request = [0; REQUEST_BYTES];
    if !matches!(timeout(limits::PIECE_STALL, receiver.read_exact(&mut request)).await, Ok(Ok(()))) {
        return true;
    }
    let Some((digest, part, offered)) = decode(&request) else { return false };
    let asked = ChunkAsked { from, digest, part, offered, streams: Some((sender, receiver)) };
    // Nobody listens any more: dropping it refuses.
    let _ = shared.chunks.events.send(ChunkEvent::Asked(asked)).await;
    true
}

fn decode(request: &[u8]) -> Option<(Digest, Range<u64>, u32)> {
    let (part, offered) = request.split_at_checked(serve::REQUEST)?;
    let (digest, part) = serve::decode(part).filter(|(_, part)| is_aligned(part))?;
    Some((digest, part, u32::from_le_bytes(offered.try_into().ok()?)))
}

/// Asks a member for a part that it offered, and reads it with its proof.
async fn fetch(
    shared: &Arc<Shared>,
    from: NodeId,
    (digest, part): (Digest, Range<u64>),
    offered: u32,
    mut came: impl FnMut(),
) -> Result<Vec<u8>, Fault> {
    let broken = |error: &dyn std::error::Error| Fault::Broken(chain(error));
    let connection = dial::connection(shared, from, Kind::Chunks).await.map_err(Fault::Unreachable)?;
    let (mut sender, mut receiver) = connection.open_bi().await.map_err(|error| broken(&error))?;
    let mut request = vec![REQUEST];
    request.extend_from_slice(&serve::encode(digest, &part));
    request.extend_from_slice(&offered.to_le_bytes());
    sender.write_all(&request).await.map_err(|error| broken(&error))?;
    let limit = serve::most_encoded(&part).ok_or(Fault::BadBytes)?;
    let mut encoded = Vec::with_capacity(limit);
    let mut patience = limits::CHUNK_BEGINS;
    loop {
        let read = timeout(patience, receiver.read_chunk(usize::MAX)).await;
        match read.map_err(|_| Fault::Stalled)? {
            Ok(Some(some)) if encoded.len() + some.len() > limit => return Err(Fault::BadBytes),
            Ok(Some(some)) => {
                encoded.extend_from_slice(&some);
                came();
                patience = limits::CHUNK_STALL;
            }
            Ok(None) => {
                // Without it the giver takes longer to find out.
                let _ = sender.write_all(&[READ]).await;
                return Ok(encoded);
            }
            Err(ReadError::Reset(code)) if code == VarInt::from(Code::Absent) => return Err(Fault::Absent),
            Err(ReadError::Reset(code)) if code == VarInt::from(Code::Rotten) => return Err(Fault::Rotten),
            Err(error) => return Err(broken(&error)),
        }
    }
}
