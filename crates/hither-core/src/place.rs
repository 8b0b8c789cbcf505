//! Finding a place for a request that entered here: who holds the model, whom the law allows, who has room; and the
//! honest word if nobody has.

use hither_types::fact::Fact;
use hither_types::id::{Attempt, Digest, RequestId, RuleId};
use hither_types::law::Denial;
use hither_types::member::Member;
use hither_types::message::ModelStage;
use hither_types::refusal::{DeniedPlace, Failure, Refusal};
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::catalog::Stage;
use crate::limits;
use crate::machine::{Core, forbid_of};
use crate::peers::Peer;
use crate::request::Request;
use crate::router::{Choice, Here, Lawful, Offer, choose, patience};
use crate::scheduler::{Hold, Job};

#[cfg(test)]
mod tests;

/// What was found on looking for a place.
#[derive(Debug, Default)]
struct Survey {
    /// This node, if its engine could take the request now or soon.
    here: Option<Here>,
    /// The law allows this node, and the model is on its way to ready here.
    coming: bool,
    /// The law allows this node, and the model's file is here or coming.
    home: bool,
    offers: Vec<Offer>,
    /// Lawful members that hold the model, whether they can be asked or not.
    lawful_elsewhere: u8,
    /// When the first of those that declined may be asked again.
    declined_until: Option<Timestamp>,
    denied: Vec<DeniedPlace>,
    forbid: Option<RuleId>,
    considered: u8,
}

impl Survey {
    fn deny(&mut self, member: &Member, denial: Denial) {
        self.forbid = self.forbid.take().or_else(|| forbid_of(&denial));
        if self.denied.len() < limits::DENIED_MAX {
            self.denied.push(DeniedPlace { node: member.node, jurisdiction: member.jurisdiction, denial });
        }
    }
}

impl Core {
    /// Finds the next place for a request, or ends it.
    pub(crate) fn place(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        let model = request.envelope.model.clone();
        let Some(digest) = request.digest.or_else(|| self.catalog.resolve(&model)) else {
            return self.refuse(id, Refusal::UnknownModel(model));
        };
        request.digest = Some(digest);
        let attempts_left = request.attempts < limits::ATTEMPTS_MAX;
        let remaining = self.now.until(request.deadline);
        let (survey, steps) = self.survey(id, digest);
        steps.into_iter().for_each(|step| self.trace.step(id, step, self.now));
        let choice = match attempts_left {
            true => choose(survey.here.clone(), &survey.offers, remaining, &mut self.random),
            false => Choice::Nowhere,
        };
        match choice {
            Choice::Here(lawful) => self.run_here(id, digest, lawful),
            Choice::Peer(offer) => self.choose_peer(id, offer),
            Choice::Queue(_) if self.wait_here(id, digest) => {}
            Choice::Queue(_) | Choice::Nowhere => self.stranded(id, digest, survey),
        }
    }

    fn survey(&self, id: RequestId, digest: Digest) -> (Survey, Vec<Step>) {
        let (mut survey, mut steps) = (Survey::default(), Vec::new());
        let Some(request) = self.requests.get(&id) else { return (survey, steps) };
        self.survey_here(request, digest, &mut survey, &mut steps);
        // A free slot here decides, unless the caller wishes for another site: nobody else needs to be judged.
        let wish = request.envelope.prefer.as_ref().is_some_and(|site| *site != self.me.site);
        if !wish && survey.here.as_ref().is_some_and(|here| here.free) {
            return (survey, steps);
        }
        for peer in self.peers.iter() {
            let Some(model) = peer.holding(digest) else { continue };
            let site = peer.member.site.clone();
            survey.considered = survey.considered.saturating_add(1);
            let lawful = match self.gate(&request.envelope, &peer.member) {
                Ok(lawful) => lawful,
                Err(denial) => {
                    steps.push(Step::Denied { site, denial: denial.clone() });
                    survey.deny(&peer.member, denial);
                    continue;
                }
            };
            steps.push(Step::Permitted { site: site.clone(), rule: lawful.rule().clone() });
            survey.lawful_elsewhere = survey.lawful_elsewhere.saturating_add(1);
            if let Some(until) = peer.declined_until(digest, self.now) {
                survey.declined_until = Some(survey.declined_until.map_or(until, |first| first.min(until)));
            }
            match self.unfit(request, peer, digest) {
                Some(why) => steps.push(Step::PassedOver { site, why }),
                None => survey.offers.push(Offer {
                    preferred: request.envelope.prefer.as_ref() == Some(&site),
                    lawful,
                    rtt: peer.rtt().unwrap_or(Micros(0)),
                    service: if model.service == Micros(0) { limits::SERVICE_GUESS } else { model.service },
                    slots: u64::from(model.slots),
                    load: u64::from(model.busy) + u64::from(model.queued) + peer.sent(digest),
                }),
            }
        }
        (survey, steps)
    }

    fn survey_here(&self, request: &Request, digest: Digest, survey: &mut Survey, steps: &mut Vec<Step>) {
        let stage = self.catalog.stage(digest);
        if !stage.is_held() && !stage.is_coming() {
            return;
        }
        let site = self.me.site.clone();
        survey.considered = survey.considered.saturating_add(1);
        let lawful = match self.gate(&request.envelope, &self.me) {
            Ok(lawful) => lawful,
            Err(denial) => {
                steps.push(Step::Denied { site, denial: denial.clone() });
                return survey.deny(&self.me, denial);
            }
        };
        steps.push(Step::Permitted { site: site.clone(), rule: lawful.rule().clone() });
        survey.home = true;
        let why = if request.losses_here >= limits::LOSSES_HERE_MAX {
            "it failed here before"
        } else if stage == Stage::Quarantined {
            "the model was lost here too often"
        } else if !self.scheduler.is_ready(digest) {
            survey.coming = true;
            "the model is not ready here yet"
        } else {
            return self.survey_engine(&request.envelope, request.lost_its_place(), (digest, lawful), survey);
        };
        steps.push(Step::PassedOver { site, why });
    }

    fn survey_engine(
        &self,
        envelope: &Envelope,
        lost_its_place: bool,
        (digest, lawful): (Digest, Lawful),
        survey: &mut Survey,
    ) {
        let free = self.scheduler.hold(digest, envelope.priority).is_none();
        // What ran and lost its place may wait for one here, however long: its deadline ends that.
        survey.coming = lost_its_place && !free;
        survey.here = Some(Here {
            preferred: envelope.prefer.as_ref() == Some(&self.me.site),
            lawful,
            free,
            wait: self.scheduler.wait(digest, envelope.priority),
        });
    }

    /// Why a lawful member is not asked now.
    fn unfit(&self, request: &Request, peer: &Peer, digest: Digest) -> Option<&'static str> {
        let stage = peer.model(digest)?.stage;
        if request.grounded {
            Some("the ledger cannot record an egress")
        } else if request.tried.contains(&peer.member.node) {
            Some("it was tried before")
        } else if stage != ModelStage::Ready {
            Some("the model is not ready there")
        } else if !peer.is_present(self.now) {
            Some("it was not heard lately")
        } else if peer.is_cooling(self.now) {
            Some("it fell silent a moment ago")
        } else if peer.declined_until(digest, self.now).is_some() {
            Some("it declined a moment ago")
        } else {
            None
        }
    }

    /// No place can take the request now: it waits for the model or for power if they may come, or ends with the
    /// most honest word.
    fn stranded(&mut self, id: RequestId, digest: Digest, survey: Survey) {
        let Some(request) = self.requests.get(&id) else { return };
        let attempts_left = request.attempts < limits::ATTEMPTS_MAX;
        let room = self.scheduler.waiting_for(digest).len() < limits::WAITING_FOR_MODEL_MAX;
        if survey.coming && attempts_left && room && self.wait_here(id, digest) {
            return;
        }
        let Some(request) = self.requests.get(&id) else { return };
        if !survey.home && survey.lawful_elsewhere == 0 && !survey.denied.is_empty() {
            let subject = self.subject(id, Attempt(0), &request.envelope);
            let (model, class) = (request.envelope.model.clone(), request.envelope.label.class);
            self.note(Fact::Denied { subject, rule: survey.forbid, considered: survey.considered });
            return self.refuse(id, Refusal::Unlawful { model, class, denied: survey.denied });
        }
        if request.grounded {
            return self.refuse(id, Refusal::LedgerUnavailable);
        }
        match request.failure.clone() {
            Some(Failure::Declined(refusal)) => {
                let refusal = in_our_words(refusal, request.preempted, request.attempts);
                self.refuse(id, refusal);
            }
            Some(failure) => self.fail(id, failure),
            None => {
                let refusal = self.no_room(request, digest, &survey);
                self.refuse(id, refusal);
            }
        }
    }

    /// The word for a request that was never tried.
    fn no_room(&self, request: &Request, digest: Digest, survey: &Survey) -> Refusal {
        let priority = request.envelope.priority;
        let remaining = self.now.until(request.deadline);
        if survey.here.is_some() {
            let cap = self.scheduler.power().cap();
            return match (self.scheduler.hold(digest, priority), self.scheduler.wait(digest, priority)) {
                (Some(Hold::Power), _) | (_, None) => Refusal::NoPower { cap },
                (_, Some(wait)) => overloaded(Micros(wait.0.saturating_sub(patience(remaining).0))),
            };
        }
        if let Some(shortest) = survey.offers.iter().filter(|offer| offer.slots > 0).map(Offer::predicted).min() {
            return overloaded(shortest);
        }
        if let Some(until) = survey.declined_until {
            return overloaded(self.now.until(until));
        }
        if survey.lawful_elsewhere == 0 && self.catalog.stage(digest) == Stage::Quarantined {
            return Refusal::ModelBroken(request.envelope.model.clone());
        }
        Refusal::NoCapacity { tried: survey.lawful_elsewhere }
    }

    /// The cap fell: what waits here looks for another place, and may wait for power if there is none.
    pub(crate) fn reconsider_for_power(&mut self) {
        let waiting: Vec<_> = self.scheduler.waiting().copied().collect();
        for waiting in waiting {
            if let Job::Own(id) = waiting.job {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.preempted = true;
                }
                self.look_again(id);
            }
        }
    }

    /// Something changed about a model: requests that wait for it look again.
    pub(crate) fn reconsider(&mut self, digest: Digest) {
        for job in self.scheduler.waiting_for(digest) {
            if let Job::Own(id) = job {
                self.look_again(id);
            }
        }
    }
}

fn overloaded(wait: Micros) -> Refusal {
    Refusal::Overloaded { retry_after: wait.clamp(limits::RETRY_AFTER_MIN, limits::RETRY_AFTER_MAX) }
}

/// What a peer's "no" means to our client, once nobody is left.
fn in_our_words(refusal: Refusal, preempted: bool, tried: u8) -> Refusal {
    match refusal {
        Refusal::NoPower { cap } if preempted => Refusal::NoPower { cap },
        Refusal::Overloaded { retry_after } => overloaded(retry_after),
        Refusal::UnlawfulThere(denial) => Refusal::UnlawfulThere(denial),
        Refusal::UnknownModel(_)
        | Refusal::Unlawful { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::DeadlinePassed
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::NotAMember
        | Refusal::Stopping => Refusal::NoCapacity { tried },
    }
}
