//! Keys and tokens by the forms that their makers gave them, private keys, and what is called a password.

use hither_types::filter::DataKind;

use crate::candidates::Search;
use crate::limits::{TOKEN_HEAD, TOKEN_MAX};
use crate::skeleton::{Skeleton, is_word};

/// How a key begins, and how many characters follow at least.
const FORMS: &[(&[u8], usize)] = &[
    (b"AGE-SECRET-KEY-1", 50),
    (b"AIza", 35),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"SG.", 40),
    (b"dop_v1_", 64),
    (b"gho_", 36),
    (b"ghp_", 36),
    (b"ghr_", 36),
    (b"ghs_", 36),
    (b"ghu_", 36),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"hf_", 30),
    (b"npm_", 36),
    (b"pypi-", 50),
    (b"rk_live_", 16),
    (b"sk-", 20),
    (b"sk_live_", 16),
    (b"sk_test_", 16),
    (b"xoxa-", 10),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxr-", 10),
    (b"xoxs-", 10),
    (b"ya29.", 20),
];

/// What a value is called that nobody else should know.
const NAMES: &[&[u8]] = &[
    b"access_token",
    b"api-key",
    b"api_key",
    b"apikey",
    b"auth_token",
    b"bearer",
    b"client_secret",
    b"passwd",
    b"password",
    b"pwd",
    b"secret",
    b"secret_key",
    b"token",
];

const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PEM_PRIVATE: &[u8] = b"PRIVATE KEY";
const PEM_END: &[u8] = b"-----END ";

pub(crate) fn look(search: &mut Search<'_>) {
    if !search.kinds.has(DataKind::Secret) {
        return;
    }
    let text = search.text;
    // Where the last run of base64 ends that is no web token: what begins within it is none either.
    let (mut at, mut spent) = (0, 0);
    while at < text.bytes.len() {
        let byte = text.bytes[at];
        let end = match byte {
            b'-' if text.bytes[at..].starts_with(PEM_BEGIN) => private_key(text, at),
            _ if is_word(text.before(at)) || !byte.is_ascii_alphabetic() => None,
            _ => formed(text, at).or_else(|| web_token(text, at, &mut spent)),
        };
        if let Some(end) = end {
            search.add(DataKind::Secret, at, end);
            at = end;
            continue;
        }
        if byte.is_ascii_alphabetic()
            && !text.before(at).is_ascii_alphanumeric()
            && let Some((start, end)) = named(text, at)
        {
            search.add(DataKind::Secret, start, end);
            at = end;
            continue;
        }
        at += 1;
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

/// Where a run of some bytes ends.
fn run(text: &Skeleton<'_>, start: usize, may: impl Fn(u8) -> bool) -> usize {
    let bytes = &text.bytes[start..text.bytes.len().min(start + TOKEN_MAX)];
    start + bytes.iter().take_while(|byte| may(**byte)).count()
}

/// Whether a digit is in the first part of a run. Most words have none there, and are not read to their end for nothing.
fn has_digit(text: &Skeleton<'_>, start: usize, may: impl Fn(u8) -> bool) -> bool {
    let bytes = &text.bytes[start..text.bytes.len().min(start + TOKEN_HEAD)];
    bytes.iter().take_while(|byte| may(**byte)).any(u8::is_ascii_digit)
}

fn formed(text: &Skeleton<'_>, at: usize) -> Option<usize> {
    let (form, least) = FORMS.iter().find(|(form, _)| text.bytes[at..].starts_with(form))?;
    let start = at + form.len();
    let may = |byte| is_token(byte) || byte == b'.';
    if !has_digit(text, start, may) {
        return None;
    }
    // A key of Amazon has capitals and digits alone, and one length: no more is looked at.
    if matches!(*form, b"AKIA" | b"ASIA") {
        let end = start + least;
        let capitals = text
            .bytes
            .get(start..end)
            .is_some_and(|key| key.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
        return (capitals && !may(text.at(end))).then_some(end);
    }
    let end = run(text, start, may);
    let end = if text.before(end) == b'.' { end - 1 } else { end };
    let mixed = text.bytes[start..end].iter().any(u8::is_ascii_digit);
    (end >= start + least && mixed).then_some(end)
}

/// Three parts of base64 of which the first is a JSON object.
fn web_token(text: &Skeleton<'_>, at: usize, spent: &mut usize) -> Option<usize> {
    if at < *spent || !text.bytes[at..].starts_with(b"eyJ") {
        return None;
    }
    let first = run(text, at, is_token);
    *spent = first;
    let second = (text.at(first) == b'.').then(|| run(text, first + 1, is_token))?;
    let third = (text.at(second) == b'.').then(|| run(text, second + 1, is_token))?;
    (first - at >= 10 && second - first > 10 && third - second > 10).then_some(third)
}

/// A private key from its first line to its last, or as far as there is something of it.
fn private_key(text: &Skeleton<'_>, at: usize) -> Option<usize> {
    let bytes = &text.bytes[at..text.bytes.len().min(at + TOKEN_MAX)];
    let head = &bytes[..bytes.len().min(64)];
    let private = head.windows(PEM_PRIVATE.len()).position(|part| part == PEM_PRIVATE)?;
    let body = private + PEM_PRIVATE.len();
    let length = match bytes[body..].windows(PEM_END.len()).position(|part| part == PEM_END) {
        Some(end) => {
            let end = body + end + PEM_END.len();
            end + bytes[end..].iter().take_while(|byte| !b"\r\n".contains(byte)).count().min(64)
        }
        None => {
            body + bytes[body..].iter().take_while(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()).count()
        }
    };
    Some(at + length)
}

/// What stands behind `password =`, `"api_key": ` or `Bearer `: eight characters or more, letters and digits.
fn named(text: &Skeleton<'_>, at: usize) -> Option<(usize, usize)> {
    let fits = |name: &&&[u8]| {
        let part = text.bytes.get(at..at + name.len());
        part.is_some_and(|part| part.eq_ignore_ascii_case(name)) && !is_word(text.at(at + name.len()))
    };
    let name = NAMES.iter().find(fits)?;
    let behind = at + name.len();
    let gap = |from: usize, bytes: &[u8], most: usize| {
        from + text.bytes[from..].iter().take(most).take_while(|byte| bytes.contains(byte)).count()
    };
    let quoted = gap(behind, b"\"' ", 3);
    let said = gap(quoted, b":=", 2);
    let is_bearer = name.eq_ignore_ascii_case(b"bearer") && quoted > behind;
    let said = match said > quoted {
        true => said,
        false if is_bearer => quoted,
        false if text.bytes[quoted..].starts_with(b"is ") => quoted + 3,
        false => return None,
    };
    let start = gap(said, b"\"' ", 3);
    let may = |byte: u8| byte.is_ascii_graphic() && !b"\"'`,;()[]{}<>".contains(&byte);
    if !has_digit(text, start, may) {
        return None;
    }
    let end = run(text, start, may);
    let end = if text.before(end) == b'.' { end - 1 } else { end };
    let value = text.bytes.get(start..end)?;
    let mixed = value.iter().any(u8::is_ascii_digit) && value.iter().any(u8::is_ascii_alphabetic);
    (value.len() >= 8 && mixed).then_some((start, end))
}
