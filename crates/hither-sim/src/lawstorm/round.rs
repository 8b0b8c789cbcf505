//! One round: two cores in a world of their own, and what happens to them by chance.

use std::sync::Arc;

use hither_core::{Action, Config, Core, Event, LocalModel, PullPolicy};
use hither_types::id::{Digest, ModelName, NodeId, RequestId};
use hither_types::law::Policy;
use hither_types::message::{ModelStage, Signal};
use hither_types::model::{Device, Manifest, ModelFormat, ModelIo};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::RequestKind;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::bench::{Before, Bench, Flight, Own, index_of};
use super::draw::{MODELS, Stock};
use super::judge::NOTHING;
use super::report::LawReport;
use super::{Certificates, Hands};
use crate::chance::Chance;

/// Steps of a round: long enough that drawing a world costs little, short enough to see many.
const STEPS: u64 = 12_000;

/// Requests that are open at a core at a time: enough for queues, few enough to look through.
const OPEN_MAX: usize = 8;

/// Two cores and their judge.
pub(super) struct Round<'a> {
    cores: [Core; 2],
    bench: Bench<'a>,
    /// The laws as they are given to the cores.
    laws: Vec<Arc<Policy>>,
    hands: Hands,
    certificates: Certificates,
    now: u64,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        stock: &'a Stock,
        report: &'a mut LawReport,
        mut chance: Chance,
        weather: (Certificates, Hands),
    ) -> Self {
        let (certificates, hands) = weather;
        let families = chance.permille(800);
        let seeds = [chance.next(), chance.next()];
        report.rounds += 1;
        let bench = Bench::new(stock, report, chance);
        let laws: Vec<Arc<Policy>> = bench.policies.iter().map(|policy| Arc::new((hands.law)(policy))).collect();
        let ladder: Vec<Vec<ModelName>> = families.then(|| stock.models[..3].to_vec()).into_iter().collect();
        let core = |index: usize| {
            Core::new(Config {
                me: bench.profiles[2 * index].0.clone(),
                policy: Arc::clone(&laws[bench.known[index].policy]),
                seed: seeds[index],
                incarnation: 1,
                cap: Milliwatts::from_watts(100),
                idle: Milliwatts::from_watts(10),
                pull: PullPolicy::Manual,
                memory: None,
                ladder: ladder.clone(),
                announce_every: Micros::from_millis(10_000),
                traces: 0,
                settled: Timestamp(0),
                near: hither_core::limits::NEAR_RTT,
            })
        };
        let mut round = Self { cores: [core(0), core(1)], bench, laws, hands, certificates, now: 1_000_000 };
        (0..round.cores.len()).for_each(|core| round.furnish(core));
        round
    }

    fn furnish(&mut self, core: usize) {
        for member in 0..self.bench.members() {
            let profile = self.bench.profiles[usize::from(member) * 2].0.clone();
            self.handle(core, Event::MemberAdded(profile));
            let rtt = Micros(self.bench.chance.between(100, 60_000));
            self.handle(core, Event::RoundTrip { peer: NodeId([member; 32]), rtt });
            if usize::from(member) >= self.cores.len() {
                self.bench.speak(core, member);
            }
        }
        for model in 0..MODELS.len() as u8 - 1 {
            let manifest = manifest(self.bench.stock, model);
            self.handle(core, Event::Catalogued(manifest));
            if self.bench.chance.permille(850) {
                self.model_ready(core, model);
            }
        }
    }

    fn model_ready(&mut self, core: usize, model: u8) {
        let slots = self.bench.chance.between(1, 6) as u16;
        let slot_power = Milliwatts::from_watts(self.bench.chance.below(20));
        self.bench.known[core].holds[core].0[usize::from(model)] = true;
        self.handle(
            core,
            Event::ModelReady(LocalModel {
                digest: Digest([1 + model; 32]),
                slots,
                slot_power,
                memory: None,
                device: Device::Cpu,
            }),
        );
    }

    /// Plays until the end, or until enough was decided.
    pub(super) fn play(mut self, decisions: u64) {
        let drains = self.bench.chance.permille(300);
        for step in 0..STEPS {
            self.bench.step = step;
            self.now += self.bench.chance.below(250);
            if drains && step == STEPS - STEPS / 20 {
                self.handle(0, Event::Draining);
            }
            for core in 0..self.cores.len() {
                if self.cores[core].deadline().is_some_and(|due| due.0 <= self.now) {
                    self.handle(core, Event::Tick);
                }
            }
            let waiting = self.bench.flights.len() as u64;
            if waiting > self.bench.chance.below(16) {
                let next = self.bench.chance.below(waiting) as usize;
                let flight = self.bench.flights.swap_remove(next);
                self.deliver(flight);
            } else {
                self.happen();
            }
            if step % 64 == 0 && self.bench.report.decisions() >= decisions {
                return;
            }
        }
    }

    /// Gives an event to a core, and what it does to the bench.
    fn handle(&mut self, core: usize, event: Event) {
        self.bench.report.events += 1;
        for mut action in self.cores[core].handle(event, Timestamp(self.now)) {
            (self.hands.action)(&mut action);
            self.bench.act(core, action);
        }
        self.bench.before = None;
    }

    /// Something arrives at a core. What the core is about to learn, the bench learns before.
    fn deliver(&mut self, Flight { to, about, event }: Flight) {
        let bench = &mut self.bench;
        match &event {
            Event::Told { from, signal: Signal::Offer { request, attempt, digest, .. } } => {
                let task = hither_types::id::Task { origin: *from, request: *request, attempt: *attempt };
                bench.before = Some(Before { task, about, digest: *digest, reads: false });
            }
            Event::Told { signal: Signal::Reject { request, refusal: Refusal::UnlawfulThere(_), .. }, .. } => {
                if let Some(own) = bench.own_of(to, *request) {
                    bench.known[to].own[own].denied_there = true;
                }
            }
            Event::Told { .. } if bench.chance.permille(20) => return,
            Event::Asked { task, digest, envelope, .. } => {
                let reads = envelope.kind == RequestKind::Generate;
                bench.before = Some(Before { task: *task, about, digest: *digest, reads });
            }
            Event::Recorded(ticket) => {
                let of = |own: &&mut Own| own.intent.is_some_and(|intent| intent.ticket == *ticket);
                if let Some(intent) = bench.known[to].own.iter_mut().find(of).and_then(|own| own.intent.as_mut()) {
                    intent.is_on_disk = true;
                } else if let Some(guest) = bench.known[to].guests.iter_mut().find(|guest| guest.ticket == *ticket) {
                    guest.is_on_disk = true;
                }
            }
            Event::Done { task, .. } | Event::Failed { task, .. } => {
                let law = matches!(&event, Event::Failed { failure: Failure::Declined(Refusal::UnlawfulThere(_)), .. });
                if usize::from(index_of(task.origin)) == to
                    && let Some(own) = bench.own_of(to, task.request)
                {
                    let own = &mut bench.known[to].own[own];
                    own.denied_there |= law;
                    own.at.retain(|at| at.attempt != task.attempt);
                }
            }
            Event::Presence { from, presence } => {
                let known = &mut bench.known[to];
                let belongs = known.profiles[usize::from(index_of(*from))].is_some();
                let (holds, last) = &mut known.holds[usize::from(index_of(*from))];
                if belongs && presence.sequence > *last {
                    (*holds, *last) = ([false; MODELS.len()], presence.sequence);
                    let held = presence.models.iter().filter(|model| model.stage != ModelStage::Fetching);
                    held.for_each(|model| holds[usize::from(model.digest.0[0] - 1)] = true);
                }
            }
            _ => {}
        }
        let gone = if let Event::AskerGone(task) = &event { Some(*task) } else { None };
        self.handle(to, event);
        if let Some(gone) = gone {
            self.bench.known[to].guests.retain(|guest| guest.task != gone);
        }
    }

    /// Something happens of itself.
    fn happen(&mut self) {
        let core = self.bench.chance.below(2) as usize;
        let (members, model) = (u64::from(self.bench.members()), self.bench.chance.below(3) as u8);
        match self.bench.chance.below(2000) {
            0..=899 => self.submit(core),
            900..=1899 if members > 2 => {
                let member = self.bench.chance.between(2, members - 1) as u8;
                self.bench.act_by_script(core, member);
            }
            900..=1899 => self.submit(core),
            1900..=1909 => self.amend(core),
            1910..=1919 => self.renew(core),
            1920..=1924 => self.member_leaves(core),
            1925..=1934 => self.now += self.bench.chance.between(50_000, 900_000),
            1935..=1939 => {
                let cap = Milliwatts::from_watts(self.bench.chance.between(10, 150));
                self.handle(core, Event::CapChanged(cap));
            }
            1940..=1942 if self.bench.known[core].holds[core].0[usize::from(model)] => self.lose_model(core, model),
            1943..=1952 if self.bench.known[core].holds[core].0[usize::from(model)] => self.model_ready(core, model),
            1953..=1969 => {
                let Some(id) = self.bench.known[core].own.first().map(|own| own.id) else { return };
                self.handle(core, Event::ClientGone(id));
                self.bench.ended(core, id);
            }
            1970..=1985 => {
                let Some(task) = self.bench.known[core].guests.last().map(|guest| guest.task) else { return };
                self.deliver(Flight { to: core, about: NOTHING, event: Event::AskerGone(task) });
            }
            _ => {}
        }
    }

    fn submit(&mut self, core: usize) {
        if self.bench.known[core].own.len() >= OPEN_MAX {
            self.now += 2_000;
            return;
        }
        let about = self.bench.draw_about();
        let envelope = self.bench.envelope(about);
        self.bench.numbered += 1;
        let id = RequestId(u128::from(self.bench.numbered));
        let deadline = Timestamp(self.now + self.bench.chance.between(10_000, 1_000_000));
        let affinity = self.bench.chance.permille(200).then(|| self.bench.chance.below(8));
        self.bench.known[core].own.push(Own::new(id, envelope.clone(), about));
        self.handle(core, Event::Submitted { request: id, envelope, deadline, affinity });
    }

    /// The law changes at a core. What is under way has to be lawful by the new one, or stop.
    fn amend(&mut self, core: usize) {
        let law = self.bench.chance.below(self.laws.len() as u64) as usize;
        self.bench.report.amendments += 1;
        self.bench.known[core].policy = law;
        self.bench.known[core].own.iter_mut().for_each(|own| own.denied_there = true);
        self.handle(core, Event::PolicyChanged(Arc::clone(&self.laws[law])));
        self.bench.look_around(core);
    }

    /// A member has a new certificate, or one that left is back.
    fn renew(&mut self, core: usize) {
        let member = self.bench.chance.below(u64::from(self.bench.members())) as u8;
        let profile = 2 * member + self.bench.chance.below(2) as u8;
        let belongs = self.bench.known[core].profiles[usize::from(member)].is_some();
        if belongs && self.certificates == Certificates::Fixed {
            return;
        }
        let belonged = self.bench.known[core].profiles[usize::from(member)].replace(profile).is_some();
        self.bench.report.renewals += u64::from(belonged);
        self.bench.known[core].own.iter_mut().for_each(|own| own.denied_there = true);
        self.handle(core, Event::MemberAdded(self.bench.profiles[usize::from(profile)].0.clone()));
        self.bench.look_around(core);
        if !belonged && usize::from(member) >= self.cores.len() {
            self.bench.speak(core, member);
        }
    }

    fn member_leaves(&mut self, core: usize) {
        let member = self.bench.chance.below(u64::from(self.bench.members())) as usize;
        if member != core {
            self.bench.known[core].profiles[member] = None;
            self.bench.known[core].holds[member] = ([false; MODELS.len()], 0);
            self.handle(core, Event::MemberRemoved(NodeId([member as u8; 32])));
        }
    }

    fn lose_model(&mut self, core: usize, model: u8) {
        for own in &mut self.bench.known[core].own {
            own.at.retain(|at| usize::from(at.place) != core || at.model != model);
        }
        self.handle(core, Event::ModelLost(Digest([1 + model; 32])));
    }
}

fn manifest(stock: &Stock, model: u8) -> Manifest {
    Manifest {
        name: stock.models[usize::from(model)].clone(),
        digest: Digest([1 + model; 32]),
        sha256: [0; 32],
        size: ByteCount(1),
        format: ModelFormat::Stub,
        licence: String::new(),
        io: ModelIo::Language { context_tokens: 2048 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: NodeId([0; 32]),
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }
}

/// Leaves an action as it is.
pub(super) fn untouched(_: &mut Action) {}
