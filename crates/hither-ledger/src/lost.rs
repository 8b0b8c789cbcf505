//! The page beside the ledger that remembers what was lost until a `gap` says so, also if the node is stopped before.
//!
//! It says at how many records the ledger stood, and how many of them were signed. Where more are signed since, the gap is among
//! them, and the page says nothing.

use std::collections::BTreeMap;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::record::Kind;
use crate::storage::{LOST, LOST_BYTES};

/// What was lost, by kind, while the ledger had so many records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) at: u64,
    /// Fewer than all while what a crash left is not on the record.
    pub(crate) signed: u64,
    pub(crate) kinds: BTreeMap<Kind, u64>,
}

impl Lost {
    /// As it stands on the page: a line for each kind, and a sum so that half a write is none.
    pub(crate) fn page(&self) -> [u8; LOST_BYTES] {
        let mut text = format!("at {}\nsigned {}\n", self.at, self.signed);
        self.kinds.iter().for_each(|(kind, count)| text.push_str(&format!("{kind} {count}\n")));
        text.push_str(&format!("sha256 {}\n", HEXLOWER.encode(&Sha256::digest(&text))));
        let mut page = [b'\n'; LOST_BYTES];
        // All kinds there are fill half of it; a test holds that.
        let len = text.len().min(LOST_BYTES);
        page[..len].copy_from_slice(&text.as_bytes()[..len]);
        page
    }

    /// What a page says; none if it says nothing, or nothing whole.
    pub(crate) fn parse(page: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(page).ok()?.trim_end_matches('\n');
        let (said, sum) = text.rsplit_once("sha256 ")?;
        if HEXLOWER.encode(&Sha256::digest(said)) != sum {
            return None;
        }
        let mut lines = said.lines().peekable();
        let at = lines.next()?.strip_prefix("at ")?.parse().ok()?;
        // Older programs do not say it.
        let signed = match lines.next_if(|line| line.starts_with("signed ")) {
            Some(line) => line.strip_prefix("signed ")?.parse().ok()?,
            None => at,
        };
        let kind = |line: &str| {
            let (word, count) = line.split_once(' ')?;
            let kind = Kind::ALL.iter().find(|kind| kind.as_str() == word).copied().unwrap_or(Kind::Unknown);
            Some((kind, count.parse().ok()?))
        };
        Some(Self { at, signed, kinds: lines.filter_map(kind).collect() })
    }

    /// What a folder remembers.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        Self::parse(&std::fs::read(dir.join(LOST)).ok()?)
    }
}

#[cfg(test)]
mod tests;
