//! Who stays a member: what the authority log and the clock say of those who are, and certificates that are made anew.

use std::time::Duration;

use hither_api::door::{CommandDone, CommandError};
use hither_core::Event;
use hither_types::authority::{Change, Issuer, Quorum, Statement};
use hither_types::fact::{Counterpart, Fact};
use hither_types::id::NodeId;
use hither_types::member::{Member, MemberRecord, Signed};
use hither_types::message::PeerMessage;
use hither_types::place::{Assurance, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::Hours;
use hither_wire::limits::MAX_QUORUM;
use tokio::time::Instant;

use crate::authority::EntryError;
use crate::driver::Driver;
use crate::home::days;
use crate::limits::{GRACE_DAYS, PROPOSAL_SAID_MIN, RENEW_DAYS, RENEWAL_ASK, RENEWAL_ASKS, RENEWED_AT_ONCE};
use crate::trust::{TrustError, wall_after, wall_now};

/// Moments over which renewals are spread.
const SPREAD: u64 = 256;

#[cfg(test)]
mod tests;

impl Driver {
    /// Takes in what a member told of the authority log; what is new goes on to all others at once.
    pub(crate) fn learn_authority(&mut self, from: NodeId, entries: Vec<Signed>) {
        let (new, wrong) = self.home.authority.take_all(entries);
        for (signer, error) in wrong {
            match error {
                EntryError::Forked => {
                    let text = format!(
                        "authority-forked: the key {} signed two different entries of the authority log with one number: \
                         it is in two hands, or was copied; the founder can dismiss it: hither authority dismiss {}",
                        signer.short(),
                        signer.short()
                    );
                    self.warn_once(text);
                }
                // No honest node tells these.
                EntryError::Signature | EntryError::Malformed | EntryError::Mesh => {
                    tracing::warn!(peer = %from.short(), signer = %signer.short(), %error, "an entry is not believed");
                }
                // A dismissed issuer's last entries go round until everybody has heard of it.
                EntryError::Chain | EntryError::Forbidden | EntryError::Full => {
                    tracing::debug!(peer = %from.short(), signer = %signer.short(), %error, "an entry is not taken")
                }
            }
        }
        if new > 0 {
            tracing::info!(peer = %from.short(), new, "the authority log has grown");
            self.authority_changed();
        }
    }

    /// The authority log has grown: it is kept, told, and what follows from it is done.
    fn authority_changed(&mut self) {
        if let Err(error) = self.home.keep_authority() {
            self.warn(
                None,
                format!(
                    "the authority log cannot be written: {error}; after a restart this node believes \
                                     whom it should not until a member tells it"
                ),
            );
        }
        for peer in self.mesh.linked() {
            self.tell_authority(peer);
        }
        self.look_at_standing();
        self.enact();
        self.follow_published();
        self.show();
    }

    /// Tells a member the authority log, as far as its program reads it.
    pub(crate) fn tell_authority(&self, peer: NodeId) {
        let entries = self.home.authority.entries_for(self.swarm.speaks(peer));
        self.swarm.send(peer, PeerMessage::Authority(entries));
    }

    /// Puts in force what enough approvers want, at the founder.
    fn enact(&mut self) {
        if !self.home.is_founder() {
            return;
        }
        let Some((change, statement)) = self.home.authority.ready() else { return };
        if let Change::Dismiss { node, .. } = change {
            self.vouch_for_guests_of(node);
        }
        match self.state(statement) {
            Ok(_) => tracing::info!(?change, "a proposal is in force"),
            Err(error) => self.warn_once(format!("a proposal cannot be put in force: {}", error.message)),
        }
    }

    /// Ends the membership of everybody who is no member any more, and vouches again for those who need it.
    pub(crate) fn look_at_standing(&mut self) {
        let now = wall_now();
        // Until the others have heard it.
        if self.leaving {
            return;
        }
        if self.home.is_revoked() {
            self.warn_once(
                "revoked: this node is no member of its mesh any more, and its key never will be again; nothing is asked of \
                 others and nothing answered for them. To join anew: stop it, and start with another data directory"
                    .to_owned(),
            );
            for node in self.mesh.records.keys().copied().collect::<Vec<_>>() {
                self.expel(node, &TrustError::Revoked);
            }
            return;
        }
        let within = self.policy.certified_within;
        if self.home.is_founder() && is_due(&self.home.me, within, now) {
            let (certificate, me) = self.home.certify_again(&self.home.me);
            self.own_certificate(certificate, me);
            self.spread(None, PeerMessage::Members(vec![self.own_record()]));
        }
        self.ask_for_renewal(now);
        // By a clock that is far from the others' it would make certificates that give way to others. Who would be no member without a new
        // one gets it all the same.
        let may_vouch = self.home.is_issuer() && !self.clocks.is_apart();
        let mut renewed = 0;
        for (record, member) in self.mesh.records.values().cloned().collect::<Vec<_>>() {
            match self.home.check_again(record.certificate.signer, &member, now) {
                Err(error) => self.expel(member.node, &error),
                Ok(()) if may_vouch && is_due(&member, within, now) && self.mesh.linked.contains(&member.node) => {
                    if renewed < RENEWED_AT_ONCE && self.vouch_again(record, &member) {
                        renewed += 1;
                        self.tell_renewed(member.node);
                    }
                }
                Ok(()) => {}
            }
        }
    }

    /// Asks an issuer for a newer certificate, if that of this node grows old by its own policy. Issuers that are linked make it
    /// anew by themselves, if theirs says so, and are asked only when it is almost too late; in a large mesh not every member is
    /// linked with one.
    fn ask_for_renewal(&mut self, now: WallTime) {
        let (me, within) = (&self.home.me, self.policy.certified_within);
        let pause = RENEWAL_ASK
            .max(within.map_or(RENEWAL_ASK, |within| Duration::from_micros(within.micros().0 / RENEWAL_ASKS)));
        let is_asked = self.mesh.asked.is_some_and(|asked| asked.elapsed() < pause);
        if self.home.is_founder() || is_asked || !grows_old(me, within, now) {
            return;
        }
        let may = |issuer: &NodeId| {
            *issuer != me.node && self.home.authority.may_let_in(*issuer, me) && self.mesh.records.contains_key(issuer)
        };
        let issuers: Vec<NodeId> = self.home.authority.issuers().filter(may).collect();
        let is_linked = issuers.iter().any(|issuer| self.mesh.linked.contains(issuer));
        if is_linked && within.is_some_and(|within| now.since(me.certified()).0 < within.micros().0 / 8 * 7) {
            return;
        }
        // Each has its turn, and is not asked by all at once: one of them may be away, or live by another policy.
        let turn = (now.0 / pause.as_millis() as u64).wrapping_add(me.node.prefix());
        let Some(issuer) = issuers.get(turn as usize % issuers.len().max(1)) else { return };
        self.mesh.asked = Some(Instant::now());
        self.introduce(*issuer);
    }

    /// All are told that a certificate was made anew.
    fn tell_renewed(&mut self, node: NodeId) {
        let Some((record, _)) = self.mesh.records.get(&node) else { return };
        let mut record = record.clone();
        if self.mesh.linked.contains(&node) {
            record.addresses = self.swarm.known(node);
        }
        self.spread(None, PeerMessage::Members(vec![record]));
    }

    /// Makes the certificate of a member anew, where this node may; `false` where it may not.
    fn vouch_again(&mut self, record: MemberRecord, member: &Member) -> bool {
        if !self.may_renew(member) {
            return false;
        }
        let (certificate, member) = self.home.certify_again(member);
        tracing::info!(node = %member.node.short(), site = %member.site, "a certificate is made anew");
        self.mesh.put(MemberRecord { certificate, ..record }, member.clone());
        self.member_added(member);
        true
    }

    /// Whether others would believe what this node signs of a member. Of the founder they believe the founder alone.
    fn may_renew(&self, member: &Member) -> bool {
        self.home.is_issuer() && self.home.authority.vouches(self.home.me.node, member).is_ok()
    }

    /// Ends a membership: connections close at once, what runs there goes elsewhere, what runs for it ends.
    fn expel(&mut self, node: NodeId, why: &TrustError) {
        let Some(member) = self.mesh.remove(node) else { return };
        tracing::warn!(node = %node.short(), site = %member.site, %why, "no member any more");
        self.swarm.expel(node);
        self.look_at_changed();
        self.twins.forget(node);
        self.clocks.forget(node);
        self.distances.forget(node);
        let fact = match why {
            TrustError::Left => Fact::Left(Counterpart::of(&member, PlaceKind::Peer)),
            _ => Fact::Revoked(Counterpart::of(&member, PlaceKind::Peer)),
        };
        self.record(None, fact);
        self.member_removed(node);
    }

    /// Somebody told this node of its own certificate: it takes a newer one that says the same of it.
    pub(super) fn own_certificate(&mut self, certificate: Signed, member: Member) {
        let me = &self.home.me;
        let holds = self.home.authority.check_certificate(&self.home.certificate, wall_now()).is_ok();
        if holds && !member.is_newer_than(me, wall_now()) {
            return;
        }
        if (Member { expires: me.expires, ..member.clone() }) != *me {
            tracing::warn!("a certificate that says something else of this node than its own is left alone");
            return;
        }
        match self.home.renewed(certificate, member) {
            Ok(()) => self.renewed(),
            Err(error) => self.warn(None, format!("the new certificate cannot be written: {error}")),
        }
    }

    /// Whoever judges by this node's certificate hears that it is a newer one.
    fn renewed(&mut self) {
        tracing::info!("this node's certificate was made anew");
        let mut me = self.home.me.clone();
        self.facade_changed();
        self.traces.moved(&me);
        // Nobody can vouch for what has to be measured.
        me.assurance = me.assurance.min(Assurance::Vouched);
        self.feed(Event::MemberAdded(me));
    }

    /// The record of whoever introduced itself, with a certificate that holds; or why it has none, for a person.
    pub(super) fn introduced(&mut self, from: NodeId, record: MemberRecord) -> Result<MemberRecord, String> {
        let now = wall_now();
        let refused = |error: &TrustError| format!("not a member: {error}");
        match self.home.check_member(&record.certificate, now) {
            Ok(member) if member.node == from => Ok(self.renewed_for(record, &member, now)),
            Ok(_) => Err("the certificate belongs to another key".into()),
            // The key is proved by the connection, and the certificate that this node knows is the newer one.
            Err(TrustError::Expired | TrustError::Issuer) if self.mesh.records.contains_key(&from) => {
                let (known, _) = &self.mesh.records[&from];
                Ok(MemberRecord { certificate: known.certificate.clone(), addresses: record.addresses })
            }
            Err(error @ TrustError::Expired) if self.home.is_issuer() => {
                let member =
                    self.home.authority.check_but_for_time(&record.certificate).map_err(|error| refused(&error))?;
                let may = member.node == from && self.may_renew(&member);
                if !may || wall_after(member.expires, days(GRACE_DAYS)) < now {
                    return Err(refused(&error));
                }
                let (certificate, _) = self.home.certify_again(&member);
                Ok(MemberRecord { certificate, addresses: record.addresses })
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// The record of whoever introduced itself, with a newer certificate: one that it has not heard of, or one that it came for.
    fn renewed_for(&mut self, mut record: MemberRecord, member: &Member, now: WallTime) -> MemberRecord {
        let known = self.mesh.records.get(&member.node).filter(|(_, known)| known.is_newer_than(member, now));
        let newest = known.map_or(member, |(_, known)| known);
        let is_wanted = grows_old(newest, self.policy.certified_within, now) && !self.clocks.is_apart();
        if is_wanted && self.may_renew(newest) {
            record.certificate = self.home.certify_again(newest).0;
            self.spread(None, PeerMessage::Members(vec![record.clone()]));
        } else if let Some((known, _)) = known {
            record.certificate = known.certificate.clone();
        }
        record
    }

    /// Ends the membership of a node for good.
    pub(crate) fn revoke(&mut self, node: NodeId) -> Result<CommandDone, CommandError> {
        if node == self.home.me.node {
            return Err(refuse(
                "E0209",
                "this is the node itself, and the node that revokes stays",
                "hither member ls",
            ));
        }
        if self.home.is_founder() && self.home.authority.is_kept_by_quorum(node) {
            return Err(refuse(
                "E0224",
                "it lets others in or approves what the founder proposes, and the founder alone does not end that",
                "hither authority dismiss NODE, or hither authority quorum without it; once that is approved, \
                 hither member revoke NODE",
            ));
        }
        if self.home.authority.is_issuer(node) {
            if !self.home.is_founder() {
                return Err(only_the_founder());
            }
            // Those whom it let in stay, as they do when it is dismissed alone.
            self.dismiss(node)?;
        }
        self.state(Statement::Revoke { node })
    }

    /// Lets a member let others in.
    pub(crate) fn appoint(&mut self, issuer: Issuer) -> Result<CommandDone, CommandError> {
        if self.mesh.member(issuer.node).is_none() {
            return Err(refuse("E0210", "it is no member of this mesh", "hither member ls"));
        }
        self.change(Change::Appoint(issuer))
    }

    /// Takes that back. Members that it vouched for are vouched for by this node first, so that they stay.
    pub(crate) fn dismiss(&mut self, node: NodeId) -> Result<CommandDone, CommandError> {
        if node == self.home.authority.founder || !self.home.authority.is_issuer(node) {
            return Err(refuse("E0210", "it is no issuer that could be dismissed", "hither authority"));
        }
        let keep = self.home.authority.length(node);
        self.change(Change::Dismiss { node, keep })
    }

    /// Says whom the founder needs from now on.
    pub(crate) fn quorum(&mut self, quorum: Quorum) -> Result<CommandDone, CommandError> {
        let is_stranger = |node: &&NodeId| self.mesh.member(**node).is_none();
        if let Some(stranger) = quorum.approvers.iter().find(is_stranger) {
            let text = format!("{} is no other member of this mesh", stranger.short());
            return Err(refuse("E0210", &text, "hither member ls"));
        }
        let change = Change::Quorum(quorum);
        if !self.home.authority.makes_sense(&change) {
            return Err(refuse(
                "E0225",
                &format!(
                    "with these approvers it could never be reached: as many as are needed, or more, each once and without the \
                     founder, and at most {MAX_QUORUM} needed; 0 names nobody"
                ),
                "hither authority quorum 2 --approvers A,B,C",
            ));
        }
        self.change(change)
    }

    /// Changes something, or proposes it where the founder needs others for that.
    pub(crate) fn change(&mut self, change: Change) -> Result<CommandDone, CommandError> {
        let needed = self.home.authority.quorum().needed;
        if self.home.is_founder() && needed > 0 {
            self.state(Statement::Propose(change))?;
            let id = self.home.authority.proposed().last().map_or([0; 32], |proposal| proposal.id);
            return Ok(CommandDone::Proposed { id, needed });
        }
        if let Change::Dismiss { node, .. } = change
            && self.home.is_founder()
        {
            self.vouch_for_guests_of(node);
        }
        self.state(match change {
            Change::Appoint(issuer) => Statement::Appoint(issuer),
            Change::Dismiss { node, keep } => Statement::Dismiss { node, keep },
            Change::Quorum(quorum) => Statement::Quorum(quorum),
            Change::Publish(publication) => Statement::Publish(publication),
        })
    }

    /// Makes the certificates anew that an issuer made, so that those whom it let in stay without it.
    fn vouch_for_guests_of(&mut self, node: NodeId) {
        for (record, member) in self.mesh.records.values().cloned().collect::<Vec<_>>() {
            if record.certificate.signer == node {
                self.vouch_again(record, &member);
            }
        }
        self.tell_members();
    }

    /// Approves a proposal of the founder, as one of those whom it needs.
    pub(crate) fn approve(&mut self, begins: &str) -> Result<CommandDone, CommandError> {
        let hex = |id: &[u8; 32]| data_encoding::HEXLOWER.encode(id);
        let proposed = self.home.authority.proposed();
        let fits =
            |id: &[u8; 32]| begins.len() >= PROPOSAL_SAID_MIN && hex(id).starts_with(&begins.to_ascii_lowercase());
        let mut fitting = proposed.iter().filter(|proposal| fits(&proposal.id));
        let (Some(proposal), None) = (fitting.next(), fitting.next()) else {
            let text = format!(
                "not one proposal waits whose id begins with {begins:?}; {PROPOSAL_SAID_MIN} letters or more are needed"
            );
            return Err(refuse("E0223", &text, "hither authority"));
        };
        let me = self.home.me.node;
        if !self.home.authority.quorum().approvers.contains(&me) {
            return Err(refuse("E0223", "this node is none of those who approve", "hither authority names them"));
        }
        if proposal.approved.contains(&me) {
            return Err(refuse("E0223", "this node approved it already", "hither authority"));
        }
        self.state(Statement::Approve { proposal: proposal.id })
    }

    fn state(&mut self, statement: Statement) -> Result<CommandDone, CommandError> {
        let stated = self.home.authority.state(&self.home.key, statement, wall_now());
        stated.map_err(|error| match error {
            EntryError::Forbidden if !self.home.is_issuer() => refuse(
                "E0207",
                "this node may not say who belongs; the founder of the mesh and its issuers may",
                "hither authority names them; run the command there",
            ),
            EntryError::Forbidden => only_the_founder(),
            error => refuse("E0212", &format!("the authority log does not take it: {error}"), "hither authority"),
        })?;
        self.authority_changed();
        Ok(CommandDone::Done)
    }

    /// A warning that is shown once, however often its cause is found.
    pub(crate) fn warn_once(&mut self, text: String) {
        if !self.warnings.contains(&(None, text.clone())) {
            self.warn(None, text);
        }
    }
}

/// Whether a certificate is made anew: there are not many days left of it, it grows old for the policy, or a clock that was ahead
/// made it.
fn is_due(member: &Member, within: Option<Hours>, now: WallTime) -> bool {
    member.expires < wall_after(now, days(RENEW_DAYS)) || grows_old(member, within, now) || member.is_ahead(now)
}

/// Whether half to three quarters are over of the time for which the policy lets a certificate support an assurance: for each
/// member at another moment, so that those that were made at once are not made anew at once.
fn grows_old(member: &Member, within: Option<Hours>, now: WallTime) -> bool {
    within.is_some_and(|within| {
        let (whole, spread) = (within.micros().0, member.node.prefix() % SPREAD);
        now.since(member.certified()).0 > whole / 2 + whole / 4 * spread / SPREAD
    })
}

pub(crate) fn only_the_founder() -> CommandError {
    refuse(
        "E0211",
        "that is for the founder of the mesh to say, and nobody revokes the founder",
        "hither authority names the founder; run the command there",
    )
}

pub(crate) fn refuse(code: &'static str, message: &str, help: &str) -> CommandError {
    CommandError { code, message: message.to_owned(), help: help.to_owned() }
}
