//! The append-only Merkle record of one node: writer, reader, verifier.
//!
//! A ledger is a folder of three files that anyone can read without this program:
//!
//! - `ledger.jsonl`: one record per line, JSON in canonical form (RFC 8785; strings, integers, arrays and objects only);
//! - `checkpoint`: how many records there are and their Merkle root (RFC 6962), signed by the node (C2SP signed note);
//! - `node.vkey`: the key that signs, as C2SP verifiers take it.
//!
//! What must stay true: a record is on the disk before [`Ledger::append`] returns; sequence numbers are dense; nothing
//! of a payload can enter, because a [`Fact`](hither_types::fact::Fact) has no place for it; damage is reported, never
//! repaired in silence.

pub mod audit;
mod body;
mod canonical;
mod limits;
mod note;
mod reconcile;
mod record;
#[cfg(test)]
mod samples;
mod scan;
mod storage;
mod tree;
mod verify;
mod witness;
mod writer;

pub use limits::{GROUP_RECORDS_MAX, LINE_BYTES_MAX};
pub use note::{Checkpoint, NoteError, verifier_key};
pub use reconcile::{Finding, NodeLedger, Pair, Reconciliation, Severity, Transfer, reconcile};
pub use record::{Kind, Place, Record, RecordError};
pub use scan::{Damage, Records, VerifyError, read};
pub use tree::growth::Growth;
pub use tree::{
    Hash, ProofError, Tree, consistency_proof, inclusion_proof, leaf_hash, root, verify_consistency, verify_inclusion,
};
pub use verify::{Inclusion, Report, prove, remains, verify, verify_as, verify_each};
pub use witness::{
    Cosigned, Examined, Witness, check_cosigned, checkpoint, cosigned, growth, keep_cosigned, origin_of,
};
pub use writer::{Appended, Entry, Ledger, OpenError, WriteError};
