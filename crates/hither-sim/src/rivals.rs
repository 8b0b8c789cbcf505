//! What others do with the same arrivals on the same mesh: each policy in one model with its delays, its queue at each
//! node, and what its nodes know of each other. A node serves first come, first served, and never gives a request back.
//!
//! Where a published policy leaves something open, it is settled in the rival's favour: gossip reaches everybody at
//! once, loads are weighed by the speed of a node, and a node's own queue is among its candidates.

use crate::bound::Bound;
use crate::latency::{Outcome, Window};
use crate::mesh::{Arrival, Mesh, Spot};

mod choice;
mod model;
#[cfg(test)]
pub(crate) mod overload;
mod prequal;

#[cfg(test)]
mod tests;

/// Candidates of each node: itself and its nearest neighbours (routing.md, section 2, finding 3).
pub(crate) const CANDIDATES: usize = 64;

/// How a node chooses the place of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Here, always.
    Local,
    /// Any candidate.
    Random,
    /// One candidate after the other.
    RoundRobin,
    /// The candidate that is least loaded by what it announced last.
    LeastByGossip,
    /// The better of two candidates by what they announced last (Mitzenmacher, 2001).
    TwoByGossip,
    /// Asynchronous, reusable probes of requests in flight and latency (Wydrowski et al., NSDI 2024).
    Prequal,
    /// One queue in a data centre with the capacity of all nodes, so many microseconds away, there and back.
    Central { round_trip: u64 },
}

impl Policy {
    /// The name in a table or a chart.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Local => "local only".to_owned(),
            Self::Random => "random".to_owned(),
            Self::RoundRobin => "round robin".to_owned(),
            Self::LeastByGossip => "least loaded by gossip".to_owned(),
            Self::TwoByGossip => "better of two by gossip".to_owned(),
            Self::Prequal => "Prequal-style probes".to_owned(),
            Self::Central { round_trip } => format!("data centre, {} ms away", round_trip / 1000),
        }
    }

    fn gossips(self) -> bool {
        matches!(self, Self::LeastByGossip | Self::TwoByGossip)
    }
}

/// What a run of a rival is given beside its arrivals. Times are in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// A node announces its state after a period and up to `spread` more. With a period of 0, everybody sees all
    /// queues as they are.
    pub period: u64,
    pub spread: u64,
    pub window: Window,
    pub seed: u64,
}

impl Setting {
    /// Gossip each second with a spread of 0.3 s, the whole run.
    pub(crate) fn new(seed: u64) -> Self {
        Self { period: 1_000_000, spread: 300_000, window: Window::ALL, seed }
    }
}

/// Whom each node can send to, and how far away they are. Made once for a mesh, for all policies.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    spots: &'a [Spot],
    reach: Reach,
}

#[derive(Debug)]
enum Reach {
    /// A list for each node: who, and how many microseconds away.
    Near(Vec<Vec<(u32, u32)>>),
    /// Everybody, without delay.
    Instant,
}

impl<'a> Field<'a> {
    /// Each node with itself and its nearest neighbours, so many together, and the delays of the mesh.
    pub(crate) fn of(mesh: &'a Mesh, candidates: usize) -> Self {
        let nearest = |of| mesh.nearest(of, candidates.saturating_sub(1));
        Self::with(&mesh.spots, nearest, |of, other| mesh.one_way(of, other))
    }

    /// Each node with itself and those that are named as its nearest, and what a way takes.
    pub(crate) fn with(
        spots: &'a [Spot],
        nearest: impl Fn(usize) -> Vec<u32>,
        one_way: impl Fn(usize, usize) -> u64,
    ) -> Self {
        let near = |of: usize| {
            let far = |other: u32| (other, u32::try_from(one_way(of, other as usize)).unwrap_or(u32::MAX));
            let others = nearest(of).into_iter().filter(|other| *other as usize != of);
            std::iter::once((of as u32, 0)).chain(others.map(far)).collect()
        };
        Self { spots, reach: Reach::Near((0..spots.len()).map(near).collect()) }
    }

    /// Every node with all others and no delay: where theory lives.
    #[cfg_attr(not(test), expect(dead_code, reason = "theory is compared with in tests"))]
    pub(crate) fn instant(spots: &'a [Spot]) -> Self {
        Self { spots, reach: Reach::Instant }
    }

    fn candidates(&self, of: u32) -> u64 {
        match &self.reach {
            Reach::Near(lists) => lists[of as usize].len() as u64,
            Reach::Instant => self.spots.len() as u64,
        }
    }

    fn candidate(&self, of: u32, index: u64) -> Place {
        match &self.reach {
            Reach::Near(lists) => {
                let (node, delay) = lists[of as usize][index as usize];
                Place { node, delay: u64::from(delay) }
            }
            Reach::Instant => Place { node: index as u32, delay: 0 },
        }
    }
}

/// A place for a request, and how far away it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    node: u32,
    delay: u64,
}

/// Serves arrivals that come in order of time as a policy would, to the last of them.
pub(crate) fn run(
    policy: Policy,
    field: &Field,
    setting: &Setting,
    arrivals: impl Iterator<Item = Arrival>,
) -> Outcome {
    match policy {
        Policy::Central { round_trip } => {
            let outcome = Bound::new(field.spots, setting.window).away(round_trip).run(arrivals);
            Outcome { messages: outcome.offered, ..outcome }
        }
        _ => model::Model::new(policy, field, setting).run(arrivals),
    }
}
