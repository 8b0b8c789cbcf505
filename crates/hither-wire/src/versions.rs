//! The first words of every conversation: which versions a program speaks.
//!
//! What must stay true: these bytes never change, so that any two programs can tell each other why they do not
//! understand one another. What later programs append is left unread.
//!
//! ```text
//! 1 byte   the version of this form: 1, for ever
//! 2 bytes  the oldest version of the protocol that the program speaks, least significant first
//! 2 bytes  the newest
//! 1 byte   the length of the program's version
//! …        the program's version, ASCII
//! ```

use hither_types::version::{Program, Versions};

use crate::error::DecodeError;

#[cfg(test)]
mod tests;

/// What this form is called in errors.
const NAME: &str = "a range of versions";

/// The version of this form.
const FORM: u8 = 1;

/// The oldest version of the protocol between nodes that this program speaks.
pub const OLDEST: u16 = 1;

/// The newest one. It grows when a form changes; [`OLDEST`] follows one release later, so that neighbours of one release
/// talk. Version 2 adds words about versions of models, and what nodes tell each other to decide which models go where.
/// Version 3 adds catalog entries that end, that replace others, and that say who signed the files. Version 4 adds witnesses of
/// ledgers. Version 5 adds policies that the founder publishes. Version 6 adds reports of round
/// trips.
pub const NEWEST: u16 = 6;

/// From this version of the protocol on members know words about versions of models; earlier ones would end the link.
pub const WITH_ROLLOUTS: u16 = 2;

/// From this version of the protocol on presences may carry demand and room.
pub const WITH_PLACING: u16 = 2;

/// From this version of the protocol on members read catalog entries of the third form; earlier ones would not believe them,
/// and are not told of them.
pub const WITH_EXPIRY: u16 = 3;

/// From this version of the protocol on members are witnesses of each other's ledgers; earlier ones would end the link.
pub const WITH_WITNESSES: u16 = 4;

/// From this version of the protocol on members read the entries of the authority log by which policies are published; earlier
/// ones would read no entry of the founder after the first of them.
pub const WITH_POLICIES: u16 = 5;

/// From this version of the protocol on members tell of round trips that they measured; earlier ones would end the link.
pub const WITH_NEAR: u16 = 6;

/// The largest range of versions, with room for what later programs append.
pub const MAX_VERSIONS: usize = 256;

/// What a program of this code speaks.
pub fn spoken(program: &str) -> Option<Versions> {
    Some(Versions { oldest: OLDEST, newest: NEWEST, program: Program::parse(program)? })
}

/// Writes a range.
pub fn encode_versions(versions: &Versions) -> Vec<u8> {
    let program = versions.program.as_str().as_bytes();
    // A program's version is at most 32 bytes.
    let length = u8::try_from(program.len()).unwrap_or(0);
    let mut bytes = vec![FORM];
    bytes.extend_from_slice(&versions.oldest.to_le_bytes());
    bytes.extend_from_slice(&versions.newest.to_le_bytes());
    bytes.push(length);
    bytes.extend_from_slice(&program[..usize::from(length)]);
    bytes
}

/// Reads a range. What follows it is left for programs that know more.
pub fn decode_versions(bytes: &[u8]) -> Result<Versions, DecodeError> {
    if bytes.len() > MAX_VERSIONS {
        return Err(DecodeError::TooLarge { form: NAME, size: bytes.len(), most: MAX_VERSIONS });
    }
    let malformed = DecodeError::Malformed { form: NAME };
    let [form, oldest_low, oldest_high, newest_low, newest_high, length, rest @ ..] = bytes else {
        return Err(if bytes.is_empty() { DecodeError::Empty { form: NAME } } else { malformed });
    };
    if *form != FORM {
        return Err(DecodeError::Version { form: NAME, found: *form, known: FORM });
    }
    let program = rest.get(..usize::from(*length)).and_then(|text| std::str::from_utf8(text).ok());
    let Some(program) = program.and_then(Program::parse) else { return Err(malformed) };
    let oldest = u16::from_le_bytes([*oldest_low, *oldest_high]);
    let newest = u16::from_le_bytes([*newest_low, *newest_high]);
    if oldest > newest {
        return Err(malformed);
    }
    Ok(Versions { oldest, newest, program })
}
