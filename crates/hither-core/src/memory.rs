//! Which models are in memory, and which leave when another one needs their room.
//!
//! What a model is worth keeping is its uses × what it took to load ÷ its size, above the worth of the last one that
//! left: Greedy-Dual-Size-Frequency (Cherkasova, 1998). So what is small, asked for often or slow to load stays, and
//! what was asked for long ago leaves whatever it was worth then.

use std::collections::BTreeMap;

use hither_types::id::Digest;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::limits;

#[cfg(test)]
mod tests;

/// A model that is open, or about to be.
#[derive(Debug, Clone, Copy)]
struct Warm {
    bytes: u64,
    since: Timestamp,
    /// What opening it took; zero until it is open.
    load: Micros,
    uses: u64,
    used: Timestamp,
    worth: u64,
}

/// What it takes to open one more model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is room, once these have left; often none has to.
    After(Vec<Digest>),
    /// Not while others are busy, or were used a moment ago.
    Later,
    /// It is larger than all the memory that models may use.
    Never,
}

/// How much it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    /// Nobody asked for it: nothing leaves for it.
    Spare,
    /// It is answered elsewhere: what nobody uses leaves for it.
    Nearer,
    /// Nobody else has it ready: whatever is idle leaves for it.
    Urgent,
}

/// The memory of this node for models.
#[derive(Debug)]
pub(crate) struct Memory {
    /// None: it is not watched.
    budget: Option<ByteCount>,
    warm: BTreeMap<Digest, Warm>,
    /// The worth of the last one that left.
    level: u64,
}

impl Memory {
    pub(crate) fn new(budget: Option<ByteCount>) -> Self {
        Self { budget, warm: BTreeMap::new(), level: 0 }
    }

    /// What models may use.
    pub(crate) fn budget(&self) -> Option<ByteCount> {
        self.budget
    }

    /// What models use.
    pub(crate) fn used(&self) -> ByteCount {
        ByteCount(self.warm.values().map(|warm| warm.bytes).sum())
    }

    /// Whether there is room for a model, and who would have to leave.
    pub(crate) fn room(&self, need: ByteCount, want: Want, is_busy: impl Fn(Digest) -> bool, now: Timestamp) -> Room {
        let Some(budget) = self.budget else { return Room::After(Vec::new()) };
        if need > budget {
            return Room::Never;
        }
        let mut free = budget.0.saturating_sub(self.used().0);
        let may_leave = |warm: &Warm| match want {
            Want::Spare => false,
            Want::Nearer => now.since(warm.used.max(warm.since)) >= limits::WARM_FOR,
            Want::Urgent => true,
        };
        // One that is not open yet has nobody's work, and somebody waits for it.
        let idle = self.warm.iter().filter(|(digest, warm)| {
            warm.load > Micros(0) && may_leave(warm) && (!is_busy(**digest) || mutant!(EvictsTheBusy))
        });
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable_by_key(|(digest, warm)| (warm.worth, **digest));
        let mut leave = Vec::new();
        for (digest, warm) in idle {
            if free >= need.0 {
                break;
            }
            free += warm.bytes;
            leave.push(*digest);
        }
        if free >= need.0 || mutant!(MemoryUnbounded) { Room::After(leave) } else { Room::Later }
    }

    /// A model is about to be opened, and takes about so much.
    pub(crate) fn open(&mut self, digest: Digest, bytes: ByteCount, now: Timestamp) {
        let warm = Warm { bytes: bytes.0, since: now, load: Micros(0), uses: 0, used: now, worth: 0 };
        self.warm.insert(digest, warm);
    }

    /// It is open; with what it takes, if that was measured.
    pub(crate) fn opened(&mut self, digest: Digest, bytes: Option<ByteCount>, now: Timestamp) {
        let Some(warm) = self.warm.get_mut(&digest) else { return };
        warm.bytes = bytes.map_or(warm.bytes, |bytes| bytes.0);
        warm.load = Micros(now.since(warm.since).0.max(1));
        warm.since = now;
        warm.used = now;
        warm.value(self.level);
    }

    /// Work starts on it.
    pub(crate) fn uses(&mut self, digest: Digest, now: Timestamp) {
        let Some(warm) = self.warm.get_mut(&digest) else { return };
        warm.uses += 1;
        warm.used = now;
        warm.value(self.level);
    }

    /// It makes way for another.
    pub(crate) fn evict(&mut self, digest: Digest) {
        if let Some(warm) = self.warm.remove(&digest) {
            self.level = self.level.max(warm.worth);
        }
    }

    /// It is gone, for another reason.
    pub(crate) fn close(&mut self, digest: Digest) {
        self.warm.remove(&digest);
    }

    /// What opening it took, if it is open.
    pub(crate) fn load(&self, digest: Digest) -> Option<Micros> {
        self.warm.get(&digest).map(|warm| warm.load).filter(|load| *load > Micros(0))
    }

    /// Since when it is being opened.
    pub(crate) fn opening_since(&self, digest: Digest) -> Option<Timestamp> {
        self.warm.get(&digest).filter(|warm| warm.load == Micros(0)).map(|warm| warm.since)
    }

    /// What it takes.
    pub(crate) fn bytes(&self, digest: Digest) -> ByteCount {
        self.warm.get(&digest).map_or(ByteCount(0), |warm| ByteCount(warm.bytes))
    }
}

impl Warm {
    fn value(&mut self, level: u64) {
        self.worth = level.saturating_add(gain(self.uses, self.load, self.bytes));
    }
}

/// What keeping something saves, by its size: microseconds a mebibyte.
pub(crate) fn gain(uses: u64, load: Micros, bytes: u64) -> u64 {
    let mebibytes = (bytes >> 20).max(1);
    (uses + 1).saturating_mul(load.0) / mebibytes
}
