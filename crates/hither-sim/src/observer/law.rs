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
