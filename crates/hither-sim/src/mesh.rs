//! A generated mesh: where nodes stand, how far they are from each other, how fast and how popular each is, and the
//! whole trace of arrivals. All of it follows from the scenario and the seed and from nothing that happens in a run, so
//! that the same trace can be put through other ways of choosing a place.

use std::sync::Arc;

use hither_types::request::Priority;

use crate::chance::Chance;
use crate::quantile;
use crate::scenario::{Arrivals as When, Pulse, Scenario, Service, TopologyPlan};

#[cfg(test)]
mod tests;

/// The square on which sites lie has sides of so much.
const SIDE: u64 = 1 << 16;
/// Its diagonal.
const DIAGONAL: u64 = 92_682;
/// Arrivals are drawn in this fraction of a microsecond: at 10,000 nodes they come every few.
const FINE: u32 = 20;

/// One node, as the seed places it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Which site.
    pub(crate) site: u32,
    /// Where the site lies.
    pub(crate) x: u32,
    /// Where the site lies.
    pub(crate) y: u32,
    /// Speed of its engines, in a thousandth of the usual.
    pub(crate) speed: u32,
    /// Requests at once.
    pub(crate) slots: u16,
    /// Arrivals here, in a thousandth of the mean of all nodes.
    pub(crate) demand: u32,
    /// Its place in the topology's list.
    pub(crate) jurisdiction: u16,
}

/// All nodes of a generated mesh.
#[derive(Debug)]
pub(crate) struct Mesh {
    /// The nodes; those of a site stand together.
    pub(crate) spots: Vec<Spot>,
    sites: Vec<(u32, u32)>,
    per_site: usize,
    site_rtt: u64,
    rtt_min: u64,
    rtt_max: u64,
}

/// A request that will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When, in microseconds.
    pub(crate) at: u64,
    /// Where it enters.
    pub(crate) node: u32,
    /// What it takes at an engine of speed 1000, in microseconds.
    pub(crate) work: u64,
    /// How much it matters.
    pub(crate) priority: Priority,
    /// Time allowed, in microseconds.
    pub(crate) deadline: u64,
}

impl Mesh {
    /// Places the nodes of a topology.
    pub(crate) fn new(plan: &TopologyPlan, seed: u64) -> Self {
        let mut chance = Chance::new(seed, 0x3e54);
        let count = plan.nodes.div_ceil(plan.per_site);
        let sites: Vec<(u32, u32)> =
            (0..count).map(|_| (chance.below(SIDE) as u32, chance.below(SIDE) as u32)).collect();
        let lands = lands(&sites, plan.jurisdictions.len());
        let demands: Vec<u64> = (0..plan.nodes)
            .map(|_| if plan.demand_sigma { quantile::lognormal_sigma_1(&mut chance, 1 << 20) } else { 1 << 20 })
            .collect();
        let mean = (demands.iter().sum::<u64>() / plan.nodes as u64).max(1);
        let spots = demands.into_iter().enumerate().map(|(node, demand)| {
            let site = node / plan.per_site;
            Spot {
                site: site as u32,
                x: sites[site].0,
                y: sites[site].1,
                speed: speed(&plan.speeds, &mut chance),
                slots: plan.slots,
                demand: (demand * 1000 / mean).max(1) as u32,
                jurisdiction: lands[site],
            }
        });
        Self {
            spots: spots.collect(),
            sites,
            per_site: plan.per_site,
            site_rtt: plan.site_rtt,
            rtt_min: plan.rtt_min,
            rtt_max: plan.rtt_max,
        }
    }

    /// How long a packet takes from one node to another, in microseconds.
    pub(crate) fn one_way(&self, a: usize, b: usize) -> u64 {
        let (a, b) = (&self.spots[a], &self.spots[b]);
        if a.site == b.site {
            return self.site_rtt / 2;
        }
        let distance = apart((a.x, a.y), (b.x, b.y)).isqrt();
        (self.rtt_min + (self.rtt_max - self.rtt_min) * distance / DIAGONAL) / 2
    }

    /// The nodes nearest to one, itself not among them, nearest first.
    pub(crate) fn nearest(&self, of: usize, count: usize) -> Vec<u32> {
        self.nearest_of(of, count, |_| true)
    }

    /// The nodes nearest to one of those that count.
    pub(crate) fn nearest_of(&self, of: usize, count: usize, counts: impl Fn(usize) -> bool) -> Vec<u32> {
        let home = self.spots[of].site as usize;
        let here = self.sites[home];
        let mut found: Vec<u32> = Vec::with_capacity(count);
        let mut take = |site: usize| {
            let nodes = self.site(site).filter(|node| *node != of && counts(*node));
            found.extend(nodes.take(count - found.len()).map(|node| node as u32));
            found.len() >= count
        };
        if take(home) {
            return found;
        }
        let mut others: Vec<(u64, u32)> = self.sites.iter().map(|there| apart(here, *there)).zip(0..).collect();
        others.sort_unstable();
        for (_, site) in others {
            if site as usize != home && take(site as usize) {
                break;
            }
        }
        found
    }

    /// The nodes of a site.
    pub(crate) fn site(&self, site: usize) -> std::ops::Range<usize> {
        let first = (site * self.per_site).min(self.spots.len());
        first..(first + self.per_site).min(self.spots.len())
    }

    /// What all slots do in a second, in thousandths of a second of work.
    pub(crate) fn capacity(&self) -> u64 {
        self.spots.iter().map(|spot| u64::from(spot.slots) * u64::from(spot.speed)).sum()
    }
}

/// The square of a distance.
fn apart(a: (u32, u32), b: (u32, u32)) -> u64 {
    let (dx, dy) = (u64::from(a.0.abs_diff(b.0)), u64::from(a.1.abs_diff(b.1)));
    dx * dx + dy * dy
}

fn speed(speeds: &[(u32, u32)], chance: &mut Chance) -> u32 {
    let mut drawn = chance.below(speeds.iter().map(|(_, share)| u64::from(*share)).sum()) as u32;
    for (speed, share) in speeds {
        if drawn < *share {
            return *speed;
        }
        drawn -= share;
    }
    1000
}

/// The jurisdiction of each site: columns from west to east, and in each of them blocks from south to north.
fn lands(sites: &[(u32, u32)], count: usize) -> Vec<u16> {
    let columns = (count as u64).isqrt().max(1) as usize;
    let mut order: Vec<usize> = (0..sites.len()).collect();
    order.sort_by_key(|site| (sites[*site], *site));
    let mut lands = vec![0; sites.len()];
    for column in 0..columns {
        let part = |of: usize, index: usize| of * index / columns;
        let (first, end) = (part(count, column), part(count, column + 1));
        let strip = &mut order[part(sites.len(), column)..part(sites.len(), column + 1)];
        strip.sort_by_key(|site| (sites[*site].1, *site));
        let long = strip.len().max(1);
        for (index, site) in strip.iter().enumerate() {
            lands[*site] = (first + (end - first) * index / long) as u16;
        }
    }
    lands
}

/// The requests of one load.
#[derive(Debug)]
struct Stream {
    load: usize,
    chance: Chance,
    /// The mean gap over all nodes, in fine units.
    gap: u64,
    /// Now, in fine units.
    clock: u64,
    to: u64,
    pulse: Option<Pulse>,
    work: u64,
    service: Service,
    priority: Priority,
    deadline: u64,
    next: Option<Arrival>,
}

/// All requests of a run in the order of time.
#[derive(Debug)]
pub(crate) struct Arrivals {
    streams: Vec<Stream>,
    /// The sum of the demand of each node and of those before it.
    demand: Arc<[u64]>,
}

/// The whole trace of arrivals of a scenario that was laid out, from the seed. Scenarios without a topology have none.
pub(crate) fn arrivals(scenario: &Scenario, seed: u64) -> Arrivals {
    let Some(mesh) = &scenario.mesh else { return Arrivals { streams: Vec::new(), demand: Arc::new([]) } };
    let mut sum = 0;
    let demand: Arc<[u64]> = mesh
        .spots
        .iter()
        .map(|spot| {
            sum += u64::from(spot.demand);
            sum
        })
        .collect();
    let stream = |(load, plan): (usize, &crate::scenario::LoadPlan)| {
        let When::Share { permille, work, service, pulse, from, to } = plan.arrivals else { return None };
        let gap = ((u128::from(work) * 1_000_000) << FINE) / u128::from((mesh.capacity() * permille).max(1));
        let stream = Stream {
            load,
            chance: Chance::new(seed, 0xa000 + load as u64),
            gap: gap as u64,
            clock: from << FINE,
            to,
            pulse,
            work,
            service,
            priority: plan.priority,
            deadline: plan.deadline,
            next: None,
        };
        Some(stream)
    };
    let mut streams: Vec<Stream> = scenario.loads.iter().enumerate().filter_map(stream).collect();
    streams.iter_mut().for_each(|stream| stream.advance(&demand));
    Arrivals { streams, demand }
}

impl Stream {
    fn advance(&mut self, demand: &[u64]) {
        let mut wait = quantile::exponential(&mut self.chance, self.gap);
        // In a pulse time goes by faster, as far as arrivals are concerned.
        loop {
            let (times, until) = self.pace();
            let span = until.saturating_sub(self.clock);
            if wait / times < span {
                self.clock += wait / times;
                break;
            }
            wait -= span * times;
            self.clock = until;
        }
        let at = self.clock >> FINE;
        let drawn = self.chance.below(demand.last().copied().unwrap_or(0));
        let work = match self.service {
            Service::Fixed => self.work,
            Service::Lognormal => quantile::lognormal_cv_1(&mut self.chance, self.work).max(1),
        };
        let node = demand.partition_point(|sum| *sum <= drawn) as u32;
        let arrival = Arrival { at, node, work, priority: self.priority, deadline: self.deadline };
        self.next = (at < self.to).then_some(arrival);
    }

    /// How many times as many come now, and until when, in fine units.
    fn pace(&self) -> (u64, u64) {
        let Some(Pulse { from, to, times }) = self.pulse else { return (1, u64::MAX) };
        let (from, to) = (from << FINE, to << FINE);
        match self.clock {
            clock if clock < from => (1, from),
            clock if clock < to => (times, to),
            _ => (1, u64::MAX),
        }
    }
}

impl Arrivals {
    /// The next request, with the load that it belongs to.
    pub(crate) fn next_of(&mut self) -> Option<(usize, Arrival)> {
        let waiting = self.streams.iter_mut().filter(|stream| stream.next.is_some());
        let stream = waiting.min_by_key(|stream| stream.next.map(|arrival| (arrival.at, stream.load)))?;
        let arrival = stream.next.take()?;
        stream.advance(&self.demand);
        Some((stream.load, arrival))
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.next_of().map(|(_, arrival)| arrival)
    }
}
