//! Every scenario over many seeds, and the same run twice.

use std::path::PathBuf;

use crate::{Report, Scenario, run};

fn scenario(name: &str) -> Scenario {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(format!("{name}.toml"));
    Scenario::load(&path).unwrap()
}

fn all() -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Runs seeds from 1, and shows the whole report of those that fail.
fn check(name: &str, seeds: u64) {
    let scenario = scenario(name);
    let failed: Vec<Report> =
        (1..=seeds).map(|seed| run(&scenario, seed, None).unwrap()).filter(|report| !report.passed()).collect();
    let texts: Vec<_> = failed.iter().take(2).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{} of {seeds} seeds failed\n{}", failed.len(), texts.join("\n\n"));
}

macro_rules! scenarios {
    ($($(#[$doc:meta])* $test:ident: $name:literal, $seeds:literal;)*) => {
        $(#[test] fn $test() { check($name, $seeds); })*

        #[test]
        fn every_scenario_has_a_test() {
            let mut tested = vec![$($name.to_owned()),*];
            tested.sort();
            assert_eq!(tested, all());
        }
    };
}

scenarios! {
    what_is_held_at_home_is_decided_at_home: "local", 20;
    a_site_without_the_model_is_answered_by_one_with_it: "forward", 20;
    personal_data_that_may_not_cross_a_border_do_not: "refuse-by-law", 20;
    a_killed_peer_costs_a_pause_and_no_token: "kill", 20;
    a_frozen_peer_costs_a_pause_and_no_token: "freeze", 20;
    a_site_that_is_cut_off_goes_on_by_itself: "partition", 20;
    half_a_connection_is_none: "partition-one-way", 20;
    less_power_means_less_work_here_and_more_elsewhere: "power-cut", 20;
    a_model_that_is_asked_for_comes: "model-pull", 20;
    restarts_one_by_one_and_all_at_once_lose_nothing_else: "restart", 20;
    too_much_is_refused_in_time: "overload", 20;
    without_a_record_nothing_leaves: "disk-full", 20;
    an_engine_that_dies_or_hangs_does_not_end_a_stream: "engine", 20;
    a_bad_network_is_not_a_dead_peer: "lossy", 20;
    a_slow_node_loses_nothing: "slow", 20;
    a_new_law_holds_at_once: "law-change", 20;
    a_storm_breaks_no_promise: "storm", 50;
}

#[test]
fn the_same_seed_gives_the_same_run_twice() {
    for name in all() {
        let scenario = scenario(&name);
        let (once, again) = (run(&scenario, 7, None).unwrap(), run(&scenario, 7, None).unwrap());
        assert_eq!(once, again, "{name}");
        assert_ne!(once.hash, run(&scenario, 8, None).unwrap().hash, "{name} does not depend on its seed");
    }
}
