//! Whatever is done to a signed ledger is found, and opening it leaves it as it is.

use super::*;

fn snapshot(dir: &Path) -> Vec<(&'static str, Vec<u8>)> {
    [LEDGER, CHECKPOINT, VERIFIER_KEY].map(|name| (name, fs::read(dir.join(name)).unwrap())).to_vec()
}

/// Both the verifier and the writer must refuse what is in the folder, and neither may touch it.
fn must_be_found(dir: &Path, name: &str, changed: &[u8], what: &str) {
    let whole = fs::read(dir.join(name)).unwrap();
    fs::write(dir.join(name), changed).unwrap();
    let error = verify(dir).expect_err(what);
    assert!(matches!(error, VerifyError::Damaged { .. }), "{what}: {error}");
    let error = open_error(dir).expect(what);
    assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {error}");
    assert!(fs::read(dir.join(name)).unwrap() == changed, "{what} was repaired in silence");
    fs::write(dir.join(name), whole).unwrap();
}

/// Why the folder cannot be opened. A child that another test forks holds a copy of every lock until it executes its
/// program, so "in use" is asked again.
fn open_error(dir: &Path) -> Option<OpenError> {
    loop {
        match Ledger::open(dir, &MUNICH, &origin(&MUNICH)).err() {
            Some(OpenError::Locked(_)) => std::thread::yield_now(),
            other => return other,
        }
    }
}

#[test]
fn every_flipped_byte_is_found() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10), intent(2, 20), intent(3, 30)]);
    for (name, whole) in snapshot(dir.path()) {
        for at in 0..whole.len() {
            for mask in [0x01, 0x02, 0x20, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= mask;
                must_be_found(dir.path(), name, &changed, &format!("{name}, byte {at} ^ {mask:#x}"));
            }
        }
    }
    verify(dir.path()).unwrap();
}

#[test]
fn every_truncation_is_found() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10), intent(2, 20), intent(3, 30)]);
    for (name, whole) in snapshot(dir.path()) {
        for len in 0..whole.len() {
            must_be_found(dir.path(), name, &whole[..len], &format!("{name}, cut to {len} bytes"));
        }
    }
}

#[test]
fn every_missing_file_is_found() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10)]);
    for (name, whole) in snapshot(dir.path()) {
        fs::remove_file(dir.path().join(name)).unwrap();
        assert!(matches!(verify(dir.path()), Err(VerifyError::Damaged { .. })), "{name}");
        let error = open_error(dir.path()).unwrap();
        assert!(matches!(error, OpenError::Damaged { damage: Damage::Missing(_), .. }), "{name}: {error}");
        fs::write(dir.path().join(name), whole).unwrap();
    }
}

#[test]
fn zeroed_pages_swapped_lines_and_repeated_lines_are_found() {
    let dir = scratch();
    let facts: Vec<Fact> = (1..40).map(|attempt| intent(attempt, 10)).collect();
    write(dir.path(), &MUNICH, &facts);
    let whole = fs::read(dir.path().join(LEDGER)).unwrap();
    assert!(whole.len() > 4 * 4096, "{} bytes are too few pages", whole.len());
    for page in 0..whole.len().div_ceil(4096) {
        let mut changed = whole.clone();
        let end = whole.len().min((page + 1) * 4096);
        changed[page * 4096..end].fill(0);
        must_be_found(dir.path(), LEDGER, &changed, &format!("page {page} of zeroes"));
    }
    let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
    for at in 1..lines.len() {
        let mut swapped = lines.clone();
        swapped.swap(at - 1, at);
        must_be_found(dir.path(), LEDGER, &swapped.concat(), &format!("lines {} and {at} swapped", at - 1));
        let mut without = lines.clone();
        without.remove(at);
        must_be_found(dir.path(), LEDGER, &without.concat(), &format!("line {at} removed"));
        let mut twice = lines.clone();
        twice[at] = twice[at - 1];
        must_be_found(dir.path(), LEDGER, &twice.concat(), &format!("line {at} replaced"));
    }
}

#[test]
fn a_line_that_never_ends_is_found() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10)]);
    must_be_found(dir.path(), LEDGER, &vec![b'a'; 3 * LINE_BYTES_MAX], "a line without an end");
    let mut long_tail = fs::read(dir.path().join(LEDGER)).unwrap();
    long_tail.resize(long_tail.len() + crate::limits::TORN_BYTES_MAX as usize + 1, b'a');
    must_be_found(dir.path(), LEDGER, &long_tail, "a tail longer than any group");
}

#[test]
fn an_older_checkpoint_hides_no_change_in_what_it_covers() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10), intent(2, 20)]);
    let old = fs::read(dir.path().join(CHECKPOINT)).unwrap();
    write(dir.path(), &MUNICH, &[intent(3, 30)]);
    fs::write(dir.path().join(CHECKPOINT), old).unwrap();
    let report = verify(dir.path()).unwrap();
    assert_eq!((report.records, report.signed), (3, 2));
    let mut changed = fs::read(dir.path().join(LEDGER)).unwrap();
    changed[20] ^= 1;
    must_be_found(dir.path(), LEDGER, &changed, "a change under an old checkpoint");
}
