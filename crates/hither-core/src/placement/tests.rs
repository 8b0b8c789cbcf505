//! What one node decides, and what holds among many whose news of each other are old.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{Digest, NodeId};
use hither_types::message::Room;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros};

use super::{Candidate, Demand, Glance, Planner, Sight, Step, Why, order};
use crate::limits;
use crate::random::Random;

const SECOND: u64 = 1_000_000;
const GB: u64 = 1_000_000_000;

fn node(number: u64) -> NodeId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&Random::new(number).next().to_be_bytes());
    bytes[31] = number as u8;
    NodeId(bytes)
}

fn model(number: u64) -> Digest {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&Random::new(number ^ 0xd1).next().to_be_bytes());
    bytes[31] = number as u8;
    Digest(bytes)
}

/// A room of 10 GB, of which so many eighths are free, in a node of a usual speed that has so much power left.
fn room(free: u8, power: u8) -> Room {
    Room { memory: ByteCount(10 * GB), free: Eighths::new(free), power: Eighths::new(power), speed: 4 }
}

/// A model of 1 GB that is asked for so many times in 10 s, takes 1 s, has a slot per copy, and comes in 10 s.
fn glance(number: u64, demand: u64, copies: u32) -> Glance {
    Glance {
        model: model(number),
        bytes: ByteCount(GB),
        demand: MicroHertz(demand * 100_000),
        service: Micros(SECOND),
        copies,
        coming: 0,
        open: copies,
        slots: copies,
        wait: Micros(0),
        load: Micros(10 * SECOND),
    }
}

#[derive(Default)]
struct Around {
    glances: Vec<Glance>,
    holders: BTreeMap<Digest, Vec<NodeId>>,
    candidates: Vec<Candidate>,
    busy: BTreeSet<Digest>,
}

impl Sight for Around {
    fn glances(&self) -> &[Glance] {
        &self.glances
    }

    fn holders(&self, model: Digest) -> &[NodeId] {
        self.holders.get(&model).map_or(&[], Vec::as_slice)
    }

    fn candidates(&self, model: Digest) -> Vec<Candidate> {
        let holders = self.holders(model);
        self.candidates.iter().filter(|candidate| !holders.contains(&candidate.node)).copied().collect()
    }

    fn is_busy(&self, model: Digest) -> bool {
        self.busy.contains(&model)
    }
}

impl Around {
    fn of(mut glances: Vec<Glance>) -> Self {
        glances.sort_unstable_by_key(|glance| glance.model);
        Self { glances, ..Self::default() }
    }

    fn held(mut self, number: u64, by: &[u64]) -> Self {
        self.holders.insert(model(number), by.iter().map(|holder| node(*holder)).collect());
        self
    }
}

/// A node with 10 GB, all free, that has told so.
fn planner(number: u64) -> Planner {
    let mut planner = Planner::new(node(number), Some(ByteCount(10 * GB)));
    planner.room(Eighths::ALL, 4);
    planner
}

/// Of nodes with these numbers, those that fetch, and why.
fn who_fetches(nodes: std::ops::Range<u64>, glance: Glance, holders: &[u64]) -> Vec<(u64, Why)> {
    let fetches = |number: u64| {
        let others: Vec<Candidate> = nodes
            .clone()
            .filter(|other| *other != number)
            .map(|other| Candidate { node: node(other), room: room(8, 8) })
            .collect();
        let around = Around { candidates: others, ..Around::of(vec![glance]) };
        let holders: BTreeMap<Digest, Vec<NodeId>> =
            [(glance.model, holders.iter().map(|holder| node(*holder)).collect())].into();
        let steps = planner(number).decide(&Around { holders, ..around }, Timestamp(0));
        match steps.as_slice() {
            [] => None,
            [Step::Fetch { why, .. }] => Some((number, *why)),
            other => panic!("{other:?}"),
        }
    };
    nodes.clone().filter(|number| !holders.contains(number)).filter_map(fetches).collect()
}

#[test]
fn a_request_is_a_thirtieth_of_a_request_a_second_and_forgotten_in_two_minutes() {
    let mut demand = Demand::default();
    demand.ask(model(1));
    demand.pass(Timestamp(5 * SECOND));
    assert_eq!(demand.rate(model(1)), MicroHertz(30_700));
    demand.pass(Timestamp(35 * SECOND));
    let third = demand.rate(model(1)).0;
    assert!((11_000..11_600).contains(&third), "e⁻¹ of it after 30 s, not {third}");
    demand.pass(Timestamp(120 * SECOND));
    assert_eq!(demand.told(), []);
}

#[test]
fn demand_that_goes_on_is_its_own_mean_however_seldom_one_looks() {
    for every in [5, 7, 60] {
        let mut demand = Demand::default();
        for second in 1..=600 {
            (0..3).for_each(|_| demand.ask(model(1)));
            if second % every == 0 {
                demand.pass(Timestamp(second * SECOND));
            }
        }
        let rate = demand.rate(model(1)).0;
        // Where one does not look once in a period, what was asked falls into one or into the next.
        let most = if every % 5 == 0 { 1_000 } else { 300_000 };
        assert!(rate.abs_diff(3_000_000) <= most, "{rate} when looking every {every} s");
    }
}

#[test]
fn what_is_told_is_rounded_and_seldom_changes() {
    let mut demand = Demand::default();
    let mut told = BTreeSet::new();
    let mut random = Random::new(1);
    for period in 1..=200 {
        (0..995 + random.below(10)).for_each(|_| demand.ask(model(1)));
        demand.pass(Timestamp(period * 5 * SECOND));
        let (rate, said) = (demand.rate(model(1)).0, demand.told()[0].1.0);
        assert!(rate.abs_diff(said) * 16 <= rate, "{said} for {rate}");
        told.extend((period > 100).then_some(said));
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn the_most_wanted_models_are_told() {
    let mut demand = Demand::default();
    for number in 0..40 {
        (0..=number).for_each(|_| demand.ask(model(number)));
    }
    demand.pass(Timestamp(5 * SECOND));
    let told: BTreeSet<Digest> = demand.told().into_iter().map(|(model, _)| model).collect();
    assert_eq!(told, (8..40).map(model).collect());
}

#[test]
fn the_logarithm_is_the_same_everywhere_and_right() {
    assert_eq!(order::minus_log2(1 << 63), 1 << 24);
    assert_eq!(order::minus_log2(1 << 32), 32 << 24);
    assert_eq!(order::minus_log2(0), 64 << 24);
    assert_eq!(order::minus_log2(u64::MAX), 1);
    let mut random = Random::new(1);
    for _ in 0..10_000 {
        let number = random.next() >> random.below(40);
        let exact = (64.0 - ((number | 1) as f64).log2()) * f64::from(1 << 24);
        let found = order::minus_log2(number);
        assert!((found as f64 - exact).abs() <= 2.0, "{number}: {found}, not {exact}");
    }
}

#[test]
fn nodes_come_first_as_often_as_they_weigh() {
    let weights = [1_u32, 2, 4, 8, 0];
    let mut first = [0_u64; 5];
    const MODELS: u64 = 30_000;
    for number in 0..MODELS {
        let places = weights.iter().zip(0..).filter_map(|(weight, at)| order::place(model(number), node(at), *weight));
        let winner = places.min().map(|(_, node)| node.0[31]);
        first[usize::from(winner.expect("somebody weighs something"))] += 1;
    }
    for (weight, count) in weights.iter().zip(first) {
        let fair = u64::from(*weight) * MODELS / 15;
        assert!(count.abs_diff(fair) * 100 <= fair * 5, "{weight} of 15 came first {count} times, not {fair}");
    }
}

#[test]
fn a_node_that_weighs_more_takes_models_from_others_and_moves_none_between_them() {
    let best = |number: u64, mine: u32| {
        let weigh = |at| if at == 3 { mine } else { 4 };
        (0..8).filter_map(|at| order::place(model(number), node(at), weigh(at))).min().map(|(_, node)| node)
    };
    let mut taken = 0;
    for number in 0..5_000 {
        let (before, after) = (best(number, 4), best(number, 8));
        assert!(before == after || after == Some(node(3)), "model {number}");
        taken += u64::from(before != after);
    }
    assert!((400..700).contains(&taken), "a ninth more of 5000: {taken}");
}

#[test]
fn copies_grow_with_the_load() {
    let wants = |demand, slots: u32, copies: u32| {
        let glance = Glance { slots, ..glance(1, demand, copies) };
        (glance.by_load(), glance.wanted())
    };
    assert_eq!(wants(0, 4, 1), (0, 0), "nobody asks");
    assert_eq!(wants(1, 4, 1), (1, 2), "a second one, for the case that one is lost");
    assert_eq!(wants(280, 4, 1), (10, 10), "28 ÷ (0.7 · 4)");
    assert_eq!(wants(281, 4, 1), (11, 11));
    assert_eq!(wants(280, 14, 4), (12, 12), "slots of a copy are what those have that are open");
    assert_eq!(wants(280, 0, 4), (40, 40), "where no watt is left, a copy still counts as a slot");
    let unknown = Glance { service: Micros(0), open: 0, slots: 0, ..glance(1, 35, 0) };
    assert_eq!(unknown.by_load(), 1, "3.5 a second of 0.2 s each, on a slot");
}

#[test]
fn those_that_are_first_fetch_and_no_others() {
    assert_eq!(who_fetches(0..20, glance(1, 0, 0), &[]), [], "nobody asks for it");
    let first = who_fetches(0..20, glance(1, 1, 0), &[]);
    assert_eq!(first.len(), 2);
    assert!(first.iter().all(|(_, why)| *why == Why::First));
    let many = who_fetches(0..20, glance(1, 56, 2), &[3, 4]);
    assert_eq!(many.len(), 6, "eight are wanted and two are there: {many:?}");
    assert!(many.iter().all(|(_, why)| *why == Why::Load));
    let more = who_fetches(0..20, glance(1, 70, 2), &[3, 4]);
    assert!(many.iter().all(|one| more.contains(one)), "who fetches for less fetches for more");
    assert_eq!(who_fetches(0..20, glance(1, 1, 1), &[7]).first().map(|(_, why)| *why), Some(Why::Spare));
    assert_eq!(who_fetches(0..20, glance(1, 1, 2), &[7, 8]), []);
    let coming = Glance { coming: 6, ..glance(1, 56, 2) };
    assert_eq!(who_fetches(0..20, coming, &[3, 4]), [], "what is on its way counts");
}

#[test]
fn whoever_has_no_room_is_passed_over() {
    let wanted = glance(1, 1, 1);
    let all = |mine: Room, others: Room| {
        let mut counts = [0; 2];
        for number in 0..300 {
            let mut planner = planner(0);
            planner.told = mine;
            let glance = Glance { model: model(number), ..wanted };
            let candidates = vec![Candidate { node: node(1), room: others }];
            let around = Around { candidates, ..Around::of(vec![glance]) }.held(number, &[2]);
            let steps = planner.decide(&around, Timestamp(0));
            counts[usize::from(matches!(steps.as_slice(), [Step::Fetch { .. }]))] += 1;
        }
        counts[1]
    };
    assert_eq!(all(room(0, 8), room(8, 8)), 0, "no memory here");
    assert_eq!(all(room(8, 8), room(0, 8)), 300, "no memory there");
    assert_eq!(all(room(8, 0), room(0, 8)), 300, "no watt left here, and nobody else who could");
    let evenly = all(room(8, 8), room(8, 8));
    assert!((120..180).contains(&evenly), "{evenly}");
    let seldom = all(room(8, 1), room(8, 8));
    assert!((15..60).contains(&seldom), "an eighth of the power is an eighth of the weight: {seldom}");
    let fast = all(room(8, 8), Room { speed: 12, ..room(8, 8) });
    assert!((50..105).contains(&fast), "three times as fast: {fast}");
}

#[test]
fn what_nobody_has_room_for_is_said_and_what_others_have_room_for_is_not() {
    let said = |others: Room| {
        let mut planner = planner(0);
        planner.told = room(0, 8);
        let candidates = vec![Candidate { node: node(1), room: others }];
        planner.decide(&Around { candidates, ..Around::of(vec![glance(1, 1, 1)]) }.held(1, &[2]), Timestamp(0))
    };
    assert_eq!(said(room(0, 8)), [Step::NoRoom { model: model(1), why: Why::Spare }]);
    assert_eq!(said(room(8, 8)), []);
}

#[test]
fn requests_that_wait_three_decisions_long_bring_one_more_copy() {
    let waits = Glance { wait: Micros(3 * SECOND), ..glance(1, 1, 2) };
    let around = Around::of(vec![waits]).held(1, &[3, 4]);
    let calm = Around::of(vec![glance(1, 1, 2)]).held(1, &[3, 4]);
    let mut planner = planner(0);
    for _ in 0..2 {
        assert_eq!(planner.decide(&around, Timestamp(0)), []);
        assert_eq!(planner.decide(&around, Timestamp(0)), []);
        assert_eq!(planner.decide(&calm, Timestamp(0)), [], "it begins anew");
    }
    (0..2).for_each(|_| assert_eq!(planner.decide(&around, Timestamp(0)), []));
    let relief = [Step::Fetch { model: model(1), why: Why::Relief }];
    assert_eq!(planner.decide(&around, Timestamp(0)), relief);
    assert_eq!(planner.decide(&around, Timestamp(0)), [], "it is on its way");
}

#[test]
fn a_wait_that_nobody_notices_beside_a_load_is_none() {
    let soon = |wait| Glance { wait: Micros(wait), load: Micros(SECOND), ..glance(1, 1, 2) };
    assert!(!soon(SECOND / 2).is_pressed());
    assert!(soon(SECOND / 2 + 1).is_pressed());
}

/// A node with ten copies of 1 GB, all of which others hold too, and a model that should come.
fn full(others: u64, demand: u64) -> (Planner, Around) {
    let mut planner = planner(0);
    let mut glances = vec![glance(100, 30, 1)];
    let mut around = Around::default();
    for number in 0..10 {
        planner.came(model(number), ByteCount(GB), Micros(10 * SECOND), Timestamp(0));
        glances.push(glance(number, demand, others as u32 + 1));
        around.holders.insert(model(number), (1..=others).map(node).collect());
    }
    glances.sort_unstable_by_key(|glance| glance.model);
    around.glances = glances;
    (planner, around)
}

fn evicted(steps: &[Step]) -> Vec<Digest> {
    steps.iter().filter_map(|step| if let Step::Evict { model, .. } = step { Some(*model) } else { None }).collect()
}

/// A minute, after which a copy may leave.
const LATER: Timestamp = Timestamp(60 * SECOND);

#[test]
fn what_leaves_was_used_least() {
    let (mut planner, around) = full(30, 0);
    for number in 0..10 {
        (0..10 - number).for_each(|_| planner.used(model(number)));
    }
    let steps = planner.decide(&around, LATER);
    assert_eq!(steps[0], Step::Evict { model: model(9), by: model(100) });
    assert_eq!(steps[1], Step::Fetch { model: model(100), why: Why::Load });
    assert_eq!(steps.len(), 2);
}

#[test]
fn nothing_leaves_that_is_young_busy_or_pinned() {
    let (mut planner, around) = full(30, 0);
    let refused = [Step::NoRoom { model: model(100), why: Why::Load }];
    assert_eq!(planner.decide(&around, Timestamp(60 * SECOND - 1)), refused, "young");
    let (mut planner, mut around) = full(30, 0);
    around.busy = (0..10).map(model).collect();
    assert_eq!(planner.decide(&around, LATER), refused, "busy");
    let (mut planner, around) = full(30, 0);
    (0..9).for_each(|number| planner.pin(model(number), true));
    assert_eq!(evicted(&planner.decide(&around, LATER)), [model(9)], "the only one that is not pinned");
    let (mut planner, around) = full(30, 0);
    (0..10).for_each(|number| planner.pin(model(number), true));
    assert_eq!(planner.decide(&around, LATER), refused, "pinned");
    planner.pin(model(4), false);
    assert_eq!(evicted(&planner.decide(&around, LATER)), [model(4)]);
}

#[test]
fn of_all_who_hold_a_model_exactly_one_keeps_it_whatever_comes() {
    for seed in 0..200 {
        let holders: Vec<u64> = (0..5).map(|at| seed * 5 + at).collect();
        let keeps = |me: &&u64| {
            let mut planner = Planner::new(node(**me), Some(ByteCount(GB)));
            planner.room(Eighths::ALL, 4);
            planner.came(model(seed), ByteCount(GB), Micros(SECOND), Timestamp(0));
            let others: Vec<u64> = holders.iter().copied().filter(|other| other != *me).collect();
            let glances = vec![glance(seed, 0, 5), Glance { bytes: ByteCount(GB), ..glance(1_000 + seed, 1, 0) }];
            let around = Around::of(glances).held(seed, &others);
            evicted(&planner.decide(&around, LATER)).is_empty()
        };
        assert_eq!(holders.iter().filter(keeps).count(), 1, "seed {seed}");
    }
}

#[test]
fn a_second_copy_leaves_for_what_is_not_there_and_not_for_another_second_copy() {
    // Two copies of each are wanted for safety, one would do for the load.
    let (mut planner, mut around) = full(1, 1);
    let new = |demand, copies| {
        let glance = glance(100, demand, copies);
        move |old: &mut Glance| {
            if old.model == glance.model {
                *old = glance;
            }
        }
    };
    around.glances.iter_mut().for_each(new(1, 1));
    let mine: BTreeSet<Digest> = (0..10)
        .map(model)
        .filter(|model| order::standing(*model, node(1)) > order::standing(*model, node(0)))
        .collect();
    assert!(!mine.is_empty() && mine.len() < 10, "{mine:?}");
    let refused = Step::NoRoom { model: model(100), why: Why::Spare };
    assert_eq!(planner.decide(&around, LATER), [refused]);
    around.glances.iter_mut().for_each(new(1, 0));
    let left = evicted(&planner.decide(&around, LATER));
    assert!(left.len() == 1 && mine.contains(&left[0]), "{left:?} of {mine:?}");
}

#[test]
fn what_there_is_too_much_of_leaves_for_a_second_copy() {
    // Two of each are wanted, and there are thirty-one.
    let (mut planner, mut around) = full(30, 1);
    let new = around.glances.iter_mut().find(|glance| glance.model == model(100)).expect("it is there");
    *new = glance(100, 1, 1);
    let steps = planner.decide(&around, LATER);
    assert_eq!(evicted(&steps).len(), 1);
    assert_eq!(steps[1], Step::Fetch { model: model(100), why: Why::Spare });
}

#[test]
fn what_there_is_too_much_of_leaves_before_a_second_copy_however_much_it_was_used() {
    // Two copies of each are wanted, but of one, which nobody asks for any more.
    let (mut planner, around) = full(1, 1);
    let second = |number: &u64| order::standing(model(*number), node(1)) > order::standing(model(*number), node(0));
    let mine: Vec<u64> = (0..10).filter(second).collect();
    assert!(mine.len() > 1, "{mine:?}");
    for number in &mine {
        let (mut planner, mut around) = full(1, 1);
        let unwanted = around.glances.iter_mut().find(|glance| glance.model == model(*number)).expect("it is there");
        unwanted.demand = MicroHertz(0);
        (0..100).for_each(|_| planner.used(model(*number)));
        assert_eq!(evicted(&planner.decide(&around, LATER)), [model(*number)]);
    }
    // While all are wanted it is the last to go.
    (0..100).for_each(|_| planner.used(model(mine[0])));
    assert_ne!(evicted(&planner.decide(&around, LATER)), [model(mine[0])]);
}

#[test]
fn what_the_load_asks_for_leaves_for_a_pin_alone() {
    // Thirty copies of each are wanted, and there are three.
    let (mut planner, around) = full(2, 210);
    assert_eq!(planner.decide(&around, LATER), [Step::NoRoom { model: model(100), why: Why::Load }]);
    planner.pin(model(100), true);
    let steps = planner.decide(&around, LATER);
    assert_eq!(evicted(&steps).len(), 1);
    assert_eq!(steps[1], Step::Fetch { model: model(100), why: Why::Pinned });
}

#[test]
fn a_node_tells_of_room_that_it_would_make() {
    let (mut planner, around) = full(30, 0);
    assert_eq!(planner.room(Eighths::ALL, 4).free, Eighths::ALL, "nothing was decided yet");
    planner.decide(&around, Timestamp(0));
    // Of ten it keeps those that it comes first for: of each about one time in thirty.
    assert!(planner.room(Eighths::ALL, 4).free >= Eighths::new(5));
    let (mut planner, around) = full(2, 210);
    planner.decide(&around, Timestamp(0));
    assert_eq!(planner.room(Eighths::ALL, 4).free, Eighths::NONE, "all of them are needed");
}

#[test]
fn few_come_at_once_and_what_nobody_has_comes_first() {
    let glances: Vec<Glance> = (0..6).map(|number| glance(number, number + 1, u32::from(number > 0))).collect();
    let around = Around::of(glances);
    let mut planner = planner(0);
    let steps = planner.decide(&around, Timestamp(0));
    let first = Step::Fetch { model: model(0), why: Why::First };
    assert_eq!(steps, [first, Step::Fetch { model: model(5), why: Why::Spare }]);
    assert_eq!(planner.room(Eighths::ALL, 4).free, Eighths::NONE, "nobody counts on it for more");
    assert_eq!(planner.decide(&around, Timestamp(0)), []);
    planner.gone(model(0));
    planner.came(model(5), ByteCount(GB), Micros(SECOND), Timestamp(0));
    planner.room(Eighths::ALL, 4);
    assert_eq!(planner.decide(&around, Timestamp(0)).len(), 2);
}

/// A mesh of one jurisdiction whose nodes decide at random moments with news of random age.
struct Mesh {
    planners: Vec<Planner>,
    /// What each holds, and since when.
    held: Vec<BTreeMap<u64, u64>>,
    /// What all held, at each step.
    past: Vec<Vec<BTreeSet<u64>>>,
    pinned: Vec<BTreeSet<u64>>,
    random: Random,
    evictions: u64,
}

impl Mesh {
    fn new(seed: u64, nodes: u64, models: u64, memory: u64) -> Self {
        let mut random = Random::new(seed);
        let mut planners: Vec<Planner> =
            (0..nodes).map(|number| Planner::new(node(number), Some(ByteCount(memory * GB)))).collect();
        let mut held = vec![BTreeMap::new(); nodes as usize];
        for number in 0..models {
            let at = loop {
                let at = random.below(nodes as usize);
                if held[at].len() < memory as usize {
                    break at;
                }
            };
            held[at].insert(number, 0);
            planners[at].came(model(number), ByteCount(GB), Micros(SECOND), Timestamp(0));
        }
        let mut pinned = vec![BTreeSet::new(); nodes as usize];
        let (at, number) = (random.below(nodes as usize), random.below(models as usize) as u64);
        planners[at].pin(model(number), true);
        pinned[at].insert(number);
        Self { planners, held, past: Vec::new(), pinned, random, evictions: 0 }
    }

    fn step(&mut self, second: u64, models: u64) {
        self.past.push(self.held.iter().map(|held| held.keys().copied().collect()).collect());
        let me = self.random.below(self.planners.len());
        // What it hears of each other is up to forty steps old.
        let old: Vec<BTreeSet<u64>> = (0..self.planners.len())
            .map(|other| self.past[self.past.len() - 1 - self.random.below(self.past.len().min(40))][other].clone())
            .collect();
        let mut around = Around::default();
        for number in 0..models {
            let holders: Vec<NodeId> =
                (0..old.len()).filter(|at| *at != me && old[*at].contains(&number)).map(|at| node(at as u64)).collect();
            let copies = holders.len() as u32 + u32::from(self.held[me].contains_key(&number));
            // Whatever is wanted changes all the time.
            around.glances.push(glance(number, self.random.below(30) as u64, copies));
            around.holders.insert(model(number), holders);
        }
        around.glances.sort_unstable_by_key(|glance| glance.model);
        self.planners[me].room(Eighths::ALL, 4);
        let (name, now) = (|model: Digest| u64::from(model.0[31]), second * SECOND);
        for step in self.planners[me].decide(&around, Timestamp(now)) {
            match step {
                Step::Evict { model, .. } => self.evict(me, name(model), now),
                Step::Fetch { model, .. } => {
                    let (number, planner) = (name(model), &mut self.planners[me]);
                    planner.came(model, ByteCount(GB), Micros(SECOND), Timestamp(now));
                    self.held[me].insert(number, now);
                }
                Step::NoRoom { .. } => {}
            }
        }
    }

    fn evict(&mut self, me: usize, number: u64, now: u64) {
        let since = self.held[me].remove(&number).expect("what leaves is here");
        assert!(now - since >= limits::STAYS_FOR.0, "model {number} leaves after {} s", (now - since) / SECOND);
        assert!(!self.pinned[me].contains(&number), "model {number} is pinned");
        assert!(self.held.iter().any(|held| held.contains_key(&number)), "that was the last copy of model {number}");
        self.evictions += 1;
    }
}

#[test]
fn the_last_copy_is_never_evicted_however_old_the_news_are() {
    let mut evictions = 0;
    for seed in 0..40 {
        let (nodes, models, memory) = (2 + seed % 7, 5 + seed % 11, 3 + seed % 3);
        let models = models.min(nodes * memory);
        let mut mesh = Mesh::new(seed, nodes, models, memory);
        for second in 0..2_000 {
            mesh.step(second, models);
            for held in &mesh.held {
                assert!(held.len() as u64 <= memory, "seed {seed}: {} copies of 1 GB in {memory} GB", held.len());
            }
        }
        evictions += mesh.evictions;
    }
    assert!(evictions > 1_000, "only {evictions} evictions were seen");
}
