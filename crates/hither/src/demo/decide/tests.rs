//! Tests of what the first step makes of answers and times.

use super::{decision, quantile};

#[test]
fn quantiles_are_values_of_the_list() {
    let list: Vec<f64> = (1..=100).map(f64::from).collect();
    assert_eq!(quantile(&list, 0.5), 50.0);
    assert_eq!(quantile(&list, 0.99), 99.0);
    assert_eq!(quantile(&[7.0], 0.99), 7.0);
    assert!(quantile(&[], 0.5).is_nan());
}

#[test]
fn a_decision_is_a_label_and_a_score() {
    let body = br#"{"outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]},
        {"name":"probabilities","datatype":"FP32","shape":[1,2],"data":[0.25,0.75]}]}"#;
    assert_eq!(decision(body).unwrap(), (1, 0.75));
    assert!(decision(b"{\"outputs\":[]}").is_err());
}
