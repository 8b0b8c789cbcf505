//! The slots of this node and the one queue before them. Watts are already in the slots: nobody else counts power.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hither_types::id::{Digest, RequestId, Task};
use hither_types::model::Device;
use hither_types::request::{Cost, Priority};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Millijoules, Milliwatts};

use crate::event::LocalModel;
use crate::limits;
use crate::mean::{Drain, Mean};
use crate::power::Power;

#[cfg(test)]
mod tests;

/// Whose work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    /// A request that entered here.
    Own(RequestId),
    /// A task of a peer.
    Peer(Task),
}

/// Work that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) job: Job,
    pub(crate) digest: Digest,
    pub(crate) priority: Priority,
    /// Until then it does not start here: a better place may be found meanwhile.
    pub(crate) not_before: Timestamp,
}

/// Work that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    pub(crate) job: Job,
    pub(crate) digest: Digest,
    priority: Priority,
    since: Timestamp,
    order: u64,
    slot_power: Milliwatts,
}

#[derive(Debug, Default)]
struct Engine {
    ready: Option<LocalModel>,
    distrusted: bool,
    busy: u16,
    /// Slots that are promised to work on its way here.
    kept: u16,
    /// The power of those.
    kept_power: Milliwatts,
    service: Mean,
    queue: BTreeMap<(Reverse<Priority>, u64), Waiting>,
    drain: Drain,
}

/// Why work cannot start at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// No engine is ready.
    Engine,
    /// Every slot is busy, or kept for critical requests.
    Slots,
    /// The power cap leaves no slot.
    Power,
}

/// Engines, what runs on them, and what waits.
#[derive(Debug)]
pub(crate) struct Scheduler {
    power: Power,
    engines: BTreeMap<Digest, Engine>,
    running: BTreeMap<Task, Running>,
    waiting: BTreeMap<Job, (Digest, Reverse<Priority>, u64)>,
    order: u64,
    /// Grows whenever something changes that others may be told.
    version: u64,
}

impl Scheduler {
    /// No engine, nothing running.
    pub(crate) fn new(power: Power) -> Self {
        Self {
            power,
            engines: BTreeMap::new(),
            running: BTreeMap::new(),
            waiting: BTreeMap::new(),
            order: 0,
            version: 0,
        }
    }

    /// Grows whenever something changes that others may be told.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The power meter.
    pub(crate) fn power(&self) -> &Power {
        &self.power
    }

    /// Sets the cap; [`Self::excess`] says what has to stop.
    pub(crate) fn set_cap(&mut self, cap: Milliwatts) {
        self.version += 1;
        self.power.set_cap(cap);
    }

    /// An engine is ready, or ready anew.
    pub(crate) fn ready(&mut self, model: LocalModel) {
        self.version += 1;
        let engine = self.engines.entry(model.digest).or_default();
        engine.ready = Some(model);
        engine.distrusted = false;
    }

    /// An engine is gone. What the caller has not been told about still counts as running.
    pub(crate) fn lost(&mut self, digest: Digest) -> Vec<Task> {
        if let Some(engine) = self.engines.get_mut(&digest)
            && !mutant!(LostEngineTrusted)
        {
            engine.ready = None;
        }
        self.version += 1;
        self.running.iter().filter(|(_, running)| running.digest == digest).map(|(task, _)| *task).collect()
    }

    /// Whether new work may start on an engine that lost a task.
    pub(crate) fn trust(&mut self, digest: Digest, trusted: bool) {
        if let Some(engine) = self.engines.get_mut(&digest) {
            engine.distrusted = !trusted;
        }
        self.version += 1;
    }

    /// Whether an engine is ready and trusted.
    pub(crate) fn is_ready(&self, digest: Digest) -> bool {
        self.engines.get(&digest).is_some_and(|engine| engine.ready.is_some() && !engine.distrusted)
    }

    /// What an engine that is ready runs on.
    pub(crate) fn device(&self, digest: Digest) -> Option<Device> {
        self.engines.get(&digest).and_then(|engine| engine.ready).map(|model| model.device)
    }

    /// What keeps work from starting at once; `None` if nothing does. Slots that are kept count as busy.
    pub(crate) fn hold(&self, digest: Digest, priority: Priority) -> Option<Hold> {
        let Some(engine) = self.engines.get(&digest) else { return Some(Hold::Engine) };
        let Some(model) = engine.ready.filter(|_| !engine.distrusted) else { return Some(Hold::Engine) };
        if engine.busy + engine.kept >= open_slots(model.slots, priority) + u16::from(mutant!(OneSlotTooMany)) {
            return Some(Hold::Slots);
        }
        (self.power.room(model.slot_power) == Some(0)).then_some(Hold::Power)
    }

    /// Keeps a free slot for work on its way here. The caller has asked [`Self::hold`].
    pub(crate) fn keep(&mut self, digest: Digest) {
        self.version += 1;
        if mutant!(KeptNotCounted) {
            return;
        }
        let engine = self.engines.entry(digest).or_default();
        let slot_power = engine.ready.map_or(Milliwatts(0), |model| model.slot_power);
        engine.kept += 1;
        engine.kept_power.0 += slot_power.0;
        self.power.keep(slot_power);
    }

    /// The work has come, or does not come.
    pub(crate) fn unkeep(&mut self, digest: Digest) {
        self.version += 1;
        if mutant!(KeptNotCounted) {
            return;
        }
        if let Some(engine) = self.engines.get_mut(&digest) {
            debug_assert!(engine.kept > 0, "a slot is given up that was kept");
            // A model that was made ready anew may take another power since: each gives back its part.
            let slot_power = Milliwatts(engine.kept_power.0 / u64::from(engine.kept.max(1)));
            engine.kept = engine.kept.saturating_sub(1);
            engine.kept_power.0 -= slot_power.0;
            self.power.unkeep(slot_power);
        }
    }

    /// Starts a task. The caller has asked [`Self::hold`].
    pub(crate) fn start(&mut self, task: Task, waiting: Waiting, now: Timestamp) {
        debug_assert_eq!(self.hold(waiting.digest, waiting.priority), None, "a task starts where a slot is free");
        let engine = self.engines.entry(waiting.digest).or_default();
        let slot_power = engine.ready.map_or(Milliwatts(0), |model| model.slot_power);
        engine.busy += 1;
        self.power.take(slot_power);
        self.order += 1;
        self.version += 1;
        let Waiting { job, digest, priority, .. } = waiting;
        let running = Running { job, digest, priority, since: now, order: self.order, slot_power };
        let earlier = self.running.insert(task, running);
        debug_assert!(earlier.is_none(), "a task runs once");
    }

    /// A task does not run any more. Says what it was, and the energy that it took.
    pub(crate) fn end(&mut self, task: Task, now: Timestamp) -> Option<(Running, Millijoules)> {
        let running = self.running.remove(&task)?;
        self.power.give(running.slot_power);
        if let Some(engine) = self.engines.get_mut(&running.digest) {
            engine.busy -= u16::from(!mutant!(BusyLeaks) || running.priority != Priority::Normal);
        }
        self.version += 1;
        Some((running, running.slot_power.over(now.since(running.since))))
    }

    /// Learns from what an answer took.
    pub(crate) fn observe(&mut self, digest: Digest, cost: Cost) {
        let Some(engine) = self.engines.get_mut(&digest) else { return };
        engine.service.add(Micros(cost.prefill.0.saturating_add(cost.decode.0)));
    }

    /// The mean service time; zero if unknown.
    pub(crate) fn service(&self, digest: Digest) -> Micros {
        self.engines.get(&digest).map_or(Micros(0), |engine| engine.service.value())
    }

    /// Puts work into the queue; `false` if it is full.
    pub(crate) fn enqueue(&mut self, waiting: Waiting) -> bool {
        if self.waiting.len() >= limits::QUEUE_MAX {
            return false;
        }
        self.order += 1;
        self.version += 1;
        let key =
            (Reverse(if mutant!(CriticalWaitsItsTurn) { Priority::Normal } else { waiting.priority }), self.order);
        let earlier = self.waiting.insert(waiting.job, (waiting.digest, key.0, key.1));
        debug_assert!(earlier.is_none(), "work waits once");
        self.engines.entry(waiting.digest).or_default().queue.insert(key, waiting);
        true
    }

    /// Takes work out of the queue before it started.
    pub(crate) fn dequeue(&mut self, job: Job) -> bool {
        let Some((digest, priority, order)) = self.waiting.remove(&job) else { return false };
        self.version += 1;
        self.engines.get_mut(&digest).is_some_and(|engine| engine.queue.remove(&(priority, order)).is_some())
    }

    /// Work left the queue for a place: learns how fast the queue drains.
    pub(crate) fn drained(&mut self, digest: Digest, now: Timestamp) {
        if let Some(engine) = self.engines.get_mut(&digest) {
            engine.drain.left(now, engine.queue.is_empty());
        }
    }

    /// Takes the next work that can start: by priority, then in order of arrival. What is held by power alone keeps
    /// lower priorities from taking the watts that it waits for.
    pub(crate) fn next_start(&mut self, now: Timestamp) -> Option<Waiting> {
        if self.waiting.is_empty() {
            return None;
        }
        let firsts = self.engines.iter().filter_map(|(digest, engine)| {
            let (key, waiting) = engine.queue.iter().find(|(_, waiting)| waiting.not_before <= now)?;
            Some((*key, *waiting, self.hold(*digest, waiting.priority)))
        });
        let mut firsts: Vec<_> = firsts.collect();
        firsts.sort_unstable_by_key(|(key, ..)| *key);
        let mut saved_for = None;
        for (_, waiting, hold) in firsts {
            if saved_for.is_some_and(|priority| waiting.priority < priority) {
                return None;
            }
            match hold {
                None => {
                    self.dequeue(waiting.job);
                    return Some(waiting);
                }
                Some(Hold::Power) => saved_for = saved_for.or(Some(waiting.priority)),
                Some(Hold::Engine | Hold::Slots) => {}
            }
        }
        None
    }

    /// The first critical work that nothing but power keeps from starting.
    pub(crate) fn starved_critical(&self) -> Option<Waiting> {
        if self.waiting.is_empty() {
            return None;
        }
        let first = |engine: &Engine| engine.queue.first_key_value().map(|(_, waiting)| *waiting);
        let critical = self.engines.values().filter_map(first).filter(|first| first.priority == Priority::Critical);
        critical.into_iter().find(|first| self.hold(first.digest, first.priority) == Some(Hold::Power))
    }

    /// What has to stop for critical work to have its watts: of the lowest priority, the youngest.
    pub(crate) fn makes_way(&self) -> Option<(Task, Job)> {
        let below = |running: &&Running| running.priority < Priority::Critical && running.slot_power > Milliwatts(0);
        let costly = self.running.iter().filter(|(_, running)| below(running));
        let (task, running) = costly.min_by_key(|(_, running)| (running.priority, Reverse(running.order)))?;
        Some((*task, running.job))
    }

    /// The work that waits for a model, in order.
    pub(crate) fn waiting_for(&self, digest: Digest) -> impl Iterator<Item = &Waiting> {
        self.engines.get(&digest).into_iter().flat_map(|engine| engine.queue.values())
    }

    /// All work that waits, by model, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.engines.values().flat_map(|engine| engine.queue.values())
    }

    /// When the next watts come back from work that runs, by what is known of it; `None` if none do, or nothing is known.
    pub(crate) fn next_watts(&self, digest: Digest) -> Option<Micros> {
        let engine = self.engines.get(&digest)?;
        engine.ready.filter(|model| !engine.distrusted && model.slot_power > Milliwatts(0))?;
        let costly = self.running.values().filter(|running| running.slot_power > Milliwatts(0));
        let services = costly.map(|running| self.service(running.digest).0);
        let (sum, count, known) = services.fold((0u64, 0u64, true), |(sum, count, known), service| {
            (sum.saturating_add(service), count + 1, known && service > 0)
        });
        let mean = sum.checked_div(count).filter(|_| known)?;
        Some(Micros(mean / count))
    }

    /// How long work would wait for watts that other models use now; `None` if nobody has any to give back.
    fn wait_for_watts(&self, digest: Digest, ahead: u64) -> Option<Micros> {
        let engine = self.engines.get(&digest)?;
        engine.ready.filter(|model| !engine.distrusted && model.slot_power > Milliwatts(0))?;
        let busy: Vec<&Running> = self.running.values().filter(|running| running.slot_power > Milliwatts(0)).collect();
        let services: u64 = busy.iter().map(|running| self.service_or_guess(running.digest).0).sum();
        let running = busy.len() as u64;
        let mean = services.checked_div(running)?;
        Some(Micros(mean.saturating_mul(ahead) / running))
    }

    /// How long the first in the queue of a model still waits; `None` if nothing can start as things are.
    pub(crate) fn head_wait(&self, digest: Digest, now: Timestamp) -> Option<Micros> {
        let engine = self.engines.get(&digest)?;
        let here = Micros(self.service_or_guess(digest).0.checked_div(u64::from(self.slots(digest)))?);
        Some(engine.drain.gap(now).map_or(here, |gap| gap.min(here)))
    }

    /// How much work waits.
    pub(crate) fn waiting_in_all(&self) -> usize {
        self.waiting.len()
    }

    /// How long new work would wait; `None` if nothing can ever start as things are.
    pub(crate) fn wait(&self, digest: Digest, priority: Priority, now: Timestamp) -> Option<Micros> {
        let engine = self.engines.get(&digest)?;
        let (here, ahead) = match self.hold(digest, priority) {
            None => return Some(Micros(0)),
            Some(Hold::Power) => {
                // Watts are shared: what waits for another model is served first as well.
                let before = self.waiting.values().filter(|(_, Reverse(waiting), _)| *waiting >= priority).count();
                let ahead = before as u64 + 1;
                (self.wait_for_watts(digest, ahead)?, ahead)
            }
            Some(Hold::Slots | Hold::Engine) => {
                let before = match priority {
                    Priority::Low => engine.queue.len(),
                    Priority::Normal | Priority::Critical => {
                        engine.queue.keys().take_while(|(Reverse(before), _)| *before >= priority).count()
                    }
                };
                let (ahead, slots) = (before as u64 + 1, u64::from(self.slots(digest)));
                (Micros(self.service_or_guess(digest).0.saturating_mul(ahead).checked_div(slots)?), ahead)
            }
        };
        // Peers may take what waits faster than the own slots do.
        let drained = engine.drain.gap(now).map(|gap| Micros(gap.0.saturating_mul(ahead)));
        Some(drained.map_or(here, |drained| drained.min(here)))
    }

    /// The mean service time, or a guess.
    pub(crate) fn service_or_guess(&self, digest: Digest) -> Micros {
        match self.service(digest) {
            Micros(0) => limits::SERVICE_GUESS,
            known => known,
        }
    }

    /// How many tasks of a model may run at once, power considered.
    pub(crate) fn slots(&self, digest: Digest) -> u16 {
        let Some(engine) = self.engines.get(&digest) else { return 0 };
        let Some(model) = engine.ready.filter(|_| !engine.distrusted) else { return 0 };
        let room = self.power.room(model.slot_power).unwrap_or(u64::from(u16::MAX));
        let room = u16::try_from(room).unwrap_or(u16::MAX);
        model.slots.min(engine.busy.saturating_add(engine.kept).saturating_add(room))
    }

    /// How many tasks of a model run.
    pub(crate) fn busy(&self, digest: Digest) -> u16 {
        self.engines.get(&digest).map_or(0, |engine| engine.busy)
    }

    /// How many tasks run in all.
    pub(crate) fn busy_in_all(&self) -> usize {
        self.running.len()
    }

    /// How many slots of a model work of a priority could take at once.
    pub(crate) fn free(&self, digest: Digest, priority: Priority) -> u16 {
        if self.hold(digest, priority).is_some() {
            return 0;
        }
        let Some(engine) = self.engines.get(&digest) else { return 0 };
        let Some(model) = engine.ready else { return 0 };
        let taken = engine.busy + engine.kept;
        let room = self.power.room(model.slot_power).unwrap_or(u64::from(u16::MAX));
        open_slots(model.slots, priority).saturating_sub(taken).min(u16::try_from(room).unwrap_or(u16::MAX))
    }

    /// Slots of a model that are promised to work on its way here.
    pub(crate) fn kept(&self, digest: Digest) -> u16 {
        self.engines.get(&digest).map_or(0, |engine| engine.kept)
    }

    /// How many wait for a model.
    pub(crate) fn queued(&self, digest: Digest) -> u16 {
        let count = self.engines.get(&digest).map_or(0, |engine| engine.queue.len());
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// A task that has to stop so that the cap holds: of the lowest priority, the youngest.
    pub(crate) fn excess(&self) -> Option<(Task, Job)> {
        if !self.power.is_exceeded() || mutant!(CapChangesNothing) {
            return None;
        }
        let costly = self.running.iter().filter(|(_, running)| running.slot_power > Milliwatts(0));
        let (task, running) = costly.min_by_key(|(_, running)| (running.priority, Reverse(running.order)))?;
        Some((*task, running.job))
    }

    /// The tasks that run.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = Task> {
        self.running.keys().copied()
    }

    /// The model that a task runs on.
    pub(crate) fn runs_on(&self, task: Task) -> Option<Digest> {
        self.running.get(&task).map(|running| running.digest)
    }

    /// The most slots that the engines offer for a model, whatever the power.
    pub(crate) fn slots_without_power(&self, digest: Digest) -> u16 {
        self.engines.get(&digest).and_then(|engine| engine.ready).map_or(0, |model| model.slots)
    }
}

/// The slots that a priority may use: a tenth is kept for critical requests where there are enough.
fn open_slots(slots: u16, priority: Priority) -> u16 {
    match priority {
        Priority::Critical => slots,
        Priority::Normal | Priority::Low if slots >= limits::RESERVE_FROM => slots - slots.div_ceil(10),
        Priority::Normal | Priority::Low => slots,
    }
}
