//! How well it is known where members stand: what certificates state, and what round trips show.
//!
//! Light in fibre goes about 100 km there and back in a millisecond, and an answer can be late, never early: a short round
//! trip to a machine that is known to stand in a country shows that a machine is not far from there. Anchors of a member are
//! other members of its country that are vouched for; each signs what it measured, and each node judges by itself.
//!
//! What must stay true:
//! - A member is near (assurance 2) only by two anchors or more, by samples that are fresh and of its present start. What its
//!   own key signs says nothing of itself.
//! - A longer round trip never makes anybody nearer.
//! - If two anchors or more say that a key answers from much farther than before, it is not near, whoever else says so. One
//!   alone may have moved itself, or lie. The warning of it outlives their samples: whoever holds the key may be silent. What
//!   was measured before it, or while it held, makes the member near no more: that takes anchors which measured later.
//! - A certificate that is older than the policy wants supports nothing, and whom it is for is no anchor either.
//! - What ends evidence (time, a certificate, a new start, a policy) is looked at as it comes, and work under way is judged
//!   anew.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::fact::{Counterpart, Fact};
use hither_types::id::NodeId;
use hither_types::incarnation::started_anew;
use hither_types::member::{Member, Outdated};
use hither_types::near::{Anchored, Evidence, Move, NearSample, Warned, Weight, bound_km};
use hither_types::place::{Assurance, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::{Hours, Micros};

use crate::limits;
use crate::machine::Core;

#[cfg(test)]
mod tests;

/// What certificates state, and what members measured.
#[derive(Debug)]
pub(crate) struct Distances {
    /// The longest round trip that counts as near.
    limit: Micros,
    /// What certificates state of members, this node included.
    vouched: BTreeMap<NodeId, Assurance>,
    /// The last sample of each anchor, by the member that it is about.
    samples: BTreeMap<NodeId, BTreeMap<NodeId, NearSample>>,
    /// Whom each anchor's last report was about.
    reports: BTreeMap<NodeId, Vec<NodeId>>,
    /// Members that were found to have moved.
    moved: BTreeMap<NodeId, Move>,
}

impl Distances {
    pub(crate) fn new(limit: Micros, me: &Member) -> Self {
        Self {
            limit,
            vouched: BTreeMap::from([(me.node, me.assurance)]),
            samples: BTreeMap::new(),
            reports: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    /// Whether a certificate says where a node stands.
    fn is_vouched(&self, node: NodeId) -> bool {
        self.vouched.get(&node).is_some_and(|vouched| *vouched >= Assurance::Vouched)
    }

    /// Takes a report in the place of the one before; gives whom either is about.
    fn take(&mut self, by: NodeId, mut samples: Vec<NearSample>) -> BTreeSet<NodeId> {
        samples.truncate(limits::NEAR_SAMPLES_MAX);
        let before = self.reports.insert(by, samples.iter().map(|sample| sample.node).collect()).unwrap_or_default();
        for node in &before {
            self.drop_sample(*node, by);
        }
        for sample in &samples {
            self.samples.entry(sample.node).or_default().insert(by, *sample);
        }
        before.into_iter().chain(samples.iter().map(|sample| sample.node)).collect()
    }

    fn drop_sample(&mut self, node: NodeId, by: NodeId) {
        if let Some(of_node) = self.samples.get_mut(&node) {
            of_node.remove(&by);
            if of_node.is_empty() {
                self.samples.remove(&node);
            }
        }
    }
}

/// Whether two anchors or more say one thing: one alone may be wrong, or lie.
fn agreed(weights: &[Weight], weight: Weight) -> bool {
    weights.iter().filter(|one| **one == weight).count() >= limits::NEAR_ANCHORS_LEAST
}

/// Where an anchor stands among those who may measure a member: those with the smallest draws do. The same everywhere.
fn draw(anchor: NodeId, node: NodeId) -> u64 {
    // The end of MurmurHash3: keys are spread evenly already, and only pairs of them have to be.
    let mut mixed = anchor.prefix() ^ node.prefix().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

impl Core {
    /// A member, or this node itself, says how far others are.
    pub(crate) fn near_told(&mut self, by: NodeId, samples: Vec<NearSample>) {
        // Servers outside the mesh have no certificate, and measure nothing.
        if !self.distances.vouched.contains_key(&by) {
            return;
        }
        let measured = self.distances.take(by, samples);
        self.assure_each(measured);
    }

    /// The members that this node measures now, each with its start: those of its country that are there and whose draw
    /// falls on it, so that each member is measured by a few, and everybody measures about as many.
    pub fn to_measure(&self) -> Vec<(NodeId, u64)> {
        let here = self.me.jurisdiction;
        if here.is_unknown() || !self.distances.is_vouched(self.me.node) {
            return Vec::new();
        }
        let there: Vec<_> = self
            .peers
            .iter()
            .filter(|peer| {
                peer.member.jurisdiction.country() == here.country() && self.peers.is_present(peer, self.now)
            })
            .filter(|peer| self.distances.vouched.contains_key(&peer.member.node))
            .filter_map(|peer| Some((peer.member.node, peer.presence()?.incarnation)))
            .collect();
        let falls_here = |node: NodeId| {
            let own = draw(self.me.node, node);
            let before = there.iter().filter(|(other, _)| *other != node && draw(*other, node) < own);
            before.take(limits::NEAR_ANCHORS).count() < limits::NEAR_ANCHORS
        };
        let mine = there.iter().copied().filter(|(node, _)| falls_here(*node));
        mine.take(limits::NEAR_SAMPLES_MAX).collect()
    }

    /// A member as its certificate states it, with the assurance that is its due.
    pub(crate) fn assured(&mut self, member: Member) -> Member {
        let node = member.node;
        let known = node == self.me.node || self.peers.get(node).is_some();
        // One beyond those that there is room for is not taken in.
        if !known && self.peers.len() >= limits::MEMBERS_MAX {
            return member;
        }
        self.distances.vouched.insert(node, member.assurance);
        Member { assurance: self.due(&member), ..member }
    }

    /// Looks anew at how well it is known where a member stands.
    pub(crate) fn assure(&mut self, node: NodeId) {
        self.assure_each([node]);
    }

    /// The same for some members. What the law was asked about may not be so any more; it is asked once, whatever changed.
    fn assure_each(&mut self, nodes: impl IntoIterator<Item = NodeId>) {
        let mut changed = false;
        for node in nodes {
            changed |= self.assure_one(node);
        }
        if changed {
            self.circles.clear();
            self.judge_all_anew();
        }
    }

    /// Gives whether it is known better or worse than it was where a member stands.
    fn assure_one(&mut self, node: NodeId) -> bool {
        let Some(member) = self.certified(node).cloned() else { return false };
        let assurance = self.due(&member);
        let changed = if node == self.me.node {
            std::mem::replace(&mut self.me.assurance, assurance) != assurance
        } else {
            self.peers.assure(node, assurance)
        };
        self.note_move(&Member { assurance, ..member });
        changed
    }

    /// The same for all that somebody measured: samples grow old; and for all of whom the policy wants new certificates.
    pub(crate) fn assure_all(&mut self) {
        let mut nodes: Vec<NodeId> = self.distances.samples.keys().copied().collect();
        if self.law.policy().certified_within.is_some() {
            nodes.extend(self.turned());
        }
        self.assure_each(nodes);
    }

    /// The same after the policy changed, if it says, or said, how new certificates have to be.
    pub(crate) fn assure_by_policy(&mut self, before: Option<Hours>) {
        if self.law.policy().certified_within != before {
            let measured = self.distances.samples.keys().copied();
            let nodes: Vec<NodeId> = measured.chain(self.turned()).collect();
            self.assure_each(nodes);
        }
    }

    /// Whose certificate may have become too old, or is so no more: nobody but the claimed should have an old one, and a
    /// claimed one with a new one may be due more. There may be many, so that only these are judged.
    fn turned(&self) -> impl Iterator<Item = NodeId> {
        let members = self.peers.iter().map(|peer| &peer.member).chain([&self.me]);
        let turned =
            members.filter(|member| (member.assurance == Assurance::Claimed) != self.outdated(member).is_some());
        turned.map(|member| member.node)
    }

    /// What is wrong with the age of a member's certificate, if it is older than the policy wants. Nothing is old before
    /// somebody told what time it is.
    fn outdated(&self, member: &Member) -> Option<Outdated> {
        member.outdated(self.law.policy().certified_within, WallTime(self.calendar.wall(self.now)?))
    }

    /// The same for all that a member measured: who it is changed.
    pub(crate) fn assure_measured_by(&mut self, anchor: NodeId) {
        let measured = self.distances.reports.get(&anchor).cloned().unwrap_or_default();
        self.assure_each(measured);
    }

    /// Somebody does not belong any more: what it measured counts no more.
    pub(crate) fn forget_distances(&mut self, node: NodeId) {
        self.distances.vouched.remove(&node);
        let measured = self.distances.take(node, Vec::new());
        self.distances.reports.remove(&node);
        self.distances.moved.remove(&node);
        self.assure_each(measured);
    }

    /// A member with a certificate, or this node.
    fn certified(&self, node: NodeId) -> Option<&Member> {
        if !self.distances.vouched.contains_key(&node) {
            return None;
        }
        if node == self.me.node { Some(&self.me) } else { self.peers.get(node).map(|peer| &peer.member) }
    }

    /// The assurance of a member: near by two anchors, else what its certificate states, unless that is too old to be believed.
    fn due(&self, member: &Member) -> Assurance {
        if self.outdated(member).is_some() {
            return Assurance::Claimed;
        }
        let vouched = self.distances.vouched.get(&member.node).copied().unwrap_or(Assurance::Claimed);
        let weights: Vec<Weight> = self.weighed(member).map(|(_, _, weight)| weight).collect();
        if agreed(&weights, Weight::Moved) {
            return vouched.min(Assurance::Vouched);
        }
        match vouched >= Assurance::Vouched && agreed(&weights, Weight::Near) {
            true => vouched.max(Assurance::Near),
            false => vouched,
        }
    }

    /// Every sample of a member, with its anchor and what it weighs.
    fn weighed<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = (NodeId, &'a NearSample, Weight)> {
        let samples = self.distances.samples.get(&member.node).into_iter().flatten();
        samples.map(|(anchor, sample)| (*anchor, sample, self.weigh(member, *anchor, sample)))
    }

    fn weigh(&self, member: &Member, anchor: NodeId, sample: &NearSample) -> Weight {
        let Some(of) = self.certified(anchor).filter(|of| of.node != member.node) else { return Weight::NoAnchor };
        let (here, there) = (of.jurisdiction.country(), member.jurisdiction.country());
        let is_vouched = self.distances.is_vouched(anchor) && self.outdated(of).is_none();
        if here != there || there.is_unknown() || !is_vouched {
            return Weight::NoAnchor;
        }
        if self.age(sample).is_none_or(|age| age > limits::NEAR_FOR) {
            return Weight::Old;
        }
        // That it moved is so of whatever start comes next, until the anchor says otherwise. Whoever answers sooner than before
        // has not gone away.
        if sample.before.is_some_and(|before| sample.rtt > before) {
            return Weight::Moved;
        }
        if self.distances.moved.get(&member.node).is_some_and(|known| sample.at <= known.at) {
            return Weight::Old;
        }
        let known = match member.node == self.me.node {
            true => self.incarnation,
            false => self.peers.get(member.node).and_then(|peer| peer.presence()).map_or(0, |said| said.incarnation),
        };
        if started_anew(sample.incarnation, known) {
            return Weight::Old;
        }
        if sample.rtt <= self.distances.limit { Weight::Near } else { Weight::Far }
    }

    /// How old a sample is; nothing if it is from the future by more than clocks differ, or nobody told what time it is.
    fn age(&self, sample: &NearSample) -> Option<Micros> {
        let wall = self.calendar.wall(self.now)?;
        (sample.at.0 <= wall.saturating_add(limits::NEAR_AHEAD_MS))
            .then(|| Micros::from_millis(wall.saturating_sub(sample.at.0)))
    }

    /// Two anchors or more found that a member moved: that is on the record once a day at most, and warned of until anchors
    /// find it where it stays.
    fn note_move(&mut self, member: &Member) {
        let moved: Vec<(NodeId, NearSample)> = self
            .weighed(member)
            .filter(|(.., weight)| *weight == Weight::Moved)
            .map(|(anchor, sample, _)| (anchor, *sample))
            .collect();
        if moved.len() < limits::NEAR_ANCHORS_LEAST {
            return self.end_move(member);
        }
        let nearest = moved.iter().min_by_key(|(_, sample)| sample.rtt);
        let Some((by, NearSample { rtt, before: Some(before), .. })) = nearest.copied() else { return };
        // A record takes no larger numbers, and would be lost with all that are written together with it.
        let (rtt, before) = (rtt.min(limits::NEAR_RTT_MAX), before.min(limits::NEAR_RTT_MAX));
        let Some(now) = self.calendar.wall(self.now).map(WallTime) else { return };
        let known = self.distances.moved.get(&member.node);
        // Who measured last may have taken it back since.
        let earlier = known.map(|known| known.at);
        let at = moved.iter().map(|(_, sample)| sample.at).chain(earlier).max().unwrap_or_default();
        let again = known.map(|known| known.noted).filter(|noted| now.since(*noted) <= limits::NEAR_WARNED);
        let warned = Some(Warned { last: now, rtt, before });
        self.distances.moved.insert(member.node, Move { noted: again.unwrap_or(now), at, warned });
        if again.is_none() {
            self.note(Fact::Moved { member: Counterpart::of(member, PlaceKind::Peer), by, rtt, before });
        }
    }

    /// A move is over if anchors measured since then that the member is where it was, or that it stays where it is. That they
    /// say nothing of it does not end it.
    fn end_move(&mut self, member: &Member) {
        if self.distances.moved.get(&member.node).is_none_or(|known| known.warned.is_none()) {
            return;
        }
        // What is no newer than the move is old.
        let settled = |weight: Weight| matches!(weight, Weight::Near | Weight::Far);
        let since = self.weighed(member).filter(|(.., weight)| settled(*weight)).count();
        if since >= limits::NEAR_ANCHORS_LEAST
            && let Some(known) = self.distances.moved.get_mut(&member.node)
        {
            known.warned = None;
        }
    }

    /// Members whose keys moved, for the start after this one.
    pub fn moves(&self) -> &BTreeMap<NodeId, Move> {
        &self.distances.moved
    }

    /// What was known of that before this start. Who is no member any more is forgotten.
    pub(crate) fn moved_before(&mut self, moves: BTreeMap<NodeId, Move>) {
        let moves: Vec<_> = moves.into_iter().filter(|(node, _)| self.certified(*node).is_some()).collect();
        for (node, known) in &moves {
            self.distances.moved.entry(*node).or_insert(*known);
        }
        self.assure_each(moves.into_iter().map(|(node, _)| node));
    }

    /// What the assurance of a member rests on.
    pub(crate) fn evidence(&self, node: NodeId) -> Option<Evidence> {
        let member = self.certified(node)?;
        let samples = self.weighed(member).map(|(anchor, sample, weight)| Anchored {
            anchor,
            site: self.certified(anchor).map(|anchor| anchor.site.clone()),
            rtt: sample.rtt,
            before: sample.before,
            age: self.age(sample),
            weight,
        });
        let vouched = self.distances.vouched.get(&node).copied()?;
        // Certificates are the driver's.
        let outdated = self.outdated(member);
        Some(Evidence { vouched, by: None, outdated, limit: self.distances.limit, samples: samples.collect() })
    }

    /// What is known of where a member stands beside its certificate, in a few words.
    pub(crate) fn in_words(&self, member: &Member) -> String {
        if let Some(outdated) = self.outdated(member) {
            return format!("{outdated}: an issuer has to reach it");
        }
        let weights: Vec<Weight> = self.weighed(member).map(|(.., weight)| weight).collect();
        if agreed(&weights, Weight::Moved) {
            return "it answers from much farther than before".to_owned();
        }
        let (least, limit) = (limits::NEAR_ANCHORS_LEAST, self.distances.limit.millis());
        let count = weights.iter().filter(|weight| **weight == Weight::Near).count();
        let country = member.jurisdiction.country();
        let (moved, since) = match self.distances.moved.get(&member.node).is_some_and(|known| known.warned.is_some()) {
            true => ("it answered from much farther than before; ", " since"),
            false => ("", ""),
        };
        format!(
            "{moved}members in {country} that measured it within {limit} ms{since}: {count}, where 2 (near) takes {least}"
        )
    }

    /// A sentence for the operator if the certificate of this node is too old for its own policy.
    pub(crate) fn outdated_warning(&self) -> Option<String> {
        let outdated = self.outdated(&self.me)?;
        Some(format!(
            "certificate-old: {outdated}; so this node counts as claimed (assurance 0), and others whose policy wants the same \
             do not send it what needs more. The founder or an issuer that reaches it makes it anew by itself if its own \
             policy says certified_within_hours: hither authority names them, hither status shows who is there"
        ))
    }

    /// A sentence for each member whose key is used elsewhere than before.
    pub(crate) fn moved_warnings(&self) -> Vec<String> {
        let warning = |(node, known): (&NodeId, &Move)| {
            let member = self.certified(*node)?;
            let Warned { last, rtt, before, .. } = known.warned?;
            if self.calendar.wall(self.now).is_none_or(|now| WallTime(now).since(last) > limits::NEAR_WARNED) {
                return None;
            }
            let (key, site, place) = (node.short(), &member.site, member.jurisdiction);
            let (now, before) = (rtt.millis(), before.millis());
            Some(format!(
                "member-moved: {site} ({place}, {key}) answers from much farther than before: {now:.1} ms at least to the \
                 nearest of those in its country that measured it, where it was {before:.1} ms; that can be as far as {} km. \
                 Its key may be stolen and in use there; or its machine or its line was moved. Nothing goes there that needs \
                 assurance 2. If nobody moved it: hither member revoke {key}",
                bound_km(rtt)
            ))
        };
        self.distances.moved.iter().filter_map(warning).collect()
    }
}
