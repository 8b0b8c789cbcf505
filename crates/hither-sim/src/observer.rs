//! The one who sees all: every action of every node, every fact on every disk, every token at every client.
//!
//! It keeps its own copy of the law, of the caps and of what ought to run, and believes no node. What it finds broken
//! it names by the invariant: I1 no silent loss, I2 one ending and one sequence, I3 the law, I4 power and slots,
//! I5 attempts and copies, I6 deadlines, I8 models, I9 incarnations, I10 the envelope, P2 the record before the payload.
//! I7, the last copy of a model, cannot be broken yet: no mind has a word for dropping a model.
//!
//! What has ended and cannot come up again is forgotten, so that a long run needs no more memory than a short one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_core::event::LocalModel;
use hither_types::id::{Attempt, Digest, ModelName, NodeId, RequestId, Task};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::model::Manifest;
use hither_types::refusal::Refusal;
use hither_types::request::{Envelope, RequestKind};

use crate::chance::mix;
use crate::counts::Counts;
use crate::hash::Lookup;
use crate::measure::{Ending, Measure, Sample};

mod act;
mod budget;
mod end;
mod law;
mod peer;
mod rest;
mod signal;

use budget::Tokens;

#[cfg(test)]
mod tests;

/// Time after the deadline by which a request must have ended, in microseconds.
pub(crate) const GRACE: u64 = 1_000_000;
/// Requests of a made mesh are looked at so often, to be forgotten once they have ended.
pub(crate) const REVIEW: u64 = 4_000_000;
/// The most attempts of one request.
const MOST_ATTEMPTS: u8 = 3;
/// The most attempts of one request that its origin has under way at a time.
const MOST_COPIES: usize = 2;
/// Breaches that are kept in full; one broken rule breaks often.
const KEPT_BREACHES: usize = 20;

/// The token that a correct engine gives at a place of an answer, so that a gap, a repeat or a swap shows at once.
pub(crate) fn token(request: RequestId, index: u32) -> u32 {
    (mix(request.0 as u64 ^ mix(u64::from(index) + 1)) % 50_000) as u32
}

/// Something that must not happen, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) invariant: &'static str,
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) what: String,
}

/// A request, from the outside.
#[derive(Debug)]
struct Watch {
    origin: usize,
    envelope: Envelope,
    submitted: u64,
    deadline: u64,
    tokens: u32,
    delivered: u32,
    /// What the client was told: who serves each attempt.
    routed: Vec<(Attempt, usize)>,
    ended: Option<Ending>,
    client_left: bool,
    /// The origin died: nobody is left to whom anything could be lost.
    excused: bool,
    attempts: Vec<(Attempt, usize)>,
    /// Attempts that the origin has under way.
    flying: Vec<Attempt>,
    /// Attempts that were under way when another began to answer: they have lost.
    beaten: Vec<Attempt>,
    last_piece: Option<(u64, Attempt)>,
    resumed: bool,
    /// The last offer of it, and how long it was thought to wait there.
    promised: Option<(Attempt, u64)>,
    /// Attempts at peers that ended with a "no", as its origin has heard.
    noes: usize,
    /// It was over when it was last looked at.
    reviewed: bool,
}

impl Watch {
    /// The place whose tokens the client got last.
    fn answerer(&self) -> Option<usize> {
        let (_, attempt) = self.last_piece?;
        self.routed.iter().find(|(routed, _)| *routed == attempt).map(|(_, place)| *place)
    }

    /// Whether each attempt at a place has lost against another.
    fn is_beaten(&self, place: usize) -> bool {
        let mut there = self.attempts.iter().filter(|(_, at)| *at == place).peekable();
        there.peek().is_some() && there.all(|(attempt, _)| self.beaten.contains(attempt))
    }
}

/// A node, from the outside.
#[derive(Debug)]
struct Watched {
    policy: Arc<Policy>,
    cap: u64,
    idle: u64,
    /// What models may use of its memory.
    memory: Option<u64>,
    stored: BTreeSet<Digest>,
    /// What is open or being opened.
    open: BTreeSet<Digest>,
    ready: BTreeMap<Digest, LocalModel>,
    /// What runs, with its model and since when.
    running: BTreeMap<Task, (Digest, u64)>,
    /// Intents on disk less settlements on disk, where they differ. An egress may be intended again under the same attempt,
    /// and a settlement may be written before the intent.
    egresses: BTreeMap<(RequestId, Attempt, NodeId), i32>,
    ingress: BTreeSet<Task>,
    /// Incarnation and sequence of what it last told of itself.
    told: (u64, u64),
    /// What was asked of this node.
    asked: BTreeMap<Task, Asked>,
    copies: Tokens,
    tries: Tokens,
    /// It died at least once, or its disk was full: its ledger may end in the middle of a story.
    torn: bool,
}

/// What a peer asked of a node.
#[derive(Debug, Clone, Copy)]
struct Asked {
    at: u64,
    /// When it must have started.
    start_by: u64,
}

impl Watched {
    /// An intent or a settlement is on disk.
    fn egress(&mut self, egress: (RequestId, Attempt, NodeId), count: i32) {
        let open = self.egresses.entry(egress).or_default();
        *open += count;
        if *open == 0 {
            self.egresses.remove(&egress);
        }
    }
}

/// The observer.
#[derive(Debug)]
pub(crate) struct Observer {
    members: Vec<Member>,
    index: Lookup<NodeId, usize>,
    models: BTreeMap<Digest, Manifest>,
    /// Families of models, each from the largest member to the smallest.
    pub(crate) ladder: Vec<Vec<ModelName>>,
    nodes: Vec<Watched>,
    requests: BTreeMap<RequestId, Watch>,
    breaches: Vec<Breach>,
    breach_count: u64,
    pub(crate) counts: Counts,
    pub(crate) measure: Measure,
    gaps: Vec<u64>,
    /// The longest time until a quick refusal.
    slowest_refusal: u64,
    /// Requests that have neither ended nor lost their client or their node.
    open: u64,
    /// When requests were last open.
    last_open: u64,
    /// Requests that ended, or lost their client, within the event.
    over: Vec<RequestId>,
    attempts: u64,
    /// Nothing goes wrong in this world.
    whole: bool,
    /// From then on nothing is wrong with the world any more, and every lawful request ought to be answered.
    calm: u64,
}

impl Observer {
    /// An observer of these nodes: member, policy, cap and idle power of each.
    pub(crate) fn new(nodes: Vec<(Member, Arc<Policy>, u64, u64)>, models: Vec<Manifest>) -> Self {
        let index = nodes.iter().enumerate().map(|(index, (member, ..))| (member.node, index)).collect();
        let members = nodes.iter().map(|(member, ..)| member.clone()).collect();
        let tokens = Tokens::new(models.len());
        let watched = |(_, policy, cap, idle)| Watched {
            policy,
            cap,
            idle,
            memory: None,
            stored: BTreeSet::new(),
            open: BTreeSet::new(),
            ready: BTreeMap::new(),
            running: BTreeMap::new(),
            egresses: BTreeMap::new(),
            ingress: BTreeSet::new(),
            told: (0, 0),
            asked: BTreeMap::new(),
            copies: tokens,
            tries: tokens,
            torn: false,
        };
        Self {
            members,
            index,
            ladder: Vec::new(),
            models: models.into_iter().map(|manifest| (manifest.digest, manifest)).collect(),
            nodes: nodes.into_iter().map(watched).collect(),
            requests: BTreeMap::new(),
            breaches: Vec::new(),
            breach_count: 0,
            counts: Counts::default(),
            measure: Measure::default(),
            gaps: Vec::new(),
            slowest_refusal: 0,
            open: 0,
            last_open: 0,
            over: Vec::new(),
            attempts: 0,
            whole: false,
            calm: u64::MAX,
        }
    }

    /// Says when the last fault is over, and everybody had time to notice.
    pub(crate) fn calm_from(&mut self, at: u64) {
        self.calm = at;
    }

    /// Says whether the world is whole: then few requests need more than one attempt.
    pub(crate) fn expect(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// Requests that still have to end.
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    fn breach(&mut self, invariant: &'static str, at: u64, node: usize, what: String) {
        self.breach_count += 1;
        if self.breaches.len() < KEPT_BREACHES {
            self.breaches.push(Breach { invariant, at, node, what });
        }
    }

    /// Says that a driver, not the mind, was given something that makes no sense.
    pub(crate) fn driver_breach(&mut self, at: u64, node: usize, what: String) {
        self.breach("driver", at, node, what);
    }

    pub(crate) fn breaches(&self) -> &[Breach] {
        &self.breaches
    }

    pub(crate) fn breach_count(&self) -> u64 {
        self.breach_count
    }

    /// A client asked.
    pub(crate) fn submitted(&mut self, at: u64, node: usize, request: RequestId, envelope: &Envelope, terms: Terms) {
        self.counts.add("requests", 1);
        let watch = Watch {
            origin: node,
            envelope: envelope.clone(),
            submitted: at,
            deadline: terms.deadline,
            tokens: terms.tokens,
            delivered: 0,
            routed: Vec::new(),
            ended: None,
            client_left: false,
            excused: false,
            attempts: Vec::new(),
            flying: Vec::new(),
            beaten: Vec::new(),
            last_piece: None,
            resumed: false,
            promised: None,
            noes: 0,
            reviewed: false,
        };
        self.requests.insert(request, watch);
        self.open += 1;
        self.measure.enters(at);
        self.earn_try(node);
    }

    /// A client left.
    pub(crate) fn client_left(&mut self, request: RequestId) {
        if let Some(watch) = self.requests.get_mut(&request)
            && watch.ended.is_none()
            && !watch.client_left
        {
            watch.client_left = true;
            self.over.push(request);
            self.open -= u64::from(!watch.excused);
            self.counts.add("cancelled", 1);
        }
    }

    /// Tokens reached a client.
    pub(crate) fn piece(&mut self, at: u64, request: RequestId, attempt: Attempt, first: u32, ids: &[u32]) {
        let Some(watch) = self.requests.get_mut(&request) else {
            return self.breach("I2", at, 0, format!("a piece of {request}, which no client asked for"));
        };
        let node = watch.origin;
        let mut broken = Vec::new();
        if watch.ended.is_some() {
            broken.push(format!("a piece of {request} after its end"));
        }
        let latest = watch.routed.last().is_some_and(|(routed, _)| *routed == attempt);
        let beside = watch.flying.contains(&attempt) && watch.routed.iter().any(|(routed, _)| *routed == attempt);
        if !latest && !beside {
            broken.push(format!("a piece of attempt {} of {request} before its route was told", attempt.0));
        }
        if watch.beaten.contains(&attempt) {
            broken.push(format!("a piece of attempt {} of {request}, and another had begun to answer", attempt.0));
        } else {
            let routed = |rival: &Attempt| watch.routed.iter().any(|(routed, _)| routed == rival);
            watch.beaten.extend(watch.flying.iter().filter(|flying| **flying != attempt && routed(flying)));
        }
        if first != watch.delivered {
            broken.push(format!("{request} goes on at token {first}, and the client has {}", watch.delivered));
        }
        let wrong = ids.iter().zip(first..).find(|(id, index)| **id != token(request, *index));
        if let Some((id, index)) = wrong {
            broken.push(format!("token {index} of {request} is {id}, and ought to be {}", token(request, index)));
        }
        watch.delivered = watch.delivered.max(first.saturating_add(ids.len() as u32));
        if let Some((before, of)) = watch.last_piece
            && of != attempt
        {
            watch.resumed = true;
            self.gaps.push(at - before);
        }
        watch.last_piece = Some((at, attempt));
        self.counts.add("tokens", ids.len() as u64);
        for what in broken {
            self.breach("I2", at, node, what);
        }
    }

    /// When a request is to be looked at again, if that is before it must have ended: as long as it goes on, and once more
    /// a while after its end.
    pub(crate) fn review(&mut self, at: u64, request: RequestId) -> Option<u64> {
        let watch = self.requests.get_mut(&request)?;
        let due = watch.deadline + GRACE;
        let over = watch.ended.is_some() || watch.client_left;
        if at >= due || std::mem::replace(&mut watch.reviewed, over) {
            return None;
        }
        Some(due.min(at + if over { GRACE } else { REVIEW }))
    }

    /// The time by which a request must have ended has come.
    pub(crate) fn overdue(&mut self, at: u64, request: RequestId) {
        let Some(watch) = self.requests.get(&request) else { return };
        if watch.ended.is_none() && !watch.client_left && !watch.excused {
            let what = format!("{request} has no ending a second after its deadline; attempts {:?}", watch.attempts);
            let node = watch.origin;
            self.breach("I1", at, node, what);
        }
    }

    /// Nodes died.
    pub(crate) fn died(&mut self, at: u64, nodes: &[usize]) {
        let mut dead = vec![false; self.nodes.len()];
        for node in nodes {
            dead[*node] = true;
            self.fill_budgets(*node);
            let watched = &mut self.nodes[*node];
            watched.torn = true;
            watched.ready.clear();
            watched.open.clear();
            std::mem::take(&mut watched.running).into_values().for_each(|(_, since)| self.measure.ran(since, at));
            watched.asked.clear();
            watched.ingress.clear();
            watched.egresses.clear();
        }
        let open = |watch: &&mut Watch| dead[watch.origin] && watch.ended.is_none() && !watch.excused;
        for watch in self.requests.values_mut().filter(open) {
            watch.excused = true;
            watch.flying.clear();
            if !watch.client_left {
                self.open -= 1;
                self.counts.add("lost_with_origin", 1);
                self.measure.lost(at);
            }
        }
    }

    /// What a node was asked is over there, answered or not: then nothing of it runs there any more.
    pub(crate) fn answer_over(&mut self, at: u64, node: usize, task: Task) {
        self.ask_over(node, task);
        if self.nodes[node].running.contains_key(&task) {
            self.breach("I5", at, node, format!("{task:?} runs on, and nobody waits for it"));
        }
    }

    fn ask_over(&mut self, node: usize, task: Task) {
        self.nodes[node].asked.remove(&task);
        self.nodes[node].ingress.remove(&task);
    }

    /// An attempt elsewhere is over, as its origin has heard.
    pub(crate) fn attempt_over(&mut self, task: Task) {
        if let Some(watch) = self.requests.get_mut(&task.request) {
            watch.flying.retain(|flying| *flying != task.attempt);
        }
    }

    /// A peer said "no" to an attempt, as its origin has heard.
    pub(crate) fn said_no(&mut self, task: Task) {
        if let Some(watch) = self.requests.get_mut(&task.request) {
            watch.noes += 1;
        }
    }

    /// Nothing of a request can come up any more.
    pub(crate) fn forget(&mut self, request: RequestId) {
        let Some(watch) = self.requests.remove(&request) else { return };
        let origin = self.members[watch.origin].node;
        for (attempt, place) in watch.attempts {
            self.ask_over(place, Task { origin, request, attempt });
        }
        self.open -= u64::from(watch.ended.is_none() && !watch.client_left && !watch.excused);
    }

    /// A node's disk is full.
    pub(crate) fn disk_full(&mut self, node: usize) {
        self.nodes[node].torn = true;
    }

    pub(crate) fn stored(&mut self, node: usize, digest: Digest) {
        self.nodes[node].stored.insert(digest);
    }

    pub(crate) fn ready(&mut self, node: usize, model: LocalModel) {
        self.nodes[node].ready.insert(model.digest, model);
        self.counts.add("loaded", 1);
    }

    pub(crate) fn model_lost(&mut self, node: usize, digest: Digest) {
        self.nodes[node].ready.remove(&digest);
        self.nodes[node].open.remove(&digest);
    }

    /// An engine is done with a task, well or not.
    pub(crate) fn engine_free(&mut self, at: u64, node: usize, task: Task) {
        if let Some((_, since)) = self.nodes[node].running.remove(&task) {
            self.measure.ran(since, at);
        }
        if self.members[node].node == task.origin {
            self.attempt_over(task);
        }
    }

    pub(crate) fn memory(&mut self, node: usize, memory: Option<u64>) {
        self.nodes[node].memory = memory;
    }

    pub(crate) fn cap(&mut self, node: usize, cap: u64) {
        self.nodes[node].cap = cap;
    }

    pub(crate) fn law(&mut self, node: usize, policy: Arc<Policy>) {
        self.nodes[node].policy = policy;
    }

    fn is_quick(refusal: &Refusal) -> bool {
        matches!(refusal, Refusal::Unlawful { .. } | Refusal::Overloaded { .. })
    }

    fn is_stream(watch: &Watch) -> bool {
        watch.envelope.kind == RequestKind::Generate
    }
}

/// What a client expects of its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// When it must have ended.
    pub(crate) deadline: u64,
    /// Tokens of the whole answer.
    pub(crate) tokens: u32,
}
