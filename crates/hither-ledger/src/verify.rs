//! The auditor's view: is everything there, unchanged and signed?

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use hither_types::fact::Fact;
use hither_types::id::{Digest, NodeId};
use hither_types::unit::ByteCount;
use sha2::{Digest as _, Sha256};

use crate::check::{Deleted, Depth};
use crate::damage::VerifyError;
use crate::note::Checkpoint;
use crate::record::{Kind, Record};
use crate::scan::{Ask, Seen, Source};
use crate::segments::{Form, list};
use crate::storage::CHECKPOINT;
use crate::tree::{Hash, ProofError, inclusion_proof, leaf_hash, verify_inclusion};

/// What a verified ledger holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The origin line: `hither/<node>`.
    pub origin: String,
    /// Who signed.
    pub node: NodeId,
    /// How many records there are.
    pub records: u64,
    /// How many of them the checkpoint covers. The others are durable and not signed yet: a write in progress, or what a
    /// crash left.
    pub signed: u64,
    /// The root of the signed ones.
    pub root: Hash,
    /// Bytes at the end that are not records: a write in progress, or what a crash left.
    pub torn_bytes: u64,
    /// How many of each kind, of those that are there.
    pub kinds: BTreeMap<Kind, u64>,
    /// How many of each kind that this program does not know, by the word for it: together, `kinds` has them as unknown.
    pub strange: BTreeMap<String, u64>,
    /// Payload that left with requests.
    pub requests_out: ByteCount,
    /// Payload that left with answers.
    pub answers_out: ByteCount,
    /// Records that were lost while the disk was full or failing, by the `gap` records.
    pub dropped: u64,
    /// The segments whose records were deleted, and in whose place their hashes stand, in the order of the records.
    pub deleted: Vec<Deleted>,
}

impl Report {
    /// How many records were deleted.
    pub fn deleted_records(&self) -> u64 {
        self.deleted.iter().map(|deleted| deleted.what.count).sum()
    }
}

/// Verifies a ledger: every line is the next record of this node and well-formed, their root is the signed one, the
/// signature is of the key beside it. Whether that is the key of the node that it should be, [`verify_as`] asks.
pub fn verify(dir: &Path) -> Result<Report, VerifyError> {
    verify_at(dir, None).map(|(report, _)| report)
}

/// What is left of a damaged ledger, for the record of the one that begins in its place: how many records its checkpoint
/// covers and their root, if that can still be read, and SHA-256 over the files of its records, one behind the other.
pub fn remains(dir: &Path, node: NodeId) -> io::Result<Fact> {
    let kept = std::fs::read_to_string(dir.join(CHECKPOINT)).ok();
    let checkpoint = kept.and_then(|note| Checkpoint::open(&note, node).ok());
    let mut hash = Sha256::new();
    for segment in list(dir)?.into_iter().filter(|segment| segment.form != Form::Hashes) {
        io::copy(&mut std::fs::File::open(dir.join(segment.name()))?, &mut hash)?;
    }
    Ok(Fact::LossAccepted {
        signed: checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size),
        root: checkpoint.map(|checkpoint| Digest(checkpoint.root)),
        file: Digest(hash.finalize().into()),
    })
}

/// Verifies a ledger, and shows each of its records to whoever looks at them. If it is damaged, so may be what was shown.
pub fn verify_each(dir: &Path, look: impl FnMut(&Record)) -> Result<Report, VerifyError> {
    verify_source(&Source::open(dir)?, Ask { depth: Depth::Keep, size: None }, look).map(|(report, _)| report)
}

/// Verifies a ledger, and that this node signed it.
pub fn verify_as(dir: &Path, node: NodeId) -> Result<Report, VerifyError> {
    let source = Source::open(dir)?;
    match source.node == node {
        true => verify_source(&source, Ask { depth: Depth::Fields, size: None }, |_| ()).map(|(report, _)| report),
        false => Err(VerifyError::OtherKey { expected: node, found: source.node }),
    }
}

/// Verifies a ledger, and gives the root of its first so many records: what a checkpoint says that somebody kept. `None`:
/// it has fewer.
pub fn verify_at(dir: &Path, size: Option<u64>) -> Result<(Report, Option<Hash>), VerifyError> {
    verify_source(&Source::open(dir)?, Ask { depth: Depth::Fields, size }, |_| ())
}

fn verify_source(
    source: &Source,
    ask: Ask,
    mut look: impl FnMut(&Record),
) -> Result<(Report, Option<Hash>), VerifyError> {
    let scan = source.scan(ask, |record, _| {
        if let Some(record) = record {
            look(&record);
        }
    })?;
    let gone = |file: &&Seen| file.form == Form::Hashes;
    // A scan refuses hashes that no record accounts for, so each of them has one.
    let said = |file: &Seen| scan.tally.deletions.iter().find(|deleted| deleted.what.first == file.first).cloned();
    let report = Report {
        origin: source.origin.clone(),
        node: source.node,
        records: scan.tree.size(),
        signed: source.checkpoint.size,
        root: source.checkpoint.root,
        torn_bytes: scan.torn,
        deleted: scan.seen.iter().filter(gone).filter_map(said).collect(),
        kinds: scan.tally.kinds,
        strange: scan.tally.strange,
        requests_out: scan.tally.requests_out,
        answers_out: scan.tally.answers_out,
        dropped: scan.tally.dropped,
    };
    Ok((report, scan.root_at))
}

/// A record, and the proof that it is in the ledger: enough for somebody who has nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// The record.
    pub record: Record,
    /// The hashes from the record to the root.
    pub proof: Vec<Hash>,
    /// The signed checkpoint, as it stands in the file.
    pub checkpoint: String,
    /// How many records it covers.
    pub size: u64,
    /// Their root.
    pub root: Hash,
}

impl Inclusion {
    /// Checks the proof against the root.
    pub fn verify(&self) -> Result<(), ProofError> {
        let leaf = leaf_hash(self.record.line.as_bytes());
        verify_inclusion(&leaf, self.record.seq, self.size, &self.root, &self.proof)
    }
}

/// Proves that a record is in a ledger. `None`: the checkpoint does not cover such a record, or it was deleted.
pub fn prove(dir: &Path, seq: u64) -> Result<Option<Inclusion>, VerifyError> {
    let source = Source::open(dir)?;
    let (mut leaves, mut wanted) = (Vec::new(), None);
    source.scan(Ask { depth: Depth::Keep, size: None }, |record, leaf| {
        leaves.push(leaf);
        wanted = wanted.take().or_else(|| record.filter(|record| record.seq == seq));
    })?;
    let size = source.checkpoint.size;
    leaves.truncate(usize::try_from(size).expect("as many leaves were just read"));
    let index = usize::try_from(seq).ok();
    let (Some(proof), Some(record)) = (index.and_then(|index| inclusion_proof(&leaves, index)), wanted) else {
        return Ok(None);
    };
    Ok(Some(Inclusion { record, proof, checkpoint: source.note, size, root: source.checkpoint.root }))
}
