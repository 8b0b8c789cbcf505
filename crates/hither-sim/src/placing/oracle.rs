//! Who knows the requests of the next minutes before they come, and moves models in no time: the greedy that decentralised
//! placement is held against (that of AlpaServe, Li et al., OSDI 2023, without its simulations in the loop: what comes is
//! known here).
//!
//! For each window it knows what will be asked where. It takes the model and the jurisdiction with the most work that no
//! copy is there for, gives a copy to the node there that can take the most of it, and goes on until all work has a place or
//! no node has; then it fills what is left of all memory with a copy at each site for what is asked for most there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::town::{Request, SECOND, Setting, Town, Trace};

/// How long a plan stands, in seconds.
pub(super) const WINDOW: u64 = 300;

/// Up to this share of its slots, in per cent, a node is given work; more is given when there is none left below it.
const FILL_PERCENT: u64 = 70;

/// Knows all.
#[derive(Debug)]
pub(super) struct Oracle {
    trace: Trace,
    /// The first request beyond what was looked at.
    ahead: Option<Request>,
    until: u64,
}

/// What a node has left while a plan is made.
#[derive(Debug, Clone)]
struct Left {
    memory: u64,
    /// Slot-microseconds on a usual node.
    work: u64,
    models: Vec<u16>,
}

impl Oracle {
    pub(super) fn new(setting: &Setting, town: &Town) -> Self {
        Self { trace: Trace::new(setting, town), ahead: None, until: 0 }
    }

    /// What each node shall hold in the next window.
    pub(super) fn plan(&mut self, town: &Town) -> Vec<Vec<u16>> {
        self.until += WINDOW * SECOND;
        // Work by site and model.
        let mut work = vec![vec![0_u64; town.models.len()]; town.sites.len()];
        loop {
            let request = self.ahead.take().unwrap_or_else(|| self.trace.next(town));
            if request.at >= self.until {
                self.ahead = Some(request);
                break;
            }
            work[town.houses[request.door].site][request.model] += request.work;
        }
        let left = |percent: u64| {
            move |house: &super::town::House| u64::from(house.slots) * house.speed * WINDOW * SECOND / 400 * percent
        };
        let full = left(FILL_PERCENT);
        let mut nodes: Vec<Left> = town
            .houses
            .iter()
            .map(|house| Left { memory: house.memory, work: full(house), models: Vec::new() })
            .collect();
        cover(town, &work, &mut nodes);
        fill(town, &work, &mut nodes);
        nodes.into_iter().map(|left| left.models).collect()
    }
}

/// Gives copies until all work has a place.
fn cover(town: &Town, work: &[Vec<u64>], nodes: &mut [Left]) {
    let count = town.sites.iter().max().map_or(0, |last| last + 1);
    let mut needs = BinaryHeap::new();
    for model in 0..town.models.len() {
        for jurisdiction in 0..count {
            let here = work.iter().zip(&town.sites).filter(|(_, of)| **of == jurisdiction);
            let need: u64 = here.map(|(work, _)| work[model]).sum();
            if need > 0 {
                needs.push((need, Reverse(model), jurisdiction));
            }
        }
    }
    while let Some((need, Reverse(model), jurisdiction)) = needs.pop() {
        let bytes = town.models[model].bytes;
        let fits = |node: &usize| {
            let (house, left) = (&town.houses[*node], &nodes[*node]);
            town.is_allowed(model, house.jurisdiction) && left.memory >= bytes && !left.models.contains(&(model as u16))
        };
        // In the jurisdiction itself if somebody there can, else anywhere the licence allows.
        let at_home = (0..nodes.len()).filter(|node| town.houses[*node].jurisdiction == jurisdiction).filter(fits);
        let dear = |node: &usize| {
            let site = town.houses[*node].site;
            (nodes[*node].work.min(need), work[site][model], Reverse(*node))
        };
        let best = at_home.max_by_key(dear).filter(|node| nodes[*node].work > 0);
        let best = best.or_else(|| (0..nodes.len()).filter(fits).max_by_key(dear));
        let Some(node) = best else { continue };
        let taken = nodes[node].work.min(need);
        nodes[node].work -= taken;
        nodes[node].memory -= bytes;
        nodes[node].models.push(model as u16);
        if taken > 0 && need > taken {
            needs.push((need - taken, Reverse(model), jurisdiction));
        }
    }
}

/// Fills the memory that is left with what is asked for nearby.
fn fill(town: &Town, work: &[Vec<u64>], nodes: &mut [Left]) {
    let mut pairs: Vec<(Reverse<u64>, usize, usize)> = Vec::new();
    for (site, work) in work.iter().enumerate() {
        let allowed = |model: &usize| town.is_allowed(*model, town.sites[site]) && work[*model] > 0;
        pairs.extend((0..work.len()).filter(allowed).map(|model| (Reverse(work[model]), site, model)));
    }
    pairs.sort_unstable();
    for _ in 0..3 {
        for (_, site, model) in &pairs {
            let bytes = town.models[*model].bytes;
            let fits = |node: &usize| nodes[*node].memory >= bytes && !nodes[*node].models.contains(&(*model as u16));
            let best = town.of_site(*site).filter(fits).max_by_key(|node| (nodes[*node].work, Reverse(*node)));
            if let Some(node) = best {
                nodes[node].memory -= bytes;
                nodes[node].models.push(*model as u16);
            }
        }
    }
}
