//! What is read of the kernel and of old pages.

use std::collections::BTreeMap;
use std::time::Duration;

use super::board::{Figure, Goal, Part, renewed, section};
use super::hall::{Port, ports};
use super::usage::field;
use super::{Crowded, Lab, PARTS, matches, quantile};

#[test]
fn what_a_port_receives_is_what_its_machine_sent_without_the_heads_of_frames() {
    let table = "Inter-|   Receive                    |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs\n    \
                 lo:  10 1 0 0 0 0 0 0 10 1 0 0 0 0 0 0\n p-m07: 1014 1 0 0 0 0 0 0 2028 2 0 0 0 0 0 0\n";
    let expected = Port { sent: 1000, received: 2000, packets: 3 };
    assert_eq!(ports(table), BTreeMap::from([("m07".to_owned(), expected)]));
}

#[test]
fn a_number_is_found_behind_its_name() {
    assert_eq!(field("Rss:  10 kB\nPss:               12 kB\nPss_Dirty: 3 kB\n", "Pss:"), Some(12));
    assert_eq!(field("Rss: 10 kB\n", "Pss:"), None);
}

#[test]
fn a_quantile_is_the_least_number_that_so_many_are_not_above() {
    let numbers: Vec<f64> = (1..=100).map(f64::from).collect();
    let found: Vec<f64> = [0.0, 0.5, 0.99, 1.0].iter().map(|share| quantile(&numbers, *share)).collect();
    assert_eq!(found, [1.0, 50.0, 99.0, 100.0]);
}

#[test]
fn a_ghost_and_somebody_missing_are_not_the_truth() {
    let shown = |pairs: &[(&str, bool)]| pairs.iter().map(|(key, there)| ((*key).to_owned(), *there)).collect();
    let truth = BTreeMap::from([("a", true), ("b", false)]);
    assert!(matches(&shown(&[("a", true), ("b", false)]), &truth));
    assert!(!matches(&shown(&[("a", true), ("b", true)]), &truth));
    assert!(!matches(&shown(&[("a", true)]), &truth));
    assert!(!matches(&shown(&[("a", true), ("b", false), ("c", false)]), &truth));
}

#[test]
fn one_part_is_measured_again_and_the_others_stay() {
    let lab = Lab {
        hither: "true".into(),
        previous: None,
        scratch: "".into(),
        logs: "".into(),
        seed: 1,
        quick: false,
        broken: false,
    };
    let given = Crowded { lab, wire: "".into(), commit: "abc".to_owned(), nodes: Vec::new() };
    let part = |value| {
        let figure = Figure::told("noise", value, "dB").goal(Goal::AtMost(5.0)).why("walls are thin");
        Ok(Part {
            title: "Noise",
            about: "Listened.".to_owned(),
            figures: vec![figure],
            below: String::new(),
            failed: Vec::new(),
        })
    };
    let took = Duration::from_secs(1);
    let first = renewed(
        "",
        &[("idle", section("idle", &part(9.0), took, &given)), ("churn", section("churn", &part(1.0), took, &given))],
    );
    assert!(
        first.contains("| noise | ≤ 5.00 dB | 9.00 dB | **missed** |  |") && first.contains("- noise: walls are thin.")
    );
    assert_eq!(first.matches("Not measured yet.").count(), PARTS.len() - 2);
    let again = renewed(&first, &[("idle", section("idle", &part(2.0), took, &given))]);
    assert!(
        again.contains("| noise | ≤ 5.00 dB | 2.00 dB | met |")
            && again.contains("| noise | ≤ 5.00 dB | 1.00 dB | met |")
    );
    assert!(!again.contains("9.00 dB"));
    assert_eq!(again.matches("## Running it").count(), 1);
    assert_eq!(renewed(&again, &[]), again);
}
