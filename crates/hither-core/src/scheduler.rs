//! The slots of this node and the one queue before them. Watts are already in the slots: nobody else counts power.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hither_types::id::{Digest, RequestId, Task};
use hither_types::request::{Cost, Priority};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Millijoules, Milliwatts};

use crate::event::LocalModel;
use crate::limits;
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
    service: Micros,
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
    queue: BTreeMap<(Reverse<Priority>, u64), Waiting>,
    order: u64,
}

impl Scheduler {
    /// No engine, nothing running.
    pub(crate) fn new(power: Power) -> Self {
        Self { power, engines: BTreeMap::new(), running: BTreeMap::new(), queue: BTreeMap::new(), order: 0 }
    }

    /// The power meter.
    pub(crate) fn power(&self) -> &Power {
        &self.power
    }

    /// Sets the cap; [`Self::excess`] says what has to stop.
    pub(crate) fn set_cap(&mut self, cap: Milliwatts) {
        self.power.set_cap(cap);
    }

    /// An engine is ready, or ready anew.
    pub(crate) fn ready(&mut self, model: LocalModel) {
        let engine = self.engines.entry(model.digest).or_default();
        engine.ready = Some(model);
        engine.distrusted = false;
    }

    /// An engine is gone. What the caller has not been told about still counts as running.
    pub(crate) fn lost(&mut self, digest: Digest) -> Vec<Task> {
        if let Some(engine) = self.engines.get_mut(&digest) {
            engine.ready = None;
        }
        self.running.iter().filter(|(_, running)| running.digest == digest).map(|(task, _)| *task).collect()
    }

    /// Whether new work may start on an engine that lost a task.
    pub(crate) fn trust(&mut self, digest: Digest, trusted: bool) {
        if let Some(engine) = self.engines.get_mut(&digest) {
            engine.distrusted = !trusted;
        }
    }

    /// Whether an engine is ready and trusted.
    pub(crate) fn is_ready(&self, digest: Digest) -> bool {
        self.engines.get(&digest).is_some_and(|engine| engine.ready.is_some() && !engine.distrusted)
    }

    /// What keeps work from starting at once; `None` if nothing does.
    pub(crate) fn hold(&self, digest: Digest, priority: Priority) -> Option<Hold> {
        let Some(engine) = self.engines.get(&digest) else { return Some(Hold::Engine) };
        let Some(model) = engine.ready.filter(|_| !engine.distrusted) else { return Some(Hold::Engine) };
        if engine.busy >= open_slots(model.slots, priority) {
            return Some(Hold::Slots);
        }
        (!self.power.fits(model.slot_power)).then_some(Hold::Power)
    }

    /// Starts a task. The caller has asked [`Self::hold`].
    pub(crate) fn start(&mut self, task: Task, waiting: Waiting, now: Timestamp) {
        debug_assert_eq!(self.hold(waiting.digest, waiting.priority), None, "a task starts where a slot is free");
        let engine = self.engines.entry(waiting.digest).or_default();
        let slot_power = engine.ready.map_or(Milliwatts(0), |model| model.slot_power);
        engine.busy += 1;
        self.power.take(slot_power);
        self.order += 1;
        let Waiting { job, digest, priority } = waiting;
        let running = Running { job, digest, priority, since: now, order: self.order, slot_power };
        let earlier = self.running.insert(task, running);
        debug_assert!(earlier.is_none(), "a task runs once");
    }

    /// A task does not run any more. Says what it was, and the energy that it took.
    pub(crate) fn end(&mut self, task: Task, now: Timestamp) -> Option<(Running, Millijoules)> {
        let running = self.running.remove(&task)?;
        self.power.give(running.slot_power);
        if let Some(engine) = self.engines.get_mut(&running.digest) {
            engine.busy -= 1;
        }
        Some((running, running.slot_power.over(now.since(running.since))))
    }

    /// Learns from what an answer took: a moving mean over about eight of them.
    pub(crate) fn observe(&mut self, digest: Digest, cost: Cost) {
        let Some(engine) = self.engines.get_mut(&digest) else { return };
        let sample = cost.prefill.0.saturating_add(cost.decode.0).max(1);
        let before = engine.service.0;
        engine.service.0 = if before == 0 { sample } else { (before.saturating_mul(7).saturating_add(sample)) / 8 };
    }

    /// The mean service time; zero if unknown.
    pub(crate) fn service(&self, digest: Digest) -> Micros {
        self.engines.get(&digest).map_or(Micros(0), |engine| engine.service)
    }

    /// Puts work into the queue; `false` if it is full.
    pub(crate) fn enqueue(&mut self, waiting: Waiting) -> bool {
        if self.queue.len() >= limits::QUEUE_MAX {
            return false;
        }
        self.order += 1;
        self.queue.insert((Reverse(waiting.priority), self.order), waiting);
        true
    }

    /// Takes work out of the queue before it started.
    pub(crate) fn dequeue(&mut self, job: Job) -> bool {
        let key = self.queue.iter().find(|(_, waiting)| waiting.job == job).map(|(key, _)| *key);
        key.is_some_and(|key| self.queue.remove(&key).is_some())
    }

    /// Takes the next work that can start: by priority, then in order of arrival. What is held by power alone keeps
    /// lower priorities from taking the watts that it waits for.
    pub(crate) fn next_start(&mut self) -> Option<Waiting> {
        let mut saved_for = None;
        let mut found = None;
        for (key, waiting) in &self.queue {
            if saved_for.is_some_and(|priority| waiting.priority < priority) {
                break;
            }
            match self.hold(waiting.digest, waiting.priority) {
                None => {
                    found = Some(*key);
                    break;
                }
                Some(Hold::Power) => saved_for = saved_for.or(Some(waiting.priority)),
                Some(Hold::Engine | Hold::Slots) => {}
            }
        }
        self.queue.remove(&found?)
    }

    /// The work that waits for a model, in order.
    pub(crate) fn waiting_for(&self, digest: Digest) -> Vec<Job> {
        self.queue.values().filter(|waiting| waiting.digest == digest).map(|waiting| waiting.job).collect()
    }

    /// All work that waits, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.queue.values()
    }

    /// How long new work would wait; `None` if nothing can ever start as things are.
    pub(crate) fn wait(&self, digest: Digest, priority: Priority) -> Option<Micros> {
        if self.hold(digest, priority).is_none() {
            return Some(Micros(0));
        }
        let slots = u64::from(self.slots(digest));
        let ahead = self.queue.values().filter(|w| w.digest == digest && w.priority >= priority).count() as u64;
        let service = self.service_or_guess(digest).0;
        service.saturating_mul(ahead + 1).checked_div(slots).map(Micros)
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
        model.slots.min(engine.busy.saturating_add(room))
    }

    /// How many tasks of a model run.
    pub(crate) fn busy(&self, digest: Digest) -> u16 {
        self.engines.get(&digest).map_or(0, |engine| engine.busy)
    }

    /// How many tasks run in all.
    pub(crate) fn busy_in_all(&self) -> usize {
        self.running.len()
    }

    /// How many wait for a model.
    pub(crate) fn queued(&self, digest: Digest) -> u16 {
        let count = self.queue.values().filter(|waiting| waiting.digest == digest).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// A task that has to stop so that the cap holds: of the lowest priority, the youngest.
    pub(crate) fn excess(&self) -> Option<(Task, Job)> {
        let costly = self.running.iter().filter(|(_, running)| running.slot_power > Milliwatts(0));
        let (task, running) = costly.min_by_key(|(_, running)| (running.priority, Reverse(running.order)))?;
        self.power.is_exceeded().then_some((*task, running.job))
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
