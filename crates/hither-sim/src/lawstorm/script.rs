//! The members that only follow a script: they answer, lie, ask for what is not theirs, and fall silent, by chance.

use std::sync::Arc;

use hither_core::Event;
use hither_types::id::{Attempt, Digest, NodeId, RequestId, Task};
use hither_types::law::Denial;
use hither_types::message::{Load, ModelPresence, ModelStage, Presence, Signal};
use hither_types::model::Device;
use hither_types::refusal::{Failure, InputFault, Refusal};
use hither_types::request::{Cost, Envelope, Priority, Quality, RequestKind};
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::bench::{About, Bench, Flight, index_of};
use super::draw::MODELS;
use super::judge::NOTHING;

impl Bench<'_> {
    /// A kind of request for one of the models; now and then for one that nobody has.
    pub(super) fn draw_about(&mut self) -> About {
        let kind = self.chance.below(self.kinds.len() as u64) as u8;
        let model = if self.chance.permille(5) { 3 } else { self.chance.below(3) as u8 };
        About { kind, model }
    }

    pub(super) fn envelope(&mut self, about: About) -> Envelope {
        let prefer = self.chance.permille(150).then(|| self.chance.below(u64::from(self.members())) as usize);
        let chance = &mut self.chance;
        let kind = &self.kinds[usize::from(about.kind)].0;
        let priority = match chance.below(8) {
            0 => Priority::Critical,
            1 | 2 => Priority::Low,
            _ => Priority::Normal,
        };
        Envelope {
            app: kind.app.clone(),
            model: self.stock.models[usize::from(about.model)].clone(),
            label: kind.label.clone(),
            kind: if chance.permille(500) { RequestKind::Generate } else { RequestKind::Infer },
            size: ByteCount(chance.between(1, 4000)),
            priority,
            prefer: prefer.map(|member| self.profiles[2 * member].0.site.clone()),
            quality: if chance.permille(500) { Quality::Family } else { Quality::Exact },
        }
    }

    /// A model's digest: that of a kind of request, or another one; now and then one that nobody knows.
    pub(super) fn draw_digest(&mut self, about: About) -> Digest {
        match self.chance.below(100) {
            0 => Digest([9; 32]),
            1..=7 => Digest([1 + self.chance.below(3) as u8; 32]),
            _ => Digest([1 + about.model; 32]),
        }
    }

    pub(super) fn draw_load(&mut self) -> Load {
        let slots = self.chance.below(5) as u16;
        let busy = self.chance.below(u64::from(slots) + 1) as u16;
        let wait = if busy < slots { 0 } else { self.chance.below(300_000) };
        let queued = self.chance.below(4) as u16;
        let urgent = Micros(self.chance.below(wait + 1));
        let service = Micros(self.chance.between(1, 300) * 1000);
        Load { slots, busy, queued, wait: Micros(wait), urgent, service }
    }

    fn draw_refusal(&mut self) -> Refusal {
        match self.chance.below(8) {
            0 => Refusal::UnlawfulThere(Denial::NotPermitted { nearest: None }),
            1 => Refusal::NoPower { cap: Milliwatts(1) },
            2 => Refusal::NoCapacity { tried: 0 },
            3 => Refusal::LedgerUnavailable,
            4 => Refusal::DeadlinePassed,
            5 => Refusal::Stopping,
            _ => Refusal::Overloaded { retry_after: Micros(100_000) },
        }
    }

    fn draw_failure(&mut self) -> Failure {
        match self.chance.below(8) {
            0 => Failure::BadInput(InputFault::Other(String::new())),
            1 => Failure::Engine(String::new()),
            2 | 3 => Failure::Unreachable,
            4 | 5 => Failure::EngineLost,
            _ => Failure::Declined(self.draw_refusal()),
        }
    }

    pub(super) fn draw_cost(&mut self) -> Cost {
        let prefill = Micros(self.chance.between(1, 200) * 1000);
        Cost { prefill, answer: ByteCount(10), ..Cost::default() }
    }

    /// The engine of a core works on a task until it answers, fails or hangs.
    pub(super) fn engine_answers(&mut self, core: usize, task: Task) {
        let event = match self.chance.below(100) {
            0..=1 => return,
            2..=3 => Event::Failed { task, failure: Failure::EngineLost },
            4..=5 => Event::Failed { task, failure: Failure::Engine(String::new()) },
            _ => Event::Done { task, cost: self.draw_cost() },
        };
        self.flights.push(Flight { to: core, about: NOTHING, event });
    }

    fn is_scripted(&self, member: NodeId) -> bool {
        usize::from(index_of(member)) >= self.known.len()
    }

    /// A scripted member that a request was sent to.
    pub(super) fn serve_by_script(&mut self, core: usize, task: Task, peer: NodeId) {
        if !self.is_scripted(peer) {
            return;
        }
        if self.chance.permille(50) {
            let event = Event::Beat { task, progress: self.chance.below(3) };
            self.flights.push(Flight { to: core, about: NOTHING, event });
        }
        let event = match self.chance.below(100) {
            0..=2 => return,
            3..=12 => Event::Failed { task, failure: self.draw_failure() },
            _ => Event::Done { task, cost: self.draw_cost() },
        };
        self.flights.push(Flight { to: core, about: NOTHING, event });
    }

    /// A scripted member that a request is offered to.
    pub(super) fn answer_by_script(&mut self, core: usize, peer: NodeId, what: (RequestId, Attempt), about: About) {
        if !self.is_scripted(peer) {
            return;
        }
        let ((request, attempt), load) = (what, self.draw_load());
        let signal = match self.chance.below(100) {
            0..=2 => return,
            3..=14 => Signal::Reject { request, attempt, refusal: self.draw_refusal(), load },
            _ => Signal::Accept { request, attempt, load },
        };
        self.flights.push(Flight { to: core, about, event: Event::Told { from: peer, signal } });
    }

    /// A scripted member whose offer was accepted sends the request, or another one in its place.
    pub(super) fn ask_by_script(&mut self, core: usize, task: Task) {
        let Some(before) = self.before.filter(|_| self.is_scripted(task.origin)) else { return };
        if self.chance.permille(50) {
            return;
        }
        let about = if self.chance.permille(100) { self.draw_about() } else { before.about };
        let digest = if self.chance.permille(30) { self.draw_digest(about) } else { before.digest };
        self.asks(core, task, about, digest);
    }

    fn asks(&mut self, core: usize, task: Task, about: About, digest: Digest) {
        let envelope = self.envelope(about);
        let remaining = Micros(self.chance.between(0, 1_500_000));
        let event = Event::Asked { task, digest, envelope, remaining };
        self.flights.push(Flight { to: core, about, event });
    }

    /// A scripted member acts of its own accord.
    pub(super) fn act_by_script(&mut self, core: usize, member: u8) {
        let from = NodeId([member; 32]);
        let about = self.draw_about();
        let digest = self.draw_digest(about);
        self.numbered += 1;
        let request = RequestId(u128::from(self.numbered));
        let attempt = Attempt(1 + self.chance.below(3) as u8);
        let signal = match self.chance.below(100) {
            0..=64 => {
                let envelope = self.envelope(about);
                let remaining = Micros(self.chance.between(1, 1_500_000));
                let promised = Micros(self.chance.below(2) * self.chance.below(400_000));
                Signal::Offer { request, attempt, digest, envelope, remaining, promised }
            }
            65..=76 => return self.asks(core, Task { origin: from, request, attempt }, about, digest),
            77..=82 => {
                let number = self.chance.below(1000) as u32;
                Signal::Steal { number, answers: self.chance.below(50) as u32, digest, load: self.draw_load() }
            }
            83..=87 => {
                let number = self.chance.below(50) as u32;
                Signal::State { number, digest, load: self.draw_load() }
            }
            88..=90 => Signal::Probe { number: 1, digest, queued: self.chance.below(3) as u16 },
            91..=92 => Signal::Nothing { number: self.chance.below(50) as u32, digest },
            93..=95 => return self.speak(core, member),
            _ => {
                // An answer that nobody waits for, or that another member was asked for.
                let Some(own) = self.known[core].own.last() else { return };
                let (request, attempt, load) = (own.id, Attempt(1), self.draw_load());
                match self.chance.permille(700) {
                    true => Signal::Accept { request, attempt, load },
                    false => Signal::Reject { request, attempt, refusal: self.draw_refusal(), load },
                }
            }
        };
        self.flights.push(Flight { to: core, about, event: Event::Told { from, signal } });
    }

    /// A scripted member tells of itself.
    pub(super) fn speak(&mut self, core: usize, member: u8) {
        self.numbered += 1;
        let sequence = self.numbered;
        let mut models = Vec::new();
        for model in 0..MODELS.len() as u8 - 1 {
            // What a member holds changes seldom: each time, who is lawful has to be found anew.
            let drawn =
                if self.chance.permille(50) { self.chance.below(20) } else { u64::from(member * 3 + model) % 20 };
            let stage = match drawn {
                8 => continue,
                9 => ModelStage::Fetching,
                10 => ModelStage::Stored,
                _ => ModelStage::Ready,
            };
            let Load { slots, busy, queued, service, .. } = self.draw_load();
            models.push(ModelPresence {
                digest: Digest([1 + model; 32]),
                stage,
                device: Device::Cpu,
                slots,
                busy,
                queued,
                service,
            });
        }
        let (power, cap, policy) = (Milliwatts(0), Milliwatts(0), Digest([0; 32]));
        let presence = Arc::new(Presence { incarnation: 1, sequence, models, power, cap, policy, placing: None });
        let event = Event::Presence { from: NodeId([member; 32]), presence };
        self.flights.push(Flight { to: core, about: NOTHING, event });
    }
}
