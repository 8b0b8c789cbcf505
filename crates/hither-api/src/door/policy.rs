//! Policies, as the front door and the node speak of them.

use std::path::PathBuf;

use hither_types::authority::{Publication, Range};
use hither_types::id::Digest;

/// A policy that is to take the place of the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPolicy {
    /// Its text.
    pub text: String,
    /// The digest of the one that it was compared with: if another is in force meanwhile, nothing changes.
    pub over: Digest,
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// BLAKE3 of its text.
    pub digest: Digest,
    /// Its author's version.
    pub version: u32,
    /// Its text.
    pub text: String,
    /// Where the node reads it; there may be no such file.
    pub file: PathBuf,
}

/// A policy that the nodes of a range shall live by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPublication {
    /// Its text; `None`: what was published for the range before holds no longer.
    pub text: Option<String>,
    /// For whom.
    pub range: Range,
}

/// Which policies the founder published, and what they are to this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publications {
    /// Why this node does not live by what is published for it; `None`: it does.
    pub apart: Option<String>,
    /// The one that this node lives by or would live by, if it is in the range of any.
    pub here: Option<Digest>,
    /// Those that hold for somebody, the latest last.
    pub list: Vec<Publication>,
    /// Those of them, and of the proposed ones, whose text is here.
    pub held: Vec<Digest>,
    /// Which policy is in force here.
    pub in_force: Digest,
}
