//! Who may say who belongs: what the founder and the issuers of a mesh state, each in a chain of its own.
//!
//! A chain for each of them and not one for all: two who state something at the same time would fork a common chain, and
//! there is nobody who could say which branch holds.

use crate::id::{Digest, MeshId, NodeId, Operator};
use crate::member::{Member, Roles, Signed};
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
    Appoint(Issuer),
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
    /// From the next entry on the founder alone neither appoints nor dismisses nor publishes a policy nor states this again. Stated by the founder.
    Quorum(Quorum),
    /// What the founder wants, where it needs others for it. Changes nothing by itself.
    Propose(Change),
    /// An approver wants a proposal, too. Changes nothing by itself: it is a signature for the founder to gather.
    Approve {
        /// BLAKE3 of the signed bytes of the proposal.
        proposal: [u8; 32],
    },
    /// A proposal is in force from here on. Stated by the founder, with the signatures that it needs.
    Enact {
        /// The number of the proposal in the founder's chain.
        proposal: u64,
        /// The entries in which approvers say so.
        approvals: Vec<Signed>,
    },
    /// The nodes of a range shall live by this policy from here on. Stated by the founder.
    Publish(Publication),
}

/// A change that may need more than the founder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Somebody may let others in.
    Appoint(Issuer),
    /// Somebody may not any more.
    Dismiss {
        /// The node.
        node: NodeId,
        /// How many entries of its own chain still hold.
        keep: u64,
    },
    /// Others are needed, or nobody.
    Quorum(Quorum),
    /// A range of nodes shall live by another policy.
    Publish(Publication),
}

/// A policy that the founder publishes for a range of nodes. The latest whose range a node is in holds for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Publication {
    /// Which one; `None`: what was published for the range before holds no longer, and each node keeps the policy that it
    /// has.
    pub policy: Option<PublishedPolicy>,
    /// For whom.
    pub range: Range,
}

/// A published policy. Its text travels by itself, and is known by the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublishedPolicy {
    /// BLAKE3 of its text.
    pub digest: Digest,
    /// The author's version.
    pub version: u32,
}

/// Some of the nodes of a mesh, by where they stand and who runs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Range {
    /// Where they must stand; empty: wherever.
    pub within: Vec<Jurisdiction>,
    /// Who must run them; empty: whoever.
    pub operators: Vec<Operator>,
}

impl Range {
    /// Whether these are all nodes.
    pub fn is_all(&self) -> bool {
        self.within.is_empty() && self.operators.is_empty()
    }

    /// Whether a member is one of them.
    pub fn covers(&self, member: &Member) -> bool {
        reaches(&self.within, &self.operators, member.jurisdiction, &member.operator)
    }
}

fn reaches(within: &[Jurisdiction], operators: &[Operator], place: Jurisdiction, operator: &Operator) -> bool {
    (within.is_empty() || within.iter().any(|outer| place.within(*outer)))
        && (operators.is_empty() || operators.contains(operator))
}

/// Whom the founder needs for appointments, dismissals and policies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Quorum {
    /// How many of them; 0: nobody.
    pub needed: u8,
    /// Who they are, each once, without the founder.
    pub approvers: Vec<NodeId>,
}

/// An issuer, as the log says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    /// Its key.
    pub node: NodeId,
    /// Whom it may let in.
    pub scope: Scope,
}

/// Whom an issuer may let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Where they must stand; empty: wherever.
    pub within: Vec<Jurisdiction>,
    /// Who must run them; empty: whoever.
    pub operators: Vec<Operator>,
    /// What they may do at most.
    pub roles: Roles,
}

impl Scope {
    /// Whether it has a place for a member.
    pub fn covers(&self, jurisdiction: Jurisdiction, operator: &Operator, roles: Roles) -> bool {
        reaches(&self.within, &self.operators, jurisdiction, operator) && roles.within(self.roles)
    }
}

/// A proposal that is not in force.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// BLAKE3 of its signed bytes, by which approvers name it.
    pub id: [u8; 32],
    /// What is wanted.
    pub change: Change,
    /// Approvers who want it, too, in the order of their keys.
    pub approved: Vec<NodeId>,
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
    /// Whom the founder needs for appointments and dismissals.
    pub quorum: Quorum,
    /// What is proposed and not in force, in the order in which it was.
    pub proposals: Vec<Proposal>,
    /// The policies that the founder published and that hold for somebody, the latest last.
    pub publications: Vec<Publication>,
    /// How many entries there are.
    pub entries: usize,
}
