//! Tests of the forms of trouble.

use super::{Colour, Exit, Trouble, plain};

#[test]
fn trouble_reads_like_a_compiler_s() {
    let trouble = Trouble::new("E0301", "no lawful place can serve this request")
        .note("rule id-bank")
        .help("hither models pull smollm2-135m")
        .exit(Exit::Refused);
    assert_eq!(
        trouble.text(Colour::Off),
        "error[E0301]: no lawful place can serve this request\n  rule id-bank\n  help: hither models pull smollm2-135m\n"
    );
    assert_eq!(trouble.json()["error"]["exit"], 3);
}

#[test]
fn an_empty_help_is_no_help() {
    assert!(Trouble::new("E0001", "x").help("").help.is_empty());
}

#[test]
fn a_model_cannot_drive_the_terminal() {
    assert_eq!(plain("a\x1b[2Jb\n"), "a\u{fffd}[2Jb\n");
}
