//! What would make lawful what is denied.

use std::sync::Arc;

use hither_types::id::{AppName, ModelName, Operator, RuleId, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, LawAction, Policy, Question, Then, Verdict, WhatIf};
use hither_types::place::{Assurance, PlaceFacts, PlaceKind};

use super::what_ifs;
use crate::policy::law::tests::{APPS, Draw, LEVELS, MODELS, OPERATORS, PLACES};
use crate::policy::tests::{place, policy, region, rule};
use crate::policy::{Law, Matter, Target, judge};
use crate::random::Random;

fn facts(target: &str) -> PlaceFacts {
    PlaceFacts {
        node: None,
        site: None,
        jurisdiction: place(target),
        control: Some(vec![]),
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
    }
}

fn label(class: DataClass, subjects: &[&str]) -> Label {
    let subjects = subjects.iter().map(|code| place(code)).collect();
    Label { class, tags: vec![], subjects, purpose: None }
}

/// What is told of data from Germany, a line for each.
fn told(policy: Policy, label: &Label, facts: &PlaceFacts) -> Vec<String> {
    let law = Law::new(Arc::new(policy));
    let (app, model) = (AppName::parse("chat").unwrap(), ModelName::parse("small").unwrap());
    let operator = Operator::parse("acme").unwrap();
    let (action, origin) = (LawAction::Infer, place("DE"));
    let matter = Matter { action, app: &app, model: &model, label, origin, operator: &operator };
    let line = |one: WhatIf| {
        let then = match one.then {
            Then::Permitted(rule) => rule.map_or_else(|| "yes".to_owned(), |rule| format!("yes by {rule}")),
            Then::Forbidden(rule) => format!("no by {rule}"),
        };
        format!("{}: {} -> {} ({}): {then}", one.fact, one.now, one.instead.join(" | "), one.whose.as_str())
    };
    what_ifs(&law, &matter, &Target::new(facts, PlaceKind::Peer)).into_iter().map(line).collect()
}

fn eea() -> hither_types::law::Rule {
    let mut eea = rule("eea");
    eea.classes = vec![DataClass::Internal, DataClass::Personal];
    (eea.origin, eea.target) = (region(&["DE", "FR"]), region(&["DE", "FR"]));
    eea
}

#[test]
fn each_single_change_that_opens_it_is_told_with_who_could_make_it() {
    let mut strict = eea();
    (strict.assurance, strict.same_operator) = (Some(Assurance::Near), Some(true));
    strict.not_control = vec![place("US")];
    let law = || policy(vec![strict.clone()], vec![]);
    let personal = label(DataClass::Personal, &["DE"]);
    let permit = |at: &str| format!("permit:  -> infer of personal data by app chat at {at} (policy): yes");
    let near = "assurance: 1 (vouched) -> 2 (near) | 3 (hardware) (place): yes by eea".to_owned();
    assert_eq!(told(law(), &personal, &facts("FR")), [near, permit("FR")]);
    let other = PlaceFacts { assurance: Assurance::Near, operator: Operator::parse("globex").unwrap(), ..facts("FR") };
    assert_eq!(
        told(law(), &personal, &other),
        ["same_operator: globex -> acme (place): yes by eea".to_owned(), permit("FR")]
    );
    let under = PlaceFacts { assurance: Assurance::Near, control: Some(vec![place("US")]), ..facts("FR") };
    assert_eq!(
        told(law(), &personal, &under),
        ["not_control: [\"US\"] -> [] (place): yes by eea".to_owned(), permit("FR")]
    );
    let far = PlaceFacts { assurance: Assurance::Near, ..facts("US") };
    assert_eq!(
        told(law(), &personal, &far),
        ["target: US -> [\"DE\", \"FR\"] (place): yes by eea".to_owned(), permit("US")]
    );
}

#[test]
fn a_lower_class_is_the_operators_to_give_and_a_higher_one_may_be_asked_for() {
    let law = || policy(vec![eea()], vec![]);
    let lines = |class| told(law(), &label(class, &["DE"]), &facts("FR")).remove(0);
    assert_eq!(lines(DataClass::Special), "class: special -> internal | personal (operator): yes by eea");
    assert_eq!(lines(DataClass::Public), "class: public -> internal | personal (request): yes by eea");
}

#[test]
fn a_forbid_that_would_still_hold_is_named() {
    let mut forbid = rule("no-france");
    forbid.target = region(&["FR"]);
    let mut second = rule("no-children");
    second.tags = vec![Tag::parse("child").unwrap()];
    let law = || policy(vec![eea()], vec![forbid.clone(), second.clone()]);
    // Only the forbid is in the way.
    let personal = label(DataClass::Personal, &["DE"]);
    assert_eq!(told(law(), &personal, &facts("FR")), ["forbid:  -> no-france (policy): yes by eea"]);
    // Behind it is another.
    let child = Label { tags: vec![Tag::parse("child").unwrap()], ..personal };
    assert_eq!(told(law(), &child, &facts("FR")), ["forbid:  -> no-france (policy): no by no-children"]);
    // A permit would not be enough.
    assert_eq!(
        told(law(), &label(DataClass::Special, &["DE"]), &facts("FR")),
        [
            "class: special -> internal | personal (operator): no by no-france",
            "permit:  -> infer of special data by app chat at FR (policy): no by no-france"
        ]
    );
}

#[test]
fn names_and_subjects_that_would_do_are_told() {
    let mut named = eea();
    named.apps = vec![AppName::parse("triage").unwrap()];
    let personal = label(DataClass::Personal, &["DE"]);
    let lines = told(policy(vec![named], vec![]), &personal, &facts("FR"));
    assert_eq!(lines[0], "apps: chat -> triage (operator): yes by eea");
    let lines = told(policy(vec![eea()], vec![]), &label(DataClass::Personal, &["DE", "ID"]), &facts("FR"));
    assert_eq!(lines[0], "subjects: ID -> [\"DE\"] (operator): yes by eea");
}

#[test]
fn what_takes_two_changes_is_not_told_and_what_is_permitted_needs_none() {
    let law = || policy(vec![eea()], vec![]);
    let lines = told(law(), &label(DataClass::Secret, &["DE"]), &facts("US"));
    assert_eq!(lines, ["permit:  -> infer of secret data by app chat at US (policy): yes"]);
    assert_eq!(told(law(), &label(DataClass::Personal, &["DE"]), &facts("FR")), [""; 0]);
    // No permit can name a place that nobody knows.
    assert_eq!(told(law(), &label(DataClass::Secret, &["DE"]), &facts("ZZ")), [""; 0]);
    assert!(RuleId::parse(super::SUCH_A_PERMIT).is_ok());
}

/// What the rules say one by one of a change, if that is worth a word: by the policy, and by its permits alone.
fn expected(policy: &Policy, permitted: bool, question: &Question<'_>) -> Option<Then> {
    let permits = Policy { forbids: Vec::new(), ..policy.clone() };
    match (judge(policy, question), judge(&permits, question)) {
        (Verdict::Permitted(rule), _) => Some(Then::Permitted(Some(rule))),
        (Verdict::Denied(Denial::Forbidden { rule, .. }), Verdict::Permitted(_)) if !permitted => {
            Some(Then::Forbidden(rule))
        }
        _ => None,
    }
}

/// What is told of one value of a fact.
fn said(told: &[WhatIf], fact: &str, value: &str) -> Option<Then> {
    let of = |one: &&WhatIf| one.fact == fact && one.instead.iter().any(|instead| instead == value);
    told.iter().find(of).map(|one| one.then.clone())
}

#[test]
fn what_is_told_of_a_class_or_a_level_is_what_the_rules_say_one_by_one() {
    let (mut draw, mut worth, mut forbidden) = (Draw(Random::new(3)), 0, 0);
    for _ in 0..400 {
        let law = Law::new(Arc::new(draw.policy()));
        for _ in 0..20 {
            let (app, model) = (AppName::parse(draw.one(&APPS)).unwrap(), ModelName::parse(draw.one(&MODELS)).unwrap());
            let (label, facts, operator) = (draw.label(), draw.facts(), Operator::parse(draw.one(&OPERATORS)).unwrap());
            let (action, origin) = (LawAction::Infer, place(draw.one(&PLACES)));
            let kind = draw.one(&[PlaceKind::Home, PlaceKind::Peer, PlaceKind::Peer, PlaceKind::Cloud]);
            let matter = Matter { action, app: &app, model: &model, label: &label, origin, operator: &operator };
            let told = what_ifs(&law, &matter, &Target::new(&facts, kind));
            let ask = |policy: &Policy, permitted: bool, label: &Label, target: &PlaceFacts| {
                let (app, model, origin_operator) = (&app, &model, &operator);
                let question = Question { action, app, model, label, origin, origin_operator, target, kind };
                expected(policy, permitted, &question)
            };
            let permits = Policy { forbids: Vec::new(), ..(**law.policy()).clone() };
            let permitted = ask(&permits, false, &label, &facts).is_some();
            if matches!(ask(law.policy(), permitted, &label, &facts), Some(Then::Permitted(_))) {
                assert_eq!(told, []);
                continue;
            }
            for class in DataClass::ALL.into_iter().filter(|class| *class != label.class) {
                let then = ask(law.policy(), permitted, &Label { class, ..label.clone() }, &facts);
                assert_eq!(said(&told, "class", class.as_str()), then, "{:#?} {told:#?}", law.policy());
                worth += usize::from(then.is_some());
                forbidden += usize::from(matches!(then, Some(Then::Forbidden(_))));
            }
            for assurance in LEVELS.into_iter().filter(|level| *level > facts.assurance) {
                let then = ask(law.policy(), permitted, &label, &PlaceFacts { assurance, ..facts.clone() });
                assert_eq!(said(&told, "assurance", super::level(assurance)), then, "{:#?} {told:#?}", law.policy());
            }
        }
    }
    assert!(worth > 500 && forbidden > 100, "dull: {worth} {forbidden}");
}
