//! What can be wrong with a ledger.

use std::io;
use std::path::PathBuf;

use hither_types::id::NodeId;

use crate::note::NoteError;
use crate::record::RecordError;
use crate::tree::Hash;

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
    /// Records are missing between two files, or two files hold the same ones.
    #[error("record {expected} is in no file, nor does its hash stand in its place: the next file begins with {found}")]
    Hole {
        /// Which record should be next.
        expected: u64,
        /// With which one the next file begins.
        found: u64,
    },
    /// Hashes stand in the place of records that nobody deleted.
    #[error("records {first} to {} were taken away: no signed record of retention says that they were deleted", end - 1)]
    TakenAway {
        /// The first of them.
        first: u64,
        /// The first one behind them.
        end: u64,
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
    /// Its node deleted a segment while it was read.
    #[error("the ledger in {0} changed while it was read: records were deleted by retention; read it again")]
    Changed(PathBuf),
    /// Two of the ledgers given are of one node.
    #[error("the ledger in {dir} is the second one of node {node}")]
    Twice {
        /// The folder.
        dir: PathBuf,
        /// The node.
        node: NodeId,
    },
}
