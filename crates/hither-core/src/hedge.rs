//! A second copy of a request that is late at its peer: the first answer counts, and the other copy is left at once, as
//! in "The Tail at Scale" (Dean & Barroso 2013).
//!
//! A second copy obeys what every attempt obeys: the law before the choice and again before it leaves, the ledger before
//! the first byte, the deadline, one try per place. It has no clock of its own: it is watched from when it takes the
//! place of a first copy that failed. Never of data of class `special` or above, never of a stream.

use std::collections::{BTreeMap, VecDeque};

use hither_types::fact::Outcome;
use hither_types::id::{Attempt, Digest, NodeId, RequestId, Task, Ticket};
use hither_types::label::DataClass;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::RequestKind;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::budget::Budget;
use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter};
use crate::request::{Egress, Leave, Pending, Phase, Watch};
use crate::router::{Lawful, Offer};
use crate::scheduler::{Job, Waiting};
use crate::spending::Bill;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

/// A second copy.
#[derive(Debug)]
pub(crate) enum Hedge {
    /// Its egress is not on the record yet.
    Recording(Egress, Ticket),
    /// At a peer; its clocks do not run yet.
    Remote(Egress, Watch),
    /// On the engine of this node.
    Here(Attempt),
}

impl Hedge {
    /// The attempt, once it has begun.
    fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Recording(..) => None,
            Self::Remote(egress, _) => Some(egress.attempt),
            Self::Here(attempt) => Some(*attempt),
        }
    }

    /// The peer that it is at, or is meant for.
    fn peer(&self) -> Option<NodeId> {
        match self {
            Self::Recording(egress, _) | Self::Remote(egress, _) => Some(egress.lawful.node()),
            Self::Here(_) => None,
        }
    }

    /// What a request waits for that has only this copy.
    fn into_phase(self, now: Timestamp) -> Phase {
        match self {
            Self::Recording(egress, ticket) => {
                let (ticket, accepted) = (Some(ticket), true);
                let pending = Pending { ticket, accepted, later: None, number: 0, until: now, doubted: false };
                Phase::Offering(egress, pending)
            }
            Self::Remote(egress, watch) => Phase::Remote(egress, watch),
            Self::Here(attempt) => Phase::Here(attempt),
        }
    }
}

/// What second copies may cost, and when a first copy counts as late.
#[derive(Debug)]
pub(crate) struct Hedging {
    pub(crate) budget: Budget,
    times: Times,
}

impl Default for Hedging {
    fn default() -> Self {
        Self { budget: Budget::new(limits::HEDGE_PERCENT), times: Times::default() }
    }
}

/// How long the last requests took at peers, by model. The last of them as they were, and not a frugal estimate (Ma,
/// Muthukrishnan & Sandler 2013): that needs a step that fits models of a millisecond and of a minute, and forgets a
/// slow hour slowly; a list needs neither, and is sorted only when something is sent.
#[derive(Debug, Default)]
struct Times(BTreeMap<Digest, VecDeque<Micros>>);

impl Times {
    fn add(&mut self, digest: Digest, took: Micros) {
        if self.0.len() >= limits::POOLS_MAX && !self.0.contains_key(&digest) {
            return;
        }
        let times = self.0.entry(digest).or_default();
        if times.len() >= limits::HEDGE_SAMPLES {
            times.pop_front();
        }
        times.push_back(took);
    }

    /// The 95th percentile, if enough is known.
    fn late(&self, digest: Digest) -> Option<Micros> {
        let times = self.0.get(&digest).filter(|times| times.len() >= limits::HEDGE_SAMPLES_MIN)?;
        let mut sorted: Vec<Micros> = times.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 95).div_ceil(100) - 1).copied()
    }
}

/// Where a second copy goes.
enum Second {
    Here(Lawful),
    Peer(Offer),
}

impl Core {
    /// A request has just left for a peer: sets the time when it counts as late.
    pub(crate) fn expect_answer(&mut self, id: RequestId, digest: Digest) {
        if !self.may_hedge(id) {
            return;
        }
        if let Some(usual) = self.hedging.times.late(digest) {
            let slack = usual.0.saturating_mul(limits::HEDGE_SLACK_PERCENT) / 100;
            let late = Micros(usual.0.saturating_add(slack)).max(limits::HEDGE_MIN);
            self.timers.set(Timer::Hedge(id), self.now.after(late));
        }
    }

    /// A request was answered by a peer, so long after it left. One that was left for its second copy took longer, which
    /// is all that a percentile has to know.
    pub(crate) fn took(&mut self, digest: Digest, took: Micros) {
        self.hedging.times.add(digest, took);
    }

    fn may_hedge(&self, id: RequestId) -> bool {
        let Some(request) = self.requests.get(&id) else { return false };
        let pure = match request.envelope.kind {
            RequestKind::Infer => true,
            // A second copy of what is to train a model would train it twice.
            RequestKind::Generate | RequestKind::Train => false,
        };
        let remote = matches!(request.phase, Phase::Remote(..));
        let tries_left = request.hedge_looks > 0 && request.attempts < limits::ATTEMPTS_MAX;
        let bland = request.envelope.label.class < DataClass::Special || mutant!(HedgesSpecial);
        pure && remote && tries_left && bland && !self.draining
    }

    /// A request is late: a second copy goes to a place that is free now, if there is one and the budget allows it.
    pub(crate) fn hedge_due(&mut self, id: RequestId) {
        let Some(digest) = self.requests.get(&id).and_then(|request| request.digest) else { return };
        if !self.may_hedge(id) || !(self.hedging.budget.has(digest) || mutant!(HedgesUnpaid)) {
            return;
        }
        match self.second_place(id, digest) {
            Some(Second::Here(lawful)) => self.hedge_here(id, digest, lawful),
            Some(Second::Peer(offer)) => self.hedge_at(id, digest, offer),
            None => self.look_for_second(id, digest),
        }
    }

    /// Nobody is known to be free: asks around, and looks once more in a moment.
    fn look_for_second(&mut self, id: RequestId, digest: Digest) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.hedge_looks -= 1;
        if request.hedge_looks == 0 {
            return;
        }
        let envelope = request.envelope.clone();
        let circle = self.circle(&envelope, digest);
        if !circle.ready.is_empty() {
            self.probe(&circle, digest, limits::PROBES);
        }
        self.timers.set(Timer::Hedge(id), self.now.after(limits::HEDGE_AGAIN));
    }

    /// The best place that is free as it said itself a moment ago: a lawful peer of the circle, or this node.
    fn second_place(&mut self, id: RequestId, digest: Digest) -> Option<Second> {
        let envelope = self.requests.get(&id)?.envelope.clone();
        let circle = self.circle(&envelope, digest);
        let request = self.requests.get(&id)?;
        let words = self.pool.fresh(digest, self.now).filter(|word| word.free() > 0);
        let offers = words.filter_map(|word| {
            let (peer, lawful) = (self.peers.get(word.node)?, Lawful::of_circle(&circle, word.node)?);
            let fit = self.unfit(request, peer, digest).is_none();
            fit.then(|| self.offer_of(request, peer, digest, lawful))
        });
        let best = offers.min_by_key(Offer::cost);
        let free = self.scheduler.hold(digest, envelope.priority).is_none() && self.scheduler.queued(digest) == 0;
        let here = (free && request.losses_here == 0)
            .then(|| self.gate_of(&envelope, digest).at(&self.me, PlaceKind::Home).ok())
            .flatten();
        let cost_here = self.scheduler.service_or_guess(digest);
        match (here, best) {
            (Some(_), Some(offer)) if offer.cost() < cost_here => Some(Second::Peer(offer)),
            (Some(here), _) => Some(Second::Here(here)),
            (None, best) => best.map(Second::Peer),
        }
    }

    /// Writes the egress of a second copy down. No offer is needed: the word of the peer is fresh, and it may still say no.
    fn hedge_at(&mut self, id: RequestId, digest: Digest, offer: Offer) {
        if !self.hedging.budget.spend(digest) && !mutant!(HedgesUnpaid) {
            return;
        }
        let Some((egress, Some(ticket))) = self.write_intent(id, offer, Waiter::Hedge(id)) else { return };
        self.trace.step(id, Step::Hedged { site: egress.to.site.clone() }, self.now);
        if let Some(request) = self.requests.get_mut(&id) {
            request.hedge_looks = 0;
            request.hedge = Some(Hedge::Recording(egress, ticket));
        }
        if mutant!(HedgeBeforeRecorded) {
            self.hedge_recorded(id, ticket);
        }
    }

    /// Starts a second copy on the engine of this node, where a slot is free.
    fn hedge_here(&mut self, id: RequestId, digest: Digest, lawful: Lawful) {
        if !self.hedging.budget.spend(digest) && !mutant!(HedgesUnpaid) {
            return;
        }
        let site = self.me.site.clone();
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.hedge_looks = 0;
        request.attempts += 1;
        let attempt = Attempt(request.attempts);
        request.hedge = Some(Hedge::Here(attempt));
        let task = Task { origin: self.me.node, request: id, attempt };
        let waiting = Waiting { job: Job::Own(id), digest, priority: request.envelope.priority, not_before: self.now };
        self.start(task, waiting);
        self.trace.totals.hedged += 1;
        self.trace.step(id, Step::Hedged { site: site.clone() }, self.now);
        self.tell_route(id, attempt, site, &lawful);
        let prefix = self.prefix_at_home(id, digest);
        self.act(Action::Run { task, digest, prefix });
    }

    /// The egress of a second copy is on the record: the law, the deadline and the peer are looked at once more.
    pub(crate) fn hedge_recorded(&mut self, id: RequestId, ticket: Ticket) {
        self.unwritten = false;
        let Some(request) = self.requests.get(&id) else { return };
        let (Some(Hedge::Recording(egress, known)), Some(digest)) = (&request.hedge, request.digest) else { return };
        debug_assert_eq!(*known, ticket, "a second copy waits for one ticket");
        let (egress, envelope) = (egress.clone(), request.envelope.clone());
        let prefix = self.told_prefix(&envelope, egress.lawful.node(), egress.prefix);
        self.trace.step(id, Step::Recorded { bytes: envelope.size, prefix }, self.now);
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        let peer = self.peers.get(egress.lawful.node()).filter(|peer| self.peers.is_present(peer, self.now));
        let Some(verdict) = peer.map(|peer| self.gate(&envelope, digest, &peer.member)) else {
            return self.drop_hedge(id, Some(Failure::Unreachable), Leave::Over);
        };
        match verdict {
            // A second copy is no duty.
            Ok(_) if self.stays_no_more(&egress, &envelope) => self.drop_hedge(id, None, Leave::Over),
            Ok(lawful) => self.send_second(id, digest, self.leaving(egress, lawful)),
            Err(_) if mutant!(LawNotAskedBeforeLeaving) => self.send_second(id, digest, egress),
            Err(denial) => {
                let failure = Failure::Declined(Refusal::UnlawfulThere(denial));
                self.drop_hedge(id, Some(failure), Leave::Over);
            }
        }
    }

    fn send_second(&mut self, id: RequestId, digest: Digest, egress: Egress) {
        let (node, attempt) = (egress.lawful.node(), egress.attempt);
        let (lawful, site, prefix) = (egress.lawful.clone(), egress.to.site.clone(), egress.prefix);
        let watch = self.watch_from_now(node, digest);
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.attempts += 1;
        request.tried.push(node);
        debug_assert_eq!(attempt.0, request.attempts, "an attempt has its own number");
        request.hedge = Some(Hedge::Remote(egress, watch));
        self.trace.totals.hedged += 1;
        self.tell_route(id, attempt, site, &lawful);
        self.send(id, attempt, (node, digest), prefix);
    }

    /// The egress of a second copy could not be recorded, so it does not happen.
    pub(crate) fn hedge_not_recorded(&mut self, id: RequestId) {
        self.unwritten = true;
        let hedge = self.requests.get_mut(&id).and_then(|request| request.hedge.take());
        if let Some(Hedge::Recording(egress, _)) = hedge {
            self.settle_spending(&egress.held, Bill::Nothing);
            let (site, why) = (egress.to.site, "the ledger could not record the egress");
            self.trace.step(id, Step::PassedOver { site, why }, self.now);
        }
    }

    /// The first copy failed: the second is the only one from now on; `false` if there is none.
    pub(crate) fn go_on_with_hedge(&mut self, id: RequestId) -> bool {
        let promoted = self.promote_hedge(id);
        let site = match self.requests.get(&id).map(|request| &request.phase) {
            Some(Phase::Remote(egress, _)) => Some(egress.to.site.clone()),
            Some(Phase::Here(_)) => Some(self.me.site.clone()),
            // It will be counted when it leaves.
            Some(Phase::Placing | Phase::Queued | Phase::Offering(..)) | None => None,
        };
        site.filter(|_| promoted).inspect(|site| self.moved_to(id, site));
        promoted
    }

    /// The second copy takes the place of the first, and is watched from now on; `false` if there is none.
    fn promote_hedge(&mut self, id: RequestId) -> bool {
        let Some(hedge) = self.requests.get_mut(&id).and_then(|request| request.hedge.take()) else { return false };
        let digest = self.requests.get(&id).and_then(|request| request.digest);
        let mut phase = hedge.into_phase(self.now);
        match &mut phase {
            Phase::Remote(egress, watch) => {
                if let Some(digest) = digest {
                    *watch = Watch { sent: watch.sent, ..self.watch_from_now(egress.lawful.node(), digest) };
                }
                self.timers.set(Timer::Watch(id), watch.due());
            }
            Phase::Offering(_, pending) => {
                pending.ticket.and_then(|ticket| self.tickets.insert(ticket, Waiter::Own(id)));
            }
            Phase::Placing | Phase::Queued | Phase::Here(_) => {}
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.phase = phase;
        }
        true
    }

    /// A second copy answered: the first is left, and what it took at least is learned, for a slow place whose work is
    /// always taken from it would never be known as slow. Says whether it was so.
    pub(crate) fn hedge_answered(&mut self, task: Task) -> bool {
        let id = task.request;
        if !self.is_hedge(task) {
            return false;
        }
        let Some(request) = self.requests.get(&id) else { return false };
        if let (Phase::Remote(egress, watch), Some(digest)) = (&request.phase, request.digest) {
            let (node, took) = (egress.lawful.node(), self.now.since(watch.sent));
            self.took(digest, took);
            let known = self.peers.get(node).map(|peer| (peer.rtt(), peer.service(digest)));
            let (rtt, service) = known.unwrap_or((None, None));
            let worked = Micros(took.0.saturating_sub(rtt.unwrap_or(Micros(0)).0));
            if worked > service.unwrap_or(Micros(0)) {
                self.peers.learned(node, digest, worked);
            }
        }
        self.leave(id, Leave::Stop(Outcome::Cancelled));
        self.promote_hedge(id)
    }

    /// A second copy failed, or was declined: the first goes on. Says whether it was one.
    pub(crate) fn hedge_failed(&mut self, task: Task, failure: &Failure) -> bool {
        let id = task.request;
        if !self.is_hedge(task) {
            return false;
        }
        let node = self.requests.get(&id).and_then(|request| request.hedge.as_ref()?.peer());
        self.blame(id, node, failure);
        self.drop_hedge(id, Some(failure.clone()), Leave::Over);
        true
    }

    fn is_hedge(&self, task: Task) -> bool {
        let hedge = self.requests.get(&task.request).and_then(|request| request.hedge.as_ref());
        hedge.and_then(Hedge::attempt) == Some(task.attempt)
    }

    /// Leaves the second copy, if there is one, settling what left.
    pub(crate) fn drop_hedge(&mut self, id: RequestId, failure: Option<Failure>, leave: Leave) {
        let Some(hedge) = self.requests.get_mut(&id).and_then(|request| request.hedge.take()) else { return };
        let site = match &hedge {
            Hedge::Recording(egress, _) | Hedge::Remote(egress, _) => egress.to.site.clone(),
            Hedge::Here(_) => self.me.site.clone(),
        };
        self.part_from(id, hedge.into_phase(self.now), &leave);
        if let Some(failure) = failure {
            self.trace.step(id, Step::AttemptFailed { site, failure }, self.now);
        }
    }

    /// Leaves a second copy that runs on the engine of this node, for want of power; `false` if none does.
    pub(crate) fn preempt_hedge(&mut self, id: RequestId) -> bool {
        let runs = self.requests.get(&id).is_some_and(|request| matches!(request.hedge, Some(Hedge::Here(_))));
        if runs {
            let cap = self.scheduler.power().cap();
            let failure = Failure::Declined(Refusal::NoPower { cap });
            self.drop_hedge(id, Some(failure), Leave::Stop(Outcome::Refused));
        }
        runs
    }

    /// The law is asked again about a second copy. One that has not left is asked about before it does.
    pub(crate) fn judge_hedge_anew(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let (Some(hedge), Some(digest)) = (&request.hedge, request.digest) else { return };
        let target = match hedge {
            Hedge::Recording(..) => return,
            Hedge::Remote(egress, _) => self.peers.get(egress.lawful.node()).map(|peer| &peer.member),
            Hedge::Here(_) => Some(&self.me),
        };
        let failure = match target.map(|target| self.gate(&request.envelope, digest, target)) {
            Some(Ok(_)) => return,
            Some(Err(denial)) => Failure::Declined(Refusal::UnlawfulThere(denial)),
            None => Failure::Unreachable,
        };
        self.drop_hedge(id, Some(failure), Leave::Stop(Outcome::Refused));
    }

    /// Leaves a second copy at a place that does not belong any more.
    pub(crate) fn leave_removed_hedge(&mut self, id: RequestId, node: NodeId) {
        let hedge = self.requests.get(&id).and_then(|request| request.hedge.as_ref());
        if hedge.is_some_and(|hedge| hedge.peer() == Some(node)) {
            self.drop_hedge(id, Some(Failure::Unreachable), Leave::Stop(Outcome::Refused));
        }
    }

    /// This node is stopping: one copy of each request is enough.
    pub(crate) fn drop_hedges(&mut self) {
        let hedged = self.requests.iter().filter(|(_, request)| request.hedge.is_some());
        let hedged: Vec<RequestId> = hedged.map(|(id, _)| *id).collect();
        for id in hedged {
            self.drop_hedge(id, None, Leave::Stop(Outcome::Cancelled));
        }
    }
}
