//! What was first stays first.

use hither_types::place::Jurisdiction;

use super::Firsts;

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

#[test]
fn a_first_time_is_one_once_also_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let mut firsts = Firsts::beside(&ledger);
    assert!(!firsts.note(place("DE"), place("DE")), "what stays is no transfer");
    assert!(firsts.note(place("DE"), place("FR")));
    assert!(!firsts.note(place("DE"), place("FR")));
    assert!(firsts.note(place("FR"), place("DE")), "the other way is another");
    drop(firsts);
    let mut firsts = Firsts::beside(&ledger);
    assert!(!firsts.note(place("DE"), place("FR")));
    assert!(firsts.note(place("DE"), place("CH")));
}

#[test]
fn what_cannot_be_read_makes_a_first_time_be_told_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("first-transfers"), "DE FR\nnonsense\nDE\n").unwrap();
    let mut firsts = Firsts::beside(&dir.path().join("ledger"));
    assert!(!firsts.note(place("DE"), place("FR")) && firsts.note(place("DE"), place("AT")));
}
