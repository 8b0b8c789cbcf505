//! What holds in any crowd.

use super::{Crowd, Weather};

const CALM: Weather = Weather { loss: 0, slow: 0, far: 0 };
const SECOND: u64 = 1_000_000;

fn all_see_all(crowd: &Crowd) -> bool {
    let living: Vec<usize> = crowd.living().collect();
    living.iter().all(|at| {
        (0..crowd.len()).filter(|other| other != at).all(|other| crowd.uses(*at, other) == crowd.lives(other))
    })
}

#[test]
fn a_site_finds_itself_within_two_seconds() {
    for nodes in [2, 3, 7, 8, 60, 200] {
        let mut crowd = Crowd::new(&[nodes], nodes, CALM, 1);
        let took = crowd.run_while(10 * SECOND, all_see_all);
        assert!(took.is_some_and(|took| took <= 2 * SECOND), "{nodes} nodes: {took:?}");
    }
}

#[test]
fn sites_find_each_other() {
    for sites in [vec![1, 1], vec![1, 1, 1], vec![2, 5, 1], vec![8; 10], vec![1; 40]] {
        let mut crowd = Crowd::new(&sites, 100, CALM, 2);
        let took = crowd.run_while(20 * SECOND, all_see_all);
        assert!(took.is_some_and(|took| took <= 4 * SECOND), "{sites:?}: {took:?}");
    }
}

#[test]
fn everybody_hears_of_a_death_and_of_a_return() {
    for (sites, seed) in [(vec![3], 1), (vec![1, 1, 1], 2), (vec![20], 3), (vec![4, 4, 4], 4), (vec![60], 5)] {
        let mut crowd = Crowd::new(&sites, 100, CALM, seed);
        crowd.run_while(20 * SECOND, all_see_all).unwrap_or_else(|| panic!("{sites:?} find each other"));
        crowd.run_until(crowd.now + 3 * SECOND);
        let dead = seed as usize % crowd.len();
        crowd.kill(dead);
        let took = crowd.run_while(20 * SECOND, all_see_all);
        assert!(took.is_some_and(|took| took <= 4 * SECOND), "{sites:?}: death {took:?}");
        crowd.start(dead, 100);
        let took = crowd.run_while(20 * SECOND, all_see_all);
        assert!(took.is_some_and(|took| took <= 2 * SECOND), "{sites:?}: return {took:?}");
        assert_eq!(crowd.tally.evictions, 0, "{sites:?}");
    }
}

#[test]
fn a_cut_site_knows_that_it_is_alone_and_is_found_again() {
    for sites in [vec![1, 1, 1], vec![4, 4, 4], vec![8, 3]] {
        let mut crowd = Crowd::new(&sites, 100, CALM, 7);
        crowd.run_while(20 * SECOND, all_see_all).unwrap_or_else(|| panic!("{sites:?} find each other"));
        crowd.run_until(crowd.now + 3 * SECOND);
        let cut = crowd.site_name(0);
        crowd.cut_sites.insert(cut.clone());
        let parted = |crowd: &Crowd| {
            (0..crowd.len()).all(|at| {
                (0..crowd.len())
                    .filter(|other| *other != at)
                    .all(|other| crowd.uses(at, other) == ((crowd.site(at) == 0) == (crowd.site(other) == 0)))
            })
        };
        let took = crowd.run_while(30 * SECOND, parted);
        assert!(took.is_some_and(|took| took <= 5 * SECOND), "{sites:?}: {took:?}");
        crowd.run_until(crowd.now + 20 * SECOND);
        crowd.cut_sites.remove(&cut);
        let took = crowd.run_while(30 * SECOND, all_see_all);
        assert!(took.is_some_and(|took| took <= 7 * SECOND), "{sites:?}: healed after {took:?}");
    }
}

#[test]
fn a_cut_between_two_is_nobody_elses_matter() {
    let mut crowd = Crowd::new(&[1, 1, 1], 3, CALM, 8);
    crowd.run_while(20 * SECOND, all_see_all).expect("they find each other");
    crowd.run_until(crowd.now + 3 * SECOND);
    crowd.cut.insert((0, 1));
    let took = crowd.run_while(20 * SECOND, |crowd| !crowd.uses(0, 1) && !crowd.uses(1, 0));
    assert!(took.is_some_and(|took| took <= 5 * SECOND), "{took:?}");
    for _ in 0..300 {
        crowd.run_until(crowd.now + SECOND / 10);
        assert!(crowd.uses(2, 0) && crowd.uses(2, 1) && crowd.uses(0, 2) && crowd.uses(1, 2));
        assert!(!crowd.uses(0, 1) && !crowd.uses(1, 0), "at {}", crowd.now);
    }
    crowd.cut.clear();
    let took = crowd.run_while(20 * SECOND, all_see_all);
    assert!(took.is_some_and(|took| took <= 7 * SECOND), "{took:?}");
}

#[test]
fn half_of_a_site_dies_and_the_other_half_goes_on() {
    let mut crowd = Crowd::new(&[100], 100, CALM, 9);
    crowd.run_while(20 * SECOND, all_see_all).expect("they find each other");
    crowd.run_until(crowd.now + 3 * SECOND);
    (0..50).for_each(|at| crowd.kill(at * 2));
    let took = crowd.run_while(60 * SECOND, all_see_all);
    assert!(took.is_some_and(|took| took <= 12 * SECOND), "{took:?}");
    assert_eq!(crowd.tally.evictions, 0);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut crowd = Crowd::new(&[5, 5], 10, Weather { loss: 50, slow: 100, far: 0 }, 11);
        crowd.weigh = true;
        crowd.run_until(60 * SECOND);
        (crowd.tally.events, crowd.tally.bytes, crowd.tally.evictions, crowd.tally.unreached)
    };
    assert_eq!(run(), run());
}

#[test]
fn who_is_far_is_not_lost_when_packets_are() {
    for seed in 1..=10 {
        let mut crowd = Crowd::new(&[1, 1], 2, Weather { loss: 50, slow: 0, far: 150_000 }, seed);
        crowd.run_while(20 * SECOND, all_see_all).expect("both find each other");
        crowd.run_until(crowd.now + 1_800 * SECOND);
        let lost = crowd.tally.evictions + crowd.tally.unreached;
        assert!(lost == 0, "seed {seed}: lost each other {lost} times in half an hour");
    }
}
