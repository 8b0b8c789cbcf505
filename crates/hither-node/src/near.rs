//! How far the members of this node's country are: measured, signed, and told to all.
//!
//! Round trips are measured over connections of their own, with bytes that nobody can guess ([`hither_swarm`]'s pings): only
//! the holder of a member's key answers, and not before it was asked. What is signed is the smallest of an hour, so that a busy
//! line makes nobody far; a new start of a member is measured anew, for its key may be somewhere else.
//!
//! What is much longer than before is measured again a few times; then it is signed with what it was before. If that is so of
//! most that this node measures, it is this node that moved, and it says nothing of the others. Of whom does not answer a few
//! times, nothing is signed.

use std::collections::{BTreeMap, VecDeque};

use hither_core::Event;
use hither_types::id::NodeId;
use hither_types::member::Signed;
use hither_types::message::PeerMessage;
use hither_types::near::{NearReport, NearSample};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;

use crate::driver::{Driver, Inbound};
use crate::limits::{
    NEAR_AGAIN, NEAR_AT_ONCE, NEAR_BETTER, NEAR_EVERY, NEAR_GAP_MS, NEAR_LATELY, NEAR_MOVED, NEAR_PINGS,
    NEAR_REMEMBERED, NEAR_SIGNED, NEAR_TRIES, NEAR_WAIT, NEAR_WINDOW,
};
use crate::trust::{self, Seal, clock_grace, wall_now};

pub(crate) mod moves;
mod reports;
#[cfg(test)]
mod tests;

use reports::Known;

/// The smallest of some round trips to a member, measured one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Whom.
    pub(crate) node: NodeId,
    /// Its start, as it was known when the measurement began.
    pub(crate) incarnation: u64,
    /// The round trip; none if it did not answer.
    pub(crate) rtt: Option<Micros>,
}

/// What was measured of one member.
#[derive(Debug, Default)]
struct Window {
    /// Of which start.
    incarnation: u64,
    /// When, and the smallest of each time, of the last hour.
    found: VecDeque<(Timestamp, Micros)>,
    /// By the wall clock, when it was measured last.
    at: WallTime,
    /// The smallest of before: of an earlier start, or of an earlier hour.
    before: Option<Micros>,
    /// Since when it is longer than that by more than a network does.
    moved: Option<Timestamp>,
    /// How often in a row it was, and the smallest of these, while that is in doubt.
    doubts: u32,
    doubted: Option<Micros>,
    /// How often in a row it did not answer.
    failed: u32,
    /// When it is due next, and whether a measurement is under way.
    due: Timestamp,
    busy: bool,
    /// What was signed last.
    signed: Option<NearSample>,
}

impl Window {
    fn smallest(&self) -> Option<Micros> {
        self.found.iter().map(|(_, rtt)| *rtt).min()
    }

    /// Another start of the member is there: what was found of the one before is what to compare with. How often it was far is
    /// kept, or whoever starts again and again would never be found; how far that start was says nothing of this one.
    fn starts_anew(&mut self, incarnation: u64, now: Timestamp) {
        if self.moved.is_none() {
            self.before = self.smallest().or(self.before);
        }
        self.found.clear();
        (self.incarnation, self.doubted, self.due) = (incarnation, None, self.due.min(now));
    }

    /// What a round trip is compared with.
    fn usual(&self) -> Option<Micros> {
        if self.moved.is_some() { self.before } else { self.smallest().or(self.before) }
    }

    /// Whether a round trip is longer than before by more than a network does.
    fn is_longer(&self, rtt: Micros) -> bool {
        self.usual().is_some_and(|usual| rtt.0 > usual.0.saturating_add(NEAR_MOVED.0))
    }

    fn take(&mut self, rtt: Micros, now: Timestamp, wall: WallTime) {
        self.forget(now);
        let (usual, is_longer) = (self.usual(), self.is_longer(rtt));
        if is_longer && self.moved.is_none() {
            self.doubts += 1;
            let smallest = self.doubted.map_or(rtt, |doubted| doubted.min(rtt));
            self.doubted = Some(smallest);
            self.due = now.after(NEAR_AGAIN);
            if self.doubts < NEAR_TRIES {
                return;
            }
            (self.before, self.moved) = (usual, Some(now));
            self.found.clear();
            self.found.push_back((now, smallest));
        } else {
            if !is_longer && self.moved.take().is_some() {
                self.found.clear();
            }
            self.found.push_back((now, rtt));
        }
        (self.doubts, self.doubted, self.at, self.due) = (0, None, wall, now.after(NEAR_EVERY));
    }

    /// It is this node that moved: what was found before says nothing any more, and what is in doubt begins anew.
    fn compare_no_more(&mut self) {
        if self.doubts > 0 {
            self.found.clear();
        }
        (self.moved, self.before, self.doubts, self.doubted) = (None, None, 0, None);
    }

    /// What is older than an hour does not count; where a member was before it moved is remembered for a day.
    fn forget(&mut self, now: Timestamp) {
        let smallest = self.smallest();
        self.found.retain(|(at, _)| now.since(*at) <= NEAR_WINDOW);
        if self.found.is_empty() && self.moved.is_none() {
            self.before = smallest.or(self.before);
        }
        if self.moved.is_some_and(|since| now.since(since) > NEAR_REMEMBERED) {
            (self.moved, self.before) = (None, None);
        }
    }

    /// Whether it was there, and does not answer any more. That it moved is not taken back for that.
    fn is_silent(&self) -> bool {
        self.failed >= NEAR_TRIES && self.moved.is_none()
    }

    /// Nothing while it is in doubt, or silent: what was signed before says something else then.
    fn sample(&self, node: NodeId) -> Option<NearSample> {
        let rtt = self.smallest().filter(|_| self.doubts == 0 && !self.is_silent())?;
        let before = self.before.filter(|_| self.moved.is_some());
        Some(NearSample { node, incarnation: self.incarnation, rtt, at: self.at, before })
    }
}

/// What this node measured, and what others signed.
#[derive(Debug, Default)]
pub(crate) struct Distances {
    windows: BTreeMap<NodeId, Window>,
    /// When this node signed last.
    signed: Option<Timestamp>,
    /// The newest report of each member, this node included.
    reports: BTreeMap<NodeId, Known>,
    /// By the clock here, until when each signer has used up its share of reports.
    heard: BTreeMap<NodeId, Timestamp>,
}

impl Distances {
    /// Whom to measure now, of those whom it falls to this node to measure; they are taken to be under way.
    fn due(&mut self, subjects: &[(NodeId, u64)], now: Timestamp) -> Vec<(NodeId, u64)> {
        for (node, incarnation) in subjects {
            let window = self.windows.entry(*node).or_default();
            if window.incarnation != *incarnation {
                window.starts_anew(*incarnation, now);
            }
        }
        // One that falls to another for a moment is measured no more, and where it was is remembered as long as there is room.
        while self.windows.len() > 2 * hither_core::limits::NEAR_SAMPLES_MAX {
            let beside = |node: &NodeId| subjects.iter().all(|(subject, _)| subject != node);
            let Some(gone) = self.windows.keys().copied().find(beside) else { break };
            self.windows.remove(&gone);
        }
        let room = NEAR_AT_ONCE.saturating_sub(self.windows.values().filter(|window| window.busy).count());
        let is_due = |node: &NodeId| self.windows.get(node).is_some_and(|window| !window.busy && window.due <= now);
        let mut due: Vec<_> = subjects.iter().copied().filter(|(node, _)| is_due(node)).collect();
        // Those that wait longest come first: some that never answer are due again and again.
        due.sort_by_key(|(node, _)| self.windows.get(node).map(|window| window.due));
        due.truncate(room);
        for (node, _) in &due {
            if let Some(window) = self.windows.get_mut(node) {
                window.busy = true;
            }
        }
        due
    }

    /// A measurement has ended.
    fn measured(&mut self, measured: Measured, now: Timestamp, wall: WallTime) {
        let Some(window) = self.windows.get_mut(&measured.node) else { return };
        window.busy = false;
        // A start came after it began: nobody knows which of the two answered, so it makes neither near. That the key answers from
        // far is so of either, but how far this start is has to be measured yet.
        let is_of_either = window.incarnation != measured.incarnation;
        match measured.rtt {
            Some(rtt) if is_of_either && !window.is_longer(rtt) => {}
            Some(rtt) => {
                window.failed = 0;
                window.take(rtt, now, wall);
                if is_of_either {
                    (window.doubted, window.due) = (None, window.due.min(now.after(NEAR_AGAIN)));
                }
                if window.doubts == 1 {
                    self.compare_others(now);
                }
            }
            None => {
                window.failed = window.failed.saturating_add(1);
                window.due = now.after(NEAR_AGAIN);
            }
        }
    }

    /// One is far: if the others are, too, it is the line of this node, which is to be known before the one is said to have moved.
    fn compare_others(&mut self, now: Timestamp) {
        for window in self.windows.values_mut() {
            if window.doubts == 0 && window.found.back().is_some_and(|(at, _)| now.since(*at) > NEAR_LATELY) {
                window.due = window.due.min(now);
            }
        }
    }

    /// A link to a member was made anew: whoever is at its end is measured soon.
    fn relinked(&mut self, node: NodeId, now: Timestamp) {
        if let Some(window) = self.windows.get_mut(&node) {
            window.due = window.due.min(now);
        }
    }

    /// What is to be signed, if that is something else than what was, or an hour is over.
    fn unsigned(&mut self, subjects: &[(NodeId, u64)], now: Timestamp) -> Option<Vec<NearSample>> {
        self.windows.values_mut().for_each(|window| window.forget(now));
        let mine = |node: &NodeId| subjects.iter().any(|(subject, _)| subject == node);
        let own: Vec<(&NodeId, &Window)> = self.windows.iter().filter(|(node, _)| mine(node)).collect();
        let mut samples: Vec<NearSample> = own.iter().filter_map(|(node, window)| window.sample(**node)).collect();
        let moved = samples.iter().filter(|sample| sample.before.is_some()).count();
        // One is found before the others; those that are in doubt by then are far, too.
        let in_doubt = own.iter().filter(|(_, window)| window.doubts > 0).count();
        if moved >= 1 && moved + in_doubt >= 2 && 2 * (moved + in_doubt) > samples.len() + in_doubt {
            // Not they moved, but this node.
            self.windows.values_mut().for_each(Window::compare_no_more);
            samples.iter_mut().for_each(|sample| sample.before = None);
        }
        let news = samples.iter().any(|sample| match self.windows.get(&sample.node).and_then(|window| window.signed) {
            None => true,
            Some(said) => {
                let better = sample.rtt.0.saturating_add(NEAR_BETTER.0) <= said.rtt.0;
                let farther = sample.rtt.0 > said.rtt.0.saturating_add(NEAR_MOVED.0);
                better
                    || farther
                    || said.incarnation != sample.incarnation
                    || said.before.is_some() != sample.before.is_some()
            }
        });
        let is_old = self.signed.is_none_or(|signed| now.since(signed) >= NEAR_SIGNED);
        if !(news || self.has_vanished(subjects, &samples) || (is_old && !samples.is_empty())) {
            return None;
        }
        self.signed = Some(now);
        for (node, window) in &mut self.windows {
            window.signed = samples.iter().find(|sample| sample.node == *node).copied();
        }
        Some(samples)
    }

    /// Whether something was signed of a member that is to be measured, and there is nothing to be signed of it now. One of an
    /// earlier start counts no more, whoever knows of the present one.
    fn has_vanished(&self, subjects: &[(NodeId, u64)], samples: &[NearSample]) -> bool {
        let is_there = |node: &NodeId| samples.iter().any(|sample| sample.node == *node);
        subjects.iter().filter(|(node, _)| !is_there(node)).any(|(node, _)| {
            self.windows.get(node).is_some_and(|window| {
                window.signed.is_some_and(|said| window.doubts > 0 || said.incarnation == window.incarnation)
            })
        })
    }

    /// When a report of this node is to be signed, if that may be now. One of an earlier start that comes from a clock that was
    /// ahead must not silence this one: what comes after it is dated right after it, if others take that.
    fn may_sign(&self, me: NodeId, now: Timestamp, wall: WallTime) -> Option<WallTime> {
        let Some(Known { at: known, .. }) = self.reports.get(&me) else { return Some(wall) };
        let next = WallTime(known.0.saturating_add(NEAR_GAP_MS));
        if *known <= wall {
            return (next <= wall).then_some(wall);
        }
        let is_soon = self.signed.is_some_and(|signed| now.since(signed) < Micros::from_millis(NEAR_GAP_MS));
        (!is_soon).then_some(if next <= clock_grace(wall) { next } else { wall })
    }

    /// What this node signed before its start, as others kept it: where the members were then.
    fn recall(&mut self, samples: &[NearSample]) {
        for sample in samples {
            let window = self.windows.entry(sample.node).or_default();
            if window.found.is_empty() && window.before.is_none() {
                window.before = Some(sample.before.unwrap_or(sample.rtt));
            }
        }
    }

    /// Somebody is no member any more.
    pub(crate) fn forget(&mut self, node: NodeId) {
        self.windows.remove(&node);
        self.reports.remove(&node);
        self.heard.remove(&node);
    }
}

impl Driver {
    /// Measures those whose turn it is, and signs what is new.
    pub(crate) fn measure_distances(&mut self) {
        if self.gave_way || self.leaving {
            return;
        }
        let (now, subjects) = (self.clock.now(), self.core.to_measure());
        for (node, incarnation) in self.distances.due(&subjects, now) {
            let (swarm, inbox) = (self.swarm.clone(), self.inbox.clone());
            self.hands.spawn(async move {
                let pinged = tokio::time::timeout(NEAR_WAIT, swarm.ping(node, NEAR_PINGS)).await;
                let pinged = pinged.ok().and_then(Result::ok);
                let took = pinged.and_then(|pinged| pinged.pongs.iter().map(|pong| pong.took).min());
                let rtt = took.map(|took| Micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)));
                // A closed inbox means that the node is stopping.
                let _ = inbox.send(Inbound::Measured(Measured { node, incarnation, rtt })).await;
            });
        }
        let Some(at) = self.distances.may_sign(self.home.me.node, now, wall_now()) else { return };
        if let Some(samples) = self.distances.unsigned(&subjects, now) {
            let report = NearReport { mesh: self.home.me.mesh, at, samples };
            let bytes = hither_wire::encode_near_report(&report).expect("so many samples fit into a report");
            let signed = trust::sign(&self.home.key, Seal::Near, bytes);
            self.distances.keep(self.home.me.node, &report, &signed);
            self.feed(Event::Near { by: self.home.me.node, samples: report.samples });
            self.spread(None, PeerMessage::Near(vec![signed]));
        }
    }

    /// A measurement has ended.
    pub(crate) fn distance_measured(&mut self, measured: Measured) {
        self.distances.measured(measured, self.clock.now(), wall_now());
        self.measure_distances();
    }

    /// Tells a mind that was made anew what members measured.
    pub(crate) fn recall_distances(&mut self) {
        let reports: Vec<Signed> = self.distances.reports.values().map(|known| known.signed.clone()).collect();
        for signed in reports {
            if let Ok(report) = hither_wire::decode_near_report(&signed.bytes) {
                self.feed(Event::Near { by: signed.signer, samples: report.samples });
            }
        }
    }
}
