//! The only way in and out of the mind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_types::fact::Fact;
use hither_types::filter::Findings;
use hither_types::id::{Attempt, Digest, ModelName, NodeId, RequestId, SiteName, Task, Ticket};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::message::{Presence, Signal};
use hither_types::model::{Device, Manifest};
use hither_types::near::{Move, NearSample};
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope, Prefix};
use hither_types::rollout::{Rollout, Verdict};
use hither_types::spending::{Budgets, Flow, Spent};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::{ByteCount, Micros, Milliwatts};

/// What the mind is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub me: Member,
    /// The law in force.
    pub policy: Arc<Policy>,
    /// The seed of every choice by chance.
    pub seed: u64,
    /// Grows with each start of the node.
    pub incarnation: u64,
    /// The node's share of the site's cap.
    pub cap: Milliwatts,
    /// Power of the machine without inference.
    pub idle: Milliwatts,
    /// Whether models that are asked for here are fetched.
    pub pull: PullPolicy,
    /// What models may use of the machine's memory; none if nobody watches it.
    pub memory: Option<ByteCount>,
    /// Families of models, each from the largest member to the smallest: what may answer when there is no room.
    pub ladder: Vec<Vec<ModelName>>,
    /// How often the node tells all others of itself if nothing changes.
    pub announce_every: Micros,
    /// How many requests can be explained afterwards.
    pub traces: usize,
    /// Until when a node that was just started waits for words of members that it has not heard, before it says that
    /// nobody is there.
    pub settled: Timestamp,
    /// The longest round trip to an anchor in its own country with which a member counts as near it.
    pub near: Micros,
}

/// Whether a model that was asked for here is fetched without being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// When a request for it was answered elsewhere, and the law allows the copy.
    OnDemand,
    /// Only by command.
    Manual,
    /// When this node decides so with its neighbours, by what is asked for around it; and it evicts what is worth less.
    Automatic,
}

/// A model whose engine is ready here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalModel {
    /// The model.
    pub digest: Digest,
    /// How many requests its engine runs at once.
    pub slots: u16,
    /// Power that one busy slot adds.
    pub slot_power: Milliwatts,
    /// What its engine takes in memory, if that was measured.
    pub memory: Option<ByteCount>,
    /// What it runs on.
    pub device: Device,
}

/// What happened.
#[derive(Debug, Clone, Hash)]
pub enum Event {
    /// A client asked. The driver made the id and keeps the payload.
    Submitted {
        /// The request.
        request: RequestId,
        /// What travels with it.
        envelope: Envelope,
        /// When it must have ended.
        deadline: Timestamp,
        /// What requests that share the beginning of their prompt have in common; made and salted by the driver, and
        /// never told to anybody.
        affinity: Option<u64>,
    },
    /// The client of a request that entered here left.
    ClientGone(RequestId),
    /// A peer asks this node to serve a request of its own.
    Asked {
        /// The request and its origin.
        task: Task,
        /// The model that it shall run on.
        digest: Digest,
        /// What travels with it.
        envelope: Envelope,
        /// Time left.
        remaining: Micros,
    },
    /// The peer that asked does not want the answer any more, or its stream broke.
    AskerGone(Task),
    /// A fact is on disk.
    Recorded(Ticket),
    /// A fact could not be written.
    RecordFailed(Ticket),
    /// The place that serves a task showed life. `progress` grows only when its engine advances.
    Beat {
        /// The task.
        task: Task,
        /// Steps of the engine so far.
        progress: u64,
    },
    /// The place that serves a task, here or elsewhere, finished it.
    Done {
        /// The task.
        task: Task,
        /// What it took.
        cost: Cost,
    },
    /// Nothing of the answer to a request of this node has gone to whoever asked. Told right before its attempt
    /// [fails](Self::Failed): other weights may answer it then.
    Unanswered(RequestId),
    /// The place that serves a task, here or elsewhere, gave up on it.
    Failed {
        /// The task.
        task: Task,
        /// Why.
        failure: Failure,
    },
    /// A peer told of itself.
    Presence {
        /// Who.
        from: NodeId,
        /// What; shared, for a driver may tell many minds of it.
        presence: Arc<Presence>,
    },
    /// A peer is there, and said this; it stands until it says something else or is [`Event::Silent`].
    There {
        /// Who.
        node: NodeId,
        /// What.
        presence: Arc<Presence>,
    },
    /// A peer is not there any more, or cannot be reached.
    Silent(NodeId),
    /// A peer sent a word on the way to a place for a request.
    Told {
        /// Who.
        from: NodeId,
        /// What.
        signal: Signal,
    },
    /// The round trip to a peer was measured.
    RoundTrip {
        /// Who.
        peer: NodeId,
        /// How long.
        rtt: Micros,
    },
    /// What a member, or this node itself, measured of how far others are, in the place of what it said before. Its signature
    /// was checked.
    Near {
        /// Who measured.
        by: NodeId,
        /// What.
        samples: Vec<NearSample>,
    },
    /// Members whose keys were found to have moved before this start.
    MovedBefore(BTreeMap<NodeId, Move>),
    /// Somebody belongs, or its certificate was renewed.
    MemberAdded(Member),
    /// There is a server outside the mesh that this node may ask when nobody nearer can answer in time. It tells of
    /// itself, and is asked, as a member is; the driver speaks for it.
    EndpointAdded {
        /// What the configuration says of it; its key is made up.
        place: Member,
        /// [`PlaceKind::Home`] if it runs on this machine, so that nothing leaves; else [`PlaceKind::Cloud`].
        kind: PlaceKind,
        /// The models that it trains, each with what stands for its training: no model has that digest.
        trains: BTreeMap<ModelName, Digest>,
    },
    /// Somebody does not belong any more.
    MemberRemoved(NodeId),
    /// A model is in the catalog; its signature was checked. An entry that [supersedes](Manifest::supersedes) a known
    /// one is taken in its place.
    Catalogued(Manifest),
    /// What time of day it is, by the clock of the machine: entries of the catalog end by it. Told before the first of them,
    /// and again every few seconds.
    TimeOfDay(WallTime),
    /// It is time to ask the law whether what must stay here would, under this number.
    Canary(RequestId),
    /// What may leave in a day, and what it costs; in the place of what was allowed before.
    Budgets(Box<Budgets>),
    /// Payload passed a relay on its way; it was counted as what it is by where it went.
    Relayed(Flow),
    /// What left and was spent before this start, of the day that it says.
    SpentBefore(Box<Spent>),
    /// What a name means while a new version takes over; who published it may, and its signature was checked.
    RolledOut(Rollout),
    /// A member found a new version bad; its signature was checked. This node itself, if it did so before its last start.
    Judged(Verdict),
    /// A model's file is on this disk, verified.
    ModelStored(Digest),
    /// A model's file is not on this disk any more.
    ModelRemoved(Digest),
    /// The fetch of a model advanced.
    FetchProgress {
        /// The model.
        digest: Digest,
        /// Bytes so far.
        bytes: ByteCount,
    },
    /// The fetch of a model failed.
    FetchFailed(Digest),
    /// An operator wants a model here.
    PullWanted(Digest),
    /// The names of the models that an operator wants to stay here, all of them.
    PinsChanged(BTreeSet<ModelName>),
    /// Somebody wants the memory of an open model back: it is closed as soon as nobody uses it.
    CloseWanted(Digest),
    /// A model's engine is ready here.
    ModelReady(LocalModel),
    /// A model's engine is gone: its worker died or was stopped. Tasks on it failed one by one before.
    ModelLost(Digest),
    /// A model could not be loaded.
    LoadFailed(Digest),
    /// A model's engine gave another answer than the catalog knows. Its worker may still be there.
    ModelRefuted(Digest),
    /// The power cap changed.
    CapChanged(Milliwatts),
    /// The law changed.
    PolicyChanged(Arc<Policy>),
    /// The node is stopping: refuse what is new, finish what runs.
    Draining,
    /// What a filter found in a request of this node was masked before it leaves for a place.
    Masked {
        /// The request.
        request: RequestId,
        /// The place.
        site: SiteName,
        /// What was found.
        findings: Findings,
    },
    /// The deadline that the mind asked for has come.
    Tick,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Write a fact. With a ticket, answer [`Event::Recorded`] once it is on disk, or [`Event::RecordFailed`].
    Record {
        /// Who waits, if anybody does.
        ticket: Option<Ticket>,
        /// What happened.
        fact: Fact,
    },
    /// Start a task on the engine of this node, going on after the tokens that the client already has.
    Run {
        /// The task.
        task: Task,
        /// The model.
        digest: Digest,
        /// What becomes of what the engine read, when it ends.
        prefix: Prefix,
    },
    /// Stop a task on the engine of this node.
    StopRun(Task),
    /// Send a request that entered here to a peer. Its egress is on the record.
    Forward {
        /// The task; its origin is this node.
        task: Task,
        /// Where to.
        peer: NodeId,
        /// The model that it shall run on.
        digest: Digest,
        /// What travels with it.
        envelope: Envelope,
        /// Time left.
        remaining: Micros,
        /// What may become there of what the engine read: if nothing may stay, it leaves without a word of whose it is.
        prefix: Prefix,
    },
    /// Give up on a task that was forwarded: stop reading, discard frames that still come.
    Abandon {
        /// The task.
        task: Task,
        /// Where it was.
        peer: NodeId,
    },
    /// Tell a client of this node that its request is served, and where. Before the first piece of each attempt.
    Route {
        /// The request.
        request: RequestId,
        /// Which try.
        attempt: Attempt,
        /// Who serves it.
        served_by: NodeId,
        /// The rule that allows it.
        rule: hither_types::id::RuleId,
        /// The model that answers, if it is a smaller one than was asked for.
        instead: Option<ModelName>,
        /// The version that answers, if a rollout says that the name means one of another name.
        version: Option<ModelName>,
    },
    /// Sign and tell all members that this node has gone back to the old version of a name.
    Judge(Verdict),
    /// End a client's request well.
    Finish {
        /// The request.
        request: RequestId,
        /// What the last attempt took.
        cost: Cost,
    },
    /// End a client's request with a "no".
    Refuse {
        /// The request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// End a client's request because every place failed, or the input is wrong.
    Fail {
        /// The request.
        request: RequestId,
        /// The last failure.
        failure: Failure,
    },
    /// Tell the peer that asked for a task that it runs or waits here: beats begin.
    Accept(Task),
    /// Tell the peer that asked for a task how it ended.
    FinishAsk {
        /// The task.
        task: Task,
        /// What it took.
        cost: Cost,
    },
    /// Tell the peer that asked for a task "no".
    DeclineAsk {
        /// The task.
        task: Task,
        /// Why.
        refusal: Refusal,
    },
    /// Tell the peer that asked for a task that it failed here.
    FailAsk {
        /// The task.
        task: Task,
        /// Why.
        failure: Failure,
    },
    /// Tell all members of this node.
    Announce(Presence),
    /// Send a word to a peer; it may be lost.
    Tell {
        /// To whom.
        peer: NodeId,
        /// What.
        signal: Signal,
    },
    /// Fetch a model from any of these peers; the law allows the copy.
    Fetch {
        /// The model.
        manifest: Manifest,
        /// Who has it, nearest first.
        providers: Vec<NodeId>,
    },
    /// Remove the file of a model that nobody uses here, for another one needs its room, and say [`Event::ModelRemoved`]. Others
    /// in its jurisdiction hold it.
    Evict {
        /// Which.
        digest: Digest,
        /// Which one needs its room.
        by: Digest,
    },
    /// Open a stored model in a worker, and ask it what the catalog knows the answers to.
    Load(Digest),
    /// Close a model: another needs its memory, somebody wants it closed, or its answers are wrong. No event follows.
    Unload(Digest),
    /// Ask an open model once more what the catalog knows the answers to; a wrong one is [`Event::ModelRefuted`].
    Prove(Digest),
}
