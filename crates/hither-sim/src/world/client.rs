//! Clients: open loops, single requests, impatience.

use hither_core::Event;
use hither_types::id::{RequestId, Task};
use hither_types::refusal::Failure;
use hither_types::request::{Envelope, RequestKind};
use hither_types::unit::{ByteCount, Micros};

use super::{Happening, World};
use crate::codec::{self, Work};
use crate::node::{Input, Own, Parcel, State};
use crate::observer::{GRACE, REVIEW, Terms};
use crate::scenario::Arrivals;
use crate::streams::End;

impl World<'_> {
    /// A client of a load comes to a node; a machine that is off has no clients.
    pub(super) fn arrive(&mut self, load: usize, node: usize) {
        if self.nodes[node].state != State::Down {
            self.later(0, node, Input::Submit { load: load as u32, work: 0 });
        }
        if let Arrivals::Open { gap, to, .. } = self.scenario.loads[load].arrivals {
            let next = self.now + self.loops[load].waiting(gap).max(1);
            if next < to {
                self.queue.push(next, Happening::Arrival { load: load as u32, node: node as u32 });
            }
        }
    }

    /// The next request of the trace of arrivals enters. Users of a dead node go to the nearest that lives.
    pub(super) fn enter(&mut self) {
        if let Some((load, arrival)) = self.entering.take()
            && let Some(node) = self.door(arrival.node as usize)
        {
            self.later(0, node, Input::Submit { load: load as u32, work: arrival.work });
        }
        self.await_next();
    }

    /// Puts the next request of the trace of arrivals into the queue.
    pub(super) fn await_next(&mut self) {
        self.entering = self.trace_of_arrivals.next_of();
        if let Some((_, arrival)) = &self.entering {
            self.queue.push(arrival.at, Happening::Enters);
        }
    }

    /// The driver's door: an id, a payload that is kept, and an event without it.
    pub(super) fn submit(&mut self, node: usize, load: usize, micros: u64) {
        let plan = &self.scenario.loads[load];
        let kind = plan.known.map_or(RequestKind::Generate, |model| self.scenario.models[model].kind);
        let tokens = if kind == RequestKind::Infer { 1 } else { plan.tokens };
        let payload = codec::payload(Work { tokens, micros }, plan.size);
        let mut label = plan.label.clone();
        if label.subjects.is_empty() {
            label.subjects.push(self.nodes[node].member.jurisdiction);
        }
        let envelope = Envelope {
            app: plan.app.clone(),
            model: plan.model.clone(),
            label,
            kind,
            size: ByteCount(payload.len() as u64),
            priority: plan.priority,
            prefer: plan.prefer.clone(),
            quality: plan.quality,
        };
        let (deadline, patience) = (plan.deadline, plan.patience);
        let request = self.request_id(node);
        self.nodes[node].own.insert(request, Own { payload, log: Vec::new(), live: Vec::new() });
        let terms = Terms { deadline: self.now + deadline, tokens };
        self.observer.submitted(self.now, node, request, &envelope, terms);
        // A made mesh has too many requests to remember each until its deadline.
        let look = if self.circles.is_some() { deadline.min(REVIEW) } else { deadline };
        self.queue.push(self.now + look + GRACE, Happening::Overdue(Box::new((node, request))));
        if let Some(patience) = patience {
            self.later(patience, node, Input::Leave(Box::new(request)));
        }
        let deadline = self.nodes[node].time(self.now).after(Micros(deadline));
        self.feed(node, Event::Submitted { request, envelope, deadline, affinity: None });
    }

    /// A UUIDv7 of virtual time.
    fn request_id(&mut self, node: usize) -> RequestId {
        let number = self.number();
        let low = crate::chance::mix(self.seed ^ number << 20 ^ node as u64) >> 2 | 1 << 63;
        let high = (self.now / 1000) << 16 | 0x7000 | number & 0x0fff;
        RequestId(u128::from(high) << 64 | u128::from(low))
    }

    /// The client closes its connection.
    pub(super) fn leave(&mut self, node: usize, request: RequestId) {
        if self.nodes[node].own.remove(&request).is_some() {
            self.observer.client_left(request);
            self.feed(node, Event::ClientGone(request));
        }
    }

    /// A request must have ended by now, or may have; a stopped node gets a second after it goes on.
    pub(super) fn overdue(&mut self, node: usize, request: RequestId) {
        if let Some(next) = self.observer.review(self.now, request) {
            return self.queue.push(next, Happening::Overdue(Box::new((node, request))));
        }
        let place = &self.nodes[node];
        let excused = place.state == State::Frozen || (place.thawed > 0 && self.now < place.thawed + GRACE);
        if !excused {
            self.observer.overdue(self.now, request);
            let nodes = &self.nodes;
            if self.streams.forget(request, |node, life| nodes[node].state != State::Down && nodes[node].life == life) {
                return self.observer.forget(request);
            }
        }
        // Nothing may be forgotten that could still arrive somewhere.
        self.queue.push(self.now + GRACE, Happening::Overdue(Box::new((node, request))));
    }

    /// Tokens from a place that serves an own request: in order to the client, once. The first attempt that has any is
    /// the only one from then on; `false` if this is another.
    pub(super) fn pass_on(&mut self, node: usize, task: Task, first: u32, ids: &[u32]) -> bool {
        let Some(own) = self.nodes[node].own.get_mut(&task.request) else {
            self.observer.counts.add("stale_frames", 1);
            return true;
        };
        if !own.live.contains(&task.attempt) {
            self.observer.counts.add("stale_frames", 1);
            return false;
        }
        let have = own.log.len() as u32;
        if first > have {
            let what = format!("{task:?} goes on at token {first}, and the log has {have}");
            self.observer.driver_breach(self.now, node, what);
            return true;
        }
        own.live = vec![task.attempt];
        // What the client has already (an answer whose end got lost) is not given again.
        let fresh = ids.get((have - first) as usize..).unwrap_or(&[]);
        if fresh.is_empty() {
            return true;
        }
        own.log.extend_from_slice(fresh);
        self.trace.fold(self.now, node, &fresh);
        self.observer.piece(self.now, task.request, task.attempt, have, fresh);
        true
    }

    /// What an attempt gives is not wanted any more: another delivered first. The mind hears that it is over.
    pub(super) fn lose(&mut self, node: usize, task: Task) {
        self.send(task, End::Target, Parcel::Reset);
        self.streams.close(task, End::Origin);
        self.observer.attempt_over(task);
        let failure = Failure::Engine("another copy answered first".to_owned());
        self.feed(node, Event::Failed { task, failure });
    }
}
