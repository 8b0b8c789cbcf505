//! Tests of joining ledgers. Paris asks, Munich answers.

use hither_types::fact::Outcome::{Answered, Cancelled, Refused as Failed};
use hither_types::fact::{Fact, Outcome};
use hither_types::id::Digest;
use hither_types::law::Retention;
use hither_types::time::WallTime;

use super::*;
use crate::retention::plan;
use crate::samples::{
    MUNICH, PARIS, accepted, answered, counterpart, entries, intent, node, open, refused, scratch, settled, write,
};
use crate::writer::Entry;

/// Writes both ledgers, joins them, and says what was found as text.
fn check(paris: &[Fact], munich: &[Fact], expected: &[&str]) {
    let (a, b) = (scratch(), scratch());
    write(a.path(), &PARIS, paris);
    write(b.path(), &MUNICH, munich);
    let one_way = reconcile(&[a.path(), b.path()]).unwrap();
    let other_way = reconcile(&[b.path(), a.path()]).unwrap();
    assert_eq!((&one_way.pairs, &one_way.findings), (&other_way.pairs, &other_way.findings));
    assert_eq!(summary(&one_way), expected);
}

fn summary(found: &Reconciliation) -> Vec<String> {
    let pairs = found.pairs.iter().map(|pair| {
        let answer = pair.answer.map_or("?".to_owned(), |answer| answer.0.to_string());
        format!("{}: {} out, {answer} back", pair.transfer.attempt.0, pair.payload.0)
    });
    let findings = found.findings.iter().map(|finding| {
        let text = finding.to_string();
        let (_, what) = text.split_once(": ").unwrap();
        format!("{:?} {}: {what}", finding.severity(), finding.transfer().attempt.0)
    });
    pairs.chain(findings).collect()
}

fn settled_as(outcome: Outcome) -> Vec<Fact> {
    vec![intent(1, 1832), settled(1, 1832, 640, outcome)]
}

#[test]
fn two_ends_that_agree_are_a_pair_with_exact_bytes() {
    check(&settled_as(Answered), &[accepted(1, 1832), answered(1, 640, Answered)], &["1: 1832 out, 640 back"]);
}

#[test]
fn attempts_of_one_request_are_transfers_of_their_own() {
    let paris = [intent(1, 100), intent(2, 120), settled(1, 100, 0, Failed), settled(2, 120, 64, Answered)];
    let munich = [accepted(1, 100), answered(1, 0, Failed), accepted(2, 120), answered(2, 64, Answered)];
    check(&paris, &munich, &["1: 100 out, 0 back", "2: 120 out, 64 back"]);
}

#[test]
fn a_target_that_was_killed_is_explained() {
    let killed_before = "Note 1: 1832 bytes sent, and the target has no record: it died or was out of reach";
    check(&settled_as(Failed), &[], &[killed_before]);
    let killed_amid = "Note 1: accepted, and the answer was not closed: the target died, froze, or is answering";
    check(&settled_as(Failed), &[accepted(1, 1832)], &["1: 1832 out, ? back", killed_amid]);
}

#[test]
fn an_origin_that_was_killed_is_explained() {
    let open = "Note 1: recorded, not settled, unknown to the target: the origin died, or is sending";
    check(&[intent(1, 10)], &[], &[open]);
    let munich = [accepted(1, 10), answered(1, 640, Cancelled)];
    let unsettled = "Note 1: accepted, and not settled at the origin: it died, or is waiting";
    check(&[intent(1, 10)], &munich, &["1: 10 out, ? back", unsettled]);
}

#[test]
fn what_was_refused_or_never_sent_is_explained() {
    check(&[intent(1, 10), settled(1, 0, 0, Failed)], &[], &["Note 1: recorded, and then not sent"]);
    check(&[intent(1, 10), settled(1, 10, 0, Failed)], &[refused(1)], &["Note 1: refused by the target"]);
}

#[test]
fn an_answer_that_was_given_up_may_arrive_in_part_but_not_grow() {
    let cut = ["1: 1832 out, ? back", "Note 1: given up: of 900 bytes of the answer, 640 arrived"];
    check(&settled_as(Cancelled), &[accepted(1, 1832), answered(1, 900, Cancelled)], &cut);
    let grown = ["1: 1832 out, ? back", "Error 1: answer differs: sent 500, received 640"];
    check(&settled_as(Cancelled), &[accepted(1, 1832), answered(1, 500, Cancelled)], &grown);
}

#[test]
fn a_whole_answer_must_be_the_same_to_the_byte() {
    let differs = ["1: 1832 out, ? back", "Error 1: answer differs: sent 641, received 640"];
    check(&settled_as(Answered), &[accepted(1, 1832), answered(1, 641, Answered)], &differs);
}

#[test]
fn payload_must_be_the_same_to_the_byte() {
    let munich = [accepted(1, 1833), answered(1, 640, Answered)];
    check(&settled_as(Answered), &munich, &["Error 1: payload differs: intended 1832, settled 1832, accepted 1833"]);
    let half = [intent(1, 1832), settled(1, 900, 0, Failed)];
    check(&half, &[], &["Error 1: payload differs: intended 1832, settled 900"]);
    let denied = [intent(1, 1832), settled(1, 0, 0, Failed)];
    check(&denied, &[accepted(1, 1832)], &["Error 1: payload differs: intended 1832, settled 0, accepted 1832"]);
}

#[test]
fn payload_that_the_origin_never_recorded_is_always_an_error() {
    let munich = [accepted(1, 1832), answered(1, 640, Answered)];
    check(&[], &munich, &["Error 1: payload arrived that the origin never recorded"]);
    check(&[], &[refused(1)], &["Error 1: payload arrived that the origin never recorded"]);
}

#[test]
fn records_out_of_turn_are_errors() {
    check(&[settled(1, 0, 0, Failed)], &[], &["Error 1: settled without an intent"]);
    check(&settled_as(Answered), &[answered(1, 640, Answered)], &["Error 1: answered without having accepted"]);
    let offered_again = [intent(1, 1832), settled(1, 0, 0, Failed), intent(1, 1832), settled(1, 1832, 640, Answered)];
    check(&offered_again, &[accepted(1, 1832), answered(1, 640, Answered)], &["1: 1832 out, 640 back"]);
    let twice = [intent(1, 10), intent(1, 10), settled(1, 0, 0, Failed)];
    check(&twice, &[], &["Error 1: two records of kind egress.intent", "Note 1: recorded, and then not sent"]);
}

#[test]
fn one_ledger_alone_is_unchecked_and_never_twice_the_same() {
    let dir = scratch();
    write(dir.path(), &PARIS, &settled_as(Answered));
    let found = reconcile(&[dir.path()]).unwrap();
    assert_eq!(summary(&found), ["Note 1: the ledger of the other end was not given"]);
    assert!(found.agrees());
    assert_eq!(found.ledgers[0].report.node, node(&PARIS));
    let copy = scratch();
    for name in ["ledger.jsonl", "checkpoint", "node.vkey"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    assert!(matches!(reconcile(&[dir.path(), copy.path()]), Err(VerifyError::Twice { .. })));
}

#[test]
fn totals_count_what_both_ends_agree_on() {
    let (a, b) = (scratch(), scratch());
    write(a.path(), &PARIS, &[intent(1, 100), settled(1, 100, 5, Answered), intent(2, 7), settled(2, 7, 0, Failed)]);
    write(b.path(), &MUNICH, &[accepted(1, 100), answered(1, 5, Answered), accepted(2, 7)]);
    let found = reconcile(&[a.path(), b.path()]).unwrap();
    assert_eq!(found.matched_bytes(), (ByteCount(107), ByteCount(5)));
    assert!(found.agrees());
}

#[test]
fn a_damaged_ledger_is_not_joined() {
    let (a, b) = (scratch(), scratch());
    write(a.path(), &PARIS, &settled_as(Answered));
    write(b.path(), &MUNICH, &[accepted(1, 1832)]);
    let path = b.path().join("ledger.jsonl");
    let text = std::fs::read_to_string(&path).unwrap().replace(r#""bytes_in":1832"#, r#""bytes_in":1833"#);
    std::fs::write(&path, text).unwrap();
    assert!(matches!(reconcile(&[a.path(), b.path()]), Err(VerifyError::Damaged { .. })));
}

/// Deletes the first day of a ledger on the day on which its time is over.
fn delete_first_day(dir: &Path, secret: &[u8; 32]) {
    const DAY_MS: u64 = 86_400_000;
    let now = WallTime(entries(&[intent(1, 1)])[0].wall.0 + 184 * DAY_MS + 1_000);
    let mut ledger = open(dir, secret);
    let found = plan(dir, &Retention::default(), counterpart(secret).jurisdiction, now).unwrap();
    assert_eq!(found.expired.len(), 1);
    ledger.delete(&found.expired[0], Digest([9; 32]), now, 1).unwrap();
}

#[test]
fn a_half_among_records_that_were_deleted_is_a_note_and_one_that_never_was_is_none() {
    const DAY_MS: u64 = 86_400_000;
    let later = |days: u64, facts: &[Fact]| {
        let moved = |entry: Entry| Entry { wall: WallTime(entry.wall.0 + days * DAY_MS), ..entry };
        entries(facts).into_iter().map(moved).collect::<Vec<_>>()
    };
    let (paris, munich) = (scratch(), scratch());
    let mut origin = open(paris.path(), &PARIS);
    origin.append(&later(0, &[intent(1, 10), intent(2, 20)])).unwrap();
    // Past midnight, and past the segment.
    origin.append(&later(1, &[settled(2, 20, 5, Answered)])).unwrap();
    drop(origin);
    let mut target = open(munich.path(), &MUNICH);
    target
        .append(&later(0, &[accepted(1, 10), answered(1, 3, Answered), accepted(2, 20), answered(2, 5, Answered)]))
        .unwrap();
    target.append(&later(9, &[accepted(3, 30), answered(3, 5, Answered)])).unwrap();
    drop(target);
    let off_the_record = "Error 3: payload arrived that the origin never recorded";
    let dirs = [paris.path(), munich.path()];
    let before = summary(&reconcile(&dirs).unwrap());
    assert!(
        before.contains(&"2: 20 out, 5 back".to_owned()) && before.contains(&off_the_record.to_owned()),
        "{before:?}"
    );
    delete_first_day(paris.path(), &PARIS);
    let gone = |attempt, secret| {
        let who = node(secret).short();
        format!("Note {attempt}: what is missing would stand among the records that {who} deleted by retention")
    };
    let after = summary(&reconcile(&dirs).unwrap());
    assert_eq!(after, [gone(1, &PARIS), gone(2, &PARIS), off_the_record.to_owned()]);
    // Both deleted it: of the first nothing is left, of the second what the origin wrote after midnight.
    delete_first_day(munich.path(), &MUNICH);
    assert_eq!(summary(&reconcile(&dirs).unwrap()), [gone(2, &PARIS), off_the_record.to_owned()]);
}
