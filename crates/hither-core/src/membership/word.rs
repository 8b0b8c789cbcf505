//! Words: what nodes say of themselves and others of them, and how it is passed on.

use std::collections::BTreeSet;
use std::sync::Arc;

use hither_types::id::NodeId;
use hither_types::message::{PeerMessage, Presence, Rumour};
use hither_types::time::Timestamp;

use super::Membership;
use super::members::{Node, State, Version, mark};
use super::pending::Reach;
use crate::limits;

impl Membership {
    /// This node tells of itself, if there is anything new.
    pub(super) fn tell_own(&mut self, mut presence: Presence) {
        presence.incarnation = self.incarnation;
        if let Some(own) = &self.own {
            presence.sequence = own.sequence;
            // Watts that come and go are no news.
            let near = presence.power.0.abs_diff(own.power.0) <= own.power.0 / 10;
            let power = std::mem::replace(&mut presence.power, own.power);
            if near && presence == **own {
                return;
            }
            presence.power = power;
        }
        self.own = Some(Arc::new(presence));
        self.tell_anew(self.sequence);
    }

    pub(super) fn reborn(&mut self, incarnation: u64) {
        if incarnation > self.incarnation {
            self.incarnation = incarnation;
            if let Some(own) = &mut self.own {
                Arc::make_mut(own).incarnation = incarnation;
            }
            self.tell_anew(self.sequence);
        }
    }

    /// Says its own word with a greater number than any that was heard of it.
    fn tell_anew(&mut self, heard: u64) {
        let Some(own) = &mut self.own else { return };
        self.sequence = self.sequence.max(heard) + 1;
        Arc::make_mut(own).sequence = self.sequence;
        let own = Arc::clone(own);
        for peer in self.linked.clone() {
            self.say(peer, PeerMessage::Presence(own.as_ref().clone()));
        }
    }

    pub(super) fn rumour(&mut self, teller: NodeId, rumour: Rumour) {
        match rumour {
            Rumour::Said { node, presence } => self.said(teller, node, presence),
            Rumour::Gone { node, incarnation, sequence } if node == self.me => self.refute(incarnation, sequence),
            Rumour::Gone { node, incarnation, sequence } => {
                let version = (incarnation, sequence);
                if self.correct(teller, node, version) {
                    return;
                }
                // Who is there for this node, and gone for another, may say itself what is true.
                let there = |known: &&Node| known.is_there() && known.version() == version;
                match self.nodes.get(node).filter(there) {
                    Some(_) if teller != node => self.doubt_by(teller, node, version, teller),
                    _ => self.gone(teller, node, version),
                }
            }
            Rumour::Doubt { node, incarnation, sequence, .. } if node == self.me => {
                self.refute(incarnation, sequence);
            }
            Rumour::Doubt { node, incarnation, sequence, by } => {
                if !self.correct(teller, node, (incarnation, sequence)) {
                    self.doubt_by(teller, node, (incarnation, sequence), by);
                }
            }
        }
    }

    /// Others think that this node is not there.
    fn refute(&mut self, incarnation: u64, sequence: u64) {
        if incarnation == self.incarnation && sequence >= self.sequence {
            self.tell_anew(sequence);
        }
    }

    /// Whoever tells of an older word is told the newer one. `true` if it was.
    fn correct(&mut self, teller: NodeId, id: NodeId, version: Version) -> bool {
        let Some(node) = self.nodes.get(id).filter(|node| node.version() > version) else { return false };
        if let Some(presence) = node.said.clone().filter(|_| node.is_there())
            && self.is_for(id, teller)
        {
            self.say(teller, PeerMessage::Rumours(vec![Rumour::Said { node: id, presence }]));
        }
        true
    }

    /// What a member said of itself.
    pub(super) fn said(&mut self, teller: NodeId, id: NodeId, mut presence: Arc<Presence>) {
        let version = (presence.incarnation, presence.sequence);
        let Some(node) = self.nodes.get(id) else { return };
        if version <= node.version() && node.state() != State::Unheard {
            if version == node.version() && node.state() == State::Gone && teller != id {
                let (incarnation, sequence) = version;
                self.say(teller, PeerMessage::Rumours(vec![Rumour::Gone { node: id, incarnation, sequence }]));
            }
            return;
        }
        if presence.models.len() > limits::PRESENCE_MODELS_MAX {
            Arc::make_mut(&mut presence).models.truncate(limits::PRESENCE_MODELS_MAX);
        }
        let anew = presence.incarnation > node.version().0;
        let returned = anew || !node.is_there();
        let urgent = returned || !node.doubts.is_empty();
        let stages = |of: &Presence| of.models.iter().map(|m| (m.digest, m.stage)).collect::<Vec<_>>();
        let moved = node.said.as_ref().is_none_or(|said| stages(said) != stages(&presence));
        let Some(node) = self.nodes.turn(id, State::There, version) else { return };
        node.said = Some(presence);
        node.teller = teller;
        if anew {
            // That its last start could not be reached says nothing of this one.
            node.avoided = Timestamp(0);
        }
        if returned {
            node.doubted = None;
        }
        self.doubted.remove(&id);
        if urgent {
            self.pass_on_now(id);
        } else {
            self.pass_on(id);
        }
        if returned || (moved && self.gateway) {
            self.choose_soon();
        }
        self.show(id, true);
    }

    /// A member is gone.
    pub(super) fn gone(&mut self, teller: NodeId, id: NodeId, version: Version) {
        let now = self.now;
        let Some(node) = self.nodes.get(id) else { return };
        if version < node.version() || (node.state() == State::Gone && version == node.version()) {
            return;
        }
        let fell = node.is_there();
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.fell();
        }
        self.nodes.turn(id, State::Gone, version);
        self.doubted.remove(&id);
        self.pending.drop(id);
        if fell {
            self.fallen.retain(|at| now.since(*at) <= limits::FALLEN_IN);
            self.fallen.push(now);
        }
        let (incarnation, sequence) = version;
        self.spread(teller, id, Rumour::Gone { node: id, incarnation, sequence });
        self.choose_soon();
        self.show(id, false);
    }

    /// Passes a doubt or a death on to all neighbours, and to whom it is about if there is a way: with what else this sign
    /// brings, for a site that is lost is as many deaths as it had nodes.
    pub(super) fn spread(&mut self, teller: NodeId, about: NodeId, rumour: Rumour) {
        let to: BTreeSet<NodeId> = self.watches.keys().copied().chain(Some(about)).collect();
        for peer in to {
            if peer != teller && self.linked.contains(&peer) && self.concerns(about, peer) {
                self.spreading.entry(peer).or_default().push(rumour.clone());
            }
        }
    }

    pub(super) fn say_spreading(&mut self) {
        for (peer, rumours) in std::mem::take(&mut self.spreading) {
            self.say_rumours(peer, rumours);
        }
    }

    fn say_rumours(&mut self, peer: NodeId, mut rumours: Vec<Rumour>) {
        while !rumours.is_empty() {
            let rest = rumours.split_off(rumours.len().min(limits::RUMOURS_MAX));
            self.say(peer, PeerMessage::Rumours(std::mem::replace(&mut rumours, rest)));
        }
    }

    /// A word is passed on when it is due.
    fn pass_on(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(id) else { return };
        let of_site = node.places().site == self.places.site;
        for reach in Reach::BOTH {
            let near = of_site && reach == Reach::Near;
            let gap = if near { limits::RELAY_GAP } else { limits::RELAY_GAP_FAR };
            let at = node.relayed[reach as usize].map_or(self.now, |relayed| relayed.after(gap));
            self.pending.wait(id, reach, at.max(self.now));
        }
    }

    pub(super) fn pass_on_now(&mut self, id: NodeId) {
        self.pending.hurry(id, self.now);
    }

    /// Passes on the words that are due, to all neighbours but those who told them.
    pub(super) fn relay(&mut self) {
        for reach in Reach::BOTH {
            let now = self.now;
            let due = self.pending.due(reach, now);
            if due.is_empty() {
                continue;
            }
            for id in &due {
                if let Some(node) = self.nodes.get_mut(*id) {
                    node.relayed[reach as usize] = Some(now);
                }
            }
            let peers = self.watches.keys().copied().filter(|id| self.reach(*id) == Some(reach));
            for peer in peers.collect::<Vec<_>>() {
                let teller = |id: &&NodeId| self.nodes.get(**id).is_some_and(|node| node.teller != peer);
                let words: Vec<NodeId> = due.iter().filter(teller).copied().collect();
                self.tell(peer, words);
            }
        }
    }

    /// Whether a neighbour to whom there is a link is of this site.
    fn reach(&self, peer: NodeId) -> Option<Reach> {
        let node = self.nodes.get(peer).filter(|_| self.linked.contains(&peer))?;
        Some(if node.places().site == self.places.site { Reach::Near } else { Reach::Far })
    }

    /// A hash of what this node and a neighbour should know alike: their own last words, and, if both are of one site, who
    /// else is there and in which start. Words that change often are on their way for a while, and count for nothing here.
    pub(super) fn words_between(&self, peer: NodeId) -> u64 {
        let own = self.own.as_ref().map_or(0, |own| mark(self.me, [own.incarnation, own.sequence, 1]));
        let Some(other) = self.nodes.get(peer) else { return own };
        let theirs = if other.is_there() { mark(peer, [other.version().0, other.version().1, 1]) } else { 0 };
        let ends = own.wrapping_add(theirs);
        if other.places().site != self.places.site {
            return ends;
        }
        ends.wrapping_add(self.nodes.sum_but(peer))
    }

    /// Tells a neighbour everything that is for it.
    pub(super) fn tell_all(&mut self, peer: NodeId) {
        if let Some(own) = &self.own {
            let message = PeerMessage::Presence(own.as_ref().clone());
            self.say(peer, message);
        }
        let known: Vec<NodeId> = self.nodes.all().map(|(id, _)| id).collect();
        self.tell(peer, known);
        if let Some(node) = self.nodes.get(peer).filter(|node| node.state() == State::Gone) {
            let (incarnation, sequence) = node.version();
            self.say(peer, PeerMessage::Rumours(vec![Rumour::Gone { node: peer, incarnation, sequence }]));
        }
    }

    /// This node speaks for its site from now on: other sites hear all that they should.
    pub(super) fn tell_all_far(&mut self) {
        let far = |id: &NodeId| self.nodes.get(*id).is_some_and(|node| node.places().site != self.places.site);
        for peer in self.watches.keys().copied().filter(far).collect::<Vec<_>>() {
            self.tell_all(peer);
        }
    }

    fn tell(&mut self, peer: NodeId, words: Vec<NodeId>) {
        let mut rumours = Vec::new();
        for id in words {
            let Some(node) = self.nodes.get(id).filter(|_| id != peer && self.is_for(id, peer)) else { continue };
            let (incarnation, sequence) = node.version();
            match (node.state(), &node.said) {
                (State::There, Some(said)) => rumours.push(Rumour::Said { node: id, presence: Arc::clone(said) }),
                (State::Gone, _) => rumours.push(Rumour::Gone { node: id, incarnation, sequence }),
                (State::There | State::Unheard, _) => {}
            }
        }
        self.say_rumours(peer, rumours);
    }
}
