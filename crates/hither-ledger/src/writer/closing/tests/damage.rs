//! Whatever is done to the files of closed and deleted segments is found, and opening the ledger leaves it as it is.

use super::*;

/// A deleted segment, two closed ones and the open one.
fn chain(dir: &Path) {
    let mut ledger = three_days(dir);
    assert_eq!(delete(&mut ledger, dir, days_later(184)), 1);
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let all = names(dir).into_iter().chain([CHECKPOINT.to_owned(), VERIFIER_KEY.to_owned()]);
    all.map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

fn open_error(dir: &Path) -> OpenError {
    loop {
        match Ledger::open(dir, &MUNICH, &crate::samples::origin(&MUNICH)).err() {
            // A child that another test forks holds a copy of every lock until it executes its program.
            Some(OpenError::Locked(_)) => std::thread::yield_now(),
            other => return other.expect("it is damaged"),
        }
    }
}

fn must_be_found(dir: &Path, what: &str) {
    let before = files_there(dir);
    let error = verify(dir).expect_err(what);
    assert!(matches!(error, VerifyError::Damaged { .. }), "{what}: {error}");
    let error = open_error(dir);
    assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
    assert!(files_there(dir) == before, "{what} was repaired in silence");
}

fn files_there(dir: &Path) -> Vec<(String, Vec<u8>)> {
    names(dir).into_iter().map(|name| (name.clone(), fs::read(dir.join(name)).unwrap())).collect()
}

#[test]
fn every_flipped_byte_and_every_cut_is_found_in_every_file() {
    let dir = scratch();
    chain(dir.path());
    for (name, whole) in files(dir.path()) {
        for at in 0..whole.len() {
            for mask in [0x01, 0x20, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= mask;
                fs::write(dir.path().join(&name), changed).unwrap();
                must_be_found(dir.path(), &format!("{name}, byte {at} ^ {mask:#x}"));
            }
            fs::write(dir.path().join(&name), &whole[..at]).unwrap();
            must_be_found(dir.path(), &format!("{name}, cut to {at} bytes"));
        }
        fs::write(dir.path().join(&name), whole).unwrap();
    }
    verify(dir.path()).unwrap();
}

#[test]
fn every_missing_file_is_found() {
    let dir = scratch();
    chain(dir.path());
    for (name, whole) in files(dir.path()) {
        fs::remove_file(dir.path().join(&name)).unwrap();
        must_be_found(dir.path(), &format!("{name} is missing"));
        fs::write(dir.path().join(&name), whole).unwrap();
    }
}

#[test]
fn hashes_in_the_place_of_records_that_nobody_deleted_are_damage() {
    let dir = scratch();
    chain(dir.path());
    let path = dir.path().join(closed_name(2));
    let mut hashes = String::new();
    for line in fs::read_to_string(&path).unwrap().lines() {
        write_hash(&leaf_hash(line.as_bytes()), &mut hashes);
    }
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join(hashes_name(2)), hashes).unwrap();
    must_be_found(dir.path(), "records were replaced by their hashes");
    let error = verify(dir.path()).unwrap_err().to_string();
    assert!(error.contains("records 2 to 3 were taken away"), "{error}");
    assert!(read(dir.path()).unwrap().any(|record| record.is_err()));
}

#[test]
fn two_files_for_the_same_records_or_none_for_some_are_damage() {
    let dir = scratch();
    chain(dir.path());
    let second = fs::read(dir.path().join(closed_name(2))).unwrap();
    for first in [1, 3, 5, 100] {
        fs::write(dir.path().join(closed_name(first)), &second).unwrap();
        must_be_found(dir.path(), &format!("a file too many, with number {first}"));
        fs::remove_file(dir.path().join(closed_name(first))).unwrap();
    }
    fs::rename(dir.path().join(closed_name(2)), dir.path().join(closed_name(3))).unwrap();
    must_be_found(dir.path(), "a file under another number");
}

#[test]
fn a_large_ledger_is_checked_by_several_threads_with_the_same_eyes() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    ledger.segment_bytes_max = 3 * 1024 * 1024;
    let group = day(0, &vec![intent(1, 10); GROUP_RECORDS_MAX]);
    while ledger.head().0 < 16 * GROUP_RECORDS_MAX as u64 {
        ledger.append(&group).unwrap();
    }
    drop(ledger);
    assert!(names(dir.path()).len() >= 3);
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.kinds[&Kind::EgressIntent]), (16_384, 16_384));
    assert_eq!(seqs(dir.path()), (0..16_384).collect::<Vec<_>>());
    let mut looked = 0;
    crate::verify::verify_each(dir.path(), |record| {
        assert_eq!(record.seq, looked);
        looked += 1;
    })
    .unwrap();
    assert_eq!(looked, 16_384);
    for name in names(dir.path()) {
        let whole = fs::read(dir.path().join(&name)).unwrap();
        for at in (0..whole.len()).step_by(whole.len() / 7) {
            let mut changed = whole.clone();
            changed[at] ^= 4;
            fs::write(dir.path().join(&name), changed).unwrap();
            must_be_found(dir.path(), &format!("{name}, byte {at}"));
        }
        fs::write(dir.path().join(&name), whole).unwrap();
    }
}
