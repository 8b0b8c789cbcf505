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
    assert!(!firsts.is_first(place("DE"), place("DE")), "what stays is no transfer");
    assert!(firsts.is_first(place("DE"), place("FR")));
    assert!(firsts.is_first(place("DE"), place("FR")), "it is not on the record yet");
    firsts.note(place("DE"), place("FR"));
    assert!(!firsts.is_first(place("DE"), place("FR")));
    assert!(firsts.is_first(place("FR"), place("DE")), "the other way is another");
    let firsts = Firsts::beside(&ledger);
    assert!(!firsts.is_first(place("DE"), place("FR")) && firsts.is_first(place("DE"), place("CH")));
}

#[test]
fn what_cannot_be_read_makes_a_first_time_be_told_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("first-transfers"), "DE FR\nnonsense\nDE\n").unwrap();
    let firsts = Firsts::beside(&dir.path().join("ledger"));
    assert!(!firsts.is_first(place("DE"), place("FR")) && firsts.is_first(place("DE"), place("AT")));
}
