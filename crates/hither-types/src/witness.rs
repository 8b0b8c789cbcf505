//! Words by which a node's ledger gets witnesses: peers that sign its checkpoints once they have seen that it only grew.

/// What is said about a ledger: by the node whose it is, or to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum WitnessWord {
    /// To a witness: this is the checkpoint of my ledger now, a C2SP signed note, and what the ledger grew by since it had the
    /// size of which you know.
    Asked {
        /// The note.
        checkpoint: String,
        /// How many records there were then; 0 if the witness knows of none.
        from: u64,
        /// The growth: roots of complete subtrees, at most 126.
        growth: Vec<[u8; 32]>,
    },
    /// From a witness: I know your ledger with another number of records; 0 if not at all.
    Known(u64),
    /// From a witness: its line under the checkpoint.
    Signed {
        /// Of how many records.
        size: u64,
        /// The line, C2SP `cosignature/v1`.
        line: String,
    },
    /// From a witness: what I saw of your ledger before, with so many records, is not the beginning of it now.
    Refused(u64),
}
