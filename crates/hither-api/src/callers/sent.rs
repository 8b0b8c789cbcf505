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
    /// What has the form of a token (RFC 7519), right or wrong.
    Token(&'a str),
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
            let this = token(value, is_bearer).map_or(Self::Foreign, Self::read);
            sent = match (sent, this) {
                (Self::Ours(one), Self::Ours(other)) | (Self::Token(one), Self::Token(other)) if one != other => {
                    let text = "two different API keys were sent, and a request is of one app";
                    return Err(Problem::new(Code::WrongKey, text).help("send one key, as Authorization: Bearer hk_…"));
                }
                (Self::Ours(ours), _) | (_, Self::Ours(ours)) => Self::Ours(ours),
                (Self::Token(token), _) | (_, Self::Token(token)) => Self::Token(token),
                _ => Self::Foreign,
            };
        }
        Ok(sent)
    }

    fn read(text: &'a str) -> Self {
        if Key::is_meant(text) {
            return Self::Ours(text);
        }
        // The head of a token is a JSON object, which begins with these letters in base64: the bytes {".
        let is_token = text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2;
        if is_token { Self::Token(text) } else { Self::Foreign }
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
