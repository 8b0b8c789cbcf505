//! All other members, and what is asked of them so often that walking over all would cost a large mesh its processors: who
//! is of a site, who speaks for it, how many are there, and a hash of what is known of all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_types::id::NodeId;
use hither_types::message::Presence;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use super::neighbours::Places;
use crate::random::Random;

/// How far a member is known to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It was never heard.
    Unheard,
    /// It is there.
    There,
    /// It is gone.
    Gone,
}

/// Incarnation and sequence.
pub(super) type Version = (u64, u64);

/// One other member.
#[derive(Debug)]
pub(super) struct Node {
    places: Places,
    state: State,
    version: Version,
    pub(super) said: Option<Arc<Presence>>,
    /// Who does not hear it.
    pub(super) doubts: Vec<NodeId>,
    /// Since when so many doubt it that it will count as gone.
    pub(super) condemned: Option<Timestamp>,
    /// When this node doubted it last.
    pub(super) doubted: Option<Timestamp>,
    /// Until when it is no candidate for a link, since one could not be made.
    pub(super) avoided: Timestamp,
    /// How far it was there and back when that was measured last.
    pub(super) away: Micros,
    /// Who told the last word.
    pub(super) teller: NodeId,
    /// When its word was passed on last, near and far.
    pub(super) relayed: [Option<Timestamp>; 2],
    /// Whether the driver takes it for being there.
    pub(super) shown: bool,
}

impl Node {
    fn new(id: NodeId, places: Places) -> Self {
        Self {
            places,
            state: State::Unheard,
            version: (0, 0),
            said: None,
            doubts: Vec::new(),
            condemned: None,
            doubted: None,
            avoided: Timestamp(0),
            away: Micros(0),
            teller: id,
            relayed: [None; 2],
            shown: false,
        }
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_there(&self) -> bool {
        self.state == State::There
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }
}

/// The members by key, and those of each site by rank.
///
/// What must stay true: `of_site`, `there` and `sum` are what one would find by walking over `nodes`. So where a node stands,
/// its state and its version are this module's alone to change.
#[derive(Debug, Default)]
pub(super) struct Members {
    nodes: BTreeMap<NodeId, Node>,
    of_site: BTreeMap<u64, BTreeSet<(u64, NodeId)>>,
    there: usize,
    sum: u64,
}

/// A hash of a node and what is said of it.
pub(super) fn mark(id: NodeId, parts: [u64; 3]) -> u64 {
    parts.iter().fold(id.prefix(), |hash, part| Random::new(hash ^ part.rotate_left(17)).next())
}

/// What a node adds to the sum: in which start it is, and whether it is there. Sequences change often and are on their way
/// for a while, so they count for nothing here.
fn share(id: NodeId, state: State, version: Version) -> u64 {
    if state == State::Unheard { 0 } else { mark(id, [version.0, 0, u64::from(state == State::There)]) }
}

impl Members {
    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// By key.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().map(|(id, node)| (*id, node))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Node)> {
        self.nodes.iter_mut().map(|(id, node)| (*id, node))
    }

    /// Those of a site, by rank.
    pub(super) fn of_site(&self, site: u64) -> impl Iterator<Item = (NodeId, &Node)> {
        let ranked = self.of_site.get(&site).into_iter().flatten();
        ranked.filter_map(|(_, id)| Some((*id, self.nodes.get(id)?)))
    }

    /// The sites of which somebody is known.
    pub(super) fn sites(&self) -> impl Iterator<Item = u64> {
        self.of_site.keys().copied()
    }

    /// How many are there.
    pub(super) fn there(&self) -> usize {
        self.there
    }

    /// The sum of the hashes of all but one.
    pub(super) fn sum_but(&self, id: NodeId) -> u64 {
        self.sum.wrapping_sub(self.nodes.get(&id).map_or(0, |node| share(id, node.state, node.version)))
    }

    /// Somebody belongs, or stands elsewhere than was known.
    pub(super) fn add(&mut self, id: NodeId, places: Places) {
        match self.nodes.get_mut(&id) {
            Some(known) => {
                let before = std::mem::replace(&mut known.places, places);
                self.leave(id, before);
            }
            None => drop(self.nodes.insert(id, Node::new(id, places))),
        }
        self.of_site.entry(places.site).or_default().insert((places.rank, id));
    }

    /// Somebody does not belong any more.
    pub(super) fn remove(&mut self, id: NodeId) {
        self.turn(id, State::Unheard, (0, 0));
        if let Some(node) = self.nodes.remove(&id) {
            self.leave(id, node.places);
        }
    }

    fn leave(&mut self, id: NodeId, places: Places) {
        if let Some(of_site) = self.of_site.get_mut(&places.site) {
            of_site.remove(&(places.rank, id));
            if of_site.is_empty() {
                self.of_site.remove(&places.site);
            }
        }
    }

    /// A newer word says that a member is there, or that it is gone: what was doubted of the older one is over.
    pub(super) fn turn(&mut self, id: NodeId, state: State, version: Version) -> Option<&mut Node> {
        let node = self.nodes.get_mut(&id)?;
        self.sum = self.sum.wrapping_sub(share(id, node.state, node.version));
        self.there -= usize::from(node.state == State::There);
        (node.state, node.version) = (state, version);
        self.sum = self.sum.wrapping_add(share(id, state, version));
        self.there += usize::from(state == State::There);
        node.doubts.clear();
        node.condemned = None;
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use hither_types::id::SiteName;

    use super::*;

    /// What is kept beside the nodes is what walking over them finds.
    fn compare(members: &Members) {
        let walked = |share: &dyn Fn(NodeId, &Node) -> u64| {
            members.all().fold(0_u64, |sum, (id, node)| sum.wrapping_add(share(id, node)))
        };
        assert_eq!(members.there() as u64, walked(&|_, node| u64::from(node.is_there())));
        let nobody = NodeId([255; 32]);
        assert_eq!(members.sum_but(nobody), walked(&|id, node| share(id, node.state(), node.version())));
        let mut ranked: BTreeMap<u64, Vec<(u64, NodeId)>> = BTreeMap::new();
        for (id, node) in members.all() {
            ranked.entry(node.places().site).or_default().push((node.places().rank, id));
        }
        ranked.values_mut().for_each(|of_site| of_site.sort_unstable());
        assert_eq!(members.sites().collect::<Vec<_>>(), ranked.keys().copied().collect::<Vec<_>>());
        for (site, of_site) in ranked {
            let kept: Vec<_> = members.of_site(site).map(|(id, node)| (node.places().rank, id)).collect();
            assert_eq!(kept, of_site);
        }
    }

    #[test]
    fn what_is_kept_beside_the_nodes_is_what_walking_finds() {
        let sites = ["paris", "lyon", "nantes"].map(|name| SiteName::parse(name).expect("a name"));
        let mut random = Random::new(7);
        let mut members = Members::default();
        let mut seen = [0; 4];
        for _ in 0..4000 {
            let id = NodeId([1 + (random.next() % 12) as u8; 32]);
            let version = (random.next() % 3, random.next() % 3);
            let what = (random.next() % 4) as usize;
            seen[what] += 1;
            match what {
                0 => members.add(id, Places::of(id, &sites[(random.next() % 3) as usize])),
                1 if random.next().is_multiple_of(4) => members.remove(id),
                2 => drop(members.turn(id, State::There, version).map(|node| node.doubts.push(id))),
                _ => drop(members.turn(id, State::Gone, version)),
            }
            compare(&members);
        }
        assert!(seen.iter().all(|times| *times > 500), "{seen:?}");
        assert!(members.there() > 0 && members.all().count() > 3);
    }

    #[test]
    fn a_newer_word_ends_the_doubts_of_the_older_one() {
        let (id, site) = (NodeId([1; 32]), SiteName::parse("paris").expect("a name"));
        let mut members = Members::default();
        members.add(id, Places::of(id, &site));
        let node = members.get_mut(id).expect("it was added");
        (node.doubts, node.condemned) = (vec![id], Some(Timestamp(3)));
        let node = members.turn(id, State::There, (1, 2)).expect("it was added");
        assert!(node.doubts.is_empty() && node.condemned.is_none() && node.is_there());
        assert_eq!(node.version(), (1, 2));
    }
}
