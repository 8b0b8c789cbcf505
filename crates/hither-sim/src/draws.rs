//! Arrivals whose theory is known, for the tests of the bound and the rivals.

use hither_types::request::Priority;

use crate::chance::Chance;
use crate::mesh::{Arrival, Spot};
use crate::rivals::Field;

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

/// Sites of ten nodes in a square of 30 ms, four slots each, speeds ½, 1, 1, 2 or all alike, demand even.
pub(crate) fn square(nodes: u32, is_even: bool) -> Vec<Spot> {
    let mut chance = Chance::new(99, 1);
    let sites: Vec<_> = (0..nodes.div_ceil(10)).map(|_| [(); 2].map(|()| chance.below(30_000) as u32)).collect();
    let place = |(index, spot): (usize, Spot)| {
        let [x, y] = sites[spot.site as usize];
        let speed = if is_even { 1000 } else { [500, 1000, 1000, 2000][index % 4] };
        Spot { x, y, speed, ..spot }
    };
    even(nodes, 4).into_iter().enumerate().map(place).collect()
}

/// Microseconds from one node to another: the longer side between them, and something at each end.
pub(crate) fn one_way(spots: &[Spot], of: usize, other: usize) -> u64 {
    let (a, b) = (&spots[of], &spots[other]);
    let apart = a.x.abs_diff(b.x).max(a.y.abs_diff(b.y));
    if a.site == b.site { 250 } else { 500 + u64::from(apart) }
}

/// Each node with its nearest, so many together.
pub(crate) fn field(spots: &[Spot], candidates: usize) -> Field<'_> {
    let nearest = |of: usize| {
        let mut others: Vec<u32> = (0..spots.len() as u32).filter(|other| *other as usize != of).collect();
        others.sort_by_key(|other| (one_way(spots, of, *other as usize), *other));
        others.truncate(candidates - 1);
        others
    };
    Field::with(spots, nearest, |of, other| one_way(spots, of, other))
}

/// Arrivals at all nodes alike, with exponential work, at a load of all their slots.
pub(crate) fn arrivals(spots: &[Spot], seed: u64, load_permille: u64, count: usize) -> Vec<Arrival> {
    const MEAN: u64 = 500_000;
    let able: u64 = spots.iter().map(|spot| u64::from(spot.slots) * u64::from(spot.speed)).sum();
    let gap = gap_nanos(MEAN, able / 1000, load_permille);
    poisson(seed, spots.len() as u32, gap, count, |chance| exponential(chance, MEAN)).collect()
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
