//! Tests of what the first step makes of answers and times.

use super::{Measured, decision, quantile};

#[test]
fn quantiles_are_values_of_the_list() {
    let list: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&list, 0.5), 50.0);
    assert_eq!(quantile(&list, 0.99), 99.0);
    assert_eq!(quantile(&[7.0], 0.99), 7.0);
    assert!(quantile(&[], 0.5).is_nan());
}

/// A thousand decisions that are right, with so much added to each, at a client that got this share of a core.
fn measured(added_us: f64, core: f64) -> Measured {
    Measured {
        round: 3,
        sample: String::new(),
        sample_score: 0.7,
        sample_label: 1,
        count: 1000,
        right: 1000,
        found: 35,
        called: 35,
        positive: 35,
        took_us: vec![added_us + 20.0; 1000],
        engine_us: vec![20.0; 1000],
        added_us: vec![added_us; 1000],
        core,
    }
}

#[test]
fn a_slow_node_is_blamed_only_where_others_did_not_run_in_its_place() {
    assert!(measured(200.0, 0.99).hold("fraud").is_ok());
    assert!(measured(200.0, 0.5).hold("fraud").is_ok());
    assert!(measured(400.0, 0.99).hold("fraud").is_err());
    let crowded = measured(400.0, 0.5);
    assert!(crowded.hold("fraud").is_ok());
    assert_eq!(crowded.json()["added_judged"], false);
    let wrong = Measured { right: 900, ..measured(400.0, 0.5) };
    assert!(wrong.hold("fraud").is_err(), "wrong answers are wrong on any machine");
}

#[test]
fn a_decision_is_a_label_and_a_score() {
    let body = br#"{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]},
        {"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}"#;
    assert_eq!(decision(body).unwrap(), (1, 0.75));
    assert!(decision(b"{\"outputs\":[]}").is_err());
}
