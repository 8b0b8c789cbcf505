//! A task of a peer, from its asking to the end that the peer is told. Our own law decides, whatever the peer's said.

use std::collections::{BTreeSet, VecDeque};

use hither_types::fact::{Counterpart, Fact, Outcome};
use hither_types::id::{Digest, Task};
use hither_types::law::Denial;
use hither_types::message::Signal;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope, Prefix, Quality};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};
use hither_types::view::{RequestState, Step};

use crate::catalog::Stage;
use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter, forbid_of};
use crate::memory::Want;
use crate::router::{Gate, Lawful, patience};
use crate::scheduler::{Hold, Job, Waiting};
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// A task of a peer that has not ended here.
#[derive(Debug)]
pub(crate) struct Hosted {
    envelope: Envelope,
    digest: Digest,
    from: Counterpart,
    /// Whether its record says that what is read of it may stay here.
    prefix: Prefix,
    deadline: Timestamp,
    arrived: Timestamp,
    phase: Phase,
}

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its acceptance to be on the record; with whether a slot is kept for it.
    Recording { slot: bool },
    /// A slot.
    Queued,
    /// The engine.
    Running,
}

/// An offer of a peer that was accepted and has not come yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    digest: Digest,
    /// A slot is kept for it; otherwise it was promised a place in the queue.
    slot: bool,
}

/// Tasks of peers that ended a moment ago: a late copy of one is not run again.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    tasks: BTreeSet<Task>,
    order: VecDeque<(Timestamp, Task)>,
}

impl Ended {
    fn add(&mut self, task: Task, now: Timestamp) {
        let expired = |at: &Timestamp| now.since(*at) > limits::ENDED_FOR;
        while self.order.len() >= limits::ENDED_MAX || self.order.front().is_some_and(|(at, _)| expired(at)) {
            let Some((_, oldest)) = self.order.pop_front() else { break };
            self.tasks.remove(&oldest);
        }
        if self.tasks.insert(task) {
            self.order.push_back((now, task));
        }
    }

    fn contains(&self, task: Task) -> bool {
        self.tasks.contains(&task)
    }
}

/// The word to a peer whose answer may not leave today: it has none for budgets, and need not know of them.
const SPENT: Refusal = Refusal::NoCapacity { tried: 0 };

impl Phase {
    fn is_recording(self) -> bool {
        matches!(self, Self::Recording { .. })
    }
}

impl Core {
    /// A peer asks whether it may send a request. A yes keeps a slot for a moment, or the place in the queue that the
    /// peer believes in.
    pub(crate) fn offered(
        &mut self,
        task: Task,
        digest: Digest,
        envelope: &Envelope,
        remaining: Micros,
        promised: Micros,
    ) {
        if self.kept.contains_key(&task) || self.hosted.contains_key(&task) || self.ended.contains(task) {
            return;
        }
        let Some(from) = self.asker(task) else { return };
        let Task { origin: peer, request, attempt } = task;
        let answer = match self.gate_for(task, digest, envelope) {
            Ok(_) if self.is_spent_for(&from) => Err(SPENT),
            Ok(_) => {
                // It is asked for where nobody has it open: the next offer will find it so.
                self.demand(digest, Want::Urgent);
                self.room_for(digest, envelope, remaining, Some(promised))
            }
            Err(denial) => {
                let subject = self.subject(request, attempt, envelope, Some(digest));
                self.note(Fact::IngressRefused { subject, from, rule: forbid_of(&denial) });
                Err(Refusal::UnlawfulThere(denial))
            }
        };
        let signal = match answer {
            Ok(slot) => {
                if slot {
                    self.scheduler.keep(digest);
                }
                self.kept.insert(task, Kept { digest, slot });
                if !mutant!(KeptForEver) {
                    self.timers.set(Timer::Kept(task), self.now.after(limits::KEPT_FOR));
                }
                Signal::Accept { request, attempt, load: self.load(digest) }
            }
            Err(refusal) => Signal::Reject { request, attempt, refusal, load: self.load(digest) },
        };
        self.act(Action::Tell { peer, signal });
    }

    /// What was accepted did not come in time.
    pub(crate) fn kept_over(&mut self, task: Task) {
        self.timers.clear(Timer::Kept(task));
        if let Some(Kept { digest, slot: true }) = self.kept.remove(&task) {
            self.scheduler.unkeep(digest);
        }
    }

    pub(crate) fn asked(&mut self, task: Task, digest: Digest, envelope: Envelope, remaining: Micros) {
        if self.hosted.contains_key(&task) || self.ended.contains(task) {
            return;
        }
        let kept = self.kept.get(&task).copied().filter(|kept| kept.digest == digest);
        let stolen = kept.is_none() && self.claim_begged(task, digest);
        let decline = |core: &mut Self, refusal| {
            core.kept_over(task);
            if stolen {
                core.scheduler.unkeep(digest);
            }
            core.act(Action::DeclineAsk { task, refusal });
        };
        let Some(from) = self.asker(task) else {
            return decline(self, Refusal::NotAMember);
        };
        let rule = match self.gate_for(task, digest, &envelope) {
            Ok(lawful) => lawful.rule().clone(),
            Err(denial) => {
                let subject = self.subject(task.request, task.attempt, &envelope, Some(digest));
                self.note(Fact::IngressRefused { subject, from, rule: forbid_of(&denial) });
                return decline(self, Refusal::UnlawfulThere(denial));
            }
        };
        if self.is_spent_for(&from) {
            return decline(self, SPENT);
        }
        let slot = match (kept, stolen) {
            (Some(kept), _) => kept.slot,
            (None, true) => true,
            (None, false) => match self.room_for(digest, &envelope, remaining, None) {
                Ok(slot) => {
                    if slot {
                        self.scheduler.keep(digest);
                    }
                    slot
                }
                Err(refusal) => return decline(self, refusal),
            },
        };
        // Whatever was kept is the task's now.
        self.kept.remove(&task);
        self.timers.clear(Timer::Kept(task));
        let (deadline, arrived) = (self.now.after(remaining), self.now);
        self.timers.set(Timer::Hosted(task), deadline);
        self.trace.open(task.request, &envelope, false, self.now);
        if let Some(stock) = &mut self.stock {
            stock.asked_by(task.origin, digest);
        }
        let subject = self.subject(task.request, task.attempt, &envelope, Some(digest));
        let bytes = envelope.size;
        let cache = self.may_cache_of(task.origin, &envelope, digest);
        let prefix = Prefix::from(cache.as_ref());
        self.note_first(Waiter::Peer(task), Fact::IngressAccepted { subject, from: from.clone(), rule, cache, bytes });
        let phase = Phase::Recording { slot };
        self.hosted.insert(task, Hosted { envelope, digest, from, prefix, deadline, arrived, phase });
        if mutant!(AcceptedBeforeRecorded) {
            self.ingress_recorded(task);
        }
        if remaining == Micros(0) || self.draining || !self.scheduler.is_ready(digest) {
            // It was promised a slot when things were otherwise.
            let refusal = if self.draining { Refusal::Stopping } else { Refusal::NoCapacity { tried: 0 } };
            let late = remaining == Micros(0);
            self.decline_running(task, if late { Refusal::DeadlinePassed } else { refusal });
        }
    }

    /// Who asks, as the ledger names it.
    fn asker(&self, task: Task) -> Option<Counterpart> {
        self.peers.get(task.origin).map(|peer| Counterpart::of(&peer.member, PlaceKind::Peer))
    }

    /// The law of this node about a task of a peer.
    fn gate_for(&self, task: Task, digest: Digest, envelope: &Envelope) -> Result<Lawful, Denial> {
        let Some(origin) = self.peers.get(task.origin) else { return Err(Denial::NotPermitted { nearest: None }) };
        let origin = if mutant!(ReceiverJudgesItself) { &self.me } else { &origin.member };
        let (gate, model) = (Gate { law: &self.law, origin }, self.model_name(digest, envelope));
        gate.request(envelope, &model).at(&self.me, PlaceKind::Peer).map_err(|no| no.in_words())
    }

    /// Whether a task would have a slot at once, if it would not wait too long for one. A place in the queue is given if
    /// the wait is about what the peer was promised.
    fn room_for(
        &self,
        digest: Digest,
        envelope: &Envelope,
        remaining: Micros,
        promised: Option<Micros>,
    ) -> Result<bool, Refusal> {
        if self.draining {
            return Err(Refusal::Stopping);
        }
        if remaining == Micros(0) {
            return Err(Refusal::DeadlinePassed);
        }
        let (asked, name) = (&envelope.model, self.model_name(digest, envelope));
        let stands_in = envelope.quality == Quality::Family && self.ladder.stands_in(&name, asked);
        let usable = self.catalog.manifest(digest).is_some() && !self.catalog.has_expired(digest);
        if !usable || name != *asked && !stands_in {
            return Err(Refusal::UnknownModel(asked.clone()));
        }
        if self.catalog.stage(digest).is_broken() {
            return Err(Refusal::ModelBroken(asked.clone()));
        }
        let power = Refusal::NoPower { cap: self.scheduler.power().cap() };
        let hold = self.scheduler.hold(digest, envelope.priority);
        if hold == Some(Hold::Engine) {
            let stage = self.catalog.stage(digest);
            let soon = stage == Stage::Loading || stage == Stage::Cold && self.could_fit(digest);
            let retry_after = limits::LOAD_LOOK;
            return Err(if soon { Refusal::Overloaded { retry_after } } else { Refusal::NoCapacity { tried: 0 } });
        }
        let Some(wait) = self.scheduler.wait(digest, envelope.priority, self.now) else { return Err(power) };
        if hold.is_none() && self.hosted.len() < limits::HOSTED_MAX {
            return Ok(true);
        }
        // Tasks whose acceptance is being written have no place in the queue yet, and will want one.
        let coming = u64::from(self.coming_for_peers(digest));
        let service = self.scheduler.service_or_guess(digest).0;
        let more = service.saturating_mul(coming) / u64::from(self.scheduler.slots(digest).max(1));
        let wait = Micros(wait.0.saturating_add(more));
        let slack = |promised: Micros| {
            let share = promised.0.saturating_mul(limits::PROMISE_SLACK_PERCENT) / 100;
            Micros(promised.0.saturating_add(limits::PROMISE_SLACK.0.max(share)))
        };
        let most = patience(remaining).min(limits::QUEUE_FOR_PEER);
        let most = promised.map_or(most, |promised| slack(promised).min(most));
        let most = if mutant!(PromiseIgnored) { Micros(u64::MAX) } else { most };
        if wait > most || self.hosted.len() >= limits::HOSTED_MAX {
            let retry_after = wait.clamp(limits::RETRY_AFTER_MIN, limits::RETRY_AFTER_MAX);
            return Err(if hold == Some(Hold::Power) { power } else { Refusal::Overloaded { retry_after } });
        }
        Ok(false)
    }

    /// The acceptance is on the record: the task is accepted, and runs or waits.
    pub(crate) fn ingress_recorded(&mut self, task: Task) {
        if mutant!(AcceptedBeforeRecorded) && self.hosted.get(&task).is_none_or(|hosted| !hosted.phase.is_recording()) {
            return;
        }
        self.give_up_slot(task);
        let Some(hosted) = self.hosted.get_mut(&task) else { return };
        hosted.phase = Phase::Queued;
        if let Err(denial) = self.judge_hosted(task)
            && !mutant!(LawNotAskedBeforeAccepting)
        {
            return self.decline_running(task, Refusal::UnlawfulThere(denial));
        }
        let Some(hosted) = self.hosted.get(&task) else { return };
        if self.now >= hosted.deadline {
            return self.hosted_too_late(task);
        }
        let (digest, priority) = (hosted.digest, hosted.envelope.priority);
        let waiting = Waiting { job: Job::Peer(task), digest, priority, not_before: self.now };
        if !self.scheduler.is_ready(digest) {
            return self.decline_running(task, Refusal::NoCapacity { tried: 0 });
        }
        // The slot that was kept for it is its own, whoever waits.
        if self.scheduler.hold(digest, priority).is_none() {
            self.act(Action::Accept(task));
            return self.start_hosted(task);
        }
        match self.scheduler.enqueue(waiting) {
            false => self.decline_running(task, Refusal::Overloaded { retry_after: limits::DECLINED_FOR }),
            true => self.act(Action::Accept(task)),
        }
    }

    /// A slot that was kept for a task is free again, or the task takes it now.
    fn give_up_slot(&mut self, task: Task) {
        let Some(hosted) = self.hosted.get_mut(&task) else { return };
        if let Phase::Recording { slot } = &mut hosted.phase
            && std::mem::replace(slot, false)
        {
            let digest = hosted.digest;
            self.scheduler.unkeep(digest);
        }
    }

    pub(crate) fn ingress_not_recorded(&mut self, task: Task) {
        if self.part(task).is_some() {
            self.act(Action::DeclineAsk { task, refusal: Refusal::LedgerUnavailable });
        }
    }

    /// Starts a task that waited, where a slot is free.
    pub(crate) fn start_hosted(&mut self, task: Task) {
        let Some(hosted) = self.hosted.get_mut(&task) else { return };
        if self.now >= hosted.deadline && !mutant!(LateStarts) {
            return self.hosted_too_late(task);
        }
        hosted.phase = Phase::Running;
        let (digest, priority, envelope) = (hosted.digest, hosted.envelope.priority, hosted.envelope.clone());
        let said = hosted.prefix;
        let waiting = Waiting { job: Job::Peer(task), digest, priority, not_before: self.now };
        self.start(task, waiting);
        self.trace.step(task.request, Step::ServedFor { node: task.origin }, self.now);
        // What its record does not say stays nowhere, whatever is permitted by now.
        let prefix = match said {
            Prefix::Stays => Prefix::from(self.may_cache_of(task.origin, &envelope, digest).as_ref()),
            Prefix::Goes => Prefix::Goes,
        };
        self.act(Action::Run { task, digest, prefix });
    }

    pub(crate) fn hosted_done(&mut self, task: Task, cost: Cost) {
        if self.hosted.get(&task).is_none_or(|hosted| hosted.phase != Phase::Running) {
            return;
        }
        let Some(hosted) = self.part(task) else { return };
        self.scheduler.observe(hosted.digest, cost);
        self.trace.totals.served_for_peers += 1;
        self.trace.totals.egress_answers.0 += cost.answer.0;
        self.count_answer(&hosted.from, cost.answer);
        self.trace.state(task.request, RequestState::Answered(self.now.since(hosted.arrived)));
        self.note_answer(task, &hosted, cost.answer, Outcome::Answered);
        self.act(Action::FinishAsk { task, cost });
    }

    /// The engine of this node failed under a task of a peer: the peer goes elsewhere.
    pub(crate) fn hosted_failed(&mut self, task: Task, failure: Failure) {
        if let Some(hosted) = self.part(task) {
            self.trace.state(task.request, RequestState::Failed(failure.clone()));
            self.note_answer(task, &hosted, ByteCount(0), Outcome::Refused);
            self.act(Action::FailAsk { task, failure });
        }
    }

    /// The engine that a task waits for or runs on is gone.
    pub(crate) fn hosted_engine_gone(&mut self, digest: Digest) {
        let tasks = self.hosted.iter().filter(|(_, hosted)| hosted.digest == digest && !hosted.phase.is_recording());
        let tasks: Vec<Task> = tasks.map(|(task, _)| *task).collect();
        for task in tasks {
            self.hosted_failed(task, Failure::EngineLost);
        }
    }

    pub(crate) fn asker_gone(&mut self, task: Task) {
        let running = self.is_hosted_running(task);
        if let Some(hosted) = self.part(task) {
            self.trace.state(task.request, RequestState::Cancelled);
            self.trace.step(task.request, Step::Cancelled, self.now);
            if running && !mutant!(CancelledRunsOn) {
                self.act(Action::StopRun(task));
            }
            self.note_answer(task, &hosted, ByteCount(0), Outcome::Cancelled);
        }
    }

    pub(crate) fn hosted_too_late(&mut self, task: Task) {
        self.decline_running(task, Refusal::DeadlinePassed);
    }

    pub(crate) fn preempt_hosted(&mut self, task: Task) {
        let cap = self.scheduler.power().cap();
        self.decline_running(task, Refusal::NoPower { cap });
    }

    /// The law changed: a task of a peer that it does not allow any more stops.
    pub(crate) fn judge_hosted_anew(&mut self, task: Task) {
        // One whose acceptance is being written is judged again before it is accepted.
        let accepted =
            !mutant!(HostedNotJudgedAnew) && self.hosted.get(&task).is_some_and(|hosted| !hosted.phase.is_recording());
        if accepted && let Err(denial) = self.judge_hosted(task) {
            self.decline_running(task, Refusal::UnlawfulThere(denial));
        }
    }

    fn judge_hosted(&self, task: Task) -> Result<Lawful, Denial> {
        let hosted = self.hosted.get(&task).ok_or(Denial::NotPermitted { nearest: None })?;
        self.gate_for(task, hosted.digest, &hosted.envelope)
    }

    /// Stops a task whose acceptance is on the record, with a "no" that sends the peer elsewhere.
    pub(crate) fn decline_running(&mut self, task: Task, refusal: Refusal) {
        let running = self.is_hosted_running(task);
        let Some(hosted) = self.part(task) else { return };
        self.trace.state(task.request, RequestState::Refused(refusal.clone()));
        self.trace.step(task.request, Step::Refused(refusal.clone()), self.now);
        if running {
            self.act(Action::StopRun(task));
        }
        self.note_answer(task, &hosted, ByteCount(0), Outcome::Refused);
        self.act(Action::FailAsk { task, failure: Failure::Declined(refusal) });
    }

    /// Tasks of peers on one model.
    pub(crate) fn hosted_on(&self, digest: Digest) -> Vec<Task> {
        let on = self.hosted.iter().filter(|(_, hosted)| hosted.digest == digest);
        on.map(|(task, _)| *task).collect()
    }

    /// When a task of a peer must have ended.
    pub(crate) fn hosted_deadline(&self, task: Task) -> Option<Timestamp> {
        self.hosted.get(&task).map(|hosted| hosted.deadline)
    }

    fn is_hosted_running(&self, task: Task) -> bool {
        self.hosted.get(&task).is_some_and(|hosted| hosted.phase == Phase::Running)
    }

    /// Takes a task out of everything; what it took is counted.
    fn part(&mut self, task: Task) -> Option<Hosted> {
        if !mutant!(KeptLeaks) {
            self.give_up_slot(task);
        }
        let hosted = self.hosted.remove(&task)?;
        self.timers.clear(Timer::Hosted(task));
        self.ended.add(task, self.now);
        self.scheduler.dequeue(Job::Peer(task));
        if let Some((_, energy)) = self.scheduler.end(task, self.now) {
            self.trace.totals.energy.0 += energy.0;
        }
        Some(hosted)
    }

    fn note_answer(&mut self, task: Task, hosted: &Hosted, bytes: ByteCount, outcome: Outcome) {
        let subject = self.subject(task.request, task.attempt, &hosted.envelope, Some(hosted.digest));
        self.note(Fact::AnswerSent { subject, to: hosted.from.clone(), bytes, outcome, over: None });
    }

    /// Tasks of peers that wait for their acceptance to be written and have no slot kept, by model.
    pub(crate) fn coming_for_peers(&self, digest: Digest) -> u16 {
        let coming = self
            .hosted
            .values()
            .filter(|hosted| hosted.digest == digest && hosted.phase == Phase::Recording { slot: false });
        u16::try_from(coming.count()).unwrap_or(u16::MAX)
    }
}
