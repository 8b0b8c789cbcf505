//! A node in miniature: what its driver keeps beside the mind, what dies with the process, and what the disk keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hither_core::{Core, Event};
use hither_types::fact::Fact;
use hither_types::id::{Attempt, RequestId, Task, Ticket};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::message::Presence;
use hither_types::time::Timestamp;

/// Messages that a stopped process's sockets hold; more small talk is dropped, as a kernel does.
pub(crate) const BACKLOG_MESSAGES: usize = 1000;

/// What comes to a node. What is large or rare lies in a box: most of what is in the queue is small talk.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something for the mind as it is.
    Event(Box<Event>),
    /// The deadline of the mind, unless it asked for another since.
    Tick(u64),
    /// What a node tells all of itself, decoded once for all of them.
    Presence { from: u32, presence: Arc<Presence> },
    /// Other small talk.
    Message { from: u32, bytes: Box<[u8]> },
    /// A part of a request stream.
    Parcel(Box<(Task, Parcel)>),
    /// The disk is done with a fact.
    Synced(Box<(Option<Ticket>, Fact)>),
    /// An engine advances: the task and the number of its run.
    Step(Box<(Task, u64)>),
    /// A beat is due.
    Beat(Box<Task>),
    /// A model was opened.
    Opened(usize),
    /// More of a model came.
    Chunk(Box<(usize, u64)>),
    /// A client asks: the load that it belongs to, and what it takes if the trace of arrivals says so.
    Submit { load: u32, work: u64 },
    /// A client leaves.
    Leave(Box<RequestId>),
    /// The power cap changes.
    Cap(u64),
    /// The law changes.
    Law(Arc<Policy>),
    /// The worker dies.
    Crash,
}

/// What a request stream carries.
#[derive(Debug)]
pub(crate) enum Parcel {
    Ask(Vec<u8>),
    Frame(Vec<u8>),
    Reset,
}

/// Whether the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    Frozen,
    Down,
}

/// A request that entered here, as the driver keeps it.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) payload: Vec<u8>,
    /// The token ids that the client has.
    pub(crate) log: Vec<u32>,
    /// Attempts under way: a second copy runs beside the first until one of them has delivered something.
    pub(crate) live: Vec<Attempt>,
}

impl Own {
    /// An attempt begins. Once the client has something, there is no other beside it.
    pub(crate) fn begin(&mut self, attempt: Attempt) {
        if !self.log.is_empty() {
            self.live.clear();
        }
        self.live.push(attempt);
    }

    /// An attempt was given up.
    pub(crate) fn give_up(&mut self, attempt: Attempt) {
        self.live.retain(|live| *live != attempt);
    }
}

/// A request of a peer.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) payload: Vec<u8>,
    pub(crate) resume: u32,
    pub(crate) accepted: bool,
}

/// A task on the engine.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) model: usize,
    pub(crate) next: u32,
    pub(crate) resumed: u32,
    pub(crate) total: u32,
    /// Its client said what it takes: the engine advances all the time, and not only with each token.
    pub(crate) is_timed: bool,
    pub(crate) steps: u64,
    pub(crate) began: u64,
}

/// A model on its way.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) id: u64,
    pub(crate) providers: VecDeque<usize>,
    pub(crate) bytes: u64,
    pub(crate) stalled: u32,
}

/// What survives the process.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    pub(crate) stored: BTreeSet<usize>,
    pub(crate) facts: u64,
    /// When the last write is on disk.
    pub(crate) synced: u64,
    pub(crate) incarnation: u64,
    /// How many faults hold it full.
    pub(crate) full: u32,
}

/// A node.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) member: Member,
    pub(crate) disk: Disk,
    pub(crate) policy: Arc<Policy>,
    pub(crate) cap: u64,
    pub(crate) state: State,
    pub(crate) slow: u64,
    /// Speed of its engines for work that says what it takes, in a thousandth of the usual.
    pub(crate) speed: u64,
    /// Requests that it runs at once, if it was made by a topology.
    pub(crate) slots: Option<u16>,
    pub(crate) hung: u32,
    /// How many faults keep it from the words on the way to a place.
    pub(crate) mute: u32,
    /// Which process: what was meant for an earlier one is lost.
    pub(crate) life: u64,
    /// What this machine's clock shows at the start of the world.
    pub(crate) clock: u64,
    pub(crate) thawed: u64,
    pub(crate) core: Option<Core>,
    pub(crate) own: BTreeMap<RequestId, Own>,
    pub(crate) served: BTreeMap<Task, Served>,
    pub(crate) runs: BTreeMap<Task, Run>,
    pub(crate) beating: BTreeSet<Task>,
    pub(crate) loaded: BTreeSet<usize>,
    /// Models that are being opened, and when each is open.
    pub(crate) opens: BTreeMap<usize, u64>,
    pub(crate) fetches: BTreeMap<usize, Fetch>,
    pub(crate) measured: BTreeMap<usize, u64>,
    pub(crate) backlog: VecDeque<Input>,
    pub(crate) tick: Option<u64>,
    pub(crate) tick_number: u64,
}

impl Node {
    pub(crate) fn new(name: String, member: Member, policy: Arc<Policy>, cap: u64, stored: BTreeSet<usize>) -> Self {
        Self {
            name,
            member,
            disk: Disk { stored, ..Disk::default() },
            policy,
            cap,
            state: State::Down,
            slow: 1,
            speed: 1000,
            slots: None,
            hung: 0,
            mute: 0,
            life: 0,
            clock: 0,
            thawed: 0,
            core: None,
            own: BTreeMap::new(),
            served: BTreeMap::new(),
            runs: BTreeMap::new(),
            beating: BTreeSet::new(),
            loaded: BTreeSet::new(),
            opens: BTreeMap::new(),
            fetches: BTreeMap::new(),
            measured: BTreeMap::new(),
            backlog: VecDeque::new(),
            tick: None,
            tick_number: 0,
        }
    }

    /// Everything but the disk is gone.
    pub(crate) fn forget(&mut self) {
        self.state = State::Down;
        self.life += 1;
        self.core = None;
        self.own.clear();
        self.served.clear();
        self.runs.clear();
        self.beating.clear();
        self.loaded.clear();
        self.opens.clear();
        self.fetches.clear();
        self.measured.clear();
        self.backlog.clear();
        self.tick = None;
    }

    /// What the node's own clock shows.
    pub(crate) fn time(&self, now: u64) -> Timestamp {
        Timestamp(now + self.clock)
    }

    /// The world's time of an instant of the node's clock.
    pub(crate) fn world(&self, time: Timestamp) -> u64 {
        time.0.saturating_sub(self.clock)
    }

    /// An input for a stopped process: small talk beyond the bound is lost, streams wait.
    pub(crate) fn pile_up(&mut self, input: Input) -> bool {
        let small_talk = matches!(input, Input::Message { .. } | Input::Presence { .. });
        if small_talk && self.backlog.len() >= BACKLOG_MESSAGES {
            return false;
        }
        self.backlog.push_back(input);
        true
    }
}
