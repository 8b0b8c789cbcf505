//! The append-only Merkle record of one node: writer, reader, verifier.
//!
//! A ledger is a folder of files that anyone can read without this program:
//!
//! - `ledger.jsonl`: one record per line, JSON in canonical form (RFC 8785; strings, integers, arrays and objects only);
//! - `ledger-<n>.jsonl`: the same, older, of records from number n on (20 digits), closed: each day's, or 16 MiB of them;
//! - `ledger-<n>.hashes`: what stays of one of these when it is deleted: for each record a line with its leaf hash (base64),
//!   or the record itself if it is a `config.start`, a `policy.change`, or a `retention.delete`, which accounts for such a file;
//! - `checkpoint`: how many records there are and their Merkle root (RFC 6962), signed by the node (C2SP signed note);
//! - `node.vkey`: the key that signs, as C2SP verifiers take it.
//!
//! What must stay true: a record is on the disk before [`Ledger::append`] returns; sequence numbers are dense; nothing
//! of a payload can enter, because a [`Fact`](hither_types::fact::Fact) has no place for it; damage is reported, never
//! repaired in silence.

pub mod audit;
mod body;
mod canonical;
mod check;
mod damage;
mod feed;
mod lanes;
mod limits;
mod lost;
mod note;
mod reconcile;
mod record;
mod retention;
#[cfg(test)]
mod samples;
mod scan;
mod segments;
mod storage;
mod tree;
mod verify;
mod witness;
mod writer;

pub use check::Deleted;
pub use damage::{Damage, VerifyError};
pub use limits::{GROUP_RECORDS_MAX, LINE_BYTES_MAX};
pub use note::{Checkpoint, NoteError, verifier_key};
pub use reconcile::{Finding, NodeLedger, Pair, Reconciliation, Severity, Transfer, reconcile};
pub use record::{Deletion, KernelRecord, Kind, Place, Record, RecordError};
pub use retention::{Expired, Plan, plan};
pub use scan::{Records, read};
pub use storage::is_being_written;
pub use tree::growth::Growth;
pub use tree::{
    Hash, ProofError, Tree, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion,
};
pub use verify::{Inclusion, Report, prove, remains, verify, verify_as, verify_at, verify_each};
pub use witness::{
    Cosigned, Examined, Witness, check_cosigned, check_witnesses, checkpoint, cosigned, cosigned_at, growth,
    keep_cosigned, key_text, origin_of,
};
pub use writer::{Appended, DeleteError, Entry, Ledger, OpenError, WriteError};
