//! The network between the nodes: delay, jitter, loss and cuts, for each direction of each link.
//!
//! Small talk may be lost. Streams are reliable and ordered, as QUIC's are: loss delays them, a cut holds them.

use std::sync::Arc;

use crate::chance::Chance;
use crate::mesh::Mesh;

/// How long a lost packet of a stream waits before it is sent again, at the least.
const RETRANSMIT_FLOOR: u64 = 20_000;
/// On a map a packet may take this part of its way longer.
const JITTER_PART: u64 = 16;

/// One direction of a link.
#[derive(Debug, Clone, Copy)]
struct Lane {
    delay: u64,
    jitter: u64,
}

/// How far nodes are from each other.
#[derive(Debug)]
enum Lanes {
    /// Each direction of each pair by itself.
    Each { nodes: usize, lanes: Vec<Lane> },
    /// As the map says: no memory for each pair.
    Map(Arc<Mesh>),
}

/// Nothing passes from some nodes to others.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    from: Vec<bool>,
    to: Vec<bool>,
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    lanes: Lanes,
    cuts: Vec<Cut>,
    loss_permille: u32,
    chance: Chance,
}

fn set_of(nodes: &[usize]) -> Vec<bool> {
    let mut set = vec![false; nodes.iter().max().map_or(0, |last| last + 1)];
    nodes.iter().for_each(|node| set[*node] = true);
    set
}

fn is_in(set: &[bool], node: usize) -> bool {
    set.get(node).copied().unwrap_or(false)
}

impl Network {
    pub(crate) fn new(nodes: usize, delay: u64, jitter: u64, loss_permille: u32, seed: u64) -> Self {
        let lanes = Lanes::Each { nodes, lanes: vec![Lane { delay, jitter }; nodes * nodes] };
        Self { lanes, cuts: Vec::new(), loss_permille, chance: Chance::new(seed, 0x4e7) }
    }

    /// The network of a map.
    pub(crate) fn of_map(mesh: Arc<Mesh>, loss_permille: u32, seed: u64) -> Self {
        Self { lanes: Lanes::Map(mesh), cuts: Vec::new(), loss_permille, chance: Chance::new(seed, 0x4e7) }
    }

    fn lane(&self, from: usize, to: usize) -> Lane {
        match &self.lanes {
            Lanes::Each { nodes, lanes } => lanes[from * nodes + to],
            Lanes::Map(mesh) => {
                let delay = mesh.one_way(from, to);
                Lane { delay, jitter: delay / JITTER_PART }
            }
        }
    }

    /// Sets a link, both ways.
    pub(crate) fn set(&mut self, a: usize, b: usize, delay: u64, jitter: u64) {
        if let Lanes::Each { nodes, lanes } = &mut self.lanes {
            lanes[a * *nodes + b] = Lane { delay, jitter };
            lanes[b * *nodes + a] = Lane { delay, jitter };
        }
    }

    /// Nothing passes from these to those any more.
    pub(crate) fn cut(&mut self, from: &[usize], to: &[usize]) {
        self.cuts.push(Cut { from: set_of(from), to: set_of(to) });
    }

    /// Ends a cut.
    pub(crate) fn mend(&mut self, from: &[usize], to: &[usize]) {
        let cut = Cut { from: set_of(from), to: set_of(to) };
        if let Some(index) = self.cuts.iter().position(|known| *known == cut) {
            self.cuts.swap_remove(index);
        }
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        from != to && self.cuts.iter().any(|cut| is_in(&cut.from, from) && is_in(&cut.to, to))
    }

    pub(crate) fn loss(&self) -> u32 {
        self.loss_permille
    }

    pub(crate) fn set_loss(&mut self, permille: u32) {
        self.loss_permille = permille;
    }

    /// The usual round trip.
    pub(crate) fn round_trip(&self, a: usize, b: usize) -> u64 {
        self.lane(a, b).delay + self.lane(b, a).delay
    }

    /// How long a datagram takes, or `None` if it gets lost.
    pub(crate) fn datagram(&mut self, from: usize, to: usize) -> Option<u64> {
        let delay = self.once(from, to);
        let lost = self.is_lost() || self.is_cut(from, to);
        (!lost).then_some(delay)
    }

    /// How long a piece of a stream takes over a link that is not cut.
    pub(crate) fn stream(&mut self, from: usize, to: usize) -> u64 {
        let mut delay = self.once(from, to);
        if self.loss_permille == 0 {
            return delay;
        }
        // Later packets tell of a loss after a round trip and a little; a second loss in a row is noticed by a timer.
        let mut wait = RETRANSMIT_FLOOR.max(self.round_trip(from, to) * 5 / 4);
        // Six losses in a row are 1 in 10^6 even at 10 %; longer waits would be a cut in all but name.
        for _ in 0..6 {
            if !self.is_lost() {
                break;
            }
            delay += wait;
            wait = wait * 3 / 2;
        }
        delay
    }

    fn is_lost(&mut self) -> bool {
        self.loss_permille > 0 && self.chance.permille(self.loss_permille)
    }

    fn once(&mut self, from: usize, to: usize) -> u64 {
        let Lane { delay, jitter } = self.lane(from, to);
        delay + self.chance.below(jitter + 1)
    }
}
