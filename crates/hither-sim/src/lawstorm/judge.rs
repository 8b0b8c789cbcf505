//! Each action that names a place for data, held against the law in force where it is done.

use hither_core::Event;
use hither_types::fact::{Counterpart, Fact, Subject};
use hither_types::id::{Attempt, Digest, NodeId, RequestId, RuleId, Task, Ticket};
use hither_types::label::DataClass;
use hither_types::message::Signal;
use hither_types::refusal::Refusal;
use hither_types::request::{Envelope, Prefix, Quality, RequestKind};

use super::bench::{About, At, Before, Bench, Flight, Guest, Intent, Own, index_of, runs_on};
use super::draw::MODELS;
use super::report::{Breach, Decision};

/// A word about no request.
pub(super) const NOTHING: About = About { kind: 0, model: 0 };

impl Bench<'_> {
    /// A fact is written down. Nothing is decided by it, but what it says has to be so.
    pub(super) fn record(&mut self, core: usize, ticket: Option<Ticket>, fact: &Fact) {
        let Some(ticket) = ticket else { return };
        let fails = self.chance.permille(15);
        let event = if fails { Event::RecordFailed(ticket) } else { Event::Recorded(ticket) };
        self.flights.push(Flight { to: core, about: NOTHING, event });
        if let Fact::EgressIntent { subject, to, rule, .. } = fact {
            self.intends(core, ticket, (subject, to), rule);
        } else if let Fact::IngressAccepted { subject, from, rule, .. } = fact {
            self.lets_in(core, ticket, (subject, from), rule);
        } else {
            self.breach(core, Breach::Paper, || format!("somebody waits for {fact:?}"));
        }
    }

    fn intends(&mut self, core: usize, ticket: Ticket, (subject, to): (&Subject, &Counterpart), rule: &RuleId) {
        let Some(index) = self.own_of(core, subject.request) else {
            return self
                .breach(core, Breach::Paper, || format!("an egress of {}, which did not enter here", subject.request));
        };
        let (peer, bit) = (index_of(to.node), self.permit(rule));
        let law = self.policies[self.known[core].policy].digest;
        let own = &mut self.known[core].own[index];
        let (attempt, is_second) = (subject.attempt, !own.at.is_empty());
        own.intent = Some(Intent { ticket, attempt, peer, rule: bit, is_second, is_on_disk: false });
        own.offered = None;
        let about = own.about;
        if !is_true(subject, &own.envelope, law) {
            self.breach(core, Breach::Paper, || format!("the egress of {} is not of what was asked", subject.request));
        }
        // On which model it goes, the word that follows says; there the rule is looked at once more.
        let models = 0..MODELS.len() as u8;
        let permits = models.fold(0, |all, model| all | self.lawful(core, About { model, ..about }, core as u8, peer));
        if permits & bit == 0 {
            self.breach(core, Breach::Paper, || {
                format!("the egress of {} to member {peer} by {rule}", subject.request)
            });
        }
    }

    fn lets_in(&mut self, core: usize, ticket: Ticket, (subject, from): (&Subject, &Counterpart), rule: &RuleId) {
        let Some(Before { task, about, digest, reads }) = self.before else {
            return self
                .breach(core, Breach::Paper, || format!("an ingress of {}, which nobody asked for", subject.request));
        };
        let about = About { model: runs_on(digest, about.model), ..about };
        let permits = self.lawful(core, about, index_of(task.origin), core as u8);
        let same = from.node == task.origin && (subject.request, subject.attempt) == (task.request, task.attempt);
        if !same || permits & self.permit(rule) == 0 {
            self.breach(core, Breach::Paper, || format!("the ingress of {task:?} about {about:?} by {rule}"));
        }
        self.known[core].guests.push(Guest { task, about, reads, ticket, is_on_disk: false, is_accepted: false });
    }

    pub(super) fn run(&mut self, core: usize, task: Task, digest: Digest) {
        let me = core as u8;
        if index_of(task.origin) == me {
            let Some(own) = self.own_mut(core, task.request) else {
                return self.breach(core, Breach::Paper, || format!("{task:?} runs, and did not enter here"));
            };
            let about = About { model: runs_on(digest, own.about.model), ..own.about };
            own.at.push(At { attempt: task.attempt, model: about.model, place: me });
            let second = own.forbids_second();
            self.report.retries += u64::from(task.attempt.0 > 1);
            self.decide(core, Decision::RunAtHome, about, task, me);
            if second {
                self.breach(core, Breach::Paper, || format!("{task:?} is a copy of what must not be copied"));
            }
        } else {
            let Some(guest) = self.guest_of(core, task).map(|guest| &self.known[core].guests[guest]) else {
                return self.breach(core, Breach::Paper, || format!("{task:?} runs, and was not let in"));
            };
            let about = About { model: runs_on(digest, guest.about.model), ..guest.about };
            if !guest.is_accepted {
                self.breach(core, Breach::Paper, || format!("{task:?} runs before it is accepted"));
            }
            self.decide(core, Decision::RunForPeer, about, task, me);
        }
        self.engine_answers(core, task);
    }

    /// What becomes of what is read of a task, once it has ended.
    pub(super) fn keeps(
        &mut self,
        core: usize,
        (task, digest): (Task, Digest),
        (origin, place): (u8, u8),
        prefix: Prefix,
    ) {
        let own = self.own_of(core, task.request).filter(|_| index_of(task.origin) == core as u8);
        let own = own
            .map(|own| &self.known[core].own[own])
            .map(|own| (own.about, own.envelope.kind == RequestKind::Generate));
        let guest = self.guest_of(core, task).map(|guest| &self.known[core].guests[guest]);
        let Some((about, reads)) = own.or(guest.map(|guest| (guest.about, guest.reads))) else { return };
        let about = About { model: runs_on(digest, about.model), ..about };
        let (may, stays) = (reads && self.may_stay(core, about, origin, place), prefix == Prefix::Stays);
        // Elsewhere nothing stays either that its record does not say, which may be older than this law.
        if stays && !may || own.is_some() && may && !stays {
            self.breach(core, Breach::Kept, || format!("{task:?} at member {place}: what is read of it {prefix:?}"));
        }
    }

    pub(super) fn forward(&mut self, core: usize, task: Task, peer: NodeId, (digest, envelope): (Digest, &Envelope)) {
        let peer = index_of(peer);
        let Some(own) = self.own_mut(core, task.request) else {
            return self.breach(core, Breach::Paper, || format!("{task:?} leaves, and did not enter here"));
        };
        let (same, intent) = (own.envelope == *envelope, own.intent.take());
        let about = About { model: runs_on(digest, own.about.model), ..own.about };
        let offered = own.offered.take() == Some((task.attempt, peer));
        own.at.push(At { attempt: task.attempt, model: about.model, place: peer });
        let second = own.forbids_second();
        if !same || second {
            self.breach(core, Breach::Paper, || format!("{task:?} changed before it left, or is one copy too many"));
        }
        let is_written = |intent: Intent| intent.is_on_disk && (intent.attempt, intent.peer) == (task.attempt, peer);
        if !intent.is_some_and(is_written) {
            self.breach(core, Breach::Paper, || {
                format!("{task:?} leaves for member {peer}, and its egress is not on disk: {intent:?}")
            });
        }
        self.report.retries += u64::from(task.attempt.0 > 1);
        let decision = match intent {
            _ if offered => Decision::Forward,
            Some(Intent { is_second: true, .. }) => Decision::Second,
            Some(_) | None => Decision::Steal,
        };
        self.decide(core, decision, about, task, peer);
    }

    /// A client is told where its request is served and by which rule.
    pub(super) fn route(&mut self, core: usize, (id, attempt): (RequestId, Attempt), at: NodeId, rule: &RuleId) {
        // The action that follows says on which model; the rule has to hold for one that it may be.
        let Some(own) = self.own_mut(core, id) else {
            return self.breach(core, Breach::Paper, || format!("a route of {id}, which did not enter here"));
        };
        let (about, is_exact) = (own.about, own.envelope.quality == Quality::Exact);
        let bit = self.permit(rule);
        let models = if is_exact { about.model..about.model + 1 } else { 0..MODELS.len() as u8 };
        let place = index_of(at);
        let permits = models.fold(0, |all, model| all | self.lawful(core, About { model, ..about }, core as u8, place));
        if permits & bit == 0 {
            self.breach(core, Breach::Paper, || format!("try {} of {id} is at member {place} by {rule}", attempt.0));
        }
    }

    pub(super) fn refuse(&mut self, core: usize, id: RequestId, refusal: &Refusal) {
        let Some(own) = self.own_of(core, id).map(|own| &self.known[core].own[own]) else {
            return self.breach(core, Breach::Paper, || format!("{id} is refused, and did not enter here"));
        };
        let (about, denied_there) = (own.about, own.denied_there);
        let task = Task { origin: NodeId([core as u8; 32]), request: id, attempt: Attempt(0) };
        if let Refusal::Unlawful { .. } = refusal {
            let members = 0..self.members();
            let holding = members.filter(|m| self.known[core].holds[usize::from(*m)].0[usize::from(about.model)]);
            let holding: Vec<u8> = holding.collect();
            let lawful = holding.iter().copied().find(|member| self.lawful(core, about, core as u8, *member) != 0);
            // With no lawful place, any of those that hold the model stands for all of them.
            match lawful.or_else(|| holding.first().copied()) {
                Some(place) => self.decide(core, Decision::Refuse, about, task, place),
                None => {
                    self.breach(core, Breach::Refusal, || format!("{id} is refused by law, and nobody holds its model"))
                }
            }
        } else if let Refusal::UnlawfulThere(_) = refusal {
            self.report.decided(Decision::Refuse, id.0 as u64);
            if !denied_there {
                self.breach(core, Breach::Refusal, || {
                    format!("{id} is refused by the law of a peer, and none said so")
                });
            }
        }
        self.ended(core, id);
    }

    pub(super) fn accept(&mut self, core: usize, task: Task) {
        let Some(guest) = self.guest_of(core, task).map(|guest| &mut self.known[core].guests[guest]) else {
            return self.breach(core, Breach::Paper, || format!("{task:?} is accepted, and was not let in"));
        };
        guest.is_accepted = true;
        let (about, is_on_disk) = (guest.about, guest.is_on_disk);
        if !is_on_disk {
            self.breach(core, Breach::Paper, || format!("{task:?} is accepted before that is on disk"));
        }
        self.decide(core, Decision::Accept, about, task, core as u8);
        self.fly(task.origin, NOTHING, || Event::Beat { task, progress: 0 });
    }

    /// A receiver answers the offer or the request that is before it.
    pub(super) fn answer(&mut self, core: usize, decision: Decision, task: Task) {
        match self.before {
            Some(Before { task: asked, about, digest, .. }) if asked == task => {
                let about = About { model: runs_on(digest, about.model), ..about };
                self.decide(core, decision, about, task, core as u8);
            }
            Some(_) | None => {
                self.breach(core, Breach::Paper, || format!("{decision:?} of {task:?}, which nobody asked"))
            }
        }
    }

    pub(super) fn tell(&mut self, core: usize, peer: NodeId, signal: Signal) {
        let me = NodeId([core as u8; 32]);
        let mut about = NOTHING;
        match &signal {
            Signal::Offer { request, attempt, digest, envelope, .. } => {
                about = self.offers(core, (*request, *attempt), peer, (*digest, envelope));
                self.answer_by_script(core, peer, (*request, *attempt), about);
            }
            Signal::Accept { request, attempt, .. } => {
                let task = Task { origin: peer, request: *request, attempt: *attempt };
                self.answer(core, Decision::Welcome, task);
                self.ask_by_script(core, task);
            }
            Signal::Reject { request, attempt, refusal: Refusal::UnlawfulThere(_), .. } => {
                let task = Task { origin: peer, request: *request, attempt: *attempt };
                self.answer(core, Decision::Reject, task);
            }
            Signal::Reject { .. }
            | Signal::Probe { .. }
            | Signal::State { .. }
            | Signal::Steal { .. }
            | Signal::Nothing { .. } => {}
        }
        self.fly(peer, about, || Event::Told { from: me, signal });
    }

    fn offers(
        &mut self,
        core: usize,
        (request, attempt): (RequestId, Attempt),
        peer: NodeId,
        (digest, envelope): (Digest, &Envelope),
    ) -> About {
        let peer = index_of(peer);
        let Some(own) = self.own_mut(core, request) else {
            self.breach(core, Breach::Paper, || format!("{request} is offered, and did not enter here"));
            return NOTHING;
        };
        own.offered = Some((attempt, peer));
        let (asked, same, intent) = (own.about, own.envelope == *envelope, own.intent);
        let about = About { model: runs_on(digest, asked.model), ..asked };
        if !same {
            self.breach(core, Breach::Paper, || format!("the envelope of {request} changed before it was offered"));
        }
        let permits = self.lawful(core, about, core as u8, peer);
        if !intent.is_some_and(|intent| (intent.attempt, intent.peer) == (attempt, peer) && permits & intent.rule != 0)
        {
            self.breach(core, Breach::Paper, || {
                format!("the offer of {request} to member {peer} is intended by {intent:?}")
            });
        }
        let task = Task { origin: NodeId([core as u8; 32]), request, attempt };
        self.decide(core, Decision::Offer, about, task, peer);
        asked
    }

    /// What runs or is under way after the law changed has to be lawful by the new one.
    pub(super) fn look_around(&mut self, core: usize) {
        let me = core as u8;
        let own = self.known[core].own.iter();
        let copies = own.flat_map(|own| own.at.iter().map(|at| (own.id, own.about, *at)));
        let copies: Vec<(RequestId, About, At)> = copies.collect();
        for (id, about, At { model, place, .. }) in copies {
            if self.lawful(core, About { model, ..about }, me, place) == 0 {
                self.breach(core, Breach::Lingering, || {
                    format!("{id} goes on at member {place}, which is not lawful any more")
                });
            }
        }
        for index in 0..self.known[core].guests.len() {
            let Guest { task, about, is_accepted, .. } = self.known[core].guests[index];
            if is_accepted && self.lawful(core, about, index_of(task.origin), me) == 0 {
                self.breach(core, Breach::Lingering, || format!("{task:?} goes on here, which is not lawful any more"));
            }
        }
    }

    fn own_mut(&mut self, core: usize, id: RequestId) -> Option<&mut Own> {
        let index = self.own_of(core, id)?;
        Some(&mut self.known[core].own[index])
    }
}

impl Own {
    /// Whether it is at two places and must not be, or at more.
    fn forbids_second(&self) -> bool {
        let is_pure = self.envelope.kind == RequestKind::Infer && self.envelope.label.class < DataClass::Special;
        self.at.len() > if is_pure { 2 } else { 1 }
    }
}

/// Whether a fact says of a request what its client said, and names the law in force.
fn is_true(subject: &Subject, envelope: &Envelope, law: Digest) -> bool {
    let label = &envelope.label;
    subject.policy == law
        && (&subject.app, &subject.model) == (&envelope.app, &envelope.model)
        && (&subject.class, &subject.tags) == (&label.class, &label.tags)
        && (&subject.subjects, &subject.purpose) == (&label.subjects, &label.purpose)
}
