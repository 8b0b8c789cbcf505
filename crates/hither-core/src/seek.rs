//! Asking around for a free slot, and answering those who ask. A probe leaves a note at the peer: whoever has work
//! waiting is remembered there, and asked for it when a slot gets free (late binding, as in Sparrow, SOSP 2013).

use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::message::{Load, Signal};
use hither_types::request::Priority;
use hither_types::unit::Micros;

use crate::circle::Circle;
use crate::event::Action;
use crate::limits;
use crate::machine::Core;
use crate::request::{Leave, Phase};
use crate::router::{Lawful, Offer};
use crate::scheduler::Job;
use crate::timers::Timer;

#[cfg(test)]
mod tests;

impl Core {
    /// A word of a peer.
    pub(crate) fn told(&mut self, from: NodeId, signal: Signal) {
        if self.peers.get(from).is_none() {
            return;
        }
        match signal {
            Signal::Probe { number, digest, queued } => self.probed(from, number, digest, queued),
            Signal::State { number, digest, load } => {
                self.peers.replied(from, number, self.now);
                self.heard_load(from, digest, load);
                self.hand_over(digest, from);
            }
            Signal::Offer { request, attempt, digest, envelope, remaining, promised } => {
                let task = hither_types::id::Task { origin: from, request, attempt };
                self.offered(task, digest, &envelope, remaining, promised);
            }
            Signal::Accept { request, attempt, load } => self.offer_accepted(from, request, attempt, load),
            Signal::Reject { request, attempt, refusal, load } => {
                self.offer_rejected(from, request, attempt, refusal, load);
            }
            Signal::Steal { number, answers, digest, load } => {
                self.peers.replied(from, answers, self.now);
                self.heard_load(from, digest, load);
                self.begged_for(from, number, digest);
            }
            Signal::Nothing { number, digest } => self.nothing_to_steal(from, number, digest),
        }
    }

    /// How busy this node is with a model, as peers are told. What is kept for others is not offered twice.
    pub(crate) fn load(&self, digest: Digest) -> Load {
        let slots = if self.draining { 0 } else { self.scheduler.slots(digest) };
        let free = if self.draining { 0 } else { self.scheduler.free(digest, Priority::Normal) };
        Load {
            slots,
            busy: slots.saturating_sub(free),
            queued: self.scheduler.queued(digest),
            wait: self.scheduler.wait(digest, Priority::Normal, self.now).unwrap_or(limits::RETRY_AFTER_MAX),
            urgent: self.scheduler.wait(digest, Priority::Critical, self.now).unwrap_or(limits::RETRY_AFTER_MAX),
            service: self.scheduler.service(digest),
        }
    }

    /// A peer said how busy it is.
    pub(crate) fn heard_load(&mut self, from: NodeId, digest: Digest, load: Load) {
        self.pool.add(digest, from, load, self.now);
        self.peers.says(from, digest, load.service);
        if load.busy < load.slots {
            self.peers.welcomes(from, digest);
        }
    }

    fn probed(&mut self, from: NodeId, number: u32, digest: Digest, queued: u16) {
        if queued > 0 {
            // A free slot takes what waits there at once; otherwise the next one that gets free will.
            if self.has_room_to_steal(digest) {
                return self.beg_from(from, number, digest);
            }
            self.hungry.add(digest, from, queued, self.now);
        }
        let signal = Signal::State { number, digest, load: self.load(digest) };
        self.act(Action::Tell { peer: from, signal });
    }

    /// Asks members of a circle how busy they are: each time the most promising of a few drawn by chance, so that
    /// nobody is asked by all.
    pub(crate) fn probe(&mut self, circle: &Circle, digest: Digest, count: usize) {
        let queued = self.scheduler.queued(digest);
        let count = if mutant!(NeverProbes) { 0 } else { count };
        for _ in 0..count {
            let Some(node) = self.draw(circle, digest) else { return };
            self.numbers = self.numbers.wrapping_add(1);
            let number = self.numbers;
            self.peers.asking(node, number, self.now);
            self.act(Action::Tell { peer: node, signal: Signal::Probe { number, digest, queued } });
        }
    }

    fn draw(&mut self, circle: &Circle, digest: Digest) -> Option<NodeId> {
        let mut best: Option<((bool, u64), NodeId)> = None;
        let draws = limits::PROBE_DRAWS.min(circle.ready.len());
        let mut silent = 0;
        for _ in 0..draws {
            let (node, _) = &circle.ready[self.random.below(circle.ready.len())];
            let Some(peer) = self.peers.get(*node) else { continue };
            let overdue = peer.is_overdue(self.now);
            silent += usize::from(overdue || peer.is_cooling(self.now));
            if peer.is_asked(self.now) || peer.is_cooling(self.now) || self.pool.heard_just_now(digest, *node, self.now)
            {
                continue;
            }
            let service = peer.service(digest).unwrap_or(limits::SERVICE_GUESS).0;
            // Who has not said a word for a while is asked after all others.
            let hope = (overdue, service.saturating_add(peer.far().0));
            if best.is_none_or(|(known, _)| hope < known) {
                best = Some((hope, *node));
            }
        }
        if silent == draws {
            self.circles.doubt(digest, self.now);
        }
        best.map(|(_, node)| node)
    }

    /// Requests wait here for a model: peers are asked, and asked again until none waits.
    pub(crate) fn seek(&mut self, digest: Digest) {
        self.timers.clear(Timer::Seek(digest));
        let Some(id) = self.first_own(digest) else { return };
        let Some(request) = self.requests.get(&id) else { return };
        let envelope = request.envelope.clone();
        let circle = self.circle(&envelope, digest);
        if circle.ready.is_empty() {
            return;
        }
        self.probe(&circle, digest, limits::PROBES);
        if !mutant!(SeekTimerLost) {
            self.timers.set(Timer::Seek(digest), self.now.after(limits::SEEK_EVERY));
        }
    }

    /// A request begins to wait here for a model: peers will be asked again if it still waits after a while.
    pub(crate) fn hungry_for(&mut self, digest: Digest) {
        if !self.timers.is_set(Timer::Seek(digest)) {
            self.timers.set(Timer::Seek(digest), self.now.after(limits::SEEK_EVERY));
        }
    }

    fn first_own(&self, digest: Digest) -> Option<RequestId> {
        self.scheduler.waiting_for(digest).find_map(|waiting| match waiting.job {
            Job::Own(id) => Some(id),
            Job::Peer(_) => None,
        })
    }

    /// A peer said that it has room: what waits here goes there, the oldest first, as long as that is better for it.
    fn hand_over(&mut self, digest: Digest, to: NodeId) {
        let Some(free) = self.pool.fresh(digest, self.now).find(|word| word.node == to).map(|word| word.free()) else {
            return;
        };
        for _ in 0..free {
            let Some((id, offer)) = self.first_better(digest, to) else { return };
            self.take_out(id, digest);
            self.offer(id, offer);
        }
    }

    /// The first request in the queue of a model that is better off at a peer: the further back, the longer the wait here.
    pub(crate) fn first_better(&self, digest: Digest, to: NodeId) -> Option<(RequestId, Offer)> {
        let waiting = self.scheduler.waiting_for(digest).take(limits::HAND_OVER_LOOKS).zip(1..);
        waiting.into_iter().find_map(|(waiting, position)| match waiting.job {
            Job::Own(id) => self.better_there(id, digest, to, position).map(|offer| (id, offer)),
            Job::Peer(_) => None,
        })
    }

    /// A request leaves the queue of this node for a peer.
    pub(crate) fn take_out(&mut self, id: RequestId, digest: Digest) {
        let holding = self.requests.get(&id).is_some_and(|request| request.holding);
        if holding {
            self.luck.add(digest, true);
        }
        self.leave(id, Leave::Over);
        self.scheduler.drained(digest, self.now);
    }

    /// The offer to a peer that has a free slot, if a request that waits here is better off there.
    fn better_there(&self, id: RequestId, digest: Digest, to: NodeId, position: u64) -> Option<Offer> {
        let request = self.requests.get(&id)?;
        if !matches!(request.phase, Phase::Queued) || request.attempts >= limits::ATTEMPTS_MAX {
            return None;
        }
        let peer = self.peers.get(to)?;
        if self.unfit(request, peer, digest).is_some() {
            return None;
        }
        if request.holding && self.is_abroad(peer) {
            return None;
        }
        let circle = self.circles.of(&request.envelope, digest, self.peers.version())?;
        let lawful = Lawful::of_circle(&circle, to)?;
        let offer = self.offer_of(request, peer, digest, lawful);
        let here = self.cost_here(digest, request.holding, position);
        here.is_none_or(|here| offer.cost() < here).then_some(offer)
    }

    /// What a request in the queue of this node has before it: the wait for a slot, and the work.
    fn cost_here(&self, digest: Digest, holding: bool, position: u64) -> Option<Micros> {
        if !self.scheduler.is_ready(digest) {
            return None;
        }
        let service = self.scheduler.service_or_guess(digest).0;
        if holding {
            return Some(Micros(service - service.saturating_mul(limits::BIAS_PERCENT) / 100));
        }
        let wait = self.scheduler.head_wait(digest, self.now)?.0;
        Some(Micros(service.saturating_add(wait.saturating_mul(position))))
    }
}
