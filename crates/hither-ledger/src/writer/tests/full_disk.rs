//! A disk that is full or failing: nothing of the group, an error, and a gap on the record afterwards.

use std::sync::{Arc, Mutex};

use super::*;
use crate::storage::{LOST, LOST_BYTES};

/// What the disk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// All is well.
    Good,
    /// Takes this many bytes, then none.
    FullAfter(usize),
    /// Takes records, and no checkpoint.
    NoCheckpoint,
    /// Takes this many bytes and then not even a cut.
    Dead(usize),
}

struct Moody {
    inner: Folder,
    mood: Arc<Mutex<Mood>>,
}

/// Opens a ledger on a moody disk.
fn open_moody(dir: &Path) -> (Ledger, Arc<Mutex<Mood>>) {
    let mut ledger = open(dir, &MUNICH);
    let mood = Arc::new(Mutex::new(Mood::Good));
    let elsewhere = scratch();
    // The real lock goes with the real folder; the moody one writes to the same files.
    let lock = Lock::take(elsewhere.path()).ok().unwrap();
    ledger.storage = Box::new(Moody { inner: Folder::open(dir, lock).unwrap(), mood: Arc::clone(&mood) });
    (ledger, mood)
}

fn full<T>() -> io::Result<T> {
    Err(io::ErrorKind::StorageFull.into())
}

impl Storage for Moody {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Good | Mood::NoCheckpoint => self.inner.write(offset, bytes),
            Mood::FullAfter(room) | Mood::Dead(room) => {
                self.inner.write(offset, &bytes[..room.min(bytes.len())])?;
                full()
            }
        }
    }

    fn truncate(&mut self, len: u64, torn: u64) -> io::Result<()> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Dead(_) => full(),
            Mood::Good | Mood::FullAfter(_) | Mood::NoCheckpoint => self.inner.truncate(len, torn),
        }
    }

    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()> {
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Good => self.inner.replace_checkpoint(note),
            Mood::FullAfter(_) | Mood::NoCheckpoint | Mood::Dead(_) => full(),
        }
    }

    fn close(&mut self, first: u64, len: u64) -> io::Result<()> {
        self.inner.close(first, len)
    }

    fn write_hashes(&mut self, first: u64, hashes: &[u8]) -> io::Result<()> {
        self.inner.write_hashes(first, hashes)
    }

    fn remove(&mut self, first: u64) -> io::Result<()> {
        self.inner.remove(first)
    }

    fn keep_lost(&mut self, page: &[u8; LOST_BYTES]) -> io::Result<()> {
        self.inner.keep_lost(page)
    }
}

/// Every way to fail, at steps through a group.
fn moods(step: usize) -> Vec<Mood> {
    let cuts = || (0..=1_600).step_by(step);
    cuts().map(Mood::FullAfter).chain(cuts().map(Mood::Dead)).chain([Mood::NoCheckpoint]).collect()
}

#[test]
fn a_group_that_does_not_fit_is_not_there_at_all_and_the_gap_says_so() {
    let dir = scratch();
    let (mut ledger, mood) = open_moody(dir.path());
    ledger.append(&entries(&[intent(1, 10)])).unwrap();
    for (round, bad) in (0u64..).zip(moods(37)) {
        let before = (ledger.head(), fs::read(dir.path().join(CHECKPOINT)).unwrap());
        let good_bytes = fs::read(dir.path().join(LEDGER)).unwrap();
        *mood.lock().unwrap() = bad;
        for _ in 0..2 {
            let error = ledger.append(&entries(&all_facts()[4..7])).unwrap_err();
            assert!(matches!(error, WriteError::Io(_)), "{bad:?}");
            assert_eq!((ledger.head(), fs::read(dir.path().join(CHECKPOINT)).unwrap()), before, "{bad:?}");
            let on_disk = fs::read(dir.path().join(LEDGER)).unwrap();
            match bad {
                Mood::Dead(_) => assert!(on_disk.starts_with(&good_bytes), "{bad:?}"),
                Mood::Good | Mood::FullAfter(_) | Mood::NoCheckpoint => assert!(on_disk == good_bytes, "{bad:?}"),
            }
            verify(dir.path()).unwrap();
        }
        *mood.lock().unwrap() = Mood::Good;
        let appended = ledger.append(&entries(&[intent(2, 20)])).unwrap();
        // The gap comes before the first entry.
        assert_eq!((appended.first_seq, appended.next_seq), (2 + 2 * round, 3 + 2 * round), "{bad:?}");
        let found = records(dir.path());
        let gap = &found[found.len() - 2];
        assert_eq!((gap.kind, gap.dropped), (Kind::Gap, Some(6)), "{bad:?}");
        let kinds = r#""kinds":{"deny":2,"egress.intent":2,"egress.settled":2}"#;
        assert!(gap.line.contains(kinds), "{}", gap.line);
    }
    let report = verify(dir.path()).unwrap();
    assert_eq!(report.dropped, 6 * moods(37).len() as u64);
    assert_eq!(report.signed, report.records);
}

#[test]
fn a_crash_on_a_full_disk_is_still_a_torn_tail() {
    for bad in moods(111) {
        let dir = scratch();
        let (mut ledger, mood) = open_moody(dir.path());
        ledger.append(&entries(&[intent(1, 10)])).unwrap();
        *mood.lock().unwrap() = bad;
        ledger.append(&entries(&all_facts()[4..7])).unwrap_err();
        drop(ledger);
        let mut ledger = open(dir.path(), &MUNICH);
        ledger.append(&entries(&[intent(2, 20)])).unwrap();
        let report = verify(dir.path()).unwrap();
        assert_eq!((report.signed, report.torn_bytes), (report.records, 0), "{bad:?}");
        assert_eq!(kinds(dir.path()).last(), Some(&Kind::EgressIntent));
    }
}

#[test]
fn a_torn_tail_stays_until_it_is_on_the_record_even_if_the_disk_is_full() {
    let dir = scratch();
    write(dir.path(), &MUNICH, &[intent(1, 10)]);
    let mut torn = fs::read(dir.path().join(LEDGER)).unwrap();
    torn.extend_from_slice(b"{\"app\":\"ct-tri");
    fs::write(dir.path().join(LEDGER), &torn).unwrap();
    let (mut ledger, mood) = open_moody(dir.path());
    *mood.lock().unwrap() = Mood::NoCheckpoint;
    ledger.append(&entries(&[intent(2, 20)])).unwrap_err();
    *mood.lock().unwrap() = Mood::Good;
    ledger.append(&entries(&[intent(3, 30)])).unwrap();
    assert_eq!(kinds(dir.path()), [Kind::EgressIntent, Kind::Recovered, Kind::Gap, Kind::EgressIntent]);
    verify(dir.path()).unwrap();
}

/// A ledger with a record that a crash left unsigned, and so many bytes of another.
fn crashed(dir: &Path, torn: &[u8]) {
    write(dir, &MUNICH, &[intent(1, 10)]);
    let checkpoint = fs::read(dir.join(CHECKPOINT)).unwrap();
    write(dir, &MUNICH, &[intent(2, 20)]);
    fs::write(dir.join(CHECKPOINT), checkpoint).unwrap();
    let left = [&fs::read(dir.join(LEDGER)).unwrap()[..], torn].concat();
    fs::write(dir.join(LEDGER), left).unwrap();
}

const TORN: &[u8] = b"{\"app\":\"ct-tri";

#[test]
fn what_was_lost_is_counted_though_crash_follows_crash_before_there_is_room() {
    for bad in moods(111).into_iter().filter(|mood| !matches!(mood, Mood::Dead(_))) {
        for torn in [b"".as_slice(), TORN] {
            let dir = scratch();
            crashed(dir.path(), torn);
            for _ in 0..3 {
                let (mut ledger, mood) = open_moody(dir.path());
                *mood.lock().unwrap() = bad;
                for _ in 0..2 {
                    ledger.append(&entries(&all_facts()[4..7])).unwrap_err();
                }
            }
            open(dir.path(), &MUNICH).append(&entries(&[intent(3, 30)])).unwrap();
            let report = verify(dir.path()).unwrap();
            assert_eq!((report.dropped, report.torn_bytes), (18, 0), "{bad:?}");
            let told = &records(dir.path())[2];
            let says = format!(r#""adopted":1,"bytes_cut":{},"#, torn.len());
            assert!(told.kind == Kind::Recovered && told.line.contains(&says), "{bad:?}: {}", told.line);
        }
    }
}

#[test]
fn what_was_lost_is_counted_once_though_a_crash_leaves_any_part_of_the_group_that_says_it() {
    for room in (0..=2_400).step_by(37) {
        for torn in [b"".as_slice(), TORN] {
            let dir = scratch();
            crashed(dir.path(), torn);
            let (mut ledger, mood) = open_moody(dir.path());
            *mood.lock().unwrap() = Mood::FullAfter(0);
            ledger.append(&entries(&all_facts()[4..7])).unwrap_err();
            let page = fs::read(dir.path().join(LOST)).unwrap();
            *mood.lock().unwrap() = Mood::Dead(room);
            ledger.append(&entries(&[intent(3, 30)])).unwrap_err();
            // Killed before it knew of the second loss.
            fs::write(dir.path().join(LOST), page).unwrap();
            drop(ledger);
            drop(open(dir.path(), &MUNICH));
            open(dir.path(), &MUNICH).append(&entries(&[intent(4, 40)])).unwrap();
            assert_eq!(verify(dir.path()).unwrap().dropped, 3, "{room}");
        }
    }
}
