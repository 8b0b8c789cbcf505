//! Where clients put their keys.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue};

use super::Key;
use super::key::PREFIX;
use crate::errors::{Code, Problem};

/// Beside `Authorization`.
const KEY_HEADERS: [&str; 2] = ["x-api-key", "api-key"];

/// What a request brings to prove who sent it.
pub(super) enum Sent<'a> {
    /// Nothing at all.
    Nothing,
    /// Clients of OpenAI always send something.
    Foreign,
    /// What is meant as a key of ours, right or wrong.
    Ours(&'a str),
}

impl<'a> Sent<'a> {
    /// Reads the headers.
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let bearers = headers.get_all(AUTHORIZATION).iter().map(|value| (value, true));
        let others = KEY_HEADERS.into_iter().flat_map(|name| headers.get_all(name)).map(|value| (value, false));
        let mut sent = Self::Nothing;
        for (value, is_bearer) in bearers.chain(others) {
            let text = token(value, is_bearer);
            sent = match (sent, text.filter(|text| Key::is_meant(text))) {
                (Self::Ours(one), Some(other)) if one != other => {
                    let text = "two different API keys were sent, and a request is of one app";
                    return Err(Problem::new(Code::WrongKey, text).help("send one key, as Authorization: Bearer hk_…"));
                }
                (_, Some(ours)) => Self::Ours(ours),
                (Self::Ours(ours), None) => Self::Ours(ours),
                (_, None) => Self::Foreign,
            };
        }
        Ok(sent)
    }
}

/// What is sent as a key, without the word before it.
fn token(value: &HeaderValue, is_bearer: bool) -> Option<&str> {
    let Ok(text) = value.to_str() else {
        // No key has such characters; one that was meant is wrong, and not absent.
        let is_meant = value.as_bytes().windows(PREFIX.len()).any(|bytes| bytes == PREFIX.as_bytes());
        return is_meant.then_some(PREFIX);
    };
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((scheme, token)) if is_bearer && scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => Some(text),
    }
}
