//! What is known of the other members: what they last said, how far they are, and how they did.
//!
//! A member is never forgotten because it is silent: who belongs is the certificates' matter, who is present is ours.

use std::collections::BTreeMap;

use hither_types::id::{Digest, NodeId};
use hither_types::member::Member;
use hither_types::message::{ModelPresence, ModelStage, Presence};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;

/// One other member.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) member: Member,
    presence: Option<Presence>,
    heard: Option<Timestamp>,
    rtt: Option<Micros>,
    strikes: u32,
    cool_until: Timestamp,
    forgiven_from: Option<u64>,
    declined: BTreeMap<Digest, Timestamp>,
    sent: BTreeMap<Digest, u64>,
}

impl Peer {
    fn new(member: Member) -> Self {
        Self {
            member,
            presence: None,
            heard: None,
            rtt: None,
            strikes: 0,
            cool_until: Timestamp(0),
            forgiven_from: None,
            declined: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// What it said of a model.
    pub(crate) fn model(&self, digest: Digest) -> Option<&ModelPresence> {
        self.presence.as_ref()?.models.iter().find(|model| model.digest == digest)
    }

    /// How far a model is there, if its file is there.
    pub(crate) fn holding(&self, digest: Digest) -> Option<&ModelPresence> {
        self.model(digest).filter(|model| match model.stage {
            ModelStage::Stored | ModelStage::Ready => true,
            ModelStage::Fetching => false,
        })
    }

    /// What it last said.
    pub(crate) fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    /// When it was last heard.
    pub(crate) fn heard(&self) -> Option<Timestamp> {
        self.heard
    }

    /// Whether it was heard lately.
    pub(crate) fn is_present(&self, now: Timestamp) -> bool {
        self.heard.is_some_and(|heard| now.since(heard) <= limits::PRESENT_FOR)
    }

    /// The smoothed round trip.
    pub(crate) fn rtt(&self) -> Option<Micros> {
        self.rtt
    }

    /// Whether it is left alone after it fell silent.
    pub(crate) fn is_cooling(&self, now: Timestamp) -> bool {
        now < self.cool_until
    }

    /// Until when it is not asked for a model, after it declined it.
    pub(crate) fn declined_until(&self, digest: Digest, now: Timestamp) -> Option<Timestamp> {
        self.declined.get(&digest).copied().filter(|until| now < *until)
    }

    /// Requests sent there for a model since it last spoke: it has not counted them yet.
    pub(crate) fn sent(&self, digest: Digest) -> u64 {
        self.sent.get(&digest).copied().unwrap_or(0)
    }
}

/// All other members.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<NodeId, Peer>,
}

impl Peers {
    /// Somebody belongs, or its certificate changed; `false` if there is no room for it.
    pub(crate) fn add(&mut self, member: Member) -> bool {
        if let Some(peer) = self.peers.get_mut(&member.node) {
            peer.member = member;
            return true;
        }
        if self.peers.len() >= limits::MEMBERS_MAX {
            return false;
        }
        self.peers.insert(member.node, Peer::new(member));
        true
    }

    /// Somebody does not belong any more.
    pub(crate) fn remove(&mut self, node: NodeId) -> bool {
        self.peers.remove(&node).is_some()
    }

    /// One member.
    pub(crate) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    /// All of them, by key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values()
    }

    /// Whether there is anybody.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Takes in what a member said of itself; `false` if it does not belong or said something newer before.
    pub(crate) fn hear(&mut self, from: NodeId, mut presence: Presence, now: Timestamp) -> bool {
        let Some(peer) = self.peers.get_mut(&from) else { return false };
        let version = (presence.incarnation, presence.sequence);
        let restarted = match &peer.presence {
            Some(known) if version <= (known.incarnation, known.sequence) => return false,
            Some(known) => presence.incarnation > known.incarnation,
            None => false,
        };
        presence.models.truncate(limits::PRESENCE_MODELS_MAX);
        if restarted {
            peer.forgiven_from = None;
            peer.strikes = 0;
            peer.cool_until = Timestamp(0);
        } else if peer.forgiven_from.is_some_and(|from| presence.sequence >= from) {
            peer.forgiven_from = None;
            peer.cool_until = Timestamp(0);
        }
        peer.sent.clear();
        peer.presence = Some(presence);
        peer.heard = Some(now);
        true
    }

    /// A round trip was measured: a moving mean over about eight of them.
    pub(crate) fn measured(&mut self, node: NodeId, rtt: Micros) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.rtt = Some(match peer.rtt {
                Some(mean) => Micros((mean.0.saturating_mul(7).saturating_add(rtt.0)) / 8),
                None => rtt,
            });
        }
    }

    /// A request was sent to a member.
    pub(crate) fn sent(&mut self, node: NodeId, digest: Digest) {
        if let Some(peer) = self.peers.get_mut(&node) {
            *peer.sent.entry(digest).or_default() += 1;
        }
    }

    /// A member answered: whatever it did before is forgiven.
    pub(crate) fn answered(&mut self, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.strikes = 0;
            peer.cool_until = Timestamp(0);
            peer.forgiven_from = None;
        }
    }

    /// A member fell silent under a request. It is left alone, longer each time. The first time, hearing it again
    /// afterwards is enough; a member that speaks and yet keeps failing is given time only.
    pub(crate) fn struck(&mut self, node: NodeId, now: Timestamp) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        // Requests that fail together are one failure.
        if peer.is_cooling(now) {
            return;
        }
        let span = limits::COOL_MIN.0.saturating_mul(1 << peer.strikes.min(8)).min(limits::COOL_MAX.0);
        peer.strikes = peer.strikes.saturating_add(1);
        peer.cool_until = now.after(Micros(span));
        let known = peer.presence.as_ref().map_or(0, |presence| presence.sequence);
        peer.forgiven_from = (peer.strikes == 1).then_some(known.saturating_add(limits::FORGIVING_PRESENCES));
    }

    /// A member is alive, but its engine hangs: only time or an answer forgives that.
    pub(crate) fn stuck(&mut self, node: NodeId, now: Timestamp) {
        self.struck(node, now);
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.forgiven_from = None;
        }
    }

    /// A member declined a model for want of room.
    pub(crate) fn declined(&mut self, node: NodeId, digest: Digest, now: Timestamp) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.declined.retain(|_, until| now < *until);
            peer.declined.insert(digest, now.after(limits::DECLINED_FOR));
        }
    }
}
