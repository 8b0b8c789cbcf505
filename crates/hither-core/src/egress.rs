//! An attempt elsewhere: offered without its payload and put on the record at the same time, then sent, then watched by
//! two clocks. While the ledger takes nothing, it is offered only behind its record.

use hither_types::fact::{Counterpart, Fact, Outcome, Permit};
use hither_types::id::{Attempt, Digest, NodeId, RequestId, Task, Ticket};
use hither_types::message::{Load, Signal};
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, Prefix};
use hither_types::unit::{ByteCount, Micros};
use hither_types::view::Step;

use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter};
use crate::peers::Peer;
use crate::request::{Asking, Egress, Leave, Pace, Pending, Phase, Watch, is_want_of_room};
use crate::router::{Lawful, Offer};
use crate::spending::Bill;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

impl Core {
    /// Offers a request to a peer, and writes the egress down at the same time: nothing leaves before both are done.
    pub(crate) fn offer(&mut self, id: RequestId, offer: Offer) {
        let asking = Asking { promised: offer.wait, rtt: offer.rtt };
        if !self.choose_peer(id, offer) {
            return;
        }
        let unwritten = self.unwritten;
        let Some(Phase::Offering(_, pending)) = self.requests.get_mut(&id).map(|request| &mut request.phase) else {
            return;
        };
        pending.accepted = false;
        // A yes keeps a slot for a while. With a disk that stays full, this node would take all there are and use none.
        pending.later = (unwritten && pending.ticket.is_some()).then_some(asking);
        if pending.later.is_none() {
            self.ask(id, asking);
        }
    }

    fn ask(&mut self, id: RequestId, Asking { promised, rtt }: Asking) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let (Some(digest), Phase::Offering(egress, pending)) = (request.digest, &mut request.phase) else { return };
        let (attempt, peer) = (egress.attempt, egress.lawful.node());
        self.numbers = self.numbers.wrapping_add(1);
        // Who is asked once more for want of anybody else has as long as a silence takes.
        let last = request.unheard == Some((peer, limits::OFFERS_UNHEARD));
        let patience = if last { limits::SILENCE } else { limits::OFFER_FOR };
        let until = self.now.after(patience).after(rtt);
        let (number, envelope) = (self.numbers, request.envelope.clone());
        (pending.number, pending.until) = (number, until);
        pending.ticket = pending.ticket.filter(|_| !mutant!(ForwardBeforeRecorded));
        let remaining = self.now.until(request.deadline);
        self.timers.set(Timer::Watch(id), until);
        self.peers.asking(peer, number, self.now);
        let signal = Signal::Offer { request: id, attempt, digest, envelope, remaining, promised };
        self.act(Action::Tell { peer, signal });
    }

    /// Sends a request to a peer that asked for it: no offer is needed.
    pub(crate) fn send_unasked(&mut self, id: RequestId, offer: Offer) {
        self.choose_peer(id, offer);
    }

    /// Whether the request is on its way to the record.
    fn choose_peer(&mut self, id: RequestId, offer: Offer) -> bool {
        let (node, predicted) = (offer.lawful.node(), offer.predicted());
        let Some(site) = self.peers.get(node).map(|peer| peer.member.site.clone()) else { return false };
        self.trace.step(id, Step::Chosen { site, predicted }, self.now);
        let Some((egress, ticket)) = self.write_intent(id, offer, Waiter::Own(id)) else { return false };
        let Some(request) = self.requests.get_mut(&id) else { return false };
        let pending = Pending { ticket, accepted: true, later: None, number: 0, until: self.now, doubted: false };
        request.phase = Phase::Offering(egress, pending);
        true
    }

    /// Writes an egress down, and counts it against the peer. What stays on this machine is no egress: no ticket.
    pub(crate) fn write_intent(
        &mut self,
        id: RequestId,
        offer: Offer,
        waiter: Waiter,
    ) -> Option<(Egress, Option<Ticket>)> {
        let lawful = offer.lawful;
        let node = lawful.node();
        let to = Counterpart::of(&self.peers.get(node)?.member, self.kind_of(node));
        let request = self.requests.get(&id)?;
        let (attempt, digest) = (Attempt(request.attempts + 1), request.digest?);
        let (bytes, envelope) = (request.envelope.size, request.envelope.clone());
        let cache = self.may_cache_at(node, &envelope, digest);
        let prefix = Prefix::from(cache.as_ref());
        let ticket = (self.kind_of(node) != PlaceKind::Home).then(|| {
            let subject = self.subject(id, attempt, &envelope, Some(digest));
            let (rule, rests, cache) = (lawful.rule().clone(), lawful.rests().cloned(), cache.clone());
            let fact = Fact::EgressIntent { subject, to: to.clone(), rule, rests, cache, bytes, reference: None };
            self.note_first(waiter, fact)
        });
        let held = self.count_leaving(&envelope, node);
        if !mutant!(OwnUsesForgotten) {
            self.peers.sent(node, digest, self.now);
            self.pool.used(digest, node);
        }
        let policy = self.law.policy().digest;
        Some((Egress { attempt, digest, lawful, policy, left_by: None, prefix, to, held }, ticket))
    }

    /// An attempt as it leaves: by what permits it now, which may not be what its intent says.
    pub(crate) fn leaving(&self, egress: Egress, lawful: Lawful) -> Egress {
        let policy = self.law.policy().digest;
        let is_said = (lawful.rule(), policy) == (egress.lawful.rule(), egress.policy);
        let left_by = (!is_said).then(|| Permit { rule: lawful.rule().clone(), policy });
        Egress { lawful, left_by, ..egress }
    }

    /// Whether its intent says that what is read of it may stay there, and the law does not any more. What its intent does not
    /// say stays nowhere, whatever is permitted by now.
    pub(crate) fn stays_no_more(&self, egress: &Egress, envelope: &Envelope) -> bool {
        egress.prefix == Prefix::Stays && self.may_cache_at(egress.lawful.node(), envelope, egress.digest).is_none()
    }

    /// What the record of an attempt says does not hold any more, though it is lawful: it gets another record.
    fn begin_anew(&mut self, id: RequestId) {
        self.leave(id, Leave::Over);
        self.place(id);
    }

    /// The egress is on the record.
    pub(crate) fn egress_recorded(&mut self, id: RequestId, ticket: Ticket) {
        self.unwritten = false;
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Phase::Offering(egress, pending) = &mut request.phase else { return };
        debug_assert_eq!(pending.ticket, Some(ticket), "a request waits for one ticket");
        pending.ticket = None;
        let (node, prefix) = (egress.lawful.node(), egress.prefix);
        let (later, envelope) = (pending.later.take(), request.envelope.clone());
        let prefix = self.told_prefix(&envelope, node, prefix);
        self.trace.step(id, Step::Recorded { bytes: envelope.size, prefix }, self.now);
        match later {
            Some(asking) => self.ask_behind_record(id, asking),
            None => self.leave_if_ready(id),
        }
    }

    /// The egress is on the record, and its peer has not heard of it: the law, the deadline and the peer are looked at once
    /// more, for an offer has the label of what is offered.
    fn ask_behind_record(&mut self, id: RequestId, asking: Asking) {
        let Some(request) = self.requests.get(&id) else { return };
        let (Some(digest), Phase::Offering(egress, _)) = (request.digest, &request.phase) else { return };
        let (lawful, envelope) = (egress.lawful.clone(), request.envelope.clone());
        if self.now >= request.deadline {
            return self.deadline_passed(id);
        }
        let Some(peer) = self.peers.get(lawful.node()).filter(|peer| self.peers.is_present(peer, self.now)) else {
            return self.attempt_over(id, Failure::Unreachable, Leave::Over);
        };
        match self.gate(&envelope, digest, &peer.member) {
            Ok(now) if now.rule() == lawful.rule() => self.ask(id, asking),
            Ok(_) => self.begin_anew(id),
            Err(denial) => self.stop_unlawful(id, denial),
        }
    }

    /// A peer said yes to an offer.
    pub(crate) fn offer_accepted(&mut self, from: NodeId, id: RequestId, attempt: Attempt, load: Load) {
        let Some((digest, number)) = self.offered_to(from, id, attempt) else { return };
        self.peers.replied(from, number, self.now);
        self.heard_load(from, digest, load);
        self.timers.clear(Timer::Watch(id));
        if let Some(Phase::Offering(_, pending)) = self.requests.get_mut(&id).map(|request| &mut request.phase) {
            (pending.accepted, pending.later) = (true, None);
        }
        self.leave_if_ready(id);
    }

    /// A peer said no to an offer: nothing left, and no try was spent.
    pub(crate) fn offer_rejected(
        &mut self,
        from: NodeId,
        id: RequestId,
        attempt: Attempt,
        refusal: Refusal,
        load: Load,
    ) {
        let Some((digest, number)) = self.offered_to(from, id, attempt) else { return };
        self.peers.replied(from, number, self.now);
        self.heard_load(from, digest, load);
        self.trace.totals.rejected += 1;
        let outside = self.is_endpoint(from);
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.rejects = request.rejects.saturating_add(1);
        // A server outside the mesh says no to this request alone: it has no queue whose length others should know of.
        if is_want_of_room(&refusal) && !outside {
            self.peers.declined(from, digest, self.now);
        } else {
            request.tried.push(from);
        }
        self.attempt_over(id, Failure::Declined(refusal), Leave::Over);
    }

    /// The model and the number of an offer that a peer answers, if it still waits for that.
    fn offered_to(&self, from: NodeId, id: RequestId, attempt: Attempt) -> Option<(Digest, u32)> {
        let request = self.requests.get(&id)?;
        let Phase::Offering(egress, pending) = &request.phase else { return None };
        let waits = egress.attempt == attempt && egress.lawful.node() == from && !pending.accepted;
        waits.then_some((request.digest?, pending.number))
    }

    /// Once the egress is on the record and the peer said yes, the law, the deadline and the peer are looked at once
    /// more, and the request leaves.
    fn leave_if_ready(&mut self, id: RequestId) {
        let Some(request) = self.requests.get(&id) else { return };
        let Phase::Offering(egress, Pending { ticket: None, accepted: true, .. }) = &request.phase else { return };
        let (egress, envelope) = (egress.clone(), request.envelope.clone());
        let Some(digest) = request.digest else { return };
        if self.now >= request.deadline && !mutant!(LateLeaves) {
            return self.deadline_passed(id);
        }
        let node = egress.lawful.node();
        let Some(peer) = self.peers.get(node).filter(|peer| self.peers.is_present(peer, self.now)) else {
            return self.attempt_over(id, Failure::Unreachable, Leave::Over);
        };
        match self.gate(&envelope, digest, &peer.member) {
            Ok(_) if self.stays_no_more(&egress, &envelope) => self.begin_anew(id),
            Ok(lawful) => self.forward(id, digest, self.leaving(egress, lawful)),
            Err(_) if mutant!(LawNotAskedBeforeLeaving) => self.forward(id, digest, egress),
            Err(denial) => self.stop_unlawful(id, denial),
        }
    }

    fn forward(&mut self, id: RequestId, digest: Digest, egress: Egress) {
        let node = egress.lawful.node();
        let watch = self.watch_from_now(node, digest);
        let Some(request) = self.requests.get_mut(&id) else { return };
        self.timers.set(Timer::Watch(id), watch.due());
        if request.tried.is_empty() {
            self.hedging.budget.earn(digest);
        }
        request.attempts += 1;
        request.paid = false;
        request.rejects = 0;
        if !mutant!(TriedForgotten) {
            request.tried.push(node);
        }
        let (attempt, lawful, site) = (egress.attempt, egress.lawful.clone(), egress.to.site.clone());
        debug_assert_eq!(attempt.0, request.attempts, "an attempt has its own number");
        let prefix = egress.prefix;
        request.phase = Phase::Remote(egress, watch);
        self.served_at(id, attempt, site, &lawful);
        self.send(id, attempt, (node, digest), prefix);
        self.expect_answer(id, digest);
    }

    /// Sends a request to a peer. Its egress is on the record.
    pub(crate) fn send(&mut self, id: RequestId, attempt: Attempt, (peer, digest): (NodeId, Digest), prefix: Prefix) {
        let Some(request) = self.requests.get(&id) else { return };
        let (envelope, remaining) = (request.envelope.clone(), self.now.until(request.deadline));
        if self.kind_of(peer) != PlaceKind::Home {
            self.trace.totals.egress_requests.0 += envelope.size.0;
        }
        let envelope = Envelope { size: ByteCount(envelope.size.0 | u64::from(mutant!(EnvelopeChanged))), ..envelope };
        let task = Task { origin: self.me.node, request: id, attempt };
        self.act(Action::Forward { task, peer, digest, envelope, remaining, prefix });
    }

    /// The clocks of an attempt at a peer, wound up now.
    pub(crate) fn watch_from_now(&self, node: NodeId, digest: Digest) -> Watch {
        let peer = self.peers.get(node);
        let rtt = peer.and_then(Peer::rtt).unwrap_or(Micros(0));
        let service = peer.and_then(|peer| peer.service(digest)).unwrap_or(Micros(0));
        let patience = Micros(service.0.saturating_mul(limits::STUCK_SERVICES).max(limits::STUCK_MIN.0));
        let slack = Micros(if mutant!(SilenceTenfold) { limits::SILENCE.0 * 9 } else { 0 });
        Watch {
            silent_at: self.now.after(limits::SILENCE).after(rtt).after(slack),
            stuck_at: self.now.after(patience).after(rtt),
            patience,
            sent: self.now,
            progress: 0,
            pace: Pace::default(),
            beaten: false,
            doubted: false,
        }
    }

    /// The egress could not be recorded, so it does not happen. Here or nowhere.
    pub(crate) fn egress_not_recorded(&mut self, id: RequestId, ticket: Ticket) {
        self.unwritten = true;
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Phase::Offering(egress, pending) = &request.phase else { return };
        debug_assert_eq!(pending.ticket, Some(ticket), "a request waits for one ticket");
        let (site, held) = (egress.to.site.clone(), egress.held.clone());
        request.phase = Phase::Placing;
        self.timers.clear(Timer::Watch(id));
        request.grounded = true;
        self.settle_spending(&held, Bill::Nothing);
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
        if mutant!(BeatsIgnored) {
            return;
        }
        watch.silent_at = self.now.after(limits::SILENCE);
        if mutant!(SilenceTenfold) {
            watch.silent_at = self.now.after(Micros(limits::SILENCE.0 * 10));
        }
        watch.doubted = false;
        if progress > watch.progress {
            watch.advanced(progress, self.now);
        }
        let first = !std::mem::replace(&mut watch.beaten, true);
        self.timers.set(Timer::Watch(task.request), watch.due());
        if first && let Some(digest) = request.digest {
            self.served_elsewhere(task.request, digest);
        }
    }

    /// A clock of an attempt elsewhere ran out.
    pub(crate) fn watch_due(&mut self, id: RequestId) {
        if let Some(Phase::Offering(..)) = self.requests.get(&id).map(|request| &request.phase) {
            return self.offer_unanswered(id);
        }
        let Some(Phase::Remote(egress, watch)) = self.requests.get(&id).map(|request| &request.phase) else { return };
        if mutant!(SilenceNoticedByNobody) {
            return self.timers.set(Timer::Watch(id), self.now.after(limits::SILENCE));
        }
        if !watch.doubted && self.now.since(watch.due()) >= limits::HELD_UP {
            return self.doubt_myself(id);
        }
        let node = egress.lawful.node();
        if self.now >= watch.silent_at {
            self.peers.struck(node, self.now);
            self.attempt_over(id, Failure::Silent, Leave::Stop(Outcome::Refused));
        } else {
            self.peers.stuck(node, self.now);
            self.attempt_over(id, Failure::Stuck, Leave::Stop(Outcome::Refused));
        }
    }

    /// An offer was not answered. Nothing left, so nothing is lost; the peer is left alone for a while.
    fn offer_unanswered(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Phase::Offering(egress, pending) = &mut request.phase else { return };
        let node = egress.lawful.node();
        if !pending.doubted && self.now.since(pending.until) >= limits::HELD_UP {
            pending.doubted = true;
            return self.timers.set(Timer::Watch(id), self.now.after(limits::HELD_UP));
        }
        // A word may get lost; two in a row are a peer that does not speak. If nobody else can be asked, more patience is
        // better than a "no": on a path with loss, both words and what repeats them are late now and then.
        let times = request.unheard.filter(|(of, _)| *of == node).map_or(0, |(_, times)| times).saturating_add(1);
        request.unheard = Some((node, times));
        request.rejects = request.rejects.saturating_add(1);
        let silent = times > limits::OFFERS_UNHEARD || times == limits::OFFERS_UNHEARD && self.has_another(id, node);
        if silent && let Some(request) = self.requests.get_mut(&id) {
            request.tried.push(node);
        }
        self.pool.forget(node);
        if silent {
            self.peers.struck(node, self.now);
        }
        self.attempt_over(id, Failure::Silent, Leave::Over);
    }

    /// Whether a request could go anywhere but to one peer.
    fn has_another(&mut self, id: RequestId, node: NodeId) -> bool {
        let Some((envelope, Some(digest))) =
            self.requests.get(&id).map(|request| (request.envelope.clone(), request.digest))
        else {
            return false;
        };
        let circle = self.circle(&envelope, digest);
        let Some(request) = self.requests.get(&id) else { return false };
        let fits = |other: NodeId| {
            self.peers.get(other).is_some_and(|peer| self.unfit(request, peer, digest).is_none()) && other != node
        };
        self.scheduler.is_ready(digest) || circle.ready.iter().any(|(other, _)| fits(*other))
    }

    /// This node was held up, so silence says nothing yet: the clocks that ran out go on for one beat.
    fn doubt_myself(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        let Phase::Remote(_, watch) = &mut request.phase else { return };
        watch.doubted = true;
        let again = self.now.after(limits::HELD_UP);
        watch.silent_at = watch.silent_at.max(again);
        watch.stuck_at = watch.stuck_at.max(again);
        self.timers.set(Timer::Watch(id), watch.due());
    }
}
