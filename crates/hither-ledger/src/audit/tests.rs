//! Sums over ledgers that say a little.

use std::path::Path;

use hither_types::fact::{Counterpart, Fact, Outcome, Permit, Ran};
use hither_types::id::{AppName, Digest, ModelName, Operator, RequestId, RuleId, SiteName};
use hither_types::place::{Jurisdiction, PlaceKind};
use hither_types::spending::Link;
use hither_types::unit::{Micros, Millijoules};

use super::{Audit, Draw, Period, Refuser, Way, audit};
use crate::damage::VerifyError;
use crate::record::Kind;
use crate::samples::{
    MUNICH, PARIS, REQUEST, accepted, answered, counterpart, entries, intent, node, open, refused, rule, scratch,
    settled, subject, write,
};

fn started(secret: &[u8; 32]) -> Fact {
    Fact::Started {
        policy: Digest([9; 32]),
        version: "0.1.0".to_owned(),
        build: Vec::new(),
        config: None,
        here: counterpart(secret),
    }
}

fn ended(served: &[u8; 32], outcome: Outcome) -> Fact {
    let served_by = Some(node(served));
    let took = Micros(1_500_900);
    Fact::Ended {
        subject: subject(0),
        served_by,
        outcome,
        attempts: 1,
        energy: Millijoules(250),
        took,
        reference: None,
    }
}

fn of(dir: &Path) -> Audit {
    audit(&[dir], &Period::default(), Draw::default()).unwrap()
}

#[test]
fn what_left_is_summed_by_where_it_went_and_on_whose_word() {
    let dir = scratch();
    // Paris asks Munich twice, and the second time ends without a word of what became of it.
    let facts = [
        started(&PARIS),
        intent(1, 1832),
        settled(1, 1832, 640, Outcome::Answered),
        ended(&MUNICH, Outcome::Answered),
        intent(2, 100),
        settled(2, 0, 0, Outcome::Refused),
        intent(3, 7),
    ];
    write(dir.path(), &PARIS, &facts);
    let audit = of(dir.path());
    let (course, moved) = audit.courses.first_key_value().unwrap();
    assert_eq!(audit.courses.len(), 1, "{:?}", audit.courses);
    assert_eq!((course.from.unwrap().to_string(), course.to.to_string()), ("FR".into(), "DE-BY".into()));
    assert_eq!((course.site.as_str(), course.way, course.crosses()), ("munich", Way::Request, Some(true)));
    assert_eq!(course.rule, Some(rule()));
    assert_eq!((moved.transfers, moved.unsettled, moved.bytes.0), (1, 1, 1839));
    let work = &audit.work[&course.work];
    assert_eq!((work.here, work.elsewhere, work.energy_mj), (0, 1, 250));
    assert_eq!(audit.first.keys().map(|(_, to)| to.to_string()).collect::<Vec<_>>(), ["DE"]);
    assert_eq!(audit.ledgers[0].here.as_ref().unwrap().site.as_str(), "paris");
}

#[test]
fn an_answer_leaves_by_the_permit_of_the_request() {
    let dir = scratch();
    let facts = [
        started(&MUNICH),
        accepted(1, 1832),
        answered(1, 640, Outcome::Answered),
        refused(2),
        refused(2),
        // Of this answer nobody knows how much of it left.
        accepted(3, 1832),
    ];
    write(dir.path(), &MUNICH, &facts);
    let audit = of(dir.path());
    let (course, moved) = audit.courses.first_key_value().unwrap();
    assert_eq!((course.way, course.site.as_str(), course.rule.clone()), (Way::Answer, "paris", Some(rule())));
    assert_eq!((moved.transfers, moved.unsettled, moved.bytes.0), (1, 1, 640));
    let (refusal, count) = audit.refusals.first_key_value().unwrap();
    assert_eq!((refusal.asked_from.as_ref().unwrap().as_str(), *count), ("paris", 2));
}

#[test]
fn a_node_that_never_said_where_it_stands_crosses_no_known_border() {
    let dir = scratch();
    write(dir.path(), &PARIS, &[intent(1, 9), settled(1, 9, 1, Outcome::Answered)]);
    let audit = of(dir.path());
    assert_eq!(audit.courses.keys().map(super::Course::crosses).collect::<Vec<_>>(), [None]);
}

#[test]
fn what_left_says_whose_the_other_end_is_and_which_way_it_went() {
    let leaves = |to: Counterpart| {
        let dir = scratch();
        let mut fact = settled(1, 9, 1, Outcome::Answered);
        if let Fact::EgressSettled { to: place, .. } = &mut fact {
            *place = to;
        }
        write(dir.path(), &PARIS, &[started(&PARIS), fact]);
        let (course, _) = of(dir.path()).courses.pop_first().unwrap();
        (course.operator.as_ref().unwrap().to_string(), course.link.unwrap(), course.crosses().unwrap())
    };
    let there = |site: &str, jurisdiction: &str, operator: &str, kind| Counterpart {
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse(jurisdiction).unwrap(),
        operator: Operator::parse(operator).unwrap(),
        kind,
        ..counterpart(&MUNICH)
    };
    for (to, said) in [
        (there("paris", "FR", "acme", PlaceKind::Peer), ("acme".to_owned(), Link::Lan, false)),
        (there("lyon", "FR-ARA", "klinik-ag", PlaceKind::Peer), ("klinik-ag".to_owned(), Link::InterSite, false)),
        (there("munich", "DE-BY", "acme", PlaceKind::Peer), ("acme".to_owned(), Link::CrossBorder, true)),
        (there("big", "US", "big-cloud", PlaceKind::Cloud), ("big-cloud".to_owned(), Link::Cloud, true)),
    ] {
        assert_eq!(leaves(to), said);
    }
}

#[test]
fn work_is_told_apart_by_the_model_that_ran() {
    let dir = scratch();
    let ran = Ran { model: ModelName::parse("smollm2:3").unwrap(), digest: Digest([5; 32]) };
    let mut fact = ended(&PARIS, Outcome::Answered);
    if let Fact::Ended { subject, .. } = &mut fact {
        subject.ran = Some(ran.clone());
    }
    write(dir.path(), &PARIS, &[started(&PARIS), ended(&PARIS, Outcome::Answered), fact]);
    let audit = of(dir.path());
    let ran_by: Vec<(&str, Option<&Ran>)> =
        audit.work.keys().map(|work| (work.model.as_str(), work.ran.as_ref())).collect();
    assert_eq!(ran_by, [("smollm2-135m", None), ("smollm2-135m", Some(&ran))]);
}

#[test]
fn what_left_by_a_newer_law_stands_under_the_rule_that_held_when_it_left() {
    let dir = scratch();
    let newer = Permit { rule: RuleId::parse("newer").unwrap(), policy: Digest([10; 32]) };
    let mut fact = settled(1, 9, 1, Outcome::Answered);
    if let Fact::EgressSettled { left_by, .. } = &mut fact {
        *left_by = Some(newer.clone());
    }
    write(dir.path(), &PARIS, &[started(&PARIS), intent(1, 9), fact]);
    let audit = of(dir.path());
    assert_eq!(audit.courses.keys().map(|course| course.rule.clone()).collect::<Vec<_>>(), [Some(newer.rule)]);
}

#[test]
fn only_the_period_counts_but_for_what_was_first() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &PARIS);
    let facts = [started(&PARIS), intent(1, 9), settled(1, 9, 1, Outcome::Answered)];
    ledger.append(&entries(&facts)).unwrap();
    let mut later = entries(&[intent(2, 4), settled(2, 4, 1, Outcome::Answered)]);
    // 31 days.
    later.iter_mut().for_each(|entry| entry.wall.0 += 2_678_400_000);
    ledger.append(&later).unwrap();
    drop(ledger);
    let whole = of(dir.path());
    let bytes = |audit: &Audit| audit.courses.values().map(|moved| moved.bytes.0).sum::<u64>();
    assert_eq!(bytes(&whole), 13);
    let (first, last) = whole.ledgers[0].span.clone().unwrap();
    // What was the law when a period began is told, though the node started before.
    for (from, to, expected, starts) in [
        (None, Some(&last[..7]), 9, 1),
        (Some(&last[..7]), None, 4, 1),
        (Some("2999"), None, 0, 1),
        (None, Some("2000"), 0, 0),
    ] {
        let period = Period { from: from.map(str::to_owned), to: to.map(str::to_owned) };
        let audit = audit(&[dir.path()], &period, Draw::default()).unwrap();
        assert_eq!((bytes(&audit), audit.of_kinds(&[Kind::ConfigStart]).count()), (expected, starts), "{period:?}");
        let found: Vec<(&str, bool)> = audit.first.values().map(|first| (&*first.ts, first.or_before)).collect();
        assert_eq!(found, [("2026-11-22T12:00:00.124Z", false)], "{first}");
    }
}

#[test]
fn each_use_has_its_start_and_its_end_and_what_is_not_listed_is_counted() {
    let dir = scratch();
    let facts = [ended(&MUNICH, Outcome::Answered), ended(&PARIS, Outcome::Refused), ended(&PARIS, Outcome::Answered)];
    write(dir.path(), &PARIS, &facts);
    let audit = audit(&[dir.path()], &Period::default(), Draw { uses: 2, ..Draw::default() }).unwrap();
    let uses: Vec<_> = audit.uses.iter().map(|one| (one.began.as_deref(), &*one.ended, one.outcome)).collect();
    assert_eq!(
        uses,
        [
            (Some("2026-11-22T11:59:58.623Z"), "2026-11-22T12:00:00.123Z", Outcome::Answered),
            (Some("2026-11-22T11:59:58.624Z"), "2026-11-22T12:00:00.124Z", Outcome::Refused),
        ]
    );
    assert_eq!((audit.uses[0].served_by, audit.unlisted), (Some(node(&MUNICH)), 1));
    // What a period has is from the start of its first use to the end of its last.
    let (first, last) = audit.work.values().next().unwrap().span.clone().unwrap();
    assert_eq!((&*first, &*last), ("2026-11-22T11:59:58.623Z", "2026-11-22T12:00:00.125Z"));
}

#[test]
fn a_sample_is_the_same_for_everybody_and_another_with_another_seed() {
    let dir = scratch();
    let facts: Vec<Fact> = (0..40)
        .map(|number| {
            let mut subject = subject(0);
            subject.request = RequestId(REQUEST.0 + number);
            Fact::Denied { subject, rule: None, considered: 1 }
        })
        .collect();
    write(dir.path(), &PARIS, &facts);
    let draw = |seed| audit(&[dir.path()], &Period::default(), Draw { count: 5, seed, ..Draw::default() }).unwrap();
    let (one, again, other) = (draw(1), draw(1), draw(2));
    assert_eq!((one.population, one.sample.len()), (40, 5));
    assert_eq!(one.sample, again.sample);
    assert_ne!(one.sample.keys().collect::<Vec<_>>(), other.sample.keys().collect::<Vec<_>>());
    assert!(one.sample.values().all(|records| records.len() == 1));
    let nobody = audit(&[dir.path()], &Period::default(), Draw::default()).unwrap();
    assert_eq!((nobody.sample.len(), nobody.population), (0, 0));
}

#[test]
fn what_nobody_asked_is_in_no_sample_and_no_refusal_of_the_law() {
    let dir = scratch();
    let denied = |number, app: &str, model: &str, rule: Option<&str>| {
        let mut subject = subject(0);
        subject.request = RequestId(REQUEST.0 + number);
        (subject.app, subject.model) = (AppName::parse(app).unwrap(), ModelName::parse(model).unwrap());
        Fact::Denied { subject, rule: rule.map(|rule| RuleId::parse(rule).unwrap()), considered: 1 }
    };
    let facts = [
        denied(0, "ct-triage", "smollm2-135m", None),
        denied(1, "canary", "canary", None),
        denied(2, "ct-triage", "smollm2-135m", Some("egress-budget")),
        // An app of somebody that is called so, of before the name was kept.
        denied(3, "canary", "smollm2-135m", None),
    ];
    write(dir.path(), &PARIS, &facts);
    let drawn = audit(&[dir.path()], &Period::default(), Draw { count: 5, seed: 1, ..Draw::default() }).unwrap();
    let requests: Vec<u128> = drawn.sample.keys().map(|request| request.0 - REQUEST.0).collect();
    assert_eq!((requests, drawn.population), (vec![0, 2, 3], 3));
    let by: Vec<(Refuser, &str)> =
        drawn.refusals.keys().map(|refusal| (refusal.by, refusal.work.app.as_str())).collect();
    assert_eq!(
        by,
        [
            (Refuser::Law, "canary"),
            (Refuser::Law, "ct-triage"),
            (Refuser::Budget, "ct-triage"),
            (Refuser::Canary, "canary"),
        ]
    );
}

#[test]
fn a_request_that_left_and_never_ended_can_be_drawn() {
    let dir = scratch();
    write(dir.path(), &PARIS, &[started(&PARIS), intent(1, 9)]);
    let drawn = audit(&[dir.path()], &Period::default(), Draw { count: 5, seed: 1, ..Draw::default() }).unwrap();
    assert_eq!((drawn.population, drawn.sample[&REQUEST].len()), (1, 1));
}

#[test]
fn nothing_is_summed_of_a_damaged_ledger_or_of_one_twice() {
    let dir = scratch();
    write(dir.path(), &PARIS, &[started(&PARIS), intent(1, 9)]);
    let twice = audit(&[dir.path(), dir.path()], &Period::default(), Draw::default());
    assert!(matches!(twice, Err(VerifyError::Twice { .. })), "{twice:?}");
    let file = dir.path().join("ledger.jsonl");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let damaged = audit(&[dir.path()], &Period::default(), Draw::default());
    assert!(matches!(damaged, Err(VerifyError::Damaged { .. })), "{damaged:?}");
}
