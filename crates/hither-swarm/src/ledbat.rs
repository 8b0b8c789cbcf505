//! Model files stay behind everything else that goes over a line: what serves them is congestion control of the kind that
//! gives way, LEDBAT (RFC 6817), with round trips instead of delays of one way and, as in LEDBAT++ (Bagnulo, Balasubramanian,
//! draft-irtf-iccrg-ledbat-plus-plus), windows that shrink by a factor.
//!
//! It looks at how long packets stand in a queue on the way: how much longer they take there and back than they took at
//! best in the last minutes. It fills a line that is free until that is [`TARGET`]. Whoever else sends over that line makes
//! the queue longer and has the line, but for what an eighth of the window is worth that CUBIC would have, which all other
//! connections have: where packets take long for reasons of their own, as over the air, files come all the same. A window
//! is never larger than CUBIC's either, so it is no ruder than they are.
//!
//! It does so while requests are under way at this node, and a moment longer. At other times files go as everything goes: where
//! processors are what is short, packets take long without any queue, and a model would come later for nobody's sake (24 nodes
//! on two processors: 33 s instead of 25 s).
//!
//! Whoever accepts a connection does not know what it is for when its congestion control is made: each path has one that
//! does as CUBIC does until it is told ([`give_way`]).

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use iroh::endpoint::{Connection, Controller, ControllerFactory, ControllerMetrics, RttEstimator};
use noq::congestion::CubicConfig;

#[cfg(test)]
mod tests;

/// How long packets may stand in queues. RFC 6817 lets it be 100 ms; what is asked of a model is answered in less.
const TARGET: Duration = Duration::from_millis(15);

/// Minutes after which it is forgotten how quick the way once was: it may be another one now (RFC 6817, BASE_HISTORY).
const MINUTES: usize = 10;

const MINUTE: Duration = Duration::from_secs(60);

/// Packets that may be on their way at any time.
const PACKETS_MIN: u64 = 2;

/// The part of CUBIC's window that is left in any case.
const LEFT: u64 = 8;

/// How long after a request the next one is expected.
const AFTER: Duration = Duration::from_secs(1);

/// While the queue is short, a window grows by this part of what arrived.
const GROWTH: u64 = 8;

/// The requests that are under way at this node, asked by it or answered.
#[derive(Debug)]
pub(crate) struct Requests {
    since: Instant,
    open: AtomicUsize,
    /// When one ended last, in microseconds.
    ended: AtomicU64,
}

impl Requests {
    pub(crate) fn new() -> Arc<Self> {
        let since = Instant::now().checked_sub(AFTER).unwrap_or_else(Instant::now);
        Arc::new(Self { since, open: AtomicUsize::new(0), ended: AtomicU64::new(0) })
    }

    /// One more, until what this gives is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Request {
        self.open.fetch_add(1, Ordering::Relaxed);
        Request(self.clone())
    }

    /// Whether there are some, or were a moment ago.
    fn are(&self, now: Instant) -> bool {
        let ended = self.since + Duration::from_micros(self.ended.load(Ordering::Relaxed));
        self.open.load(Ordering::Relaxed) > 0 || now.saturating_duration_since(ended) < AFTER
    }
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Request(Arc<Requests>);

impl Drop for Request {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.ended.fetch_max(now, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shortest round trip of each of the last minutes.
#[derive(Debug, Clone)]
struct Shortest {
    minutes: [Duration; MINUTES],
    /// Of all so far, as the transport knows it, which forgets none.
    ever: Duration,
    at: usize,
    since: Instant,
}

impl Shortest {
    fn new(now: Instant) -> Self {
        Self { minutes: [Duration::MAX; MINUTES], ever: Duration::MAX, at: 0, since: now }
    }

    /// How long the way takes without a queue, as far as is known, given how long it takes now and took at best ever.
    fn learn(&mut self, now: Instant, (rtt, ever): (Duration, Duration)) -> Duration {
        // A connection that said nothing for long has forgotten everything.
        for _ in 0..MINUTES {
            if now.saturating_duration_since(self.since) < MINUTE {
                break;
            }
            self.at = (self.at + 1) % MINUTES;
            self.minutes[self.at] = Duration::MAX;
            self.since += MINUTE;
        }
        if now.saturating_duration_since(self.since) >= MINUTE {
            self.since = now;
        }
        // What it takes now is a mean, which one quick packet hardly changes.
        let quick = if ever < std::mem::replace(&mut self.ever, ever) { ever } else { rtt };
        self.minutes[self.at] = self.minutes[self.at].min(rtt).min(quick);
        self.minutes.iter().copied().min().unwrap_or(rtt)
    }
}

/// The window of what gives way.
#[derive(Debug, Clone)]
struct Window {
    shortest: Shortest,
    /// In bytes; `None` until a queue was too long for the first time.
    bytes: Option<u64>,
    /// What arrived and is not in the window yet.
    arrived: u64,
    /// When it shrank last.
    shrank: Instant,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { shortest: Shortest::new(now), bytes: None, arrived: 0, shrank: now }
    }

    /// A packet takes so long there and back now and took so long at best ever, and so many bytes arrived while the window was
    /// what held the rest back. `others` is the window that whoever does not give way would have.
    fn acked(&mut self, now: Instant, bytes: u64, (rtt, ever): (Duration, Duration), (others, packet): (u64, u64)) {
        let queue = rtt.saturating_sub(self.shortest.learn(now, (rtt, ever)));
        let Some(window) = self.bytes else {
            if queue > TARGET {
                self.bytes = Some(others / 2);
                self.shrank = now;
            }
            return;
        };
        let grown = if queue > TARGET {
            if now.saturating_duration_since(self.shrank) < rtt {
                return;
            }
            self.shrank = now;
            // By half at most, which is what a queue twice as long as it may be comes to.
            let over = (queue - TARGET).min(TARGET).as_micros() as u64;
            window - window / 2 * over / TARGET.as_micros() as u64
        } else if queue < TARGET / 2 {
            window + bytes / GROWTH
        } else {
            self.arrived += bytes;
            let whole = self.arrived / window.max(1);
            self.arrived -= whole * window;
            window + whole * packet
        };
        self.bytes = Some(grown.clamp(others / LEFT, 2 * others));
    }

    /// Packets that were sent then are lost.
    fn lost(&mut self, now: Instant, sent: Instant) {
        if let Some(window) = self.bytes.filter(|_| sent > self.shrank) {
            (self.bytes, self.shrank) = (Some(window / 2), now);
        }
    }

    /// The window, given what whoever does not give way would have.
    fn of(&self, others: u64, packet: u64) -> u64 {
        self.bytes.map_or(others, |window| window.max(others / LEFT).max(PACKETS_MIN * packet).min(others))
    }
}

/// The congestion control of one path: CUBIC, which gives way once it is told.
#[derive(Debug)]
struct Polite {
    cubic: Box<dyn Controller>,
    gives_way: Arc<AtomicBool>,
    requests: Arc<Requests>,
    /// Whether it gives way now, as of the last packets that arrived.
    behind: bool,
    window: Window,
    packet: u64,
}

/// Makes the congestion control of connections that were accepted.
#[derive(Debug)]
pub(crate) struct Factory(pub(crate) Arc<Requests>);

impl ControllerFactory for Factory {
    fn build(self: Arc<Self>, now: Instant, packet: u16) -> Box<dyn Controller> {
        Box::new(Polite {
            cubic: Arc::new(CubicConfig::default()).build(now, packet),
            gives_way: Arc::default(),
            requests: self.0.clone(),
            behind: false,
            window: Window::new(now),
            packet: u64::from(packet),
        })
    }
}

impl Controller for Polite {
    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.cubic.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.cubic.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.cubic.on_cwnd_limited();
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, pn: u64, app_limited: bool, rtt: &RttEstimator) {
        // What it is not allowed to use says nothing of what it could use.
        let limited = app_limited || self.window() < self.cubic.window();
        self.cubic.on_ack(now, sent, bytes, pn, limited, rtt);
        let times = (rtt.get(), rtt.min());
        self.behind = self.gives_way.load(Ordering::Relaxed) && self.requests.are(now);
        if self.behind {
            // A window that was not used up has no reason to grow.
            let used = if app_limited { 0 } else { bytes };
            self.window.acked(now, used, times, (self.cubic.window(), self.packet));
        } else {
            self.window.shortest.learn(now, times);
            self.window.bytes = None;
        }
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.cubic.on_congestion_event(now, sent, is_persistent_congestion, is_ecn, lost_bytes, largest_lost_pn);
        self.window.lost(now, sent);
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.cubic.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.cubic.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, packet: u16) {
        self.cubic.on_mtu_update(packet);
        self.packet = u64::from(packet);
    }

    fn on_ack_frequency_update(&mut self, threshold: u64, delay: Duration) {
        self.cubic.on_ack_frequency_update(threshold, delay);
    }

    fn window(&self) -> u64 {
        let others = self.cubic.window();
        if self.behind { self.window.of(others, self.packet) } else { others }
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.cubic.metrics();
        metrics.congestion_window = self.window();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            gives_way: self.gives_way.clone(),
            requests: self.requests.clone(),
            behind: self.behind,
            window: self.window.clone(),
            packet: self.packet,
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// The congestion control of a connection that this end accepted, by path: copies, each with its mark in common with the one
/// that is used.
fn controls(connection: &Connection) -> Vec<Polite> {
    let paths = connection.paths();
    let copies = paths.iter().filter_map(|path| connection.congestion_state(path.id()));
    copies.filter_map(|copy| copy.into_any().downcast::<Polite>().ok()).map(|polite| *polite).collect()
}

/// What this end sends over a connection that it accepted gives way from now on.
pub(crate) fn give_way(connection: &Connection) {
    for polite in controls(connection) {
        polite.gives_way.store(true, Ordering::Relaxed);
    }
}

/// Whether what this end sends over a connection gives way to requests, as of the last packets that arrived.
pub(crate) fn is_behind(connection: &Connection) -> bool {
    controls(connection).iter().any(|polite| polite.behind)
}
