//! Many memberships, one clock, and links in miniature: in order and repeated until they arrive, as QUIC's streams are,
//! closed after four seconds without a word, and dialled again with growing pauses. Used for what no mind is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hither_core::membership::{Deed, Membership, Sign, rank};
use hither_types::id::{Digest, NodeId, SiteName};
use hither_types::incarnation::next_start;
use hither_types::message::{ModelPresence, ModelStage, PeerMessage, Presence};
use hither_types::model::Device;
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};

use crate::chance::{Chance, bytes32};
use crate::queue::Queue;

mod links;
#[cfg(test)]
mod tests;

use links::{Link, Pair};

/// What a packet costs beside what it carries: IPv4, UDP, QUIC's short header, a frame's head and the tag.
const PACKET: u64 = 28 + 14 + 4 + 16;
/// An acknowledgement alone in its packet.
const ACK: u64 = PACKET + 8;

/// How the network treats packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Packets lost, of a thousand.
    pub(crate) loss: u32,
    /// Nodes whose packets come late now and then, of a thousand.
    pub(crate) slow: u32,
    /// How much longer a packet is on its way between sites, each way, in microseconds.
    pub(crate) far: u64,
}

/// What is going to happen.
#[derive(Debug)]
enum What {
    Tick(usize),
    Dial { from: usize, to: usize },
    Dialled { from: usize, to: usize },
    Missed { from: usize, to: usize },
    Send { pair: Pair, serial: u32, from: usize, tries: u32, message: PeerMessage },
    Arrive { pair: Pair, serial: u32, to: usize, message: PeerMessage },
    Idle { pair: Pair, serial: u32 },
    Down { at: usize, pair: Pair, serial: u32 },
}

#[derive(Debug)]
struct Body {
    id: NodeId,
    site: SiteName,
    mind: Option<Membership>,
    incarnation: u64,
    /// Who belongs, as it knows.
    knows: Vec<usize>,
    keep: BTreeSet<usize>,
    pauses: BTreeMap<usize, u64>,
    dialling: BTreeSet<usize>,
    tick_at: u64,
    slow: bool,
    /// Whom it takes for being there, as its driver was told.
    shown: BTreeSet<usize>,
}

/// What went over the wire and what went wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    /// Bytes sent by all nodes, headers included; zero if nobody weighs them.
    pub(crate) bytes: u64,
    /// Times that a node took one that lives, and spoke lately, for gone.
    pub(crate) evictions: u64,
    /// Times that a node could not reach one that lives by itself.
    pub(crate) unreached: u64,
    /// Events.
    pub(crate) events: u64,
}

/// Many nodes.
pub(crate) struct Crowd {
    pub(crate) now: u64,
    pub(crate) tally: Tally,
    pub(crate) weigh: bool,
    /// Over how long the first links are made.
    spread: u64,
    queue: Queue<What>,
    bodies: Vec<Body>,
    index: BTreeMap<NodeId, usize>,
    sites: BTreeMap<SiteName, usize>,
    links: BTreeMap<Pair, Link>,
    chance: Chance,
    weather: Weather,
    /// Ways that swallow everything: from, to.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Sites that nobody beyond reaches.
    pub(crate) cut_sites: BTreeSet<SiteName>,
}

impl Crowd {
    /// Nodes by site; each knows those `known` of each other site who would speak for it first, and all of its own.
    pub(crate) fn new(sites: &[usize], known: usize, weather: Weather, seed: u64) -> Self {
        let mut bodies = Vec::new();
        let mut names = BTreeMap::new();
        for (number, size) in sites.iter().enumerate() {
            let site = SiteName::parse(&format!("site{number}")).expect("a short word is a name");
            names.insert(site.clone(), number);
            let first = bodies.len();
            let mut ids: Vec<NodeId> =
                (first..first + size).map(|at| NodeId(bytes32(seed ^ (at as u64) << 20))).collect();
            ids.sort_by_key(|id| rank(*id, &site));
            for id in ids {
                bodies.push(Body {
                    id,
                    site: site.clone(),
                    mind: None,
                    incarnation: 0,
                    knows: Vec::new(),
                    keep: BTreeSet::new(),
                    pauses: BTreeMap::new(),
                    dialling: BTreeSet::new(),
                    tick_at: u64::MAX,
                    slow: false,
                    shown: BTreeSet::new(),
                });
            }
        }
        let index = bodies.iter().enumerate().map(|(at, body)| (body.id, at)).collect();
        let mut crowd = Self {
            now: 0,
            tally: Tally::default(),
            weigh: false,
            spread: 0,
            queue: Queue::new(),
            bodies,
            index,
            sites: names,
            links: BTreeMap::new(),
            chance: Chance::new(seed, 0xc0),
            weather,
            cut: BTreeSet::new(),
            cut_sites: BTreeSet::new(),
        };
        for at in 0..crowd.bodies.len() {
            crowd.bodies[at].slow = crowd.chance.permille(weather.slow);
        }
        for at in 0..crowd.bodies.len() {
            crowd.start(at, known);
        }
        crowd
    }

    /// Lets each node have heard of all whom it knows, as in a mesh that has run for long: what is said in the first seconds
    /// of ten thousand that start at one instant is another question, and billions of events.
    pub(crate) fn acquaint(&mut self) {
        let words: Vec<Arc<Presence>> = (self.bodies.iter().enumerate())
            .map(|(at, body)| Arc::new(Presence { incarnation: body.incarnation, sequence: 1, ..presence(at as u64) }))
            .collect();
        // All that is said over new links at one instant would fill the memory.
        self.spread = 5_000_000;
        for at in 0..self.bodies.len() {
            for other in self.bodies[at].knows.clone() {
                let (from, presence) = (self.bodies[other].id, Arc::clone(&words[other]));
                self.feed(at, Sign::Told { from, presence });
            }
        }
    }

    /// Starts a node, or starts it anew.
    pub(crate) fn start(&mut self, at: usize, known: usize) {
        for (pair, link) in &mut self.links {
            // The new start knows nothing of the old one's links; the other ends find out when a new one comes up.
            link.up &= pair.0 != at && pair.1 != at;
        }
        let body = &mut self.bodies[at];
        body.incarnation = next_start(body.incarnation);
        body.keep.clear();
        body.pauses.clear();
        body.dialling.clear();
        body.shown.clear();
        body.mind = Some(Membership::new(body.id, &body.site, body.incarnation, Timestamp(self.now)));
        let mut of_site: BTreeMap<&SiteName, usize> = BTreeMap::new();
        let mut knows = Vec::new();
        for (other, there) in self.bodies.iter().enumerate() {
            let count = of_site.entry(&there.site).or_default();
            *count += 1;
            if other != at && (*count <= known || there.site == self.bodies[at].site) {
                knows.push(other);
            }
        }
        for other in &knows {
            let there = &self.bodies[*other];
            let added = Sign::Added { node: there.id, site: there.site.clone() };
            self.feed(at, added);
        }
        self.bodies[at].knows = knows;
        self.feed(at, Sign::Own(presence(at as u64)));
    }

    /// Kills a node: no goodbye, memory gone.
    pub(crate) fn kill(&mut self, at: usize) {
        self.bodies[at].mind = None;
    }

    /// Whether a node runs.
    pub(crate) fn lives(&self, at: usize) -> bool {
        self.bodies[at].mind.is_some()
    }

    /// How many there are, dead or alive.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Nodes that run, of one site or all.
    pub(crate) fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.bodies.len()).filter(|at| self.lives(*at))
    }

    /// Whether a node believes that another is there.
    pub(crate) fn sees(&self, at: usize, other: usize) -> bool {
        self.bodies[at].mind.as_ref().is_some_and(|mind| mind.is_there(self.bodies[other].id))
    }

    /// Whether a node's driver was told that another is there and can be reached.
    #[cfg(test)]
    pub(crate) fn uses(&self, at: usize, other: usize) -> bool {
        self.bodies[at].shown.contains(&other)
    }

    /// Whether a node speaks for its site, as it thinks.
    pub(crate) fn is_gateway(&self, at: usize) -> bool {
        self.bodies[at].mind.as_ref().is_some_and(Membership::is_gateway)
    }

    /// The number of the site of a node.
    pub(crate) fn site(&self, at: usize) -> usize {
        self.sites[&self.bodies[at].site]
    }

    /// The name of a site.
    #[cfg(test)]
    pub(crate) fn site_name(&self, at: usize) -> SiteName {
        self.bodies[at].site.clone()
    }

    /// Links that are up, twice over the number of nodes that run.
    pub(crate) fn links_per_node(&self) -> f64 {
        let up = self.links.values().filter(|link| link.up).count();
        2.0 * up as f64 / self.living().count().max(1) as f64
    }

    /// Runs up to a time.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some((at, what)) = self.queue.pop() {
            if at > end {
                self.queue.push(at, what);
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.happen(what);
        }
        self.now = end;
    }

    /// Runs until something holds, looked at every 50 ms; `None` if it did not within a time.
    pub(crate) fn run_while(&mut self, most: u64, holds: impl Fn(&Self) -> bool) -> Option<u64> {
        let began = self.now;
        while self.now < began + most {
            if holds(self) {
                return Some(self.now - began);
            }
            self.run_until(self.now + 50_000);
        }
        None
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Tick(at) if self.bodies[at].tick_at <= self.now => self.feed(at, Sign::Tick),
            What::Tick(_) => {}
            What::Dial { from, to } => self.dial(from, to),
            What::Dialled { from, to } => self.dialled(from, to),
            What::Missed { from, to } => self.missed(from, to),
            What::Send { pair, serial, from, tries, message } => self.transmit(pair, serial, from, tries, message),
            What::Arrive { pair, serial, to, message } => self.arrive(pair, serial, to, message),
            What::Idle { pair, serial } => self.look_idle(pair, serial),
            What::Down { at, pair, serial } => self.down(at, pair, serial),
        }
    }

    fn feed(&mut self, at: usize, sign: Sign) {
        let now = Timestamp(self.now);
        let Some(mind) = self.bodies[at].mind.as_mut() else { return };
        let deeds: Vec<Deed> = mind.handle(sign, now).collect();
        let due = mind.deadline().0;
        assert!(due > self.now, "a deadline that has passed keeps a node busy for ever");
        let body = &mut self.bodies[at];
        if due < body.tick_at || body.tick_at <= self.now {
            self.queue.push(due, What::Tick(at));
        }
        // The queue may hold an earlier tick that comes to nothing.
        body.tick_at = due;
        for deed in deeds {
            self.carry_out(at, deed);
        }
    }

    fn carry_out(&mut self, at: usize, deed: Deed) {
        match deed {
            Deed::Keep(nodes) => {
                let keep: BTreeSet<usize> = nodes.iter().map(|node| self.index[node]).collect();
                let new: Vec<usize> = keep.difference(&self.bodies[at].keep).copied().collect();
                self.bodies[at].keep = keep;
                for to in new {
                    self.bodies[at].pauses.remove(&to);
                    let pause = if self.now < self.spread { self.chance.below(self.spread) } else { 0 };
                    self.queue.push(self.now + pause, What::Dial { from: at, to });
                }
            }
            Deed::Say { to, message } => {
                let to = self.index[&to];
                self.say(at, to, message);
            }
            Deed::There { node, .. } => {
                let node = self.index[&node];
                self.bodies[at].shown.insert(node);
            }
            Deed::Silent(node) => {
                let node = self.index[&node];
                self.bodies[at].shown.remove(&node);
                let cut =
                    self.cut_sites.contains(&self.bodies[at].site) || self.cut_sites.contains(&self.bodies[node].site);
                if self.lives(node) && !cut {
                    match self.sees(at, node) {
                        true => self.tally.unreached += 1,
                        false => self.tally.evictions += 1,
                    }
                }
            }
        }
    }
}

/// What a node with one model says of itself.
fn presence(number: u64) -> Presence {
    let model = ModelPresence {
        digest: Digest(bytes32(number % 4)),
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 4,
        busy: 0,
        queued: 0,
        service: Micros(200_000),
    };
    Presence {
        incarnation: 0,
        sequence: 0,
        models: vec![model],
        power: Milliwatts(20_000),
        cap: Milliwatts(60_000),
        policy: Digest(bytes32(7)),
        placing: None,
    }
}

/// The sign that a message is.
fn sign(from: NodeId, message: PeerMessage) -> Sign {
    match message {
        PeerMessage::Presence(presence) => Sign::Told { from, presence: Arc::new(presence) },
        PeerMessage::Pulse(pulse) => Sign::Pulse { from, pulse },
        PeerMessage::Rumours(rumours) => Sign::Rumours { from, rumours },
        PeerMessage::Catalog(_)
        | PeerMessage::Members(_)
        | PeerMessage::Signal(_)
        | PeerMessage::Authority(_)
        | PeerMessage::Start(_)
        | PeerMessage::Rollouts(_)
        | PeerMessage::Witness(_)
        | PeerMessage::Policy(_)
        | PeerMessage::Near(_) => {
            unreachable!("memberships say no such thing")
        }
    }
}
