//! What is known by a sign in it or by its letters: addresses of mail, logins in web addresses, bank accounts, addresses of
//! the internet protocol's version 6, British insurance numbers.

use std::net::Ipv6Addr;

use hither_types::filter::DataKind;

use crate::candidates::Search;
use crate::checks::mod97;
use crate::limits::{DOMAIN_MAX, LOCAL_PART_MAX, LOGIN_MAX};
use crate::skeleton::{LETTER, Skeleton, is_word};

/// How long the account numbers of a country are.
const ACCOUNTS: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
];

pub(crate) fn look(search: &mut Search<'_>) {
    let text = search.text;
    for at in 0..text.bytes.len() {
        let byte = text.bytes[at];
        let begins = !is_word(text.before(at));
        match byte {
            b'@' => {
                if let Some((start, end)) = mail(text, at) {
                    search.add(DataKind::Email, start, end);
                }
            }
            b':' if text.bytes[at..].starts_with(b"://") => {
                if let Some((start, end)) = login(text, at + 3) {
                    search.add(DataKind::UrlLogin, start, end);
                }
            }
            _ => {}
        }
        if begins && byte.is_ascii_alphabetic() {
            if let Some(end) = account(text, at) {
                search.add(DataKind::Iban, at, end);
            }
            if let Some(end) = insurance(text, at) {
                search.add(DataKind::UkNino, at, end);
            }
        }
        if begins
            && text.before(at) != b':'
            && (byte.is_ascii_hexdigit() || byte == b':')
            && let Some(end) = version6(text, at)
        {
            search.add(DataKind::Ip, at, end);
        }
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == LETTER || b"._%+-'&".contains(&byte)
}

/// An address of mail around an at sign.
fn mail(text: &Skeleton<'_>, at: usize) -> Option<(usize, usize)> {
    let length = text.bytes[..at].iter().rev().take(LOCAL_PART_MAX).take_while(|byte| is_local(**byte)).count();
    let mut start = at - length;
    while start < at && b".-'&".contains(&text.bytes[start]) {
        start += 1;
    }
    let (mut end, mut label, mut labels) = (None, at + 1, 0);
    loop {
        let rest = text.bytes.get(label..).unwrap_or_default();
        let length = rest
            .iter()
            .take(DOMAIN_MAX)
            .take_while(|b| b.is_ascii_alphanumeric() || **b == b'-' || **b == LETTER)
            .count();
        if length == 0 || label + length - at > DOMAIN_MAX {
            break;
        }
        labels += 1;
        let word = &rest[..length];
        let is_top = length >= 2
            && (word.starts_with(b"xn--") || word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == LETTER));
        if labels >= 2 && is_top {
            end = Some(label + length);
        }
        label += length;
        if text.at(label) != b'.' {
            break;
        }
        label += 1;
    }
    end.filter(|_| start < at).map(|end| (start, end))
}

/// What stands before the at sign in a web address.
fn login(text: &Skeleton<'_>, start: usize) -> Option<(usize, usize)> {
    let rest = &text.bytes[start..text.bytes.len().min(start + LOGIN_MAX)];
    let length = rest.iter().take_while(|byte| !b"/?#[]<>\"' \t\r\n".contains(byte)).count();
    let at = rest[..length].iter().rposition(|byte| *byte == b'@').filter(|at| *at > 0)?;
    Some((start, start + at))
}

/// Where the account ends that begins here.
fn account(text: &Skeleton<'_>, at: usize) -> Option<usize> {
    let country = [text.at(at).to_ascii_uppercase(), text.at(at + 1).to_ascii_uppercase()];
    let (_, length) = ACCOUNTS.iter().find(|(known, _)| **known == country)?;
    let (mut plain, mut here) = ([0; 34], at);
    for slot in &mut plain[..*length] {
        if here > at + 2 && b" -".contains(&text.at(here)) {
            here += 1;
        }
        *slot = text.at(here);
        if !slot.is_ascii_alphanumeric() {
            return None;
        }
        here += 1;
    }
    let plain = &plain[..*length];
    let digits =
        plain[2..4].iter().all(u8::is_ascii_digit) && plain.iter().filter(|byte| byte.is_ascii_digit()).count() > 6;
    (digits && !is_word(text.at(here)) && mod97(plain)).then_some(here)
}

/// Where the British insurance number ends that begins here.
fn insurance(text: &Skeleton<'_>, at: usize) -> Option<usize> {
    let (mut plain, mut here) = ([0; 9], at);
    for (slot, is_group) in plain.iter_mut().zip([false, false, true, false, true, false, true, false, true]) {
        if is_group && text.at(here) == b' ' {
            here += 1;
        }
        *slot = text.at(here).to_ascii_uppercase();
        here += 1;
    }
    let [first, second, digits @ .., last] = plain;
    let letters = first.is_ascii_uppercase()
        && second.is_ascii_uppercase()
        && !b"DFIQUV".contains(&first)
        && !b"DFIQUVO".contains(&second);
    let given = ![*b"BG", *b"GB", *b"KN", *b"NK", *b"NT", *b"TN", *b"ZZ"].contains(&[first, second]);
    let fits = letters && given && digits.iter().all(u8::is_ascii_digit) && (b'A'..=b'D').contains(&last);
    (fits && !is_word(text.at(here))).then_some(here)
}

/// Where the address of version 6 ends that begins here. That of the machine itself, and what has too few groups to be told
/// from a path in a program, is none.
fn version6(text: &Skeleton<'_>, at: usize) -> Option<usize> {
    let is_part = |byte: &&u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
    let length = text.bytes[at..].iter().take(46).take_while(is_part).count();
    let part = std::str::from_utf8(&text.bytes[at..at + length]).ok()?;
    let part = part.strip_suffix("::").map_or_else(|| part.trim_end_matches([':', '.']), |_| part);
    let groups = part.split([':', '.']).filter(|group| !group.is_empty()).count();
    let address: Ipv6Addr = part.parse().ok()?;
    let end = at + part.len();
    let plain = groups >= 3 && part.bytes().any(|byte| byte.is_ascii_digit());
    (plain && !address.is_loopback() && !is_word(text.at(end))).then_some(end)
}
