//! The one who writes: in groups, each durable before `append` returns, each sealed by a signed checkpoint.
//!
//! A group is all there or not there. What could not be written is counted, and the next group that can be written
//! begins with a `gap` that says so; what a crash left behind is taken over or cut by a `recovered` record. The records of
//! another day, or too many of one, begin another segment: [`closing`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use hither_types::fact::Fact;
use hither_types::id::NodeId;
use hither_types::time::WallTime;

use crate::body::{Body, rfc3339};
use crate::canonical::{Object, Value, write_object};
use crate::check::Depth;
use crate::damage::{Damage, VerifyError};
use crate::limits::{GROUP_RECORDS_MAX, INTEGER_MAX, LINE_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::lost::Lost;
use crate::note::{Checkpoint, is_origin, verifier_key};
use crate::record::{Kind, VERSION};
use crate::scan::{Ask, Scan, Source};
use crate::segments::{Form, list};
use crate::storage::{CHECKPOINT, Folder, FolderError, LEDGER, Lock, Storage, VERIFIER_KEY, replace};
use crate::tree::{Hash, Tree, leaf_hash};

mod closing;

use closing::Closed;
pub use closing::DeleteError;

/// A fact and when it was true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The fact.
    pub fact: Fact,
    /// For people.
    pub wall: WallTime,
    /// For durations: milliseconds since the node started.
    pub mono_ms: u64,
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The number of its first entry.
    pub first_seq: u64,
    /// The number that the next record will have.
    pub next_seq: u64,
}

/// Why a ledger cannot be opened for writing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The origin is not one.
    #[error("{0:?} cannot name a ledger: expected something like hither/<node>, without spaces and plus signs")]
    Origin(String),
    /// Another process writes it.
    #[error("the ledger in {0} is in use by another process")]
    Locked(PathBuf),
    /// It belongs to another node.
    #[error("the ledger in {dir} belongs to {found}, not to {expected}")]
    OtherOwner {
        /// The folder.
        dir: PathBuf,
        /// The verifier key asked for.
        expected: String,
        /// The verifier key found.
        found: String,
    },
    /// It is not what was signed. It stays as it is, for somebody to look at.
    #[error("the ledger in {dir} is damaged: {damage}")]
    Damaged {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// The system said no.
    #[error("cannot open the ledger in {dir}")]
    Io {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Why a group was not written. None of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk is full or failing.
    #[error("cannot write the ledger")]
    Io(#[source] io::Error),
    /// Too many entries at once.
    #[error("a group of {0} records is larger than {GROUP_RECORDS_MAX}")]
    GroupTooLarge(usize),
    /// A record is too long.
    #[error("a record of kind {kind} is {bytes} bytes long, more than {LINE_BYTES_MAX}")]
    RecordTooLong {
        /// Its kind.
        kind: Kind,
        /// Its length.
        bytes: usize,
    },
    /// A number is too large for JSON.
    #[error("a record of kind {kind} holds {number}, more than JSON numbers can say exactly")]
    Number {
        /// Its kind.
        kind: Kind,
        /// The number.
        number: u64,
    },
}

/// What a crash left, until it is on the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recovery {
    /// Records that were durable and not yet signed.
    adopted: u64,
    /// Bytes of an unfinished write.
    cut: u64,
}

/// A ledger, open for writing.
pub struct Ledger {
    dir: PathBuf,
    storage: Box<dyn Storage>,
    key: SigningKey,
    node: NodeId,
    origin: String,
    tree: Tree,
    /// The open segment: its length, the tree over it alone, and the day on which it began.
    len: u64,
    open: Tree,
    day: Option<u64>,
    /// The closed ones, by the number of their first record.
    closed: BTreeMap<u64, Closed>,
    segment_bytes_max: u64,
    recovery: Option<Recovery>,
    dropped: BTreeMap<Kind, u64>,
}

/// A group on its way: bytes, and the trees as they will be.
struct Group {
    bytes: Vec<u8>,
    tree: Tree,
    open: Tree,
}

/// When something is written.
#[derive(Debug, Clone, Copy)]
struct Moment {
    wall: WallTime,
    mono_ms: u64,
}

impl From<&Entry> for Moment {
    fn from(entry: &Entry) -> Self {
        Self { wall: entry.wall, mono_ms: entry.mono_ms }
    }
}

impl Ledger {
    /// Opens the ledger in a folder, or begins one. All of it is verified first; the key is the node's Ed25519 secret. One
    /// that has begun keeps its origin, whatever a new one would be called: a ledger is a node's.
    pub fn open(dir: &Path, key: &[u8; 32], origin: &str) -> Result<Self, OpenError> {
        let key = SigningKey::from_bytes(key);
        let node = NodeId(key.verifying_key().to_bytes());
        if !is_origin(origin) {
            return Err(OpenError::Origin(origin.to_owned()));
        }
        let owner = verifier_key(origin, node).expect("a key made from a secret is a key");
        let io = |source| OpenError::Io { dir: dir.to_owned(), source };
        let lock = Lock::take(dir).map_err(|error| match error {
            FolderError::Locked => OpenError::Locked(dir.to_owned()),
            FolderError::Io(source) => io(source),
        })?;
        begin(dir, &owner, &Checkpoint { origin: origin.to_owned(), size: 0, root: Tree::default().root() }.sign(&key))
            .map_err(io)?;
        let source = Source::open(dir).map_err(|error| refused(dir, error))?;
        let found = verifier_key(&source.origin, source.node).expect("it was read as a key");
        if source.node != node {
            return Err(OpenError::OtherOwner { dir: dir.to_owned(), expected: owner, found });
        }
        let begun = list(dir).is_ok_and(|segments| !segments.is_empty());
        if !begun && source.checkpoint.size > 0 {
            return Err(OpenError::Damaged { dir: dir.to_owned(), damage: Damage::Missing(LEDGER) });
        }
        let scan = match begun {
            true => {
                let ask = Ask { depth: Depth::Hash, size: None };
                source.scan(ask, |_, _| {}).map_err(|error| refused(dir, error))?
            }
            false => Scan::default(),
        };
        let storage = Folder::open(dir, lock).map_err(io)?;
        let adopted = scan.tree.size() - source.checkpoint.size;
        let recovery = (adopted > 0 || scan.torn > 0).then_some(Recovery { adopted, cut: scan.torn });
        let open = scan.seen.iter().rfind(|file| file.form == Form::Open);
        let mut ledger = Self {
            dir: dir.to_owned(),
            storage: Box::new(storage),
            key,
            node,
            origin: source.origin,
            len: scan.len,
            open: open.map(|file| file.tree.clone()).unwrap_or_default(),
            day: open.and_then(|file| closing::day_of(file.began.as_deref()?)),
            closed: closing::closed(&scan, source.checkpoint.size),
            segment_bytes_max: SEGMENT_BYTES_MAX,
            recovery,
            dropped: lost_before(dir, &scan, source.checkpoint.size),
            tree: scan.tree,
        };
        // What cannot be finished now is asked for again by whoever deletes; nothing that is written waits for it.
        let _ = ledger.finish_deletions();
        Ok(ledger)
    }

    /// A fact of this kind found no way here: the next group that is written begins with a `gap` that counts it.
    pub fn lost(&mut self, kind: Kind, count: u64) {
        *self.dropped.entry(kind).or_default() += count;
        self.keep_lost();
    }

    /// Remembers what was lost, for a stop before the gap. If even that fails, only this process knows.
    fn keep_lost(&mut self) {
        let at = self.tree.size();
        let signed = at - self.recovery.map_or(0, |recovery| recovery.adopted);
        let lost = Lost { at, signed, kinds: self.dropped.clone() };
        let _ = self.storage.keep_lost(&lost.page());
    }

    /// Whose ledger it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How many records there are, and their root.
    pub fn head(&self) -> (u64, Hash) {
        (self.tree.size(), self.tree.root())
    }

    /// Writes a group. When this returns `Ok`, all of it is on the disk and signed; when it returns an error, none of it
    /// is, and the loss will be on the record as soon as anything can be.
    pub fn append(&mut self, entries: &[Entry]) -> Result<Appended, WriteError> {
        let Some(first) = entries.first() else {
            return Ok(Appended { first_seq: self.tree.size(), next_seq: self.tree.size() });
        };
        let bodies = entries.iter().map(|entry| (Body::from(&entry.fact), Moment::from(entry))).collect();
        match self.end_day(first.wall).and_then(|()| self.put(first.into(), bodies)) {
            Ok(()) => {
                let next_seq = self.tree.size();
                Ok(Appended { first_seq: next_seq - entries.len() as u64, next_seq })
            }
            Err(error) => {
                for entry in entries {
                    *self.dropped.entry(Body::from(&entry.fact).kind).or_default() += 1;
                }
                self.keep_lost();
                Err(error)
            }
        }
    }

    fn put(&mut self, first: Moment, bodies: Vec<(Body, Moment)>) -> Result<(), WriteError> {
        let group = self.group(first, bodies)?;
        self.write(group)?;
        self.day.get_or_insert(first.wall.0 / closing::DAY_MS);
        Ok(())
    }

    fn group(&self, first: Moment, bodies: Vec<(Body, Moment)>) -> Result<Group, WriteError> {
        if bodies.len() > GROUP_RECORDS_MAX {
            return Err(WriteError::GroupTooLarge(bodies.len()));
        }
        let mut group = Group { bytes: Vec::new(), tree: self.tree.clone(), open: self.open.clone() };
        if let Some(recovery) = self.recovery {
            let body = Body::new(Kind::Recovered)
                .with("adopted", Value::Integer(recovery.adopted))
                .with("bytes_cut", Value::Integer(recovery.cut));
            self.add(&mut group, body, first)?;
        }
        if !self.dropped.is_empty() {
            let kinds: Object =
                self.dropped.iter().map(|(kind, n)| (kind.to_string().into(), Value::Integer(*n))).collect();
            let body = Body::new(Kind::Gap)
                .with("dropped", Value::Integer(self.dropped.values().sum()))
                .with("kinds", Value::Object(kinds));
            self.add(&mut group, body, first)?;
        }
        for (body, when) in bodies {
            self.add(&mut group, body, when)?;
        }
        Ok(group)
    }

    fn add(&self, group: &mut Group, body: Body, when: Moment) -> Result<(), WriteError> {
        let Body { kind, .. } = body;
        let fields = body
            .with("v", Value::Integer(VERSION))
            .with("node", Value::text(self.node))
            .with("seq", Value::Integer(group.tree.size()))
            .with("ts", Value::Text(rfc3339(when.wall)))
            .with("mono_ms", Value::Integer(when.mono_ms))
            .with("kind", Value::text(kind))
            .fields;
        if let Some(number) = fields.values().map(Value::largest).find(|number| *number > INTEGER_MAX) {
            return Err(WriteError::Number { kind, number });
        }
        let mut line = String::new();
        write_object(&fields, &mut line);
        if line.len() > LINE_BYTES_MAX {
            return Err(WriteError::RecordTooLong { kind, bytes: line.len() });
        }
        let leaf = leaf_hash(line.as_bytes());
        group.tree.push(leaf);
        group.open.push(leaf);
        group.bytes.extend_from_slice(line.as_bytes());
        group.bytes.push(b'\n');
        Ok(())
    }

    /// Records first, then the checkpoint. A crash between the two leaves records that the next start takes over.
    fn write(&mut self, group: Group) -> Result<(), WriteError> {
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: group.tree.size(), root: group.tree.root() };
        let note = checkpoint.sign(&self.key);
        let written =
            self.storage.write(self.len, &group.bytes).and_then(|()| self.storage.replace_checkpoint(note.as_bytes()));
        if let Err(error) = written {
            // Nothing of it may be taken for records by the next start. How much a crash had left there is kept until a
            // record says that it was cut. If the cut fails, the next write goes over the same bytes, and a reader sees
            // them as unsigned.
            let torn = self.recovery.map_or(0, |recovery| recovery.cut);
            let _ = self.storage.truncate(self.len, torn);
            return Err(WriteError::Io(error));
        }
        self.len += group.bytes.len() as u64;
        self.tree = group.tree;
        self.open = group.open;
        self.recovery = None;
        self.dropped.clear();
        Ok(())
    }
}

/// Begins a ledger where there is none: the key, then the checkpoint of nothing, so that records without a checkpoint
/// are always damage.
fn begin(dir: &Path, owner: &str, empty: &str) -> io::Result<()> {
    if dir.join(CHECKPOINT).exists() || !list(dir)?.is_empty() {
        return Ok(());
    }
    if !dir.join(VERIFIER_KEY).exists() {
        replace(dir, VERIFIER_KEY, format!("{owner}\n").as_bytes())?;
    }
    replace(dir, CHECKPOINT, empty.as_bytes())
}

/// What was lost before the last stop, if no gap says so yet: the ledger stands where it stood, or no more of it is signed and
/// what crashes left since is not the gap.
fn lost_before(dir: &Path, scan: &Scan, signed: u64) -> BTreeMap<Kind, u64> {
    let is_open = |lost: &Lost| {
        let is_said = scan.tally.last_gap.is_some_and(|gap| gap >= lost.at);
        lost.at == scan.tree.size() || lost.signed == signed && !is_said
    };
    Lost::read(dir).filter(is_open).map(|lost| lost.kinds).unwrap_or_default()
}

fn refused(dir: &Path, error: VerifyError) -> OpenError {
    let dir = dir.to_owned();
    match error {
        VerifyError::Damaged { damage, .. } => OpenError::Damaged { dir, damage },
        VerifyError::Io { source, .. } => OpenError::Io { dir, source },
        VerifyError::Absent(_) => OpenError::Damaged { dir, damage: Damage::Missing(CHECKPOINT) },
        VerifyError::Changed(_) => {
            let source = io::Error::other("its files change while they are read");
            OpenError::Io { dir, source }
        }
        VerifyError::OtherKey { .. } | VerifyError::Twice { .. } => unreachable!("one ledger was scanned, for any key"),
    }
}

#[cfg(test)]
mod tests;
