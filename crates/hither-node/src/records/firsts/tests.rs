//! What was first stays first.

use std::sync::Mutex;

use hither_types::place::Jurisdiction;

use super::{FIRSTS, Firsts};

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

#[test]
fn a_first_time_is_one_once_also_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let (de, fr) = (place("DE"), place("FR"));
    let firsts = Mutex::new(Firsts::beside(&ledger));
    let begin = |left, to| firsts.lock().unwrap().begin(left, to);
    assert!(!begin(de, de), "what stays is no transfer");
    assert!(begin(de, fr));
    assert!(!begin(de, fr), "it is on its way to the disk");
    firsts.lock().unwrap().forget(de, fr);
    assert!(begin(de, fr), "it did not get there");
    assert!(!dir.path().join(FIRSTS).exists(), "nothing is remembered that is not on the disk");
    Firsts::keep(&firsts, de, fr);
    assert!(!begin(de, fr));
    assert!(begin(fr, de), "the other way is another");
    let mut again = Firsts::beside(&ledger);
    assert!(!again.begin(de, fr) && again.begin(fr, de));
}

#[test]
fn what_cannot_be_read_makes_a_first_time_be_told_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(FIRSTS), "DE FR\nnonsense\nDE\n").unwrap();
    let mut firsts = Firsts::beside(&dir.path().join("ledger"));
    assert!(!firsts.begin(place("DE"), place("FR")) && firsts.begin(place("DE"), place("AT")));
}
