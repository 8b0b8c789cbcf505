//! Ledgers are verified, shown and compared without a node.

use std::path::{Path, PathBuf};

use hither_ledger::{Entry, Ledger};
use hither_types::fact::Fact;
use hither_types::id::Digest;
use hither_types::time::WallTime;

use super::{ends, object, text};

/// A ledger with some records, as a node with this key would have written it.
fn written(key: u8, records: u8) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger");
    std::fs::create_dir(&path).unwrap();
    let secret = [key; 32];
    let origin = format!("hither/mesh/{key}");
    let mut ledger = Ledger::open(&path, &secret, &origin).unwrap();
    for number in 0..records {
        let fact = Fact::PolicyChanged { policy: Digest([number; 32]), publisher: None };
        let entry = Entry { fact, wall: WallTime(1_790_000_000_000 + u64::from(number)), mono_ms: u64::from(number) };
        ledger.append(&[entry]).unwrap();
    }
    (dir, path)
}

fn flip(path: &Path) {
    let file = path.join("ledger.jsonl");
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&file, bytes).unwrap();
}

#[test]
fn a_whole_ledger_verifies() {
    let (_dir, path) = written(1, 5);
    let (stdout, _) = ends(&["ledger", "verify", text(&path)], 0);
    assert!(stdout.starts_with("ok 5 records of node ") && stdout.contains("policy.change"), "{stdout}");
    let report = object(&["ledger", "verify", text(&path)], 0);
    assert_eq!((report["records"].as_u64(), report["kinds"]["policy.change"].as_u64()), (Some(5), Some(5)));
}

#[test]
fn one_flipped_bit_is_found_and_named() {
    let (_dir, path) = written(1, 5);
    flip(&path);
    let (stdout, stderr) = ends(&["ledger", "verify", text(&path)], 1);
    assert_eq!(stdout, "");
    assert!(stderr.starts_with("error[E0801]: ") && stderr.contains("damaged"), "{stderr}");
    assert_eq!(object(&["ledger", "verify", text(&path)], 1)["error"]["code"], "E0801");
}

#[test]
fn records_are_shown_as_they_were_written() {
    let (_dir, path) = written(1, 5);
    let shown = object(&["ledger", "show", text(&path), "--last", "2"], 0);
    assert_eq!(shown["total"], 5);
    let numbers: Vec<u64> =
        shown["records"].as_array().unwrap().iter().map(|one| one["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(shown["records"][0]["kind"], "policy.change");
    assert_eq!(ends(&["ledger", "show", text(&path)], 0).0.lines().count(), 5);
}

#[test]
fn ledgers_are_reconciled_and_one_given_twice_is_noticed() {
    let ((_a, first), (_b, second)) = (written(1, 2), written(2, 3));
    let found = object(&["ledger", "reconcile", text(&first), text(&second)], 0);
    assert_eq!((found["ledgers"].as_u64(), found["transfers"].as_u64()), (Some(2), Some(0)));
    let (_, stderr) = ends(&["ledger", "reconcile", text(&first), text(&first)], 2);
    assert!(stderr.contains("error[E0805]"), "{stderr}");
    flip(&second);
    ends(&["ledger", "reconcile", text(&first), text(&second)], 1);
}

#[test]
fn no_ledger_is_a_usage_error_with_help() {
    let dir = tempfile::tempdir().unwrap();
    for command in ["verify", "show"] {
        let (_, stderr) = ends(&["ledger", command, text(dir.path())], 2);
        assert!(stderr.contains("error[E0803]: no ledger in") && stderr.contains("help: "), "{stderr}");
    }
}
