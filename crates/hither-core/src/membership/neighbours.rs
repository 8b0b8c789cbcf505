//! Whom a node watches, and who speaks for a site. All who know the same members choose alike, without a word.

use std::collections::BTreeMap;

use hither_types::id::{NodeId, SiteName};
use hither_types::message::ModelStage;
use hither_types::time::Timestamp;

use super::members::{Node, State};
use super::{Deed, Membership};
use crate::limits;
use crate::random::Random;

/// Where a node stands: its site, its place on each ring, and its rank among those who may be gateways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub(super) site: u64,
    rings: [u64; limits::RINGS],
    pub(super) rank: u64,
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
        let again = self.nodes.all().map(|(_, node)| node.avoided).filter(|until| *until > self.now).min();
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
        for (id, node) in self.nodes.all_mut().filter(|(id, node)| over(node) && !self.wanted.contains(id)) {
            node.avoided = Timestamp(0);
            again.push(id);
        }
        again.into_iter().for_each(|id| self.show(id, false));
    }

    /// Whether a member is taken for being there in the choice of neighbours and gateways.
    fn counts(&self, node: &Node) -> bool {
        let young = self.now < self.started.after(limits::STRANGERS_FOR);
        let there = node.is_there() || (node.state() == State::Unheard && young);
        there && self.now >= node.avoided
    }

    /// The gateways of this site, this node included, as it sees them.
    fn own_gateways(&self) -> Vec<NodeId> {
        let others = self.nodes.of_site(self.places.site).filter(|(_, node)| self.counts(node));
        let others = others.map(|(id, node)| (node.places().rank, id)).take(limits::GATEWAYS);
        let mut ranked: Vec<(u64, NodeId)> = others.chain(Some((self.places.rank, self.me))).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, id)| id).take(limits::GATEWAYS).collect()
    }

    /// Neighbours are those who would be if everybody were there, so that who comes back is met, and those who are among
    /// the ones that are there.
    fn choose(&mut self) {
        let own_gateways = self.own_gateways();
        let was = self.gateway;
        self.gateway = own_gateways.contains(&self.me);
        let mut around = [(); 4].map(|()| Around::new(self.places));
        let [all, there, all_far, there_far] = &mut around;
        for (id, node) in self.nodes.of_site(self.places.site) {
            all.see(id, node.places());
            if self.counts(node) {
                there.see(id, node.places());
            }
        }
        let others = self.nodes.sites().filter(|site| self.gateway && *site != self.places.site);
        for site in others {
            let first = |around: &mut Around, counted: &dyn Fn(&Node) -> bool| {
                let of_site = self.nodes.of_site(site).filter(|(_, node)| counted(node));
                of_site.take(limits::GATEWAYS).for_each(|(id, node)| around.see(id, node.places()));
            };
            first(all_far, &|_| true);
            first(there_far, &|node| self.counts(node));
        }
        let wanted = around.into_iter().flat_map(Around::nodes).collect();
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
        let of_site = self.nodes.of_site(self.places.site);
        let there: Vec<(NodeId, &Node)> = of_site.filter(|(_, node)| node.is_there()).collect();
        let mut shown: Vec<NodeId> = gateways.to_vec();
        if there.len() < limits::SHOWN_WHOLE {
            shown.extend(there.iter().map(|(id, _)| *id));
        } else {
            // They come by rank.
            let mut holders: BTreeMap<_, Vec<NodeId>> = BTreeMap::new();
            for (id, node) in &there {
                let models = node.said.iter().flat_map(|said| &said.models);
                for model in models.filter(|model| model.stage == ModelStage::Ready) {
                    holders.entry(model.digest).or_default().push(*id);
                }
            }
            for of_model in holders.into_values() {
                shown.extend(of_model.into_iter().take(limits::SHOWN_PER_MODEL));
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
        let site = |id: NodeId| self.nodes.get(id).map(|node| node.places().site);
        self.concerns(id, peer) && (site(peer) == Some(self.places.site) || site(id) != site(peer))
    }

    /// Whether a doubt about a node, or its death, is for a peer: who is doubted must be able to hear of it.
    pub(super) fn concerns(&self, id: NodeId, peer: NodeId) -> bool {
        let (Some(node), Some(to)) = (self.nodes.get(id), self.nodes.get(peer)) else { return false };
        let (own, here) = (node.places().site == self.places.site, to.places().site == self.places.site);
        here || !own || self.delegates.contains(&id)
    }

    /// Whether a node, as this one sees it, speaks for its site or did until now.
    pub(super) fn is_spokesman(&self, id: NodeId) -> bool {
        let Some(site) = self.nodes.get(id).map(|node| node.places().site) else { return false };
        self.spokesmen(site).any(|(spokesman, _)| spokesman == id)
    }

    /// Those who speak for a site, or did until now, by rank; this node is not among them.
    pub(super) fn spokesmen(&self, site: u64) -> impl Iterator<Item = (NodeId, &Node)> {
        let own = Some(self.places.rank).filter(|_| site == self.places.site);
        let mut before = 0;
        self.nodes.of_site(site).take_while(move |(_, node)| {
            let first = before + usize::from(own.is_some_and(|rank| rank < node.places().rank));
            before += usize::from(node.is_there());
            first < limits::GATEWAYS
        })
    }
}
