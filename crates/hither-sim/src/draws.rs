//! Arrivals whose theory is known, for the tests of the bound and the rivals.

use hither_types::request::Priority;

use crate::chance::Chance;
use crate::mesh::{Arrival, Spot};

/// An exponential time with this mean, exact, by comparisons only (von Neumann, 1951).
pub(crate) fn exponential(chance: &mut Chance, mean: u64) -> u64 {
    let mut whole = 0;
    loop {
        let first = chance.next();
        let mut last = first;
        let mut falls = 0;
        loop {
            let next = chance.next();
            if next >= last {
                break;
            }
            last = next;
            falls += 1;
        }
        if falls % 2 == 0 {
            return whole * mean + ((u128::from(first) * u128::from(mean)) >> 64) as u64;
        }
        whole += 1;
    }
}

/// Equal nodes.
pub(crate) fn even(nodes: u32, slots: u16) -> Vec<Spot> {
    (0..nodes)
        .map(|node| Spot { site: node / 10, x: 0, y: 0, speed: 1000, slots, demand: 1000, jurisdiction: 0 })
        .collect()
}

/// Poisson arrivals at `nodes` nodes, with a mean gap in nanoseconds and any work.
pub(crate) fn poisson(
    seed: u64,
    nodes: u32,
    gap_nanos: u64,
    count: usize,
    mut work: impl FnMut(&mut Chance) -> u64,
) -> impl Iterator<Item = Arrival> {
    let mut chance = Chance::new(seed, 0xa77);
    let mut nanos = 0;
    std::iter::repeat_with(move || {
        nanos += exponential(&mut chance, gap_nanos);
        let node = chance.below(u64::from(nodes)) as u32;
        let work = work(&mut chance);
        Arrival { at: nanos / 1000, node, work, priority: Priority::Normal, deadline: 3_000_000 }
    })
    .take(count)
}

/// The mean gap in nanoseconds at which so many slots have this load, for work of a mean in microseconds.
pub(crate) fn gap_nanos(work: u64, slots: u64, load_permille: u64) -> u64 {
    work * 1_000_000 / slots / load_permille
}

/// Whether a number is within so many per mille of another.
#[track_caller]
pub(crate) fn assert_near(found: f64, expected: f64, permille: f64, what: &str) {
    let off = (found / expected - 1.0) * 1000.0;
    assert!(off.abs() <= permille, "{what}: {found:.4} for {expected:.4}, off by {off:.1} permille");
}
