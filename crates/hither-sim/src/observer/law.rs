//! What the law says, asked independently of the node that acts.

use std::sync::Arc;

use hither_core::policy::judge;
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
}
