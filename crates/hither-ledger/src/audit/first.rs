//! When payload first left for a country: laws count deadlines from it, so a date that is too late is worse than none.

use std::collections::BTreeMap;

use hither_types::place::Jurisdiction;

use crate::check::Deleted;
use crate::record::{Kind, Record};

/// The country that payload left, if its node ever said where it stands, and the one that it went to.
pub type Between = (Option<Jurisdiction>, Jurisdiction);

/// When payload first left one country for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// The moment, RFC 3339.
    pub ts: String,
    /// Whether it may have been earlier: what is older was deleted or lost, and no record says that this was the first.
    pub or_before: bool,
    /// What says so.
    pub word: Word,
}

/// What a first transfer is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The oldest record that is there of payload that left.
    Transfer,
    /// The record that its node made of it as the first, which stays when others are deleted.
    Said,
}

/// What one ledger has of them.
#[derive(Default)]
pub(super) struct Firsts {
    /// The oldest permission of payload that left: when, and its number.
    left: BTreeMap<Between, (String, u64)>,
    /// What the node called the first.
    said: BTreeMap<Between, String>,
    /// Whether it began in the place of a damaged one, and knows nothing of before.
    begins_after_loss: bool,
}

impl Firsts {
    pub(super) fn look(&mut self, record: &Record) {
        self.begins_after_loss |= record.kind == Kind::LossAccept;
        if let (Some(left), Some(to)) = (record.left, record.to) {
            let said = self.said.entry((Some(left.country()), to.country())).or_insert_with(|| record.ts.clone());
            if record.ts < *said {
                record.ts.clone_into(said);
            }
        }
    }

    /// Payload left, by the permission that this record is.
    pub(super) fn left(&mut self, between: Between, permission: &Record) {
        let first = self.left.entry(between).or_insert_with(|| (permission.ts.clone(), permission.seq));
        if permission.ts < first.0 {
            *first = (permission.ts.clone(), permission.seq);
        }
    }

    /// Adds what it comes to, given what was deleted, to what other ledgers say.
    pub(super) fn end(self, deleted: &[Deleted], all: &mut BTreeMap<Between, First>) {
        let Self { mut left, said, begins_after_loss } = self;
        let is_missing = |seq: u64| begins_after_loss || deleted.iter().any(|deleted| deleted.what.first < seq);
        // Where everything is there, what left says it best: upon a first record nothing may have left after all.
        let is_whole = !is_missing(u64::MAX);
        for (between, ts) in said.into_iter().filter(|_| !is_whole) {
            if left.get(&between).is_none_or(|(transfer, _)| ts <= *transfer) {
                left.remove(&between);
                add(all, between, First { ts, or_before: false, word: Word::Said });
            }
        }
        for (between, (ts, seq)) in left {
            add(all, between, First { ts, or_before: is_missing(seq), word: Word::Transfer });
        }
    }
}

fn add(all: &mut BTreeMap<Between, First>, between: Between, first: First) {
    match all.get_mut(&between) {
        None => {
            all.insert(between, first);
        }
        Some(known) => {
            let or_before = known.or_before || first.or_before;
            if first.ts < known.ts {
                *known = first;
            }
            known.or_before = or_before;
        }
    }
}

#[cfg(test)]
mod tests;
