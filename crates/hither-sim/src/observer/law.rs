//! What the law says, asked independently of the node that acts.

use std::sync::Arc;

use hither_core::policy::judge;
use hither_types::id::{AppName, ModelName};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Question, Verdict};
use hither_types::place::PlaceKind;
use hither_types::request::Envelope;

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

    /// Whether a policy lets a request of one node be processed at another.
    pub(super) fn verdict(&self, policy: &Arc<Policy>, envelope: &Envelope, origin: usize, target: usize) -> Verdict {
        let from = &self.members[origin];
        let place = self.members[target].place();
        let question = Question {
            action: LawAction::Infer,
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
