//! Going through a ledger from its first line: what a verifier, a reader and a starting writer have in common.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use hither_types::id::NodeId;

use crate::limits::{LINE_BYTES_MAX, NOTE_BYTES_MAX, TORN_BYTES_MAX};
use crate::note::{Checkpoint, NoteError, parse_verifier_key};
use crate::record::{Record, RecordError};
use crate::storage::{CHECKPOINT, LEDGER, VERIFIER_KEY};
use crate::tree::{Hash, Tree, leaf_hash};

/// What is wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A file is not there.
    #[error("the file {0} is missing")]
    Missing(&'static str),
    /// The verifier key cannot be read.
    #[error("node.vkey: {0}")]
    Key(NoteError),
    /// The checkpoint cannot be read, or is not signed by the node.
    #[error("checkpoint: {0}")]
    Checkpoint(NoteError),
    /// The checkpoint belongs to another ledger.
    #[error("the checkpoint is of {found}, the ledger of {expected}")]
    Origin {
        /// Whose ledger this is.
        expected: String,
        /// What the checkpoint says.
        found: String,
    },
    /// A line is not a record.
    #[error("record {seq} (byte {offset}): {error}")]
    Record {
        /// Which record should be there.
        seq: u64,
        /// Where its line begins.
        offset: u64,
        /// Why it is not one.
        error: RecordError,
    },
    /// A record is not the next one.
    #[error("record {expected} (byte {offset}) says that it is record {found}")]
    Sequence {
        /// Which record should be there.
        expected: u64,
        /// Which one it says it is.
        found: u64,
        /// Where its line begins.
        offset: u64,
    },
    /// A record was written by another node.
    #[error("record {seq} (byte {offset}) was written by another node")]
    Writer {
        /// Which record.
        seq: u64,
        /// Where its line begins.
        offset: u64,
    },
    /// Records are missing at the end.
    #[error("the checkpoint is signed over {signed} records, and only {found} are there")]
    Short {
        /// How many there were.
        signed: u64,
        /// How many are left.
        found: u64,
    },
    /// Records were changed.
    #[error(
        "at least one byte of the first {size} records was changed: their root is {}, signed was {}",
        hex(found),
        hex(signed)
    )]
    Root {
        /// How many records the checkpoint covers.
        size: u64,
        /// The root of what is there.
        found: Hash,
        /// The root in the checkpoint.
        signed: Hash,
    },
    /// More bytes than an interrupted write can leave.
    #[error("{bytes} bytes from byte {offset} on are not records, more than an interrupted write can leave")]
    Tail {
        /// How many.
        bytes: u64,
        /// Where they begin.
        offset: u64,
    },
}

fn hex(hash: &Hash) -> String {
    data_encoding::HEXLOWER.encode(&hash[..8])
}

/// Why a ledger could not be verified, or did not pass.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// There is no ledger.
    #[error("no ledger in {0}")]
    Absent(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what was signed.
    #[error("the ledger in {dir} is damaged: {damage}")]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// It is signed by another key than the one asked for.
    #[error("the ledger is signed by node {found}, expected {expected}")]
    OtherKey {
        /// The key asked for.
        expected: NodeId,
        /// The key that signed.
        found: NodeId,
    },
    /// Two of the ledgers given are of one node.
    #[error("the ledger in {dir} is the second one of node {node}")]
    Twice {
        /// The folder.
        dir: PathBuf,
        /// The node.
        node: NodeId,
    },
}

/// One line and whether a line feed ended it.
struct Line<'a> {
    bytes: &'a [u8],
    complete: bool,
}

/// Lines of bounded length, with their place.
struct Lines {
    reader: BufReader<File>,
    buffer: Vec<u8>,
    offset: u64,
}

impl Lines {
    /// The next line and where it begins. A line that is too long comes cut, and not complete.
    fn next(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.buffer.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        let at = self.offset;
        self.offset += read as u64;
        let line = match self.buffer.split_last() {
            Some((b'\n', line)) => Line { bytes: line, complete: true },
            _ => Line { bytes: &self.buffer, complete: false },
        };
        Ok(Some((at, line)))
    }
}

fn parse(line: &[u8]) -> Result<Record, RecordError> {
    Record::parse(std::str::from_utf8(line).map_err(|_| RecordError::Encoding)?)
}

/// A ledger's folder, opened for reading.
pub(crate) struct Source {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    pub(crate) node: NodeId,
    pub(crate) checkpoint: Checkpoint,
    /// The checkpoint as it stands in the file.
    pub(crate) note: String,
}

/// What a scan found.
#[derive(Default)]
pub(crate) struct Scan {
    /// All records, signed or not.
    pub(crate) tree: Tree,
    /// Where the last valid record ends.
    pub(crate) len: u64,
    /// Bytes behind it that are not records.
    pub(crate) torn: u64,
}

/// How closely a scan looks at records that the signed root covers anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Hashes them.
    Hash,
    /// Reads every field.
    Fields,
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
        if key.is_none() && note.is_none() && !dir.join(LEDGER).exists() {
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

    fn lines(&self) -> Result<(Lines, u64), VerifyError> {
        let path = self.dir.join(LEDGER);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((len, file)) => Ok((Lines { reader: BufReader::new(file), buffer: Vec::new(), offset: 0 }, len)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.damaged(Damage::Missing(LEDGER))),
            Err(source) => Err(VerifyError::Io { path, source }),
        }
    }

    fn damaged(&self, damage: Damage) -> VerifyError {
        VerifyError::Damaged { dir: self.dir.clone(), damage }
    }

    /// Goes through all lines. What the checkpoint covers must be whole; behind it, the first thing that is not the
    /// next record is where an interrupted write ended.
    pub(crate) fn scan(&self, depth: Depth, mut visit: impl FnMut(Option<Record>, Hash)) -> Result<Scan, VerifyError> {
        let (mut lines, file_len) = self.lines()?;
        let (mut tree, mut len) = (Tree::default(), 0);
        self.compare(&tree)?;
        loop {
            let next = lines.next().map_err(|source| VerifyError::Io { path: self.dir.join(LEDGER), source })?;
            let Some((offset, line)) = next else { break };
            let signed = tree.size() < self.checkpoint.size;
            let found = match (signed, depth) {
                (true, Depth::Hash) if line.complete => Ok(None),
                _ => self.record(tree.size(), offset, &line).map(Some),
            };
            match found {
                Ok(record) => {
                    let leaf = leaf_hash(line.bytes);
                    len = offset + line.bytes.len() as u64 + 1;
                    visit(record, leaf);
                    tree.push(leaf);
                    self.compare(&tree)?;
                }
                // A last line without its end is what a cut leaves.
                Err(_) if signed && !line.complete && line.bytes.len() <= LINE_BYTES_MAX => break,
                Err(damage) if signed => return Err(self.damaged(damage)),
                Err(_) => break,
            }
        }
        if tree.size() < self.checkpoint.size {
            let damage = Damage::Short { signed: self.checkpoint.size, found: tree.size() };
            return Err(self.damaged(damage));
        }
        let torn = file_len.saturating_sub(len);
        if torn > TORN_BYTES_MAX {
            return Err(self.damaged(Damage::Tail { bytes: torn, offset: len }));
        }
        Ok(Scan { tree, len, torn })
    }

    fn record(&self, expected: u64, offset: u64, line: &Line<'_>) -> Result<Record, Damage> {
        let wrong = |error| Damage::Record { seq: expected, offset, error };
        if !line.complete {
            let error =
                if line.bytes.len() > LINE_BYTES_MAX { RecordError::TooLong } else { RecordError::Form("cut off") };
            return Err(wrong(error));
        }
        let record = parse(line.bytes).map_err(wrong)?;
        if record.seq != expected {
            return Err(Damage::Sequence { expected, found: record.seq, offset });
        }
        if record.node != self.node {
            return Err(Damage::Writer { seq: expected, offset });
        }
        Ok(record)
    }

    fn compare(&self, tree: &Tree) -> Result<(), VerifyError> {
        let (size, signed) = (self.checkpoint.size, self.checkpoint.root);
        match tree.size() == size && tree.root() != signed {
            true => Err(self.damaged(Damage::Root { size, found: tree.root(), signed })),
            false => Ok(()),
        }
    }
}

/// The records of a ledger, in order. Reads them, and does not verify what is signed: see [`verify`](crate::verify()).
pub struct Records {
    source: Source,
    lines: Lines,
    next: u64,
    done: bool,
}

/// Opens a ledger for reading. A line that is not a record is an error, once, and the end; a last line that is not
/// finished is the end.
pub fn read(dir: &Path) -> Result<Records, VerifyError> {
    let source = Source::open(dir)?;
    let (lines, _) = source.lines()?;
    Ok(Records { source, lines, next: 0, done: false })
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
}

impl Iterator for Records {
    type Item = Result<Record, VerifyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = match self.lines.next() {
            Ok(None) => None,
            Ok(Some((_, line))) if !line.complete && line.bytes.len() <= LINE_BYTES_MAX => None,
            Ok(Some((offset, line))) => {
                let record = self.source.record(self.next, offset, &line);
                Some(record.map_err(|damage| self.source.damaged(damage)))
            }
            Err(source) => Some(Err(VerifyError::Io { path: self.source.dir.join(LEDGER), source })),
        };
        self.next += 1;
        self.done = !matches!(found, Some(Ok(_)));
        found
    }
}
