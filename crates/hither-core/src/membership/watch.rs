//! Watching neighbours: pulses, the doubts that follow from their absence, and the sentence that follows from doubts.

use std::collections::BTreeSet;

use hither_types::id::NodeId;
use hither_types::message::{PeerMessage, Pulse, Rumour};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use super::Membership;
use super::members::Node;
use crate::limits;

/// A link over which pulses go.
#[derive(Debug)]
pub(super) struct Watch {
    /// This node chose it.
    mine: bool,
    /// The other end did.
    theirs: bool,
    /// Both hear each other.
    live: bool,
    sent: u32,
    number: u32,
    heard: Timestamp,
    echo: u32,
    echoed: Timestamp,
    /// When the last pulse came, and the longest time between two, which fades.
    pulsed: Timestamp,
    worst: Micros,
    /// How far it is there and back, and until when a longer way is not believed.
    away: Micros,
    settles: Timestamp,
    /// It was taken for gone: how long it was silent says nothing about how slow it is.
    fell: bool,
    /// Pulses in a row whose sender has heard something else than this node.
    apart: u32,
    /// The link is new, and the other end was told everything over it.
    told: bool,
}

impl Watch {
    fn new(mine: bool, away: Micros, now: Timestamp) -> Self {
        Self {
            mine,
            theirs: false,
            apart: 0,
            live: true,
            sent: 0,
            number: 0,
            heard: now,
            echo: 0,
            echoed: now,
            pulsed: now,
            worst: Micros(0),
            away,
            settles: Timestamp(0),
            fell: false,
            told: true,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// When the other end will count as not heard, or not hearing.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.live.then(|| self.heard.min(self.echoed).after(self.patience()).after(Micros(1)))
    }

    /// How long it may be silent: longer if it is far, and if it often is (in the spirit of the phi accrual detector,
    /// Hayashibara et al., SRDS 2004, without its distribution).
    fn patience(&self) -> Micros {
        let repeats = Micros(self.away.0.saturating_mul(limits::UNHEARD_ROUND_TRIPS));
        let least = Micros(limits::UNHEARD.0.saturating_add(repeats.0)).min(limits::UNHEARD_MAX);
        Micros(self.worst.0 + self.worst.0 / 2).clamp(least, limits::UNHEARD_MAX)
    }

    /// A pulse came.
    fn pulsed(&mut self, now: Timestamp) {
        let faded = self.worst.0 - self.worst.0 / 32;
        let gap = if std::mem::take(&mut self.fell) { 0 } else { now.since(self.pulsed).0 };
        self.worst = Micros(faded.max(gap));
        (self.pulsed, self.heard) = (now, now);
    }

    /// It was taken for gone.
    pub(super) fn fell(&mut self) {
        self.fell = true;
    }

    /// One of the two ends stood still: what was acknowledged after that makes the way look long for a while.
    fn stood_still(&mut self, now: Timestamp) {
        self.settles = now.after(limits::ROUND_TRIP_SETTLES);
    }
}

impl Membership {
    pub(super) fn link_up(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.avoided = Timestamp(0);
        self.linked.insert(id);
        // One that was taken for gone may have been started anew, and what it said before says nothing of this start: it counts
        // as there once it is heard again, and its own word comes before its first pulse.
        let comes_back = node.said.is_some() && !node.shown;
        // One that was watched before starts afresh.
        let mine = self.wanted.contains(&id);
        if self.watches.remove(&id).is_some() || mine {
            self.begin_watch(id, mine);
            if let Some(watch) = self.watches.get_mut(&id) {
                watch.live = !comes_back;
            }
        } else if let Some(own) = &self.own {
            let message = PeerMessage::Presence(own.as_ref().clone());
            self.say(id, message);
        }
        self.show(id, false);
        self.choose_soon();
    }

    pub(super) fn link_down(&mut self, id: NodeId) {
        self.linked.remove(&id);
        self.lost(id);
    }

    /// A link that was wanted could not be made.
    pub(super) fn unreachable(&mut self, id: NodeId) {
        if self.linked.contains(&id) {
            return;
        }
        let until = self.now.after(limits::UNREACHED_FOR);
        let Some(node) = self.nodes.get_mut(id) else { return };
        node.avoided = until;
        self.doubt(id);
        self.show(id, false);
        self.choose_soon();
        let avoided = |id: &NodeId| self.nodes.get(*id).is_none_or(|node| self.now < node.avoided);
        if self.wanted.iter().all(avoided) {
            self.cut_off();
        }
    }

    /// The choice of neighbours changed.
    pub(super) fn watch_wanted(&mut self, before: &BTreeSet<NodeId>) {
        let (new, old): (Vec<NodeId>, Vec<NodeId>) =
            (self.wanted.difference(before).copied().collect(), before.difference(&self.wanted).copied().collect());
        for id in new {
            match self.watches.get_mut(&id) {
                Some(watch) => watch.mine = true,
                None if self.linked.contains(&id) => self.begin_watch(id, true),
                None => {}
            }
        }
        for id in old {
            let Some(watch) = self.watches.get_mut(&id) else { continue };
            watch.mine = false;
            if !watch.live {
                self.watches.remove(&id);
                self.show(id, false);
            }
        }
    }

    /// Watches a neighbour from now on, and tells it everything.
    fn begin_watch(&mut self, id: NodeId, mine: bool) {
        let away = self.nodes.get(id).map_or(Micros(0), |node| node.away);
        self.watches.insert(id, Watch::new(mine, away, self.now));
        self.be_alone(false);
        self.tell_all(id);
        // Whoever chose the other must say so, for the other may not know.
        if mine || self.calls(id) {
            self.call(id);
        }
    }

    /// One of the two ends calls, the other answers: so the acknowledgement of a call travels with the answer.
    fn calls(&self, id: NodeId) -> bool {
        self.me < id
    }

    fn call(&mut self, id: NodeId) {
        let (heads, words) = (self.heads, self.words_between(id));
        let Some(watch) = self.watches.get_mut(&id) else { return };
        watch.sent = watch.sent.wrapping_add(1).max(1);
        let pulse = Pulse { number: watch.sent, echo: watch.number, watches: watch.mine, heads, words };
        self.say(id, PeerMessage::Pulse(pulse));
    }

    /// Calls those who are to be called, once a second.
    pub(super) fn pulse(&mut self) {
        if self.now < self.pulse_at {
            return;
        }
        self.pulse_at = self.now.after(limits::PULSE);
        let idle = |watch: &Watch| !watch.mine && !watch.theirs;
        let over: Vec<NodeId> = self.watches.iter().filter(|(_, w)| idle(w)).map(|(id, _)| *id).collect();
        for id in over {
            self.watches.remove(&id);
            self.show(id, false);
        }
        let called: Vec<NodeId> = self.watches.keys().copied().filter(|id| self.calls(*id)).collect();
        for id in called {
            if self.linked.contains(&id) {
                self.call(id);
            }
        }
    }

    pub(super) fn pulsed(&mut self, from: NodeId, pulse: Pulse) {
        if !self.linked.contains(&from) || self.nodes.get(from).is_none() {
            return;
        }
        if !self.watches.contains_key(&from) {
            if !pulse.watches && !self.wanted.contains(&from) {
                // The last word of one that watched: it may still want to hear that nobody does here either.
                if !self.calls(from) {
                    let answer = Pulse { number: 1, echo: pulse.number, watches: false, heads: self.heads, words: 0 };
                    self.say(from, PeerMessage::Pulse(answer));
                }
                return;
            }
            self.begin_watch(from, self.wanted.contains(&from));
        }
        let (now, words) = (self.now, self.words_between(from));
        let Some(watch) = self.watches.get_mut(&from) else { return };
        watch.theirs = pulse.watches;
        watch.number = pulse.number;
        watch.pulsed(now);
        if pulse.echo != watch.echo {
            watch.echo = pulse.echo;
            watch.echoed = now;
        }
        watch.apart = if pulse.words == words { 0 } else { watch.apart + 1 };
        let apart = watch.apart >= limits::WORDS_APART;
        if apart {
            watch.apart = 0;
        }
        self.revive(from);
        if apart {
            // A link that ended took something with it.
            self.tell_all(from);
        }
        if !self.calls(from) {
            self.call(from);
        }
    }

    /// Anything that comes over a link is a sign of life of the other end, though not that it hears us.
    pub(super) fn heard_directly(&mut self, from: NodeId) {
        let now = self.now;
        if let Some(watch) = self.watches.get_mut(&from) {
            watch.heard = now;
        }
    }

    /// How far a neighbour is was measured.
    pub(super) fn measured(&mut self, id: NodeId, rtt: Micros) {
        let now = self.now;
        let watch = self.watches.get_mut(&id);
        if watch.as_ref().is_some_and(|watch| !watch.live || (now < watch.settles && watch.away < rtt)) {
            return;
        }
        if let Some(watch) = watch {
            watch.away = rtt;
        }
        if let Some(node) = self.nodes.get_mut(id) {
            node.away = rtt;
        }
    }

    /// Both hear each other again.
    fn revive(&mut self, id: NodeId) {
        let now = self.now;
        let Some(watch) = self.watches.get_mut(&id) else { return };
        let fresh = |at: Timestamp| now.since(at) <= watch.patience();
        if watch.live || !fresh(watch.heard) || !fresh(watch.echoed) {
            return;
        }
        watch.live = true;
        watch.stood_still(now);
        let told = std::mem::take(&mut watch.told);
        self.be_alone(false);
        let me = self.me;
        if let Some(node) = self.nodes.get_mut(id) {
            node.doubts.retain(|by| *by != me);
        }
        if !told {
            // While it was not heard, words may have been lost on the way.
            self.tell_all(id);
        }
        self.show(id, false);
    }

    /// This node stood still: nobody is to blame for what it did not hear.
    pub(super) fn excuse_all(&mut self) {
        for watch in self.watches.values_mut().filter(|watch| watch.live) {
            (watch.heard, watch.echoed, watch.pulsed) = (self.now, self.now, self.now);
            watch.stood_still(self.now);
        }
    }

    pub(super) fn look_at_watches(&mut self) {
        let late = |watch: &Watch| watch.deadline().is_some_and(|at| at <= self.now);
        let late: Vec<NodeId> = self.watches.iter().filter(|(_, watch)| late(watch)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.lost(id));
    }

    /// A neighbour is not heard, or does not hear.
    fn lost(&mut self, id: NodeId) {
        let Some(watch) = self.watches.get_mut(&id).filter(|watch| watch.live) else { return };
        (watch.live, watch.told) = (false, false);
        if watch.mine {
            self.doubt(id);
        } else {
            // Whoever only watched this node is somebody else's to judge.
            self.watches.remove(&id);
        }
        self.show(id, false);
        self.choose_soon();
        self.cut_off();
    }

    /// Whoever hears nobody at all is alone: nobody can be reached, and who is there is for others to say. A gateway that
    /// hears nobody of any other site doubts all of those.
    fn cut_off(&mut self) {
        if self.hears_nobody() {
            return self.be_alone(true);
        }
        if !self.gateway || self.hears_far(self.me) {
            return;
        }
        let far = |node: &Node| node.is_there() && node.places().site != self.places.site;
        let far: Vec<NodeId> = self.nodes.all().filter(|(_, node)| far(node)).map(|(id, _)| id).collect();
        far.into_iter().for_each(|id| self.doubt(id));
    }

    pub(super) fn hears_nobody(&self) -> bool {
        !self.watches.values().any(|watch| watch.live)
    }

    fn be_alone(&mut self, alone: bool) {
        if std::mem::replace(&mut self.alone, alone) != alone {
            for id in self.nodes.all().map(|(id, _)| id).collect::<Vec<_>>() {
                self.show(id, false);
            }
        }
    }

    /// A spokesman of another site will count as gone. If all do, the site will, unless somebody of it says otherwise.
    fn doubt_site(&mut self, site: u64) {
        let there = |(_, node): &(NodeId, &Node)| node.is_there();
        let stands = self.spokesmen(site).filter(there).any(|(_, node)| node.condemned.is_none());
        if !self.gateway || site == self.places.site || stands {
            return;
        }
        let there: Vec<NodeId> = self.nodes.of_site(site).filter(there).map(|(id, _)| id).collect();
        there.into_iter().for_each(|id| self.doubt(id));
    }

    /// This node does not hear a member: all others are told.
    pub(super) fn doubt(&mut self, id: NodeId) {
        let (now, me) = (self.now, self.me);
        let Some(node) = self.nodes.get_mut(id).filter(|node| node.is_there()) else { return };
        let again = node.doubted.is_some_and(|at| now.since(at) < limits::DOUBT_AGAIN);
        if node.doubts.contains(&me) || again {
            return;
        }
        node.doubted = Some(now);
        let version = node.version();
        self.doubt_by(me, id, version, me);
    }

    /// Somebody does not hear a member.
    pub(super) fn doubt_by(&mut self, teller: NodeId, id: NodeId, (incarnation, sequence): (u64, u64), by: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        let known = !node.is_there() || node.version() != (incarnation, sequence);
        if known || node.doubts.contains(&by) || node.doubts.len() >= limits::DOUBTS_MAX {
            return;
        }
        node.doubts.push(by);
        self.doubted.insert(id);
        self.spread(teller, id, Rumour::Doubt { node: id, incarnation, sequence, by });
    }

    /// How many must doubt a member: two, or as many as there are to watch it.
    fn needed(&self, id: NodeId) -> usize {
        let Some(site) = self.nodes.get(id).map(|node| node.places().site) else { return usize::MAX };
        if site != self.places.site {
            return limits::DOUBTS;
        }
        let watchful = |(other, node): &(NodeId, &Node)| *other != id && node.is_there() && node.doubts.is_empty();
        let near = 1 + self.nodes.of_site(site).filter(watchful).take(limits::DOUBTS).count();
        let far = usize::from(self.hears_far(id) && self.is_spokesman(id));
        (near + far).min(limits::DOUBTS)
    }

    fn hears_far(&self, but: NodeId) -> bool {
        let far = |id: &NodeId| self.nodes.get(*id).is_some_and(|node| node.places().site != self.places.site);
        self.watches.iter().any(|(id, watch)| watch.live && *id != but && far(id))
    }

    /// When a member that is doubted enough will count as gone.
    fn sentence_at(&self, id: NodeId) -> Option<Timestamp> {
        let since = self.nodes.get(id)?.condemned?;
        let there = self.nodes.there();
        let recent = self.fallen.iter().filter(|at| self.now.since(**at) <= limits::FALLEN_IN).count();
        let many = recent > limits::FALLEN_MIN.max(there * limits::FALLEN_PERCENT / 100);
        let grace = if many { limits::DOUBT_FOR.0 * 2 } else { limits::DOUBT_FOR.0 };
        Some(since.after(Micros(grace)))
    }

    /// Whatever was heard may change who is to be judged how; when a site is lost, much is heard of many within a second.
    pub(super) fn judge_if_due(&mut self) {
        // Whoever is alone has nothing to go by.
        if self.doubted.is_empty() || self.hears_nobody() {
            self.judge_at = None;
            return;
        }
        let soonest = self.judged.after(limits::JUDGE_GAP).max(self.now);
        let at = self.judge_at.map_or(soonest, |at| at.min(soonest));
        if at > self.now {
            self.judge_at = Some(at);
            return;
        }
        self.judge();
        self.judged = self.now;
        self.judge_at = self.doubted.iter().filter_map(|id| self.sentence_at(*id)).min();
    }

    fn judge(&mut self) {
        let doubted: Vec<NodeId> = self.doubted.iter().copied().collect();
        for id in doubted {
            let needed = self.needed(id);
            let now = self.now;
            let Some(node) = self.nodes.get_mut(id).filter(|node| !node.doubts.is_empty()) else {
                self.doubted.remove(&id);
                if let Some(node) = self.nodes.get_mut(id) {
                    node.condemned = None;
                }
                continue;
            };
            if node.doubts.len() < needed {
                node.condemned = None;
                continue;
            }
            if node.condemned.replace(node.condemned.unwrap_or(now)).is_none() {
                let site = node.places().site;
                if self.is_spokesman(id) {
                    self.doubt_site(site);
                }
            }
            if self.sentence_at(id).is_some_and(|at| at <= now) {
                let version = self.nodes.get(id).map_or((0, 0), |node| node.version());
                self.gone(self.me, id, version);
            }
        }
    }
}
