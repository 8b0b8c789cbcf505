//! How long requests took, in constant memory. A bucket is at most a thousandth of its value wide, so a percentile is
//! within 0.05 % of the true one; the mean is exact.

#[cfg(test)]
mod tests;

/// Buckets for each doubling.
const BUCKETS_PER_OCTAVE: u64 = 1 << OCTAVE_BITS;
const OCTAVE_BITS: u32 = 10;

/// The part of a run that is measured: the requests that came at or after `from`, and before `to`. In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub from: u64,
    pub to: u64,
}

impl Window {
    /// The whole run.
    pub(crate) const ALL: Self = Self { from: 0, to: u64::MAX };

    pub(crate) fn holds(self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// How long requests took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Latencies {
    /// One request took so many microseconds.
    pub(crate) fn record(&mut self, micros: u64) {
        let index = bucket(micros);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, 0);
        }
        self.buckets[index] += 1;
        self.count += 1;
        self.sum += u128::from(micros);
        self.max = self.max.max(micros);
    }

    /// Takes in what another has recorded.
    #[cfg_attr(not(test), expect(dead_code, reason = "theory is compared with in tests"))]
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// In microseconds; 0 if nothing was recorded.
    pub(crate) fn mean(&self) -> u64 {
        (self.sum / u128::from(self.count.max(1))) as u64
    }

    /// What so many of a thousand took at most, in microseconds; 0 if nothing was recorded.
    pub(crate) fn permille(&self, permille: u64) -> u64 {
        let rank = (self.count * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|here| {
            seen += here;
            seen >= rank
        });
        reached.map_or(0, |index| middle(index).min(self.max))
    }
}

fn bucket(micros: u64) -> usize {
    let shift = (u64::BITS - micros.leading_zeros()).saturating_sub(OCTAVE_BITS + 1);
    (u64::from(shift) * BUCKETS_PER_OCTAVE + (micros >> shift)) as usize
}

fn middle(index: usize) -> u64 {
    let index = index as u64;
    let shift = (index / BUCKETS_PER_OCTAVE).saturating_sub(1);
    ((index - shift * BUCKETS_PER_OCTAVE) << shift) + ((1 << shift) >> 1)
}

/// What became of the requests of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// How long the answered ones took, there and back.
    pub latencies: Latencies,
    /// Requests that came.
    pub offered: u64,
    /// Those answered within their deadline.
    pub in_time: u64,
    /// Messages sent for them: requests that left their node, probes and their replies. Answers are not counted.
    pub messages: u64,
    /// States that nodes announced by gossip meanwhile, each heard by every neighbour.
    pub announcements: u64,
}

/// The numbers of an outcome that go into a table. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Figures {
    /// Requests that were answered.
    pub count: u64,
    pub mean: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    /// Answered within the deadline, of those that came.
    pub goodput: f64,
    pub messages_per_request: f64,
}

impl Outcome {
    /// A request with this allowance was answered after so many microseconds.
    pub(crate) fn answered(&mut self, micros: u64, deadline: u64) {
        self.latencies.record(micros);
        self.in_time += u64::from(micros <= deadline);
    }

    pub(crate) fn figures(&self) -> Figures {
        let offered = self.offered.max(1) as f64;
        Figures {
            count: self.latencies.count(),
            mean: self.latencies.mean(),
            p50: self.latencies.permille(500),
            p99: self.latencies.permille(990),
            p999: self.latencies.permille(999),
            goodput: self.in_time as f64 / offered,
            messages_per_request: self.messages as f64 / offered,
        }
    }
}
