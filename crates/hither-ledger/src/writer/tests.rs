//! Tests of the writer: what survives, what is found, and what a full disk does.

use std::fs;

use super::*;
use crate::record::Record;
use crate::samples::{MUNICH, PARIS, all_facts, entries, intent, node, open, origin, scratch, write};
use crate::scan::read;
use crate::verify::{prove, verify, verify_as};

mod crashes;
mod damage;
mod full_disk;
mod kills;

fn records(dir: &Path) -> Vec<Record> {
    read(dir).unwrap().map(|record| record.unwrap()).collect()
}

fn kinds(dir: &Path) -> Vec<Kind> {
    records(dir).iter().map(|record| record.kind).collect()
}

#[test]
fn what_is_appended_is_there_signed_and_numbered_without_holes() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    let all = entries(&all_facts());
    assert_eq!(ledger.append(&all[..3]).unwrap(), Appended { first_seq: 0, next_seq: 3 });
    assert_eq!(ledger.append(&[]).unwrap(), Appended { first_seq: 3, next_seq: 3 });
    assert_eq!(ledger.append(&all[3..]).unwrap(), Appended { first_seq: 3, next_seq: 27 });
    let report = verify_as(dir.path(), node(&MUNICH)).unwrap();
    assert_eq!((report.records, report.signed, report.torn_bytes), (27, 27, 0));
    assert_eq!((report.records, report.root), ledger.head());
    assert_eq!((report.requests_out.0, report.answers_out.0, report.dropped), (1832, 640, 0));
    assert_eq!(report.origin, origin(&MUNICH));
    let seqs: Vec<u64> = records(dir.path()).iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (0..27).collect::<Vec<_>>());
}

#[test]
fn a_ledger_goes_on_where_it_stopped() {
    let dir = scratch();
    let whole = scratch();
    let all = entries(&all_facts());
    for entry in &all {
        open(dir.path(), &MUNICH).append(std::slice::from_ref(entry)).unwrap();
    }
    open(whole.path(), &MUNICH).append(&all).unwrap();
    for name in [LEDGER, CHECKPOINT, VERIFIER_KEY] {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), fs::read(whole.path().join(name)).unwrap(), "{name}");
    }
}

#[test]
fn an_empty_ledger_is_a_ledger_and_an_empty_folder_is_not() {
    let dir = scratch();
    assert!(matches!(verify(dir.path()), Err(VerifyError::Absent(_))));
    drop(open(dir.path(), &MUNICH));
    assert_eq!(verify(dir.path()).unwrap().records, 0);
    assert_eq!(records(dir.path()), []);
    assert_eq!(open(dir.path(), &MUNICH).head().0, 0);
}

#[test]
fn one_process_writes_and_others_read_meanwhile() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    ledger.append(&entries(&[intent(1, 10)])).unwrap();
    assert!(matches!(Ledger::open(dir.path(), &MUNICH, &origin(&MUNICH)), Err(OpenError::Locked(_))));
    assert_eq!(verify(dir.path()).unwrap().records, 1);
    drop(ledger);
    assert_eq!(open(dir.path(), &MUNICH).head().0, 1);
}

#[test]
fn a_ledger_has_one_owner() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10)]);
    assert!(matches!(Ledger::open(dir.path(), &PARIS, &origin(&PARIS)), Err(OpenError::OtherOwner { .. })));
    assert!(matches!(Ledger::open(dir.path(), &MUNICH, "a b"), Err(OpenError::Origin(_))));
    assert!(matches!(verify_as(dir.path(), node(&PARIS)), Err(VerifyError::OtherKey { .. })));
}

#[test]
fn a_ledger_keeps_its_origin_though_its_node_is_called_otherwise_later() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10)]);
    let mut ledger = Ledger::open(dir.path(), &MUNICH, "hither/other").unwrap();
    ledger.append(&entries(&[intent(2, 10)])).unwrap();
    drop(ledger);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.origin, report.records), (origin(&MUNICH), 2));
    assert_eq!(open(dir.path(), &MUNICH).head().0, 2);
}

#[test]
fn a_record_that_json_cannot_hold_is_refused_and_the_loss_recorded() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    let error = ledger.append(&entries(&[intent(1, 1 << 53)])).unwrap_err();
    assert!(matches!(error, WriteError::Number { kind: Kind::EgressIntent, number: 9_007_199_254_740_992 }));
    let many = vec![intent(1, 1); GROUP_RECORDS_MAX + 1];
    assert!(matches!(ledger.append(&entries(&many)), Err(WriteError::GroupTooLarge(1025))));
    let mut long = crate::samples::subject(1);
    long.subjects = vec![long.subjects[0]; 2_100];
    let long = Fact::Denied { subject: long, rule: None, considered: 0 };
    assert!(matches!(ledger.append(&entries(&[long])), Err(WriteError::RecordTooLong { .. })));
    assert_eq!(ledger.head().0, 0);
    ledger.append(&entries(&[intent(1, (1 << 53) - 1)])).unwrap();
    let gap = &records(dir.path())[0];
    assert!(
        gap.line.contains(r#""dropped":1027,"kind":"gap","kinds":{"deny":1,"egress.intent":1026}"#),
        "{}",
        gap.line
    );
    assert_eq!(verify(dir.path()).unwrap().dropped, 1027);
}

#[test]
fn every_record_can_be_proven_to_somebody_who_has_nothing_else() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &all_facts());
    for seq in 0..21 {
        let mut inclusion = prove(dir.path(), seq).unwrap().unwrap();
        assert_eq!(inclusion.record.seq, seq);
        inclusion.verify().unwrap();
        let checkpoint = Checkpoint::open(&inclusion.checkpoint, node(&MUNICH)).unwrap();
        assert_eq!((checkpoint.size, checkpoint.root), (inclusion.size, inclusion.root));
        inclusion.record.line = inclusion.record.line.replace("DE", "FR");
        if inclusion.record.line.contains("FR") {
            inclusion.verify().unwrap_err();
        }
    }
    assert_eq!(prove(dir.path(), 27).unwrap(), None);
}
