//! Every scenario over many seeds, and the same run twice.

use std::path::PathBuf;

use hither_core::Action;
use hither_types::fact::Fact;
use hither_types::id::Digest;
use hither_types::label::DataClass;

use crate::world::World;
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
    a_late_request_gets_a_second_copy_and_one_answer: "hedge", 20;
    too_much_becomes_a_smaller_model: "mesh-ladder", 20;
    a_smaller_model_answers_whom_it_may: "ladder", 20;
    a_law_that_changes_under_way_is_asked_at_each_step: "law-flaps", 20;
    a_node_that_stood_still_starts_nothing_too_late: "thaw", 20;
    what_waits_finds_the_slots_that_are_free_elsewhere: "hot-spot", 20;
    critical_work_comes_first: "triage", 20;
    second_tries_and_copies_stay_within_their_budgets: "budgets", 20;
    those_who_hear_the_same_do_not_go_to_the_same_place: "herd", 20;
    what_waits_is_not_forgotten: "burst", 20;
    what_does_not_fit_into_memory_takes_turns: "memory", 20;
    what_waits_for_memory_is_opened_without_being_asked_for_again: "memory-turn", 20;
    a_lost_word_that_asks_for_work_costs_no_slot: "beg-lost", 20;
    a_storm_breaks_no_promise: "storm", 50;
    a_mesh_with_hot_spots_answers_all: "mesh", 20;
    three_nodes_in_ten_may_die_at_once: "mesh-kill", 20;
    whole_sites_may_go_dark_and_come_back: "mesh-site-loss", 20;
    a_whole_country_may_be_lost: "mesh-land-loss", 20;
    nodes_that_hear_nobody_lose_nothing: "mesh-one-way", 20;
    slow_and_frozen_nodes_lose_nothing: "mesh-slow", 20;
    a_flash_crowd_is_refused_in_time: "mesh-crowd", 20;
    restarts_in_waves_lose_nothing_else: "mesh-restarts", 20;
    power_that_is_halved_in_half_the_mesh_loses_nothing: "mesh-power", 20;
    nodes_of_an_older_version_are_served_and_serve: "mesh-versions", 20;
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

/// Runs a scenario with a mind whose actions are changed, and names the invariants that the observer found broken.
fn tampered(name: &str, tamper: fn(&mut Vec<Action>)) -> Vec<&'static str> {
    let scenario = scenario(name);
    let mut world = World::new(&scenario, 1);
    world.tamper = tamper;
    world.run();
    let mut broken: Vec<_> = world.violations.iter().map(|violation| violation.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    broken
}

#[test]
fn a_mind_that_ends_twice_is_caught() {
    let twice = |actions: &mut Vec<Action>| {
        let again: Vec<_> = actions.iter().filter(|action| matches!(action, Action::Finish { .. })).cloned().collect();
        actions.extend(again);
    };
    assert_eq!(tampered("local", twice), ["I2"]);
}

#[test]
fn a_mind_that_loses_a_request_is_caught() {
    let silent = |actions: &mut Vec<Action>| actions.retain(|action| !matches!(action, Action::Refuse { .. }));
    assert_eq!(tampered("refuse-by-law", silent), ["I1"]);
}

#[test]
fn a_mind_that_does_not_record_is_caught() {
    let forgetful = |actions: &mut Vec<Action>| {
        for action in actions {
            if let Action::Record { fact: fact @ Fact::EgressIntent { .. }, .. } = action {
                *fact = Fact::PolicyChanged { policy: Digest([0; 32]), publisher: None };
            }
        }
    };
    assert_eq!(tampered("forward", forgetful), ["P2"]);
}

#[test]
fn a_mind_that_does_not_record_the_ingress_is_caught() {
    let forgetful = |actions: &mut Vec<Action>| {
        for action in actions {
            if let Action::Record { fact: fact @ Fact::IngressAccepted { .. }, .. } = action {
                *fact = Fact::PolicyChanged { policy: Digest([0; 32]), publisher: None };
            }
        }
    };
    assert_eq!(tampered("forward", forgetful), ["P2"]);
}

#[test]
fn a_mind_that_does_not_stop_for_power_is_caught() {
    let stubborn = |actions: &mut Vec<Action>| actions.retain(|action| !matches!(action, Action::StopRun(_)));
    assert!(tampered("power-cut", stubborn).contains(&"I4"));
}

#[test]
fn a_mind_that_relabels_is_caught() {
    let relabel = |actions: &mut Vec<Action>| {
        for action in actions {
            if let Action::Forward { envelope, .. } = action {
                envelope.label.class = DataClass::Public;
            }
        }
    };
    assert_eq!(tampered("forward", relabel), ["I10"]);
}

#[test]
fn a_mind_that_keeps_the_route_to_itself_is_caught() {
    let secretive = |actions: &mut Vec<Action>| actions.retain(|action| !matches!(action, Action::Route { .. }));
    assert_eq!(tampered("local", secretive), ["I2"]);
}

#[test]
fn a_mind_that_forgets_the_copy_that_did_not_answer_is_caught() {
    let forgetful = |actions: &mut Vec<Action>| actions.retain(|action| !matches!(action, Action::Abandon { .. }));
    assert_eq!(tampered("hedge", forgetful), ["I5"]);
}

#[test]
fn a_run_that_exercised_nothing_fails() {
    let mut scenario = scenario("local");
    scenario.loads.clear();
    let report = run(&scenario, 1, None).unwrap();
    assert!(!report.passed());
    assert_eq!(report.unmet, ["answered is 0, and must reach 300", "answered_in_calm is 0, and must reach 1"]);
}

#[test]
fn a_scenario_runs_with_more_nodes_than_it_names() {
    let report = run(&scenario("local"), 1, Some(9)).unwrap();
    assert!(report.passed(), "{report}");
    assert_eq!(report.nodes, 9);
    let error = run(&scenario("local"), 1, Some(2)).unwrap_err().to_string();
    assert_eq!(error, "the scenario names 3 nodes, so ask for 3 to 200 with --nodes, not 2");
}
