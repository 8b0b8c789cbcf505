//! What each rival decides by.

use super::model::View;
use super::prequal::{PROBES_PER_REQUEST, Pool, Probe};
use super::{Place, Policy};

/// What all nodes remember, by node: only what their policy needs.
#[derive(Debug)]
pub(super) struct Minds {
    turns: Vec<u64>,
    pools: Vec<Pool>,
}

impl Minds {
    pub(super) fn new(policy: Policy, nodes: usize) -> Self {
        let fitting = |wanted| if policy == wanted { nodes } else { 0 };
        Self {
            turns: vec![u64::MAX; fitting(Policy::RoundRobin)],
            pools: vec![Pool::default(); fitting(Policy::Prequal)],
        }
    }

    /// The place of a request that came to `origin` now.
    pub(super) fn choose(&mut self, policy: Policy, origin: u32, now: u64, view: &mut View) -> Place {
        let count = view.field.candidates(origin);
        match policy {
            Policy::Local | Policy::Central { .. } => Place { node: origin, delay: 0 },
            Policy::Random => view.field.candidate(origin, view.chance.below(count)),
            Policy::RoundRobin => {
                let turn = &mut self.turns[origin as usize];
                // Each starts somewhere else, or all would march in step.
                *turn = if *turn == u64::MAX { view.chance.below(count) } else { (*turn + 1) % count };
                view.field.candidate(origin, *turn)
            }
            Policy::LeastByGossip => least(origin, view),
            Policy::TwoByGossip => {
                let [one, other] = two(count, view).map(|index| view.field.candidate(origin, index));
                if view.load(other.node) < view.load(one.node) { other } else { one }
            }
            Policy::Prequal => {
                let chosen = self.pools[origin as usize].choose(now, count, &mut view.chance);
                chosen.unwrap_or_else(|| view.field.candidate(origin, view.chance.below(count)))
            }
        }
    }

    /// Whom a node asks for their state because of a request.
    pub(super) fn asks(&mut self, policy: Policy, origin: u32, view: &mut View) -> impl Iterator<Item = Place> + use<> {
        let count = view.field.candidates(origin);
        let wanted = if policy == Policy::Prequal { PROBES_PER_REQUEST.min(count as usize) } else { 0 };
        let mut asked = [None; PROBES_PER_REQUEST];
        for index in 0..wanted {
            let mut place = view.field.candidate(origin, view.chance.below(count));
            while asked[..index].contains(&Some(place)) {
                place = view.field.candidate(origin, view.chance.below(count));
            }
            asked[index] = Some(place);
        }
        asked.into_iter().flatten()
    }

    pub(super) fn hear(&mut self, asker: u32, probe: Probe, now: u64) {
        self.pools[asker as usize].hear(probe, now);
    }
}

/// Two different candidates; the same one twice if there is only one.
fn two(count: u64, view: &mut View) -> [u64; 2] {
    let one = view.chance.below(count);
    if count < 2 {
        return [one; 2];
    }
    let other = view.chance.below(count - 1);
    [one, if other >= one { other + 1 } else { other }]
}

/// The least loaded candidate; one of them by chance, if several are.
fn least(origin: u32, view: &mut View) -> Place {
    let mut best = view.field.candidate(origin, 0);
    let mut best_load = view.load(best.node);
    let mut equals = 1;
    for index in 1..view.field.candidates(origin) {
        let place = view.field.candidate(origin, index);
        let load = view.load(place.node);
        if load > best_load {
            continue;
        }
        equals = if load < best_load { 1 } else { equals + 1 };
        if equals == 1 || view.chance.below(equals) == 0 {
            (best, best_load) = (place, load);
        }
    }
    best
}
