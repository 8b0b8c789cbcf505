//! The world before its first event.

use std::collections::BTreeMap;

use hither_core::{Config, Core, Event, PullPolicy};
use hither_types::id::{Digest, MeshId, NodeId};
use hither_types::incarnation::next_start;
use hither_types::member::{Member, Roles};
use hither_types::model::{Manifest, ModelFormat, ModelIo};
use hither_types::place::Assurance;
use hither_types::request::RequestKind;
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::circle::Circles;
use super::{Happening, World};
use crate::chance::{Chance, bytes32, of_name};
use crate::network::Network;
use crate::node::{Node, State};
use crate::observer::Observer;
use crate::queue::Queue;
use crate::scenario::{Arrivals, FaultPlan, ModelPlan, NodePlan, Scenario};
use crate::streams::{End, Streams};
use crate::trace::Trace;

/// Machines are switched on within this time of each other.
const BOOT_SPREAD: u64 = 50_000;
/// The world is not calm before everything is switched on and loaded.
const WARM_UP: u64 = 3_000_000;
/// After the last fault everybody has this long to notice that it is over.
const SETTLE: u64 = 5_000_000;
/// Requests that a node of a generated mesh can explain: nobody asks it, and there are thousands of nodes.
const TRACES_OF_MANY: usize = 4;

fn member(plan: &NodePlan) -> Member {
    Member {
        node: NodeId(bytes32(of_name(&plan.name))),
        mesh: MeshId(bytes32(of_name("mesh"))),
        site: plan.site.clone(),
        jurisdiction: plan.jurisdiction,
        control: plan.control.clone(),
        operator: plan.operator.clone(),
        assurance: Assurance::Vouched,
        expires: WallTime(u64::MAX),
        roles: Roles::ALL,
    }
}

fn manifest(plan: &ModelPlan, publisher: NodeId) -> Manifest {
    let digest = bytes32(of_name(plan.name.as_str()));
    Manifest {
        name: plan.name.clone(),
        digest: Digest(digest),
        sha256: digest,
        size: ByteCount(plan.size),
        format: ModelFormat::Stub,
        licence: "Apache-2.0".to_owned(),
        io: match plan.kind {
            RequestKind::Infer => ModelIo::Tensors { inputs: Vec::new(), outputs: Vec::new() },
            RequestKind::Generate | RequestKind::Train => ModelIo::Language { context_tokens: 4096 },
        },
        memory: ByteCount(plan.memory),
        golden: Vec::new(),
        publisher,
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }
}

impl<'a> World<'a> {
    /// A world of a scenario and a seed, nothing of it switched on yet.
    pub(crate) fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let members: Vec<_> = scenario.nodes.iter().map(member).collect();
        let publisher = members[0].node;
        let manifests: Vec<_> = scenario.models.iter().map(|plan| manifest(plan, publisher)).collect();
        let plan = scenario.network;
        let mut network = match &scenario.mesh {
            Some(mesh) => Network::of_map(mesh.clone(), plan.loss_permille, seed),
            None => Network::new(members.len(), plan.delay, plan.jitter, plan.loss_permille, seed),
        };
        for link in &scenario.links {
            network.set(link.a, link.b, link.delay, link.jitter);
        }
        let policy = |node: &NodePlan| scenario.policies[node.policy].1.clone();
        let seen = scenario.nodes.iter().zip(&members);
        let seen = seen.map(|(plan, member)| (member.clone(), policy(plan), plan.cap, plan.idle)).collect();
        let mut observer = Observer::new(seen, manifests.clone());
        observer.ladder.clone_from(&scenario.ladder);
        let mut nodes = Vec::new();
        for (index, (plan, member)) in scenario.nodes.iter().zip(members).enumerate() {
            plan.holds.iter().for_each(|model| observer.stored(index, manifests[*model].digest));
            let stored = plan.holds.iter().copied().collect();
            let mut node = Node::new(plan.name.clone(), member, policy(plan), plan.cap, stored);
            if let Some(spot) = scenario.mesh.as_ref().map(|mesh| mesh.spots[index]) {
                (node.speed, node.slots) = (u64::from(spot.speed), Some(spot.slots));
            }
            nodes.push(node);
        }
        let mut world = Self {
            scenario,
            seed,
            now: 0,
            queue: Queue::new(),
            index: nodes.iter().enumerate().map(|(index, node)| (node.member.node, index)).collect(),
            by_digest: manifests.iter().enumerate().map(|(index, model)| (model.digest, index)).collect(),
            nodes,
            manifests,
            network,
            streams: Streams::default(),
            observer,
            trace: Trace::new(),
            violations: Vec::new(),
            loops: (0..scenario.loads.len() as u64).map(|load| Chance::new(seed, 0xa000 + load)).collect(),
            trace_of_arrivals: crate::mesh::arrivals(scenario, seed),
            entering: None,
            circles: scenario
                .topology
                .as_ref()
                .zip(scenario.mesh.clone())
                .map(|(plan, mesh)| Circles::new(plan, mesh, seed)),
            engines: Chance::new(seed, 0xe0),
            storms: Chance::new(seed, 0x5f),
            faults: scenario.faults.iter().map(|plan| plan.fault.clone()).collect(),
            gusts: Vec::new(),
            counter: 0,
            events: 0,
            actions: Vec::new(),
            ticks: ((0, 0), 0),
            stopped: false,
            tamper: |_| {},
        };
        world.plan();
        world
    }

    /// Fills the queue with what the scenario and the seed foresee.
    fn plan(&mut self) {
        for node in 0..self.nodes.len() {
            let at = self.storms.below(BOOT_SPREAD);
            self.queue.push(at, Happening::Boot(node));
        }
        for (index, load) in self.scenario.loads.iter().enumerate() {
            let every: Vec<_> = (0..self.nodes.len()).collect();
            for node in if load.nodes.is_empty() { &every } else { &load.nodes } {
                let at = match load.arrivals {
                    // The trace of arrivals has them.
                    Arrivals::Share { .. } => break,
                    Arrivals::Once(at) => at,
                    Arrivals::Open { gap, from, .. } => from + self.loops[index].waiting(gap),
                };
                self.queue.push(at, Happening::Arrival { load: index as u32, node: *node as u32 });
            }
        }
        self.await_next();
        for (index, plan) in self.scenario.faults.iter().enumerate() {
            self.queue.push(plan.at, Happening::Fault(index));
            if let Some(lasts) = plan.lasts {
                self.queue.push(plan.at + lasts, Happening::Undo(index));
            }
        }
        let lasting = |plan: &FaultPlan| plan.lasts.map_or(plan.at, |lasts| plan.at + lasts);
        let planned = self.scenario.faults.iter().map(lasting).max().unwrap_or(0);
        let drawn = self.scenario.storm.as_ref().map_or(0, |storm| self.scenario.duration.saturating_sub(storm.quiet));
        self.observer.calm_from(planned.max(drawn).max(WARM_UP) + SETTLE);
        let whole = self.scenario.faults.is_empty() && self.scenario.storm.is_none();
        self.observer.expect(whole && self.scenario.network.loss_permille == 0);
        let from = self.scenario.loads.iter().map(|load| load.measure_from).max().unwrap_or(0);
        self.observer.measure.set_window(from, self.scenario.duration);
        self.observer.measure.set_slices(self.scenario.slices.clone());
        self.brew();
    }

    /// Switches a node on: a new process over the old disk.
    pub(super) fn boot(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.state != State::Down {
            return;
        }
        node.life += 1;
        node.state = State::Up;
        node.disk.incarnation = next_start(node.disk.incarnation);
        let (life, incarnation) = (node.life, node.disk.incarnation);
        // A machine's monotonic clock starts anywhere, and no node may compare its own with another's.
        let mut chance = Chance::new(self.seed, 0xc10c ^ (index as u64) << 16 ^ life << 40);
        node.clock = chance.below(1 << 40);
        let plan = &self.scenario.nodes[index];
        node.core = Some(Core::new(Config {
            me: node.member.clone(),
            policy: node.policy.clone(),
            seed: chance.next(),
            incarnation,
            cap: Milliwatts(node.cap),
            idle: Milliwatts(plan.idle),
            pull: if plan.pull { PullPolicy::OnDemand } else { PullPolicy::Manual },
            memory: plan.memory.map(ByteCount),
            ladder: self.scenario.ladder.clone(),
            announce_every: Micros(self.scenario.topology.as_ref().map_or(500_000, |plan| plan.gossip)),
            traces: if self.circles.is_some() { TRACES_OF_MANY } else { 64 },
            settled: Timestamp(0),
            near: hither_core::limits::NEAR_RTT,
        }));
        let stored: Vec<_> = node.disk.stored.iter().copied().collect();
        let (cap, policy) = (node.cap, node.policy.clone());
        self.observer.memory(index, plan.memory);
        self.observer.cap(index, cap);
        self.observer.law(index, policy);
        self.hang_up(index, life);
        self.introduce(index);
        for manifest in self.manifests.clone() {
            self.feed(index, Event::Catalogued(manifest));
        }
        for model in stored {
            let digest = self.manifests[model].digest;
            self.feed(index, Event::ModelStored(digest));
        }
    }

    /// A new process is told who belongs.
    fn introduce(&mut self, index: usize) {
        if self.circles.is_some() {
            return self.introduce_circle(index);
        }
        let others: Vec<_> = self.nodes.iter().map(|node| node.member.clone()).collect();
        for (other, member) in others.into_iter().enumerate() {
            if other != index {
                self.feed(index, Event::MemberAdded(member));
            }
        }
    }

    /// A new process knows nothing of the connections of the old one, and says so to whoever still uses them.
    fn hang_up(&mut self, index: usize, life: u64) {
        for (task, end) in self.streams.orphans(index, life) {
            self.send(task, end.other(), crate::node::Parcel::Reset);
            self.streams.close(task, end);
        }
    }

    /// The digests of the models, for messages.
    pub(super) fn model(&self, digest: Digest) -> Option<usize> {
        let by_digest: &BTreeMap<Digest, usize> = &self.by_digest;
        by_digest.get(&digest).copied()
    }

    /// Whether an end of a stream is still open.
    pub(super) fn is_open(&mut self, task: hither_types::id::Task, end: End) -> bool {
        self.streams.of(task).is_some_and(|stream| stream.open[end as usize])
    }
}
