//! Who belongs to the mesh, as far as this node knows, and how members hear of one another.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;

use hither_core::Event;
use hither_core::membership::Sign;
use hither_types::fact::{Counterpart, Fact};
use hither_types::id::NodeId;
use hither_types::member::{Address, Member, MemberRecord, Role, Signed};
use hither_types::message::{Hello, HelloReply, PeerMessage};
use hither_types::place::PlaceKind;
use hither_wire::limits::{MAX_ADDRESSES, MAX_MEMBERS as WELCOME_MEMBERS};
use tokio::time::Instant;

use crate::driver::{Driver, Inbound};
use crate::home::Home;
use crate::limits::{CATALOG_MAX, MEMBERS_MAX};
use crate::meetings::Knock;
use crate::trust::{self, Manner, wall_now};

mod admit;
pub(crate) mod join;
mod leave;
pub(crate) mod pages;
mod reach;
mod spread;
pub(crate) mod standing;
mod starts;
#[cfg(test)]
mod tests;

use reach::Reach;
use spread::Abreast;

/// Who says hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    pub(crate) node: NodeId,
    /// The newest version of the protocol that its program speaks.
    pub(crate) speaks: u16,
}

/// The members other than this node, kept on disk so that a node that starts alone knows whom to look for.
pub(crate) struct Mesh {
    path: PathBuf,
    records: BTreeMap<NodeId, (MemberRecord, Member)>,
    linked: BTreeSet<NodeId>,
    introducing: BTreeSet<NodeId>,
    /// What went to and fro between neighbours about what they know.
    abreast: Abreast,
    /// When an issuer was asked last to make this node's certificate anew.
    asked: Option<Instant>,
    /// Whether a record changed since the relays were looked at.
    changed: bool,
    /// Whether a certificate did, and nothing else.
    stale: bool,
    /// What is known of relays beside the records.
    pub(crate) reach: Reach,
}

impl Mesh {
    pub(crate) fn open(path: PathBuf, home: &Home) -> Self {
        let mut mesh = Self {
            path,
            records: BTreeMap::new(),
            linked: BTreeSet::new(),
            introducing: BTreeSet::new(),
            abreast: Abreast::default(),
            asked: None,
            changed: true,
            stale: false,
            reach: Reach::default(),
        };
        let pages = crate::home::read_messages(&mesh.path).unwrap_or_else(|error| {
            tracing::warn!(path = %mesh.path.display(), error, "the list of members is damaged; peers tell it anew");
            Vec::new()
        });
        let records = pages.into_iter().flat_map(|page| match page {
            PeerMessage::Members(records) => records,
            _ => Vec::new(),
        });
        for record in records {
            match home.check_member(&record.certificate, wall_now()) {
                Ok(member) if member.node != home.me.node => {
                    mesh.records.insert(member.node, (record, member));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a member on disk is not believed any more"),
            }
        }
        mesh
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        self.records.values().map(|(_, member)| member.clone()).collect()
    }

    pub(crate) fn member(&self, node: NodeId) -> Option<Member> {
        self.records.get(&node).map(|(_, member)| member.clone())
    }

    /// Who signed the certificate of a member.
    pub(crate) fn certifier(&self, node: NodeId) -> Option<NodeId> {
        self.records.get(&node).map(|(record, _)| record.certificate.signer)
    }

    /// Whether a node, this one or another member, may publish.
    pub(crate) fn publishes(&self, node: NodeId, me: &Member) -> bool {
        let member = if node == me.node { Some(me) } else { self.records.get(&node).map(|(_, member)| member) };
        member.is_some_and(|member| member.roles.has(Role::Publish))
    }

    pub(crate) fn is_linked(&self, node: NodeId) -> bool {
        self.linked.contains(&node)
    }

    pub(crate) fn records(&self) -> Vec<MemberRecord> {
        self.records.values().map(|(record, _)| record.clone()).collect()
    }

    pub(crate) fn linked(&self) -> Vec<NodeId> {
        self.linked.iter().copied().collect()
    }

    /// The member of a certificate that was checked before and still holds. Everybody tells of everybody every few
    /// seconds: to check each signature each time was most of the loop's work in a mesh of dozens.
    fn vouched(&self, certificate: &Signed) -> Option<Member> {
        let said = hither_wire::decode_member(&certificate.bytes).ok()?;
        let (record, member) = self.records.get(&said.node)?;
        // One that ended meanwhile is looked at by whoever looks at all of them.
        (record.certificate == *certificate).then(|| member.clone())
    }

    /// Whether there is room for one more than are known.
    pub(crate) fn is_full(&self) -> bool {
        self.records.len() >= MEMBERS_MAX
    }

    /// Takes a record in. Says whether the member is new. The list is written when all that came with it was taken in.
    fn put(&mut self, record: MemberRecord, member: Member) -> bool {
        let old = self.records.get(&member.node);
        let new = old.is_none();
        if old.is_some_and(|(old, _)| *old == record) {
            return false;
        }
        // Newer certificates come often, and all get each: the list is written with the next look. One of another signer is written at
        // once: the one before may be believed no more.
        let only_newer = old.is_some_and(|(old, _)| {
            old.addresses == record.addresses && old.certificate.signer == record.certificate.signer
        });
        self.records.insert(member.node, (record, member));
        *(if only_newer { &mut self.stale } else { &mut self.changed }) = true;
        new
    }

    /// Forgets a member.
    fn remove(&mut self, node: NodeId) -> Option<Member> {
        let (_, member) = self.records.remove(&node)?;
        self.linked.remove(&node);
        self.introducing.remove(&node);
        self.changed = true;
        Some(member)
    }

    fn write(&self) {
        if let Err(error) = crate::home::write_messages(&self.path, &pages::of_members(self.records())) {
            tracing::warn!(path = %self.path.display(), %error, "the list of members cannot be written");
        }
    }

    fn clear(&mut self) {
        self.records.clear();
        self.linked.clear();
        self.abreast = Abreast::default();
        self.asked = None;
        self.introducing.clear();
    }
}

impl Driver {
    /// Small talk from a member.
    pub(crate) fn peer_said(&mut self, from: NodeId, message: PeerMessage) {
        match message {
            PeerMessage::Presence(presence) => self.sign(Sign::Told { from, presence: presence.into() }),
            PeerMessage::Rumours(rumours) => self.sign(Sign::Rumours { from, rumours }),
            PeerMessage::Pulse(pulse) => {
                self.compare(from, pulse.heads);
                self.sign(Sign::Pulse { from, pulse });
            }
            PeerMessage::Signal(signal) => self.feed(Event::Told { from, signal }),
            PeerMessage::Members(records) => {
                self.pass_on(from, &records);
                self.learn_members(records);
            }
            PeerMessage::Catalog(entries) => {
                for signed in entries {
                    self.learn_model(from, signed);
                }
            }
            PeerMessage::Authority(entries) => self.learn_authority(from, entries),
            PeerMessage::Start(word) => self.heard_start(from, word),
            PeerMessage::Rollouts(words) => self.learn_rollouts(from, words),
            PeerMessage::Witness(word) => self.heard_of_witnesses(from, word),
            PeerMessage::Policy(word) => self.heard_of_policies(from, word),
            PeerMessage::Near(reports) => self.heard_distances(from, reports),
        }
    }

    fn learn_model(&mut self, from: NodeId, signed: Signed) {
        if self.shelf.knows(&signed) {
            return;
        }
        // One that replaces another needs no room.
        let renews =
            || hither_wire::decode_manifest(&signed.bytes).is_ok_and(|entry| self.shelf.has_entry(entry.digest));
        if self.shelf.is_full() && !renews() {
            let text =
                format!("catalog-max: the catalog has {CATALOG_MAX} models; what else members tell of is not taken in");
            return self.warn_once(text);
        }
        match trust::check_manifest(&signed) {
            Ok(manifest) => match self.member(manifest.publisher) {
                Some(publisher) if publisher.roles.has(Role::Publish) => {
                    self.take_entry(signed, manifest, Some(from));
                }
                Some(publisher) => {
                    let site = &publisher.site;
                    tracing::warn!(model = %manifest.name, %site, "a model of a member without the role publish is left out");
                }
                None => tracing::debug!(model = %manifest.name, "a model of a publisher that is no member is left out"),
            },
            Err(error) => tracing::warn!(peer = %from.short(), %error, "a model entry is not believed"),
        }
    }

    /// The entries of the catalog that others take: what they leave out is not told, or it would be told for ever.
    fn told_catalog(&self) -> Vec<Signed> {
        self.shelf.published_by(|publisher| self.is_told(publisher))
    }

    /// Whether others take models of a publisher.
    pub(crate) fn is_told(&self, publisher: NodeId) -> bool {
        self.mesh.publishes(publisher, &self.home.me)
    }

    fn learn_members(&mut self, records: Vec<MemberRecord>) {
        records.into_iter().for_each(|record| self.learn_member(record));
        self.look_at_changed();
    }

    /// Keeps the list on disk and looks at the relays anew, if a record changed.
    fn look_at_changed(&mut self) {
        if std::mem::take(&mut self.mesh.changed) {
            self.mesh.stale = false;
            self.mesh.write();
            self.look_at_relays();
        }
    }

    /// Takes in a member that this node was told of, if its certificate says so.
    fn learn_member(&mut self, mut record: MemberRecord) {
        if record.certificate == self.home.certificate {
            return;
        }
        let checked = match self.mesh.vouched(&record.certificate) {
            Some(member) => Ok(member),
            None => self.home.check_member(&record.certificate, wall_now()),
        };
        let mut member = match checked {
            Ok(member) => member,
            Err(error) => {
                tracing::warn!(%error, "a member that was told of is not believed");
                return;
            }
        };
        let node = member.node;
        if node == self.home.me.node {
            return self.own_certificate(record.certificate, member);
        }
        // Who tells of the older of two certificates has not heard of the newer yet. Of two that were made at once all keep the same.
        if let Some((known, before)) = self.mesh.records.get(&node)
            && (before.is_newer_than(&member, wall_now())
                || before.expires == member.expires && known.certificate.signature < record.certificate.signature)
        {
            (record.certificate, member) = (known.certificate.clone(), before.clone());
        }
        if self.mesh.is_full() && !self.mesh.records.contains_key(&node) {
            // Whoever is let in must be known, or nobody could end its membership.
            tracing::debug!(node = %node.short(), site = %member.site, "a member is not taken in: there is no room");
            self.warn_once(format!("members-max: members beyond {MEMBERS_MAX} others are not taken in by this node"));
            return;
        }
        if self.mesh.linked.contains(&node) {
            // A live connection knows better than rumour, but for the relays.
            let relayed = record.addresses.iter().copied().filter(|address| address.relay().is_some());
            let direct = self.swarm.known(node).into_iter().filter(|address| address.direct().is_some());
            record.addresses = direct.chain(relayed).take(MAX_ADDRESSES).collect();
        }
        self.swarm.admit(node, record.addresses.clone());
        if self.mesh.put(record, member.clone()) {
            tracing::info!(site = %member.site, jurisdiction = %member.jurisdiction, node = %node.short(), "a member");
            self.record(None, Fact::Joined(Counterpart::of(&member, PlaceKind::Peer)));
        }
        self.member_added(member);
    }

    /// Tells a member everything that members know.
    fn tell(&self, peer: NodeId) {
        self.tell_authority(peer);
        let mut members = vec![self.own_record()];
        for mut record in self.mesh.records() {
            if let Some(node) = self.node_of(&record)
                && self.mesh.linked.contains(&node)
            {
                record.addresses = self.swarm.known(node);
            }
            members.push(record);
        }
        for page in pages::of_members(members).into_iter().chain(pages::of_catalog(self.told_catalog())) {
            self.swarm.send(peer, page);
        }
        self.tell_rollouts(peer);
    }

    fn node_of(&self, record: &MemberRecord) -> Option<NodeId> {
        hither_wire::decode_member(&record.certificate.bytes).ok().map(|member| member.node)
    }

    /// Shows this node's certificate to a member that may not know it, or not its address.
    pub(crate) fn introduce(&mut self, node: NodeId) {
        let Some((record, _)) = self.mesh.records.get(&node) else { return };
        if !self.mesh.introducing.insert(node) {
            return;
        }
        let addresses = record.addresses.clone();
        let (swarm, inbox, hello) = (self.swarm.clone(), self.inbox.clone(), Hello::Introduce(self.own_record()));
        self.hands.spawn(async move {
            let reply = swarm.hello(node, addresses, hello).await.map_err(|error| error.to_string());
            let _ = inbox.send(Inbound::Welcomed { from: node, reply }).await;
        });
    }

    /// Answers somebody who may be a stranger.
    pub(crate) fn hello(&mut self, from: Caller, hello: Hello) -> HelloReply {
        let reply = self.answer_hello(from, hello);
        if let HelloReply::Refused(reason) = &reply {
            tracing::warn!(node = %from.node.short(), reason, "a hello was refused");
        }
        reply
    }

    fn answer_hello(&mut self, from: Caller, hello: Hello) -> HelloReply {
        let Caller { node, speaks } = from;
        match hello {
            Hello::Introduce(record) => match self.introduced(node, record) {
                Ok(record) => {
                    self.learn_members(vec![record.clone()]);
                    self.welcome(self.home.certificate.clone(), Some(record), speaks)
                }
                Err(why) => HelloReply::Refused(why),
            },
            Hello::Join { mesh, invite, proof, addresses } => self.knocked(node, mesh, |driver| {
                let invite = driver.invites.take(&invite, &proof, node, Manner::Plain, wall_now())?;
                Ok(driver.let_in(from, invite, addresses))
            }),
            Hello::Meet { mesh, invite, proof, commitment } => self.knocked(node, mesh, |driver| {
                let knock = Knock { invite, proof, promised: commitment, joiner: node };
                Ok(HelloReply::Met(driver.meetings.meet(&driver.invites, &knock, wall_now())?))
            }),
            Hello::Reveal { invite, number, addresses } => {
                self.knocked(node, self.home.authority.mesh, |driver| driver.revealed(from, invite, number, addresses))
            }
        }
    }

    /// What a joiner is told at once: as many members as an answer holds, those of its own site first, and models likewise. It
    /// hears of the rest as soon as it has a link, for its pulses say that it knows less than the others. Whoever belongs
    /// already is told of itself, for its certificate may have been made anew.
    fn welcome(&self, certificate: Signed, of: Option<MemberRecord>, speaks: u16) -> HelloReply {
        let site = hither_wire::decode_member(&certificate.bytes).ok().map(|member| member.site);
        let (own, others): (Vec<_>, Vec<_>) =
            self.mesh.records.values().partition(|(_, member)| Some(&member.site) == site.as_ref());
        let known = own.into_iter().chain(others).map(|(record, _)| record.clone());
        let members = Some(self.own_record()).into_iter().chain(of).chain(known).take(WELCOME_MEMBERS).collect();
        let catalog = match pages::of_catalog(self.told_catalog()).into_iter().next() {
            Some(PeerMessage::Catalog(first)) => first,
            _ => Vec::new(),
        };
        let authority = self.home.authority.entries_for(speaks);
        HelloReply::Welcome { certificate, members, catalog, authority }
    }

    /// An answer to an introduction.
    pub(crate) fn welcomed(&mut self, from: NodeId, reply: Result<HelloReply, String>) {
        self.mesh.introducing.remove(&from);
        match reply {
            Ok(HelloReply::Welcome { members, catalog, authority, certificate: _ }) => {
                self.learn_authority(from, authority);
                self.learn_members(members);
                catalog.into_iter().for_each(|signed| self.learn_model(from, signed));
            }
            Ok(HelloReply::Refused(why)) => {
                self.warn_once(format!("{} does not take this node for a member: {why}", from.short()));
            }
            Ok(HelloReply::Met(_) | HelloReply::Waiting) => {
                tracing::debug!(peer = %from.short(), "an introduction was answered as if it were a join");
            }
            Err(error) => tracing::debug!(peer = %from.short(), error, "a member cannot be reached"),
        }
    }
}

/// The addresses that are told of a node: those that its operator named, then relays, then those that it found itself. A
/// dial tries a few of them at once, and the first that answers wins.
pub(crate) fn told(named: &[SocketAddr], relays: &[Address], found: &[SocketAddr]) -> Vec<Address> {
    let direct =
        |addresses: &[SocketAddr]| -> Vec<Address> { addresses.iter().copied().map(Address::Direct).collect() };
    let mut told: Vec<Address> = Vec::new();
    for address in direct(named).iter().chain(relays).chain(&direct(found)) {
        if !told.contains(address) && told.len() < MAX_ADDRESSES {
            told.push(*address);
        }
    }
    told
}
