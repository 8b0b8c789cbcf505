//! The storm finds what it is there to find, and nothing where nothing is.

use hither_core::Action;
use hither_types::fact::Fact;
use hither_types::id::NodeId;
use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy};
use hither_types::message::Signal;
use hither_types::refusal::Refusal;
use hither_types::request::Prefix;

use super::questions::questions_by;
use super::{
    AnswerReport, Breach, Certificates, Decision, Hands, LawReport, questions, round, storm, storm_by, storm_with,
};

#[test]
fn both_readings_of_the_law_agree() {
    let report = questions(1, 200_000);
    assert_eq!(report.different, 0, "{:#?}", report.first);
    let AnswerReport { asked, lawful, at_home, forbidden, .. } = report;
    assert!(asked >= 200_000 && lawful > 30_000 && asked - lawful > 30_000, "{report:?}");
    assert!(at_home > 5_000 && forbidden > 20_000, "{report:?}");
}

#[test]
fn a_reading_that_is_another_is_found_out() {
    for law in [everything as fn(&Policy) -> Policy, nothing, without_forbids] {
        assert!(questions_by(1, 20_000, law).different > 1_000);
    }
}

#[track_caller]
fn none_of(report: &LawReport, breaches: &[Breach]) {
    for breach in breaches {
        assert_eq!(report.breach_count(*breach), 0, "{breach:?}: {:#?}", report.violations);
    }
}

#[test]
fn nothing_goes_where_the_law_forbids() {
    let report = storm_with(1, 200_000, Certificates::Fixed);
    none_of(&report, &[Breach::Place, Breach::Lingering, Breach::Paper]);
    assert!(report.decisions() >= 200_000);
    for decision in Decision::ALL {
        assert!(report.count(decision) > 5, "{decision:?} {}", report.count(decision));
    }
    assert!(report.retries > 1_000 && report.stepped_down > 1_000 && report.amendments > 500, "{report:#?}");
}

#[test]
fn nothing_goes_where_the_law_forbids_when_certificates_change() {
    none_of(&storm(1, 1_000_000), &Breach::ALL);
}

#[test]
fn a_storm_is_its_seed() {
    let first = storm(7, 20_000);
    assert_eq!(first, storm(7, 20_000));
    assert_ne!(first.hash, storm(8, 20_000).hash);
}

/// What the bench says if an action is not what the core said, or the core has another law.
fn seen(hands: Hands) -> LawReport {
    storm_by(1, 20_000, (Certificates::Fixed, hands))
}

fn everything(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.forbids.clear();
    policy.permits.truncate(1);
    for permit in &mut policy.permits {
        permit.actions = LawAction::ALL.to_vec();
        (permit.classes, permit.tags, permit.apps) = (vec![], vec![], vec![]);
        (permit.models, permit.purposes, permit.not_control) = (vec![], vec![], vec![]);
        (permit.origin, permit.origin_not, permit.target, permit.target_not) = (None, None, None, None);
        (permit.assurance, permit.same_operator) = (None, None);
    }
    policy
}

fn nothing(policy: &Policy) -> Policy {
    Policy { permits: vec![], ..policy.clone() }
}

fn without_forbids(policy: &Policy) -> Policy {
    Policy { forbids: vec![], ..policy.clone() }
}

#[test]
fn cores_with_another_law_are_found_out() {
    let act = round::untouched;
    assert!(seen(Hands { law: everything, action: act }).breach_count(Breach::Place) > 1_000);
    assert!(seen(Hands { law: without_forbids, action: act }).breach_count(Breach::Place) > 100);
    assert!(seen(Hands { law: nothing, action: act }).breach_count(Breach::Refusal) > 1_000);
}

fn other_class(action: &mut Action) {
    if let Action::Forward { envelope, .. } = action {
        envelope.label.class = DataClass::Public;
    }
}

fn other_place(action: &mut Action) {
    if let Action::Forward { peer, .. } = action {
        *peer = NodeId([peer.0[0] ^ 1; 32]);
    }
}

fn other_rule(action: &mut Action) {
    if let Action::Record { fact: Fact::EgressIntent { rule, .. } | Fact::IngressAccepted { rule, .. }, .. } = action {
        *rule = hither_types::id::RuleId::parse("rule-15").unwrap();
    }
}

fn other_place_on_record(action: &mut Action) {
    if let Action::Record { fact: Fact::EgressIntent { to, .. }, .. } = action {
        to.node = NodeId([to.node.0[0] ^ 1; 32]);
    }
}

fn law_for_an_excuse(action: &mut Action) {
    if let Action::Tell { signal: Signal::Reject { refusal, .. }, .. } = action
        && let Refusal::Overloaded { .. } | Refusal::NoCapacity { .. } = refusal
    {
        *refusal = Refusal::UnlawfulThere(hither_types::law::Denial::NotPermitted { nearest: None });
    }
}

fn kept(action: &mut Action) {
    if let Action::Run { prefix, .. } | Action::Forward { prefix, .. } = action {
        *prefix = Prefix::Stays;
    }
}

fn forgotten(action: &mut Action) {
    if let Action::Run { prefix, .. } = action {
        *prefix = Prefix::Goes;
    }
}

#[test]
fn what_is_not_what_the_core_said_is_found_out() {
    let law = Policy::clone;
    for (action, breach) in [
        (other_class as fn(&mut Action), Breach::Paper),
        (other_place, Breach::Place),
        (other_rule, Breach::Paper),
        (other_place_on_record, Breach::Paper),
        (law_for_an_excuse, Breach::Refusal),
        (kept, Breach::Kept),
        (forgotten, Breach::Kept),
    ] {
        let report = seen(Hands { law, action });
        assert!(report.breach_count(breach) > 10, "{breach:?}: {report:#?}");
    }
}
