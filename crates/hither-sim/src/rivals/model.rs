//! The one model in which all rivals run: requests travel, wait in the queue of a node, run, and their answer travels
//! back. Announcements and probes are events beside them.

use std::collections::VecDeque;

use super::choice::Minds;
use super::prequal::Probe;
use super::{Field, Place, Policy, Setting};
use crate::chance::Chance;
use crate::latency::Outcome;
use crate::mesh::Arrival;
use crate::queue::Queue;

/// Purposes of the streams of chance.
const ANNOUNCE: u64 = 0xa220;
const CHOOSE: u64 = 0xc400;

#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    at: u64,
    work: u64,
    deadline: u64,
    /// How far it is from its origin.
    delay: u64,
}

#[derive(Debug)]
enum Event {
    Comes(Arrival),
    Reaches(u32, Job),
    Ends(u32, Job),
    Announces(u32),
    Asks { asker: u32, place: Place },
    Answers { asker: u32, probe: Probe },
}

/// A node: its slots, its queue, and what it said of them last.
#[derive(Debug)]
pub(super) struct Node {
    slots: u32,
    speed: u64,
    busy: u32,
    queue: VecDeque<Job>,
    announced: u32,
}

impl Node {
    /// Requests that run or wait here.
    fn in_flight(&self) -> u32 {
        self.busy + self.queue.len() as u32
    }

    /// How long one more request would take with so many before it, in millionths of its work at speed 1000, if all
    /// took equally long.
    fn load(&self, in_flight: u32) -> u64 {
        let turns = u64::from((in_flight + 1).max(self.slots));
        turns * 1_000_000_000 / (u64::from(self.slots.max(1)) * self.speed)
    }
}

/// What choosers may look at.
#[derive(Debug)]
pub(super) struct View<'a> {
    pub field: &'a Field<'a>,
    pub chance: Chance,
    nodes: Vec<Node>,
    is_fresh: bool,
}

impl View<'_> {
    /// The load of a node by its last word.
    pub(super) fn load(&self, node: u32) -> u64 {
        let node = &self.nodes[node as usize];
        node.load(if self.is_fresh { node.in_flight() } else { node.announced })
    }
}

/// A run of a policy.
#[derive(Debug)]
pub(super) struct Model<'a> {
    policy: Policy,
    setting: Setting,
    view: View<'a>,
    minds: Minds,
    events: Queue<Event>,
    announcing: Chance,
    /// Requests so far, and the sum of their work.
    known: (u64, u64),
    outcome: Outcome,
}

impl<'a> Model<'a> {
    pub(super) fn new(policy: Policy, field: &'a Field<'a>, setting: &Setting) -> Self {
        let node = |spot: &crate::mesh::Spot| Node {
            slots: u32::from(spot.slots),
            speed: u64::from(spot.speed.max(1)),
            busy: 0,
            queue: VecDeque::new(),
            announced: 0,
        };
        let nodes: Vec<_> = field.spots.iter().map(node).collect();
        let mut model = Self {
            policy,
            setting: *setting,
            minds: Minds::new(policy, nodes.len()),
            view: View { field, chance: Chance::new(setting.seed, CHOOSE), nodes, is_fresh: setting.period == 0 },
            events: Queue::new(),
            announcing: Chance::new(setting.seed, ANNOUNCE),
            known: (0, 0),
            outcome: Outcome::default(),
        };
        if policy.gossips() && setting.period > 0 {
            for node in 0..model.view.nodes.len() as u32 {
                let first = model.announcing.below(setting.period);
                model.events.push(first, Event::Announces(node));
            }
        }
        model
    }

    pub(super) fn run(mut self, mut arrivals: impl Iterator<Item = Arrival>) -> Outcome {
        let mut is_open = self.expect_next(&mut arrivals);
        while let Some((now, event)) = self.events.pop() {
            if let Event::Comes(arrival) = event {
                self.arrive(&arrival);
                is_open = self.expect_next(&mut arrivals);
            } else {
                self.happen(event, now, is_open);
            }
        }
        self.outcome
    }

    /// Only one arrival waits among the events. Whether there was one more.
    fn expect_next(&mut self, arrivals: &mut impl Iterator<Item = Arrival>) -> bool {
        let next = arrivals.next();
        next.inspect(|arrival| self.events.push(arrival.at, Event::Comes(*arrival))).is_some()
    }

    fn arrive(&mut self, arrival: &Arrival) {
        let Arrival { at, node: origin, work, deadline, .. } = *arrival;
        self.known = (self.known.0 + 1, self.known.1 + work);
        let is_measured = self.setting.window.holds(at);
        let place = self.minds.choose(self.policy, origin, at, &mut self.view);
        let mut messages = u64::from(place.node != origin);
        for asked in self.minds.asks(self.policy, origin, &mut self.view) {
            messages += 2 * u64::from(asked.node != origin);
            self.events.push(at + asked.delay, Event::Asks { asker: origin, place: asked });
        }
        if is_measured {
            self.outcome.offered += 1;
            self.outcome.messages += messages;
        }
        let job = Job { at, work, deadline, delay: place.delay };
        if place.delay == 0 {
            self.reach(place.node, job, at);
        } else {
            self.events.push(at + place.delay, Event::Reaches(place.node, job));
        }
    }

    fn mean_work(&self) -> u64 {
        self.known.1 / self.known.0.max(1)
    }

    fn happen(&mut self, event: Event, now: u64, is_open: bool) {
        match event {
            Event::Comes(arrival) => self.arrive(&arrival),
            Event::Reaches(node, job) => self.reach(node, job, now),
            Event::Ends(node, job) => self.end(node, &job, now),
            Event::Announces(node) => {
                let each = &mut self.view.nodes[node as usize];
                each.announced = each.in_flight();
                self.outcome.announcements += u64::from(self.setting.window.holds(now));
                if is_open {
                    let period = self.setting.period;
                    let after = self.announcing.between(period, period + self.setting.spread);
                    self.events.push(now + after, Event::Announces(node));
                }
            }
            Event::Asks { asker, place } => {
                let asked = &self.view.nodes[place.node as usize];
                let in_flight = asked.in_flight();
                let latency = asked.load(in_flight) * self.mean_work() / 1_000_000 + 2 * place.delay;
                let probe = Probe { place, in_flight, latency, at: now, uses: 0 };
                self.events.push(now + place.delay, Event::Answers { asker, probe });
            }
            Event::Answers { asker, probe } => self.minds.hear(asker, probe, now),
        }
    }

    fn reach(&mut self, index: u32, job: Job, now: u64) {
        let node = &mut self.view.nodes[index as usize];
        if node.busy < node.slots {
            node.busy += 1;
            self.events.push(now + job.work * 1000 / node.speed, Event::Ends(index, job));
        } else {
            node.queue.push_back(job);
        }
    }

    fn end(&mut self, index: u32, job: &Job, now: u64) {
        let node = &mut self.view.nodes[index as usize];
        match node.queue.pop_front() {
            Some(next) => self.events.push(now + next.work * 1000 / node.speed, Event::Ends(index, next)),
            None => node.busy -= 1,
        }
        if self.setting.window.holds(job.at) {
            self.outcome.answered(now + job.delay - job.at, job.deadline);
        }
    }
}
