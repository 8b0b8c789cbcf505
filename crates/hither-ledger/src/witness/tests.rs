//! A ledger and its witness: what is signed, and what is not.

use hither_types::fact::Fact;
use hither_types::time::WallTime;
use hither_types::witness::WitnessWord;

use super::{Witness, check_cosigned, checkpoint, cosigned, growth, keep_cosigned, origin_of};
use crate::samples::{all_facts, entries, intent, node, scratch};
use crate::writer::Ledger;

const KEY: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

fn write(dir: &std::path::Path, facts: &[Fact]) {
    let mut ledger = Ledger::open(dir, &KEY, &origin_of(node(&KEY))).unwrap();
    ledger.append(&entries(facts)).unwrap();
}

/// A node with its ledger, and a peer that is its witness.
struct Pair {
    ledger: tempfile::TempDir,
    kept: tempfile::TempDir,
    now: u64,
}

impl Pair {
    fn new() -> Self {
        Self { ledger: scratch(), kept: scratch(), now: 1_000_000 }
    }

    fn write(&self, count: u64) {
        let facts: Vec<_> = (0..count).map(|bytes| intent(1, bytes)).collect();
        write(self.ledger.path(), &facts);
    }

    fn witness(&self) -> Witness {
        Witness::new(self.kept.path().to_owned(), &OTHER)
    }

    /// Asks as a node does that believes that its witness knows of so many records.
    fn ask(&mut self, from: u64) -> (WitnessWord, bool) {
        self.now += 100;
        let (note, says) = checkpoint(self.ledger.path(), node(&KEY)).unwrap();
        let growth = growth(self.ledger.path(), from.min(says.size), says.size).unwrap().unwrap();
        let now = WallTime(self.now * 1_000);
        let examined = self.witness().examine(node(&KEY), &note, from, growth.hashes(), now).unwrap().unwrap();
        (examined.reply, examined.alarm.is_some())
    }

    fn signed(&mut self, from: u64) -> (u64, String) {
        match self.ask(from) {
            (WitnessWord::Signed { size, line }, false) => (size, line),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_ledger_that_grows_is_signed_each_time_and_the_lines_are_right() {
    let mut pair = Pair::new();
    let mut known = 0;
    for more in [1, 3, 1, 12] {
        pair.write(more);
        let (size, line) = pair.signed(known);
        assert_eq!(size, known + more);
        known = size;
        let (note, says) = checkpoint(pair.ledger.path(), node(&KEY)).unwrap();
        assert!(says.check_cosignature(&line, node(&OTHER)).is_ok());
        keep_cosigned(pair.ledger.path(), &note, [(node(&OTHER), line.as_str())]).unwrap();
        let found = cosigned(pair.ledger.path(), node(&KEY)).unwrap().unwrap();
        assert_eq!((found.checkpoint, found.by), (says, vec![(node(&OTHER), pair.now)]));
    }
    assert_eq!(pair.signed(known).0, known, "nothing new is signed once more");
}

#[test]
fn whoever_knows_another_size_says_so() {
    let mut pair = Pair::new();
    pair.write(5);
    pair.signed(0);
    pair.write(2);
    assert_eq!(pair.ask(0), (WitnessWord::Known(5), false));
    assert_eq!(pair.ask(6), (WitnessWord::Known(5), false));
    assert_eq!(pair.signed(5).0, 7);
}

#[test]
fn a_history_that_was_told_anew_is_not_signed_and_both_checkpoints_are_kept() {
    let mut pair = Pair::new();
    pair.write(5);
    pair.signed(0);
    pair.ledger = scratch();
    write(pair.ledger.path(), &all_facts());
    assert_eq!(pair.ask(5), (WitnessWord::Refused(5), true));
    let refused = std::fs::read_to_string(pair.kept.path().join(format!("{}.refused", node(&KEY)))).unwrap();
    assert_eq!(refused, checkpoint(pair.ledger.path(), node(&KEY)).unwrap().0);
    let kept = std::fs::read_to_string(pair.kept.path().join(node(&KEY).to_string())).unwrap();
    assert!(kept.contains("\n5\n"), "{kept}");
}

#[test]
fn a_ledger_that_was_put_back_is_an_alarm_once_it_cannot_be_a_late_word() {
    let mut pair = Pair::new();
    pair.write(3);
    let early = checkpoint(pair.ledger.path(), node(&KEY)).unwrap().0;
    pair.write(2);
    pair.signed(0);
    let examine = |after: u64| {
        let now = WallTime((pair.now + after) * 1_000);
        let examined = pair.witness().examine(node(&KEY), &early, 3, &[], now).unwrap().unwrap();
        (examined.reply, examined.alarm.is_some())
    };
    assert_eq!(examine(5), (WitnessWord::Known(5), false));
    assert_eq!(examine(3_600), (WitnessWord::Refused(5), true));
}

#[test]
fn what_is_not_signed_by_its_node_gets_no_answer() {
    let mut pair = Pair::new();
    pair.write(2);
    let note = checkpoint(pair.ledger.path(), node(&KEY)).unwrap().0;
    let now = WallTime(0);
    assert_eq!(pair.witness().examine(node(&OTHER), &note, 0, &[], now).unwrap(), None);
    assert_eq!(pair.witness().examine(node(&KEY), &note.replace("\n2\n", "\n3\n"), 0, &[], now).unwrap(), None);
    assert_eq!(pair.witness().examine(node(&KEY), "", 0, &[], now).unwrap(), None);
    assert!(matches!(pair.ask(0), (WitnessWord::Signed { .. }, false)));
}

#[test]
fn what_a_witness_cannot_read_or_write_it_does_not_sign() {
    let mut pair = Pair::new();
    pair.write(2);
    pair.signed(0);
    let (note, _) = checkpoint(pair.ledger.path(), node(&KEY)).unwrap();
    let path = pair.kept.path().join(node(&KEY).to_string());
    let text = std::fs::read_to_string(&path).unwrap();
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 4;
        std::fs::write(&path, bytes).unwrap();
        let examined = pair.witness().examine(node(&KEY), &note, 2, &[], WallTime(0));
        let time = text.find("peaks ").unwrap() + 6;
        // When it was signed is not under a signature, and decides of an alarm's moment alone.
        let is_time = (time..time + 7).contains(&at);
        assert!(examined.is_err() || is_time, "byte {at}");
    }
}

#[test]
fn lines_that_are_not_right_are_found() {
    let mut pair = Pair::new();
    pair.write(4);
    let (_, line) = pair.signed(0);
    let (note, _) = checkpoint(pair.ledger.path(), node(&KEY)).unwrap();
    assert_eq!(cosigned(pair.ledger.path(), node(&KEY)), Ok(None));
    keep_cosigned(pair.ledger.path(), &note, [(node(&OTHER), line.replacen("AAAA", "AAAB", 1).as_str())]).unwrap();
    assert!(cosigned(pair.ledger.path(), node(&KEY)).unwrap_err().contains("no right signature of any"));
    keep_cosigned(pair.ledger.path(), &note, [(node(&OTHER), line.as_str())]).unwrap();
    assert!(cosigned(pair.ledger.path(), node(&OTHER)).is_err(), "it is another node's");
    assert!(cosigned(pair.ledger.path(), node(&KEY)).is_ok());
    let found = check_cosigned(pair.ledger.path(), node(&KEY)).unwrap().unwrap();
    assert!(found.text().contains("the first 4 records were signed by 1 other nodes"), "{}", found.text());
    pair.write(1);
    assert!(check_cosigned(pair.ledger.path(), node(&KEY)).is_ok(), "what comes behind changes nothing");
    let other = scratch();
    write(other.path(), &all_facts());
    for name in [super::COSIGNED, super::WITNESSES] {
        std::fs::copy(pair.ledger.path().join(name), other.path().join(name)).unwrap();
    }
    assert!(check_cosigned(other.path(), node(&KEY)).unwrap_err().contains("are not those that witnesses signed"));
}
