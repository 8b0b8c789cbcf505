//! How far members are from one another, as members measured and signed it: evidence of where a machine stands.
//!
//! Light in fibre goes about 100 km there and back in a millisecond. So a round trip bounds a distance from above: whoever
//! answers can be nearer than that, and never farther.

use crate::id::{MeshId, NodeId, SiteName};
use crate::member::Outdated;
use crate::place::Assurance;
use crate::time::WallTime;
use crate::unit::Micros;

/// What one member measured of others, signed by it; a newer report takes the place of an older one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NearReport {
    /// The mesh, so that it means nothing in another.
    pub mesh: MeshId,
    /// When it was signed.
    pub at: WallTime,
    /// At most 32, in the order of their nodes.
    pub samples: Vec<NearSample>,
}

/// The smallest round trip to one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NearSample {
    /// To whom.
    pub node: NodeId,
    /// Which start of it answered: its incarnation.
    pub incarnation: u64,
    /// The smallest of those of the last hour.
    pub rtt: Micros,
    /// When the last of them was measured.
    pub at: WallTime,
    /// The smallest before it grew by more than a network does: whoever answers now is not where the key was.
    pub before: Option<Micros>,
}

/// How far a machine can be that answers within this time, in kilometres.
pub const fn bound_km(rtt: Micros) -> u64 {
    rtt.0.div_ceil(10)
}

/// What a sample weighs where somebody judges by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// It shows that the machine is near.
    Near,
    /// The round trip is longer than what counts as near.
    Far,
    /// The round trip grew: the key answers from somewhere else than before.
    Moved,
    /// It is too old, from the future, of an earlier start, or no newer than what others found when the key moved.
    Old,
    /// Whoever signed it is nobody who can say so: no member of that country that is vouched for.
    NoAnchor,
}

/// That a member moved, as its anchors agreed on it, by the clock of whoever judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    /// When it was put on the record last. That is kept when the move ends, so that it is there once a day at most.
    pub noted: WallTime,
    /// By the clocks of its anchors, when they measured last that it moved. That is kept, too: what is no newer says where the
    /// key was before.
    pub at: WallTime,
    /// What is warned of, until anchors find the member where it stays.
    pub warned: Option<Warned>,
}

/// The move that is warned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Warned {
    /// When anchors agreed on it last.
    pub last: WallTime,
    /// The least round trip.
    pub rtt: Micros,
    /// What it was before.
    pub before: Micros,
}

/// A sample with what is known of who signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// Who signed it.
    pub anchor: NodeId,
    /// Its site, if it is a member.
    pub site: Option<SiteName>,
    /// The round trip.
    pub rtt: Micros,
    /// What it was before, if it grew.
    pub before: Option<Micros>,
    /// How old it is; nothing if it is from the future, or nobody knows what time it is.
    pub age: Option<Micros>,
    /// What it weighs.
    pub weight: Weight,
}

/// What the assurance of a member rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What its certificate states.
    pub vouched: Assurance,
    /// Who signed that; nothing if that is not known.
    pub by: Option<NodeId>,
    /// Why the certificate supports nothing, if the policy wants newer ones: then the member is claimed, whatever it states.
    pub outdated: Option<Outdated>,
    /// The round trip that counts as near.
    pub limit: Micros,
    /// What members measured, by key.
    pub samples: Vec<Anchored>,
}
