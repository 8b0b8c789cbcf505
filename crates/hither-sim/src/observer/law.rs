//! What the law says, asked independently of the node that acts.

use std::sync::Arc;

use hither_core::policy::judge;
use hither_types::id::{AppName, Digest, ModelName, NodeId, Task};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Question, Verdict};
use hither_types::place::PlaceKind;
use hither_types::request::{Envelope, Prefix, RequestKind};

use super::Observer;

impl Observer {
    /// A new law is in force at a node: nothing that it does not allow goes on, here or for this node elsewhere.
    pub(crate) fn law_holds(&mut self, at: u64, node: usize) {
        let policy = Arc::clone(&self.nodes[node].policy);
        let mut broken = Vec::new();
        for task in self.nodes[node].running.keys() {
            let envelope = self.requests.get(&task.request).map(|watch| &watch.envelope);
            let (Some(envelope), Some(&origin)) = (envelope, self.index.get(&task.origin)) else { continue };
            if let Verdict::Denied(denial) = self.verdict(&policy, envelope, origin, node) {
                broken.push(format!("{task:?} runs on against a new law: {denial:?}"));
            }
        }
        for (request, watch) in self.requests.iter().filter(|(_, watch)| watch.origin == node) {
            let elsewhere = watch.attempts.iter().filter(|(attempt, to)| *to != node && watch.flying.contains(attempt));
            for (attempt, to) in elsewhere {
                if let Verdict::Denied(denial) = self.verdict(&policy, &watch.envelope, node, *to) {
                    broken.push(format!("attempt {} of {request} goes on against a new law: {denial:?}", attempt.0));
                }
            }
        }
        broken.into_iter().for_each(|what| self.breach("I3", at, node, what));
    }

    /// A node runs something, and what the engine reads of it stays afterwards, or goes.
    pub(super) fn keeps(&mut self, at: u64, node: usize, (task, digest): (Task, Digest), prefix: Prefix) {
        let Some(&origin) = self.index.get(&task.origin) else { return };
        let (may, stays) = (self.may_stay(node, (task, digest), origin, node), prefix == Prefix::Stays);
        // Of another's request nothing stays either that its record does not say, which may be older than this law.
        if stays && !may || origin == node && may && !stays {
            self.breach("I3", at, node, format!("{task:?}: what is read of it {prefix:?}, and the law says otherwise"));
        }
    }

    /// A node sends something away, and lets what is read of it stay there, or not.
    pub(super) fn lets_keep(
        &mut self,
        at: u64,
        node: usize,
        (task, peer, digest): (Task, NodeId, Digest),
        prefix: Prefix,
    ) {
        let Some(&target) = self.index.get(&peer) else { return };
        if prefix == Prefix::Stays && !self.may_stay(node, (task, digest), node, target) {
            self.breach("I3", at, node, format!("what is read of {task:?} may stay at {peer:?}, against the law"));
        }
    }

    /// Whether the policy of a node lets what is read of a request of one node stay in memory at another.
    fn may_stay(&self, node: usize, (task, digest): (Task, Digest), origin: usize, target: usize) -> bool {
        let Some(watch) = self.requests.get(&task.request) else { return false };
        let mut envelope = watch.envelope.clone();
        if let Some(manifest) = self.models.get(&digest) {
            envelope.model = manifest.name.clone();
        }
        let policy = &self.nodes[node].policy;
        envelope.kind == RequestKind::Generate
            && matches!(self.judged(LawAction::Cache, policy, &envelope, (origin, target)), Verdict::Permitted(_))
    }

    /// Whether a policy lets a request of one node be processed at another.
    pub(super) fn verdict(&self, policy: &Arc<Policy>, envelope: &Envelope, origin: usize, target: usize) -> Verdict {
        self.judged(LawAction::Infer, policy, envelope, (origin, target))
    }

    fn judged(
        &self,
        action: LawAction,
        policy: &Arc<Policy>,
        envelope: &Envelope,
        (origin, target): (usize, usize),
    ) -> Verdict {
        let from = &self.members[origin];
        let place = self.members[target].place();
        let question = Question {
            action,
            app: &envelope.app,
            model: &envelope.model,
            label: &envelope.label,
            origin: from.jurisdiction,
            origin_operator: &from.operator,
            target: &place,
            kind: if origin == target { PlaceKind::Home } else { PlaceKind::Peer },
        };
        judge(policy, &question)
    }

    /// Whether a node's policy lets it copy a model's weights from another node. Weights are public data.
    pub(super) fn may_copy(&self, model: &ModelName, from: usize, to: usize) -> bool {
        let (giver, taker) = (&self.members[from], &self.members[to]);
        let app = AppName::parse("hither").expect("six letters are a name");
        let subjects = vec![taker.jurisdiction];
        let label = Label { class: DataClass::Public, tags: Vec::new(), subjects, purpose: None };
        let place = taker.place();
        let question = Question {
            action: LawAction::Replicate,
            app: &app,
            model,
            label: &label,
            origin: giver.jurisdiction,
            origin_operator: &giver.operator,
            target: &place,
            kind: PlaceKind::Peer,
        };
        matches!(judge(&self.nodes[to].policy, &question), Verdict::Permitted(_))
    }
}
