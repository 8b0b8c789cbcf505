//! Ranges that meet, and those that do not.

use super::*;

fn speaks(oldest: u16, newest: u16) -> Versions {
    Versions { oldest, newest, program: Program::parse("0.9.0").unwrap() }
}

#[test]
fn two_programs_speak_the_newest_version_that_both_know() {
    for (one, other, common) in [
        ((1, 1), (1, 1), Ok(1)),
        ((1, 2), (2, 7), Ok(2)),
        ((2, 7), (1, 2), Ok(2)),
        ((1, 9), (3, 4), Ok(4)),
        ((3, 4), (1, 2), Err(Apart::OtherTooOld)),
        ((1, 2), (3, 4), Err(Apart::OtherTooNew)),
    ] {
        assert_eq!(speaks(one.0, one.1).common(&speaks(other.0, other.1)), common, "{one:?} {other:?}");
    }
}

#[test]
fn a_refusal_names_both_ranges_and_whom_to_renew() {
    assert_eq!(speaks(1, 2).reason(&speaks(2, 3)), None);
    let reason = speaks(1, 2).reason(&speaks(3, 4)).unwrap();
    assert!(reason.contains("1 to 2") && reason.contains("3 to 4") && reason.ends_with("install a newer hither here"));
    assert!(speaks(3, 4).reason(&speaks(1, 2)).unwrap().ends_with("install a newer hither at the other end"));
}

#[test]
fn a_program_is_a_short_plain_word() {
    for good in ["0.1.0", "1.2.3-rc.1+abc"] {
        assert_eq!(Program::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "\u{1b}[31m", "ü", &"1".repeat(PROGRAM_MAX + 1)] {
        assert_eq!(Program::parse(bad), None, "{bad:?}");
    }
}
