//! An attempt elsewhere: on the record first, then sent, then watched by two clocks.

use hither_types::fact::{Fact, Outcome};
use hither_types::id::{Attempt, RequestId, Task, Ticket};
use hither_types::refusal::Failure;
use hither_types::unit::Micros;
use hither_types::view::Step;

use crate::event::Action;
use crate::limits;
use crate::machine::{Core, Waiter, counterpart};
use crate::request::{Egress, Leave, Phase, Watch};
use crate::router::Offer;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

impl Core {
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
            doubted: false,
        };
        self.timers.set(Timer::Watch(id), watch.due());
        let Some(request_digest) = request.digest else { return };
        self.peers.sent(node, request_digest);
        let (attempt, lawful, site) = (egress.attempt, egress.lawful.clone(), egress.to.site.clone());
        request.phase = Phase::Remote(egress, watch);
        self.trace.totals.egress_requests.0 += envelope.size.0;
        self.served_at(id, attempt, site, &lawful);
        let task = Task { origin: self.me.node, request: id, attempt };
        self.act(Action::Forward { task, peer: node, digest: request_digest, envelope, remaining });
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
        watch.doubted = false;
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
