//! The world of one run: the clock, the queue, the nodes, and the loop.

use std::collections::BTreeMap;

use circle::Circles;
use hither_core::{Action, Event};
use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::message::Signal;
use hither_types::model::Manifest;

use crate::chance::Chance;
use crate::figures::{Figures, Memory};
use crate::hash::Lookup;
use crate::mesh::{Arrival, Arrivals};
use crate::network::Network;
use crate::node::{Input, Node, State};
use crate::observer::Observer;
use crate::queue::Queue;
use crate::report::Violation;
use crate::scenario::{Fault, Scenario};
use crate::streams::{Delivery, End, Streams};
use crate::trace::Trace;

mod build;
mod circle;
mod client;
mod fault;
mod hands;
mod input;
mod note;

/// The mind may ask for its deadline so often at one instant before the run is stopped: it would never end.
const MOST_TICKS_AT_ONCE: u32 = 10_000;
/// A made mesh is watched for so long after its last request has ended, in microseconds: what was done is written down.
const QUIET: u64 = 1_000_000;

/// What is in the queue.
#[derive(Debug)]
enum Happening {
    /// Something comes to a process of a node.
    Input { node: u32, life: u32, input: Input },
    /// A client of an open loop asks, and the next one is drawn.
    Arrival { load: u32, node: u32 },
    /// The next request of the trace of arrivals enters.
    Enters,
    /// A planned fault.
    Fault(usize),
    /// A fault ends.
    Undo(usize),
    /// The storm draws its next fault.
    Gust,
    /// A request must have ended by now.
    Overdue(Box<(usize, RequestId)>),
    /// A node's machine is switched on.
    Boot(usize),
    /// Those who know some nodes are told that they are gone; each with its life when it died.
    Gone(Box<[(usize, u64)]>),
    /// Those who know some nodes are told that they are back.
    Back(Box<[usize]>),
}

/// One run.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    now: u64,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    index: Lookup<NodeId, usize>,
    manifests: Vec<Manifest>,
    by_digest: BTreeMap<Digest, usize>,
    network: Network,
    streams: Streams,
    pub(crate) observer: Observer,
    pub(crate) trace: Trace,
    pub(crate) violations: Vec<Violation>,
    loops: Vec<Chance>,
    trace_of_arrivals: Arrivals,
    /// The request that enters next.
    entering: Option<(usize, Arrival)>,
    circles: Option<Circles>,
    engines: Chance,
    storms: Chance,
    /// Every fault of the run, planned and drawn.
    faults: Vec<Fault>,
    gusts: Vec<String>,
    counter: u64,
    /// Actions of one event; kept for its memory.
    actions: Vec<Action>,
    pub(crate) events: u64,
    ticks: ((u64, usize), u32),
    stopped: bool,
    /// What a test does to the actions of a mind, to see that the observer notices.
    pub(crate) tamper: fn(&mut Vec<Action>),
}

impl World<'_> {
    /// Runs to the end of the scenario, and then until every request must have ended.
    pub(crate) fn run(&mut self) {
        self.run_until(u64::MAX);
        self.observer.close(self.now);
        self.observer.figures(self.now);
        self.collect();
    }

    /// Runs until so many violations were found in full, or to the end.
    pub(crate) fn run_until(&mut self, violations: u64) {
        let longest = self.scenario.loads.iter().map(|load| load.deadline).max().unwrap_or(0);
        let mut end = self.scenario.duration + longest + 3_000_000;
        while let Some((at, what)) = self.queue.pop() {
            if at > end || self.stopped || self.violations.len() as u64 >= violations {
                break;
            }
            self.now = at;
            self.happen(what);
            self.collect();
            // With thousands of nodes that tell of themselves, waiting for deadlines that concern nobody is most of the run.
            if self.circles.is_some() && at > self.scenario.duration && self.observer.open() == 0 {
                end = end.min(at + QUIET);
            }
        }
    }

    /// What was measured.
    pub(crate) fn figures(&self) -> Figures {
        let slots = |node: &Node| match node.slots {
            Some(slots) => u64::from(slots),
            None => node.disk.stored.iter().map(|model| u64::from(self.scenario.models[*model].slots)).sum(),
        };
        let mut figures = self.observer.measure.figures(self.nodes.iter().map(slots).sum(), self.events);
        figures.memory = Memory::of_process(self.nodes.len());
        figures
    }

    /// When the run ended.
    pub(crate) fn end(&self) -> u64 {
        self.now
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Input { node, life, input } => {
                let node = node as usize;
                if self.nodes[node].life != u64::from(life) {
                    return;
                }
                match self.nodes[node].state {
                    State::Up => self.take_in(node, input),
                    State::Frozen => {
                        if !self.nodes[node].pile_up(input) {
                            self.observer.counts.add("messages_lost", 1);
                        }
                    }
                    State::Down => {}
                }
            }
            Happening::Arrival { load, node } => self.arrive(load as usize, node as usize),
            Happening::Enters => self.enter(),
            Happening::Fault(fault) => self.begin(fault),
            Happening::Undo(fault) => self.undo(fault),
            Happening::Gust => self.gust(),
            Happening::Overdue(due) => self.overdue(due.0, due.1),
            Happening::Boot(node) => self.boot(node),
            Happening::Gone(nodes) => self.tell_of_the_gone(&nodes),
            Happening::Back(nodes) => self.tell_of_the_returned(&nodes),
        }
    }

    /// New breaches get the lines of the trace that led to them.
    fn collect(&mut self) {
        let known = self.violations.len();
        for breach in &self.observer.breaches()[known..] {
            self.violations.push(Violation {
                invariant: breach.invariant,
                at: breach.at,
                node: self.nodes[breach.node].name.clone(),
                what: breach.what.clone(),
                trace: self.named(self.trace.tail()),
            });
        }
    }

    /// Puts something into the queue for the process that a node runs now.
    fn later(&mut self, delay: u64, node: usize, input: Input) {
        let life = self.nodes[node].life as u32;
        self.queue.push(self.now + delay, Happening::Input { node: node as u32, life, input });
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { at, node, life, task, parcel } = delivery;
        let input = Input::Parcel(Box::new((task, parcel)));
        self.queue.push(at, Happening::Input { node: node as u32, life: life as u32, input });
    }

    /// Sends to one end of a stream.
    fn send(&mut self, task: hither_types::id::Task, to: End, parcel: crate::node::Parcel) {
        if let Some(delivery) = self.streams.send(self.now, &mut self.network, (task, to), parcel) {
            self.deliver(delivery);
        }
    }

    /// Gives an event to a mind, and carries out what it answers.
    fn feed(&mut self, node: usize, event: Event) {
        let time = self.nodes[node].time(self.now);
        if self.nodes[node].core.is_none() {
            return;
        }
        self.events += 1;
        self.trace.fold(self.now, node, &event);
        if self.trace.keeps(self.now) {
            self.note_event(node, &event);
        }
        let Some(core) = self.nodes[node].core.as_mut() else { return };
        let stolen_from = matches!(event, Event::Told { signal: Signal::Steal { .. }, .. });
        let mut actions = std::mem::take(&mut self.actions);
        actions.extend(core.handle(event, time));
        (self.tamper)(&mut actions);
        if stolen_from {
            self.observer.asked_to_give(self.now, &actions);
        }
        for action in actions.drain(..) {
            self.trace.fold(self.now, node, &action);
            if self.trace.keeps(self.now) {
                self.note_action(node, &action);
            }
            self.observer.action(self.now, node, &action);
            self.carry_out(node, action);
        }
        self.actions = actions;
        self.observer.settle(self.now, node);
        self.wind(node);
    }

    /// Sets the alarm that the mind asks for. An alarm that is set too early is left: it rings, and is set anew.
    fn wind(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        let Some(deadline) = place.core.as_ref().and_then(hither_core::Core::deadline) else { return };
        let at = place.world(deadline).max(self.now);
        if place.tick.is_some_and(|set| set <= at) {
            return;
        }
        place.tick = Some(at);
        place.tick_number += 1;
        let number = place.tick_number;
        self.later(at - self.now, node, Input::Tick(number));
    }

    /// The alarm rings, unless it was set anew.
    fn ring(&mut self, node: usize, number: u64) {
        if self.nodes[node].tick_number != number {
            return;
        }
        self.nodes[node].tick = None;
        let deadline = self.nodes[node].core.as_ref().and_then(hither_core::Core::deadline);
        if deadline.is_none_or(|deadline| self.nodes[node].world(deadline) > self.now) {
            return self.wind(node);
        }
        self.ticks =
            if self.ticks.0 == (self.now, node) { (self.ticks.0, self.ticks.1 + 1) } else { ((self.now, node), 0) };
        if self.ticks.1 > MOST_TICKS_AT_ONCE {
            self.observer.driver_breach(self.now, node, "the mind asks for the same deadline for ever".to_owned());
            self.stopped = true;
            return;
        }
        self.feed(node, Event::Tick);
    }

    /// A number that no other has.
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A duration of an engine: what the client said, at the speed of the node; or a fifth more or less, and slower on a slow node.
    fn engine_time(&mut self, node: usize, plan: u64) -> u64 {
        let time = self.engines.between(plan - plan / 5, plan + plan / 5);
        time * self.nodes[node].slow
    }
}
