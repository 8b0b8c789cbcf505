//! Segments: when one ends, and how one is deleted that is older than the law wants it.
//!
//! A closed segment never changes. It is deleted in three steps, each durable before the next: a record says so; the hashes
//! of its records stand beside it; its file goes. A stop between them is finished by the next start, and until then its
//! records are still there.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};

use hither_types::id::Digest;

use super::*;
use crate::body::parse_rfc3339;
use crate::check::write_hash;
use crate::record::Record;
use crate::retention::Expired;
use crate::segments::closed_name;

/// A day. A quiet node closes a segment each day on which it writes, or its old records would never be old enough to go.
pub(super) const DAY_MS: u64 = 86_400_000;

/// Origins that a deletion names one by one.
const ORIGINS_SAID: usize = 64;

/// A closed segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    count: u64,
    root: Hash,
    /// Whether a record says already that it is deleted.
    is_said: bool,
}

/// Why a segment was not deleted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeleteError {
    /// There is no such segment, or it is not closed.
    #[error("no closed segment begins with record {0}")]
    NotClosed(u64),
    /// Its file is not what it was when it was closed.
    #[error("the closed segment that begins with record {0} was changed: nothing is deleted")]
    Changed(u64),
    /// The record that says so cannot be written.
    #[error("that records are deleted cannot be put on the record")]
    Record(#[source] WriteError),
    /// The record is written; the rest is done as soon as it can be.
    #[error(
        "the record says that the segment that begins with record {first} is deleted, and its file cannot be removed"
    )]
    Unfinished {
        /// The number of its first record.
        first: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The closed segments that a scan saw.
pub(super) fn closed(scan: &Scan, signed: u64) -> BTreeMap<u64, Closed> {
    let mut found = BTreeMap::new();
    for file in scan.seen.iter().filter(|file| file.form == Form::Closed) {
        let (count, root) = (file.tree.size(), file.tree.root());
        let mut deletions = scan.tally.deletions.iter().filter(|deleted| deleted.seq < signed);
        let is_said = deletions.any(|deleted| {
            let what = &deleted.what;
            (what.first, what.count, what.root) == (file.first, count, root)
        });
        found.insert(file.first, Closed { count, root, is_said });
    }
    found
}

/// The day of a time of a record.
pub(super) fn day_of(ts: &str) -> Option<u64> {
    parse_rfc3339(ts).map(|wall| wall.0 / DAY_MS)
}

impl Ledger {
    /// Closes the open segment if it is full or of another day. Every write does so; a node that has nothing to write does it
    /// each day, or its last records would never be old enough to go. What a crash left has to be put on the record first.
    pub fn end_day(&mut self, now: WallTime) -> Result<(), WriteError> {
        let is_other_day = self.day.is_some_and(|day| day != now.0 / DAY_MS);
        let is_due = self.len >= self.segment_bytes_max || is_other_day;
        if self.recovery.is_some() || self.open.size() == 0 || !is_due {
            return Ok(());
        }
        let first = self.tree.size() - self.open.size();
        self.storage.close(first, self.len).map_err(WriteError::Io)?;
        let open = std::mem::take(&mut self.open);
        self.closed.insert(first, Closed { count: open.size(), root: open.root(), is_said: false });
        (self.len, self.day) = (0, None);
        Ok(())
    }

    /// Deletes a closed segment whose time is over by this policy. The record is durable before anything goes.
    pub fn delete(
        &mut self,
        expired: &Expired,
        policy: Digest,
        wall: WallTime,
        mono_ms: u64,
    ) -> Result<(), DeleteError> {
        let first = expired.first;
        let found = self.closed.get(&first).copied().filter(|closed| closed.count == expired.count);
        let closed = found.ok_or(DeleteError::NotClosed(first))?;
        if !closed.is_said {
            // Hashes of what was changed would make a whole ledger a damaged one.
            self.hashes(first, closed)?;
            let when = Moment { wall, mono_ms };
            let body = said(expired, closed, policy);
            let put = self.end_day(wall).and_then(|()| self.put(when, vec![(body, when)]));
            put.map_err(DeleteError::Record)?;
            self.closed.insert(first, Closed { is_said: true, ..closed });
        }
        self.finish(first)
    }

    /// Finishes what a stop interrupted: segments that a record says are deleted, and whose files are still there. Gives how
    /// many there were.
    pub fn finish_deletions(&mut self) -> Result<u64, DeleteError> {
        let said: Vec<u64> = self.closed.iter().filter(|(_, closed)| closed.is_said).map(|(first, _)| *first).collect();
        said.iter().try_for_each(|first| self.finish(*first))?;
        Ok(said.len() as u64)
    }

    fn finish(&mut self, first: u64) -> Result<(), DeleteError> {
        let Some(closed) = self.closed.get(&first).copied() else { return Ok(()) };
        let hashes = self.hashes(first, closed)?;
        let gone = self.storage.write_hashes(first, hashes.as_bytes()).and_then(|()| self.storage.remove(first));
        gone.map_err(|source| DeleteError::Unfinished { first, source })?;
        self.closed.remove(&first);
        Ok(())
    }

    /// What stands in the place of a segment: a hash for each record, but for those that stay.
    fn hashes(&self, first: u64, closed: Closed) -> Result<String, DeleteError> {
        let unread = |source| DeleteError::Unfinished { first, source };
        let mut lines = BufReader::new(File::open(self.dir.join(closed_name(first))).map_err(unread)?);
        let (mut text, mut tree, mut line) = (String::new(), Tree::default(), Vec::new());
        loop {
            line.clear();
            lines.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line).map_err(unread)?;
            let Some((b'\n', record)) = line.split_last() else { break };
            let leaf = leaf_hash(record);
            tree.push(leaf);
            match std::str::from_utf8(record) {
                Ok(record) if stays(record) => {
                    text.push_str(record);
                    text.push('\n');
                }
                _ => write_hash(&leaf, &mut text),
            }
        }
        match line.is_empty() && (tree.size(), tree.root()) == (closed.count, closed.root) {
            true => Ok(text),
            false => Err(DeleteError::Changed(first)),
        }
    }
}

/// What stays when the records around it go, for it is about no request.
const STAYS: [Kind; 5] = [
    // Nothing else would account for the hashes that stand for older records.
    Kind::RetentionDelete,
    // Under which law the node ran and where it stood: without them what is younger could not be read.
    Kind::ConfigStart,
    Kind::PolicyChange,
    Kind::BlocChange,
    // Two countries and a moment. Laws count deadlines from it that end long after the records of the requests.
    Kind::FirstTransfer,
];

fn stays(record: &str) -> bool {
    Record::parse(record).is_ok_and(|record| STAYS.contains(&record.kind))
}

/// What the record says. Its fields begin with `count`, by which it is found.
fn said(expired: &Expired, closed: Closed, policy: Digest) -> Body {
    // Parts of countries may be many, and a record has a bound: of many, their countries are named, of which there are few.
    let mut origins = expired.origins.clone();
    if origins.len() > ORIGINS_SAID {
        origins = origins.iter().map(|origin| origin.country()).collect::<BTreeSet<_>>().into_iter().collect();
    }
    Body::new(Kind::RetentionDelete)
        .with("first", Value::Integer(expired.first))
        .with("count", Value::Integer(closed.count))
        .with("root", Value::text(Digest(closed.root)))
        .with("days", Value::Integer(expired.days.0.into()))
        .with("origins", Value::List(origins.iter().map(Value::text).collect()))
        .with("from", Value::text(&expired.from))
        .with("to", Value::text(&expired.to))
        .with("policy", Value::Text(format!("b3:{policy}")))
}

#[cfg(test)]
mod tests;
