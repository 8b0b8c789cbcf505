//! Telling others of this node, hearing of them, and who they are.

use std::sync::Arc;

use hither_types::id::{Digest, NodeId, RequestId, Task};
use hither_types::incarnation::started_anew;
use hither_types::member::{Member, Role};
use hither_types::message::{ModelPresence, ModelStage, Presence};
use hither_types::refusal::Refusal;
use hither_types::time::Timestamp;
use hither_types::unit::Milliwatts;

use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// What was told last, and when.
#[derive(Debug, Default)]
pub(crate) struct Herald {
    /// Something happened that others should hear of soon.
    pub(crate) due: bool,
    sequence: u64,
    last: Option<Timestamp>,
    told: Told,
    /// Versions of what is told, when it was last compared.
    seen: (u64, u64),
}

/// What is worth telling at once if it changes: models, whether they have a free slot, and the cap.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    models: Vec<(Digest, ModelStage, bool)>,
    cap: Milliwatts,
}

impl Core {
    /// A member told of itself. If a model that requests wait for is ready there, they look again.
    pub(crate) fn heard(&mut self, from: NodeId, presence: Arc<Presence>) {
        let opens = self.peers.opens(from, &presence);
        let before = self.peers.get(from).and_then(|peer| peer.presence()).map(|known| known.incarnation);
        let incarnation = presence.incarnation;
        let restarted = before.is_some_and(|before| started_anew(before, incarnation));
        if !self.peers.hear(from, presence, self.now) {
            return;
        }
        if restarted || before.is_none() {
            self.assure(from);
        }
        if restarted {
            self.leave_restarted(from);
        }
        for digest in opens {
            self.peers.undecline(from, digest);
            self.pool.outdated(digest, from);
        }
        let Some(peer) = self.peers.get(from) else { return };
        if self.scheduler.waiting_in_all() == 0 {
            return;
        }
        let mut hopeful: Vec<Digest> = self.scheduler.waiting().map(|waiting| waiting.digest).collect();
        hopeful.sort_unstable();
        hopeful.dedup();
        hopeful.retain(|digest| {
            let free = peer.model(*digest).is_some_and(|m| m.stage == ModelStage::Ready && m.busy < m.slots);
            free && self.scheduler.slots(*digest) == 0
        });
        for digest in hopeful {
            self.reconsider(digest);
        }
    }

    /// Somebody belongs, or its certificate changed.
    pub(crate) fn member_added(&mut self, member: Member) {
        let node = member.node;
        let member = self.assured(member);
        let before = if node == self.me.node { Some(&self.me) } else { self.peers.get(node).map(|peer| &peer.member) };
        let is_other = |before: &Member| (before.place(), before.roles) != (member.place(), member.roles);
        let (known, changed) = (before.is_some(), before.is_some_and(is_other));
        let may_publish = member.roles.has(Role::Publish);
        if node == self.me.node {
            self.me = member;
            self.circles.clear();
        } else if !self.peers.add(member) {
            let most = limits::MEMBERS_MAX;
            return self.complain(format!("no room for member {}: {most} members are known", node.short()));
        } else if !known {
            self.herald.due = true;
        }
        self.catalog.set_publisher(node, may_publish);
        self.count_mates();
        // What the law was asked about is not so any more.
        if changed {
            self.judge_all_anew();
        }
        self.assure_measured_by(node);
    }

    /// Somebody does not belong any more.
    pub(crate) fn member_removed(&mut self, node: NodeId) {
        if !self.peers.remove(node) {
            return;
        }
        self.catalog.set_publisher(node, false);
        self.count_mates();
        self.forget_distances(node);
        let requests: Vec<RequestId> = self.requests.keys().copied().collect();
        for request in requests {
            self.leave_removed(request, node);
        }
        let tasks: Vec<Task> = self.hosted.keys().copied().filter(|task| task.origin == node).collect();
        for task in tasks {
            self.decline_running(task, Refusal::NotAMember);
        }
        if self.peers.is_empty() {
            self.timers.clear(Timer::Announce);
        }
    }

    /// Tells the others if something changed that matters to them, at most every 20 ms.
    pub(crate) fn tell_if_changed(&mut self) {
        if self.peers.is_empty() {
            return;
        }
        let seen = (self.scheduler.version(), self.catalog.version());
        if self.herald.seen != seen {
            self.herald.seen = seen;
            self.herald.due |= self.herald.told != self.telling();
        }
        if !self.herald.due {
            return;
        }
        let soonest = self.herald.last.map_or(self.now, |last| last.after(limits::ANNOUNCE_GAP));
        if soonest <= self.now {
            self.announce();
        } else {
            self.timers.set(Timer::Announce, soonest);
        }
    }

    /// Tells the others of this node, and sets the clock for the next time.
    pub(crate) fn announce(&mut self) {
        if self.peers.is_empty() {
            return;
        }
        self.herald.due = false;
        self.herald.sequence += u64::from(!mutant!(SequenceStands));
        self.herald.last = Some(self.now);
        self.herald.told = self.telling();
        self.timers.set(Timer::Announce, self.now.after(self.announce_every));
        let presence = Presence {
            incarnation: if mutant!(IncarnationForgotten) { 1 } else { self.incarnation },
            sequence: self.herald.sequence,
            models: self.model_presences(),
            power: self.scheduler.power().now(),
            cap: self.scheduler.power().cap(),
            policy: self.law.policy().digest,
            placing: self.stock.as_ref().and_then(|stock| stock.told.clone()),
        };
        self.act(Action::Announce(presence));
    }

    fn telling(&self) -> Told {
        let models = self.model_presences();
        // A large mesh has probes for slots that come and go.
        let few = self.peers.len() < limits::TELL_SLOTS_BELOW;
        Told {
            models: models
                .iter()
                .map(|m| (m.digest, m.stage, if few { m.busy < m.slots } else { m.slots > 0 }))
                .collect(),
            cap: self.scheduler.power().cap(),
        }
    }

    /// The models of this node as others are told, the most useful first.
    pub(crate) fn model_presences(&self) -> Vec<ModelPresence> {
        let locals = self.catalog.locals().filter_map(|(digest, local)| Some((digest, local.stage.announced()?)));
        let mut models: Vec<ModelPresence> = locals
            .map(|(digest, stage)| ModelPresence {
                digest,
                stage,
                device: self.scheduler.device(digest).unwrap_or_default(),
                // A node that stops wants no more work.
                slots: if self.draining { 0 } else { self.scheduler.slots(digest) },
                busy: self.scheduler.busy(digest) + self.scheduler.kept(digest),
                queued: self.scheduler.queued(digest).saturating_add(self.coming_for_peers(digest)),
                service: self.scheduler.service(digest),
            })
            .collect();
        models.sort_by_key(|model| (std::cmp::Reverse(model.stage), model.digest));
        models.truncate(limits::PRESENCE_MODELS_MAX);
        models
    }
}
