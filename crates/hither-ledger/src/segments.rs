//! The files that the records of a ledger lie in, in the order of their numbers.
//!
//! - `ledger.jsonl`: the open segment, which grows;
//! - `ledger-<number of its first record, 20 digits>.jsonl`: a closed one, whose bytes never change;
//! - `ledger-<number>.hashes`: what is left of one that was deleted: a line for each record, its leaf hash in base64, or the
//!   record itself where it stays.

use std::io;
use std::path::Path;

use crate::storage::LEDGER;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    /// Records that do not change any more.
    Closed,
    /// The hashes of records that were deleted.
    Hashes,
    /// The last records.
    Open,
}

/// A file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The number of its first record; of the open one, nothing says it but what stands inside.
    pub(crate) first: Option<u64>,
    /// What it holds.
    pub(crate) form: Form,
}

const PREFIX: &str = "ledger-";
const CLOSED: &str = ".jsonl";
const HASHES: &str = ".hashes";
const DIGITS: usize = 20;

/// The name of a closed segment.
pub(crate) fn closed_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{CLOSED}")
}

/// The name of what is left of a deleted one.
pub(crate) fn hashes_name(first: u64) -> String {
    format!("{PREFIX}{first:020}{HASHES}")
}

impl Segment {
    /// Its name in the folder.
    pub(crate) fn name(self) -> String {
        match (self.form, self.first) {
            (Form::Closed, Some(first)) => closed_name(first),
            (Form::Hashes, Some(first)) => hashes_name(first),
            _ => LEDGER.to_owned(),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let (digits, form) = match rest.strip_suffix(CLOSED) {
            Some(digits) => (digits, Form::Closed),
            None => (rest.strip_suffix(HASHES)?, Form::Hashes),
        };
        let is_number = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        let first = digits.parse().ok().filter(|_| is_number)?;
        Some(Self { first: Some(first), form })
    }
}

/// The segments in a folder, in the order of their records. Where both are there, records stand before their hashes: a
/// deletion that was not finished.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    let mut is_open = false;
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        is_open |= name == LEDGER;
        found.extend(name.to_str().and_then(Segment::parse));
    }
    found.sort_by_key(|segment| (segment.first, segment.form));
    found.dedup_by_key(|segment| segment.first);
    if is_open {
        found.push(Segment { first: None, form: Form::Open });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
