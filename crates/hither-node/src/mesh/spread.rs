//! How what members know reaches all of them: news at once from neighbour to neighbour, and everything to a neighbour whose
//! pulse says that it knows something else.

use std::collections::{BTreeMap, VecDeque};

use hither_core::Event;
use hither_core::membership::{Deed, Sign};
use hither_types::id::NodeId;
use hither_types::member::{Member, MemberRecord, Signed};
use hither_types::message::{PeerMessage, Pulse};
use hither_types::place::Assurance;
use hither_wire::entry_version;
use hither_wire::versions::{WITH_EXPIRY, WITH_POLICIES};
use tokio::time::Instant;

use crate::driver::Driver;
use crate::limits::{APART_FOR, HEADS_FOR, PASSED_ON_MAX, TELL_AGAIN};
use crate::trust::wall_now;

/// Hashes of the certificates, the catalog, the authority log and the rollouts.
#[derive(Clone, Copy)]
struct Heads {
    /// Of all.
    all: u64,
    /// Without the entries of the authority log that programs of earlier releases do not read: with them, they and this node
    /// would seem to know different things for ever, and tell each other everything again and again.
    before_policies: u64,
    /// Nor with the entries of the catalog that still earlier ones do not read, and rollouts, which they do not count.
    before_expiry: u64,
}

impl Heads {
    /// What a program of a version of the protocol compares.
    fn read_by(self, version: u16) -> u64 {
        match version {
            ..WITH_EXPIRY => self.before_expiry,
            WITH_EXPIRY..WITH_POLICIES => self.before_policies,
            WITH_POLICIES.. => self.all,
        }
    }
}

/// What went to and fro between neighbours about what they know.
#[derive(Default)]
pub(super) struct Abreast {
    /// The hashes of what this node knows, and when they were made.
    heads: Option<(Heads, Instant)>,
    /// How many pulses of a neighbour in a row said that it knows something else, and when it was told everything.
    apart: BTreeMap<NodeId, (u32, Option<Instant>)>,
    /// Records of each member that were passed on: each only once, or they would go round for ever.
    passed_on: BTreeMap<NodeId, VecDeque<u64>>,
}

impl Driver {
    /// Gives the membership a sign, and carries out what it wants.
    pub(crate) fn sign(&mut self, sign: Sign) {
        let now = self.clock.now();
        let deeds: Vec<Deed> = self.membership.handle(sign, now).collect();
        for deed in deeds {
            match deed {
                Deed::Keep(nodes) => self.swarm.keep(nodes),
                Deed::Say { to, message: PeerMessage::Pulse(pulse) } => {
                    let heads = self.heads().read_by(self.swarm.speaks(to));
                    self.swarm.send(to, PeerMessage::Pulse(Pulse { heads, ..pulse }));
                }
                Deed::Say { to, message } => self.swarm.send(to, message),
                Deed::There { node, presence } => self.feed(Event::There { node, presence }),
                Deed::Silent(node) => self.feed(Event::Silent(node)),
            }
        }
    }

    /// Somebody belongs, or its certificate changed.
    pub(crate) fn member_added(&mut self, mut member: Member) {
        self.sign(Sign::Added { node: member.node, site: member.site.clone() });
        // Nobody can vouch for what has to be measured.
        member.assurance = member.assurance.min(Assurance::Vouched);
        self.feed(Event::MemberAdded(member));
    }

    /// Somebody does not belong any more.
    pub(super) fn member_removed(&mut self, node: NodeId) {
        self.mesh.abreast.apart.remove(&node);
        self.mesh.abreast.passed_on.remove(&node);
        self.sign(Sign::Removed(node));
        self.feed(Event::MemberRemoved(node));
    }

    /// A connection to a member is up.
    pub(crate) fn link_up(&mut self, peer: NodeId) {
        self.mesh.linked.insert(peer);
        self.mesh.abreast.apart.remove(&peer);
        self.swarm.send(peer, PeerMessage::Start(self.twins.mine(wall_now())));
        // It may stand at another address than before.
        self.swarm.send(peer, PeerMessage::Members(vec![self.own_record()]));
        self.tell_rollouts(peer);
        self.tell_distances(peer);
        self.sign(Sign::LinkUp(peer));
    }

    pub(crate) fn link_down(&mut self, peer: NodeId) {
        self.mesh.linked.remove(&peer);
        self.sign(Sign::LinkDown(peer));
    }

    /// A neighbour could not be reached: it may not know this node yet, or not where it is.
    pub(crate) fn unreachable(&mut self, peer: NodeId) {
        self.introduce(peer);
        self.sign(Sign::Unreachable(peer));
    }

    /// Every few seconds: tells the mind what time it is, looks at who belongs still, says which start this is, and shows
    /// itself to neighbours that it does not reach.
    pub(crate) fn look_around(&mut self) {
        self.feed(Event::TimeOfDay(wall_now()));
        self.look_at_standing();
        self.mesh.changed |= self.mesh.stale;
        self.look_at_changed();
        if self.policy.certified_within.is_some() {
            // The certificate of whoever runs one may have grown old.
            self.look_at_relays();
        }
        self.look_at_reach();
        self.seek_witnesses();
        self.follow_published();
        self.look_at_lists();
        self.look_at_canary();
        self.measure_distances();
        let mine = PeerMessage::Start(self.twins.mine(wall_now()));
        let neighbours: Vec<NodeId> = self.membership.neighbours().collect();
        for peer in neighbours {
            if self.mesh.linked.contains(&peer) {
                self.swarm.send(peer, mine.clone());
            } else {
                self.introduce(peer);
            }
        }
    }

    /// Tells all neighbours everything: much changed at once.
    pub(crate) fn tell_members(&mut self) {
        self.mesh.abreast.heads = None;
        for peer in self.mesh.linked() {
            self.tell(peer);
        }
        self.spread(None, PeerMessage::Members(vec![self.own_record()]));
    }

    /// Tells all to whom there is a link, but whom it comes from.
    pub(crate) fn spread(&mut self, from: Option<NodeId>, message: PeerMessage) {
        self.mesh.abreast.heads = None;
        for peer in self.mesh.linked() {
            if Some(peer) != from {
                self.swarm.send(peer, message.clone());
            }
        }
    }

    /// A record that comes alone is news, and goes on to all others; a list is what one of them knows.
    pub(super) fn pass_on(&mut self, from: NodeId, records: &[MemberRecord]) {
        let [record] = records else { return };
        let Some(node) = self.node_of(record) else { return };
        let known = record.certificate == self.home.certificate || self.mesh.records.contains_key(&node);
        if !known && self.home.check_member(&record.certificate, wall_now()).is_err() {
            return;
        }
        let bytes = hither_wire::encode_message(&PeerMessage::Members(records.to_vec())).unwrap_or_default();
        let mark = first_eight(&blake3::hash(&bytes));
        let passed_on = self.mesh.abreast.passed_on.entry(node).or_default();
        if passed_on.contains(&mark) {
            return;
        }
        if passed_on.len() >= PASSED_ON_MAX {
            passed_on.pop_front();
        }
        passed_on.push_back(mark);
        self.spread(Some(from), PeerMessage::Members(records.to_vec()));
    }

    /// A neighbour says what it knows: if it is something else for longer than news are on their way, it is told everything.
    pub(super) fn compare(&mut self, from: NodeId, heads: u64) {
        let own = self.heads();
        self.membership.knows(own.all);
        let own = own.read_by(self.swarm.speaks(from));
        let (apart, told) = self.mesh.abreast.apart.entry(from).or_default();
        if heads == own {
            *apart = 0;
            // The next difference is a new one.
            told.get_or_insert_with(Instant::now);
            return;
        }
        *apart += 1;
        let first = told.is_none();
        if first || (*apart >= APART_FOR && told.is_some_and(|told| told.elapsed() > TELL_AGAIN)) {
            *told = Some(Instant::now());
            self.tell(from);
        }
    }

    /// The hashes of what this node knows, in whatever order it came.
    fn heads(&mut self) -> Heads {
        if let Some((heads, made)) = self.mesh.abreast.heads
            && made.elapsed() < HEADS_FOR
        {
            return heads;
        }
        let certificates = self.mesh.records.values().map(|(record, _)| record.certificate.clone());
        let read_by_all = self.home.authority.entries_for(WITH_POLICIES - 1);
        let mut parts: Vec<Signed> =
            certificates.chain(Some(self.home.certificate.clone())).chain(read_by_all).collect();
        let (read, unread): (Vec<_>, Vec<_>) =
            self.told_catalog().into_iter().partition(|entry| entry_version(entry) < WITH_EXPIRY);
        parts.extend(read);
        let before_expiry = hash_of(&mut parts);
        // Words on rollouts are heard with links, and again where somebody refused one before it knew who may say it.
        parts.extend(unread.into_iter().chain(self.told_rollouts()));
        let before_policies = hash_of(&mut parts);
        parts.extend(self.home.authority.entries_since_policies());
        let all = hash_of(&mut parts);
        let heads = Heads { all, before_policies, before_expiry };
        self.mesh.abreast.heads = Some((heads, Instant::now()));
        heads
    }
}

fn hash_of(parts: &mut [Signed]) -> u64 {
    parts.sort_unstable_by_key(|signed| signed.signature);
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|signed| {
        hasher.update(&signed.signature);
    });
    first_eight(&hasher.finalize())
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(first)
}
