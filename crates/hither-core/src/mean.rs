//! Moving means of what was seen.

use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;

/// How fast work leaves a queue, wherever it goes: what runs here, what peers take, what they are offered.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    last: Option<Timestamp>,
    gap: Micros,
}

impl Drain {
    /// Work left the queue. An empty queue says nothing about how fast the next one drains, but the mean stays.
    pub(crate) fn left(&mut self, now: Timestamp, empty: bool) {
        if let Some(last) = self.last.replace(now) {
            let sample = now.since(last).0;
            let before = self.gap.0;
            self.gap = Micros(if before == 0 { sample } else { (before.saturating_mul(15).saturating_add(sample)) / 16 });
        }
        if empty {
            self.last = None;
        }
    }

    /// The mean time between two that leave; a silence that lasts longer counts as it is.
    pub(crate) fn gap(&self, now: Timestamp) -> Option<Micros> {
        let last = self.last?;
        (self.gap > Micros(0)).then(|| self.gap.max(now.since(last)))
    }
}

/// A moving mean, plain over the first samples: early ones count as much as they should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mean {
    value: u64,
    samples: u32,
}

impl Mean {
    /// Takes in a sample.
    pub(crate) fn add(&mut self, sample: Micros) {
        self.samples = (self.samples + 1).min(limits::MEAN_OVER);
        let (value, weight) = (i128::from(self.value), i128::from(self.samples));
        self.value = (value + (i128::from(sample.0.max(1)) - value) / weight).max(1) as u64;
    }

    /// The mean; zero if there was no sample.
    pub(crate) fn value(&self) -> Micros {
        Micros(self.value)
    }

    /// How many samples it stands on, up to the length of the memory.
    pub(crate) fn samples(&self) -> u32 {
        self.samples
    }
}
