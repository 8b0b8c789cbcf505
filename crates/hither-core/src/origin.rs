//! A request that entered here, from the door to its one end.
//!
//! Whatever happens, it ends exactly once: every way out leads through [`Core::end`], and its deadline is the last.

use hither_types::fact::{Counterpart, Fact, Outcome};
use hither_types::id::{Attempt, Digest, NodeId, RequestId, SiteName, Task, Ticket};
use hither_types::law::Denial;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros, Millijoules};
use hither_types::view::{RequestState, Step};

use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter, counterpart};
use crate::router::{Lawful, Offer};
use crate::scheduler::{Job, Waiting};
use crate::timers::{Timer, Timers};

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) envelope: Envelope,
    pub(crate) deadline: Timestamp,
    arrived: Timestamp,
    /// The model that the name meant at first: a stream goes on with the same weights only.
    pub(crate) digest: Option<Digest>,
    pub(crate) attempts: u8,
    /// Peers that were tried: one try per place.
    pub(crate) tried: Vec<NodeId>,
    /// Times that the engine of this node was lost under it.
    pub(crate) losses_here: u8,
    /// Stopped here for want of power: it may wait for power to come back.
    pub(crate) preempted: bool,
    /// The ledger did not take its egress: it stays.
    pub(crate) grounded: bool,
    /// What to say if nothing is left; a failure counts more than a "no".
    pub(crate) failure: Option<Failure>,
    phase: Phase,
    moved: bool,
    energy: Millijoules,
}

/// What a request waits for.
#[derive(Debug)]
enum Phase {
    /// A place; only within one event.
    Placing,
    /// A slot, the model or power, here.
    Queued,
    /// Its egress to be on the record.
    Recording(Egress, Ticket),
    /// A peer.
    Remote(Egress, Watch),
    /// The engine of this node.
    Here(Attempt),
}

#[derive(Debug, Clone)]
struct Egress {
    attempt: Attempt,
    lawful: Lawful,
    to: Counterpart,
}

/// The two clocks of an attempt elsewhere: no frame at all, and frames without progress.
#[derive(Debug)]
struct Watch {
    silent_at: Timestamp,
    stuck_at: Timestamp,
    patience: Micros,
    progress: u64,
    beaten: bool,
}

impl Watch {
    fn due(&self) -> Timestamp {
        self.silent_at.min(self.stuck_at)
    }
}

/// How an attempt is left.
enum Leave {
    /// It answered, with so many bytes.
    Answered(ByteCount),
    /// It is over; the place knows.
    Over,
    /// The place has to be told to stop.
    Stop(Outcome),
}

/// How a request ends.
enum Ending {
    Answered { by: NodeId, cost: Cost },
    Refused(Refusal),
    Failed(Failure),
    Gone,
}

impl Request {
    fn new(envelope: Envelope, deadline: Timestamp, now: Timestamp) -> Self {
        Self {
            envelope,
            deadline,
            arrived: now,
            digest: None,
            attempts: 0,
            tried: Vec::new(),
            losses_here: 0,
            preempted: false,
            grounded: false,
            failure: None,
            phase: Phase::Placing,
            moved: false,
            energy: Millijoules(0),
        }
    }

    /// Whether its timers fit its phase.
    pub(crate) fn is_consistent(&self, id: RequestId, timers: &Timers) -> bool {
        let watched = timers.is_set(Timer::Watch(id));
        timers.is_set(Timer::Deadline(id))
            && match self.phase {
                Phase::Placing => false,
                Phase::Queued | Phase::Recording(..) | Phase::Here(_) => !watched,
                Phase::Remote(..) => watched,
            }
    }

    /// Remembers why a place did not answer.
    fn remember(&mut self, failure: Failure) {
        let declined = matches!(failure, Failure::Declined(_));
        let known_better = self.failure.as_ref().is_some_and(|known| !matches!(known, Failure::Declined(_)));
        if !(declined && known_better) {
            self.failure = Some(failure);
        }
    }
}

impl Core {
    pub(crate) fn submitted(&mut self, id: RequestId, envelope: Envelope, deadline: Timestamp) {
        if self.requests.contains_key(&id) {
            return;
        }
        let full = self.requests.len() >= limits::OPEN_MAX;
        self.trace.totals.requests += 1;
        self.trace.open(id, &envelope, true, self.now);
        self.trace.step(id, Step::Arrived, self.now);
        self.requests.insert(id, Request::new(envelope, deadline, self.now));
        self.timers.set(Timer::Deadline(id), deadline);
        if self.draining {
            self.end(id, Ending::Refused(Refusal::Stopping));
        } else if full {
            self.end(id, Ending::Refused(Refusal::Overloaded { retry_after: limits::DECLINED_FOR }));
        } else {
            self.place(id);
        }
    }

    pub(crate) fn client_gone(&mut self, id: RequestId) {
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
    pub(crate) fn wait_here(&mut self, id: RequestId, digest: Digest) -> bool {
        let Some(request) = self.requests.get_mut(&id) else { return false };
        let waiting = Waiting { job: Job::Own(id), digest, priority: request.envelope.priority };
        let room = self.scheduler.enqueue(waiting);
        if room {
            request.phase = Phase::Queued;
            self.trace.step(id, Step::Queued, self.now);
        }
        room
    }

    /// Starts a request that waited. The law is asked again: it may have changed.
    pub(crate) fn start_own(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.phase = Phase::Placing;
        let Some(digest) = request.digest else { return self.place(id) };
        let verdict = self.requests.get(&id).map(|request| self.gate(&request.envelope, &self.me));
        match verdict {
            Some(Ok(lawful)) => self.run_here(id, digest, lawful),
            Some(Err(_)) | None => self.place(id),
        }
    }

    /// Starts a request on the engine of this node, where a slot is free.
    pub(crate) fn run_here(&mut self, id: RequestId, digest: Digest, lawful: Lawful) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        request.attempts += 1;
        let attempt = Attempt(request.attempts);
        request.phase = Phase::Here(attempt);
        request.preempted = false;
        let task = Task { origin: self.me.node, request: id, attempt };
        let waiting = Waiting { job: Job::Own(id), digest, priority: request.envelope.priority };
        self.scheduler.start(task, waiting, self.now);
        let site = self.me.site.clone();
        let predicted = self.scheduler.service_or_guess(digest);
        self.trace.step(id, Step::Chosen { site: site.clone(), predicted }, self.now);
        self.served_at(id, attempt, site, &lawful);
        self.act(Action::Run { task, digest });
    }

    /// Chooses a peer: nothing leaves before the egress is on the record.
    pub(crate) fn choose_peer(&mut self, id: RequestId, offer: Offer) {
        let predicted = offer.predicted();
        let lawful = offer.lawful;
        let Some(to) = self.peers.get(lawful.node()).map(|peer| counterpart(&peer.member)) else { return };
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.attempts += 1;
        request.tried.push(lawful.node());
        let attempt = Attempt(request.attempts);
        let (bytes, envelope) = (request.envelope.size, request.envelope.clone());
        self.trace.step(id, Step::Chosen { site: to.site.clone(), predicted }, self.now);
        let subject = self.subject(id, attempt, &envelope);
        let fact = Fact::EgressIntent { subject, to: to.clone(), rule: lawful.rule().clone(), bytes };
        let ticket = self.note_first(Waiter::Own(id), fact);
        if let Some(request) = self.requests.get_mut(&id) {
            request.phase = Phase::Recording(Egress { attempt, lawful, to }, ticket);
        }
    }

    /// The egress is on the record. The law, the deadline and the peer are looked at once more, then it leaves.
    pub(crate) fn egress_recorded(&mut self, id: RequestId, ticket: Ticket) {
        let Some(request) = self.requests.get(&id) else { return };
        let Phase::Recording(egress, waited_for) = &request.phase else { return };
        debug_assert_eq!(*waited_for, ticket, "a request waits for one ticket");
        let (egress, envelope) = (egress.clone(), request.envelope.clone());
        self.trace.step(id, Step::Recorded { bytes: envelope.size }, self.now);
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        let node = egress.lawful.node();
        let Some(peer) = self.peers.get(node).filter(|peer| peer.is_present(self.now)) else {
            return self.attempt_over(id, Failure::Unreachable, Leave::Over);
        };
        match self.gate(&envelope, &peer.member) {
            Ok(lawful) => self.forward(id, Egress { lawful, ..egress }),
            Err(denial) => self.stop_unlawful(id, denial),
        }
    }

    fn forward(&mut self, id: RequestId, egress: Egress) {
        let node = egress.lawful.node();
        let rtt = self.peers.get(node).and_then(|peer| peer.rtt()).unwrap_or(Micros(0));
        let Some(request) = self.requests.get_mut(&id) else { return };
        let envelope = request.envelope.clone();
        let remaining = self.now.until(request.deadline);
        let service = request.digest.and_then(|digest| Some(self.peers.get(node)?.model(digest)?.service));
        let services = service.unwrap_or(Micros(0)).0.saturating_mul(limits::STUCK_SERVICES);
        let patience = Micros(services.max(limits::STUCK_MIN.0));
        let watch = Watch {
            silent_at: self.now.after(limits::SILENCE).after(rtt),
            stuck_at: self.now.after(patience).after(rtt),
            patience,
            progress: 0,
            beaten: false,
        };
        self.timers.set(Timer::Watch(id), watch.due());
        if let Some(digest) = request.digest {
            self.peers.sent(node, digest);
        }
        let (attempt, lawful, site) = (egress.attempt, egress.lawful.clone(), egress.to.site.clone());
        request.phase = Phase::Remote(egress, watch);
        self.trace.totals.egress_requests.0 += envelope.size.0;
        self.served_at(id, attempt, site, &lawful);
        let task = Task { origin: self.me.node, request: id, attempt };
        self.act(Action::Forward { task, peer: node, envelope, remaining });
    }

    /// Tells the client who serves it, and counts a request that goes on elsewhere.
    fn served_at(&mut self, id: RequestId, attempt: Attempt, site: SiteName, lawful: &Lawful) {
        let elsewhere = self.trace.last_site(id).is_some_and(|last| last != site);
        if elsewhere
            && let Some(request) = self.requests.get_mut(&id)
            && !std::mem::replace(&mut request.moved, true)
        {
            self.trace.totals.migrated += 1;
        }
        self.trace.step(id, Step::Started { site }, self.now);
        let (served_by, rule) = (lawful.node(), lawful.rule().clone());
        self.act(Action::Route { request: id, attempt, served_by, rule });
    }

    /// The egress could not be recorded, so it does not happen. Here or nowhere.
    pub(crate) fn egress_not_recorded(&mut self, id: RequestId, ticket: Ticket) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Phase::Recording(egress, waited_for) = &request.phase else { return };
        debug_assert_eq!(*waited_for, ticket, "a request waits for one ticket");
        let site = egress.to.site.clone();
        request.phase = Phase::Placing;
        request.grounded = true;
        self.trace.step(id, Step::PassedOver { site, why: "the ledger could not record the egress" }, self.now);
        self.place(id);
    }

    /// The place that serves a task showed life.
    pub(crate) fn beat(&mut self, task: Task, progress: u64) {
        if task.origin != self.me.node {
            return;
        }
        let Some(request) = self.requests.get_mut(&task.request) else { return };
        let Phase::Remote(egress, watch) = &mut request.phase else { return };
        if egress.attempt != task.attempt {
            return;
        }
        watch.silent_at = self.now.after(limits::SILENCE);
        if progress > watch.progress {
            watch.progress = progress;
            watch.stuck_at = self.now.after(watch.patience);
        }
        let first = !std::mem::replace(&mut watch.beaten, true);
        self.timers.set(Timer::Watch(task.request), watch.due());
        if first && let Some(digest) = request.digest {
            self.served_elsewhere(task.request, digest);
        }
    }

    /// A clock of an attempt elsewhere ran out.
    pub(crate) fn watch_due(&mut self, id: RequestId) {
        let Some(Phase::Remote(egress, watch)) = self.requests.get(&id).map(|request| &request.phase) else { return };
        let node = egress.lawful.node();
        if self.now >= watch.silent_at {
            self.peers.struck(node, self.now);
            self.attempt_over(id, Failure::Silent, Leave::Stop(Outcome::Refused));
        } else {
            self.peers.stuck(node, self.now);
            self.attempt_over(id, Failure::Stuck, Leave::Stop(Outcome::Refused));
        }
    }

    /// A request of this node was answered, here or elsewhere.
    pub(crate) fn answered(&mut self, task: Task, cost: Cost) {
        let id = task.request;
        let Some(request) = self.requests.get(&id) else { return };
        let digest = request.digest;
        let by = match &request.phase {
            Phase::Here(attempt) if *attempt == task.attempt => self.me.node,
            Phase::Remote(egress, _) if egress.attempt == task.attempt => egress.lawful.node(),
            _ => return,
        };
        if by == self.me.node {
            digest.inspect(|digest| self.scheduler.observe(*digest, cost));
        } else {
            self.peers.answered(by);
            digest.inspect(|digest| self.served_elsewhere(id, *digest));
        }
        self.leave(id, Leave::Answered(cost.answer));
        self.end(id, Ending::Answered { by, cost });
    }

    /// An attempt of a request of this node failed, here or elsewhere.
    pub(crate) fn own_failed(&mut self, task: Task, failure: Failure) {
        let id = task.request;
        let Some(request) = self.requests.get_mut(&id) else { return };
        match &request.phase {
            Phase::Here(attempt) if *attempt == task.attempt => match &failure {
                Failure::EngineLost => request.losses_here += 1,
                // The same engine would do the same again, or has just said that it has no room.
                Failure::Engine(_) | Failure::Declined(_) | Failure::BadInput(_) => {
                    request.losses_here = limits::LOSSES_HERE_MAX;
                }
                Failure::Unreachable | Failure::Silent | Failure::Stuck => request.losses_here += 1,
            },
            Phase::Remote(egress, _) if egress.attempt == task.attempt => {
                let node = egress.lawful.node();
                match &failure {
                    Failure::Unreachable | Failure::Silent => self.peers.struck(node, self.now),
                    Failure::Stuck => self.peers.stuck(node, self.now),
                    Failure::Declined(refusal) if is_want_of_room(refusal) => {
                        request.digest.inspect(|digest| self.peers.declined(node, *digest, self.now));
                    }
                    Failure::Declined(_) | Failure::BadInput(_) | Failure::EngineLost | Failure::Engine(_) => {}
                }
            }
            _ => return,
        }
        self.attempt_over(id, failure, Leave::Over);
    }

    /// Stops a request that runs here for want of power; it goes on elsewhere, or here when power is back.
    pub(crate) fn preempt_own(&mut self, id: RequestId) {
        if let Some(request) = self.requests.get_mut(&id) {
            request.preempted = true;
        }
        let cap = self.scheduler.power().cap();
        let failure = Failure::Declined(Refusal::NoPower { cap });
        self.attempt_over(id, failure, Leave::Stop(Outcome::Refused));
    }

    /// The law is asked again about a request, wherever it is.
    pub(crate) fn judge_anew(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let target = match &request.phase {
            Phase::Here(_) => Some(&self.me),
            Phase::Remote(egress, _) => self.peers.get(egress.lawful.node()).map(|peer| &peer.member),
            // Asked again before it leaves.
            Phase::Placing | Phase::Recording(..) => return,
            Phase::Queued => return self.look_again(id),
        };
        match target.map(|target| self.gate(&request.envelope, target)) {
            Some(Ok(_)) => {}
            Some(Err(denial)) => self.stop_unlawful(id, denial),
            None => self.attempt_over(id, Failure::Unreachable, Leave::Stop(Outcome::Refused)),
        }
    }

    /// Leaves a place that does not belong any more.
    pub(crate) fn leave_removed(&mut self, id: RequestId, node: NodeId) {
        let Some(request) = self.requests.get(&id) else { return };
        let there = match &request.phase {
            Phase::Remote(egress, _) | Phase::Recording(egress, _) => egress.lawful.node() == node,
            Phase::Placing | Phase::Queued | Phase::Here(_) => false,
        };
        if there {
            self.attempt_over(id, Failure::Unreachable, Leave::Stop(Outcome::Refused));
        }
    }

    /// Places a request that waits here once more: something changed.
    pub(crate) fn look_again(&mut self, id: RequestId) {
        if self.requests.get(&id).is_some_and(|request| matches!(request.phase, Phase::Queued)) {
            self.leave(id, Leave::Over);
            self.place(id);
        }
    }

    fn stop_unlawful(&mut self, id: RequestId, denial: Denial) {
        let failure = Failure::Declined(Refusal::UnlawfulThere(denial));
        self.attempt_over(id, failure, Leave::Stop(Outcome::Refused));
    }

    /// An attempt ended without an answer: the next lawful place, unless the request itself is wrong.
    fn attempt_over(&mut self, id: RequestId, failure: Failure, leave: Leave) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.remember(failure.clone());
        let site = match &request.phase {
            Phase::Recording(egress, _) | Phase::Remote(egress, _) => egress.to.site.clone(),
            Phase::Placing | Phase::Queued | Phase::Here(_) => self.me.site.clone(),
        };
        self.leave(id, leave);
        self.trace.step(id, Step::AttemptFailed { site, failure: failure.clone() }, self.now);
        match failure {
            Failure::BadInput(_) => self.fail(id, failure),
            Failure::Declined(_)
            | Failure::EngineLost
            | Failure::Engine(_)
            | Failure::Unreachable
            | Failure::Silent
            | Failure::Stuck => self.place(id),
        }
    }

    /// Leaves the place where a request is, settling what left.
    fn leave(&mut self, id: RequestId, leave: Leave) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let origin = self.me.node;
        match std::mem::replace(&mut request.phase, Phase::Placing) {
            Phase::Placing => {}
            Phase::Queued => {
                self.scheduler.dequeue(Job::Own(id));
            }
            Phase::Recording(egress, ticket) => {
                self.tickets.remove(&ticket);
                self.settle(id, egress, ByteCount(0), &leave);
            }
            Phase::Remote(egress, _) => {
                self.timers.clear(Timer::Watch(id));
                let bytes = request.envelope.size;
                if let Leave::Stop(_) = leave {
                    let task = Task { origin, request: id, attempt: egress.attempt };
                    self.act(Action::Abandon { task, peer: egress.lawful.node() });
                }
                self.settle(id, egress, bytes, &leave);
            }
            Phase::Here(attempt) => {
                let task = Task { origin, request: id, attempt };
                if let Some((_, energy)) = self.scheduler.end(task, self.now) {
                    request.energy.0 += energy.0;
                    self.trace.totals.energy.0 += energy.0;
                }
                if let Leave::Stop(_) = leave {
                    self.act(Action::StopRun(task));
                }
            }
        }
    }

    fn settle(&mut self, id: RequestId, egress: Egress, bytes: ByteCount, leave: &Leave) {
        let Some(request) = self.requests.get(&id) else { return };
        let (answer, outcome) = match leave {
            Leave::Answered(answer) => (*answer, Outcome::Answered),
            Leave::Over => (ByteCount(0), Outcome::Refused),
            Leave::Stop(outcome) => (ByteCount(0), *outcome),
        };
        let subject = self.subject(id, egress.attempt, &request.envelope);
        self.note(Fact::EgressSettled { subject, to: egress.to, bytes, answer, outcome });
    }

    /// The one way out.
    fn end(&mut self, id: RequestId, ending: Ending) {
        let outcome = match &ending {
            Ending::Answered { .. } => Outcome::Answered,
            Ending::Refused(_) | Ending::Failed(_) => Outcome::Refused,
            Ending::Gone => Outcome::Cancelled,
        };
        self.leave(id, Leave::Stop(outcome));
        let Some(request) = self.requests.remove(&id) else { return };
        self.timers.clear(Timer::Deadline(id));
        let served_by = match &ending {
            Ending::Answered { by, .. } => Some(*by),
            Ending::Refused(_) | Ending::Failed(_) | Ending::Gone => None,
        };
        self.tell_end(id, ending, self.now.since(request.arrived));
        let subject = self.subject(id, Attempt(0), &request.envelope);
        let (attempts, energy) = (request.attempts, request.energy);
        self.note(Fact::Ended { subject, served_by, outcome, attempts, energy });
    }

    fn tell_end(&mut self, id: RequestId, ending: Ending, took: Micros) {
        let totals = &mut self.trace.totals;
        let (state, step, action) = match ending {
            Ending::Answered { by, cost } => {
                totals.answered += 1;
                let site = self.trace.last_site(id).unwrap_or_else(|| self.me.site.clone());
                debug_assert!(by == self.me.node || self.peers.get(by).is_none_or(|peer| peer.member.site == site));
                let action = Action::Finish { request: id, cost };
                (RequestState::Answered(took), Some(Step::Answered { site }), Some(action))
            }
            Ending::Refused(refusal) => {
                let by_law = is_by_law(&refusal);
                *(if by_law { &mut totals.refused_by_law } else { &mut totals.refused_otherwise }) += 1;
                let action = Action::Refuse { request: id, refusal: refusal.clone() };
                (RequestState::Refused(refusal.clone()), Some(Step::Refused(refusal)), Some(action))
            }
            Ending::Failed(failure) => {
                totals.refused_otherwise += 1;
                let action = Action::Fail { request: id, failure: failure.clone() };
                (RequestState::Failed(failure), None, Some(action))
            }
            Ending::Gone => (RequestState::Cancelled, Some(Step::Cancelled), None),
        };
        self.trace.state(id, state);
        step.into_iter().for_each(|step| self.trace.step(id, step, self.now));
        action.into_iter().for_each(|action| self.act(action));
    }
}

/// Whether a refusal is the law's.
fn is_by_law(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Unlawful { .. } | Refusal::UnlawfulThere(_) => true,
        Refusal::UnknownModel(_)
        | Refusal::Overloaded { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::DeadlinePassed
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::NotAMember
        | Refusal::Stopping => false,
    }
}

/// Whether a peer that says this is better left alone for a moment.
fn is_want_of_room(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Overloaded { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::UnknownModel(_)
        | Refusal::NotAMember
        | Refusal::Stopping => true,
        Refusal::Unlawful { .. } | Refusal::UnlawfulThere(_) | Refusal::DeadlinePassed => false,
    }
}
