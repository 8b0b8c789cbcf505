//! What an engine read of a request, and whether it may stay in its memory for the next one that begins alike.
//!
//! What must stay true: both ends ask their own law about `cache`, for each attempt anew and with the model that runs; where
//! one of them says no, nothing of it stays when the request has ended. What a server outside the mesh keeps is not known
//! here, so that nothing of this is asked about it.

use hither_types::id::{Digest, NodeId, RequestId, RuleId};
use hither_types::place::PlaceKind;
use hither_types::request::{Envelope, Prefix, RequestKind};

use crate::machine::Core;
use crate::policy::Target;
use crate::router::Gate;

#[cfg(test)]
mod tests;

impl Core {
    /// The permit by which it may stay at another member, of a request that entered here.
    pub(crate) fn may_cache_at(&self, node: NodeId, envelope: &Envelope, digest: Digest) -> Option<RuleId> {
        let there = &self.peers.get(node).filter(|_| self.kind_of(node) == PlaceKind::Peer)?.member;
        let gate = Gate { law: &self.law, origin: &self.me };
        gate.caches(envelope, &self.model_name(digest, envelope), &Target::of(there, PlaceKind::Peer))
    }

    /// The permit by which it may stay here, of a request that entered at another member.
    pub(crate) fn may_cache_of(&self, origin: NodeId, envelope: &Envelope, digest: Digest) -> Option<RuleId> {
        let gate = Gate { law: &self.law, origin: &self.peers.get(origin)?.member };
        gate.caches(envelope, &self.model_name(digest, envelope), &Target::of(&self.me, PlaceKind::Peer))
    }

    /// Whether it may stay here, of a request that entered here.
    pub(crate) fn prefix_at_home(&self, id: RequestId, digest: Digest) -> Prefix {
        let Some(request) = self.requests.get(&id) else { return Prefix::Goes };
        let gate = Gate { law: &self.law, origin: &self.me };
        let (envelope, here) = (&request.envelope, Target::of(&self.me, PlaceKind::Home));
        Prefix::from(gate.caches(envelope, &self.model_name(digest, envelope), &here).as_ref())
    }

    /// Whether the place that answered a request that entered here may still have what it read of it.
    pub(crate) fn may_know_it(&self, id: RequestId, by: NodeId, digest: Digest) -> bool {
        match self.requests.get(&id) {
            Some(_) if by == self.me.node => self.prefix_at_home(id, digest) == Prefix::Stays,
            // What a server outside the mesh keeps is its own affair, and it may well keep it.
            Some(_) if self.is_endpoint(by) => true,
            Some(request) => self.may_cache_at(by, &request.envelope, digest).is_some(),
            None => false,
        }
    }

    /// What the explanation of a request says of it when an attempt is on the record.
    pub(crate) fn told_prefix(&self, envelope: &Envelope, node: NodeId, prefix: Prefix) -> Option<Prefix> {
        let read = envelope.kind == RequestKind::Generate && self.kind_of(node) == PlaceKind::Peer;
        read.then_some(prefix)
    }
}
