//! One direction of an emulated link, without a clock or a device: packets in, packets out when they are due.
//!
//! What must stay true: the same seed, packets and moments give the same losses and delays, whatever else the machine does;
//! without `reorder` packets leave in the order in which they came.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Packets under way at once. Above it packets are dropped, as a router does whose memory is full.
const PACKETS_MAX: usize = 20_000;

/// How one direction of a link treats packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// The way takes this long …
    pub(super) delay: Duration,
    /// … and up to this much longer, drawn evenly.
    pub(super) jitter: Duration,
    /// Whether a packet may overtake another that drew a longer jitter.
    pub(super) reorder: bool,
    /// Packets lost, in a million.
    pub(super) loss_ppm: u32,
    /// Bits in a second; unbounded if absent.
    pub(super) bits_per_s: Option<u64>,
    /// How long a packet may wait for its turn at that rate before it is dropped instead.
    pub(super) buffer: Duration,
    /// Longer packets vanish, and nobody is told.
    pub(super) swallow_above: usize,
    /// Nothing passes.
    pub(super) cut: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(5),
            jitter: Duration::ZERO,
            reorder: false,
            loss_ppm: 0,
            bits_per_s: None,
            buffer: Duration::from_millis(200),
            swallow_above: usize::MAX,
            cut: false,
        }
    }
}

impl Shape {
    /// A plain link with this delay, in milliseconds.
    pub(super) fn delay_ms(delay: u64) -> Self {
        Self { delay: Duration::from_millis(delay), ..Self::default() }
    }
}

/// What was done with the packets that came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Handed on.
    pub(super) passed: u64,
    /// Lost by chance.
    pub(super) lost: u64,
    /// Dropped since the link was cut, too narrow for them, or too slow.
    pub(super) dropped: u64,
}

/// The packets under way in one direction.
#[derive(Debug)]
pub(super) struct Queue {
    /// How packets that come from now on are treated.
    pub(super) shape: Shape,
    /// What was done.
    pub(super) counts: Counts,
    random: u64,
    number: u64,
    /// When the wire is free again.
    free: Duration,
    /// When the last packet leaves.
    last: Duration,
    packets: BinaryHeap<Reverse<(Duration, u64, Vec<u8>)>>,
}

impl Queue {
    pub(super) fn new(seed: u64, shape: Shape) -> Self {
        Self {
            shape,
            counts: Counts::default(),
            random: seed,
            number: 0,
            free: Duration::ZERO,
            last: Duration::ZERO,
            packets: BinaryHeap::new(),
        }
    }

    /// Takes a packet in, at a moment since the link began.
    pub(super) fn offer(&mut self, now: Duration, packet: &[u8]) {
        // Both are always drawn, so that a packet's luck depends on its number alone.
        let (luck, jitter) = (self.draw(), self.draw());
        let shape = self.shape;
        if shape.cut || packet.len() > shape.swallow_above || self.packets.len() >= PACKETS_MAX {
            self.counts.dropped += 1;
            return;
        }
        let begins = self.free.max(now);
        if begins - now > shape.buffer {
            self.counts.dropped += 1;
            return;
        }
        if let Some(rate) = shape.bits_per_s {
            self.free = begins + Duration::from_secs_f64(packet.len() as f64 * 8.0 / rate as f64);
        }
        // A lost packet has used the wire all the same.
        if luck % 1_000_000 < u64::from(shape.loss_ppm) {
            self.counts.lost += 1;
            return;
        }
        let jitter = shape.jitter.mul_f64((jitter >> 11) as f64 / (1_u64 << 53) as f64);
        let mut due = self.free.max(now) + shape.delay + jitter;
        if !shape.reorder {
            due = due.max(self.last);
        }
        self.last = due;
        self.number += 1;
        self.packets.push(Reverse((due, self.number, packet.to_vec())));
    }

    /// When the next packet leaves.
    pub(super) fn due(&self) -> Option<Duration> {
        self.packets.peek().map(|Reverse((due, _, _))| *due)
    }

    /// A packet that is due.
    pub(super) fn take(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.due()? > now {
            return None;
        }
        self.counts.passed += 1;
        self.packets.pop().map(|Reverse((_, _, packet))| packet)
    }

    /// SplitMix64: each step is a good mix of a counter.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
