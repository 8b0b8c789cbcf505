//! Whom a node watches, and who speaks for a site. All who know the same members choose alike, without a word.

use std::collections::BTreeMap;

use hither_types::id::{NodeId, SiteName};
use hither_types::message::ModelStage;
use hither_types::time::Timestamp;

use super::{Deed, Membership, Node, State};
use crate::limits;
use crate::random::Random;

/// Where a node stands: its site, its place on each ring, and its rank among those who may be gateways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) site: u64,
    rings: [u64; limits::RINGS],
    rank: u64,
}

impl Places {
    /// Keys are spread evenly, as hashes are; each ring stirs them anew.
    pub(super) fn of(node: NodeId, site: &SiteName) -> Self {
        let mut stirred = Random::new(node.prefix());
        let mut rings = [0; limits::RINGS];
        rings.iter_mut().for_each(|place| *place = stirred.next());
        Self { site: fnv(site.to_string().as_bytes()), rings, rank: stirred.next() }
    }
}

/// FNV-1a: the same for everybody.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The next and the one before on each ring, as each candidate is shown.
struct Around {
    me: Places,
    found: [[Option<(u64, NodeId)>; 2]; limits::RINGS],
}

impl Around {
    fn new(me: Places) -> Self {
        Self { me, found: [[None; 2]; limits::RINGS] }
    }

    fn see(&mut self, id: NodeId, places: &Places) {
        for (ring, found) in self.found.iter_mut().enumerate() {
            let ahead = places.rings[ring].wrapping_sub(self.me.rings[ring]);
            for (side, distance) in found.iter_mut().zip([ahead, ahead.wrapping_neg()]) {
                if side.is_none_or(|nearest| (distance, id) < nearest) {
                    *side = Some((distance, id));
                }
            }
        }
    }

    fn nodes(self) -> impl Iterator<Item = NodeId> {
        self.found.into_iter().flatten().flatten().map(|(_, id)| id)
    }
}

/// The first few of each other site, by rank.
#[derive(Default)]
struct Spokesmen(BTreeMap<u64, Vec<(u64, NodeId, Places)>>);

impl Spokesmen {
    fn see(&mut self, id: NodeId, places: &Places) {
        let of_site = self.0.entry(places.site).or_default();
        let at = of_site.partition_point(|(rank, other, _)| (*rank, *other) < (places.rank, id));
        if at < limits::GATEWAYS {
            of_site.insert(at, (places.rank, id, *places));
            of_site.truncate(limits::GATEWAYS);
        }
    }
}

impl Membership {
    /// Something changed on which the choice of neighbours hangs.
    pub(super) fn choose_soon(&mut self) {
        let soonest = self.chosen.map_or(self.now, |chosen| chosen.after(limits::CHOOSE_GAP)).max(self.now);
        self.choose_at = Some(self.choose_at.map_or(soonest, |at| at.min(soonest)));
    }

    pub(super) fn choose_if_due(&mut self) {
        if self.choose_at.is_none_or(|at| at > self.now) {
            return;
        }
        self.choose_at = None;
        self.chosen = Some(self.now);
        // Those who were left aside for a while are looked at again; so is whoever was never heard.
        let again = self.nodes.values().map(|node| node.avoided).filter(|until| *until > self.now).min();
        let settled = self.started.after(limits::STRANGERS_FOR);
        self.choose_at = again.into_iter().chain(Some(settled).filter(|at| *at > self.now)).min();
        self.choose();
        self.look_again();
    }

    /// Who was left aside for long enough counts again. A neighbour does once there is a link; to others none is made for
    /// their own sake, so that they would be taken for silent until they say something.
    fn look_again(&mut self) {
        let now = self.now;
        let over = |node: &Node| node.avoided > Timestamp(0) && node.avoided <= now;
        let mut again = Vec::new();
        for (id, node) in self.nodes.iter_mut().filter(|(id, node)| over(node) && !self.wanted.contains(id)) {
            node.avoided = Timestamp(0);
            again.push(*id);
        }
        again.into_iter().for_each(|id| self.show(id, false));
    }

    /// Whether a member is taken for being there in the choice of neighbours and gateways.
    fn counts(&self, node: &Node) -> bool {
        let young = self.now < self.started.after(limits::STRANGERS_FOR);
        let there = node.state == State::There || (node.state == State::Unheard && young);
        there && self.now >= node.avoided
    }

    /// The gateways of this site, this node included, as it sees them.
    fn own_gateways(&self) -> Vec<NodeId> {
        let mut own = Spokesmen::default();
        own.see(self.me, &self.places);
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.places.site == self.places.site) {
            if self.counts(node) {
                own.see(*id, &node.places);
            }
        }
        own.0.into_values().flatten().map(|(_, id, _)| id).collect()
    }

    /// Neighbours are those who would be if everybody were there, so that who comes back is met, and those who are among
    /// the ones that are there.
    fn choose(&mut self) {
        let own_gateways = self.own_gateways();
        let was = self.gateway;
        self.gateway = own_gateways.contains(&self.me);
        let (mut all, mut there) = (Around::new(self.places), Around::new(self.places));
        let (mut all_far, mut there_far) = (Spokesmen::default(), Spokesmen::default());
        for (id, node) in &self.nodes {
            let counts = self.counts(node);
            if node.places.site == self.places.site {
                all.see(*id, &node.places);
                if counts {
                    there.see(*id, &node.places);
                }
            } else if self.gateway {
                all_far.see(*id, &node.places);
                if counts {
                    there_far.see(*id, &node.places);
                }
            }
        }
        let far = |spokesmen: Spokesmen| {
            let mut around = Around::new(self.places);
            spokesmen.0.values().flatten().for_each(|(_, id, places)| around.see(*id, places));
            around.nodes()
        };
        let wanted = all.nodes().chain(there.nodes()).chain(far(all_far)).chain(far(there_far)).collect();
        if wanted != self.wanted {
            let before = std::mem::replace(&mut self.wanted, wanted);
            self.out.push(Deed::Keep(self.wanted.iter().copied().collect()));
            self.watch_wanted(&before);
        }
        if self.gateway {
            self.choose_delegates(&own_gateways);
            if !was {
                self.tell_all_far();
            }
        }
    }

    /// Who of this site is shown to others. Whoever was shown once is shown until it is gone.
    fn choose_delegates(&mut self, gateways: &[NodeId]) {
        let own = |node: &Node| node.places.site == self.places.site && node.state == State::There;
        let there: Vec<(NodeId, &Node)> =
            self.nodes.iter().filter(|(_, node)| own(node)).map(|(id, node)| (*id, node)).collect();
        let mut shown: Vec<NodeId> = gateways.to_vec();
        if there.len() < limits::SHOWN_WHOLE {
            shown.extend(there.iter().map(|(id, _)| *id));
        } else {
            let mut holders: BTreeMap<_, Vec<(u64, NodeId)>> = BTreeMap::new();
            for (id, node) in &there {
                let models = node.said.iter().flat_map(|said| &said.models);
                for model in models.filter(|model| model.stage == ModelStage::Ready) {
                    holders.entry(model.digest).or_default().push((node.places.rank, *id));
                }
            }
            for mut of_model in holders.into_values() {
                of_model.sort_unstable();
                shown.extend(of_model.into_iter().take(limits::SHOWN_PER_MODEL).map(|(_, id)| id));
            }
        }
        for id in shown {
            if id != self.me && self.delegates.insert(id) {
                self.pass_on_now(id);
            }
        }
    }

    /// Whether a word of a node is for a peer: within a site everybody hears everything; between sites only of delegates,
    /// and nobody is told of its own site.
    pub(super) fn is_for(&self, id: NodeId, peer: NodeId) -> bool {
        let site = |id: &NodeId| self.nodes.get(id).map(|node| node.places.site);
        self.concerns(id, peer) && (site(&peer) == Some(self.places.site) || site(&id) != site(&peer))
    }

    /// Whether a doubt about a node, or its death, is for a peer: who is doubted must be able to hear of it.
    pub(super) fn concerns(&self, id: NodeId, peer: NodeId) -> bool {
        let (Some(node), Some(to)) = (self.nodes.get(&id), self.nodes.get(&peer)) else { return false };
        let (own, here) = (node.places.site == self.places.site, to.places.site == self.places.site);
        here || !own || self.delegates.contains(&id)
    }

    /// Whether a node, as this one sees it, speaks for its site or did until now.
    pub(super) fn is_spokesman(&self, id: NodeId) -> bool {
        let Some(node) = self.nodes.get(&id) else { return false };
        let site = self.nodes.iter().filter(|(_, other)| other.places.site == node.places.site);
        let before = |other: &&Node| other.places.rank < node.places.rank && other.state == State::There;
        let mut first = usize::from(self.places.site == node.places.site && self.places.rank < node.places.rank);
        first += site.map(|(_, other)| other).filter(before).count();
        first < limits::GATEWAYS
    }
}
