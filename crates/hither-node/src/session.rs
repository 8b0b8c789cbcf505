//! What is kept of a request while it lives: its payload, and the tokens that its client already has.
//!
//! Pieces go from a worker or a peer straight to the client's channel; the mind never sees them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hither_api::door::{Answer, Route, Summary};
use hither_api::endpoint::UNKNOWN_TOKEN;
use hither_engine::work::{Piece, Work};
use hither_types::id::{Attempt, NodeId, RequestId};
use hither_types::message::Frame;
use hither_types::request::{Cost, Prefix};
use hither_types::unit::ByteCount;
use tokio::sync::mpsc;

use crate::clearing::Verdict;
use crate::limits::TOKENS_MAX;
use crate::traces::Trace;

#[cfg(test)]
mod tests;

/// A request that entered here.
pub(crate) struct Session {
    pub(crate) request: RequestId,
    pub(crate) payload: Bytes,
    answers: mpsc::Sender<Answer>,
    ended: AtomicBool,
    state: Mutex<State>,
    pub(crate) trace: Trace,
    /// Whether the client takes the answer whole.
    pub(crate) whole: bool,
}

struct State {
    /// Attempts whose pieces are taken: the last, and one beside it until either delivers.
    live: Vec<Attempt>,
    /// The last attempt that began.
    last: Attempt,
    /// Whose pieces the client has.
    delivered: Option<Attempt>,
    /// Where each attempt is served, and which of them the client was told last.
    routes: BTreeMap<Attempt, Route>,
    told: Option<Attempt>,
    /// Bytes of answers that came from elsewhere.
    answers: BTreeMap<Attempt, u64>,
    ids: Vec<u32>,
    /// What the client gets with what is sent next, so that it is woken once.
    held: Vec<Answer>,
    migrations: u8,
    /// What leaves with each attempt that is sent away.
    outgoing: BTreeMap<Attempt, Outgoing>,
    /// What the filter of a server outside the mesh made of an attempt there.
    cleared: BTreeMap<Attempt, (NodeId, Verdict)>,
    egress: u64,
    /// The relays that attempts passed.
    relays: BTreeMap<Attempt, NodeId>,
}

/// Bytes that leave with an attempt.
#[derive(Debug, Clone, Copy)]
struct Outgoing {
    /// The work.
    work: u64,
    /// The tokens to go on from.
    tokens: u64,
}

/// A token id on its way to a peer, as it is counted.
const TOKEN_BYTES: u64 = 4;

impl State {
    /// Begins an attempt, once. If the client has something already, pieces of older ones are discarded from now on;
    /// until then an older one that was not given up goes on beside it.
    fn enter(&mut self, attempt: Attempt) {
        if self.live.contains(&attempt) {
            return;
        }
        if self.delivered.is_some() {
            self.live.clear();
        }
        self.live.push(attempt);
        self.last = self.last.max(attempt);
        if !self.ids.is_empty() {
            self.migrations = self.migrations.saturating_add(1);
        }
    }
}

impl Outgoing {
    fn bytes(&self) -> ByteCount {
        ByteCount(self.work + self.tokens)
    }
}

impl State {
    /// What a filter made of an attempt. One that was refused has the number of the next, which may go elsewhere.
    fn cleared(&self, attempt: Attempt, there: NodeId) -> Option<&Verdict> {
        self.cleared.get(&attempt).filter(|(node, _)| *node == there).map(|(_, verdict)| verdict)
    }

    /// An answer behind those that were held.
    fn with_held(&mut self, answer: Answer) -> Answer {
        if self.held.is_empty() {
            return answer;
        }
        let mut answers = std::mem::take(&mut self.held);
        answers.push(answer);
        Answer::Together(answers)
    }
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The client will read it.
    Delivered,
    /// It belongs to an attempt that was given up, or another was quicker.
    Old,
    /// The client left.
    ClientGone,
    /// The client reads too slowly for a place that serves others, too.
    Full,
    /// The piece does not follow what was delivered: its place is broken.
    Gap,
}

impl Session {
    pub(crate) fn new(request: RequestId, payload: Bytes, answers: mpsc::Sender<Answer>, trace: Trace) -> Self {
        let state = State {
            live: Vec::new(),
            last: Attempt(0),
            delivered: None,
            routes: BTreeMap::new(),
            told: None,
            answers: BTreeMap::new(),
            ids: Vec::new(),
            held: Vec::new(),
            migrations: 0,
            outgoing: BTreeMap::new(),
            cleared: BTreeMap::new(),
            egress: 0,
            relays: BTreeMap::new(),
        };
        Self { request, payload, answers, ended: AtomicBool::new(false), state: Mutex::new(state), trace, whole: false }
    }

    /// The same for a client that takes the answer whole, or not.
    pub(crate) fn taken_whole(self, whole: bool) -> Self {
        Self { whole, ..self }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under this lock leaves the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an attempt, beside an older one only while the client has nothing. Gives the token ids to go on from.
    pub(crate) fn begin(&self, attempt: Attempt) -> Vec<u32> {
        self.trace.begin(attempt);
        let mut state = self.state();
        state.enter(attempt);
        state.ids.clone()
    }

    /// Whether the client has tokens already, so that only a place that knows their ids can go on.
    pub(crate) fn has_begun(&self) -> bool {
        !self.state().ids.is_empty()
    }

    /// Whether nobody can go on: the client has tokens whose ids only a server outside the mesh knows.
    pub(crate) fn is_severed(&self) -> bool {
        self.state().ids.contains(&UNKNOWN_TOKEN)
    }

    /// The work for an engine: without whose it is, if nothing of it may stay there.
    pub(crate) fn work(&self, prefix: Prefix) -> Vec<u8> {
        let bare = (prefix == Prefix::Goes).then(|| Work::without_scope(&self.payload)).flatten();
        bare.unwrap_or_else(|| self.payload.to_vec())
    }

    /// Fixes what leaves with an attempt: from here on nothing is added to the tokens to go on from before it starts.
    pub(crate) fn fix_outgoing(&self, attempt: Attempt, prefix: Prefix) -> ByteCount {
        let bare = (prefix == Prefix::Goes).then(|| Work::without_scope(&self.payload)).flatten();
        let work = bare.map_or(self.payload.len(), |bare| bare.len()) as u64;
        let mut state = self.state();
        state.enter(attempt);
        let outgoing = Outgoing { work, tokens: TOKEN_BYTES * state.ids.len() as u64 };
        state.outgoing.insert(attempt, outgoing);
        outgoing.bytes()
    }

    /// The work that leaves now, and the bytes that leave with its tokens: what was fixed, for an attempt of which less may stay
    /// by then gets another record.
    pub(crate) fn leave(&self, attempt: Attempt, prefix: Prefix) -> (Vec<u8>, ByteCount) {
        let work = self.work(prefix);
        let len = work.len() as u64;
        let mut state = self.state();
        let outgoing = state.outgoing.entry(attempt).or_insert(Outgoing { work: len, tokens: 0 });
        outgoing.work = len;
        let bytes = outgoing.bytes();
        (work, bytes)
    }

    /// Fixes what a filter made of an attempt. It leaves so, or not at all.
    pub(crate) fn fix_cleared(&self, attempt: Attempt, there: NodeId, verdict: Verdict) -> ByteCount {
        let mut state = self.state();
        let work = match &verdict {
            Ok(cleared) if !cleared.masked().is_empty() => cleared.work().encode().len() as u64,
            Ok(_) | Err(_) => self.payload.len() as u64,
        };
        state.outgoing.insert(attempt, Outgoing { work, tokens: 0 });
        state.cleared.insert(attempt, (there, verdict));
        ByteCount(work)
    }

    /// What a filter made of an attempt at a place, if one read it.
    pub(crate) fn cleared(&self, attempt: Attempt, there: NodeId) -> Option<Verdict> {
        self.state().cleared(attempt, there).cloned()
    }

    /// Whether a filter kept an attempt from leaving for a place.
    pub(crate) fn is_withheld(&self, attempt: Attempt, there: NodeId) -> bool {
        self.state().cleared(attempt, there).is_some_and(Result::is_err)
    }

    /// What was fixed for an attempt.
    pub(crate) fn outgoing(&self, attempt: Attempt) -> Option<ByteCount> {
        self.state().outgoing.get(&attempt).map(Outgoing::bytes)
    }

    /// Counts bytes of an answer that came from elsewhere.
    pub(crate) fn add_answer(&self, attempt: Attempt, bytes: u64) {
        *self.state().answers.entry(attempt).or_default() += bytes;
    }

    /// Bytes of the answer that came with an attempt, if any did.
    pub(crate) fn answer_bytes(&self, attempt: Attempt) -> Option<ByteCount> {
        self.state().answers.get(&attempt).copied().map(ByteCount)
    }

    /// Gives an attempt up: its pieces are discarded from now on.
    pub(crate) fn give_up(&self, attempt: Attempt) {
        self.trace.give_up(attempt);
        self.state().live.retain(|live| *live != attempt);
    }

    /// Remembers where an attempt is served. The client is told with the first piece that comes from there.
    pub(crate) fn route(&self, route: Route) {
        self.trace.route(&route);
        self.state().routes.insert(route.attempt, route);
    }

    /// Counts payload that leaves this node.
    pub(crate) fn add_egress(&self, bytes: u64) {
        self.state().egress += bytes;
    }

    /// An attempt passes a relay, if it does.
    pub(crate) fn passed(&self, attempt: Attempt, relay: Option<NodeId>) {
        if let Some(relay) = relay {
            self.state().relays.insert(attempt, relay);
        }
    }

    /// The relay that an attempt passed, if it was one.
    pub(crate) fn relay(&self, attempt: Attempt) -> Option<NodeId> {
        self.state().relays.get(&attempt).copied()
    }

    /// Delivers a piece if there is room at once. For places that serve many requests from one thread.
    pub(crate) fn deliver(&self, attempt: Attempt, piece: Piece) -> Delivery {
        match self.answers.try_reserve() {
            Ok(permit) => self.place(attempt, piece, Some(permit)),
            Err(mpsc::error::TrySendError::Full(())) => Delivery::Full,
            Err(mpsc::error::TrySendError::Closed(())) => Delivery::ClientGone,
        }
    }

    /// Delivers a piece, waiting for a slow client. Nothing is lost if the wait is dropped.
    pub(crate) async fn deliver_wait(&self, attempt: Attempt, piece: Piece) -> Delivery {
        match self.answers.reserve().await {
            Ok(permit) => self.place(attempt, piece, Some(permit)),
            Err(_) => Delivery::ClientGone,
        }
    }

    /// Delivers a piece of an answer that is there as a whole: its client gets it with the last word.
    pub(crate) fn hold(&self, attempt: Attempt, piece: Piece) -> Delivery {
        match self.answers.is_closed() {
            true => Delivery::ClientGone,
            false => self.place(attempt, piece, None),
        }
    }

    /// Checks, logs and sends as one step, so that what is logged is what the client gets, in this order. The first piece
    /// decides whose answer it is. The end of an answer is held until the last word, which follows it at once.
    fn place(&self, attempt: Attempt, piece: Piece, permit: Option<mpsc::Permit<'_, Answer>>) -> Delivery {
        let mut state = self.state();
        if !state.live.contains(&attempt) {
            return Delivery::Old;
        }
        let (fresh, is_end): (&[u32], bool) = match &piece {
            Piece::Tokens { first, ids, .. } => {
                if *first as usize != state.ids.len() || state.ids.len() + ids.len() > TOKENS_MAX {
                    return Delivery::Gap;
                }
                (ids, false)
            }
            // The end of that answer got lost: the client has the whole of it already.
            Piece::Outputs(_) if state.delivered.is_some_and(|by| by != attempt) => return Delivery::Delivered,
            Piece::Outputs(_) | Piece::End { .. } => (&[], true),
        };
        // The word after an end got lost, and another attempt goes on from there: the end is its to give.
        state.held.retain(|held| !matches!(held, Answer::Piece(Piece::End { .. })));
        state.live.retain(|live| *live == attempt);
        state.delivered = Some(attempt);
        state.ids.extend_from_slice(fresh);
        if state.told != Some(attempt)
            && let Some(mut route) = state.routes.get(&attempt).cloned()
        {
            if let Some(Ok(cleared)) = state.cleared(attempt, route.served_by.node) {
                route.masked = cleared.masked().clone();
            }
            state.told = Some(attempt);
            state.held.push(Answer::Routed(route));
        }
        let answer = Answer::Piece(piece);
        match permit {
            Some(permit) if !is_end => permit.send(state.with_held(answer)),
            Some(_) | None => state.held.push(answer),
        }
        Delivery::Delivered
    }

    /// What is known at the end.
    pub(crate) fn summary(&self, cost: Cost) -> Summary {
        let state = self.state();
        Summary { cost, attempts: state.last.0, migrations: state.migrations, egress: ByteCount(state.egress) }
    }

    /// Says the last word, behind all that was held. Gives it back if there is no room.
    pub(crate) fn say(&self, answer: Answer) -> Result<(), Box<Answer>> {
        let answer = self.state().with_held(answer);
        match self.answers.try_send(answer) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(answer)) => Err(Box::new(answer)),
        }
    }

    /// Says what [`Self::say`] gave back, waiting for a slow client.
    pub(crate) async fn say_wait(&self, answer: Answer) {
        // A client that left does not want to know.
        let _ = self.answers.send(answer).await;
    }

    /// Marks the request as over, so that its client leaving is no news.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the request is over, so that its client may leave.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// A request of a peer that is served here.
pub(crate) struct AskSession {
    pub(crate) payload: Vec<u8>,
    pub(crate) resume: Vec<u32>,
    pub(crate) frames: mpsc::Sender<Frame>,
    pub(crate) progress: AtomicU64,
    /// Bytes of the answer that were given to the transport.
    pub(crate) sent: AtomicU64,
    /// The relay that it came over, and its answer goes back over.
    pub(crate) relay: Option<NodeId>,
    pub(crate) trace: Trace,
}

impl AskSession {
    /// What came with the request, counted as at the other end.
    pub(crate) fn incoming(&self) -> ByteCount {
        ByteCount(self.payload.len() as u64 + TOKEN_BYTES * self.resume.len() as u64)
    }
}

/// Requests by key, with what the loop needs of them.
pub(crate) type Sessions = BTreeMap<RequestId, Arc<Session>>;
