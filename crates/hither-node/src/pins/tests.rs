//! What is pinned stays so over a start.

use super::*;

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

fn names(pins: &Pins) -> Vec<String> {
    pins.all().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_pinned_is_pinned_after_the_next_start_and_what_is_not_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Pins::open(dir.path().join("pins"), BTreeSet::from([name("fraud")]));
    let (mut pins, trouble) = open();
    assert_eq!((names(&pins), trouble), (vec!["fraud".to_owned()], None));
    pins.set(&name("org/chat"), true).unwrap();
    pins.set(&name("other"), true).unwrap();
    pins.set(&name("other"), false).unwrap();
    let (pins, trouble) = open();
    assert_eq!((names(&pins), trouble), (vec!["fraud".to_owned(), "org/chat".to_owned()], None));
    assert!(pins.has(&name("org/chat")) && !pins.has(&name("other")));
}

#[test]
fn what_the_configuration_pins_is_not_unpinned_by_command() {
    let dir = tempfile::tempdir().unwrap();
    let (mut pins, _) = Pins::open(dir.path().join("pins"), BTreeSet::from([name("fraud")]));
    assert_eq!(pins.set(&name("fraud"), false).unwrap_err().code, "E0449");
    assert!(pins.has(&name("fraud")));
}

#[test]
fn lines_that_are_no_names_are_told_and_pin_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pins");
    std::fs::write(&path, "chat\nno name\n\n").unwrap();
    let (pins, trouble) = Pins::open(path, BTreeSet::new());
    assert_eq!(names(&pins), ["chat"]);
    assert!(trouble.unwrap().starts_with("1 lines of "));
}
