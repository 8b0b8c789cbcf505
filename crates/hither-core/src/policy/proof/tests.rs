//! Claims about the sample of the language, as an operator would make them.

use hither_types::law::Policy;
use hither_types::time::Day;

use super::prove;

const SAMPLE: &str = include_str!("../../../../hither-law/golden/sample.toml");

fn read(text: &str) -> Policy {
    hither_law::parse(text, Day(0)).unwrap_or_else(|error| panic!("{error}"))
}

/// The rule that speaks against a claim, with the target where it does; nothing if it holds.
fn against(policy: &Policy, claim: &str) -> Option<(String, String)> {
    let claim = hither_law::claim(claim, policy).unwrap_or_else(|error| panic!("{claim}: {error}"));
    let proof = prove(policy, &claim, &hither_law::countries()).unwrap();
    assert!(proof.cases > 0, "{claim:?} is about no case at all");
    proof.against.map(|against| (against.rule.to_string(), against.cell.target.to_string()))
}

#[test]
fn what_the_sample_promises_is_proved() {
    let sample = read(SAMPLE);
    for claim in [
        "infer of personal,special,secret from ID never leaves ID",
        "infer of anything never leaves EEA",
        "special,secret from ID never runs outside ID",
        "infer of personal never goes under US,CN",
        "infer of personal never goes to another operator",
        "infer of personal never goes below 1",
        "infer of special never goes below 1",
        "infer of special by chat never leaves its node",
    ] {
        assert_eq!(against(&sample, claim), None, "{claim}");
    }
}

#[test]
fn what_it_does_not_promise_meets_a_case_and_the_rule_that_permits_it() {
    let sample = read(SAMPLE);
    let rule = |claim| against(&sample, claim).map(|(rule, _)| rule).unwrap_or_default();
    assert_eq!(rule("personal from EEA never leaves DE"), "eea-personal");
    assert_eq!(rule("special never goes under US"), "ct-triage-bavaria");
    assert_eq!(rule("special never goes below 2"), "ct-triage-bavaria");
    assert_eq!(rule("secret never leaves its node"), "own-country-relay", "ciphertext passes relays");
    assert_eq!(rule("infer of secret never runs in FR"), "local");
    assert_eq!(against(&sample, "relay of anything never goes to CH").unwrap().1, "CH");
    assert_eq!(rule("secret from CH never leaves CH"), "relay-ciphertext-eea");
    assert_eq!(rule("special by chat never leaves EEA,CH"), "own-country-relay", "all actions are meant");
}

/// A permit that opens one way only for data of two countries at once is found among the mixtures.
#[test]
fn a_way_that_takes_a_mixture_is_found() {
    let policy = read(
        "version = 1\n[[permit]]\nid = \"both\"\norigin = [\"DE\", \"FR\"]\ntarget = [\"CH\"]\n\
         [[forbid]]\nid = \"not-alone\"\norigin_not = [\"DE\"]\ntarget = [\"AT\"]\n",
    );
    assert_eq!(against(&policy, "infer of anything from DE never goes to CH").unwrap().0, "both");
    assert_eq!(against(&policy, "infer of anything from outside DE never goes to CH").unwrap().0, "both");
    assert_eq!(against(&policy, "infer of anything from outside DE,FR never goes to CH"), None);
    assert_eq!(against(&policy, "infer of anything never goes to AT"), None);
}
