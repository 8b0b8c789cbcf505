//! Request streams between two nodes: reliable, ordered, held by a cut, broken by silence.

use std::collections::{BTreeMap, VecDeque};

use hither_types::id::{Attempt, NodeId, RequestId, Task};

use crate::network::Network;
use crate::node::Parcel;

/// Without an acknowledgement for this long a serving node gives its stream up, in microseconds.
pub(crate) const IDLE: u64 = 5_000_000;

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Origin = 0,
    Target = 1,
}

impl End {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Origin => Self::Target,
            Self::Target => Self::Origin,
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    origin: NodeId,
    pub(crate) nodes: [usize; 2],
    pub(crate) lives: [u64; 2],
    pub(crate) open: [bool; 2],
    /// Nothing arrives before what was sent before it.
    arrival: [u64; 2],
    held: [VecDeque<Parcel>; 2],
    /// When the origin last acknowledged anything.
    pub(crate) acked: u64,
}

/// All streams. Requests are numbered by time, so that what is looked for lies near the end.
#[derive(Debug, Default)]
pub(crate) struct Streams(BTreeMap<(RequestId, Attempt), Stream>);

fn key(task: Task) -> (RequestId, Attempt) {
    (task.request, task.attempt)
}

/// Something that will arrive.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) at: u64,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) task: Task,
    pub(crate) parcel: Parcel,
}

impl Streams {
    /// Opens a stream between two processes.
    pub(crate) fn open(&mut self, now: u64, task: Task, nodes: [usize; 2], lives: [u64; 2]) {
        let held = [VecDeque::new(), VecDeque::new()];
        self.0.insert(
            key(task),
            Stream { origin: task.origin, nodes, lives, open: [true; 2], arrival: [0; 2], held, acked: now },
        );
    }

    pub(crate) fn of(&mut self, task: Task) -> Option<&mut Stream> {
        self.0.get_mut(&key(task))
    }

    /// Which end of a stream a node is.
    pub(crate) fn end(&self, task: Task, node: usize) -> Option<End> {
        let stream = self.0.get(&key(task))?;
        Some(if stream.nodes[0] == node { End::Origin } else { End::Target })
    }

    /// Closes one end; a stream without ends is forgotten.
    pub(crate) fn close(&mut self, task: Task, end: End) {
        if let Some(stream) = self.0.get_mut(&key(task)) {
            stream.open[end as usize] = false;
            if stream.open == [false; 2] {
                self.0.remove(&key(task));
            }
        }
    }

    /// Sends to one end, or holds what a cut does not let pass.
    pub(crate) fn send(
        &mut self,
        now: u64,
        network: &mut Network,
        (task, to): (Task, End),
        parcel: Parcel,
    ) -> Option<Delivery> {
        let stream = self.0.get_mut(&key(task))?;
        let (from, node) = (stream.nodes[to.other() as usize], stream.nodes[to as usize]);
        if network.is_cut(from, node) {
            stream.held[to as usize].push_back(parcel);
            return None;
        }
        let at = (now + network.stream(from, node)).max(stream.arrival[to as usize]);
        stream.arrival[to as usize] = at;
        Some(Delivery { at, node, life: stream.lives[to as usize], task, parcel })
    }

    /// What cuts held and no cut holds any more.
    pub(crate) fn release(&mut self, now: u64, network: &mut Network) -> Vec<Delivery> {
        let mut free = Vec::new();
        for ((request, attempt), stream) in &mut self.0 {
            let task = Task { origin: stream.origin, request: *request, attempt: *attempt };
            for to in [End::Origin, End::Target] {
                let (from, node) = (stream.nodes[to.other() as usize], stream.nodes[to as usize]);
                if network.is_cut(from, node) {
                    continue;
                }
                for parcel in std::mem::take(&mut stream.held[to as usize]) {
                    let at = (now + network.stream(from, node)).max(stream.arrival[to as usize]);
                    stream.arrival[to as usize] = at;
                    free.push(Delivery { at, node, life: stream.lives[to as usize], task, parcel });
                }
            }
        }
        free
    }

    /// The streams of a process that is gone.
    pub(crate) fn orphans(&self, node: usize, life: u64) -> Vec<(Task, End)> {
        let end = |stream: &Stream| {
            [End::Origin, End::Target]
                .into_iter()
                .find(|end| stream.nodes[*end as usize] == node && stream.lives[*end as usize] < life)
        };
        let task = |((request, attempt), stream): (&(RequestId, Attempt), &Stream)| {
            end(stream).map(|end| (Task { origin: stream.origin, request: *request, attempt: *attempt }, end))
        };
        self.0.iter().filter_map(task).collect()
    }

    /// Forgets the streams of a request that no living process has an end of; `false` if one is left.
    pub(crate) fn forget(&mut self, request: RequestId, lives: impl Fn(usize, u64) -> bool) -> bool {
        let keys: Vec<_> =
            self.0.range((request, Attempt(0))..=(request, Attempt(u8::MAX))).map(|(key, _)| *key).collect();
        let mut over = true;
        for key in keys {
            let used = self.0.get(&key).is_some_and(|stream| {
                (0..2).any(|end| stream.open[end] && lives(stream.nodes[end], stream.lives[end]))
            });
            if used {
                over = false;
            } else {
                self.0.remove(&key);
            }
        }
        over
    }
}
