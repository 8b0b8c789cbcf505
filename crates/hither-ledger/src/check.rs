//! A piece of a ledger, looked at line by line: is each the next record, and what do they come to?

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hither_types::id::{Digest, NodeId};
use hither_types::unit::ByteCount;

use crate::damage::Damage;
use crate::feed::Piece;
use crate::limits::LINE_BYTES_MAX;
use crate::record::{Deletion, Kind, Record, RecordError};
use crate::segments::Form;
use crate::tree::{Hash, leaf_hash};

/// With this begins every `retention.delete`, and of other kinds only `bloc.change`: no field of theirs comes before `count`.
/// Who only hashes finds them by it.
pub(crate) const DELETION_BEGINS: &[u8] = b"{\"count\":";

/// How closely records are looked at that the signed root covers anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// They are hashed; of those that say what was deleted, every field is read.
    Hash,
    /// Every field is read.
    Fields,
    /// And they are kept, for somebody who looks at them.
    Keep,
}

/// What holds for all pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Who writes.
    pub(crate) node: NodeId,
    /// How many records are signed.
    pub(crate) signed: u64,
    /// How closely they are looked at.
    pub(crate) depth: Depth,
}

/// A deletion that is on the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// The number of the record that says so.
    pub seq: u64,
    /// When it was written.
    pub ts: String,
    /// The policy that said how long records are kept.
    pub policy: Option<Digest>,
    /// What was deleted.
    pub what: Deletion,
}

/// What records come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) kinds: BTreeMap<Kind, u64>,
    pub(crate) strange: BTreeMap<String, u64>,
    pub(crate) requests_out: ByteCount,
    pub(crate) answers_out: ByteCount,
    pub(crate) dropped: u64,
    pub(crate) deletions: Vec<Deleted>,
    /// The number of the last gap.
    pub(crate) last_gap: Option<u64>,
}

impl Tally {
    fn count(&mut self, record: &Record) {
        *self.kinds.entry(record.kind).or_default() += 1;
        let bytes = record.bytes_out.map_or(0, |bytes| bytes.0);
        match record.kind {
            Kind::EgressSettled => self.requests_out.0 = self.requests_out.0.saturating_add(bytes),
            Kind::EgressAnswer => self.answers_out.0 = self.answers_out.0.saturating_add(bytes),
            Kind::Gap => {
                self.dropped = self.dropped.saturating_add(record.dropped.unwrap_or(0));
                self.last_gap = Some(record.seq);
            }
            Kind::Unknown => *self.strange.entry(record.word().to_owned()).or_default() += 1,
            _ => {}
        }
        if let Some(what) = record.deletion.as_deref() {
            let (seq, ts, policy) = (record.seq, record.ts.clone(), record.policy);
            self.deletions.push(Deleted { seq, ts, policy, what: what.clone() });
        }
    }

    /// Adds what later records come to.
    pub(crate) fn add(&mut self, later: Self) {
        later.kinds.into_iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
        later.strange.into_iter().for_each(|(word, count)| *self.strange.entry(word).or_default() += count);
        self.requests_out.0 = self.requests_out.0.saturating_add(later.requests_out.0);
        self.answers_out.0 = self.answers_out.0.saturating_add(later.answers_out.0);
        self.dropped = self.dropped.saturating_add(later.dropped);
        self.deletions.extend(later.deletions);
        self.last_gap = later.last_gap.or(self.last_gap);
    }
}

/// What a piece holds.
pub(crate) struct Batch {
    pub(crate) segment: usize,
    pub(crate) form: Form,
    /// Of every line that is the next record, or the hash of one.
    pub(crate) leaves: Vec<Hash>,
    /// The records, if they are to be kept.
    pub(crate) records: Vec<Record>,
    pub(crate) tally: Tally,
    /// When the first record of the file was written, if it begins with one.
    pub(crate) began: Option<String>,
    /// Where the last valid line ends in the file.
    pub(crate) end: u64,
    /// The first line that is not valid.
    pub(crate) stop: Option<Stop>,
}

/// A line that is not the next record.
pub(crate) struct Stop {
    pub(crate) damage: Damage,
    /// Whether it is one without its end, which a cut leaves.
    pub(crate) is_cut: bool,
}

/// Looks at a piece.
pub(crate) fn check(piece: &Piece, rules: &Rules) -> Batch {
    let mut batch = Batch {
        segment: piece.segment,
        form: piece.form,
        leaves: Vec::with_capacity(piece.bytes.len() / 256),
        records: Vec::new(),
        tally: Tally::default(),
        began: None,
        end: piece.offset,
        stop: None,
    };
    for line in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
        let seq = piece.seq + batch.leaves.len() as u64;
        let whole = line.strip_suffix(b"\n");
        match look(whole.ok_or(line), seq, (batch.end, piece.form), rules) {
            Ok((leaf, record)) => {
                batch.leaves.push(leaf);
                let is_first = batch.end == 0;
                batch.end += line.len() as u64;
                if let Some(record) = record {
                    batch.began = is_first.then(|| record.ts.clone()).or(batch.began);
                    batch.tally.count(&record);
                    if rules.depth == Depth::Keep {
                        batch.records.push(record);
                    }
                }
            }
            Err(damage) => {
                let is_cut = whole.is_none() && line.len() <= LINE_BYTES_MAX;
                batch.stop = Some(Stop { damage, is_cut });
                break;
            }
        }
    }
    batch
}

/// One line: its leaf, and the record if it was read. `Err` as line: it has no end.
fn look(
    line: Result<&[u8], &[u8]>,
    seq: u64,
    (offset, form): (u64, Form),
    rules: &Rules,
) -> Result<(Hash, Option<Record>), Damage> {
    let wrong = |error| Damage::Record { seq, offset, error };
    let line = match line {
        Ok(line) | Err(line) if line.len() > LINE_BYTES_MAX => return Err(wrong(RecordError::TooLong)),
        Err(_) => return Err(wrong(RecordError::Form("cut off"))),
        Ok(line) => line,
    };
    if form == Form::Hashes && line.first() != Some(&b'{') {
        return Ok((hash(line).ok_or_else(|| wrong(RecordError::Form("neither a hash nor a record")))?, None));
    }
    let needs_reading = rules.depth != Depth::Hash || seq >= rules.signed || line.starts_with(DELETION_BEGINS);
    // The first line of a file is read in any case: it tells a file that is missing from one that was changed.
    if !needs_reading && offset > 0 {
        return Ok((leaf_hash(line), None));
    }
    let text = std::str::from_utf8(line).map_err(|_| wrong(RecordError::Encoding))?;
    let record = Record::parse(text).map_err(wrong)?;
    match record.seq {
        found if found > seq && offset == 0 => Err(Damage::Hole { expected: seq, found }),
        found if found != seq => Err(Damage::Sequence { expected: seq, found, offset }),
        _ if record.node != rules.node => Err(Damage::Writer { seq, offset }),
        _ => Ok((leaf_hash(line), Some(record))),
    }
}

/// The leaf of a whole line in a file of one form; none if it has none.
pub(crate) fn leaf_of(line: &[u8], form: Form) -> Option<Hash> {
    match form {
        Form::Hashes if line.first() != Some(&b'{') => hash(line),
        Form::Hashes | Form::Closed | Form::Open => Some(leaf_hash(line)),
    }
}

/// A leaf hash as it stands in the place of a record; one way to write each.
fn hash(line: &[u8]) -> Option<Hash> {
    BASE64.decode(line).ok()?.try_into().ok()
}

/// The same, written.
pub(crate) fn write_hash(leaf: &Hash, out: &mut String) {
    BASE64.encode_append(leaf, out);
    out.push('\n');
}
