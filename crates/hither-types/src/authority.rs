//! Who may say who belongs: what the founder and the issuers of a mesh state, each in a chain of its own.
//!
//! A chain for each of them and not one for all: two who state something at the same time would fork a common chain, and
//! there is nobody who could say which branch holds.

use crate::id::{MeshId, NodeId};
use crate::member::Signed;
use crate::place::Jurisdiction;
use crate::time::WallTime;

/// One entry of the authority log: the next in the chain of the key that signed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthorityEntry {
    /// The mesh.
    pub mesh: MeshId,
    /// Its place in the chain, from 0.
    pub number: u64,
    /// BLAKE3 of the signed bytes of the entry before it; zeros for the first.
    pub previous: [u8; 32],
    /// When it was written, by the clock of the node that wrote it. For people; nothing is decided by it.
    pub at: WallTime,
    /// What it states.
    pub statement: Statement,
}

/// What an entry of the authority log states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Statement {
    /// The mesh begins: its id is the hash of its founder's key and this. The founder's first entry.
    Found {
        /// Drawn by chance.
        nonce: [u8; 16],
    },
    /// This node is no member any more, whatever certificate it has, and never will be again with this key. Of an
    /// issuer, the founder alone may state it.
    Revoke {
        /// The node.
        node: NodeId,
    },
    /// This node may let others in, too. Stated by the founder.
    Appoint {
        /// The node.
        node: NodeId,
        /// Where those whom it lets in must stand; empty: wherever.
        within: Vec<Jurisdiction>,
    },
    /// This node may not let others in any more, and never will be again; the certificates that it signed hold no
    /// longer. Stated by the founder.
    Dismiss {
        /// The node.
        node: NodeId,
        /// How many entries of its own chain still hold.
        keep: u64,
    },
    /// Whoever signs this leaves the mesh for good. Stated by a member of itself; it does not count while it is an issuer.
    Leave {
        /// Its certificate, whether or not its time is over: strangers have nothing to leave.
        certificate: Signed,
    },
}

/// An issuer, as the log says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// Its key.
    pub node: NodeId,
    /// Where those whom it lets in must stand; empty: wherever.
    pub within: Vec<Jurisdiction>,
}

/// What the authority log says, for people.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AuthorityView {
    /// The mesh.
    pub mesh: MeshId,
    /// Who made it.
    pub founder: NodeId,
    /// Who may let others in beside the founder, in the order of their keys.
    pub issuers: Vec<Issuer>,
    /// Who is no member any more, in the order of their keys.
    pub revoked: Vec<NodeId>,
    /// How many entries there are.
    pub entries: usize,
}
