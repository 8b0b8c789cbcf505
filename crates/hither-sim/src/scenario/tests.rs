//! The form of scenarios, and what is said to whoever gets it wrong.

use super::{Arrivals, Fault, Scenario};

const SMALL: &str = r#"
name = "small"
about = "one node"
duration_s = 5

[policies]
default = '''
version = 1
[default]
unlabelled = "special"
'''

[[model]]
name = "fraud"
kind = "infer"
slots = 1
slot_w = 2
prefill_ms = 4

[[node]]
name = "munich"
jurisdiction = "DE-BY"
holds = ["fraud"]
cap_w = 30
idle_w = 20

[[load]]
model = "fraud"
per_10s = 10
deadline_ms = 500

[[fault]]
kind = "cap"
at_ms = 100
for_ms = 50
cap_w = 21

[sometimes]
answered = 1
"#;

fn check(from: &str, to: &str, expected: &str) {
    assert!(SMALL.contains(from));
    let error = Scenario::parse(&SMALL.replace(from, to)).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_scenario_is_read_in_units_of_the_machine() {
    let scenario = Scenario::parse(SMALL).unwrap();
    assert_eq!(scenario.nodes[0].cap, 30_000);
    assert!(matches!(scenario.loads[0].arrivals, Arrivals::Open { gap: 1_000_000, from: 0, to: 5_000_000 }));
    assert_eq!(scenario.faults[0].fault, Fault::Cap(vec![0], 21_000));
    assert_eq!(scenario.faults[0].lasts, Some(50_000));
}

#[test]
fn an_unknown_node_is_named_with_those_that_there_are() {
    check(
        "kind = \"cap\"",
        "kind = \"cap\"\nnodes = [\"rome\"]",
        "in fault \"cap\" at 100 ms: there is no node \"rome\"; there are munich",
    );
}

#[test]
fn an_unknown_fault_is_named_with_those_that_there_are() {
    check(
        "kind = \"cap\"",
        "kind = \"fire\"",
        "in fault \"fire\" at 100 ms: there is no such kind; there are kill, freeze, slow, cap, disk-full, cut, loss, \
         law, engine-crash, hang, mute",
    );
}

#[test]
fn a_fault_without_its_number_is_refused() {
    check("cap_w = 21\n", "", "in fault \"cap\" at 100 ms: this kind of fault needs cap_w");
}

#[test]
fn a_load_is_either_one_request_or_a_rate() {
    let both = "in load of \"fraud\": state either at_ms or per_10s (more than 0)";
    check("per_10s = 10", "per_10s = 10\nat_ms = 5", both);
    check("per_10s = 10\n", "", both);
}

#[test]
fn a_scenario_must_say_what_it_exercises() {
    check("answered = 1", "", "in sometimes: state at least one counter: a run that exercised nothing is a failure");
}

#[test]
fn a_wrong_jurisdiction_is_shown() {
    check(
        "\"DE-BY\"",
        "\"Bavaria\"",
        "in node \"munich\": expected an ISO 3166 code such as DE or DE-BY, found \"Bavaria\"",
    );
}

#[test]
fn a_policy_that_does_not_parse_is_named() {
    let error = Scenario::parse(&SMALL.replace("unlabelled", "unlabeled")).unwrap_err().to_string();
    assert!(error.starts_with("policy \"default\" of the scenario does not parse: "), "{error}");
}

#[test]
fn a_field_that_scenarios_do_not_have_is_refused() {
    check("about =", "abuot =", "the scenario is not in the form of scenarios");
}
