//! Examples to train a model with: handed over to a server outside the mesh that trains it, or nowhere.
//!
//! What must stay true: the law permits that they are worked on there and that they rest there; no member is ever asked; what
//! may lie at one server already is not handed to a second one.

use hither_types::fact::Fact;
use hither_types::id::{Attempt, Digest, NodeId, RequestId};
use hither_types::law::LawAction;
use hither_types::refusal::{DeniedPlace, Failure, Refusal};
use hither_types::request::Envelope;
use hither_types::view::Step;

use crate::circle::Circle;
use crate::limits;
use crate::machine::Core;
use crate::request::{Request, in_our_words};
use crate::router::Offer;

#[cfg(test)]
mod tests;

impl Core {
    /// Finds the server for examples, or ends their request. Which one may be named: then it is that one or none.
    pub(crate) fn place_training(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        if request.attempts > 0 && !nothing_left(request) {
            return self.end_training(id, Refusal::NoCapacity { tried: 0 });
        }
        let envelope = request.envelope.clone();
        let trainers = self.trainers(&envelope);
        let Some((_, digest)) = trainers.first().copied() else {
            let Envelope { model, prefer, .. } = envelope;
            return self.refuse(id, Refusal::NotTrained { model, site: prefer });
        };
        if let Some(request) = self.requests.get_mut(&id) {
            request.digest = Some(digest);
        }
        let (circle, offers) = self.survey_trainers(id, &envelope, &trainers);
        circle.steps.iter().for_each(|step| self.trace.step(id, step.clone(), self.now));
        match self.clearly_better(offers) {
            Some(offer) => self.offer(id, offer),
            None if circle.lawful == 0 => self.refuse_training(id, &envelope, circle),
            None if self.refuse_for_budget(id, &circle) => {}
            None => {
                let barred = self.requests.get(&id).and_then(|request| self.bar_of(request, digest, &circle));
                self.end_training(id, barred.unwrap_or(Refusal::NoCapacity { tried: circle.lawful }));
            }
        }
    }

    /// The servers that train a model and may be asked by an app, each with what stands for the training there.
    fn trainers(&self, envelope: &Envelope) -> Vec<(NodeId, Digest)> {
        let trains = self.endpoints.iter().filter_map(|(node, outside)| {
            let digest = outside.trains.get(&envelope.model)?;
            let place = &self.peers.get(*node)?.member;
            let named = envelope.prefer.as_ref().is_none_or(|site| *site == place.site);
            (named && self.is_for(&envelope.app, place)).then_some((*node, *digest))
        });
        trains.collect()
    }

    /// What the law says of each of them, and which can be asked now.
    fn survey_trainers(
        &self,
        id: RequestId,
        envelope: &Envelope,
        trainers: &[(NodeId, Digest)],
    ) -> (Circle, Vec<Offer>) {
        let (mut circle, mut offers) = (Circle::default(), Vec::new());
        let Some(request) = self.requests.get(&id) else { return (circle, offers) };
        for (node, digest) in trainers {
            let Some(peer) = self.peers.get(*node) else { continue };
            let (site, gate) = (peer.member.site.clone(), self.gate_of(envelope, *digest));
            circle.considered = circle.considered.saturating_add(1);
            let lawful = match gate.at(&peer.member, self.kind_of(*node)) {
                Ok(lawful) => lawful,
                Err(no) => {
                    circle.forbid = circle.forbid.take().or_else(|| no.forbid().cloned());
                    let (action, denial) = (no.action(), no.in_words());
                    let (node, jurisdiction) = (*node, peer.member.jurisdiction);
                    circle.denied.push(DeniedPlace { node, jurisdiction, action, denial: denial.clone() });
                    circle.steps.push(Step::Denied { site, node, action, denial, what_ifs: Vec::new() });
                    continue;
                }
            };
            circle.lawful = circle.lawful.saturating_add(1);
            circle.endpoints.push((*node, lawful.rule().clone()));
            let rules = [(LawAction::Infer, Some(lawful.rule())), (LawAction::Enqueue, lawful.rests())];
            for (action, rule) in rules.into_iter().filter_map(|(action, rule)| Some((action, rule?.clone()))) {
                circle.steps.push(Step::Permitted { site: site.clone(), action, rule });
            }
            match self.unfit_there(request, peer, *digest, true) {
                Some(why) => circle.steps.push(Step::PassedOver { site, why }),
                None => offers.push(self.shared(self.offer_of(request, peer, *digest, lawful), peer, *digest)),
            }
        }
        circle.denied.truncate(limits::DENIED_MAX);
        circle.steps.truncate(limits::STEPS_OF_CIRCLE);
        (circle, offers)
    }

    /// The law allows none of them.
    fn refuse_training(&mut self, id: RequestId, envelope: &Envelope, circle: Circle) {
        let Circle { forbid, considered, denied, .. } = circle;
        let subject = self.subject(id, Attempt(0), envelope, None);
        self.note(Fact::Denied { subject, rule: forbid, considered });
        let (model, class) = (envelope.model.clone(), envelope.label.class);
        self.refuse(id, Refusal::Unlawful { model, class, denied });
    }

    /// The most honest word about examples that no server has taken; `idle`: if none was asked.
    fn end_training(&mut self, id: RequestId, idle: Refusal) {
        let Some(request) = self.requests.get(&id) else { return };
        match request.failure.clone() {
            _ if request.grounded => self.refuse(id, Refusal::LedgerUnavailable),
            Some(Failure::Declined(refusal)) => {
                let refusal = in_our_words(refusal, false, request.attempts);
                self.refuse(id, refusal);
            }
            Some(failure) => self.fail(id, failure),
            None => self.refuse(id, idle),
        }
    }
}

/// Whether all attempts so far were kept from leaving: nothing of it lies anywhere.
fn nothing_left(request: &Request) -> bool {
    matches!(request.failure, Some(Failure::Declined(Refusal::Withheld { .. })))
}
