//! One file on its way to many: [`hither_core::distribution`] on every node, lines that share their rate among what goes over
//! them, and nothing else. Used for what no mind is needed.

use std::collections::{BTreeMap, BTreeSet};

use hither_core::distribution::{Bits, Deed, Distribution, Sign};
use hither_types::id::NodeId;
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;

use crate::chance::{Chance, bytes32, mix};
use crate::queue::Queue;

#[cfg(test)]
mod tests;

/// How long others take to notice that a node is dead.
const NOTICED: u64 = 1_000_000;

/// What goes where.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Nodes of each site; the first node of the first has the file.
    pub(crate) sites: Vec<usize>,
    /// Chunks.
    pub(crate) chunks: u32,
    /// Bytes of each.
    pub(crate) chunk: u64,
    /// Bytes a second from a node to other sites.
    pub(crate) far: u64,
    /// … and within its own.
    pub(crate) near: u64,
    /// One way between sites, in microseconds: from, to.
    pub(crate) way: (u64, u64),
    /// Chunks that share a line at once; what was asked for later waits.
    pub(crate) at_once: usize,
    /// Peers at other sites that each node picks; those that pick it come on top.
    pub(crate) picks: usize,
    /// … and at its own.
    pub(crate) picks_near: usize,
    pub(crate) seed: u64,
}

#[derive(Debug)]
enum What {
    Hear { from: usize, to: usize, word: ChunkWord },
    Wanted { of: usize, by: usize, offered: u32, chunk: u32 },
    Sent { of: usize, near: bool, serial: u64 },
    Come { from: usize, to: usize, chunk: u32 },
    Begun { from: usize, to: usize, chunk: u32 },
    Broke { from: usize, to: usize, chunk: u32 },
    Noticed { dead: usize, by: usize },
    Tick { at: usize },
}

/// What goes over a line.
#[derive(Debug)]
struct Sending {
    to: usize,
    offered: u32,
    chunk: u32,
    left: f64,
    begun: bool,
}

/// A way out of a node, shared evenly.
#[derive(Debug, Default)]
struct Line {
    rate: f64,
    sending: Vec<Sending>,
    at: u64,
    serial: u64,
}

#[derive(Debug)]
struct Body {
    site: usize,
    mind: Option<Distribution>,
    /// To other sites, and within this one.
    lines: [Line; 2],
    tick_at: u64,
    partners: BTreeSet<usize>,
    done: Option<u64>,
    /// Whether it gives nothing of what it promises.
    stalls: bool,
    /// Who waits for a chunk that is on its way here: to whom, what was offered, which chunk.
    early: Vec<(usize, u32, u32)>,
}

/// Many nodes and one file.
pub(crate) struct Torrent {
    pub(crate) now: u64,
    /// Bytes of the file that went between sites, and within them.
    pub(crate) bytes: [u64; 2],
    /// Words.
    pub(crate) words: u64,
    setting: Setting,
    queue: Queue<What>,
    bodies: Vec<Body>,
    index: BTreeMap<NodeId, usize>,
}

fn id(seed: u64, at: usize) -> NodeId {
    NodeId(bytes32(mix(seed) ^ at as u64))
}

impl Torrent {
    /// Everybody has met, and nothing has been sent yet.
    pub(crate) fn new(setting: Setting) -> Self {
        let mut bodies = Vec::new();
        let mut index = BTreeMap::new();
        for (site, size) in setting.sites.iter().enumerate() {
            for _ in 0..*size {
                let at = bodies.len();
                let id = id(setting.seed, at);
                let have = if at == 0 { Bits::full(setting.chunks) } else { Bits::new(setting.chunks) };
                let mind = Distribution::new(id, have, setting.seed ^ mix(at as u64), Timestamp(0));
                let line = |rate: u64| Line { rate: rate as f64 / 1e6, ..Line::default() };
                bodies.push(Body {
                    site,
                    mind: Some(mind),
                    lines: [line(setting.far), line(setting.near)],
                    tick_at: u64::MAX,
                    partners: BTreeSet::new(),
                    done: (at == 0).then_some(0),
                    stalls: false,
                    early: Vec::new(),
                });
                index.insert(id, at);
            }
        }
        let mut torrent = Self { now: 0, bytes: [0; 2], words: 0, queue: Queue::new(), bodies, index, setting };
        torrent.meet();
        torrent
    }

    /// Everybody picks partners.
    fn meet(&mut self) {
        let mut chance = Chance::new(self.setting.seed, 0x70);
        let count = self.bodies.len();
        for at in 0..count {
            let of = |near: bool| -> Vec<usize> {
                let site = self.bodies[at].site;
                (0..count).filter(|other| *other != at && (self.bodies[*other].site == site) == near).collect()
            };
            for (mut others, picks) in [(of(false), self.setting.picks), (of(true), self.setting.picks_near)] {
                for _ in 0..picks.min(others.len()) {
                    let other = others.swap_remove(chance.below(others.len() as u64) as usize);
                    self.bodies[at].partners.insert(other);
                    self.bodies[other].partners.insert(at);
                }
            }
        }
        for at in 0..count {
            for other in (0..count).filter(|other| self.is_near(*other, at)).collect::<Vec<_>>() {
                self.feed(at, Sign::Sharer(self.id(other)));
            }
            for other in self.bodies[at].partners.clone() {
                self.feed(at, Sign::Partner { node: self.id(other), near: self.is_near(other, at) });
            }
        }
    }

    fn id(&self, at: usize) -> NodeId {
        id(self.setting.seed, at)
    }

    fn is_near(&self, a: usize, b: usize) -> bool {
        self.bodies[a].site == self.bodies[b].site
    }

    /// How long something is on its way.
    fn way(&self, a: usize, b: usize) -> u64 {
        if self.is_near(a, b) {
            return 200;
        }
        let (low, high) = self.setting.way;
        let (a, b) = (self.bodies[a].site, self.bodies[b].site);
        low + mix(((a.min(b) as u64) << 32) ^ a.max(b) as u64 ^ self.setting.seed) % (high - low + 1)
    }

    /// When each node had all of it, in microseconds; `None` for those that have not, or are dead.
    pub(crate) fn done(&self) -> Vec<Option<u64>> {
        self.bodies.iter().filter(|body| body.mind.is_some()).map(|body| body.done).collect()
    }

    /// How many chunks are somewhere else than at the seed.
    pub(crate) fn outside(&self) -> u32 {
        let others = || self.bodies.iter().skip(1).filter_map(|body| body.mind.as_ref());
        (0..self.setting.chunks).filter(|chunk| others().any(|mind| mind.have().has(*chunk))).count() as u32
    }

    /// This node promises from now on, and gives nothing.
    pub(crate) fn stall(&mut self, at: usize) {
        self.bodies[at].stalls = true;
    }

    /// Kills a node.
    pub(crate) fn kill(&mut self, dead: usize) {
        self.bodies[dead].mind = None;
        for line in &mut self.bodies[dead].lines {
            line.serial += 1;
            line.sending.clear();
        }
        for by in 0..self.bodies.len() {
            if self.is_near(by, dead) || self.bodies[dead].partners.contains(&by) {
                self.queue.push(self.now + NOTICED, What::Noticed { dead, by });
            }
        }
    }

    /// Runs until everybody who lives has all of it, or a time. Says whether they have.
    pub(crate) fn run(&mut self, until: u64) -> bool {
        while let Some((at, what)) = self.queue.pop() {
            if at > until {
                self.queue.push(at, what);
                break;
            }
            self.now = at;
            self.happen(what);
        }
        self.done().iter().all(Option::is_some)
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Hear { from, to, word } => {
                let from = self.bodies[from].mind.is_some().then(|| self.id(from));
                if let Some(from) = from {
                    self.feed(to, Sign::Said { from, word });
                }
            }
            What::Wanted { of, by, offered, chunk } => self.wanted(of, by, (offered, chunk)),
            What::Sent { of, near, serial } => self.sent(of, near, serial),
            What::Come { from, to, chunk } => {
                let from = self.id(from);
                self.feed(to, Sign::Arrived { from, chunk });
                let (now, later): (Vec<(usize, u32, u32)>, _) =
                    std::mem::take(&mut self.bodies[to].early).into_iter().partition(|(_, _, early)| *early == chunk);
                self.bodies[to].early = later;
                now.into_iter().for_each(|(by, offered, chunk)| self.begin(to, by, (offered, chunk)));
            }
            What::Begun { from, to, chunk } => {
                let from = self.id(from);
                self.feed(to, Sign::Begun { from, chunk });
            }
            What::Broke { from, to, chunk } => {
                let from = self.id(from);
                self.feed(to, Sign::Failed { from, chunk });
            }
            What::Noticed { dead, by } => {
                let dead = self.id(dead);
                self.feed(by, Sign::Gone(dead));
            }
            What::Tick { at } if self.bodies[at].tick_at <= self.now => self.feed(at, Sign::Tick),
            What::Tick { .. } => {}
        }
    }

    /// Somebody comes for a chunk.
    fn wanted(&mut self, of: usize, by: usize, (offered, chunk): (u32, u32)) {
        if self.bodies[of].mind.is_none() {
            return;
        }
        if self.bodies[of].stalls {
            return;
        }
        let id = self.id(by);
        self.feed(of, Sign::Called { by: id, offered, chunk });
        if !self.bodies[of].mind.as_ref().is_some_and(|mind| mind.have().has(chunk)) {
            return self.bodies[of].early.push((by, offered, chunk));
        }
        self.begin(of, by, (offered, chunk));
    }

    /// Puts a chunk on a line.
    fn begin(&mut self, of: usize, by: usize, (offered, chunk): (u32, u32)) {
        let near = self.is_near(of, by);
        self.advance(of, near);
        let left = self.setting.chunk as f64;
        self.bodies[of].lines[usize::from(near)].sending.push(Sending { to: by, offered, chunk, left, begun: false });
        self.foresee(of, near);
    }

    /// Moves what goes over a line up to now.
    fn advance(&mut self, of: usize, near: bool) {
        let (now, at_once) = (self.now, self.setting.at_once);
        let line = &mut self.bodies[of].lines[usize::from(near)];
        let each = line.rate * (now - line.at) as f64 / line.sending.len().clamp(1, at_once) as f64;
        line.sending.iter_mut().take(at_once).for_each(|sending| sending.left -= each);
        line.at = now;
    }

    /// When the next of it will be over.
    fn foresee(&mut self, of: usize, near: bool) {
        let at_once = self.setting.at_once;
        let line = &mut self.bodies[of].lines[usize::from(near)];
        line.serial += 1;
        let serial = line.serial;
        let begun: Vec<(usize, u32)> = line
            .sending
            .iter_mut()
            .take(at_once)
            .filter_map(|sending| (!std::mem::replace(&mut sending.begun, true)).then_some((sending.to, sending.chunk)))
            .collect();
        let least = line.sending.iter().take(at_once).map(|sending| sending.left).fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            let after = (least.max(0.0) * line.sending.len().min(at_once) as f64 / line.rate).ceil() as u64;
            self.queue.push(self.now + after, What::Sent { of, near, serial });
        }
        for (to, chunk) in begun {
            self.queue.push(self.now + self.way(of, to), What::Begun { from: of, to, chunk });
        }
    }

    fn sent(&mut self, of: usize, near: bool, serial: u64) {
        if self.bodies[of].lines[usize::from(near)].serial != serial {
            return;
        }
        self.advance(of, near);
        let line = &mut self.bodies[of].lines[usize::from(near)];
        let (over, left): (Vec<Sending>, Vec<Sending>) =
            std::mem::take(&mut line.sending).into_iter().partition(|sending| sending.left < 1.0);
        line.sending = left;
        for Sending { to, offered, chunk, .. } in over {
            self.bytes[usize::from(near)] += self.setting.chunk;
            self.queue.push(self.now + self.way(of, to), What::Come { from: of, to, chunk });
            let id = self.id(to);
            self.feed(of, Sign::Given { to: id, offered, whole: true });
        }
        self.foresee(of, near);
    }

    fn feed(&mut self, at: usize, sign: Sign) {
        let now = Timestamp(self.now);
        let Some(mind) = self.bodies[at].mind.as_mut() else { return };
        let deeds: Vec<Deed> = mind.handle(sign, now).collect();
        if let Some(due) = mind.deadline() {
            assert!(due > now, "a deadline that has passed keeps a node busy for ever");
            if due.0 < self.bodies[at].tick_at || self.bodies[at].tick_at <= self.now {
                self.bodies[at].tick_at = due.0;
                self.queue.push(due.0, What::Tick { at });
            }
        }
        for deed in deeds {
            match deed {
                Deed::Say { to, word } => {
                    let to = self.index[&to];
                    self.words += 1;
                    self.queue.push(self.now + self.way(at, to), What::Hear { from: at, to, word });
                }
                Deed::Fetch { from, offered, chunk } => {
                    let of = self.index[&from];
                    self.queue.push(self.now + self.way(at, of), What::Wanted { of, by: at, offered, chunk });
                }
                Deed::Refuse { to, offered } => {
                    let by = self.index[&to];
                    let early = &mut self.bodies[at].early;
                    let waits = early.iter().position(|(to, name, _)| (*to, *name) == (by, offered));
                    if let Some((_, _, chunk)) = waits.map(|index| early.swap_remove(index)) {
                        self.queue.push(self.now + self.way(at, by), What::Broke { from: at, to: by, chunk });
                    }
                }
                // What was begun goes on: the dearest that a cancelled one can be.
                Deed::Cancel { .. } | Deed::Abandon { .. } => {}
                Deed::Complete => self.bodies[at].done = Some(self.now),
            }
        }
    }
}
