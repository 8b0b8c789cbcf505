//! The world of one run: the clock, the queue, the nodes, and the loop.

use std::collections::BTreeMap;

use hither_core::{Action, Event};
use hither_types::id::{Digest, NodeId, RequestId};
use hither_types::model::Manifest;

use crate::chance::Chance;
use crate::network::Network;
use crate::node::{Input, Node, State};
use crate::observer::Observer;
use crate::queue::Queue;
use crate::report::Violation;
use crate::scenario::{Fault, Scenario};
use crate::streams::{Delivery, End, Streams};
use crate::trace::Trace;

mod build;
mod client;
mod fault;
mod hands;
mod input;

/// The mind may ask for its deadline so often at one instant before the run is stopped: it would never end.
const MOST_TICKS_AT_ONCE: u32 = 10_000;

/// What is in the queue.
#[derive(Debug)]
enum Happening {
    /// Something comes to a process of a node.
    Input { node: usize, life: u64, input: Input },
    /// A client of an open loop asks, and the next one is drawn.
    Arrival { load: usize, node: usize },
    /// A planned fault.
    Fault(usize),
    /// A fault ends.
    Undo(usize),
    /// The storm draws its next fault.
    Gust,
    /// A request must have ended by now.
    Overdue { node: usize, request: RequestId },
    /// A node's machine is switched on.
    Boot(usize),
}

/// One run.
pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    seed: u64,
    now: u64,
    queue: Queue<Happening>,
    nodes: Vec<Node>,
    index: BTreeMap<NodeId, usize>,
    manifests: Vec<Manifest>,
    by_digest: BTreeMap<Digest, usize>,
    network: Network,
    streams: Streams,
    pub(crate) observer: Observer,
    pub(crate) trace: Trace,
    pub(crate) violations: Vec<Violation>,
    arrivals: Vec<Chance>,
    engines: Chance,
    storms: Chance,
    /// Every fault of the run, planned and drawn.
    faults: Vec<Fault>,
    gusts: Vec<String>,
    counter: u64,
    pub(crate) events: u64,
    ticks: (u64, u32),
    stopped: bool,
    /// What a test does to the actions of a mind, to see that the observer notices.
    pub(crate) tamper: fn(&mut Vec<Action>),
}

impl World<'_> {
    /// Runs to the end of the scenario, and then until every request must have ended.
    pub(crate) fn run(&mut self) {
        let longest = self.scenario.loads.iter().map(|load| load.deadline).max().unwrap_or(0);
        let end = self.scenario.duration + longest + 3_000_000;
        while let Some((at, what)) = self.queue.pop() {
            if at > end || self.stopped {
                break;
            }
            self.now = at;
            self.happen(what);
            self.collect();
        }
        self.observer.close(self.now);
        self.observer.figures();
        self.collect();
    }

    /// When the run ended.
    pub(crate) fn end(&self) -> u64 {
        self.now
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Input { node, life, input } => {
                if self.nodes[node].life != life {
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
            Happening::Arrival { load, node } => self.arrive(load, node),
            Happening::Fault(fault) => self.begin(fault),
            Happening::Undo(fault) => self.undo(fault),
            Happening::Gust => self.gust(),
            Happening::Overdue { node, request } => self.overdue(node, request),
            Happening::Boot(node) => self.boot(node),
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

    /// Lines with the names of nodes in the place of their keys.
    fn named(&self, lines: Vec<String>) -> Vec<String> {
        let name = |line: String, node: &Node| line.replace(&format!("{:?}", node.member.node), &node.name);
        lines.into_iter().map(|line| self.nodes.iter().fold(line, name)).collect()
    }

    /// Puts something into the queue for the process that a node runs now.
    fn later(&mut self, delay: u64, node: usize, input: Input) {
        let life = self.nodes[node].life;
        self.queue.push(self.now + delay, Happening::Input { node, life, input });
    }

    fn deliver(&mut self, delivery: Delivery) {
        let Delivery { at, node, life, task, parcel } = delivery;
        self.queue.push(at, Happening::Input { node, life, input: Input::Parcel { task, parcel } });
    }

    /// Sends to one end of a stream.
    fn send(&mut self, task: hither_types::id::Task, to: End, parcel: crate::node::Parcel) {
        if let Some(delivery) = self.streams.send(self.now, &mut self.network, (task, to), parcel) {
            self.deliver(delivery);
        }
    }

    /// Gives an event to a mind, and carries out what it answers.
    fn feed(&mut self, node: usize, event: Event) {
        self.events += 1;
        self.note_event(node, &event);
        let time = self.nodes[node].time(self.now);
        let Some(core) = self.nodes[node].core.as_mut() else { return };
        let mut actions: Vec<Action> = core.handle(event, time).collect();
        (self.tamper)(&mut actions);
        for action in actions {
            self.note_action(node, &action);
            self.observer.action(self.now, node, &action);
            self.carry_out(node, action);
        }
        self.observer.settle(self.now, node);
        self.wind(node);
    }

    /// Sets the alarm that the mind asks for.
    fn wind(&mut self, node: usize) {
        let place = &mut self.nodes[node];
        let deadline = place.core.as_ref().and_then(hither_core::Core::deadline);
        let Some(deadline) = deadline else {
            place.tick = None;
            place.tick_number += 1;
            return;
        };
        let at = place.world(deadline).max(self.now);
        if place.tick == Some(at) {
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
        self.ticks = if self.ticks.0 == self.now { (self.now, self.ticks.1 + 1) } else { (self.now, 0) };
        if self.ticks.1 > MOST_TICKS_AT_ONCE {
            self.observer.driver_breach(self.now, node, "the mind asks for the same deadline for ever".to_owned());
            self.stopped = true;
            return;
        }
        self.feed(node, Event::Tick);
    }

    fn note_event(&mut self, node: usize, event: &Event) {
        let text = format!("{event:?}");
        match event {
            Event::Presence { .. }
            | Event::Told { .. }
            | Event::RoundTrip { .. }
            | Event::Tick
            | Event::Beat { .. }
            | Event::FetchProgress { .. }
            | Event::MemberAdded(_)
            | Event::Catalogued(_) => self.trace.quiet(self.now, node, &text),
            Event::Submitted { .. }
            | Event::ClientGone(_)
            | Event::Asked { .. }
            | Event::AskerGone(_)
            | Event::Recorded(_)
            | Event::RecordFailed(_)
            | Event::Done { .. }
            | Event::Failed { .. }
            | Event::MemberRemoved(_)
            | Event::ModelStored(_)
            | Event::ModelRemoved(_)
            | Event::FetchFailed(_)
            | Event::PullWanted(_)
            | Event::ModelReady(_)
            | Event::ModelLost(_)
            | Event::LoadFailed(_)
            | Event::CapChanged(_)
            | Event::PolicyChanged(_)
            | Event::Draining => self.trace.line(self.now, node, &self.nodes[node].name, &format!("> {text}")),
        }
    }

    fn note_action(&mut self, node: usize, action: &Action) {
        let text = format!("{action:?}");
        if matches!(action, Action::Announce(_)) {
            self.trace.quiet(self.now, node, &text);
        } else {
            self.trace.line(self.now, node, &self.nodes[node].name, &format!("  < {text}"));
        }
    }

    /// A number that no other has.
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// A duration of an engine: a fifth more or less, and slower on a slow node.
    fn engine_time(&mut self, node: usize, plan: u64) -> u64 {
        let time = self.engines.between(plan - plan / 5, plan + plan / 5);
        time * self.nodes[node].slow
    }
}
