//! Whether ciphertext may pass over a relay.

use hither_types::id::{Operator, Tag};
use hither_types::label::DataClass;
use hither_types::law::{Denial, LawAction, Policy, Rule, Verdict};
use hither_types::place::{Assurance, PlaceFacts};

use super::super::judge_relay;
use super::{place, policy, region, rule, texts};

fn facts(code: &str, operator: &str) -> PlaceFacts {
    PlaceFacts {
        node: None,
        site: None,
        jurisdiction: place(code),
        control: Some(vec![place(code).country()]),
        operator: Operator::parse(operator).unwrap(),
        assurance: Assurance::Vouched,
    }
}

fn relays(id: &str, change: impl FnOnce(&mut Rule)) -> Rule {
    let mut made = rule(id);
    made.actions = vec![LawAction::Relay];
    change(&mut made);
    made
}

fn check(policy: &Policy, me: &str, relay: &str, expected: &str) {
    let found = match judge_relay(policy, &facts(me, "acme"), &facts(relay, "acme")) {
        Verdict::Permitted(rule) => format!("permitted by {rule}"),
        Verdict::Denied(_) => "denied".to_owned(),
    };
    assert_eq!(found, expected, "a node in {me}, a relay in {relay}");
}

#[test]
fn a_relay_in_the_own_country_needs_no_permit_and_another_does() {
    let nothing = policy(vec![], vec![]);
    check(&nothing, "DE", "DE", "permitted by own-country-relay");
    check(&nothing, "DE-BY", "DE-BE", "permitted by own-country-relay");
    check(&nothing, "DE", "FR", "denied");
    check(&nothing, "ZZ", "ZZ", "denied");
    let nearby = policy(vec![relays("nearby", |rule| rule.target = region(&["FR", "CH"]))], vec![]);
    check(&nearby, "DE", "FR", "permitted by nearby");
    check(&nearby, "DE", "US", "denied");
    // A permit for requests says nothing of relays.
    check(&policy(vec![rule("infer-anywhere")], vec![]), "DE", "FR", "denied");
}

#[test]
fn a_permit_for_some_labels_is_too_narrow_and_a_forbid_for_some_is_wide_enough() {
    let public = relays("public", |rule| rule.classes = vec![DataClass::Public]);
    check(&policy(vec![public], vec![]), "DE", "FR", "denied");
    let tagged = relays("tagged", |rule| rule.tags = vec![Tag::parse("phi").unwrap()]);
    check(&policy(vec![tagged], vec![]), "DE", "FR", "denied");
    let every = relays("every", |rule| rule.classes = DataClass::ALL.to_vec());
    check(&policy(vec![every.clone()], vec![]), "DE", "FR", "permitted by every");
    let special = relays("special-stays", |rule| {
        rule.classes = vec![DataClass::Special];
        rule.target_not = region(&["DE"]);
    });
    check(&policy(vec![every], vec![special.clone()]), "DE", "FR", "denied");
    check(&policy(vec![], vec![special]), "DE", "DE", "permitted by own-country-relay");
}

#[test]
fn a_forbid_beats_the_own_country_and_unknown_control_satisfies_it() {
    let never = relays("never", |_| {});
    check(&policy(vec![], vec![never]), "DE", "DE", "denied");
    let compelled = relays("anywhere-but", |rule| rule.not_control = vec![place("US")]);
    let anywhere = policy(vec![compelled], vec![]);
    check(&anywhere, "DE", "FR", "permitted by anywhere-but");
    check(&anywhere, "DE", "US", "denied");
    let unknown = PlaceFacts { control: None, ..facts("FR", "acme") };
    assert!(matches!(judge_relay(&anywhere, &facts("DE", "acme"), &unknown), Verdict::Denied(_)));
}

#[test]
fn a_permit_for_secret_data_alone_is_told_as_the_near_miss_that_it_is() {
    let secret = relays("secret", |rule| rule.classes = vec![DataClass::Secret]);
    let Verdict::Denied(Denial::NotPermitted { nearest: Some(near) }) =
        judge_relay(&policy(vec![secret], vec![]), &facts("DE", "acme"), &facts("FR", "acme"))
    else {
        panic!("it is too narrow, and the only permit that speaks of relays");
    };
    assert_eq!(texts(&near), ["secret", "class: data of all classes is not in [\"secret\"]"]);
}
