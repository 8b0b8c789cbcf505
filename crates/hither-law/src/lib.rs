//! The policy language: text in, checked rules out.
//!
//! What is read here is applied by the mind, which trusts it: every code exists, no list is empty, every id is unique,
//! and no constraint stands where it would do something else than it says. The first mistake is reported with its
//! place, and nothing of a policy with a mistake is used.

use hither_types::id::Digest;
use hither_types::law::Policy;
use hither_types::time::Day;
use toml::de::DeTable;

pub mod blocs;
mod cedar;
mod claim;
mod countries;
mod error;
mod lists;
mod places;
mod read;
mod source;
mod suggest;
#[cfg(test)]
mod tests;
mod texts;

pub use cedar::{CEDAR_SCHEMA, cedar};
pub use claim::{ClaimError, claim};
pub use error::{Code, LawError};
pub use places::{UNKNOWN_PLACE, UnknownJurisdiction, countries, country_name, jurisdiction};
pub use texts::{LOCAL_ONLY, default_text};

use source::Section;

/// The longest text of a policy: a thousand rules with comments.
pub const MAX_TEXT: usize = 1024 * 1024;

/// Reads a policy as it is on a day: its groups have the members of that day. Whether it passes its own tests is for the mind to say, which applies it.
pub fn parse(text: &str, day: Day) -> Result<Policy, LawError> {
    if text.len() > MAX_TEXT {
        let message = format!("a policy of {} bytes is longer than {MAX_TEXT} bytes", text.len());
        return Err(LawError::at(text, 0..0, Code::TooMuch, message, "put what several rules have in common into one"));
    }
    let table = DeTable::parse(text).map_err(|error| not_toml(text, &error))?;
    read::policy(&Section::whole(text, table.get_ref()), digest(text), day)
}

/// The law of a node without a policy: what enters here stays here, and what has no label is special.
pub fn local_only() -> Policy {
    Policy::closed(digest(texts::LOCAL_ONLY))
}

fn digest(text: &str) -> Digest {
    Digest(*blake3::hash(text.as_bytes()).as_bytes())
}

fn not_toml(text: &str, error: &toml::de::Error) -> LawError {
    let message = error.message().lines().collect::<Vec<_>>().join(", ");
    let span = error.span().unwrap_or(0..0);
    LawError::at(text, span, Code::NotToml, format!("this cannot be read as TOML: {message}"), "see https://toml.io")
}
