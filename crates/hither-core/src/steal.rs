//! Work stealing: a node with a free slot asks those who had work waiting a moment ago. The victim asks the law again and
//! sends what it would have sent anyway; the payload goes from its origin to its place and nowhere else.

use std::collections::BTreeMap;

use hither_types::id::{Digest, NodeId, Task};
use hither_types::message::Signal;
use hither_types::request::Priority;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// Peers that had work waiting when they last asked around, by model.
#[derive(Debug, Default)]
pub(crate) struct Hungry {
    notes: BTreeMap<Digest, Vec<Note>>,
}

#[derive(Debug, Clone, Copy)]
struct Note {
    node: NodeId,
    queued: u16,
    at: Timestamp,
}

impl Hungry {
    /// A peer has work waiting.
    pub(crate) fn add(&mut self, digest: Digest, node: NodeId, queued: u16, now: Timestamp) {
        if !self.notes.contains_key(&digest) && self.notes.len() >= limits::POOLS_MAX {
            return;
        }
        let notes = self.notes.entry(digest).or_default();
        notes.retain(|note| note.node != node);
        if notes.len() >= limits::HUNGRY_MAX {
            notes.remove(0);
        }
        notes.push(Note { node, queued, at: now });
    }

    /// Takes one from the peer with the most work waiting.
    fn take(&mut self, digest: Digest, now: Timestamp) -> Option<NodeId> {
        let notes = self.notes.get_mut(&digest)?;
        notes.retain(|note| now.since(note.at) <= limits::HUNGRY_FOR);
        let most = notes.iter().enumerate().max_by_key(|(index, note)| (note.queued, std::cmp::Reverse(*index)))?.0;
        let node = notes[most].node;
        notes[most].queued -= 1;
        if notes[most].queued == 0 {
            notes.remove(most);
        }
        if notes.is_empty() {
            self.notes.remove(&digest);
        }
        Some(node)
    }

    /// A peer has nothing more.
    fn forget(&mut self, digest: Digest, node: NodeId) {
        if let Some(notes) = self.notes.get_mut(&digest) {
            notes.retain(|note| note.node != node);
            if notes.is_empty() {
                self.notes.remove(&digest);
            }
        }
    }

    /// Whether a peer has work of a model waiting that nobody here could take yet.
    pub(crate) fn knows_of(&self, digest: Digest, now: Timestamp) -> bool {
        self.notes.get(&digest).into_iter().flatten().any(|note| now.since(note.at) <= limits::HUNGRY_FOR)
    }

    /// The models for which somebody is hungry.
    fn models(&self) -> Vec<Digest> {
        self.notes.keys().copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

/// A slot that is kept for what a peer may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begged {
    digest: Digest,
    victim: NodeId,
}

impl Core {
    /// Slots are free and nothing waits here: asks those who have work waiting.
    pub(crate) fn beg(&mut self) {
        if self.hungry.is_empty() || self.draining {
            return;
        }
        for digest in self.hungry.models() {
            while self.has_room_to_steal(digest) {
                let Some(victim) = self.hungry.take(digest, self.now) else { break };
                let spared = self.peers.get(victim).is_none_or(|peer| peer.is_spared(self.now));
                if !spared {
                    self.beg_from(victim, 0, digest);
                }
            }
        }
    }

    /// Whether a slot is free and nothing waits for it here.
    pub(crate) fn has_room_to_steal(&self, digest: Digest) -> bool {
        let free = self.scheduler.queued(digest) == 0 && self.scheduler.free(digest, Priority::Normal) > 0;
        free && !self.draining
    }

    /// Asks a peer for work that waits there, and keeps a slot for it.
    pub(crate) fn beg_from(&mut self, victim: NodeId, answers: u32, digest: Digest) {
        let far = self.peers.get(victim).map_or(Micros(0), |peer| peer.far());
        let until = self.now.after(limits::BEGGED_FOR).after(far);
        self.numbers = self.numbers.wrapping_add(1).max(1);
        let number = self.numbers;
        self.scheduler.keep(digest);
        self.begged.insert(number, Begged { digest, victim });
        if !mutant!(BeggedForEver) {
            self.timers.set(Timer::Begged(number), until);
        }
        let signal = Signal::Steal { number, answers, digest, load: self.load(digest) };
        self.act(Action::Tell { peer: victim, signal });
    }

    /// A peer has a free slot: the oldest request that waits here and may run there is sent, or nothing.
    pub(crate) fn begged_for(&mut self, from: NodeId, number: u32, digest: Digest) {
        if mutant!(NeverGivesAway) {
            return self.act(Action::Tell { peer: from, signal: Signal::Nothing { number, digest } });
        }
        self.peers.welcomes(from, digest);
        let Some((id, offer)) = self.first_better(digest, from) else {
            return self.act(Action::Tell { peer: from, signal: Signal::Nothing { number, digest } });
        };
        self.trace.totals.stolen += 1;
        self.take_out(id, digest);
        self.send_unasked(id, offer);
    }

    /// The peer has nothing for this node: the slot is free again, and the peer is spared for a while.
    pub(crate) fn nothing_to_steal(&mut self, from: NodeId, number: u32, digest: Digest) {
        if self.begged.get(&number).is_some_and(|begged| begged.victim == from && begged.digest == digest) {
            self.peers.spare(from, self.now, &mut self.random);
            self.hungry.forget(digest, from);
            self.begged_over(number);
        }
    }

    /// A slot is not kept any longer.
    pub(crate) fn begged_over(&mut self, number: u32) {
        self.timers.clear(Timer::Begged(number));
        if let Some(begged) = self.begged.remove(&number) {
            self.scheduler.unkeep(begged.digest);
        }
    }

    /// Whether a slot was kept for a task that a peer sends unasked; it is the task's now.
    pub(crate) fn claim_begged(&mut self, task: Task, digest: Digest) -> bool {
        let of = |begged: &Begged| begged.victim == task.origin && begged.digest == digest;
        let Some(number) = self.begged.iter().find(|(_, begged)| of(begged)).map(|(number, _)| *number) else {
            return false;
        };
        self.timers.clear(Timer::Begged(number));
        self.begged.remove(&number);
        self.peers.forgive(task.origin);
        true
    }
}
