//! How far the members are. It is measured, never predicted: the members of a site are taken to be as far as one of them
//! was found to be, so that a mesh is known after one measurement a site.
//!
//! Coordinates (Vivaldi, Dabek et al., SIGCOMM 2004) would save these measurements. They need about a hundred each, of
//! many different members, before the nearest that they predict is near; a node here has links to a handful.

use hither_types::id::{NodeId, SiteName};
use hither_types::unit::Micros;

use super::{Peer, Peers};
use crate::limits;

#[cfg(test)]
mod tests;

impl Peer {
    /// The smoothed round trip.
    pub(crate) fn rtt(&self) -> Option<Micros> {
        self.rtt
    }

    /// How far it is, as far as anybody knows.
    pub(crate) fn far(&self) -> Micros {
        self.rtt.unwrap_or(self.guess)
    }
}

impl Peers {
    /// A member is there as long as nothing else is said, or is not.
    pub(crate) fn stands(&mut self, node: NodeId, there: bool) {
        let Some(peer) = self.get(node) else { return };
        let guess = self.site(&peer.member.site).unwrap_or(limits::FAR_GUESS);
        if let Some(peer) = self.get_mut(node) {
            peer.stands = Some(there);
            peer.guess = guess;
        }
    }

    /// A site of which nobody is left has no distance.
    pub(super) fn forget_site(&mut self, site: &SiteName) {
        if self.iter().all(|peer| peer.member.site != *site) {
            self.sites.remove(site);
        }
    }

    /// How far a site was found to be.
    fn site(&self, site: &SiteName) -> Option<Micros> {
        self.sites.get(site).copied()
    }

    /// An answer came after so long: a moving mean over about eight of them. The first waited until there was a link.
    pub(super) fn timed(&mut self, node: NodeId, rtt: Micros) {
        let mean = match self.get(node).and_then(Peer::rtt) {
            Some(mean) => Micros((mean.0.saturating_mul(7).saturating_add(rtt.0)) / 8),
            None => rtt,
        };
        self.measured(node, mean);
    }

    /// The transport knows a round trip: it is a mean already.
    pub(crate) fn measured(&mut self, node: NodeId, mean: Micros) {
        let Some(peer) = self.get_mut(node) else { return };
        peer.rtt = Some(mean);
        let site = peer.member.site.clone();
        let known = self.site(&site);
        // What changes by less changes no order worth a walk over all members.
        if known.is_some_and(|known| known.0.abs_diff(mean.0) <= known.0 / 4) {
            return;
        }
        self.sites.insert(site.clone(), mean);
        for (_, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.stands.is_some() && peer.member.site == site) {
            peer.guess = mean;
        }
    }
}
