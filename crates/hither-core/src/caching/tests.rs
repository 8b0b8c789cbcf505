//! What an engine read may stay where both laws say so, and nowhere else.

use hither_types::id::RuleId;
use hither_types::law::{LawAction, Policy};

use super::*;
use crate::Event;
use crate::tests::{
    FRAUD, PARIS, Play, asked, done, eea, envelope, heard, law, no_fraud_in_germany, of, own, ready, recorded,
    submitted, until, with,
};

/// As [`eea`], and what is read there may stay there.
fn keeping() -> Policy {
    let mut policy = eea();
    let mut rule = policy.permits[0].clone();
    (rule.id, rule.actions) = (RuleId::parse("eea-keeps").unwrap(), vec![LawAction::Cache]);
    policy.permits.push(rule);
    policy
}

/// As [`keeping`], and nothing may stay in Germany, home or not.
fn forgetting() -> Policy {
    let mut policy = keeping();
    let mut rule = policy.permits[2].clone();
    (rule.id, rule.origin) = (RuleId::parse("forget").unwrap(), None);
    policy.forbids.push(rule);
    policy
}

/// What becomes of what is read, at each start and each leave of a script.
fn prefixes(policy: Policy, script: Vec<(u64, Event)>) -> Vec<Prefix> {
    let mut play = Play::new(policy).then(script);
    play.only(&[]);
    play.prefixes
}

#[test]
fn what_is_read_at_home_stays_unless_a_rule_forbids_it() {
    let script = || vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD), until(2)];
    assert_eq!(prefixes(eea(), script()), [Prefix::Stays]);
    assert_eq!(prefixes(forgetting(), script()), [Prefix::Goes]);
}

#[test]
fn of_tensors_nothing_stays() {
    let tensors = Envelope { kind: RequestKind::Infer, ..envelope(FRAUD) };
    assert_eq!(prefixes(keeping(), vec![ready(0, FRAUD, 1), with(1, 1, tensors)]), [Prefix::Goes]);
}

#[test]
fn what_leaves_may_stay_there_by_a_permit_of_its_own_and_that_is_on_the_record() {
    let script = || vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1)];
    assert_eq!(prefixes(keeping(), script()), [Prefix::Stays]);
    assert_eq!(prefixes(eea(), script()), [Prefix::Goes]);
    Play::new(keeping()).then(script()).check(
        "
        1: record#1 intent 1/1 to paris by eea, may stay by eea-keeps, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
    ",
    );
}

#[test]
fn the_law_is_asked_again_when_it_leaves_and_what_the_record_does_not_say_stays_nowhere() {
    let script = |then| vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), law(2, then), recorded(3, 1)];
    assert_eq!(prefixes(eea(), script(Policy { digest: Digest([9; 32]), ..keeping() })), [Prefix::Goes]);
    assert_eq!(prefixes(keeping(), script(Policy { digest: Digest([9; 32]), ..keeping() })), [Prefix::Stays]);
}

#[test]
fn what_may_stay_no_more_before_it_leaves_gets_another_record() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        law(2, Policy { digest: Digest([9; 32]), ..eea() }),
        recorded(3, 1),
        recorded(4, 2),
    ];
    Play::new(keeping()).then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, may stay by eea-keeps, 1000 B
        3: record settled 1/1 to paris: 0 B, 0 B back, Refused
        3: record#2 intent 1/1 to paris by eea, 1000 B
        4: route 1/1 paris by eea
        4: forward 1/1 to paris, 9997 ms left
    ",
    );
}

#[test]
fn of_a_request_of_another_nothing_stays_that_its_record_does_not_say() {
    let wider = Policy { digest: Digest([9; 32]), ..keeping() };
    let script = |then| vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), law(2, then), recorded(3, 1)];
    assert_eq!(prefixes(eea(), script(wider)), [Prefix::Goes]);
    assert_eq!(prefixes(keeping(), script(Policy { digest: Digest([9; 32]), ..eea() })), [Prefix::Goes]);
}

#[test]
fn of_a_request_of_another_it_stays_by_our_own_law() {
    let script = || vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), recorded(2, 1)];
    assert_eq!(prefixes(keeping(), script()), [Prefix::Stays]);
    assert_eq!(prefixes(eea(), script()), [Prefix::Goes]);
    assert_eq!(prefixes(forgetting(), script()), [Prefix::Goes]);
    Play::new(keeping()).then(script()).check(
        "
        1: record#1 ingress 7/1 from paris by eea, may stay by eea-keeps, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
    ",
    );
}

#[test]
fn a_place_where_nothing_stays_is_no_nearer_for_a_prompt_that_begins_alike() {
    for (policy, known) in [(keeping(), Some(PARIS)), (eea(), None), (no_fraud_in_germany(), None)] {
        let mut play = Play::new(policy);
        let (_, mut asked) = submitted(1, 1, FRAUD);
        if let Event::Submitted { affinity, .. } = &mut asked {
            *affinity = Some(77);
        }
        for (at, event) in [heard(0, PARIS, FRAUD, 0), (1, asked), recorded(2, 1), done(300, own(1, 1))] {
            play.step(at, event);
        }
        assert_eq!(play.core.affinities.place(77), known);
    }
}
