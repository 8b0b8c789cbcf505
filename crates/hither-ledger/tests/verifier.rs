//! The auditor's program, as an auditor runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::SigningKey;
use hither_ledger::{Entry, Kind, Ledger, Witness, growth, keep_cosigned, origin_of, plan};
use hither_types::fact::Fact;
use hither_types::id::{Digest, NodeId};
use hither_types::law::Retention;
use hither_types::place::Jurisdiction;
use hither_types::time::WallTime;
use hither_types::witness::WitnessWord;

const KEY: [u8; 32] = [7; 32];
const NOW: WallTime = WallTime(1_795_348_800_123);

/// Held while a ledger is open, and while a program is started: between its fork and its exec a child has the files of all threads,
/// and with them the lock of a ledger that its writer has closed.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn node(key: &[u8; 32]) -> String {
    NodeId(SigningKey::from_bytes(key).verifying_key().to_bytes()).to_string()
}

fn append(dir: &Path, key: &[u8; 32], facts: u8) {
    let _alone = alone();
    let mut ledger = Ledger::open(dir, key, &format!("hither/{}", node(key))).unwrap();
    let entry = |number| Entry {
        fact: Fact::PolicyChanged { policy: Digest([number; 32]), publisher: None },
        wall: WallTime(1_795_348_800_123),
        mono_ms: number.into(),
    };
    ledger.append(&(0..facts).map(entry).collect::<Vec<_>>()).unwrap();
}

fn verifier(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hither-ledger-verify"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = {
        let _alone = alone();
        command.spawn().unwrap()
    };
    started.wait_with_output().unwrap()
}

fn told(args: &[&str], code: i32, words: &[&str]) {
    let output = verifier(args);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{args:?}: {word:?} is not in {text}"));
}

#[test]
fn a_ledger_is_whole_and_goes_on_from_a_checkpoint_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, kept) = (dir.path().join("ledger"), dir.path().join("kept"));
    append(&ledger, &KEY, 5);
    std::fs::copy(ledger.join("checkpoint"), &kept).unwrap();
    append(&ledger, &KEY, 3);
    let (ledger, kept) = (ledger.to_str().unwrap(), kept.to_str().unwrap());
    let taken = "the key was taken from the folder itself";
    told(&[ledger], 0, &["ok ", "8 records, the first 8 signed", "8  policy.change", taken]);
    let named = ["the 5 records of the checkpoint kept are there", "the key is that of the node that was named"];
    told(&["--node", &node(&KEY), "--since", kept, ledger], 0, &named);
    told(&["--node", &node(&[8; 32]), ledger], 1, &["it is signed by node", "not by"]);
}

#[test]
fn a_ledger_that_was_written_anew_is_found_by_the_checkpoint_that_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other, kept) = (dir.path().join("one"), dir.path().join("other"), dir.path().join("kept"));
    append(&one, &KEY, 5);
    std::fs::copy(one.join("checkpoint"), &kept).unwrap();
    // The same node, another story: each of them verifies alone.
    append(&other, &KEY, 2);
    let (other, kept) = (other.to_str().unwrap(), kept.to_str().unwrap());
    told(&[other], 0, &["2 records"]);
    told(&["--since", kept, other], 1, &["it has 2 records; the checkpoint kept has 5"]);
    append(Path::new(other), &KEY, 9);
    told(&["--since", kept, other], 1, &["its first 5 records are not those"]);
    let foreign = dir.path().join("foreign");
    append(&foreign, &[8; 32], 9);
    told(&["--since", kept, foreign.to_str().unwrap()], 1, &["no signature by the node's key"]);
}

#[test]
fn a_checkpoint_that_was_kept_still_holds_when_its_records_were_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, kept) = (dir.path().join("ledger"), dir.path().join("kept"));
    append(&ledger, &KEY, 5);
    std::fs::copy(ledger.join("checkpoint"), &kept).unwrap();
    append(&ledger, &KEY, 3);
    let here = Jurisdiction::parse("DE-BY").unwrap();
    let now = WallTime(1_795_348_800_123 + 185 * 86_400_000);
    let held = alone();
    let mut writer = Ledger::open(&ledger, &KEY, "hither/here").unwrap();
    writer.end_day(now).unwrap();
    let expired = plan(&ledger, &Retention::default(), here, now).unwrap().expired;
    assert_eq!((expired.len(), expired[0].count, expired[0].days.0), (1, 8, 184));
    writer.lost(Kind::Deny, 2);
    writer.delete(&expired[0], Digest([9; 32]), now, 1).unwrap();
    drop(writer);
    drop(held);
    let (path, kept) = (ledger.to_str().unwrap(), kept.to_str().unwrap());
    let said = "records 0 to 7 (until 2026-11-22T12:00:00.123Z) were deleted by retention: 184 days for DE-BY, policy 0909090909";
    let since = "the 5 records of the checkpoint kept are there, unchanged, but for those deleted";
    told(&["--since", kept, path], 0, &["10 records, the first 10 signed", "2 records were lost", said, since]);
    // With its hashes goes the proof, and without its record the reason.
    let hashes = ledger.join("ledger-00000000000000000000.hashes");
    let whole = std::fs::read(&hashes).unwrap();
    std::fs::remove_file(&hashes).unwrap();
    told(&[path], 1, &["record 0 is in no file"]);
    std::fs::write(&hashes, whole).unwrap();
    told(&[path], 0, &["ok"]);
}

#[test]
fn only_witnesses_that_are_named_count() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, kept) = (dir.path().join("ledger"), dir.path().join("kept"));
    let origin = NodeId(SigningKey::from_bytes(&KEY).verifying_key().to_bytes());
    {
        let _alone = alone();
        let mut writer = Ledger::open(&ledger, &KEY, &origin_of(origin)).unwrap();
        let fact = Fact::PolicyChanged { policy: Digest([1; 32]), publisher: None };
        writer.append(&[Entry { fact, wall: NOW, mono_ms: 1 }]).unwrap();
    }
    let witness = NodeId(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes());
    let path = ledger.to_str().unwrap();
    let (known, stranger) = (witness.to_string(), node(&[8; 32]));
    // Nobody signed yet.
    told(&[path], 0, &["ok "]);
    told(&["--witness", &known, path], 1, &["none of the 1 witnesses that were named signed it"]);
    cosign(&ledger, &kept, origin, witness);
    let line = format!("node {witness}  at ");
    told(&[path], 0, &["signed by 1 other nodes", &line]);
    told(&["--witness", &stranger, "--witness", &known, path], 0, &[&line]);
    told(&["--witness", &stranger, path], 1, &["none of the 1 witnesses that were named signed it"]);
}

/// A witness with the key of nines signs a ledger.
fn cosign(ledger: &Path, kept: &Path, node: NodeId, witness: NodeId) {
    let (note, checkpoint) = hither_ledger::checkpoint(ledger, node).unwrap();
    let growth = growth(ledger, 0, checkpoint.size).unwrap().unwrap();
    let word = Witness::new(kept.to_owned(), &[9; 32]).examine(node, &note, 0, growth.hashes(), NOW).unwrap();
    let word = word.expect("it is the node's").reply;
    let WitnessWord::Signed { line, .. } = word else { panic!("it grew from nothing: {word:?}") };
    keep_cosigned(ledger, &note, [(witness, line.as_str())]).unwrap();
}

#[test]
fn every_flipped_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), &KEY, 2);
    let file = dir.path().join("ledger.jsonl");
    let good = std::fs::read(&file).unwrap();
    // Every byte is tried in the library's own tests; here a program is started for each.
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, bad).unwrap();
        told(&[dir.path().to_str().unwrap()], 1, &["FAILED", "damaged"]);
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_usage() {
    for args in [
        &[][..],
        &["--nodes"],
        &["--node"],
        &["--node", "x", "."],
        &["--witness"],
        &["--witness", "x", "."],
        &["--since", "a", "b", "c"],
    ] {
        told(args, 2, &["error: ", "hither-ledger-verify [--node ID] [--witness ID…]"]);
    }
    told(&["/nowhere/at/all"], 1, &["FAILED /nowhere/at/all"]);
}
