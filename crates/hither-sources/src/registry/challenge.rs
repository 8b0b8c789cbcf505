//! What a registry wants to see (`WWW-Authenticate`, RFC 9110, 11.6.1), and the token that answers it.

use hyper::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

use crate::secret::Secret;

#[cfg(test)]
mod tests;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A token, from the address that is the realm.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
    /// A user and a password.
    Basic,
}

impl Challenge {
    /// The challenge to answer, of one or several; a token before a password.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let texts: Vec<&str> =
            headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).collect();
        texts.iter().find_map(|text| bearer(text)).or_else(|| {
            let is_basic = |text: &&str| text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"));
            texts.iter().any(is_basic).then_some(Self::Basic)
        })
    }
}

fn bearer(text: &str) -> Option<Challenge> {
    let (scheme, mut rest) = text.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service, mut scope) = (None, None, None);
    while let Some((name, after)) = rest.split_once('=') {
        let (value, behind) = value(after.trim_start())?;
        match name.trim_matches([' ', '\t', ',']).to_ascii_lowercase().as_str() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            "scope" => scope = Some(value),
            _ => {}
        }
        rest = behind;
    }
    Some(Challenge::Bearer { realm: realm?, service, scope })
}

/// A quoted string or a word, and what stands behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ']).unwrap_or(text.len());
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[place + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[derive(Deserialize)]
struct TokenDto {
    token: Option<String>,
    access_token: Option<String>,
}

/// The token in an answer: under either of its two names.
pub(super) fn token(body: &[u8]) -> Option<Secret> {
    let dto: TokenDto = serde_json::from_slice(body).ok()?;
    dto.token.or(dto.access_token).filter(|token| !token.is_empty()).map(Secret::new)
}
