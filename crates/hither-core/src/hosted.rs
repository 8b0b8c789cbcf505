//! A task of a peer, from its asking to the end that the peer is told. Our own law decides, whatever the peer's said.

use std::collections::{BTreeSet, VecDeque};

use hither_types::fact::{Counterpart, Fact, Outcome};
use hither_types::id::{Digest, Task};
use hither_types::law::Denial;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};
use hither_types::view::{RequestState, Step};

use crate::catalog::Stage;
use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter, counterpart, forbid_of};
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
    deadline: Timestamp,
    arrived: Timestamp,
    phase: Phase,
}

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its acceptance to be on the record.
    Recording,
    /// A slot.
    Queued,
    /// The engine.
    Running,
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

impl Core {
    pub(crate) fn asked(&mut self, task: Task, envelope: Envelope, remaining: Micros) {
        if self.hosted.contains_key(&task) || self.ended.contains(task) {
            return;
        }
        let Some(from) = self.peers.get(task.origin).map(|peer| counterpart(&peer.member)) else {
            return self.act(Action::DeclineAsk { task, refusal: Refusal::NotAMember });
        };
        let rule = match self.gate_for(task, &envelope) {
            Ok(lawful) => lawful.rule().clone(),
            Err(denial) => {
                let subject = self.subject(task.request, task.attempt, &envelope);
                self.note(Fact::IngressRefused { subject, from, rule: forbid_of(&denial) });
                return self.act(Action::DeclineAsk { task, refusal: Refusal::UnlawfulThere(denial) });
            }
        };
        let digest = match self.room_for(&envelope, remaining) {
            Ok(digest) => digest,
            Err(refusal) => return self.act(Action::DeclineAsk { task, refusal }),
        };
        let (deadline, arrived) = (self.now.after(remaining), self.now);
        self.timers.set(Timer::Hosted(task), deadline);
        self.trace.open(task.request, &envelope, false, self.now);
        let subject = self.subject(task.request, task.attempt, &envelope);
        let bytes = envelope.size;
        self.note_first(Waiter::Peer(task), Fact::IngressAccepted { subject, from: from.clone(), rule, bytes });
        self.hosted.insert(task, Hosted { envelope, digest, from, deadline, arrived, phase: Phase::Recording });
    }

    /// The law of this node about a task of a peer.
    fn gate_for(&self, task: Task, envelope: &Envelope) -> Result<Lawful, Denial> {
        let Some(origin) = self.peers.get(task.origin) else { return Err(Denial::NotPermitted { nearest: None }) };
        let gate = Gate { policy: &self.policy, origin: &origin.member };
        gate.infer(envelope, &self.me, PlaceKind::Peer)
    }

    /// The model that a task would run on, if it would not wait too long for it.
    fn room_for(&self, envelope: &Envelope, remaining: Micros) -> Result<Digest, Refusal> {
        if self.draining {
            return Err(Refusal::Stopping);
        }
        if remaining == Micros(0) {
            return Err(Refusal::DeadlinePassed);
        }
        let model = &envelope.model;
        let digest = self.catalog.resolve(model).ok_or_else(|| Refusal::UnknownModel(model.clone()))?;
        if self.catalog.stage(digest) == Stage::Quarantined {
            return Err(Refusal::ModelBroken(model.clone()));
        }
        let power = Refusal::NoPower { cap: self.scheduler.power().cap() };
        let hold = self.scheduler.hold(digest, envelope.priority);
        if hold == Some(Hold::Engine) {
            return Err(Refusal::NoCapacity { tried: 0 });
        }
        let Some(wait) = self.scheduler.wait(digest, envelope.priority) else { return Err(power) };
        // Tasks whose acceptance is being written have no slot yet, and will want one.
        let coming = self.hosted.values().filter(|hosted| hosted.digest == digest && hosted.phase == Phase::Recording);
        let coming = coming.count() as u64;
        let free = match hold {
            None => u64::from(self.scheduler.slots(digest).saturating_sub(self.scheduler.busy(digest))),
            Some(Hold::Engine | Hold::Slots | Hold::Power) => 0,
        };
        let ahead = if free == 0 { coming } else { (coming + 1).saturating_sub(free) };
        let service = self.scheduler.service_or_guess(digest).0;
        let more = service.saturating_mul(ahead) / u64::from(self.scheduler.slots(digest).max(1));
        let wait = Micros(wait.0.saturating_add(more));
        if wait > patience(remaining).min(limits::QUEUE_FOR_PEER) || self.hosted.len() >= limits::HOSTED_MAX {
            let retry_after = wait.clamp(limits::RETRY_AFTER_MIN, limits::RETRY_AFTER_MAX);
            return Err(if hold == Some(Hold::Power) { power } else { Refusal::Overloaded { retry_after } });
        }
        Ok(digest)
    }

    /// The acceptance is on the record: the task is accepted, and runs or waits.
    pub(crate) fn ingress_recorded(&mut self, task: Task) {
        let Some(hosted) = self.hosted.get_mut(&task) else { return };
        hosted.phase = Phase::Queued;
        if let Err(denial) = self.judge_hosted(task) {
            return self.decline_running(task, Refusal::UnlawfulThere(denial));
        }
        let Some(hosted) = self.hosted.get(&task) else { return };
        if self.now >= hosted.deadline {
            return self.hosted_too_late(task);
        }
        let digest = hosted.digest;
        let waiting = Waiting { job: Job::Peer(task), digest, priority: hosted.envelope.priority };
        match self.scheduler.is_ready(digest) {
            false => self.decline_running(task, Refusal::NoCapacity { tried: 0 }),
            true if !self.scheduler.enqueue(waiting) => {
                self.decline_running(task, Refusal::Overloaded { retry_after: limits::DECLINED_FOR });
            }
            true => self.act(Action::Accept(task)),
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
        if self.now >= hosted.deadline {
            return self.hosted_too_late(task);
        }
        hosted.phase = Phase::Running;
        let digest = hosted.digest;
        let waiting = Waiting { job: Job::Peer(task), digest, priority: hosted.envelope.priority };
        self.scheduler.start(task, waiting, self.now);
        self.trace.step(task.request, Step::ServedFor { node: task.origin }, self.now);
        self.act(Action::Run { task, digest });
    }

    pub(crate) fn hosted_done(&mut self, task: Task, cost: Cost) {
        if self.hosted.get(&task).is_none_or(|hosted| hosted.phase != Phase::Running) {
            return;
        }
        let Some(hosted) = self.part(task) else { return };
        self.scheduler.observe(hosted.digest, cost);
        self.trace.totals.served_for_peers += 1;
        self.trace.totals.egress_answers.0 += cost.answer.0;
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
        let tasks =
            self.hosted.iter().filter(|(_, hosted)| hosted.digest == digest && hosted.phase != Phase::Recording);
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
            if running {
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
        let accepted = self.hosted.get(&task).is_some_and(|hosted| hosted.phase != Phase::Recording);
        if accepted && let Err(denial) = self.judge_hosted(task) {
            self.decline_running(task, Refusal::UnlawfulThere(denial));
        }
    }

    fn judge_hosted(&self, task: Task) -> Result<Lawful, Denial> {
        let hosted = self.hosted.get(&task).ok_or(Denial::NotPermitted { nearest: None })?;
        self.gate_for(task, &hosted.envelope)
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

    fn is_hosted_running(&self, task: Task) -> bool {
        self.hosted.get(&task).is_some_and(|hosted| hosted.phase == Phase::Running)
    }

    /// Takes a task out of everything; what it took is counted.
    fn part(&mut self, task: Task) -> Option<Hosted> {
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
        let subject = self.subject(task.request, task.attempt, &hosted.envelope);
        self.note(Fact::AnswerSent { subject, to: hosted.from.clone(), bytes, outcome });
    }

    /// Tasks of peers that wait for their acceptance to be written, by model.
    pub(crate) fn coming_for_peers(&self, digest: Digest) -> u16 {
        let coming = self.hosted.values().filter(|hosted| hosted.digest == digest && hosted.phase == Phase::Recording);
        u16::try_from(coming.count()).unwrap_or(u16::MAX)
    }
}
