//! Bytes that never change.

use super::*;

fn versions() -> Versions {
    Versions { oldest: 1, newest: 0x0203, program: Program::parse("0.1.0").unwrap() }
}

/// The form of the first release: not to be changed, whatever it says.
const FOR_EVER: &[u8] = b"\x01\x01\x00\x03\x02\x050.1.0";

#[test]
fn the_form_stays_what_it_was() {
    assert_eq!(encode_versions(&versions()), FOR_EVER);
    assert_eq!(decode_versions(FOR_EVER), Ok(versions()));
}

#[test]
fn what_later_programs_append_is_left_unread() {
    let longer = [FOR_EVER, b"and more"].concat();
    assert_eq!(decode_versions(&longer), Ok(versions()));
}

#[test]
fn what_is_cut_off_wrong_or_too_long_is_refused() {
    for length in 0..FOR_EVER.len() {
        assert!(decode_versions(&FOR_EVER[..length]).is_err(), "{length}");
    }
    for (at, byte) in [(0, 2), (1, 9), (5, 0), (5, 200), (6, b' '), (6, 0xff)] {
        let mut wrong = FOR_EVER.to_vec();
        // The oldest may not be newer than the newest.
        if at == 1 {
            wrong[3..5].copy_from_slice(&[1, 0]);
        }
        wrong[at] = byte;
        assert!(decode_versions(&wrong).is_err(), "{at} {byte}");
    }
    assert!(decode_versions(&vec![1; MAX_VERSIONS + 1]).is_err());
}

#[test]
fn this_program_speaks_something() {
    let spoken = spoken(env!("CARGO_PKG_VERSION")).unwrap();
    assert!(spoken.oldest <= spoken.newest);
}
