//! How often each model is asked for: a moving mean in integers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hither_types::id::Digest;
use hither_types::time::Timestamp;
use hither_types::unit::MicroHertz;

use crate::limits;

/// Periods without a look after which nothing is left of any demand.
const FORGOTTEN_AFTER: u64 = 120;

#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    /// Since the last period ended.
    count: u64,
    rate: u64,
}

/// What is asked for at one node.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    asked: BTreeMap<Digest, Asked>,
    /// When the running period began.
    since: Timestamp,
}

impl Demand {
    /// A model is asked for. Of a request that is passed on, this is said where it came into the neighbourhood and nowhere
    /// else, so that it counts once.
    pub fn ask(&mut self, model: Digest) {
        if self.asked.len() < limits::MANIFESTS_MAX || self.asked.contains_key(&model) {
            self.asked.entry(model).or_default().count += 1;
        }
    }

    /// Ends the periods of [`limits::PLACE_EVERY`] that are over.
    pub fn pass(&mut self, now: Timestamp) {
        let span = limits::PLACE_EVERY.0;
        let periods = now.since(self.since).0 / span;
        if periods == 0 {
            return;
        }
        self.since = Timestamp(self.since.0 + periods * span);
        self.asked.retain(|_, asked| {
            // What was asked in several periods is spread over them: nobody looked when.
            let sample = asked.count.saturating_mul(1_000_000_000_000 / span) / periods;
            asked.count = 0;
            for _ in 0..periods.min(FORGOTTEN_AFTER) {
                let sum = asked.rate.saturating_mul(10_000 - limits::DEMAND_SHARE);
                asked.rate = sum.saturating_add(sample.saturating_mul(limits::DEMAND_SHARE)) / 10_000;
            }
            asked.rate >= limits::DEMAND_MIN.0
        });
    }

    /// How often a model is asked for, as of the last period.
    pub fn rate(&self, model: Digest) -> MicroHertz {
        self.asked.get(&model).map_or(MicroHertz(0), |asked| MicroHertz(asked.rate))
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// All that is asked for, as of the last period.
    pub fn rates(&self) -> impl Iterator<Item = (Digest, MicroHertz)> {
        self.asked.iter().map(|(model, asked)| (*model, MicroHertz(asked.rate)))
    }

    /// What the others are told: the most wanted models, by digest, with rates that are rounded, so that a demand that stays
    /// about the same is no news.
    pub fn told(&self) -> Vec<(Digest, MicroHertz)> {
        let rates = self.rates().map(|(model, rate)| (model, rounded(rate)));
        let mut told: Vec<_> = rates.filter(|(_, rate)| *rate >= limits::DEMAND_MIN).collect();
        if told.len() > limits::DEMANDS_TOLD {
            told.sort_unstable_by_key(|(model, rate)| (Reverse(*rate), *model));
            told.truncate(limits::DEMANDS_TOLD);
            told.sort_unstable_by_key(|(model, _)| *model);
        }
        told
    }
}

/// To four binary digits, which is within a sixteenth of it.
fn rounded(MicroHertz(rate): MicroHertz) -> MicroHertz {
    let shift = (u64::BITS - rate.leading_zeros()).saturating_sub(4);
    MicroHertz((rate.saturating_add((1 << shift) >> 1) >> shift) << shift)
}
