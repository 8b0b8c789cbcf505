//! The laws of the demo are laws, and hold their own cases.

use hither_node::law::{failing_tests, parse, today};

use super::of;

#[test]
fn the_laws_of_the_demo_hold_their_own_cases() {
    for site in ["munich", "paris", "jakarta"] {
        let policy = parse(of(site), today()).unwrap();
        assert!(policy.tests.len() >= 4, "{site}");
        let failing: Vec<String> = failing_tests(&policy).iter().map(ToString::to_string).collect();
        assert!(failing.is_empty(), "{site}: {failing:?}");
    }
}
