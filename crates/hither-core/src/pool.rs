//! Fresh words of peers about themselves: answers to probes and offers, each good for a moment and a few uses.
//!
//! A pool of reusable probe answers, as in Prequal (Wydrowski et al., NSDI 2024). What was sent to a peer since it spoke
//! is counted against it at once, and what it says then counts instead.

use std::collections::BTreeMap;

use hither_types::id::{Digest, NodeId};
use hither_types::message::Load;
use hither_types::time::Timestamp;

use crate::limits;

#[cfg(test)]
mod tests;

/// What a peer said of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word {
    pub(crate) node: NodeId,
    pub(crate) load: Load,
    pub(crate) at: Timestamp,
    uses: u8,
}

impl Word {
    /// Slots that are free there as far as this node knows.
    pub(crate) fn free(&self) -> u16 {
        self.load.slots.saturating_sub(self.load.busy)
    }
}

/// The last words of peers, by model.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    words: BTreeMap<Digest, Vec<Word>>,
}

impl Pool {
    /// A peer spoke. The oldest word makes room.
    pub(crate) fn add(&mut self, digest: Digest, node: NodeId, load: Load, now: Timestamp) {
        if !self.words.contains_key(&digest) && self.words.len() >= limits::POOLS_MAX {
            self.words.retain(|_, words| words.iter().any(|word| now.since(word.at) <= limits::WORD_FOR));
            if self.words.len() >= limits::POOLS_MAX {
                return;
            }
        }
        let words = self.words.entry(digest).or_default();
        words.retain(|word| word.node != node);
        if words.len() >= limits::POOL_MAX {
            words.remove(0);
        }
        words.push(Word { node, load, at: now, uses: 0 });
    }

    /// The words about a model that still count, oldest first.
    pub(crate) fn fresh(&self, digest: Digest, now: Timestamp) -> impl Iterator<Item = &Word> {
        let words = self.words.get(&digest).into_iter().flatten();
        words.filter(move |word| now.since(word.at) <= limits::WORD_FOR && word.uses < limits::WORD_USES)
    }

    /// What a peer said of a model, if it still counts.
    pub(crate) fn of(&self, digest: Digest, node: NodeId, now: Timestamp) -> Option<&Word> {
        self.fresh(digest, now).find(|word| word.node == node)
    }

    /// Whether a peer spoke of a model so lately that it need not be asked again. One that was full has our note, and
    /// calls when a slot gets free.
    pub(crate) fn heard_just_now(&self, digest: Digest, node: NodeId, now: Timestamp) -> bool {
        self.of(digest, node, now).is_some_and(|word| {
            let for_now = if word.free() > 0 { limits::PROBE_AGAIN } else { limits::NOTE_FOR };
            now.since(word.at) <= for_now
        })
    }

    /// Something was sent to a peer: one slot less is free there.
    pub(crate) fn used(&mut self, digest: Digest, node: NodeId) {
        let words = self.words.get_mut(&digest).into_iter().flatten();
        for word in words.filter(|word| word.node == node) {
            // Nobody speaks anew while nothing that is meant for it leaves.
            word.uses = word.uses.saturating_add(1);
            word.load.busy = word.load.busy.saturating_add(1);
        }
    }

    /// What a peer said of a model is so no longer.
    pub(crate) fn outdated(&mut self, digest: Digest, node: NodeId) {
        self.words.get_mut(&digest).into_iter().for_each(|words| words.retain(|word| word.node != node));
    }

    /// A peer is not what it said, or is gone.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.words.values_mut().for_each(|words| words.retain(|word| word.node != node));
    }
}
