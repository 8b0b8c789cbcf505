//! Going through a ledger from its first line: what a verifier, a reader and a starting writer have in common.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use hither_types::id::NodeId;

use crate::check::{Batch, Deleted, Depth, Rules, Tally, check};
use crate::damage::{Damage, VerifyError};
use crate::feed::Feed;
use crate::lanes::{Next, each};
use crate::limits::{NOTE_BYTES_MAX, TORN_BYTES_MAX};
use crate::note::{Checkpoint, NoteError, parse_verifier_key};
use crate::record::Record;
use crate::segments::{Form, list};
use crate::storage::{CHECKPOINT, LEDGER, VERIFIER_KEY};
use crate::tree::{Hash, Tree};

/// A ledger's folder, opened for reading.
pub(crate) struct Source {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    pub(crate) node: NodeId,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint as it stands in the file.
    pub(crate) note: String,
}

/// What is asked of a scan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    /// How closely it looks at records that the signed root covers anyway.
    pub(crate) depth: Depth,
    /// The size at which the root is wanted, too.
    pub(crate) size: Option<u64>,
}

/// One file of records, and the tree over it alone.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) first: u64,
    pub(crate) form: Form,
    /// Empty if it was not needed.
    pub(crate) tree: Tree,
    /// When its first record was written, if that is there.
    pub(crate) began: Option<String>,
}

/// What a scan found.
#[derive(Default)]
pub(crate) struct Scan {
    /// All records, signed or not.
    pub(crate) tree: Tree,
    /// Where the last valid record of the open segment ends.
    pub(crate) len: u64,
    /// Bytes behind it that are not records.
    pub(crate) torn: u64,
    /// Every file.
    pub(crate) seen: Vec<Seen>,
    /// What its records come to, of those that were read.
    pub(crate) tally: Tally,
    /// The root at the size that was asked for.
    pub(crate) root_at: Option<Hash>,
}

/// Reads a small file of the ledger as text. Bytes that are not UTF-8 become marks that no form accepts.
pub(crate) fn read_small(dir: &Path, name: &'static str) -> Result<Option<String>, VerifyError> {
    let path = dir.join(name);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(NOTE_BYTES_MAX).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(VerifyError::Io { path, source }),
    }
}

impl Source {
    /// Reads key and checkpoint. The checkpoint comes first, so that a ledger that grows meanwhile is never behind it.
    pub(crate) fn open(dir: &Path) -> Result<Self, VerifyError> {
        let damaged = |damage| VerifyError::Damaged { dir: dir.to_owned(), damage };
        let (key, note) = (read_small(dir, VERIFIER_KEY)?, read_small(dir, CHECKPOINT)?);
        if key.is_none() && note.is_none() && !list(dir).is_ok_and(|segments| !segments.is_empty()) {
            return Err(VerifyError::Absent(dir.to_owned()));
        }
        let key = key.ok_or_else(|| damaged(Damage::Missing(VERIFIER_KEY)))?;
        let note = note.ok_or_else(|| damaged(Damage::Missing(CHECKPOINT)))?;
        let text = key.strip_suffix('\n').ok_or_else(|| damaged(Damage::Key(NoteError::Key)))?;
        let (origin, node) = parse_verifier_key(text).map_err(|error| damaged(Damage::Key(error)))?;
        let checkpoint = Checkpoint::open(&note, node).map_err(|error| damaged(Damage::Checkpoint(error)))?;
        if checkpoint.origin != origin {
            return Err(damaged(Damage::Origin { expected: origin, found: checkpoint.origin }));
        }
        Ok(Self { dir: dir.to_owned(), origin, node, checkpoint, note })
    }

    fn feed(&self) -> Result<Feed, VerifyError> {
        let feed = Feed::open(&self.dir)?;
        match feed.segments.is_empty() {
            true => Err(self.damaged(Damage::Missing(LEDGER))),
            false => Ok(feed),
        }
    }

    fn damaged(&self, damage: Damage) -> VerifyError {
        VerifyError::Damaged { dir: self.dir.clone(), damage }
    }

    /// Hashes without a record of them are damage, unless their node wrote that record after the checkpoint was read here.
    fn damaged_unless_grown(&self, damage: Damage) -> VerifyError {
        let note = std::fs::read_to_string(self.dir.join(CHECKPOINT)).ok();
        let now = note.and_then(|note| Checkpoint::open(&note, self.node).ok());
        match now.is_some_and(|now| now.size > self.checkpoint.size) {
            true => VerifyError::Changed(self.dir.clone()),
            false => self.damaged(damage),
        }
    }

    /// Goes through all lines. What the checkpoint covers must be whole, or deleted by a record that it covers; behind it,
    /// the first thing that is not the next record is where an interrupted write ended.
    pub(crate) fn scan(&self, ask: Ask, mut visit: impl FnMut(Option<Record>, Hash)) -> Result<Scan, VerifyError> {
        let feed = self.feed()?;
        let (segments, open_len) = (feed.segments.clone(), feed.open_len);
        let rules = Rules { node: self.node, signed: self.checkpoint.size, depth: ask.depth };
        let mut scan = Scan::default();
        self.compare(&mut scan, ask)?;
        each(feed, &rules, |batch| self.take(&mut scan, ask, batch, segments.len(), &mut visit))?;
        if scan.tree.size() < self.checkpoint.size {
            let has_open = segments.last().is_some_and(|segment| segment.form == Form::Open);
            return Err(self.damaged(match has_open {
                true => Damage::Short { signed: self.checkpoint.size, found: scan.tree.size() },
                false => Damage::Missing(LEDGER),
            }));
        }
        scan.torn = open_len.saturating_sub(scan.len);
        if scan.torn > TORN_BYTES_MAX {
            return Err(self.damaged(Damage::Tail { bytes: scan.torn, offset: scan.len }));
        }
        if let Some(damage) = taken_away(&scan.seen, &scan.tally.deletions, self.checkpoint.size) {
            return Err(self.damaged_unless_grown(damage));
        }
        Ok(scan)
    }

    /// Takes in what a piece holds.
    fn take(
        &self,
        scan: &mut Scan,
        ask: Ask,
        batch: Batch,
        segments: usize,
        visit: &mut impl FnMut(Option<Record>, Hash),
    ) -> Result<Next, VerifyError> {
        note(&mut scan.seen, &batch, scan.tree.size(), ask.depth);
        let mut records = batch.records.into_iter().peekable();
        for leaf in batch.leaves {
            let seq = scan.tree.size();
            visit(records.next_if(|record| record.seq == seq), leaf);
            scan.tree.push(leaf);
            self.compare(scan, ask)?;
        }
        scan.tally.add(batch.tally);
        if batch.form == Form::Open {
            scan.len = batch.end;
        }
        let is_signed = scan.tree.size() < self.checkpoint.size;
        match batch.stop {
            None => Ok(Next::Go),
            // A last line without its end is what a cut leaves, and only in the file that is written.
            Some(stop) if batch.segment + 1 < segments || is_signed && !stop.is_cut => Err(self.damaged(stop.damage)),
            Some(_) => Ok(Next::Stop),
        }
    }

    /// Compares the root where one is known, and notes it where one is wanted.
    fn compare(&self, scan: &mut Scan, ask: Ask) -> Result<(), VerifyError> {
        let (size, signed) = (self.checkpoint.size, self.checkpoint.root);
        if ask.size == Some(scan.tree.size()) {
            scan.root_at = Some(scan.tree.root());
        }
        match scan.tree.size() == size && scan.tree.root() != signed {
            true => Err(self.damaged(Damage::Root { size, found: scan.tree.root(), signed })),
            false => Ok(()),
        }
    }
}

/// Adds a piece to the tree of its file alone: of hashes, for a record has to account for them; who writes needs all.
fn note(seen: &mut Vec<Seen>, batch: &Batch, first: u64, depth: Depth) {
    while seen.len() <= batch.segment {
        seen.push(Seen { first, form: batch.form, tree: Tree::default(), began: batch.began.clone() });
    }
    if batch.form != Form::Hashes && depth != Depth::Hash {
        return;
    }
    let file = &mut seen[batch.segment];
    batch.leaves.iter().for_each(|leaf| file.tree.push(*leaf));
}

/// Hashes in the place of records that no signed record says were deleted.
fn taken_away(seen: &[Seen], deletions: &[Deleted], signed: u64) -> Option<Damage> {
    let is_said = |file: &Seen| {
        deletions.iter().any(|Deleted { seq, what, .. }| {
            *seq < signed && (what.first, what.count, what.root) == (file.first, file.tree.size(), file.tree.root())
        })
    };
    let taken = seen.iter().find(|file| file.form == Form::Hashes && !is_said(file))?;
    Some(Damage::TakenAway { first: taken.first, end: taken.first + taken.tree.size() })
}

/// The records of a ledger, in order, but for those that were deleted. Reads them, and does not verify what is signed: see
/// [`verify`](crate::verify()).
pub struct Records {
    source: Source,
    feed: Option<Feed>,
    batch: IntoIter<Record>,
    stop: Option<VerifyError>,
    seen: Vec<Seen>,
    deletions: Vec<Deleted>,
    next: u64,
}

/// Opens a ledger for reading. A line that is not a record is an error, once, and the end; a last line that is not
/// finished is the end. Records in whose place hashes stand are passed over; if nothing says that they were deleted, that is
/// an error at the end.
pub fn read(dir: &Path) -> Result<Records, VerifyError> {
    let source = Source::open(dir)?;
    let feed = Some(source.feed()?);
    let batch = Vec::new().into_iter();
    Ok(Records { source, feed, batch, stop: None, seen: Vec::new(), deletions: Vec::new(), next: 0 })
}

impl Records {
    /// Whose ledger it is.
    pub fn node(&self) -> NodeId {
        self.source.node
    }

    /// The origin line: `hither/<node>`.
    pub fn origin(&self) -> &str {
        &self.source.origin
    }

    /// Reads the next piece. `false`: there is none.
    fn advance(&mut self) -> Result<bool, VerifyError> {
        let Some(feed) = &mut self.feed else { return Ok(false) };
        let (count, piece) = (feed.segments.len(), feed.next());
        let Some(piece) = piece? else {
            self.feed = None;
            let taken = taken_away(&self.seen, &self.deletions, self.source.checkpoint.size);
            return taken.map_or(Ok(false), |damage| Err(self.source.damaged_unless_grown(damage)));
        };
        // Nothing is signed here, so a line without its end is never taken for a cut in what was.
        let rules = Rules { node: self.source.node, signed: 0, depth: Depth::Keep };
        let mut batch = check(&piece, &rules);
        note(&mut self.seen, &batch, self.next, rules.depth);
        self.next += batch.leaves.len() as u64;
        self.deletions.append(&mut batch.tally.deletions);
        if let Some(stop) = batch.stop {
            let is_end = stop.is_cut && batch.segment + 1 == count;
            self.stop = (!is_end).then(|| self.source.damaged(stop.damage));
            self.feed = None;
        }
        self.batch = batch.records.into_iter();
        Ok(true)
    }
}

impl Iterator for Records {
    type Item = Result<Record, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.batch.next() {
                return Some(Ok(record));
            }
            if let Some(error) = self.stop.take() {
                return Some(Err(error));
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.feed = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
