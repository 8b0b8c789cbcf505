//! A rival after Prequal: B. Wydrowski, R. Kleinberg, S. Rumble, A. Archer, "Load is not what you should balance:
//! Introducing Prequal", NSDI 2024. Probes are sent for each request and used for later ones. A probe is hot if the
//! requests in flight at its node are above a quantile of those seen lately; of the cold ones that with the least latency
//! is taken, and if all are hot, that with the least in flight.
//!
//! Two things differ, both in its favour. Prequal lives in one data centre; here the round trip is added to the latency
//! of a probe, or it would be blind to the mesh. And a node there estimates its latency by the median of its last
//! requests at such a load; here it says what is to be expected of its true speed and queue. With requests that take
//! longer than a probe lives, the median lags so far behind that p99 at a load of .85 is four times as high.

use super::Place;
use crate::chance::Chance;

/// Probes sent for each request.
pub(super) const PROBES_PER_REQUEST: usize = 3;

/// Probes that a node keeps.
const POOL_MAX: usize = 16;

/// With fewer probes, the choice is by chance.
const POOL_MIN: usize = 2;

/// Older probes are dropped, in microseconds.
const AGE_MAX: u64 = 1_000_000;

/// The quantile of requests in flight above which a probe is hot.
const HOT_PERMILLE: usize = 840;

/// Replies by which a node knows that quantile.
const SEEN_MAX: usize = 64;

/// The state of a node as it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    pub place: Place,
    pub in_flight: u32,
    pub latency: u64,
    pub at: u64,
    pub uses: u32,
}

/// What a node has heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    probes: Vec<Probe>,
    /// In flight by the last replies, as a ring.
    seen: Vec<u32>,
    seen_next: usize,
    removes_oldest: bool,
}

impl Pool {
    pub(super) fn hear(&mut self, probe: Probe, now: u64) {
        if self.seen.len() < SEEN_MAX {
            self.seen.push(probe.in_flight);
        } else {
            self.seen[self.seen_next] = probe.in_flight;
            self.seen_next = (self.seen_next + 1) % SEEN_MAX;
        }
        self.probes.retain(|each| each.at + AGE_MAX >= now && each.place != probe.place);
        if self.probes.len() == POOL_MAX {
            self.remove_oldest();
        }
        self.probes.push(probe);
    }

    /// The best place by the probes, if there are enough. Each request also removes one probe, the oldest and the worst
    /// in turn, so that a pool does not consist of those that nobody wants.
    pub(super) fn choose(&mut self, now: u64, candidates: u64, chance: &mut Chance) -> Option<Place> {
        self.probes.retain(|probe| probe.at + AGE_MAX >= now);
        if self.probes.len() < POOL_MIN {
            return None;
        }
        let hot_above = self.hot_above();
        let key = |probe: &Probe| match probe.in_flight > hot_above {
            false => (false, probe.latency, u64::from(probe.in_flight)),
            true => (true, u64::from(probe.in_flight), probe.latency),
        };
        let best = (0..self.probes.len()).min_by_key(|index| key(&self.probes[*index]))?;
        let worst_key = self.probes.iter().map(key).max();
        let probe = &mut self.probes[best];
        let place = probe.place;
        // The request that goes there is in flight, though no probe has seen it.
        probe.in_flight += 1;
        probe.uses += 1;
        if probe.uses >= uses_max(candidates, chance) {
            self.probes.swap_remove(best);
        }
        self.removes_oldest = !self.removes_oldest;
        if self.removes_oldest {
            self.remove_oldest();
        } else if let Some(worst) = self.probes.iter().position(|probe| Some(key(probe)) == worst_key) {
            self.probes.swap_remove(worst);
        }
        Some(place)
    }

    fn hot_above(&self) -> u32 {
        let mut seen = [0; SEEN_MAX];
        let seen = &mut seen[..self.seen.len()];
        seen.copy_from_slice(&self.seen);
        let rank = (seen.len() * HOT_PERMILLE / 1000).min(seen.len().saturating_sub(1));
        if seen.is_empty() { u32::MAX } else { *seen.select_nth_unstable(rank).1 }
    }

    fn remove_oldest(&mut self) {
        let oldest = (0..self.probes.len()).min_by_key(|index| self.probes[*index].at);
        if let Some(oldest) = oldest {
            self.probes.swap_remove(oldest);
        }
    }
}

/// How often a probe is used: (1 + δ) / ((1 − pool / candidates) · probes − 1) with δ = 1, at least once, the fraction by
/// chance. Where the pool could hold everybody, the formula has no bound, and the pool's size is one.
fn uses_max(candidates: u64, chance: &mut Chance) -> u32 {
    let [probes, pool] = [PROBES_PER_REQUEST as u64, POOL_MAX as u64];
    let gain = (probes * candidates.saturating_sub(pool)).saturating_sub(candidates);
    let permille = (2000 * candidates).checked_div(gain).unwrap_or(u64::MAX).clamp(1000, 1000 * pool);
    (permille / 1000) as u32 + u32::from(chance.permille((permille % 1000) as u32))
}
