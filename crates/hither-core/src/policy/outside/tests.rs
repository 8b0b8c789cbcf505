//! What somebody outside the mesh may be shown or given.

use hither_types::id::{AppName, ModelName, Operator};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Rule, Verdict};
use hither_types::place::{Assurance, Jurisdiction};

use super::{Outsider, Shown, judge_outside};
use crate::policy::tests::{place, policy, region, rule};

/// The answer about personal data of acme from Germany: the rule that permits, or nothing.
fn answer(policy: &Policy, from: Option<&str>, to: (&str, Option<&str>)) -> Option<String> {
    let (app, model) = (AppName::parse("chat").unwrap(), ModelName::parse("small").unwrap());
    let label = Label { class: DataClass::Personal, tags: vec![], subjects: vec![place("DE")], purpose: None };
    let operator = |name: Option<&str>| name.map(|name| Operator::parse(name).unwrap());
    let from = operator(from);
    let shown = Shown {
        action: LawAction::Observe,
        app: &app,
        model: &model,
        label: &label,
        origin: place("DE"),
        operator: from.as_ref(),
    };
    let jurisdiction = if to.0.is_empty() { Jurisdiction::UNKNOWN } else { place(to.0) };
    match judge_outside(policy, &shown, &Outsider { jurisdiction, operator: operator(to.1), control: None }) {
        Verdict::Permitted(rule) => Some(rule.to_string()),
        Verdict::Denied(_) => None,
    }
}

fn observe(id: &str) -> Rule {
    Rule { actions: vec![LawAction::Observe], ..rule(id) }
}

#[test]
fn nothing_is_permitted_that_no_rule_permits_and_a_forbid_without_an_action_speaks_of_it() {
    assert_eq!(answer(&policy(vec![rule("work")], vec![]), Some("acme"), ("DE", Some("acme"))), None);
    let seen = vec![Rule { target: region(&["DE"]), ..observe("seen") }];
    let open = policy(seen.clone(), vec![]);
    assert_eq!(answer(&open, Some("acme"), ("DE-BY", Some("x"))).as_deref(), Some("seen"));
    let stays = Rule { actions: LawAction::ALL.to_vec(), target_not: region(&["FR"]), ..rule("stays") };
    assert_eq!(answer(&policy(seen, vec![stays]), Some("acme"), ("DE", Some("x"))), None);
}

#[test]
fn a_place_that_nobody_states_is_in_no_target_and_known_no_better_than_claimed() {
    let within = policy(vec![Rule { target: region(&["DE", "US"]), ..observe("within") }], vec![]);
    assert_eq!(answer(&within, Some("acme"), ("", None)), None);
    let vouched = policy(vec![Rule { assurance: Some(Assurance::Vouched), ..observe("vouched") }], vec![]);
    assert_eq!(answer(&vouched, Some("acme"), ("DE", Some("acme"))), None);
    let free = policy(vec![Rule { not_control: vec![place("US")], ..observe("free") }], vec![]);
    assert_eq!(answer(&free, Some("acme"), ("DE", Some("acme"))), None);
    let anywhere = policy(vec![observe("anywhere")], vec![]);
    assert_eq!(answer(&anywhere, None, ("", None)).as_deref(), Some("anywhere"));
}

#[test]
fn who_runs_it_satisfies_no_permit_and_escapes_no_forbid_while_it_is_not_known() {
    for (from, to) in [(Some("acme"), None), (None, Some("acme")), (None, None)] {
        for same in [true, false] {
            let of = |id: &str| Rule { same_operator: Some(same), ..observe(id) };
            assert_eq!(answer(&policy(vec![of("permit")], vec![]), from, ("DE", to)), None, "{from:?} {to:?} {same}");
            let forbidden = policy(vec![observe("all")], vec![of("forbid")]);
            assert_eq!(answer(&forbidden, from, ("DE", to)), None, "{from:?} {to:?} {same}");
        }
    }
    let same = policy(vec![Rule { same_operator: Some(true), ..observe("ours") }], vec![]);
    assert_eq!(answer(&same, Some("acme"), ("DE", Some("acme"))).as_deref(), Some("ours"));
    assert_eq!(answer(&same, Some("acme"), ("DE", Some("other"))), None);
}
