//! A crash at any moment of a write: what was durable is kept, the rest is cut, and both are on the record.

use super::*;

/// A ledger of two signed records, and the bytes of a second group of two that was being written.
fn interrupted(dir: &Path) -> (Vec<u8>, Vec<u8>) {
    write(dir, &MUNICH, &[intent(1, 10), intent(2, 20)]);
    let before = fs::read(dir.join(LEDGER)).unwrap();
    let checkpoint = fs::read(dir.join(CHECKPOINT)).unwrap();
    write(dir, &MUNICH, &[intent(3, 30), intent(4, 40)]);
    let after = fs::read(dir.join(LEDGER)).unwrap();
    fs::write(dir.join(CHECKPOINT), checkpoint).unwrap();
    let group = after[before.len()..].to_vec();
    (before, group)
}

#[test]
fn every_torn_tail_is_cut_at_its_last_record_and_recorded() {
    let dir = scratch();
    let (before, group) = interrupted(dir.path());
    let checkpoint = fs::read(dir.path().join(CHECKPOINT)).unwrap();
    let first_end = group.iter().position(|b| *b == b'\n').unwrap() + 1;
    for written in 0..=group.len() {
        let left = [&before[..], &group[..written]].concat();
        fs::write(dir.path().join(LEDGER), &left).unwrap();
        fs::write(dir.path().join(CHECKPOINT), &checkpoint).unwrap();
        let adopted = u64::from(written >= first_end) + u64::from(written == group.len());
        let cut = written - [0, first_end, group.len()][adopted as usize];

        let report = verify(dir.path()).unwrap();
        assert_eq!((report.records, report.signed, report.torn_bytes), (2 + adopted, 2, cut as u64), "{written}");

        let mut ledger = open(dir.path(), &MUNICH);
        assert!(fs::read(dir.path().join(LEDGER)).unwrap() == left, "opening alone cuts nothing");
        ledger.append(&entries(&[intent(9, 90)])).unwrap();
        drop(ledger);
        let report = verify(dir.path()).unwrap();
        let recovered = u64::from(written > 0);
        assert_eq!((report.records, report.torn_bytes), (2 + adopted + recovered + 1, 0), "{written}");
        assert_eq!(report.signed, report.records);
        if written > 0 {
            let record = &records(dir.path())[2 + adopted as usize];
            assert_eq!(record.kind, Kind::Recovered);
            let says = format!(r#""adopted":{adopted},"bytes_cut":{cut},"#);
            assert!(record.line.contains(&says), "{}", record.line);
        }
    }
}

#[test]
fn zeroes_and_noise_behind_the_signed_records_are_cut_and_recorded() {
    let dir = scratch();
    let (before, group) = interrupted(dir.path());
    let checkpoint = fs::read(dir.path().join(CHECKPOINT)).unwrap();
    let noise: Vec<u8> = (0..5_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for tail in [vec![0; 4096], noise, b"\n\n\n".to_vec(), b"{}\n".to_vec(), [&group[1..], &group[..]].concat()] {
        fs::write(dir.path().join(LEDGER), [&before[..], &tail[..]].concat()).unwrap();
        fs::write(dir.path().join(CHECKPOINT), &checkpoint).unwrap();
        let mut ledger = open(dir.path(), &MUNICH);
        ledger.append(&entries(&[intent(9, 90)])).unwrap();
        assert_eq!(kinds(dir.path())[2..], [Kind::Recovered, Kind::EgressIntent]);
        assert_eq!(verify(dir.path()).unwrap().signed, 4);
    }
}

#[test]
fn a_flipped_byte_in_records_that_nobody_signed_yet_never_reaches_what_was_signed() {
    // Between the sync of a group and its checkpoint nothing vouches for its bytes. A flip there either breaks the
    // record, which is then cut, or makes another record of it, which is taken over: both are said.
    let dir = scratch();
    let (before, group) = interrupted(dir.path());
    let checkpoint = fs::read(dir.path().join(CHECKPOINT)).unwrap();
    for at in 0..group.len() {
        let mut changed = group.clone();
        changed[at] ^= 1;
        fs::write(dir.path().join(LEDGER), [&before[..], &changed[..]].concat()).unwrap();
        fs::write(dir.path().join(CHECKPOINT), &checkpoint).unwrap();
        open(dir.path(), &MUNICH).append(&entries(&[intent(9, 90)])).unwrap();
        assert!(fs::read(dir.path().join(LEDGER)).unwrap().starts_with(&before));
        let found = kinds(dir.path());
        assert_eq!(found.iter().filter(|kind| **kind == Kind::Recovered).count(), 1, "byte {at}: {found:?}");
        verify(dir.path()).unwrap();
    }
}

#[test]
fn a_crash_while_a_ledger_is_begun_begins_it_again() {
    let dir = scratch();
    drop(open(dir.path(), &MUNICH));
    fs::remove_file(dir.path().join(LEDGER)).unwrap();
    assert_eq!(open(dir.path(), &MUNICH).head().0, 0);
    for name in [LEDGER, CHECKPOINT] {
        fs::remove_file(dir.path().join(name)).unwrap();
    }
    assert_eq!(open(dir.path(), &MUNICH).head().0, 0);
    fs::write(dir.path().join("checkpoint.new"), "half a checkp").unwrap();
    open(dir.path(), &MUNICH).append(&entries(&[intent(1, 10)])).unwrap();
    assert_eq!(verify(dir.path()).unwrap().signed, 1);
}
