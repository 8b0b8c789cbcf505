//! The queue in the middle against what is proved about it.

use hither_types::request::Priority;

use super::{Bound, Change, Fate};
use crate::chance::Chance;
use crate::draws::{assert_near, even, exponential, gap_nanos, poisson};
use crate::latency::{Outcome, Window};
use crate::mesh::{Arrival, Spot};

const MEAN: u64 = 500_000;

/// The mean wait of M/M/c in units of the mean work: Erlang's C over c − a, from Erlang's B by its recursion.
fn erlang_wait(servers: u32, load: f64) -> f64 {
    let c = f64::from(servers);
    let offered = c * load;
    let blocked = (1..=servers).fold(1.0, |blocked, n| offered * blocked / (f64::from(n) + offered * blocked));
    let waits = blocked / (1.0 - load * (1.0 - blocked));
    waits / (c - offered)
}

fn waits(nodes: u32, slots: u16, load_permille: u64, count: usize, work: impl FnMut(&mut Chance) -> u64) -> f64 {
    let gap = gap_nanos(MEAN, u64::from(nodes) * u64::from(slots), load_permille);
    let spots = even(nodes, slots);
    let warm = gap / 1000 * count as u64 / 20;
    let bound = Bound::new(&spots, Window { from: warm, to: u64::MAX });
    let outcome = bound.run(poisson(11, nodes, gap, count, work));
    outcome.latencies.mean() as f64 / MEAN as f64 - 1.0
}

#[test]
fn the_wait_is_that_of_erlang_c() {
    for (nodes, slots, load, count) in [
        (1, 1, 500, 400_000),
        (1, 1, 800, 2_000_000),
        (2, 2, 700, 1_000_000),
        (5, 4, 900, 4_000_000),
        (25, 4, 920, 4_000_000),
    ] {
        let servers = nodes * u32::from(slots);
        let expected = erlang_wait(servers, load as f64 / 1000.0);
        let found = waits(nodes, slots, load, count, |chance| exponential(chance, MEAN));
        assert_near(found, expected, 30.0, &format!("M/M/{servers} at {load}"));
    }
}

#[test]
fn erlang_c_knows_the_single_server() {
    assert_near(erlang_wait(1, 0.9), 9.0, 0.001, "M/M/1");
    assert_near(erlang_wait(2, 0.5), 1.0 / 3.0, 0.001, "M/M/2");
}

#[test]
fn one_server_waits_as_pollaczek_and_khinchine_say() {
    // ρ (1 + C²) / 2 (1 − ρ), in units of the mean work.
    let wait = |load: f64, square_of_variation: f64| load * (1.0 + square_of_variation) / 2.0 / (1.0 - load);
    let fixed = waits(1, 1, 800, 400_000, |_| MEAN);
    assert_near(fixed, wait(0.8, 0.0), 30.0, "M/D/1");
    // A tenth of 9.1 means, the rest of a tenth of the mean: C² = 0.1 · 9.1² + 0.9 · 0.1² − 1 = 7.29.
    let mixed = waits(1, 1, 700, 1_500_000, |chance| if chance.permille(100) { MEAN * 91 / 10 } else { MEAN / 10 });
    assert_near(mixed, wait(0.7, 7.29), 40.0, "M/G/1 of two kinds");
    let even = waits(1, 1, 700, 600_000, |chance| chance.below(2 * MEAN + 1));
    assert_near(even, wait(0.7, 1.0 / 3.0), 30.0, "M/G/1, uniform");
}

fn at(at: u64, work: u64, priority: Priority) -> Arrival {
    Arrival { at, node: 0, work, priority, deadline: 1_000 }
}

/// Which latencies some arrivals have, as a sorted list.
fn check(spots: &[Spot], changes: &[Change], arrivals: &[Arrival], expected: &[u64]) {
    let mut found = Vec::new();
    for (index, arrival) in arrivals.iter().enumerate() {
        // A window of its own for each: which one took how long.
        let mut apart = arrivals.to_vec();
        apart.iter_mut().for_each(|each| each.deadline = each.at);
        let window = Window { from: arrival.at, to: arrival.at + 1 };
        let outcome = Bound::new(spots, window).changing(changes).run(apart.into_iter());
        assert_eq!(outcome.offered, 1, "arrival {index} shares its instant");
        found.push(outcome.latencies.mean());
    }
    assert_eq!(found, expected);
}

fn spots(kinds: &[(u32, u16)]) -> Vec<Spot> {
    kinds.iter().map(|(speed, slots)| Spot { speed: *speed, ..even(1, *slots)[0] }).collect()
}

#[test]
fn the_fastest_idle_slot_takes_a_request() {
    let two = spots(&[(500, 1), (2000, 1), (1000, 1)]);
    let arrivals = [at(0, 1000, Priority::Normal), at(1, 1000, Priority::Normal), at(2, 1000, Priority::Normal)];
    check(&two, &[], &arrivals, &[500, 1000, 2000]);
}

#[test]
fn the_critical_one_overtakes_those_that_wait() {
    let one = spots(&[(1000, 1)]);
    let arrivals = [
        at(0, 1000, Priority::Normal),
        at(1, 1000, Priority::Low),
        at(2, 1000, Priority::Normal),
        at(3, 1000, Priority::Critical),
    ];
    check(&one, &[], &arrivals, &[1000, 3999, 2998, 1997]);
}

#[test]
fn what_ran_on_a_dead_node_starts_again_before_what_waits() {
    let two = spots(&[(1000, 1), (1000, 1)]);
    let arrivals = [at(0, 1000, Priority::Normal), at(1, 1000, Priority::Normal), at(2, 1000, Priority::Normal)];
    // Node 1 runs the first, node 0 the second.
    let dies = |at, node| Change { at, fate: Fate::Dies, nodes: vec![node] };
    check(&two, &[dies(500, 1)], &arrivals, &[2001, 1000, 2999]);
    let back = Change { at: 600, fate: Fate::Returns, nodes: vec![1] };
    check(&two, &[dies(500, 1), back], &arrivals, &[1600, 1000, 1999]);
    let both = [Change { at: 500, fate: Fate::Dies, nodes: vec![0, 1] }];
    let outcome = Bound::new(&two, Window::ALL).changing(&both).run(arrivals.into_iter());
    assert_eq!((outcome.offered, outcome.latencies.count()), (3, 0));
}

/// A death, a return and a load drawn from a seed, and everything is answered once.
#[test]
fn nothing_is_lost_or_doubled_by_death_and_return() {
    for seed in 1..=200 {
        let mut chance = Chance::new(seed, 5);
        let kinds: Vec<_> = (0..chance.between(2, 9))
            .map(|_| (chance.between(300, 3000) as u32, chance.between(1, 4) as u16))
            .collect();
        let spots = spots(&kinds);
        let mut changes: Vec<Change> = (0..chance.below(8))
            .map(|_| Change {
                at: chance.below(60_000_000),
                fate: if chance.permille(600) { Fate::Dies } else { Fate::Returns },
                // Node 0 lives, so that everything ends.
                nodes: (1..spots.len() as u32).filter(|_| chance.permille(500)).collect(),
            })
            .collect();
        changes.sort_by_key(|change| change.at);
        let count = 3000;
        let arrivals: Vec<_> = poisson(seed, 4, 20_000_000, count, |chance| exponential(chance, MEAN / 4)).collect();
        let run = || Bound::new(&spots, Window::ALL).changing(&changes).run(arrivals.iter().copied());
        let outcome = run();
        assert_eq!((outcome.offered, outcome.latencies.count()), (3000, 3000), "seed {seed}");
        assert_eq!(outcome, run(), "seed {seed}: twice the same");
        let void: Vec<Change> = changes.iter().map(|change| Change { nodes: Vec::new(), ..change.clone() }).collect();
        let whole = Bound::new(&spots, Window::ALL).run(arrivals.iter().copied());
        let idle = Bound::new(&spots, Window::ALL).changing(&void).run(arrivals.iter().copied());
        assert_eq!(whole, idle, "seed {seed}: a change of no node");
    }
}

#[test]
fn a_queue_far_away_adds_its_round_trip_to_each() {
    let spots = even(3, 2);
    let run = |away| {
        let arrivals = poisson(5, 3, 120_000_000, 2000, |chance| exponential(chance, MEAN));
        Bound::new(&spots, Window::ALL).away(away).run(arrivals)
    };
    let (near, far): (Outcome, Outcome) = (run(0), run(60_000));
    assert_eq!(far.latencies.mean(), near.latencies.mean() + 60_000);
    assert!(far.in_time <= near.in_time);
}
