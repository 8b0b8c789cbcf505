//! Small talk between members: a link that comes up by itself, at both ends, as soon as one can reach the other.
//!
//! Either end dials; of two links between the same two programs the newer one carries what is said. A link is up once the
//! other end has said which start of its program it is: the end of a handshake alone does not prove that the other lets us
//! in. A link to an earlier start of it is closed then: whatever it took from the queues would go nowhere until its end is
//! noticed.
//!
//! Links stand to the members that the driver wants them to; to others one is made when there is a signal for them, and it
//! ends when neither end has had a use for it for a while.
//!
//! Signals have a queue and a stream of their own: a burst of them pushes nothing else out, and a catalog of a megabyte
//! does not hold them up. They are worth something for a moment only: what waits for a link for longer is lost. Everything
//! else is for those to whom there is a link, and is told anew when there is one again.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hither_types::id::NodeId;
use hither_types::message::PeerMessage;
use hither_types::unit::Micros;
use hither_types::version::{Program, Versions};
use hither_wire::limits::MAX_MESSAGE;
use iroh::endpoint::{Connection, SendStream};
use tokio::time::{Instant, MissedTickBehavior};

use crate::dial;
use crate::framing::{self, FrameReader, Framed};
use crate::limits;
use crate::links::{self, Code, Kind};
use crate::members::Standing;
use crate::preface::Refusal;
use crate::starts;
use crate::swarm::{Shared, Swarm, SwarmEvent};

mod peer;
#[cfg(test)]
mod tests;

use peer::Peer;

/// Why a link to an earlier start is closed.
const OUTLIVED: (Code, &str) = (Code::Stale, "the node was started anew");

#[derive(Debug, Default)]
struct Peers {
    known: HashMap<NodeId, Arc<Peer>>,
    /// To whom links stand; to everybody until the driver says otherwise.
    kept: Option<HashSet<NodeId>>,
}

/// All members, as small talk knows them.
#[derive(Debug, Default)]
pub(crate) struct Talk(Mutex<Peers>);

impl Swarm {
    /// Says something to a member. Never waits: if too much waits already, the oldest is dropped.
    pub fn send(&self, to: NodeId, message: PeerMessage) {
        self.shared().talk.send(to, message);
    }

    /// The newest version of the protocol that a member's program was last heard to speak; 0 before it said so.
    pub fn speaks(&self, node: NodeId) -> u16 {
        self.shared().talk.peer(node).map_or(0, |peer| peer.lock().speaks)
    }
}

impl Talk {
    fn lock(&self) -> MutexGuard<'_, Peers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.lock().known.get(&node).cloned()
    }

    /// Keeps links to these members, and to no others for their own sake.
    pub(crate) fn keep(&self, nodes: HashSet<NodeId>) {
        let mut peers = self.lock();
        for (node, peer) in &peers.known {
            let standing = nodes.contains(node);
            let before = std::mem::replace(&mut peer.lock().standing, standing);
            if standing && !before {
                peer.wake.notify_one();
            }
        }
        peers.kept = Some(nodes);
    }

    /// Puts a message into the outbox of a member. Never waits.
    pub(crate) fn send(&self, to: NodeId, message: PeerMessage) {
        match self.peer(to) {
            Some(peer) => peer.push(message),
            None => tracing::debug!(peer = %to.short(), "message to a node that is not a member dropped"),
        }
    }

    /// Which program a member was last heard with.
    pub(crate) fn program(&self, node: NodeId) -> Option<Program> {
        self.peer(node)?.lock().program.clone()
    }

    /// Looks again at every member: the isolation changed.
    pub(crate) fn wake_all(&self) {
        for peer in self.lock().known.values() {
            peer.wake.notify_one();
        }
    }

    /// To whom a link is up.
    pub(crate) fn linked(&self) -> Vec<NodeId> {
        let peers = self.lock();
        peers.known.iter().filter(|(_, peer)| !peer.lock().links.is_empty()).map(|(node, _)| *node).collect()
    }

    /// Whether a link to a node is up that did not come up after a moment.
    pub(crate) fn is_older(&self, node: NodeId, than: Instant) -> bool {
        self.peer(node).is_some_and(|peer| peer.lock().links.last().is_some_and(|newest| newest.since <= than))
    }

    /// Ends the talk with a node.
    pub(crate) fn expel(&self, node: NodeId) {
        if let Some(peer) = self.lock().known.remove(&node) {
            peer.lock().expelled = true;
            peer.wake.notify_one();
        }
    }
}

/// Talks to a member from now on, or tries again at once if that is so already.
pub(crate) fn admit(shared: &Arc<Shared>, node: NodeId) {
    let mut peers = shared.talk.lock();
    if let Some(peer) = peers.known.get(&node) {
        peer.wake.notify_one();
        return;
    }
    let peer = Arc::new(Peer::default());
    peer.lock().standing = peers.kept.as_ref().is_none_or(|kept| kept.contains(&node));
    peers.known.insert(node, peer.clone());
    drop(peers);
    shared.tasks.spawn(keep(shared.clone(), node, peer));
}

/// What came of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Talked {
    /// The link was up.
    Up,
    /// It never was.
    Not,
    /// It never was, because new connections to the other would have gone where it was before; they do not any more.
    Moved,
}

/// Dials whenever there is no link and one is wanted, with growing pauses.
async fn keep(shared: Arc<Shared>, node: NodeId, peer: Arc<Peer>) {
    let (mut pause, mut moved) = (limits::REDIAL_MIN, false);
    loop {
        if peer.lock().expelled {
            return;
        }
        if !peer.lock().links.is_empty() || !peer.is_wanted() || shared.members.standing(node) != Standing::Member {
            peer.wake.notified().await;
            pause = limits::REDIAL_MIN;
            continue;
        }
        let begun = Instant::now();
        let talked = match dial::dial(&shared, node, Kind::Talk).await {
            Ok(connection) => link(&shared, node, connection, || ()).await,
            Err(error) => {
                tracing::debug!(peer = %node.short(), %error, "no link yet");
                Talked::Not
            }
        };
        let again = std::mem::replace(&mut moved, talked == Talked::Moved);
        match talked {
            Talked::Up if begun.elapsed() >= limits::LINK_HELD => pause = limits::REDIAL_MIN,
            Talked::Moved if !again => continue,
            Talked::Up | Talked::Moved => {
                // Two programs with one key push each other out: without a rest they would do nothing else.
                tokio::time::sleep(pause).await;
                pause = pause.saturating_mul(2).min(limits::REDIAL_MAX);
                continue;
            }
            Talked::Not if peer.lock().links.is_empty() && shared.members.standing(node) == Standing::Member => {
                // A full queue has more urgent things in it; the next dial comes in seconds.
                let _ = shared.events.try_send(SwarmEvent::Unreachable(node));
            }
            Talked::Not => {}
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = pause.saturating_mul(2).min(limits::REDIAL_MAX),
            () = peer.wake.notified() => pause = limits::REDIAL_MIN,
        }
    }
}

/// Talks over a connection until it ends. `is_up` is called as soon as something can be said over it.
pub(crate) async fn link(
    shared: &Arc<Shared>,
    node: NodeId,
    connection: Connection,
    is_up: impl FnOnce() + Send,
) -> Talked {
    let Some(peer) = shared.talk.peer(node) else {
        dial::close(&connection, Code::Stranger, "not a member");
        return Talked::Not;
    };
    let welcome = |epoch: u64| {
        if !links::leads(&connection) && peer.comes_again(epoch) { Err(starts::moved()) } else { Ok(()) }
    };
    let opened = tokio::time::timeout(limits::LINK_PROOF, starts::exchange(shared, &connection, welcome)).await;
    let starts::Opened { sender, reader, epoch, versions } = match opened {
        Ok(Ok(parts)) => parts,
        Ok(Err(Refusal { code: Code::Stale, here, .. })) => {
            tracing::debug!(peer = %node.short(), "{here}");
            shared.links.close(node, Code::Stale, &here);
            return Talked::Moved;
        }
        Ok(Err(refusal)) => {
            dial::close(&connection, refusal.code, &refusal.there);
            if refusal.is_about_versions() {
                // A full queue has more urgent things in it; the next dial comes in seconds.
                let _ = shared.events.try_send(SwarmEvent::Apart { peer: node, reason: refusal.here });
            }
            return Talked::Not;
        }
        Err(_) => {
            dial::close(&connection, Code::Slow, "no greeting");
            return Talked::Not;
        }
    };
    // A link is made only between two programs that have a version in common.
    let version = shared.speaks.common(&versions).unwrap_or(versions.newest);
    let number = up(shared, node, &peer, (epoch, versions)).await;
    is_up();
    let this = This { number, epoch, version };
    let (code, reason) = tokio::select! {
        end = read(shared, node, &peer, reader) => end,
        end = read_signals(shared, node, &peer, &connection) => end,
        end = write(shared, &peer, this, sender) => end,
        end = write_signals(shared, &peer, this, &connection) => end,
        never = measure(shared, node, &peer, &connection) => never,
        end = outlived(&peer, epoch) => end,
        end = peer.unused() => end,
    };
    dial::close(&connection, code, reason);
    down(shared, node, &peer, number).await;
    Talked::Up
}

/// A link, for those that write on it.
#[derive(Debug, Clone, Copy)]
struct This {
    /// Which it is of those to the same node.
    number: u64,
    /// The start of the program at the other end.
    epoch: u64,
    /// What both ends speak.
    version: u16,
}

/// Gives the number of the link.
async fn up(shared: &Arc<Shared>, node: NodeId, peer: &Peer, (epoch, versions): (u64, Versions)) -> u64 {
    // The place in the queue comes first, so that ups and downs of two links are told in the order of the counts.
    let place = shared.events.reserve().await;
    // Before anybody hears of the link: whoever then asks shall not meet the pause after an older failure.
    shared.lines.encourage(node);
    let (number, restarted) = {
        let mut state = peer.lock();
        let (number, late) = state.comes_up(Instant::now());
        state.speaks = versions.newest;
        // A new start of the other program has heard nothing yet, though a link to the old one may not have ended.
        if (late || state.epoch != Some(epoch))
            && let Ok(place) = place
        {
            place.send(SwarmEvent::LinkUp(node));
        }
        state.program = Some(versions.program);
        // Whoever made it has a use for it.
        state.used = Some(Instant::now());
        // Another start of it may still have to come again.
        state.moved = state.moved.filter(|(moved, _)| *moved != epoch);
        (number, state.epoch.replace(epoch).is_some_and(|before| before != epoch))
    };
    if restarted {
        peer.restarted.notify_waiters();
        starts::outlived(shared, node, epoch);
    }
    if !peer.lock().standing {
        return number;
    }
    let warm = shared.clone();
    shared.tasks.spawn(async move {
        if let Err(error) = dial::connection(&warm, node, Kind::Ask).await {
            tracing::debug!(peer = %node.short(), %error, "no warm connection for requests");
        }
    });
    number
}

/// Waits until a link to a later start of the other program is up.
async fn outlived(peer: &Peer, epoch: u64) -> (Code, &'static str) {
    loop {
        // Made before the look: a start between the two is not missed.
        let restarted = peer.restarted.notified();
        if peer.is_outlived(epoch) {
            return OUTLIVED;
        }
        restarted.await;
    }
}

async fn down(shared: &Arc<Shared>, node: NodeId, peer: &Peer, link: u64) {
    let place = shared.events.reserve().await;
    let mut state = peer.lock();
    let newest = state.goes_down(link);
    let last = state.links.is_empty();
    if last {
        state.outbox.clear();
    }
    match place {
        Ok(place) if last => place.send(SwarmEvent::LinkDown(node)),
        // The next newest goes on; what was under way over this one is lost, and told anew.
        Ok(place) if newest => place.send(SwarmEvent::LinkUp(node)),
        _ => {}
    }
    drop(state);
    if last {
        peer.wake.notify_one();
    } else {
        peer.ready.notify_waiters();
        peer.signalled.notify_waiters();
    }
}

async fn read(shared: &Arc<Shared>, node: NodeId, peer: &Peer, mut reader: FrameReader) -> (Code, &'static str) {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return (Code::Done, "the other end stopped talking"),
            Err(framing::FramingError::Read(_)) => return (Code::Done, "the link broke"),
            Err(error) => {
                tracing::warn!(peer = %node.short(), %error, "small talk cannot be read; link closed");
                return (Code::Garbage, "frames cannot be read");
            }
        };
        match hither_wire::decode_message(&frame) {
            Ok(message) => {
                let wants = |message: &PeerMessage| match message {
                    PeerMessage::Signal(_) => true,
                    PeerMessage::Pulse(pulse) => pulse.watches,
                    _ => false,
                };
                if wants(&message) {
                    peer.lock().used = Some(Instant::now());
                }
                if shared.events.send(SwarmEvent::Message { from: node, message }).await.is_err() {
                    return (Code::Done, "stopping");
                }
            }
            Err(error) => {
                tracing::warn!(peer = %node.short(), %error, bytes = frame.len(), "a message cannot be decoded; link closed");
                return (Code::Garbage, "message cannot be decoded");
            }
        }
    }
}

/// Reads the stream of signals, if the other end ever opens it.
async fn read_signals(
    shared: &Arc<Shared>,
    node: NodeId,
    peer: &Peer,
    connection: &Connection,
) -> (Code, &'static str) {
    match connection.accept_uni().await {
        Ok(stream) => read(shared, node, peer, FrameReader::new(stream, MAX_MESSAGE)).await,
        Err(_) => (Code::Done, "the link broke"),
    }
}

async fn write_signals(shared: &Shared, peer: &Peer, this: This, connection: &Connection) -> (Code, &'static str) {
    const BROKEN: (Code, &str) = (Code::Done, "the link broke");
    let Ok(mut sender) = connection.open_uni().await else { return BROKEN };
    // It fails only if the stream has ended already, which the next write finds out.
    let _ = sender.set_priority(limits::SIGNALS_FIRST);
    loop {
        // Made before the look: what is pushed between the two is not missed.
        let mut signalled = pin!(peer.signalled.notified());
        signalled.as_mut().enable();
        if peer.is_outlived(this.epoch) {
            return OUTLIVED;
        }
        let Some(signal) = peer.next_signal(this.number) else {
            signalled.await;
            continue;
        };
        if let Some(frame) = framed(shared, &PeerMessage::Signal(signal), this.version)
            && framing::write(&mut sender, frame).await.is_err()
        {
            return BROKEN;
        }
    }
}

/// A message as it goes out to a program of this version; `None`, with a word in the log, if it cannot be said.
fn framed(shared: &Shared, message: &PeerMessage, version: u16) -> Option<Framed> {
    let encoded = hither_wire::encode_message_in(message, version);
    let failed = encoded.as_ref().err().map(ToString::to_string);
    let frame = encoded.ok().and_then(|body| framing::frame(body, MAX_MESSAGE));
    match &frame {
        Some(frame) => shared.spoken.count(message, frame.len()),
        None => tracing::error!(error = failed, "a message cannot be said and was dropped"),
    }
    frame
}

async fn write(shared: &Shared, peer: &Peer, this: This, mut sender: SendStream) -> (Code, &'static str) {
    loop {
        let mut ready = pin!(peer.ready.notified());
        ready.as_mut().enable();
        if peer.is_outlived(this.epoch) {
            return OUTLIVED;
        }
        let Some(message) = peer.next_message(this.number) else {
            ready.await;
            continue;
        };
        let Some(frame) = framed(shared, &message, this.version) else { continue };
        if framing::write(&mut sender, frame).await.is_err() {
            peer.put_back(message);
            return (Code::Done, "the link broke");
        }
    }
}

async fn measure(shared: &Arc<Shared>, node: NodeId, peer: &Peer, connection: &Connection) -> (Code, &'static str) {
    let mut ticks = tokio::time::interval(limits::ROUND_TRIP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(rtt) = links::round_trip(connection) else { continue };
        let now = Instant::now();
        let mut state = peer.lock();
        if state.round_trip_at.is_some_and(|at| now.duration_since(at) < limits::ROUND_TRIP / 2) {
            continue;
        }
        state.round_trip_at = Some(now);
        drop(state);
        // A full queue has more urgent things in it; the next measurement comes in a second.
        let rtt = Micros(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
        let _ = shared.events.try_send(SwarmEvent::RoundTrip { peer: node, rtt });
    }
}
