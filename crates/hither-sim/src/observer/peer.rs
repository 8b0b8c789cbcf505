//! What a node is asked by a peer, what its disk holds of that, and what leaves it in answer.

use hither_types::fact::Fact;
use hither_types::id::Task;
use hither_types::request::Envelope;

use super::{Asked, Observer};

impl Observer {
    /// A request of a peer reached a node.
    pub(crate) fn asked(&mut self, at: u64, node: usize, task: Task, envelope: &Envelope, start_by: u64) {
        match self.requests.get(&task.request) {
            None => self.breach("I10", at, node, format!("{} was asked for, and no client ever did", task.request)),
            Some(watch) if watch.envelope != *envelope => {
                self.breach("I10", at, node, format!("the envelope of {} changed on its way", task.request));
            }
            Some(_) => {}
        }
        let sent = self
            .requests
            .get(&task.request)
            .is_some_and(|watch| watch.origin != node && watch.attempts.contains(&(task.attempt, node)));
        if !sent {
            self.breach("I3", at, node, format!("{task:?} arrived where nobody forwarded it"));
        }
        self.nodes[node].asked.insert(task, Asked { at, start_by });
    }

    /// A fact is on a node's disk.
    pub(crate) fn durable(&mut self, node: usize, fact: &Fact) {
        let watched = &mut self.nodes[node];
        match fact {
            Fact::EgressIntent { subject, to, .. } => {
                watched.egress((subject.request, subject.attempt, to.node), 1);
                self.counts.add("intents", 1);
            }
            Fact::EgressSettled { subject, to, .. } => {
                watched.egress((subject.request, subject.attempt, to.node), -1);
            }
            Fact::IngressAccepted { subject, from, .. } => {
                let task = Task { origin: from.node, request: subject.request, attempt: subject.attempt };
                if self.requests.contains_key(&subject.request) {
                    watched.ingress.insert(task);
                }
            }
            Fact::Started { .. }
            | Fact::PolicyChanged { .. }
            | Fact::BlocsChanged { .. }
            | Fact::Joined(_)
            | Fact::Revoked(_)
            | Fact::Left(_)
            | Fact::Moved { .. }
            | Fact::ClockJumped { .. }
            | Fact::LossAccepted { .. }
            | Fact::KernelCounted(_)
            | Fact::KernelUnread(_)
            | Fact::FirstTransfer { .. }
            | Fact::EgressFiltered { .. }
            | Fact::ModelAdmitted { .. }
            | Fact::Published { .. }
            | Fact::RolledOut(_)
            | Fact::Judged(_)
            | Fact::Denied { .. }
            | Fact::CanaryPermitted { .. }
            | Fact::AnswerSent { .. }
            | Fact::IngressRefused { .. }
            | Fact::Ended { .. }
            | Fact::Exported(_)
            | Fact::ReferencesDestroyed { .. } => {}
        }
    }

    /// A part of an answer, or its end, leaves a node for the origin.
    pub(crate) fn answer_leaves(&mut self, at: u64, node: usize, task: Task) {
        if !self.nodes[node].ingress.contains(&task) {
            let what = format!("an answer of {} leaves, and its ingress is not on disk", task.request);
            self.breach("P2", at, node, what);
        }
    }
}
