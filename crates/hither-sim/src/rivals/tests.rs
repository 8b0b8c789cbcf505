//! The rivals against what is known of them.

use super::overload::{Course, Manner};
use super::{CANDIDATES, Field, Policy, Setting, overload, run};
use crate::bound::Bound;
use crate::draws::{arrivals, assert_near, even, exponential, field, gap_nanos, one_way, poisson, square};
use crate::latency::{Outcome, Window};
use crate::mesh::{Arrival, Spot};

const MEAN: u64 = 500_000;

fn fresh(seed: u64, warm: u64) -> Setting {
    Setting { period: 0, spread: 0, window: Window { from: warm, to: u64::MAX }, seed }
}

/// The mean time in units of the mean work, where everybody sees everything at once.
fn mean(policy: Policy, nodes: u32, slots: u16, load: u64, requests_per_slot: u32) -> f64 {
    let spots = even(nodes, slots);
    let places = u64::from(nodes) * u64::from(slots);
    let gap = gap_nanos(MEAN, places, load);
    let count = places as usize * requests_per_slot as usize;
    let warm = gap / 1000 * count as u64 / 5;
    let arrivals = poisson(3, nodes, gap, count, |chance| exponential(chance, MEAN));
    let outcome = run(policy, &Field::instant(&spots), &fresh(1, warm), arrivals);
    assert_eq!(outcome.offered, outcome.latencies.count());
    outcome.latencies.mean() as f64 / MEAN as f64
}

/// Mitzenmacher: the mean time with the better of two is the sum of ρ^(2^i − 2).
fn two_choices(load: f64) -> f64 {
    let (mut sum, mut power) = (0.0, 1.0);
    while power > 1e-12 {
        sum += power;
        // From ρ^(2^i − 2) to ρ^(2^(i+1) − 2).
        power = power * power * load * load;
    }
    sum
}

#[test]
fn the_better_of_two_fresh_queues_is_as_good_as_mitzenmacher_says() {
    assert_near(two_choices(0.9), 2.614, 1.0, "the formula at .9");
    assert_near(mean(Policy::TwoByGossip, 1000, 1, 900, 1500), two_choices(0.9), 30.0, "two of 1000 at .9");
    assert_near(mean(Policy::TwoByGossip, 1000, 1, 700, 800), two_choices(0.7), 30.0, "two of 1000 at .7");
}

#[test]
fn a_queue_taken_by_chance_is_that_of_one_server() {
    assert_near(mean(Policy::Random, 1000, 1, 900, 3000), 10.0, 40.0, "random at .9");
    assert_near(mean(Policy::Local, 1000, 1, 800, 1500), 5.0, 40.0, "local at .8");
}

#[test]
fn the_least_loaded_by_fresh_information_is_nearly_the_bound() {
    let least = mean(Policy::LeastByGossip, 50, 1, 900, 4000);
    let two = mean(Policy::TwoByGossip, 50, 1, 900, 4000);
    assert!(least < two && least < 1.5, "least {least:.2}, two {two:.2}");
}

fn seconds(outcome: &Outcome) -> f64 {
    outcome.latencies.permille(990) as f64 / 1e6
}

#[test]
fn the_least_loaded_by_old_gossip_is_where_the_herd_goes() {
    let spots = square(300, false);
    let arrivals = arrivals(&spots, 5, 850, 300_000);
    let field = field(&spots, CANDIDATES);
    let of = |policy, setting: Setting| seconds(&run(policy, &field, &setting, arrivals.iter().copied()));
    let [least, two] = [Policy::LeastByGossip, Policy::TwoByGossip].map(|policy| of(policy, Setting::new(7)));
    assert!(least > 3.0 * two, "least {least}, two {two}");
    let seeing = of(Policy::LeastByGossip, Setting { period: 0, ..Setting::new(7) });
    assert!(least > 5.0 * seeing, "old {least}, fresh {seeing}");
}

#[test]
fn the_herd_is_worse_than_chance() {
    let spots = square(300, true);
    let arrivals = arrivals(&spots, 5, 800, 200_000);
    // With the nearest only, those in the middle are neighbours of so many that chance alone drowns them.
    let field = Field::instant(&spots);
    let of = |policy, period| {
        run(policy, &field, &Setting { period, ..Setting::new(7) }, arrivals.iter().copied()).latencies.mean()
    };
    let random = of(Policy::Random, 1_000_000);
    let least = [1_000_000, 2_000_000, 5_000_000].map(|period| of(Policy::LeastByGossip, period));
    assert!(least[0] > random && least[2] > 3 * random && least.is_sorted(), "least {least:?}, random {random}");
}

#[test]
fn the_older_the_gossip_the_worse_the_choice_and_probes_do_not_care() {
    let spots = square(200, false);
    let arrivals = arrivals(&spots, 6, 850, 150_000);
    let field = field(&spots, CANDIDATES);
    let of = |policy, period| {
        seconds(&run(policy, &field, &Setting { period, ..Setting::new(7) }, arrivals.iter().copied()))
    };
    let two = [100_000, 1_000_000, 10_000_000].map(|period| of(Policy::TwoByGossip, period));
    assert!(two.is_sorted(), "{two:?}");
    let probes = [100_000, 10_000_000].map(|period| of(Policy::Prequal, period));
    assert_eq!(probes[0], probes[1]);
    assert!(probes[1] < two[1], "probes {probes:?}, gossip {two:?}");
}

#[test]
fn no_policy_beats_the_bound_where_all_speeds_are_equal() {
    for seed in 1..=4 {
        let spots = square(100, true);
        let load = 250 + 170 * seed;
        let arrivals = arrivals(&spots, seed, load, 30_000);
        let bound = Bound::new(&spots, Window::ALL).run(arrivals.iter().copied());
        let near = field(&spots, CANDIDATES);
        let instant = Field::instant(&spots);
        for policy in ALL {
            for (field, period) in [(&near, 1_000_000), (&near, 0), (&instant, 0), (&instant, 1_000_000)] {
                let setting = Setting { period, ..Setting::new(seed) };
                let outcome = run(policy, field, &setting, arrivals.iter().copied());
                assert_eq!(outcome.latencies.count(), bound.latencies.count(), "{policy:?} answers all");
                let [rival, bound] = [&outcome, &bound].map(|each| each.latencies.mean());
                assert!(rival >= bound, "{policy:?} at {load}, seed {seed}: {rival} under {bound}");
            }
        }
    }
}

const ALL: [Policy; 7] = [
    Policy::Local,
    Policy::Random,
    Policy::RoundRobin,
    Policy::LeastByGossip,
    Policy::TwoByGossip,
    Policy::Prequal,
    Policy::Central { round_trip: 60_000 },
];

#[test]
fn the_same_seed_gives_the_same_run_and_another_does_not() {
    let spots = square(50, false);
    let arrivals = arrivals(&spots, 1, 800, 5000);
    let field = field(&spots, 16);
    let with = |policy, seed| run(policy, &field, &Setting::new(seed), arrivals.iter().copied());
    for policy in ALL {
        assert_eq!(with(policy, 1), with(policy, 1), "{policy:?}");
        let is_drawn = !matches!(policy, Policy::Local | Policy::Central { .. });
        assert_eq!(with(policy, 1) != with(policy, 2), is_drawn, "{policy:?}");
    }
}

#[test]
fn messages_are_those_that_leave_a_node() {
    let spots = square(100, false);
    let arrivals = arrivals(&spots, 1, 700, 20_000);
    let field = field(&spots, CANDIDATES);
    let of = |policy| run(policy, &field, &Setting::new(1), arrivals.iter().copied());
    let per_request = |policy| of(policy).figures().messages_per_request;
    assert_eq!(of(Policy::Local).messages, 0);
    assert_eq!(per_request(Policy::Central { round_trip: 60_000 }), 1.0);
    assert_near(per_request(Policy::Random), 63.0 / 64.0, 5.0, "random");
    // Three probes of two messages each, to another 63 times of 64, and the request.
    let probing = per_request(Policy::Prequal);
    assert!((6.7..6.95).contains(&probing), "{probing}");
    assert!(of(Policy::TwoByGossip).announcements > 0 && of(Policy::Prequal).announcements == 0);
}

#[test]
fn one_far_node_costs_its_way_there_and_back() {
    let spots = vec![Spot { x: 0, ..even(1, 1)[0] }, Spot { x: 9_500, site: 1, ..even(1, 1)[0] }];
    let way = one_way(&spots, 0, 1);
    let field = field(&spots, 2);
    let arrival = Arrival { at: 5, node: 0, work: 1000, ..arrivals(&spots, 1, 500, 1)[0] };
    let took = |seed| run(Policy::Random, &field, &Setting::new(seed), std::iter::once(arrival)).latencies.mean();
    let seen: std::collections::BTreeSet<u64> = (0..20).map(took).collect();
    assert_eq!(seen, [1000, 1000 + 2 * way].into());
}

/// 100 slots at a load of .9, from 20 s for 30 s at `pulse` times what they can do, then .9 to 260 s.
fn course(manner: Manner, pulse_permille: u64) -> Course {
    let stretch = |from: u64, to: u64, load| {
        let requests = poisson(from + 1, 1, gap_nanos(MEAN, 100, load), usize::MAX, |chance| exponential(chance, MEAN));
        let moved = requests.map(move |arrival| Arrival { at: arrival.at + from * 1_000_000, ..arrival });
        moved.take_while(move |arrival| arrival.at < to * 1_000_000)
    };
    let all = stretch(0, 20, 900).chain(stretch(20, 50, pulse_permille)).chain(stretch(50, 260, 900));
    overload::run(manner, 100, Window { from: 20_000_000, to: 50_000_000 }, all)
}

#[test]
fn retries_hold_a_pool_down_after_the_pulse() {
    for pulse in [2000, 10_000] {
        let retries = course(Manner::Retries(2), pulse);
        assert!(retries.goodput < 0.2 && retries.recovery.is_none(), "{pulse}: {retries:?}");
        let budget = course(Manner::Budget { retries: 2, permille: 100 }, pulse);
        assert!(budget.goodput < 0.2 && budget.recovery.is_none(), "{pulse}: {budget:?}");
        assert!(budget.amplification < 1.1 + 0.01, "{}", budget.amplification);
        let once = course(Manner::Once, pulse);
        assert!(once.goodput < 0.2 && once.recovery.is_none(), "{pulse}: {once:?}");
    }
    let little = course(Manner::Once, 1400);
    assert!(little.recovery.is_some_and(|seconds| seconds > 60), "{:?}", little.recovery);
}

#[test]
fn admission_by_the_mean_wastes_what_it_admits_and_a_cap_does_not() {
    for pulse in [2000, 10_000] {
        let fits = course(Manner::Fits { service: MEAN }, pulse);
        assert!((0.4..0.9).contains(&fits.goodput), "{pulse}: {}", fits.goodput);
        assert!(fits.recovery.is_some_and(|seconds| (5..30).contains(&seconds)), "{pulse}: {:?}", fits.recovery);
        let capped = course(Manner::Capped { permille: 200 }, pulse);
        assert!(capped.goodput > 0.95, "{pulse}: {}", capped.goodput);
        assert!(capped.recovery.is_some_and(|seconds| seconds <= 3), "{pulse}: {:?}", capped.recovery);
    }
}
