//! The bound: one queue in the middle that sees every slot of every node, at once and from everywhere. First come, first
//! served within a priority, critical first; the fastest idle slot takes the next request; no network, no delay.
//!
//! Nothing that a mesh does can rest on it, so it knows nothing of the mesh but speeds and slots. It exists to divide by.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use hither_types::request::Priority;

use crate::latency::{Outcome, Window};
use crate::mesh::{Arrival, Spot};

#[cfg(test)]
mod tests;

/// What happens to the capacity at an instant.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// In microseconds.
    pub at: u64,
    pub fate: Fate,
    pub nodes: Vec<u32>,
}

/// What happens to nodes.
#[cfg_attr(not(test), expect(dead_code, reason = "theory is compared with in tests"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Their slots are gone. What ran there starts again, from the beginning, at the head of the queue.
    Dies,
    /// Their slots are back, and idle.
    Returns,
}

/// The queue in the middle, before a run.
#[derive(Debug)]
pub(crate) struct Bound<'a> {
    spots: &'a [Spot],
    changes: &'a [Change],
    window: Window,
    away: u64,
}

impl<'a> Bound<'a> {
    pub(crate) fn new(spots: &'a [Spot], window: Window) -> Self {
        Self { spots, changes: &[], window, away: 0 }
    }

    #[cfg_attr(not(test), expect(dead_code, reason = "theory is compared with in tests"))]
    /// With a capacity that changes, in order of time. Requests of dead nodes still come.
    pub(crate) fn changing(self, changes: &'a [Change]) -> Self {
        debug_assert!(changes.is_sorted_by_key(|change| change.at), "changes come in order of time");
        Self { changes, ..self }
    }

    /// With the queue so many microseconds away, there and back. Then it is no bound but a data centre.
    pub(crate) fn away(self, round_trip: u64) -> Self {
        Self { away: round_trip, ..self }
    }

    /// Serves arrivals that come in order of time, to the last of them.
    pub(crate) fn run(&self, arrivals: impl Iterator<Item = Arrival>) -> Outcome {
        let mut hall = Hall::new(self);
        for arrival in arrivals {
            hall.advance(arrival.at);
            hall.arrive(&arrival);
        }
        hall.advance(u64::MAX);
        hall.outcome
    }
}

#[derive(Debug, Clone, Copy)]
struct Job {
    at: u64,
    work: u64,
    deadline: u64,
    priority: Priority,
}

/// One slot of one node.
#[derive(Debug)]
struct Slot {
    node: u32,
    /// Its place in the list of speeds, the fastest first.
    class: u32,
    speed: u32,
    running: Option<(Job, u64)>,
}

/// The queue in the middle, in a run.
#[derive(Debug)]
struct Hall<'a> {
    slots: Vec<Slot>,
    /// Idle slots by class. A stack each: which of two equal slots takes a request makes no difference.
    idle: Vec<Vec<u32>>,
    /// No class before this one has an idle slot.
    fastest: usize,
    /// When each running request ends. An entry whose slot runs something else by now is void.
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// By priority, critical first.
    waiting: [VecDeque<Job>; 3],
    changes: &'a [Change],
    window: Window,
    away: u64,
    outcome: Outcome,
}

impl<'a> Hall<'a> {
    fn new(bound: &Bound<'a>) -> Self {
        let mut speeds: Vec<u32> = bound.spots.iter().map(|spot| spot.speed.max(1)).collect();
        speeds.sort_unstable_by_key(|speed| Reverse(*speed));
        speeds.dedup();
        let mut hall = Self {
            slots: Vec::new(),
            idle: vec![Vec::new(); speeds.len()],
            fastest: 0,
            ends: BinaryHeap::new(),
            waiting: Default::default(),
            changes: bound.changes,
            window: bound.window,
            away: bound.away,
            outcome: Outcome::default(),
        };
        for (node, spot) in bound.spots.iter().enumerate() {
            let speed = spot.speed.max(1);
            let class = speeds.partition_point(|faster| *faster > speed) as u32;
            for _ in 0..spot.slots {
                hall.idle[class as usize].push(hall.slots.len() as u32);
                hall.slots.push(Slot { node: node as u32, class, speed, running: None });
            }
        }
        hall
    }

    /// Lets happen what happens up to an instant: first what ends, then what changes.
    fn advance(&mut self, to: u64) {
        loop {
            let end = self.ends.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
            match self.changes.first() {
                Some(change) if change.at <= to && change.at < end => {
                    self.changes = &self.changes[1..];
                    self.change(change);
                }
                _ if end <= to && !self.ends.is_empty() => self.end_one(),
                _ => return,
            }
        }
    }

    fn arrive(&mut self, arrival: &Arrival) {
        let Arrival { at, work, deadline, priority, .. } = *arrival;
        self.outcome.offered += u64::from(self.window.holds(at));
        let job = Job { at, work, deadline, priority };
        match self.take_idle() {
            Some(slot) => {
                let end = self.start(slot, job, at);
                self.ends.push(Reverse((end, slot)));
            }
            None => self.waiting[rank(priority)].push_back(job),
        }
    }

    /// The first thing that ends does. Its slot goes on with the head of the queue.
    fn end_one(&mut self) {
        let Some(Reverse((at, index))) = self.ends.peek().copied() else { return };
        let slot = &mut self.slots[index as usize];
        let Some((job, _)) = slot.running.take_if(|(_, end)| *end == at) else {
            self.ends.pop();
            return;
        };
        if self.window.holds(job.at) {
            self.outcome.answered(at - job.at + self.away, job.deadline);
        }
        match self.waiting.iter_mut().find_map(VecDeque::pop_front) {
            Some(next) => {
                let end = self.start(index, next, at);
                if let Some(mut top) = self.ends.peek_mut() {
                    *top = Reverse((end, index));
                }
            }
            None => {
                self.ends.pop();
                self.free(index);
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let mut nodes = change.nodes.clone();
        nodes.sort_unstable();
        let is_hit = |slot: &Slot| nodes.binary_search(&slot.node).is_ok();
        // What is idle is taken out in both cases: a node that returns without having died has each slot once.
        for class in &mut self.idle {
            class.retain(|slot| !is_hit(&self.slots[*slot as usize]));
        }
        let hit: Vec<u32> = (0..self.slots.len() as u32).filter(|slot| is_hit(&self.slots[*slot as usize])).collect();
        match change.fate {
            Fate::Dies => {
                let mut again: Vec<Job> = hit
                    .iter()
                    .filter_map(|slot| self.slots[*slot as usize].running.take())
                    .map(|(job, _)| job)
                    .collect();
                again.sort_by_key(|job| Reverse(job.at));
                again.into_iter().for_each(|job| self.waiting[rank(job.priority)].push_front(job));
            }
            Fate::Returns => hit.into_iter().for_each(|slot| {
                if self.slots[slot as usize].running.is_none() {
                    self.free(slot);
                }
            }),
        }
        while let Some(slot) = self.take_idle() {
            let Some(job) = self.waiting.iter_mut().find_map(VecDeque::pop_front) else {
                self.free(slot);
                return;
            };
            let end = self.start(slot, job, change.at);
            self.ends.push(Reverse((end, slot)));
        }
    }

    /// When it will end.
    fn start(&mut self, index: u32, job: Job, now: u64) -> u64 {
        let slot = &mut self.slots[index as usize];
        let end = now + job.work * 1000 / u64::from(slot.speed);
        slot.running = Some((job, end));
        end
    }

    fn take_idle(&mut self) -> Option<u32> {
        while let Some(class) = self.idle.get_mut(self.fastest) {
            if let Some(slot) = class.pop() {
                return Some(slot);
            }
            self.fastest += 1;
        }
        None
    }

    fn free(&mut self, slot: u32) {
        let class = self.slots[slot as usize].class as usize;
        self.idle[class].push(slot);
        self.fastest = self.fastest.min(class);
    }
}

fn rank(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
