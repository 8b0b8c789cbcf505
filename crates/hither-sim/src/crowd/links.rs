//! Links in miniature.

use hither_core::membership::Sign;
use hither_types::message::PeerMessage;
use hither_types::unit::Micros;

use super::{ACK, Crowd, PACKET, What, sign};
use crate::codec;

/// A dial that takes longer has nobody at its other end.
const DIAL: u64 = 1_500_000;
/// Pauses between dials, in which they double.
const PAUSES: (u64, u64) = (200_000, 5_000_000);
/// Silence after which an end gives its link up.
const IDLE: u64 = 4_000_000;
/// How often an end looks.
const LOOK: u64 = 500_000;
/// What is not acknowledged after this is sent again, if it is near; then after twice this, and so on.
const REPEAT: u64 = 100_000;
/// Bytes of a handshake, both ways.
const HANDSHAKE: u64 = 6_000;

/// Two nodes, the smaller number first.
pub(super) type Pair = (usize, usize);

/// A link between two nodes.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) up: bool,
    serial: u32,
    /// What arrives at each end arrives in order.
    free: [u64; 2],
    /// When each end was last reached.
    heard: [u64; 2],
    /// Whether each end was told that the link is up.
    told: [bool; 2],
}

fn pair(a: usize, b: usize) -> Pair {
    (a.min(b), a.max(b))
}

impl Crowd {
    /// Whether a packet gets through at the moment, loss aside.
    fn open(&self, from: usize, to: usize) -> bool {
        let far = self.bodies[from].site != self.bodies[to].site;
        let walled = |at: usize| far && self.cut_sites.contains(&self.bodies[at].site);
        !self.cut.contains(&(from, to)) && !walled(from) && !walled(to)
    }

    /// How long a packet is on its way at the least.
    fn apart(&self, from: usize, to: usize) -> u64 {
        if self.bodies[from].site == self.bodies[to].site {
            return 150;
        }
        // Each pair of sites is as far apart as their names say.
        let apart = crate::chance::mix(self.site(from) as u64 ^ self.site(to) as u64) % 40_000;
        5_000 + apart + self.weather.far
    }

    /// How long a packet is on its way; `None` if it is lost.
    fn way(&mut self, from: usize, to: usize) -> Option<u64> {
        if !self.open(from, to) || self.chance.permille(self.weather.loss) {
            return None;
        }
        let luck = if self.bodies[from].site == self.bodies[to].site { 851 } else { 2_000 };
        let base = self.apart(from, to) + self.chance.below(luck);
        let slow = self.bodies[from].slow || self.bodies[to].slow;
        let mut soonest = u64::MAX;
        // A packet that is late is sent again, as one that is lost, and the first of the copies counts.
        for copy in 0..6 {
            let late = slow && self.chance.permille(300);
            let sent = ((1 << copy) - 1) * REPEAT;
            soonest = soonest.min(sent + base + if late { self.chance.below(3_000_000) } else { 0 });
            if soonest <= sent + base {
                break;
            }
        }
        Some(soonest)
    }

    /// When what is not acknowledged is sent again: after half as long again as a round trip takes.
    fn repeat(&self, from: usize, to: usize) -> u64 {
        let far = self.bodies[from].site != self.bodies[to].site;
        REPEAT.max(if far { self.weather.far * 3 } else { 0 })
    }

    pub(super) fn dial(&mut self, from: usize, to: usize) {
        let body = &self.bodies[from];
        let up = self.links.get(&pair(from, to)).is_some_and(|link| link.up);
        if body.mind.is_none() || !body.keep.contains(&to) || up || body.dialling.contains(&to) {
            return;
        }
        self.bodies[from].dialling.insert(to);
        let there = self.lives(to) && self.open(from, to) && self.open(to, from);
        let mut took = 0;
        // Two round trips, each packet repeated until it gets through.
        for step in 0..4 {
            let (a, b) = if step % 2 == 0 { (from, to) } else { (to, from) };
            let mut repeat = 2 * self.repeat(from, to);
            while there && took < DIAL {
                match self.way(a, b) {
                    Some(way) => {
                        took += way;
                        break;
                    }
                    None => took += repeat,
                }
                repeat *= 2;
            }
        }
        self.tally.bytes += HANDSHAKE;
        if there && took < DIAL {
            self.queue.push(self.now + took, What::Dialled { from, to });
        } else {
            self.queue.push(self.now + DIAL, What::Missed { from, to });
        }
    }

    pub(super) fn missed(&mut self, from: usize, to: usize) {
        if !self.bodies[from].dialling.remove(&to) {
            return;
        }
        let pause = self.bodies[from].pauses.entry(to).or_insert(PAUSES.0);
        let next = self.now + *pause;
        *pause = (*pause * 2).min(PAUSES.1);
        self.queue.push(next, What::Dial { from, to });
        let node = self.bodies[to].id;
        self.feed(from, Sign::Unreachable(node));
    }

    pub(super) fn dialled(&mut self, from: usize, to: usize) {
        if !self.bodies[from].dialling.remove(&to) || !self.lives(from) || !self.lives(to) {
            return;
        }
        let pair = pair(from, to);
        let rtt = 2 * self.apart(from, to);
        let link = self.links.entry(pair).or_default();
        if link.up {
            return;
        }
        let stale = std::mem::take(&mut link.told);
        link.up = true;
        link.serial += 1;
        link.free = [self.now; 2];
        link.heard = [self.now; 2];
        link.told = [true; 2];
        let serial = link.serial;
        self.queue.push(self.now + LOOK, What::Idle { pair, serial });
        for (end, other, stale) in [(pair.0, pair.1, stale[0]), (pair.1, pair.0, stale[1])] {
            self.bodies[end].pauses.remove(&other);
            let node = self.bodies[other].id;
            if stale {
                self.feed(end, Sign::LinkDown(node));
            }
            self.feed(end, Sign::LinkUp(node));
            self.feed(end, Sign::RoundTrip { node, rtt: Micros(rtt) });
        }
    }

    pub(super) fn say(&mut self, from: usize, to: usize, message: PeerMessage) {
        let pair = pair(from, to);
        let Some(link) = self.links.get(&pair).filter(|link| link.up) else { return };
        let serial = link.serial;
        if self.weigh {
            let bytes = codec::message(&message).expect("what memberships say can be said");
            // What does not answer at once is acknowledged in a packet of its own.
            let packets = 1 + bytes.len() as u64 / 1_200;
            self.tally.bytes += bytes.len() as u64 + packets * PACKET + ACK;
            let read = codec::read_message(&bytes).expect("what was said can be read");
            assert_eq!(read, message, "the form of a message keeps what it says");
        }
        self.transmit(pair, serial, from, 0, message);
    }

    pub(super) fn transmit(&mut self, pair: Pair, serial: u32, from: usize, tries: u32, message: PeerMessage) {
        let to = if from == pair.0 { pair.1 } else { pair.0 };
        if !self.links.get(&pair).is_some_and(|link| link.up && link.serial == serial) {
            return;
        }
        let Some(way) = self.way(from, to) else {
            let again = self.now + (self.repeat(from, to) << tries.min(5));
            self.queue.push(again, What::Send { pair, serial, from, tries: tries + 1, message });
            return;
        };
        let Some(link) = self.links.get_mut(&pair) else { return };
        let end = usize::from(to == pair.1);
        let at = (self.now + way).max(link.free[end]);
        link.free[end] = at;
        self.queue.push(at, What::Arrive { pair, serial, to, message });
    }

    pub(super) fn arrive(&mut self, pair: Pair, serial: u32, to: usize, message: PeerMessage) {
        let lives = self.lives(to);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.up && link.serial == serial && lives) else {
            return;
        };
        link.heard[usize::from(to == pair.1)] = self.now;
        let from = if to == pair.0 { pair.1 } else { pair.0 };
        let from = self.bodies[from].id;
        self.feed(to, sign(from, message));
    }

    /// Each end gives the link up when it was not reached for too long.
    pub(super) fn look_idle(&mut self, pair: Pair, serial: u32) {
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.up && link.serial == serial) else { return };
        let late = link.heard.map(|at| self.now > at + IDLE);
        if !late[0] && !late[1] {
            self.queue.push(self.now + LOOK, What::Idle { pair, serial });
            return;
        }
        link.up = false;
        for (end, late) in [(pair.0, late[0]), (pair.1, late[1])] {
            // The other end hears of it if anything gets through, and else finds out by itself.
            let other = if end == pair.0 { pair.1 } else { pair.0 };
            let at = match (late, self.open(other, end)) {
                (true, _) => self.now,
                (false, true) => self.now + 50_000,
                (false, false) => self.now + IDLE,
            };
            self.queue.push(at, What::Down { at: end, pair, serial });
        }
    }

    pub(super) fn down(&mut self, at: usize, pair: Pair, serial: u32) {
        let end = usize::from(at == pair.1);
        let Some(link) = self.links.get_mut(&pair).filter(|link| link.serial == serial && link.told[end]) else {
            return;
        };
        link.told[end] = false;
        let other = if at == pair.0 { pair.1 } else { pair.0 };
        let node = self.bodies[other].id;
        self.feed(at, Sign::LinkDown(node));
        self.queue.push(self.now + 10_000, What::Dial { from: at, to: other });
    }
}
