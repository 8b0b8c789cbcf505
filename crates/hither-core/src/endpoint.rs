//! Servers outside the mesh as places: asked last, when nobody nearer can answer in time, or first for work of which its
//! caller, or a rule of the operator, says that it belongs there.
//!
//! To the rest of the mind such a server is a peer: it tells of itself, says yes or no to offers, and is judged by the law
//! and watched as one. It has no model's file to give, is asked for no second copy, and takes no part in the search for
//! free slots.

use std::collections::BTreeMap;

use hither_types::id::{Digest, ModelName, NodeId, RequestId, SiteName};
use hither_types::member::Member;
use hither_types::place::PlaceKind;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::machine::Core;
use crate::peers::Peer;
use crate::router::{Lawful, Offer};

pub(crate) mod bars;
#[cfg(test)]
mod tests;

/// What is known of a server outside the mesh, beside what is known of any place.
#[derive(Debug)]
pub(crate) struct Outside {
    /// What it is to the law.
    pub(crate) kind: PlaceKind,
    /// The models that it trains, each with what stands for its training.
    pub(crate) trains: BTreeMap<ModelName, Digest>,
}

impl Core {
    /// There is a server outside the mesh that may be asked. Of one that is told anew what was known is over.
    pub(crate) fn endpoint_added(&mut self, place: Member, kind: PlaceKind, trains: BTreeMap<ModelName, Digest>) {
        self.forget_bars(&place);
        self.endpoints.insert(place.node, Outside { kind, trains });
        self.member_added(place);
    }

    /// Whether a place is a server outside the mesh.
    pub(crate) fn is_endpoint(&self, node: NodeId) -> bool {
        self.endpoints.contains_key(&node)
    }

    /// What a place is to the law.
    pub(crate) fn kind_of(&self, node: NodeId) -> PlaceKind {
        if node == self.me.node {
            return PlaceKind::Home;
        }
        self.endpoints.get(&node).map_or(PlaceKind::Peer, |outside| outside.kind)
    }

    /// Nobody in the mesh can take a request in time: a smaller model there, if that may answer, else a server outside.
    /// `false` if there is none. The model is opened here meanwhile if its file is, for those that come next.
    pub(crate) fn ask_outside(&mut self, id: RequestId, digest: Digest, home: bool) -> bool {
        if self.endpoints.is_empty() {
            return false;
        }
        let Some((wanted, offer)) = self.outside(id, digest, None) else { return false };
        if home {
            self.thirst(digest);
        }
        if self.step_down(id, digest) {
            self.place(id);
            return true;
        }
        if let Some(request) = self.requests.get_mut(&id)
            && request.digest.replace(wanted) != Some(wanted)
        {
            // No smaller model had room: the one that was asked for answers after all.
            request.instead = None;
        }
        self.offer(id, offer);
        true
    }

    /// The request belongs to a server outside the mesh, and goes there. `false` if it does not, or if the law, a budget or
    /// the server itself is in the way: then it is placed like any other.
    pub(crate) fn ask_wished(&mut self, id: RequestId, digest: Digest) -> bool {
        let Some(request) = self.requests.get(&id) else { return false };
        // Half an answer of a smaller model is not gone on with by a larger one.
        let begun = request.instead.is_some() && request.attempts > 0;
        let Some(site) = request.envelope.prefer.clone().filter(|_| !begun) else { return false };
        let is_it = |node: &NodeId| self.peers.get(*node).is_some_and(|peer| peer.member.site == site);
        if !self.endpoints.keys().any(is_it) {
            return false;
        }
        let Some((wanted, offer)) = self.outside(id, digest, Some(&site)) else { return false };
        if let Some(request) = self.requests.get_mut(&id)
            && request.digest.replace(wanted) != Some(wanted)
        {
            request.instead = None;
        }
        self.offer(id, offer);
        true
    }

    /// The server for a request, any or the one with this name, and the model that it has: the one that was asked for,
    /// whatever stood in for it.
    fn outside(&mut self, id: RequestId, digest: Digest, wished: Option<&SiteName>) -> Option<(Digest, Offer)> {
        let request = self.requests.get(&id)?;
        let envelope = request.envelope.clone();
        let wanted = match &request.instead {
            Some(_) => self.catalog.resolve(&envelope.model).filter(|digest| !self.catalog.has_expired(*digest))?,
            None => digest,
        };
        let circle = self.circle(&envelope, wanted);
        let request = self.requests.get(&id)?;
        let (mut offers, mut steps) = (Vec::new(), Vec::new());
        for lawful in Lawful::of_endpoints(&circle) {
            let Some(peer) = self.peers.get(lawful.node()) else { continue };
            if wished.is_some_and(|site| *site != peer.member.site) {
                continue;
            }
            match self.unfit(request, peer, wanted) {
                Some(why) => steps.push(Step::PassedOver { site: peer.member.site.clone(), why }),
                None => offers.push(self.shared(self.offer_of(request, peer, wanted, lawful), peer, wanted)),
            }
        }
        let chosen = self.clearly_better(offers);
        steps.into_iter().for_each(|step| self.trace.step(id, step, self.now));
        chosen.map(|offer| (wanted, offer))
    }

    /// One drawn by chance, unless a second one is clearly better: equal servers share the work.
    pub(crate) fn clearly_better(&mut self, offers: Vec<Offer>) -> Option<Offer> {
        if offers.len() < 2 {
            return offers.into_iter().next();
        }
        let (first, second) = self.random.pair(offers.len());
        let clearly = offers[second].cost().0.saturating_mul(5) < offers[first].cost().0.saturating_mul(4);
        offers.into_iter().nth(if clearly { second } else { first })
    }

    /// An offer that counts what runs there already, whoever said so; whether there is room it says itself. Of a server
    /// that was not tried yet the best is hoped: else it would never be.
    pub(crate) fn shared(&self, offer: Offer, peer: &Peer, digest: Digest) -> Offer {
        let service = peer.service(digest).unwrap_or(Micros(0));
        let (busy, slots) = match self.pool.of(digest, offer.lawful.node(), self.now) {
            Some(word) => (u64::from(word.load.busy), word.load.slots),
            None => peer
                .model(digest)
                .map_or((0, 1), |model| (u64::from(model.busy) + peer.sent(digest, self.now), model.slots)),
        };
        let slots = u64::from(slots.max(1));
        let crowd = Micros(service.0.saturating_mul(busy.min(slots)) / slots);
        Offer { service, crowd, wait: Micros(0), age: None, ..offer }
    }
}
