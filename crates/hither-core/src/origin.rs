//! A request that entered here, from the door to its one end.
//!
//! Whatever happens, it ends exactly once: every way out leads through `end`, and its deadline is the last.

use hither_types::fact::{Fact, Outcome};
use hither_types::id::{Attempt, Digest, NodeId, RequestId, SiteName, Task};
use hither_types::law::Denial;
use hither_types::message::ModelStage;
use hither_types::model::Device;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope, RequestKind};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};
use hither_types::view::Step;

use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::request::{Egress, Ending, Leave, Phase, Request, is_want_of_room};
use crate::router::Lawful;
use crate::scheduler::{Job, Waiting};
use crate::spending::Bill;
use crate::timers::Timer;

mod ending;
#[cfg(test)]
mod tests;

impl Core {
    pub(crate) fn submitted(&mut self, id: RequestId, envelope: Envelope, deadline: Timestamp, affinity: Option<u64>) {
        if self.requests.contains_key(&id) {
            return;
        }
        let full = self.requests.len() >= limits::OPEN_MAX;
        self.trace.totals.requests += 1;
        self.trace.open(id, &envelope, true, self.now);
        self.trace.step(id, Step::Arrived, self.now);
        // What is trained elsewhere is not wanted here for that.
        let asked = self.catalog.resolve(&envelope.model).filter(|_| envelope.kind != RequestKind::Train);
        if let Some((stock, model)) = self.stock.as_mut().zip(asked) {
            stock.asked(model);
        }
        self.requests.insert(id, Request::new(envelope, deadline, affinity, self.now));
        if !mutant!(DeadlineNotWatched) {
            self.timers.set(Timer::Deadline(id), deadline);
        }
        if self.draining {
            self.end(id, Ending::Refused(Refusal::Stopping));
        } else if full {
            self.end(id, Ending::Refused(Refusal::Overloaded { retry_after: limits::DECLINED_FOR }));
        } else {
            self.place(id);
        }
    }

    pub(crate) fn client_gone(&mut self, id: RequestId) {
        if mutant!(ClientGoneUnheard) {
            return;
        }
        self.end(id, Ending::Gone);
    }

    pub(crate) fn deadline_passed(&mut self, id: RequestId) {
        self.end(id, Ending::Refused(Refusal::DeadlinePassed));
    }

    /// Ends a request with a "no".
    pub(crate) fn refuse(&mut self, id: RequestId, refusal: Refusal) {
        self.end(id, Ending::Refused(refusal));
    }

    /// Ends a request with its last failure.
    pub(crate) fn fail(&mut self, id: RequestId, failure: Failure) {
        self.end(id, Ending::Failed(failure));
    }

    /// Puts a request into the queue of this node; `false` if that is full.
    pub(crate) fn wait_here(&mut self, id: RequestId, digest: Digest, not_before: Timestamp) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        let waiting = Waiting { job: Job::Own(id), digest, priority: request.envelope.priority, not_before };
        let room = self.scheduler.enqueue(waiting);
        if room {
            request.phase = Phase::Queued;
            if !mutant!(SeekTimerLost) {
                self.hungry_for(digest);
            }
            self.trace.step(id, Step::Queued, self.now);
        }
        room
    }

    /// Starts a request that waited. The law is asked again: it may have changed.
    pub(crate) fn start_own(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.phase = Phase::Placing;
        request.holding = false;
        self.timers.clear(Timer::Hold(id));
        let Some(digest) = request.digest else { return self.place(id) };
        self.scheduler.drained(digest, self.now);
        let verdict = self.requests.get(&id).map(|request| self.gate(&request.envelope, digest, &self.me));
        match verdict {
            Some(Ok(lawful)) => self.run_here(id, digest, lawful),
            Some(Err(_)) | None => self.place(id),
        }
    }

    /// Starts a request on the engine of this node, where a slot is free.
    pub(crate) fn run_here(&mut self, id: RequestId, digest: Digest, lawful: Lawful) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if self.now >= request.deadline && !mutant!(LateStarts) {
            return self.deadline_passed(id);
        }
        request.attempts += 1;
        request.paid = false;
        let attempt = Attempt(request.attempts);
        request.phase = Phase::Here(attempt);
        request.preempted = false;
        let task = Task { origin: self.me.node, request: id, attempt };
        let priority = request.envelope.priority;
        let waiting = Waiting { job: Job::Own(id), digest, priority, not_before: self.now };
        self.start(task, waiting);
        let site = self.me.site.clone();
        let predicted = self.scheduler.service_or_guess(digest);
        self.trace.step(id, Step::Chosen { site: site.clone(), predicted }, self.now);
        self.served_at(id, attempt, site, &lawful);
        let prefix = self.prefix_at_home(id, digest);
        self.act(Action::Run { task, digest, prefix });
    }

    /// Tells the client who serves it, and counts it if that is elsewhere than before.
    pub(crate) fn served_at(&mut self, id: RequestId, attempt: Attempt, site: SiteName, lawful: &Lawful) {
        self.moved_to(id, &site);
        self.tell_route(id, attempt, site, lawful);
    }

    /// Counts a request that goes on elsewhere, once.
    pub(crate) fn moved_to(&mut self, id: RequestId, site: &SiteName) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let elsewhere = request.last_site.replace(site.clone()).is_some_and(|last| last != *site);
        if elsewhere && !std::mem::replace(&mut request.moved, true) {
            self.trace.totals.migrated += 1;
        }
    }

    /// What the model of a request runs on at a place, if the place said.
    fn device_at(&self, id: RequestId, place: NodeId) -> Option<Device> {
        let digest = self.requests.get(&id)?.digest?;
        if place == self.me.node {
            return self.scheduler.device(digest);
        }
        let there = self.peers.get(place)?.model(digest)?;
        (there.stage == ModelStage::Ready).then_some(there.device)
    }

    /// Tells the client who may answer it.
    pub(crate) fn tell_route(&mut self, id: RequestId, attempt: Attempt, site: SiteName, lawful: &Lawful) {
        let device = self.device_at(id, lawful.node());
        self.trace.step(id, Step::Started { site, device }, self.now);
        if mutant!(SecondRouteUntold) && attempt.0 > 1 {
            return;
        }
        let (served_by, rule) = (lawful.node(), lawful.rule().clone());
        let instead = self.requests.get(&id).and_then(|request| request.instead.clone());
        let version = self.requests.get(&id).and_then(|request| self.version_of(request));
        self.act(Action::Route { request: id, attempt, served_by, rule, instead, version });
    }

    /// A request of this node was answered, here or elsewhere.
    pub(crate) fn answered(&mut self, task: Task, cost: Cost) {
        let id = task.request;
        let hedged = self.hedge_answered(task);
        let Some(request) = self.requests.get(&id) else { return };
        let digest = request.digest;
        let affinity = request.affinity;
        let (by, took) = match &request.phase {
            Phase::Here(attempt) if *attempt == task.attempt => (self.me.node, None),
            Phase::Remote(egress, watch) if egress.attempt == task.attempt => {
                (egress.lawful.node(), Some(self.now.since(watch.sent)))
            }
            _ => return,
        };
        let Some(digest) = digest else { return };
        match took {
            None => self.scheduler.observe(digest, cost),
            Some(took) => {
                if !hedged {
                    self.took(digest, took);
                }
                // What it waited there it would not wait at another time.
                let rtt = self.peers.get(by).and_then(|peer| peer.rtt()).unwrap_or(Micros(0));
                let took = Micros(took.0.saturating_sub(rtt.0).saturating_sub(cost.queued.0));
                self.peers.learned(by, digest, took);
                self.peers.answered(by);
                self.unbar(by, digest);
                self.served_elsewhere(id, digest);
            }
        }
        self.version_answered(id, digest);
        if let Some(affinity) = affinity.filter(|_| self.may_know_it(id, by, digest)) {
            self.affinities.learn(affinity, digest, by, cost.prefill);
        }
        self.turn_the_day();
        self.count_saved(id, by, cost);
        self.leave(id, Leave::Answered(cost));
        self.end(id, Ending::Answered { by, cost });
    }

    /// An attempt of a request of this node failed, here or elsewhere.
    pub(crate) fn own_failed(&mut self, task: Task, failure: Failure) {
        let id = task.request;
        if self.hedge_failed(task, &failure) {
            return;
        }
        let Some(request) = self.requests.get(&id) else { return };
        let (node, sent) = match &request.phase {
            Phase::Here(attempt) if *attempt == task.attempt => (None, self.now),
            Phase::Remote(egress, watch) if egress.attempt == task.attempt => (Some(egress.lawful.node()), watch.sent),
            _ => return,
        };
        let failure = self.bar(id, node, failure, sent);
        self.blame(id, node, &failure);
        self.version_failed(id, &failure);
        self.attempt_over(id, failure, Leave::Over);
    }

    /// Remembers of a place that failed under a request, a peer or this node, what the next choice should know.
    pub(crate) fn blame(&mut self, id: RequestId, node: Option<NodeId>, failure: &Failure) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Some(node) = node else {
            match failure {
                // The same engine would do the same again, or has just said that it has no room.
                Failure::Engine(_) | Failure::Declined(_) | Failure::BadInput(_) => {
                    request.losses_here = limits::LOSSES_HERE_MAX;
                }
                Failure::EngineLost
                | Failure::EngineCrashed(_)
                | Failure::Unreachable
                | Failure::Silent
                | Failure::Stuck
                | Failure::Severed(_) => {
                    request.losses_here += 1;
                }
            }
            return;
        };
        match failure {
            Failure::Unreachable | Failure::Silent | Failure::Severed(_) => self.peers.struck(node, self.now),
            Failure::Stuck => self.peers.stuck(node, self.now),
            Failure::Declined(refusal) if is_want_of_room(refusal) => {
                request.digest.inspect(|digest| self.peers.declined(node, *digest, self.now));
            }
            Failure::Declined(_)
            | Failure::BadInput(_)
            | Failure::EngineLost
            | Failure::EngineCrashed(_)
            | Failure::Engine(_) => {}
        }
    }

    /// Stops a request that runs here for want of power; it goes on elsewhere, or here when power is back.
    pub(crate) fn preempt_own(&mut self, id: RequestId) {
        if self.preempt_hedge(id) {
            return;
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.preempted = true;
        }
        let cap = self.scheduler.power().cap();
        let failure = Failure::Declined(Refusal::NoPower { cap });
        self.attempt_over(id, failure, Leave::Stop(Outcome::Refused));
    }

    /// The law is asked again about a request, wherever it is.
    pub(crate) fn judge_anew(&mut self, id: RequestId) {
        if mutant!(OwnNotJudgedAnew) {
            return;
        }
        self.judge_hedge_anew(id);
        let Some(request) = self.requests.get(&id) else { return };
        let target = match &request.phase {
            Phase::Here(_) => Some(&self.me),
            Phase::Remote(egress, _) => self.peers.get(egress.lawful.node()).map(|peer| &peer.member),
            // Asked again before it leaves.
            Phase::Placing | Phase::Offering(..) => return,
            Phase::Queued => return self.look_again(id),
        };
        let Some(digest) = request.digest else { return };
        match target.map(|target| self.gate(&request.envelope, digest, target)) {
            Some(Ok(_)) => {}
            Some(Err(denial)) => self.stop_unlawful(id, denial),
            None => self.attempt_over(id, Failure::Unreachable, Leave::Stop(Outcome::Refused)),
        }
    }

    /// Leaves a place that does not belong any more.
    pub(crate) fn leave_removed(&mut self, id: RequestId, node: NodeId) {
        self.leave_removed_hedge(id, node);
        let Some(request) = self.requests.get(&id) else { return };
        let there = match &request.phase {
            Phase::Remote(egress, _) | Phase::Offering(egress, _) => egress.lawful.node() == node,
            Phase::Placing | Phase::Queued | Phase::Here(_) => false,
        };
        if there {
            self.attempt_over(id, Failure::Unreachable, Leave::Stop(Outcome::Refused));
        }
    }

    /// A peer was started anew: what this node had there is gone, and nobody is to blame for it. No request is sent
    /// there twice: it may have been what ended the old start.
    pub(crate) fn leave_restarted(&mut self, node: NodeId) {
        let requests: Vec<RequestId> = self.requests.keys().copied().collect();
        for id in requests {
            if let Some(request) = self.requests.get_mut(&id) {
                request.unheard = request.unheard.filter(|(unheard, _)| *unheard != node);
            }
            self.leave_removed(id, node);
        }
    }

    /// Places a request that waits here once more: something changed.
    pub(crate) fn look_again(&mut self, id: RequestId) {
        if self.requests.get(&id).is_some_and(|request| matches!(request.phase, Phase::Queued)) {
            self.leave(id, Leave::Over);
            self.place(id);
        }
    }

    pub(crate) fn stop_unlawful(&mut self, id: RequestId, denial: Denial) {
        let failure = Failure::Declined(Refusal::UnlawfulThere(denial));
        self.attempt_over(id, failure, Leave::Stop(Outcome::Refused));
    }

    /// An attempt ended without an answer: its second copy, or the next lawful place, unless the request itself is wrong.
    pub(crate) fn attempt_over(&mut self, id: RequestId, failure: Failure, leave: Leave) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.remember(failure.clone());
        let site = match &request.phase {
            Phase::Offering(egress, _) | Phase::Remote(egress, _) => egress.to.site.clone(),
            Phase::Placing | Phase::Queued | Phase::Here(_) => self.me.site.clone(),
        };
        let leave = match (leave, &failure) {
            (Leave::Over, Failure::Declined(Refusal::Withheld { .. })) => Leave::Withheld,
            (Leave::Over, Failure::Declined(_) | Failure::BadInput(_)) => Leave::Declined,
            (leave, _) => leave,
        };
        self.leave(id, leave);
        self.trace.step(id, Step::AttemptFailed { site, failure: failure.clone() }, self.now);
        match failure {
            Failure::BadInput(_) | Failure::Severed(_) => self.fail(id, failure),
            Failure::Declined(_)
            | Failure::EngineLost
            | Failure::EngineCrashed(_)
            | Failure::Engine(_)
            | Failure::Unreachable
            | Failure::Silent
            | Failure::Stuck => {
                if !self.go_on_with_hedge(id) {
                    self.leave_new_version(id, &failure);
                    self.place(id);
                }
            }
        }
    }

    /// Leaves the place where a request is, settling what left.
    pub(crate) fn leave(&mut self, id: RequestId, leave: Leave) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let phase = std::mem::replace(&mut request.phase, Phase::Placing);
        match &phase {
            Phase::Placing | Phase::Here(_) => {}
            Phase::Queued => {
                request.holding = false;
                self.timers.clear(Timer::Hold(id));
            }
            Phase::Offering(..) | Phase::Remote(..) => {
                self.timers.clear(Timer::Watch(id));
                self.timers.clear(Timer::Hedge(id));
            }
        }
        self.part_from(id, phase, &leave);
    }

    /// Takes leave of one copy of a request.
    pub(crate) fn part_from(&mut self, id: RequestId, phase: Phase, leave: &Leave) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let origin = self.me.node;
        match phase {
            Phase::Placing => {}
            Phase::Queued => {
                self.scheduler.dequeue(Job::Own(id));
            }
            Phase::Offering(egress, pending) => {
                if let Some(ticket) = pending.ticket {
                    self.tickets.remove(&ticket);
                }
                self.settle(id, egress, ByteCount(0), leave);
            }
            Phase::Remote(egress, _) => {
                let bytes = request.envelope.size;
                if let Leave::Stop(_) = leave
                    && !mutant!(NeverAbandons)
                {
                    let task = Task { origin, request: id, attempt: egress.attempt };
                    self.act(Action::Abandon { task, peer: egress.lawful.node() });
                }
                self.settle(id, egress, bytes, leave);
            }
            Phase::Here(attempt) => {
                let task = Task { origin, request: id, attempt };
                if let Some((_, energy)) = self.scheduler.end(task, self.now) {
                    request.energy.0 += energy.0;
                    self.trace.totals.energy.0 += energy.0;
                }
                if let Leave::Stop(_) = leave
                    && !mutant!(OwnRunNotStopped)
                {
                    self.act(Action::StopRun(task));
                }
            }
        }
    }

    fn settle(&mut self, id: RequestId, egress: Egress, bytes: ByteCount, leave: &Leave) {
        let bill = match leave {
            Leave::Answered(cost) => Bill::Known(*cost),
            Leave::Withheld => Bill::Nothing,
            Leave::Over | Leave::Declined | Leave::Stop(_) if bytes.0 == 0 => Bill::Nothing,
            Leave::Over | Leave::Stop(_) => Bill::Guessed,
            Leave::Declined => Bill::Free,
        };
        self.settle_spending(&egress.held, bill);
        let Some(request) = self.requests.get(&id) else { return };
        if mutant!(OnlyAnswersSettled) && !matches!(leave, Leave::Answered(_)) {
            return;
        }
        if self.kind_of(egress.lawful.node()) == PlaceKind::Home {
            return;
        }
        let (answer, outcome) = match leave {
            Leave::Answered(cost) => (cost.answer, Outcome::Answered),
            Leave::Over | Leave::Declined | Leave::Withheld => (ByteCount(0), Outcome::Refused),
            Leave::Stop(outcome) => (ByteCount(0), *outcome),
        };
        let subject = self.subject(id, egress.attempt, &request.envelope, Some(egress.digest));
        // Which way it went is for the hands to say.
        let Egress { to, left_by, .. } = egress;
        self.note(Fact::EgressSettled { subject, to, bytes, answer, outcome, left_by, over: None });
    }
}
