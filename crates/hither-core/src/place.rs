//! Finding a place for a request that entered here: who holds the model, whom the law allows, who has room; and the
//! honest word if nobody has.

use std::sync::Arc;

use hither_types::fact::Fact;
use hither_types::id::{Attempt, Digest, NodeId, RequestId};
use hither_types::law::LawAction;
use hither_types::message::ModelStage;
use hither_types::refusal::{DeniedPlace, Failure, Refusal};
use hither_types::request::{Priority, RequestKind};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::catalog::Stage;
use crate::circle::Circle;
use crate::limits;
use crate::machine::{Core, forbid_of};
use crate::peers::Peer;
use crate::request::{Request, in_our_words, overloaded};
use crate::router::{Choice, Here, Lawful, Offer, choose, patience};
use crate::scheduler::{Hold, Job};
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// What was found on looking for a place.
struct Survey {
    /// This node, if its engine could take the request now or soon.
    here: Option<Here>,
    /// The law allows this node, and the model is on its way to ready here.
    coming: bool,
    /// The law allows this node, and the model's file is here or coming.
    home: bool,
    /// The law forbids this node, though the model is here.
    denied_here: Option<DeniedPlace>,
    circle: Arc<Circle>,
    offers: Vec<Offer>,
    /// When the first of those that declined may be asked again.
    declined_until: Option<Timestamp>,
}

impl Core {
    /// Finds the next place for a request, or ends it.
    pub(crate) fn place(&mut self, id: RequestId) {
        self.turn_the_day();
        let Some(request) = self.requests.get(&id) else { return };
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        if request.envelope.kind == RequestKind::Train {
            return self.place_training(id);
        }
        let model = request.envelope.model.clone();
        let Some(digest) = request.digest.or_else(|| self.meaning(id)) else {
            return self.refuse(id, Refusal::UnknownModel(model));
        };
        if let Some(refusal) = self.expired(digest) {
            return self.refuse(id, refusal);
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.digest.replace(digest).is_none() {
            self.retries.earn(digest);
        }
        // A first try, one that lost its place or was kept from it, and one whose retry is paid for.
        let again = request.attempts > 0 && !request.tries_for_nothing() && !request.paid;
        if again {
            request.paid = self.retries.spend(digest) || mutant!(RetriesUnpaid);
        }
        let attempts_left =
            (request.attempts < limits::ATTEMPTS_MAX || mutant!(AttemptsUnbounded)) && (!again || request.paid);
        let remaining = self.now.until(request.deadline);
        let priority = request.envelope.priority;
        if attempts_left && self.ask_wished(id, digest) {
            return;
        }
        let Some(survey) = self.survey(id, digest) else { return };
        let choice = match attempts_left {
            true => choose(survey.here.clone(), &survey.offers, remaining, priority, &mut self.random),
            false => Choice::Nowhere,
        };
        match choice {
            Choice::Here(lawful) => self.run_here(id, digest, lawful),
            Choice::Peer(offer) => {
                if !survey.circle.ready.is_empty() && offer.age.is_some() {
                    self.probe(&survey.circle, digest, limits::PROBES);
                }
                self.offer(id, offer);
            }
            Choice::Hold(span) => {
                self.hold_here(id, digest, span);
                self.probe(&survey.circle, digest, limits::PROBES);
            }
            Choice::Queue(_) if self.too_long_a_wait(&survey, id, digest, remaining) => self.place(id),
            Choice::Queue(_) if self.wait_here(id, digest, self.now) => {
                self.probe(&survey.circle, digest, limits::PROBES);
            }
            Choice::Queue(_) | Choice::Nowhere if attempts_left && self.ask_outside(id, digest, survey.home) => {}
            Choice::Queue(_) | Choice::Nowhere => self.stranded(id, digest, survey),
        }
    }

    fn survey(&mut self, id: RequestId, digest: Digest) -> Option<Survey> {
        let mut steps = Vec::new();
        let mut survey = Survey {
            here: None,
            coming: false,
            home: false,
            denied_here: None,
            circle: Arc::default(),
            offers: Vec::new(),
            declined_until: None,
        };
        let request = self.requests.get(&id)?;
        self.survey_here(request, digest, &mut survey, &mut steps);
        // A free slot here decides without a look at the others, unless the caller wishes for another site, or others are
        // much quicker: nobody else needs to be judged.
        let wish = request.envelope.prefer.as_ref().is_some_and(|site| *site != self.me.site);
        let free = survey.here.as_ref().is_some_and(|here| here.free);
        if !free || wish || self.is_slow_for(request, digest) {
            let envelope = request.envelope.clone();
            survey.circle = self.circle(&envelope, digest);
            steps.extend(survey.circle.steps.iter().cloned());
            self.survey_circle(id, digest, wish, &mut survey, &mut steps);
        }
        steps.into_iter().for_each(|step| self.trace.step(id, step, self.now));
        Some(survey)
    }

    /// Whether a free slot here may not be the best place: the work is long enough for a packet to pay.
    fn is_slow_for(&self, request: &Request, digest: Digest) -> bool {
        let long = self.scheduler.service(digest) >= limits::LONG;
        // What lost its place has waited enough.
        let first = request.attempts == 0 && !request.held;
        long && first && request.envelope.priority != Priority::Critical && !self.peers.is_empty()
    }

    fn survey_here(&self, request: &Request, digest: Digest, survey: &mut Survey, steps: &mut Vec<Step>) {
        let stage = self.catalog.stage(digest);
        if !stage.is_held() && !stage.is_coming() {
            return;
        }
        let site = self.me.site.clone();
        let lawful = match self.gate(&request.envelope, digest, &self.me) {
            Ok(lawful) => lawful,
            Err(denial) => {
                let (node, jurisdiction, action) = (self.me.node, self.me.jurisdiction, LawAction::Infer);
                steps.push(Step::Denied { site, node, action, denial: denial.clone(), what_ifs: Vec::new() });
                survey.denied_here = Some(DeniedPlace { node, jurisdiction, action, denial });
                return;
            }
        };
        steps.push(Step::Permitted { site: site.clone(), action: LawAction::Infer, rule: lawful.rule().clone() });
        survey.home = true;
        let why = if request.losses_here >= limits::LOSSES_HERE_MAX {
            "it failed here before"
        } else if stage == Stage::Quarantined {
            "the model was lost here too often"
        } else if stage == Stage::Refuted {
            "the model gave wrong answers here"
        } else if stage == Stage::Cold {
            "the model is not in memory here"
        } else if !self.scheduler.is_ready(digest) {
            survey.coming = true;
            "the model is not ready here yet"
        } else {
            return self.survey_engine(request, digest, lawful, survey);
        };
        steps.push(Step::PassedOver { site, why });
    }

    fn survey_engine(&self, request: &Request, digest: Digest, lawful: Lawful, survey: &mut Survey) {
        let envelope = &request.envelope;
        let free = self.scheduler.hold(digest, envelope.priority).is_none();
        // What ran and lost its place may wait for one here, however long: its deadline ends that.
        survey.coming = request.lost_its_place() && !free;
        let power = self.scheduler.hold(digest, envelope.priority) == Some(Hold::Power);
        let soon = self.has_watts_within(digest, patience(self.now.until(request.deadline)));
        let makes_way =
            power && envelope.priority == Priority::Critical && !soon && self.scheduler.makes_way().is_some();
        let wait = self.scheduler.wait(digest, envelope.priority, self.now);
        survey.here = Some(Here {
            preferred: envelope.prefer.as_ref() == Some(&self.me.site),
            lawful,
            free,
            wait: if makes_way { Some(Micros(0)) } else { wait },
            service: self.scheduler.service_or_guess(digest),
            hold: None,
        });
    }

    /// The members of the circle as places: those that spoke a moment ago, and, if none of them is free, some of those
    /// that told everybody.
    fn survey_circle(&mut self, id: RequestId, digest: Digest, wish: bool, survey: &mut Survey, steps: &mut Vec<Step>) {
        let Some(request) = self.requests.get(&id) else { return };
        let circle = Arc::clone(&survey.circle);
        let small = circle.ready.len() <= limits::STEPS_OF_CIRCLE;
        let words: Vec<NodeId> = self.pool.fresh(digest, self.now).map(|word| word.node).collect();
        let spoke = words.iter().any(|node| circle.rule(*node).is_some());
        let everybody = small || wish;
        let drawn: Vec<NodeId> = match everybody {
            true => circle.ready.iter().map(|(node, _)| *node).collect(),
            false if spoke => words,
            false => (0..limits::GOSSIP_DRAWS).map(|_| circle.ready[self.random.below(circle.ready.len())].0).collect(),
        };
        let engine = survey.here.is_some();
        for node in drawn {
            let (Some(peer), Some(lawful)) = (self.peers.get(node), Lawful::of_circle(&circle, node)) else { continue };
            if let Some(until) = peer.declined_until(digest, self.now) {
                survey.declined_until = Some(survey.declined_until.map_or(until, |first| first.min(until)));
            }
            let too_often = request.rejects >= limits::REJECTS_MAX && engine;
            match self.unfit(request, peer, digest) {
                None if too_often => {}
                Some(why) if small => {
                    steps.push(Step::PassedOver { site: peer.member.site.clone(), why });
                }
                Some(_) => {}
                None => {
                    let offer = self.offer_of(request, peer, digest, lawful);
                    // Data do not cross a border for speed alone: a free slot here is better than any there.
                    let free_here = survey.here.as_ref().is_some_and(|here| here.free);
                    if free_here && !offer.preferred && self.is_abroad(peer) {
                        continue;
                    }
                    // What everybody was told long ago is no reason to leave an engine that is here.
                    let stale = offer.age.is_none() && engine && !self.is_news(peer);
                    if !stale && survey.offers.iter().all(|known| known.lawful.node() != node) {
                        survey.offers.push(offer);
                    }
                }
            }
        }
        let slow = self.is_slow_for(request, digest);
        if let Some(here) = survey.here.as_mut().filter(|here| here.free && slow) {
            here.hold = worth_holding(&circle, here.service).filter(|_| self.luck.try_now(digest, &mut self.random));
        }
    }

    /// Whether what a peer told everybody is young enough to act on.
    fn is_news(&self, peer: &Peer) -> bool {
        peer.is_current() || peer.heard().is_some_and(|heard| self.now.since(heard) <= limits::GOSSIP_FOR)
    }

    /// A peer as a place for a request: by its own fresh word, or by what it told everybody and what was sent there since.
    pub(crate) fn offer_of(&self, request: &Request, peer: &Peer, digest: Digest, lawful: Lawful) -> Offer {
        let node = peer.member.node;
        let rtt = peer.far();
        let service = peer.service(digest).unwrap_or(limits::SERVICE_GUESS);
        let preferred = request.envelope.prefer.as_ref() == Some(&peer.member.site);
        let known = request.affinity.and_then(|affinity| self.affinities.place(affinity));
        let saved = if known == Some(node) { self.affinities.saved(digest) } else { Micros(0) };
        let base =
            Offer { lawful, preferred, rtt, service, free: false, wait: Micros(0), age: None, crowd: Micros(0), saved };
        if let Some(word) = self.pool.of(digest, node, self.now) {
            let free = word.free() > 0;
            let urgent = request.envelope.priority == Priority::Critical;
            let wait = if urgent { word.load.urgent } else { word.load.wait };
            let wait = if free { Micros(0) } else { Micros(wait.0.max(1)) };
            return Offer { free, wait, age: Some(self.now.since(word.at)), ..base };
        }
        let (slots, load) = peer.model(digest).map_or((0, 0), |model| {
            let load = u64::from(model.busy) + u64::from(model.queued) + peer.sent(digest, self.now);
            (u64::from(model.slots), load)
        });
        let ahead = (load + 1).saturating_sub(slots);
        let wait = service.0.saturating_mul(ahead).checked_div(slots).map_or(limits::RETRY_AFTER_MAX, Micros);
        let crowd = Micros(service.0.saturating_mul(load.min(slots)) / slots.max(1));
        Offer { free: load < slots, wait: if load < slots { Micros(0) } else { wait }, crowd, ..base }
    }

    /// Why a lawful member is not asked now.
    pub(crate) fn unfit(&self, request: &Request, peer: &Peer, digest: Digest) -> Option<&'static str> {
        let is_ready = peer.model(digest)?.stage == ModelStage::Ready;
        self.unfit_there(request, peer, digest, is_ready)
    }

    /// The same of a place that may have no model, and is ready for what is asked or not.
    pub(crate) fn unfit_there(
        &self,
        request: &Request,
        peer: &Peer,
        digest: Digest,
        is_ready: bool,
    ) -> Option<&'static str> {
        if request.grounded {
            Some("the ledger cannot record an egress")
        } else if request.tried.contains(&peer.member.node) {
            Some("it was tried before")
        } else if !is_ready {
            Some("the model is not ready there")
        } else if !self.peers.is_present(peer, self.now) {
            Some("it was not heard lately")
        } else if peer.is_cooling(self.now) {
            Some("it fell silent a moment ago")
        } else if peer.declined_until(digest, self.now).is_some() {
            Some("it declined a moment ago")
        } else {
            self.barred(peer, digest).or_else(|| self.unaffordable(request, peer))
        }
    }

    /// Whether a request took a smaller model, for the wait would be long.
    fn too_long_a_wait(&mut self, survey: &Survey, id: RequestId, digest: Digest, remaining: Micros) -> bool {
        let Some(wait) = survey.here.as_ref().and_then(|here| here.wait) else { return false };
        let early = self.requests.get(&id).is_some_and(|request| {
            self.steps_early(&request.envelope, wait, remaining) || self.is_pressed(request, digest)
        });
        early && self.step_down(id, digest)
    }

    /// A request could start here, and waits a moment for a much quicker place.
    fn hold_here(&mut self, id: RequestId, digest: Digest, span: Micros) {
        let until = self.now.after(span);
        let Some(request) = self.requests.get_mut(&id) else { return };
        (request.held, request.holding) = (true, true);
        if !self.wait_here(id, digest, until) {
            return self.place(id);
        }
        self.timers.set(Timer::Hold(id), until);
    }

    /// No quicker place was found in time.
    pub(crate) fn hold_over(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let digest = request.digest;
        if std::mem::replace(&mut request.holding, false) {
            digest.inspect(|digest| self.luck.add(*digest, false));
        } else {
            // It looked for any place at all.
            self.look_again(id);
        }
    }

    /// No place can take the request now: it looks around if nobody was asked lately, waits for the model or for power
    /// if they may come, takes a smaller model, or ends with the most honest word.
    fn stranded(&mut self, id: RequestId, digest: Digest, survey: Survey) {
        let room = self.scheduler.queued(digest) < limits::WAITING_FOR_MODEL_MAX as u16;
        let Some(request) = self.requests.get_mut(&id) else { return };
        let attempts_left = request.attempts < limits::ATTEMPTS_MAX;
        let untried =
            request.lost_its_place() && survey.circle.ready.iter().any(|(node, _)| !request.tried.contains(node));
        let asked = self.pool.fresh(digest, self.now).next().is_some() || request.held || request.grounded;
        if survey.coming && attempts_left && room && self.wait_here(id, digest, self.now) {
            return;
        }
        // The file is here, and memory for it may be had.
        let cold = survey.home && survey.here.is_none();
        if cold && attempts_left && room && self.thirst(digest) && self.wait_here(id, digest, self.now) {
            return;
        }
        if !survey.home && self.refuse_for_budget(id, &survey.circle) {
            return;
        }
        // What was accepted once and lost its place waits for another as long as it has: its deadline ends that.
        if untried && attempts_left && room && self.wait_here(id, digest, Timestamp(u64::MAX)) {
            return;
        }
        // Who may have it was not heard yet.
        let unheard = !survey.home && survey.circle.lawful == 0 && self.peers.are_settling(self.now);
        if unheard && attempts_left && room && self.wait_here(id, digest, Timestamp(u64::MAX)) {
            return self.timers.set(Timer::Hold(id), self.now.after(limits::LOOK_AROUND));
        }
        // In a small circle everybody was considered already.
        let more = survey.circle.ready.len() > limits::STEPS_OF_CIRCLE;
        if !asked && attempts_left && room && more {
            let Some(request) = self.requests.get_mut(&id) else { return };
            request.held = true;
            if self.wait_here(id, digest, Timestamp(u64::MAX)) {
                let nearest = survey.circle.quick.map_or(Micros(0), |(_, far)| far);
                return self.timers.set(Timer::Hold(id), self.now.after(limits::LOOK_AROUND).after(nearest));
            }
        }
        if attempts_left && room && self.wake(id, digest, &survey.circle) {
            return;
        }
        if self.step_down(id, digest) {
            return self.place(id);
        }
        let Some(request) = self.requests.get(&id) else { return };
        let denied = !survey.circle.denied.is_empty() || survey.denied_here.is_some();
        if !survey.home && survey.circle.lawful == 0 && denied {
            // What the law says of a smaller model is no answer about the one that was asked for.
            let stands_in = request.instead.is_some();
            let stays = request.attempts > 0 && request.envelope.kind == RequestKind::Generate;
            if !stands_in {
                return self.refuse_by_law(id, &survey);
            } else if !stays && let Some(request) = self.requests.get_mut(&id) {
                (request.digest, request.instead) = (None, None);
                return self.place(id);
            }
        }
        let Some(request) = self.requests.get(&id) else { return };
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

    fn refuse_by_law(&mut self, id: RequestId, survey: &Survey) {
        let Some(request) = self.requests.get(&id) else { return };
        let subject = self.subject(id, Attempt(0), &request.envelope, request.digest);
        let (model, class) = (request.envelope.model.clone(), request.envelope.label.class);
        let here = survey.denied_here.iter();
        let forbid_here = here.clone().find_map(|denied| forbid_of(&denied.denial));
        let rule = forbid_here.or_else(|| survey.circle.forbid.clone());
        let considered = survey.circle.considered.saturating_add(u8::from(survey.denied_here.is_some()));
        let denied: Vec<DeniedPlace> = here.chain(&survey.circle.denied).take(limits::DENIED_MAX).cloned().collect();
        self.note(Fact::Denied { subject, rule, considered });
        self.refuse(id, Refusal::Unlawful { model, class, denied });
    }

    /// The word for a request that was never tried.
    fn no_room(&self, request: &Request, digest: Digest, survey: &Survey) -> Refusal {
        let priority = request.envelope.priority;
        let remaining = self.now.until(request.deadline);
        if survey.here.is_some() {
            let cap = self.scheduler.power().cap();
            return match (self.scheduler.hold(digest, priority), self.scheduler.wait(digest, priority, self.now)) {
                (Some(Hold::Power), _) | (_, None) => Refusal::NoPower { cap },
                (_, Some(wait)) => overloaded(Micros(wait.0.saturating_sub(patience(remaining).0))),
            };
        }
        if let Some(shortest) =
            survey.offers.iter().filter(|offer| offer.wait < limits::RETRY_AFTER_MAX).map(Offer::predicted).min()
        {
            return overloaded(shortest);
        }
        if let Some(until) = survey.declined_until {
            return overloaded(self.now.until(until));
        }
        if survey.circle.lawful == 0 && self.catalog.stage(digest).is_broken() {
            return Refusal::ModelBroken(request.envelope.model.clone());
        }
        self.bar_of(request, digest, &survey.circle).unwrap_or(Refusal::NoCapacity { tried: survey.circle.lawful })
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
        let jobs: Vec<Job> = self.scheduler.waiting_for(digest).map(|waiting| waiting.job).collect();
        for job in jobs {
            if let Job::Own(id) = job {
                self.look_again(id);
            }
        }
    }
}

/// For how long it is worth looking for a quicker place while a slot is free here: a share of what there is to gain.
fn worth_holding(circle: &Circle, service: Micros) -> Option<Micros> {
    let (quick, far) = circle.quick?;
    let gain = service.0.saturating_sub(quick.0).saturating_sub(far.0);
    // The more of the time it takes here could be saved, the longer it is worth a look.
    let share = gain.saturating_mul(limits::HOLD_SHARE_PERCENT) / service.0.max(1);
    let span = (gain.saturating_mul(share) / 100).min(limits::HOLD_MAX.0);
    let bias = service.0.saturating_mul(limits::BIAS_PERCENT) / 100;
    if gain < bias {
        return None;
    }
    // An answer has to have time to come.
    (span > far.0.saturating_mul(3) / 2 && span > limits::HOLD_MIN.0).then_some(Micros(span))
}
