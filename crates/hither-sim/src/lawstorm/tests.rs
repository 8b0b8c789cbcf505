//! The storm finds what it is there to find, and nothing where nothing is.

use hither_core::Action;
use hither_core::policy::judge;
use hither_types::fact::Fact;
use hither_types::id::NodeId;
use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy, Question, Verdict};
use hither_types::message::Signal;
use hither_types::place::PlaceKind;
use hither_types::refusal::Refusal;

use super::draw::Stock;
use super::oracle::{HOME, Matter, Reading, Standing};
use super::{Breach, Certificates, Decision, Hands, LawReport, round, storm, storm_by, storm_with};
use crate::chance::Chance;

/// Questions to both readings of the law, about few laws and few members each.
fn questions(seed: u64, laws: u64, mut each: impl FnMut(&Policy, bool, u32, &Verdict)) {
    let stock = Stock::new();
    let mut chance = Chance::new(seed, 0);
    for number in 0..laws {
        let mut policy = stock.policy(number as u8, &mut chance);
        if chance.permille(300) {
            policy = stock.amended(&policy, 0, &mut chance);
        }
        let reading = Reading::of(&policy, &stock.atlas);
        for _ in 0..50 {
            let (from, to) = (stock.member(0, &mut chance), stock.member(1, &mut chance));
            let is_home = chance.permille(200);
            let to = if is_home { from.clone() } else { to };
            let kind = stock.kind(from.jurisdiction, &mut chance);
            let action = *chance.pick(&[LawAction::Infer, LawAction::Infer, LawAction::Replicate, LawAction::Export]);
            let model = chance.pick(&stock.models);
            let subjects: Vec<_> = kind.label.subjects.iter().map(|code| stock.atlas.may_be(*code)).collect();
            let matter = Matter { action, app: &kind.app, model, label: &kind.label, subjects: &subjects };
            let (origin, target) = (Standing::of(&from, &stock.atlas), Standing::of(&to, &stock.atlas));
            let permits = reading.permits(&matter, &origin, &target, is_home);
            let question = Question {
                action,
                app: &kind.app,
                model,
                label: &kind.label,
                origin: from.jurisdiction,
                origin_operator: &from.operator,
                target: &to.place(),
                kind: if is_home { PlaceKind::Home } else { PlaceKind::Peer },
            };
            each(&policy, is_home, permits, &judge(&policy, &question));
        }
    }
}

#[test]
fn both_readings_of_the_law_agree() {
    let (mut asked, mut lawful, mut at_home) = (0_u64, 0_u64, 0_u64);
    questions(1, 4_000, |policy, is_home, permits, verdict| {
        asked += 1;
        lawful += u64::from(permits != 0);
        at_home += u64::from(is_home && permits & HOME != 0);
        let agree = match verdict {
            Verdict::Denied(_) => permits == 0,
            Verdict::Permitted(rule) if rule.as_str() == "local" => permits & HOME != 0,
            Verdict::Permitted(rule) => {
                let position = policy.permits.iter().position(|permit| permit.id == *rule).unwrap();
                permits.trailing_zeros() as usize == position
            }
        };
        assert!(agree, "question {asked}: {verdict:?}, and the oracle says {permits:#x} by {policy:#?}");
    });
    assert_eq!(asked, 200_000);
    assert!(lawful > 30_000 && asked - lawful > 30_000 && at_home > 5_000, "{lawful} lawful, {at_home} at home");
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

#[test]
fn what_is_not_what_the_core_said_is_found_out() {
    let law = Policy::clone;
    for (action, breach) in [
        (other_class as fn(&mut Action), Breach::Paper),
        (other_place, Breach::Place),
        (other_rule, Breach::Paper),
        (other_place_on_record, Breach::Paper),
        (law_for_an_excuse, Breach::Refusal),
    ] {
        let report = seen(Hands { law, action });
        assert!(report.breach_count(breach) > 10, "{breach:?}: {report:#?}");
    }
}
