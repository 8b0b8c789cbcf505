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

    /// Takes the one with the most work waiting.
    fn take(&mut self, digest: Digest, now: Timestamp) -> Option<NodeId> {
        let notes = self.notes.get_mut(&digest)?;
        notes.retain(|note| now.since(note.at) <= limits::HUNGRY_FOR);
        let most = notes.iter().enumerate().max_by_key(|(index, note)| (note.queued, std::cmp::Reverse(*index)))?.0;
        let node = notes.remove(most).node;
        if notes.is_empty() {
            self.notes.remove(&digest);
        }
        Some(node)
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
            while self.scheduler.queued(digest) == 0 && self.scheduler.free(digest, Priority::Normal) > 0 {
                let Some(victim) = self.hungry.take(digest, self.now) else { break };
                let Some(peer) = self.peers.get(victim) else { continue };
                if peer.is_spared(self.now) {
                    continue;
                }
                let patience = Micros(peer.rtt().unwrap_or(Micros(0)).0.saturating_add(limits::BEGGED_FOR.0));
                self.numbers = self.numbers.wrapping_add(1);
                let number = self.numbers;
                self.scheduler.keep(digest);
                self.begged.insert(number, Begged { digest, victim });
                self.timers.set(Timer::Begged(number), self.now.after(patience));
                self.act(Action::Tell { peer: victim, signal: Signal::Steal { number, digest } });
            }
        }
    }

    /// A peer has a free slot: the oldest request that waits here and may run there is sent, or nothing.
    pub(crate) fn begged_for(&mut self, from: NodeId, number: u32, digest: Digest) {
        self.peers.welcomes(from, digest);
        let found = self.own_waiting(digest).find_map(|id| self.better_there(id, digest, from).map(|offer| (id, offer)));
        let Some((id, offer)) = found else {
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
