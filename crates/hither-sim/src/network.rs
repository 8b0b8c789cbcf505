//! The network between the nodes: delay, jitter, loss and cuts, for each direction of each link.
//!
//! Small talk may be lost. Streams are reliable and ordered, as QUIC's are: loss delays them, a cut holds them.

use crate::chance::Chance;

/// How long a lost packet of a stream waits before it is sent again, at the least.
const RETRANSMIT_FLOOR: u64 = 20_000;

/// One direction of a link.
#[derive(Debug, Clone, Copy)]
struct Lane {
    delay: u64,
    jitter: u64,
    /// How many cuts lie on it; 0 is whole.
    cuts: u32,
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    nodes: usize,
    lanes: Vec<Lane>,
    loss_permille: u32,
    chance: Chance,
}

impl Network {
    pub(crate) fn new(nodes: usize, delay: u64, jitter: u64, loss_permille: u32, seed: u64) -> Self {
        let lane = Lane { delay, jitter, cuts: 0 };
        Self { nodes, lanes: vec![lane; nodes * nodes], loss_permille, chance: Chance::new(seed, 0x4e7) }
    }

    fn lane(&mut self, from: usize, to: usize) -> &mut Lane {
        &mut self.lanes[from * self.nodes + to]
    }

    /// Sets a link, both ways.
    pub(crate) fn set(&mut self, a: usize, b: usize, delay: u64, jitter: u64) {
        for (from, to) in [(a, b), (b, a)] {
            let lane = self.lane(from, to);
            (lane.delay, lane.jitter) = (delay, jitter);
        }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.lane(from, to).cuts += 1;
    }

    pub(crate) fn mend(&mut self, from: usize, to: usize) {
        let lane = self.lane(from, to);
        lane.cuts = lane.cuts.saturating_sub(1);
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.lanes[from * self.nodes + to].cuts > 0
    }

    pub(crate) fn loss(&self) -> u32 {
        self.loss_permille
    }

    pub(crate) fn set_loss(&mut self, permille: u32) {
        self.loss_permille = permille;
    }

    /// The usual round trip.
    pub(crate) fn round_trip(&self, a: usize, b: usize) -> u64 {
        self.lanes[a * self.nodes + b].delay + self.lanes[b * self.nodes + a].delay
    }

    /// How long a datagram takes, or `None` if it gets lost.
    pub(crate) fn datagram(&mut self, from: usize, to: usize) -> Option<u64> {
        let delay = self.once(from, to);
        let lost = self.chance.permille(self.loss_permille) || self.is_cut(from, to);
        (!lost).then_some(delay)
    }

    /// How long a piece of a stream takes over a link that is not cut.
    pub(crate) fn stream(&mut self, from: usize, to: usize) -> u64 {
        let mut delay = self.once(from, to);
        // Later packets tell of a loss after a round trip and a little; a second loss in a row is noticed by a timer.
        let mut wait = RETRANSMIT_FLOOR.max(self.round_trip(from, to) * 5 / 4);
        // Six losses in a row are 1 in 10^6 even at 10 %; longer waits would be a cut in all but name.
        for _ in 0..6 {
            if !self.chance.permille(self.loss_permille) {
                break;
            }
            delay += wait;
            wait = wait * 3 / 2;
        }
        delay
    }

    fn once(&mut self, from: usize, to: usize) -> u64 {
        let Lane { delay, jitter, .. } = *self.lane(from, to);
        delay + self.chance.below(jitter + 1)
    }
}
