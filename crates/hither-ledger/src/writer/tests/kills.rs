//! A real process, really killed while it writes: nothing that it was told is durable is lost.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;

/// Set for the process that is to be killed: where it writes.
const VICTIM: &str = "HITHER_LEDGER_VICTIM";
const KILLS: usize = 40;

#[test]
fn a_killed_writer_loses_nothing_that_was_acknowledged() {
    let name = "writer::tests::kills::a_killed_writer_loses_nothing_that_was_acknowledged";
    if let Ok(dir) = std::env::var(VICTIM) {
        return write_until_killed(Path::new(&dir));
    }
    // On a disk, if that is where temporary files are: there the checkpoint takes long enough for kills to fall before
    // it. Where they never do, the tests of crashes still go through every byte of that window.
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut recovered = 0;
    for kill in 0..KILLS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Killed after some acknowledgements: by then it is somewhere in a later group. The pipe stays open meanwhile,
        // or the victim would end by itself, tidily.
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map_while(Result::ok);
        let acks = lines.by_ref().filter_map(|line| line.strip_prefix("ack ")?.parse::<u64>().ok());
        acknowledged = acks.take(1 + kill % 7).last().expect("the victim writes");
        victim.kill().unwrap();
        victim.wait().unwrap();
        acknowledged = lines.filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).last().unwrap_or(acknowledged);
        let report = verify(dir.path()).unwrap();
        assert!(report.records >= acknowledged, "{acknowledged} acknowledged, {} there", report.records);
        recovered += u64::from(report.signed < report.records || report.torn_bytes > 0);
    }
    // The last kill is made good like all others, and every one that left something is on the record.
    open(dir.path(), &MUNICH).append(&entries(&[intent(1, 10)])).unwrap();
    let report = verify(dir.path()).unwrap();
    assert!(report.signed == report.records && report.records > acknowledged);
    println!("{recovered} of {KILLS} kills left something to recover");
    assert_eq!(report.kinds.get(&Kind::Recovered).copied().unwrap_or(0), recovered);
}

fn write_until_killed(dir: &Path) {
    let mut ledger = open(dir, &MUNICH);
    for size in (1..8).cycle() {
        let appended = ledger.append(&entries(&vec![intent(1, 10); size])).unwrap();
        println!("ack {}", appended.next_seq);
    }
}
