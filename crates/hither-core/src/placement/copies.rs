//! The copies at this node, and which of them leaves when another one needs the room.
//!
//! What a copy is worth keeping is its uses × what it took to come ÷ its size, above the worth of the last one that left:
//! Greedy-Dual-Size-Frequency (Cherkasova, 1998), as for the memory of engines.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::Digest;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::limits;
use crate::memory::gain;

/// One copy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    pub(super) bytes: ByteCount,
    since: Timestamp,
    /// What it takes to have it again.
    reload: Micros,
    uses: u64,
    pub(super) worth: u64,
}

impl Copy {
    /// Whether it has been here for so long that it may leave.
    pub(super) fn may_leave(&self, now: Timestamp) -> bool {
        now.since(self.since) >= limits::STAYS_FOR
    }
}

/// What is here, and what comes.
#[derive(Debug, Default)]
pub(super) struct Copies {
    here: BTreeMap<Digest, Copy>,
    coming: BTreeMap<Digest, ByteCount>,
    pinned: BTreeSet<Digest>,
    /// The worth of the last one that left.
    level: u64,
}

impl Copies {
    pub(super) fn coming(&mut self, model: Digest, bytes: ByteCount) {
        if !self.here.contains_key(&model) {
            self.coming.insert(model, bytes);
        }
    }

    pub(super) fn came(&mut self, model: Digest, bytes: ByteCount, reload: Micros, now: Timestamp) {
        self.coming.remove(&model);
        let worth = self.level.saturating_add(gain(0, reload, bytes.0));
        self.here.entry(model).or_insert(Copy { bytes, since: now, reload, uses: 0, worth });
    }

    pub(super) fn gone(&mut self, model: Digest) {
        self.here.remove(&model);
        self.coming.remove(&model);
    }

    pub(super) fn leaves(&mut self, model: Digest) {
        if let Some(copy) = self.here.remove(&model) {
            self.level = self.level.max(copy.worth);
        }
    }

    pub(super) fn used(&mut self, model: Digest) {
        let Some(copy) = self.here.get_mut(&model) else { return };
        copy.uses += 1;
        copy.worth = self.level.saturating_add(gain(copy.uses, copy.reload, copy.bytes.0));
    }

    pub(super) fn pin(&mut self, model: Digest, pinned: bool) {
        if pinned {
            self.pinned.insert(model);
        } else {
            self.pinned.remove(&model);
        }
    }

    pub(super) fn is_pinned(&self, model: Digest) -> bool {
        self.pinned.contains(&model)
    }

    pub(super) fn has(&self, model: Digest) -> bool {
        self.here.contains_key(&model)
    }

    pub(super) fn comes(&self, model: Digest) -> bool {
        self.coming.contains_key(&model)
    }

    pub(super) fn here(&self) -> impl Iterator<Item = (Digest, &Copy)> {
        self.here.iter().map(|(model, copy)| (*model, copy))
    }

    pub(super) fn coming_count(&self) -> usize {
        self.coming.len()
    }

    pub(super) fn coming_bytes(&self) -> u64 {
        self.coming.values().map(|bytes| bytes.0).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.here.values().map(|copy| copy.bytes.0).sum::<u64>() + self.coming_bytes()
    }
}
