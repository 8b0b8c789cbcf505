//! Tickets, and the ways in which people spoil them.

use super::{TicketError, crc32, format, parse};
use crate::tests::{arbitrary, samples};
use proptest::test_runner::{Config, TestRunner};

fn ticket() -> String {
    format(&samples::invite()[0]).unwrap()
}

#[test]
fn a_ticket_is_one_lower_case_word_and_reads_back() {
    let text = ticket();
    assert!(text.starts_with("hither1") && text.len() < 300, "{text}");
    assert!(text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{text}");
    assert_eq!(parse(&text).as_ref(), Ok(&samples::invite()[0]));
}

#[test]
fn every_invite_reads_back() {
    TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() })
        .run(&arbitrary::invite(), |invite| {
            assert_eq!(parse(&format(&invite).unwrap()), Ok(invite));
            Ok(())
        })
        .unwrap();
}

#[test]
fn space_line_breaks_and_capitals_do_no_harm() {
    let text = ticket();
    let (first, second) = text.split_at(40);
    for spoilt in [format!("  {text}\n"), format!("{first}\r\n  {second}"), text.to_ascii_uppercase()] {
        assert_eq!(parse(&spoilt).as_ref(), Ok(&samples::invite()[0]), "{spoilt:?}");
    }
}

#[test]
fn every_wrong_letter_is_found() {
    let text = ticket();
    for at in "hither1".len()..text.len() {
        for letter in "abcdefghijklmnopqrstuvwxyz234567".chars().filter(|c| !text[at..].starts_with(*c)) {
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &letter.to_string());
            assert_eq!(parse(&wrong), Err(TicketError::Mistyped), "{at}: {letter}");
        }
    }
}

#[test]
fn neighbours_that_changed_places_and_missing_letters_are_found() {
    let text = ticket();
    let start = "hither1".len();
    for at in start..text.len() - 1 {
        let mut swapped: Vec<char> = text.chars().collect();
        swapped.swap(at, at + 1);
        let swapped: String = swapped.into_iter().collect();
        if swapped != text {
            assert_eq!(parse(&swapped), Err(TicketError::Mistyped), "{at}");
        }
        let mut missing = text.clone();
        missing.remove(at);
        assert_eq!(parse(&missing), Err(TicketError::Mistyped), "{at}");
        assert_eq!(parse(&text[..at]), Err(TicketError::Mistyped), "{at}");
    }
    assert_eq!(parse(&format!("{text}a")), Err(TicketError::Mistyped));
    assert_eq!(parse(&format!("{text}0!ü")), Err(TicketError::Mistyped));
    assert_eq!(parse(&format!("{text}{}", "a".repeat(10_000_000))), Err(TicketError::Mistyped));
}

#[test]
fn other_text_is_told_from_a_wrong_letter() {
    assert_eq!(parse(""), Err(TicketError::NotATicket));
    assert_eq!(parse("hither"), Err(TicketError::NotATicket));
    assert_eq!(parse("hither join"), Err(TicketError::NotATicket));
    assert_eq!(parse("https://example.org"), Err(TicketError::NotATicket));
    assert_eq!(parse(&ticket().replacen('1', "2", 1)), Err(TicketError::OtherVersion));
}

#[test]
fn right_letters_that_are_no_invite_are_told_from_wrong_letters() {
    let mut bytes = vec![1, 2, 3];
    bytes.extend(crc32(&bytes).to_be_bytes());
    let text = format!("hither1{}", data_encoding::BASE32_NOPAD.encode(&bytes).to_ascii_lowercase());
    assert!(matches!(parse(&text), Err(TicketError::Inside(_))));
}

#[test]
fn the_checksum_is_the_one_that_its_name_says() {
    // The check value of CRC-32/ISO-HDLC.
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
