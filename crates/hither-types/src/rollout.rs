//! A new version of a model on its way to taking over from an old one.

use crate::id::{Digest, ModelName, NodeId, SiteName};
use crate::time::WallTime;

/// What a name means while a new version takes over from an old one. Published by a member, signed, told to every other;
/// of several for one name that with the greatest revision counts, and the last one stands until the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rollout {
    /// The name that people ask for.
    pub name: ModelName,
    /// Grows with each word about the name.
    pub revision: u64,
    /// The version that is left.
    pub from: Digest,
    /// The version that comes.
    pub to: Digest,
    /// How many requests of a thousand the new version answers at the sites that take part.
    pub share: u16,
    /// The sites that take part; none means all.
    pub sites: Vec<SiteName>,
    /// How many requests of a thousand may fail with the new version beyond those that fail with the old one.
    pub tolerance: u16,
    /// The member that published it.
    pub publisher: NodeId,
    /// When, by its clock.
    pub at: WallTime,
}

impl Rollout {
    /// All requests that there are.
    pub const WHOLE: u16 = 1_000;

    /// Which of two words about a name counts.
    pub fn order(&self) -> (u64, NodeId) {
        (self.revision, self.publisher)
    }

    /// Whether this word counts and not one that is known: the later one; but none by whoever may publish no more, as `may` says,
    /// beside one by somebody who may.
    pub fn supersedes(&self, known: &Self, may: impl Fn(NodeId) -> bool) -> bool {
        match (may(self.publisher), may(known.publisher)) {
            (true, false) => true,
            (false, true) => false,
            _ => self.order() > known.order(),
        }
    }

    /// Whether a site takes part.
    pub fn is_at(&self, site: &SiteName) -> bool {
        self.share > 0 && (self.sites.is_empty() || self.sites.contains(site))
    }

    /// Whether the new version has taken over everywhere.
    pub fn is_whole(&self) -> bool {
        self.share >= Self::WHOLE && self.sites.is_empty()
    }
}

/// Why a new version is left again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RolloutFault {
    /// Its engine failed too often.
    Failures {
        /// Requests that it was given.
        tried: u32,
        /// Of these, those in which its engine failed.
        failed: u32,
    },
    /// Its engine gave another answer than the catalog knows.
    WrongAnswer,
}

/// A member's word that a new version is bad. Signed by it, told to every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// The name that people ask for.
    pub name: ModelName,
    /// Of the rollout.
    pub revision: u64,
    /// Of the rollout.
    pub publisher: NodeId,
    /// The member that found it.
    pub by: NodeId,
    /// What it found.
    pub fault: RolloutFault,
}

impl Verdict {
    /// Which word about the name it judges.
    pub fn order(&self) -> (u64, NodeId) {
        (self.revision, self.publisher)
    }
}

/// A word about versions, as members sign and tell it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RolloutWord {
    /// A new version comes, or is taken back.
    Begun(Rollout),
    /// It was found bad.
    Judged(Verdict),
}

impl RolloutWord {
    /// Whose word it is.
    pub fn signer(&self) -> NodeId {
        match self {
            Self::Begun(rollout) => rollout.publisher,
            Self::Judged(verdict) => verdict.by,
        }
    }
}

/// How a rollout stands, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutView {
    /// What was published.
    pub rollout: Rollout,
    /// What this node's own requests met with the old version.
    pub old: Tally,
    /// … and with the new one.
    pub new: Tally,
    /// Requests of this node that were the new version's, and that the old one got because no place had the new one open.
    pub unready: u64,
    /// Why this node has gone back to the old version, if it has.
    pub back: Option<RolledBack>,
    /// Members that found the new version bad.
    pub against: Vec<NodeId>,
}

/// Why a node has gone back to the old version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolledBack {
    /// It found this itself.
    Found(RolloutFault),
    /// So many other members did.
    Told(usize),
}

/// Requests of one version, as their origin saw them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many it was given.
    pub tried: u32,
    /// In how many of them its engine failed.
    pub failed: u32,
}
