//! Tests of segments: when they end, how they go, and what a stop at any step leaves.

use std::fs;
use std::sync::{Arc, Mutex};

use hither_types::law::Retention;
use hither_types::place::{Jurisdiction, Region};
use hither_types::unit::Days;

use super::*;
use crate::check::Deleted;
use crate::retention::{Plan, plan};
use crate::samples::{MUNICH, all_facts, entries, intent, node, open, scratch};
use crate::scan::read;
use crate::segments::{Segment, hashes_name};
use crate::storage::{LOST, LOST_BYTES};
use crate::verify::{Report, prove, verify, verify_at};

mod damage;

/// The day on which the records of the samples begin, from noon on.
const FIRST_DAY: u64 = 1_795_348_800_123;

pub(super) fn day(number: u64, facts: &[Fact]) -> Vec<Entry> {
    let later = |entry: Entry| Entry { wall: WallTime(entry.wall.0 + number * DAY_MS), ..entry };
    entries(facts).into_iter().map(later).collect()
}

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

/// A moment on the day after the first by so many.
fn days_later(days: u64) -> WallTime {
    WallTime(FIRST_DAY + days * DAY_MS + 1_000)
}

/// Two records on each of three days: two closed segments and an open one.
pub(super) fn three_days(dir: &Path) -> Ledger {
    let mut ledger = open(dir, &MUNICH);
    for number in 0..3 {
        ledger.append(&day(number, &[intent(1, 10 + number), intent(2, 20)])).unwrap();
    }
    ledger
}

fn expired(dir: &Path, now: WallTime) -> Vec<Expired> {
    plan(dir, &Retention::default(), place("DE-BY"), now).unwrap().expired
}

/// Deletes what 184 days are over for, as a node does.
pub(super) fn delete(ledger: &mut Ledger, dir: &Path, now: WallTime) -> usize {
    ledger.end_day(now).unwrap();
    let expired = expired(dir, now);
    expired.iter().for_each(|expired| ledger.delete(expired, Digest([9; 32]), now, 7).unwrap());
    expired.len()
}

pub(super) fn names(dir: &Path) -> Vec<String> {
    list(dir).unwrap().into_iter().map(Segment::name).collect()
}

fn seqs(dir: &Path) -> Vec<u64> {
    read(dir).unwrap().map(|record| record.unwrap().seq).collect()
}

#[test]
fn each_day_and_each_full_file_begins_another_and_nothing_else_changes() {
    let (dir, whole) = (scratch(), scratch());
    let mut ledger = three_days(dir.path());
    ledger.segment_bytes_max = 1;
    ledger.append(&day(2, &[intent(3, 30)])).unwrap();
    assert_eq!(names(dir.path()), [closed_name(0), closed_name(2), closed_name(4), LEDGER.to_owned()]);
    let mut other = open(whole.path(), &MUNICH);
    other.segment_bytes_max = u64::MAX;
    for number in 0..3 {
        other.day = Some((FIRST_DAY + number * DAY_MS) / DAY_MS);
        other.append(&day(number, &[intent(1, 10 + number), intent(2, 20)])).unwrap();
    }
    other.append(&day(2, &[intent(3, 30)])).unwrap();
    assert_eq!(ledger.head(), other.head());
    let bytes: Vec<u8> = names(dir.path()).iter().flat_map(|name| fs::read(dir.path().join(name)).unwrap()).collect();
    assert!(bytes == fs::read(whole.path().join(LEDGER)).unwrap());
    for name in [CHECKPOINT, VERIFIER_KEY] {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), fs::read(whole.path().join(name)).unwrap());
    }
    assert_eq!(verify(dir.path()).unwrap(), verify(whole.path()).unwrap());
    assert_eq!(seqs(dir.path()), (0..7).collect::<Vec<_>>());
}

#[test]
fn a_ledger_of_one_file_goes_on_and_its_file_is_the_first_segment() {
    let dir = scratch();
    let facts = all_facts();
    open(dir.path(), &MUNICH).append(&day(0, &facts)).unwrap();
    let before = fs::read(dir.path().join(LEDGER)).unwrap();
    assert_eq!(names(dir.path()), [LEDGER]);
    open(dir.path(), &MUNICH).append(&day(5, &[intent(1, 10)])).unwrap();
    assert_eq!(names(dir.path()), [closed_name(0), LEDGER.to_owned()]);
    assert!(fs::read(dir.path().join(closed_name(0))).unwrap() == before);
    assert_eq!(verify(dir.path()).unwrap().signed, facts.len() as u64 + 1);
}

#[test]
fn a_deleted_segment_leaves_its_hashes_and_a_record_that_says_so() {
    let dir = scratch();
    let mut ledger = three_days(dir.path());
    let (kept, whole) = (fs::read_to_string(dir.path().join(CHECKPOINT)).unwrap(), ledger.head());
    assert_eq!(delete(&mut ledger, dir.path(), days_later(183)), 0);
    assert_eq!(delete(&mut ledger, dir.path(), days_later(184)), 1);
    assert_eq!(delete(&mut ledger, dir.path(), days_later(184)), 0);
    // What it says is of another day, so the open segment was closed, too.
    assert_eq!(names(dir.path()), [hashes_name(0), closed_name(2), closed_name(4), LEDGER.to_owned()]);
    let (report, root) = verify_at(dir.path(), Some(whole.0)).unwrap();
    assert_eq!((report.records, report.signed, report.deleted_records()), (7, 7, 2));
    assert_eq!(root, Some(whole.1), "a checkpoint that somebody kept is still led to");
    assert_eq!(Checkpoint::open(&kept, node(&MUNICH)).unwrap().root, whole.1);
    for size in 0..=7 {
        assert!(verify_at(dir.path(), Some(size)).unwrap().1.is_some(), "{size}");
    }
    let Deleted { seq, policy, what, .. } = &report.deleted[0];
    assert_eq!((*seq, *policy, what.first, what.count, what.days), (6, Some(Digest([9; 32])), 0, 2, 184));
    assert_eq!(what.origins, [place("DE-BY"), place("FR")]);
    assert_eq!((what.from.as_str(), what.to.as_str()), ("2026-11-22T12:00:00.123Z", "2026-11-22T12:00:00.124Z"));
    assert_eq!(seqs(dir.path()), [2, 3, 4, 5, 6]);
    assert_eq!(prove(dir.path(), 0).unwrap(), None);
    prove(dir.path(), 3).unwrap().unwrap().verify().unwrap();
    let line = read(dir.path()).unwrap().last().unwrap().unwrap().line;
    assert!(line.as_bytes().starts_with(crate::check::DELETION_BEGINS), "{line}");
    drop(ledger);
    assert_eq!(open(dir.path(), &MUNICH).head(), (report.records, report.root));
    let hashes = fs::read_to_string(dir.path().join(hashes_name(0))).unwrap();
    assert!(hashes.lines().count() == 2 && !hashes.contains("ct-triage"), "{hashes}");
}

#[test]
fn what_says_so_outlives_its_own_segment_and_so_does_the_law() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    ledger.append(&day(0, &all_facts()[..6])).unwrap();
    ledger.append(&day(1, &[intent(1, 10)])).unwrap();
    for round in 1..5 {
        assert!(delete(&mut ledger, dir.path(), days_later(200 * round)) >= 1, "{round}");
        let report = verify(dir.path()).unwrap();
        let gone = report.deleted.iter().map(|deleted| deleted.what.first).collect::<Vec<_>>();
        assert_eq!(
            gone,
            list(dir.path())
                .unwrap()
                .iter()
                .filter(|s| s.form == Form::Hashes)
                .map(|s| s.first.unwrap())
                .collect::<Vec<_>>()
        );
        drop(ledger);
        ledger = open(dir.path(), &MUNICH);
    }
    let report: Report = verify(dir.path()).unwrap();
    assert_eq!(report.kinds[&Kind::ConfigStart] + report.kinds[&Kind::PolicyChange], 2);
    assert!(!report.kinds.contains_key(&Kind::EgressIntent));
    assert_eq!(report.kinds[&Kind::RetentionDelete], report.deleted.len() as u64);
}

#[test]
fn the_longest_period_among_the_origins_of_a_segment_holds_for_all_of_it() {
    let dir = scratch();
    let mut ledger = three_days(dir.path());
    let mut abroad = crate::samples::subject(1);
    abroad.subjects = vec![place("IN")];
    ledger.append(&day(2, &[Fact::Denied { subject: abroad, rule: None, considered: 0 }])).unwrap();
    ledger.append(&day(3, &[intent(1, 10)])).unwrap();
    let periods = vec![(Region { written: vec!["IN".to_owned()], members: vec![place("IN")] }, Days(366))];
    let retention = Retention { default: Days(184), periods };
    let firsts = |now| {
        let Plan { expired, kept, .. } = plan(dir.path(), &retention, place("DE-BY"), now).unwrap();
        (expired.iter().map(|expired| (expired.first, expired.days.0)).collect::<Vec<_>>(), kept)
    };
    assert_eq!(firsts(days_later(200)), (vec![(0, 184), (2, 184), (7, 184)], 1));
    assert_eq!(firsts(days_later(368)), (vec![(0, 184), (2, 184), (4, 366), (7, 184)], 0));
    // Nor does anything go from a node that stands where records are kept for longer.
    let at_home = plan(dir.path(), &retention, place("IN"), days_later(200)).unwrap();
    assert_eq!((at_home.expired.len(), at_home.not_before), (0, Some(WallTime(FIRST_DAY + 1 + 366 * DAY_MS))));
}

#[test]
fn the_last_day_of_a_node_that_writes_nothing_more_goes_like_any_other() {
    let dir = scratch();
    let mut ledger = three_days(dir.path());
    ledger.end_day(days_later(2)).unwrap();
    assert_eq!(names(dir.path()).len(), 3, "its day is not over");
    ledger.end_day(days_later(3)).unwrap();
    assert_eq!(names(dir.path()), [closed_name(0), closed_name(2), closed_name(4)]);
    // No open segment, which is what a stop right here leaves.
    assert_eq!(verify(dir.path()).unwrap().signed, 6);
    assert_eq!(delete(&mut ledger, dir.path(), days_later(400)), 3);
    drop(ledger);
    assert_eq!(open(dir.path(), &MUNICH).head().0, verify(dir.path()).unwrap().records);
}

#[test]
fn what_is_open_changed_or_not_there_is_not_deleted() {
    let dir = scratch();
    let mut ledger = three_days(dir.path());
    let all = expired(dir.path(), days_later(185));
    assert_eq!(all.iter().map(|expired| expired.first).collect::<Vec<_>>(), [0, 2], "the open segment stays");
    assert_eq!(expired(dir.path(), days_later(400)).len(), 3, "unless its day is over, too");
    let now = days_later(400);
    for wrong in [Expired { first: 4, ..all[0].clone() }, Expired { count: 1, ..all[0].clone() }] {
        let error = ledger.delete(&wrong, Digest([9; 32]), now, 7).unwrap_err();
        assert!(matches!(error, DeleteError::NotClosed(_)), "{error}");
    }
    let path = dir.path().join(closed_name(0));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let error = ledger.delete(&all[0], Digest([9; 32]), now, 7).unwrap_err();
    assert!(matches!(error, DeleteError::Changed(0)), "{error}");
    assert_eq!((ledger.head().0, fs::read(&path).unwrap()), (6, bytes));
}

/// A disk that does so many steps, and then none.
struct Stopping {
    inner: Folder,
    left: Arc<Mutex<usize>>,
}

impl Stopping {
    fn step<T>(&mut self, act: impl FnOnce(&mut Folder) -> io::Result<T>) -> io::Result<T> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        act(&mut self.inner)
    }
}

impl Storage for Stopping {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step(|inner| inner.write(offset, bytes))
    }
    fn truncate(&mut self, len: u64, torn: u64) -> io::Result<()> {
        self.step(|inner| inner.truncate(len, torn))
    }
    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()> {
        self.step(|inner| inner.replace_checkpoint(note))
    }
    fn close(&mut self, first: u64, len: u64) -> io::Result<()> {
        self.step(|inner| inner.close(first, len))
    }
    fn write_hashes(&mut self, first: u64, hashes: &[u8]) -> io::Result<()> {
        self.step(|inner| inner.write_hashes(first, hashes))
    }
    fn remove(&mut self, first: u64) -> io::Result<()> {
        self.step(|inner| inner.remove(first))
    }
    fn keep_lost(&mut self, page: &[u8; LOST_BYTES]) -> io::Result<()> {
        self.inner.keep_lost(page)
    }
}

fn stop_after(ledger: &mut Ledger, dir: &Path, steps: usize) -> Arc<Mutex<usize>> {
    let (left, elsewhere) = (Arc::new(Mutex::new(steps)), scratch());
    let lock = Lock::take(elsewhere.path()).ok().unwrap();
    ledger.storage = Box::new(Stopping { inner: Folder::open(dir, lock).unwrap(), left: Arc::clone(&left) });
    left
}

#[test]
fn a_stop_between_any_two_steps_of_closing_and_deleting_is_finished_by_the_next_start() {
    // Closing, the record, its checkpoint, the hashes, the file: five steps, and none of them.
    for steps in 0..=5 {
        let dir = scratch();
        let mut ledger = three_days(dir.path());
        let now = days_later(185);
        let all = expired(dir.path(), now);
        assert_eq!(all.len(), 2);
        stop_after(&mut ledger, dir.path(), steps);
        let done = ledger.delete(&all[0], Digest([9; 32]), now, 7);
        assert_eq!(done.is_ok(), steps == 5, "{steps}: {done:?}");
        drop(ledger);
        let report = verify(dir.path()).unwrap();
        assert_eq!(report.deleted_records(), if steps == 5 { 2 } else { 0 }, "{steps}");
        assert!(seqs(dir.path()).len() as u64 == report.records - report.deleted_records());
        let mut ledger = open(dir.path(), &MUNICH);
        // From the moment on at which the record was signed, the start finishes it; before, nothing was said.
        let gone = names(dir.path()).contains(&hashes_name(0)) && !names(dir.path()).contains(&closed_name(0));
        assert_eq!(gone, steps >= 3, "{steps}");
        assert_eq!(ledger.finish_deletions().unwrap(), 0);
        delete(&mut ledger, dir.path(), now);
        let report = verify(dir.path()).unwrap();
        assert_eq!((report.deleted_records(), report.signed), (4, report.records), "{steps}");
        assert!(report.kinds[&Kind::RetentionDelete] == 2 || steps == 2, "{steps}: {:?}", report.kinds);
    }
}

#[test]
fn a_stop_without_a_start_is_finished_once_the_disk_takes_something_again() {
    for steps in 0..5 {
        let dir = scratch();
        let mut ledger = three_days(dir.path());
        let now = days_later(185);
        let all = expired(dir.path(), now);
        let left = stop_after(&mut ledger, dir.path(), steps);
        ledger.delete(&all[0], Digest([9; 32]), now, 7).unwrap_err();
        verify(dir.path()).unwrap();
        *left.lock().unwrap() = usize::MAX;
        ledger.append(&day(186, &[intent(3, 30)])).unwrap();
        assert_eq!(delete(&mut ledger, dir.path(), days_later(186)), 3, "{steps}");
        let report = verify(dir.path()).unwrap();
        assert_eq!((report.deleted_records(), report.kinds[&Kind::RetentionDelete]), (6, 3), "{steps}");
    }
}

#[test]
fn what_a_full_disk_lost_is_on_the_record_after_a_stop_and_only_once() {
    let dir = scratch();
    let mut ledger = open(dir.path(), &MUNICH);
    ledger.append(&day(0, &[intent(1, 10)])).unwrap();
    stop_after(&mut ledger, dir.path(), 0);
    ledger.append(&day(0, &[intent(2, 20), intent(3, 30)])).unwrap_err();
    ledger.lost(Kind::Deny, 5);
    drop(ledger);
    assert_eq!(fs::metadata(dir.path().join(LOST)).unwrap().len(), LOST_BYTES as u64);
    // Stopped twice before there is room.
    drop(open(dir.path(), &MUNICH));
    for attempt in 4..6 {
        open(dir.path(), &MUNICH).append(&day(0, &[intent(attempt, 40)])).unwrap();
        assert_eq!(verify(dir.path()).unwrap().dropped, 7);
    }
    // A page that is torn says nothing, and is no reason not to start.
    fs::write(dir.path().join(LOST), b"at 3\negress.int").unwrap();
    open(dir.path(), &MUNICH).append(&day(0, &[intent(6, 40)])).unwrap();
    assert_eq!(verify(dir.path()).unwrap().dropped, 7);
}

#[test]
fn what_a_ledger_grew_by_is_the_same_over_closed_deleted_and_open_segments() {
    let dir = scratch();
    let mut ledger = three_days(dir.path());
    let lines = |name: String| fs::read_to_string(dir.path().join(name)).unwrap();
    let text = [closed_name(0), closed_name(2), LEDGER.to_owned()].map(lines).concat();
    let leaves: Vec<Hash> = text.lines().map(|line| leaf_hash(line.as_bytes())).collect();
    assert_eq!(leaves.len(), 6);
    let check = || {
        for to in 0..=leaves.len() {
            for from in 0..=to {
                let mut wanted = crate::tree::growth::Growth::of(from as u64);
                leaves[from..to].iter().for_each(|leaf| wanted.push(*leaf));
                let found = crate::witness::growth(dir.path(), from as u64, to as u64).unwrap();
                assert_eq!(found, Some(wanted), "from {from} to {to}");
            }
        }
    };
    check();
    assert_eq!(crate::witness::growth(dir.path(), 0, 7).unwrap(), None, "it is not that long");
    assert_eq!(delete(&mut ledger, dir.path(), days_later(185)), 2);
    assert!(dir.path().join(hashes_name(0)).exists());
    check();
}
