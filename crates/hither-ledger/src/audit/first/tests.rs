//! Tests of first transfers, before and after what is old was deleted.

use hither_types::fact::{Fact, Outcome};
use hither_types::id::Digest;
use hither_types::law::Retention;
use hither_types::place::Jurisdiction;
use hither_types::time::WallTime;

use super::super::{Audit, Draw, Period, audit};
use super::{First, Word};
use crate::record::Kind;
use crate::retention::plan;
use crate::samples::{PARIS, all_facts, counterpart, entries, intent, open, scratch, settled};

const DAY_MS: u64 = 86_400_000;

fn started() -> Fact {
    Fact::Started {
        policy: Digest([9; 32]),
        version: "0.1.0".to_owned(),
        build: Vec::new(),
        config: None,
        here: counterpart(&PARIS),
    }
}

fn said() -> Fact {
    let country = |code| Jurisdiction::parse(code).unwrap();
    Fact::FirstTransfer { left: country("FR"), to: country("DE") }
}

fn went(attempt: u8) -> [Fact; 2] {
    [intent(attempt, 9), settled(attempt, 9, 1, Outcome::Answered)]
}

/// What an audit finds of days of records, of which those older than 184 days are deleted 200 days after the first.
fn first_of(days: &[(u64, &[Fact])]) -> Vec<First> {
    let dir = scratch();
    let mut ledger = open(dir.path(), &PARIS);
    for (day, facts) in days {
        let mut entries = entries(facts);
        entries.iter_mut().for_each(|entry| entry.wall.0 += day * DAY_MS);
        ledger.append(&entries).unwrap();
    }
    let now = WallTime(entries(&[said()])[0].wall.0 + 200 * DAY_MS);
    ledger.end_day(now).unwrap();
    let here = counterpart(&PARIS).jurisdiction;
    for expired in plan(dir.path(), &Retention::default(), here, now).unwrap().expired {
        ledger.delete(&expired, Digest([9; 32]), now, 7).unwrap();
    }
    let Audit { first, .. } = audit(&[dir.path()], &Period::default(), Draw::default()).unwrap();
    assert!(first.keys().all(|(left, to)| left.unwrap().to_string() == "FR" && to.to_string() == "DE"));
    first.into_values().collect()
}

fn first(ts: &str, or_before: bool, word: Word) -> Vec<First> {
    vec![First { ts: ts.to_owned(), or_before, word }]
}

#[test]
fn the_first_transfer_is_still_known_when_its_records_are_deleted() {
    let [old, old_end] = went(1);
    let [new, new_end] = went(2);
    let days: [(u64, &[Fact]); 2] = [(0, &[started(), said(), old, old_end]), (100, &[new, new_end])];
    assert_eq!(first_of(&days), first("2026-11-22T12:00:00.124Z", false, Word::Said));
}

#[test]
fn where_nothing_is_missing_what_left_says_it_and_not_what_was_about_to() {
    let [new, new_end] = went(2);
    // Upon the first record nothing left, for 20 days.
    let days: [(u64, &[Fact]); 2] = [(100, &[started(), said()]), (120, &[new, new_end])];
    assert_eq!(first_of(&days), first("2027-03-22T12:00:00.123Z", false, Word::Transfer));
    assert_eq!(first_of(&[(100, &[started(), said()])]), []);
}

#[test]
fn where_what_is_older_was_deleted_and_nothing_is_said_it_may_have_been_before() {
    let [old, old_end] = went(1);
    let [new, new_end] = went(2);
    // The record was deleted with the others, as programs did once: only the second transfer is there.
    let days: [(u64, &[Fact]); 2] = [(0, &[started(), old, old_end]), (100, &[new, new_end])];
    assert_eq!(first_of(&days), first("2027-03-02T12:00:00.123Z", true, Word::Transfer));
}

#[test]
fn a_ledger_that_began_after_a_loss_does_not_know_what_was_before() {
    let [new, new_end] = went(2);
    let lost = all_facts().into_iter().find(|fact| Kind::from(fact) == Kind::LossAccept).unwrap();
    assert_eq!(
        first_of(&[(100, &[started(), lost, new, new_end])]),
        first("2027-03-02T12:00:00.125Z", true, Word::Transfer)
    );
}
