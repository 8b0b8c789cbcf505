//! What holds among many: requests find a copy, nearly as if all were known, and models seldom move.

use super::{Crowd, Mode, Outcome, Setting};

fn setting(seed: u64) -> Setting {
    Setting {
        sites: vec![2, 1],
        nodes: 8,
        models: 16,
        held: 6,
        load: 45,
        cycle: false,
        seconds: 3_000,
        warm: 1_200,
        crowd: None,
        flip: None,
        seed,
    }
}

fn run(setting: &Setting, mode: Mode) -> Outcome {
    super::run(setting, mode, |_| {})
}

/// Requests served at once, in ten thousandths.
fn well(outcome: &Outcome) -> u64 {
    outcome.at_once * 10_000 / outcome.requests
}

#[test]
fn nearly_all_find_a_copy_and_hardly_any_model_moves_once_all_stand() {
    for seed in 1..=4 {
        let planned = run(&setting(seed), Mode::Planned);
        let (greedy, still) = (run(&setting(seed), Mode::Oracle), run(&setting(seed), Mode::Still));
        assert_eq!(planned.requests, greedy.requests, "the same requests");
        assert!(well(&planned) >= 9_850, "seed {seed}: {} of 10000", well(&planned));
        assert!(well(&planned) * 100 >= well(&greedy) * 98, "seed {seed}: beside {}", well(&greedy));
        assert!(well(&still) < 9_500, "seed {seed}: {} of 10000 without any move", well(&still));
        // 24 nodes over half an hour, one move each in ten minutes.
        let moves: u64 = planned.moves[120..].iter().sum();
        assert!(moves <= 24 * 3, "seed {seed}: {moves} moves");
        assert_eq!(planned.last, 0, "seed {seed}");
    }
}

#[test]
fn a_model_that_is_suddenly_asked_for_gets_copies() {
    let crowd = Some(Crowd { from: 1_200, until: 3_000, rank: 12, percent: 100 });
    let crowded = Setting { crowd, load: 25, ..setting(1) };
    let share = |mode| {
        let outcome = run(&crowded, mode);
        let later = outcome.slices[240..].iter().fold((0, 0), |sum, slice| (sum.0 + slice.0, sum.1 + slice.1));
        later.1 * 100 / later.0
    };
    let (planned, still) = (share(Mode::Planned), share(Mode::Still));
    assert!(planned >= 98, "{planned} %");
    assert!(still < 80, "{still} % if nobody moves anything");
}

#[test]
fn popularity_turned_round_is_followed_and_no_last_copy_leaves() {
    let mut evictions = 0;
    for seed in 1..=4 {
        // Memory for less than two copies of each.
        let tight = Setting { held: 3, load: 30, flip: Some(1_200), ..setting(seed) };
        let planned = run(&tight, Mode::Planned);
        assert_eq!(planned.last, 0, "seed {seed}");
        evictions += planned.evictions;
    }
    assert!(evictions > 10, "only {evictions} evictions were seen");
}

#[test]
fn a_seed_gives_the_same_run() {
    let (one, other) = (run(&setting(3), Mode::Planned), run(&setting(3), Mode::Planned));
    assert_eq!((one.took, one.way, one.slices, one.moves), (other.took, other.way, other.slices, other.moves));
}
