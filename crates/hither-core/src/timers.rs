//! The timers of the mind: one ordered queue, of which the driver is told the earliest.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{Digest, RequestId, Task};
use hither_types::time::Timestamp;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The request must have ended.
    Deadline(RequestId),
    /// The place that serves the request may have gone silent or be stuck.
    Watch(RequestId),
    /// The request is late at its peer: a second copy may go elsewhere.
    Hedge(RequestId),
    /// The task of a peer must have ended.
    Hosted(Task),
    /// A model may be loaded again.
    Reload(Digest),
    /// A model's answers are looked at again.
    Prove(Digest),
    /// A model may be fetched again.
    Refetch(Digest),
    /// A model's entry in the catalog ends.
    Expire(Digest),
    /// A model whose engine was lost under one task is trusted again.
    Trust(Digest),
    /// A request that is held for a faster place may start here now.
    Hold(RequestId),
    /// Requests wait for a model: it is time to ask around.
    Seek(Digest),
    /// A slot that was kept for an accepted offer is not kept any longer.
    Kept(Task),
    /// A slot that was kept for stolen work is not kept any longer.
    Begged(u32),
    /// Critical work has waited long enough for watts that other work uses.
    Urgent,
    /// It is time to decide which models this node should hold.
    Stock,
    /// It is time to tell of oneself.
    Announce,
}

/// Timers by what they are for, and by when they are due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    at: BTreeMap<Timer, Timestamp>,
    due: BTreeSet<(Timestamp, Timer)>,
}

impl Timers {
    /// Sets a timer, replacing its earlier setting.
    pub(crate) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.clear(timer);
        self.at.insert(timer, at);
        self.due.insert((at, timer));
    }

    /// Clears a timer, if it is set.
    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.at.remove(&timer) {
            self.due.remove(&(at, timer));
        }
    }

    /// Whether a timer is set.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at.contains_key(&timer)
    }

    /// When a timer is due, if it is set.
    pub(crate) fn at(&self, timer: Timer) -> Option<Timestamp> {
        self.at.get(&timer).copied()
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Takes one timer that is due.
    pub(crate) fn pop_due(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, timer) = *self.due.first()?;
        (at <= now).then(|| {
            self.clear(timer);
            timer
        })
    }
}
