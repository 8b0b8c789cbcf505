//! The authority log: who founded the mesh, who else may let others in, and who is no member any more.
//!
//! What must stay true: nothing counts before its signature and its place in its chain were checked; the same entries
//! give the same answer in whatever order they came; a revoked key never counts again.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use hither_types::authority::{
    AuthorityEntry, AuthorityView, Change, Issuer, Publication, PublishedPolicy, Quorum, Scope, Statement,
};
use hither_types::id::{MeshId, NodeId};
use hither_types::member::{Member, Signed};
use hither_types::time::WallTime;
use hither_wire::versions::WITH_POLICIES;

use crate::trust::{self, Seal, TrustError};

mod quorum;
#[cfg(test)]
mod tests;

/// What an entry takes in a message beside its bytes: the key, the signature, and two lengths.
const SIGNATURE_BYTES: usize = 104;

/// Who may say who belongs.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) mesh: MeshId,
    pub(crate) founder: NodeId,
    chains: BTreeMap<NodeId, Vec<Link>>,
    /// What follows from the chains.
    issuers: BTreeMap<NodeId, Scope>,
    dismissed: BTreeMap<NodeId, u64>,
    /// Whom the founder needs.
    quorum: Quorum,
    /// Everybody whom it ever needed: what they approved is taken in whatever order it comes.
    approvers: BTreeSet<NodeId>,
    /// What the founder proposed and did not enact, by the number in its chain.
    proposals: BTreeMap<u64, Change>,
    /// The policies that hold for somebody, the latest last.
    publications: Vec<Publication>,
    revoked: BTreeSet<NodeId>,
    /// Those who left by their own word.
    left: BTreeSet<NodeId>,
}

#[derive(Debug, Clone)]
struct Link {
    signed: Signed,
    statement: Statement,
}

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("the signature does not fit")]
    Signature,
    #[error("the bytes are malformed")]
    Malformed,
    #[error("it is of another mesh")]
    Mesh,
    #[error("it does not follow the entry before it")]
    Chain,
    #[error("the same key signed two different entries with one number: it is in two hands, or was copied")]
    Forked,
    #[error("who signed it may not state that")]
    Forbidden,
    #[error("the log is full")]
    Full,
}

/// The id of the mesh that a key founds.
pub(crate) fn mesh_id(founder: NodeId, nonce: &[u8; 16]) -> MeshId {
    MeshId(*blake3::hash(&[b"hither genesis 1\0".as_slice(), &founder.0, nonce].concat()).as_bytes())
}

/// The founder that a log names, if its first entry fits the mesh.
pub(crate) fn founder_of(mesh: MeshId, entries: &[Signed]) -> Option<NodeId> {
    let found = entries.iter().find(|signed| {
        let entry = hither_wire::decode_authority_entry(&signed.bytes);
        entry.is_ok_and(|entry| match entry.statement {
            Statement::Found { nonce } => mesh_id(signed.signer, &nonce) == mesh,
            Statement::Revoke { .. }
            | Statement::Appoint(_)
            | Statement::Dismiss { .. }
            | Statement::Leave { .. }
            | Statement::Quorum(_)
            | Statement::Propose(_)
            | Statement::Approve { .. }
            | Statement::Enact { .. }
            | Statement::Publish(_) => false,
        })
    });
    found.map(|signed| signed.signer)
}

impl Authority {
    /// A mesh of which nothing but its founder is known.
    pub(crate) fn new(mesh: MeshId, founder: NodeId) -> Self {
        Self {
            mesh,
            founder,
            chains: BTreeMap::new(),
            issuers: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            quorum: quorum::NOBODY,
            approvers: BTreeSet::new(),
            proposals: BTreeMap::new(),
            publications: Vec::new(),
            revoked: BTreeSet::new(),
            left: BTreeSet::new(),
        }
    }

    /// All entries, so that whoever takes them in this order needs no second round: the founder's first.
    pub(crate) fn entries(&self) -> Vec<Signed> {
        let founder = self.chains.get(&self.founder).into_iter();
        let others = self.chains.iter().filter(|(node, _)| **node != self.founder).map(|(_, chain)| chain);
        founder.chain(others).flatten().map(|link| link.signed.clone()).collect()
    }

    /// The entries for a program that speaks versions of the protocol up to this one.
    pub(crate) fn entries_for(&self, speaks: u16) -> Vec<Signed> {
        if speaks < WITH_POLICIES { self.entries_before_policies() } else { self.entries() }
    }

    /// The entries for a member whose program does not read published policies: it takes none of the founder's after the first
    /// of them, and, unless it is left out, none of anybody's that stand behind it either.
    fn entries_before_policies(&self) -> Vec<Signed> {
        let founder = self.chain(self.founder).iter().take_while(|link| !publishes(&link.statement));
        let others = self.chains.iter().filter(|(node, _)| **node != self.founder).flat_map(|(_, chain)| chain);
        founder.chain(others).map(|link| link.signed.clone()).collect()
    }

    /// The others: those of the founder from the first published policy on.
    pub(crate) fn entries_since_policies(&self) -> Vec<Signed> {
        let since = self.chain(self.founder).iter().skip_while(|link| !publishes(&link.statement));
        since.map(|link| link.signed.clone()).collect()
    }

    /// Whether a policy was ever published or proposed: older programs read the founder's chain no further than that.
    pub(crate) fn has_published(&self) -> bool {
        self.chain(self.founder).iter().any(|link| publishes(&link.statement))
    }

    /// Takes entries in, up to one that nobody signed; gives how many were new, and what was wrong with others.
    pub(crate) fn take_all(&mut self, entries: Vec<Signed>) -> (usize, Vec<(NodeId, EntryError)>) {
        let (mut new, mut wrong) = (0, Vec::new());
        for signed in entries {
            let signer = signed.signer;
            match self.take(signed) {
                Ok(true) => new += 1,
                Ok(false) => {}
                Err(error) => {
                    wrong.push((signer, error));
                    // Who sends what nobody signed may send a thousand of them; each costs a check.
                    if matches!(error, EntryError::Signature | EntryError::Malformed) {
                        break;
                    }
                }
            }
        }
        (new, wrong)
    }

    /// Takes an entry in. `false`: it is known, or comes too early in its chain.
    pub(crate) fn take(&mut self, signed: Signed) -> Result<bool, EntryError> {
        // What is known is told again every few seconds: it is found by its number, and not checked anew.
        let entry = hither_wire::decode_authority_entry(&signed.bytes).map_err(|_| EntryError::Malformed)?;
        let chain = self.chain(signed.signer);
        let known = usize::try_from(entry.number).ok().and_then(|number| chain.get(number));
        if known.is_some_and(|link| link.signed == signed) {
            return Ok(false);
        }
        trust::check(&signed, Seal::Authority).map_err(|_| EntryError::Signature)?;
        if entry.mesh != self.mesh {
            return Err(EntryError::Mesh);
        }
        let next = chain.len() as u64;
        if entry.number > next {
            return Ok(false);
        }
        if !self.may_state(signed.signer, &entry) {
            return Err(EntryError::Forbidden);
        }
        if entry.number < next {
            return Err(EntryError::Forked);
        }
        if entry.previous != previous(chain) {
            return Err(EntryError::Chain);
        }
        if !self.has_room_for(&signed) {
            return Err(EntryError::Full);
        }
        self.chains.entry(signed.signer).or_default().push(Link { signed, statement: entry.statement });
        self.conclude();
        Ok(true)
    }

    /// Whether the log still fits a message with one more entry.
    fn has_room_for(&self, signed: &Signed) -> bool {
        let entries: usize = self.chains.values().map(Vec::len).sum();
        let held = self.chains.values().flatten().map(|link| link.signed.bytes.len() + SIGNATURE_BYTES).sum::<usize>();
        let most = hither_wire::limits::MAX_MESSAGE - SIGNATURE_BYTES;
        entries < hither_wire::limits::MAX_AUTHORITY && held + signed.bytes.len() + SIGNATURE_BYTES <= most
    }

    /// Whether there is so much room in the log that the founder may take some for a policy: the last quarter is for
    /// revocations.
    pub(crate) fn has_room_for_policies(&self) -> bool {
        let entries: usize = self.chains.values().map(Vec::len).sum();
        let held: usize = self.chains.values().flatten().map(|link| link.signed.bytes.len() + SIGNATURE_BYTES).sum();
        entries < hither_wire::limits::MAX_AUTHORITY / 4 * 3 && held < hither_wire::limits::MAX_MESSAGE / 4 * 3
    }

    /// Whether a certificate was ever made for a key by somebody who may make some. Whether it still holds does not
    /// matter to one who leaves; and what is taken once must be taken again from the disk, whoever was dismissed since.
    fn was_let_in(&self, node: NodeId, certificate: &Signed) -> bool {
        let by_issuer = self.is_issuer(certificate.signer) || self.dismissed.contains_key(&certificate.signer);
        by_issuer
            && trust::check(certificate, Seal::Certificate).is_ok()
            && hither_wire::decode_member(&certificate.bytes)
                .is_ok_and(|member| member.mesh == self.mesh && member.node == node)
    }

    /// Whether a key may state this at all. What others state meanwhile does not change it, but for what the founder
    /// stated before and a dismissal that ends it.
    fn may_state(&self, signer: NodeId, entry: &AuthorityEntry) -> bool {
        let is_founder = signer == self.founder;
        let not_dismissed = || self.dismissed.get(&signer).is_none_or(|keep| entry.number < *keep);
        match &entry.statement {
            Statement::Found { nonce } => is_founder && entry.number == 0 && mesh_id(signer, nonce) == self.mesh,
            Statement::Appoint(issuer) => is_founder && self.may_alone(&Change::Appoint(issuer.clone())),
            Statement::Dismiss { node, keep } => {
                is_founder && self.may_alone(&Change::Dismiss { node: *node, keep: *keep })
            }
            Statement::Quorum(quorum) => is_founder && self.may_alone(&Change::Quorum(quorum.clone())),
            Statement::Publish(publication) => is_founder && self.may_alone(&Change::Publish(publication.clone())),
            Statement::Propose(change) => is_founder && self.may_propose(change),
            Statement::Approve { proposal } => self.may_approve(signer, proposal),
            Statement::Enact { proposal, approvals } => is_founder && self.is_approved(*proposal, approvals),
            Statement::Revoke { node } if is_founder => *node != self.founder && !self.is_kept_by_quorum(*node),
            Statement::Revoke { node } => {
                let appointed = self.issuers.contains_key(&signer) || self.dismissed.contains_key(&signer);
                *node != self.founder && appointed && not_dismissed()
            }
            // Once: what counts for nothing would fill the log.
            Statement::Leave { certificate } => {
                !is_founder && !self.chain(signer).iter().any(leaves) && self.was_let_in(signer, certificate)
            }
        }
    }

    /// Draws what follows from the chains.
    fn conclude(&mut self) {
        let founder = self.chain(self.founder);
        let mut drawn = quorum::Drawn::default();
        founder.iter().zip(0..).for_each(|(link, number)| drawn.draw(number, &link.statement));
        let quorum::Drawn { mut appointed, mut dismissed, mut revoked, quorum, approvers, proposals, publications } =
            drawn;
        // An issuer that is no member any more states nothing more, wherever its last entries got to first.
        for node in revoked.iter().filter(|node| appointed.contains_key(*node)) {
            dismissed.entry(*node).or_insert(0);
        }
        for (node, chain) in &mut self.chains {
            if let Some(keep) = dismissed.get(node) {
                // What it states for itself alone it may state still: that it leaves, or approves.
                let is_over = |(link, number): (&Link, u64)| {
                    number >= *keep && matches!(link.statement, Statement::Revoke { .. })
                };
                let end = chain.iter().zip(0..).position(is_over);
                chain.truncate(end.unwrap_or(usize::MAX));
            }
        }
        // What an issuer states of an issuer or an approver does not count: the founder judges those.
        let judged = |node: &NodeId| appointed.contains_key(node) || quorum.approvers.contains(node);
        for (node, chain) in self.chains.iter().filter(|(node, _)| **node != self.founder) {
            if appointed.contains_key(node) {
                revoked.extend(chain.iter().filter_map(|link| match &link.statement {
                    Statement::Revoke { node } if !judged(node) => Some(*node),
                    _ => None,
                }));
            }
        }
        let stays = |node: &NodeId| {
            *node == self.founder
                || quorum.approvers.contains(node)
                || (appointed.contains_key(node) && !dismissed.contains_key(node))
        };
        let gone = self.chains.iter().filter(|(node, chain)| chain.iter().any(leaves) && !stays(node));
        self.left = gone.map(|(node, _)| *node).collect();
        appointed.retain(|node, _| !dismissed.contains_key(node));
        (self.issuers, self.dismissed, self.revoked) = (appointed, dismissed, revoked);
        (self.quorum, self.approvers, self.proposals) = (quorum, approvers, proposals);
        self.publications = publications;
    }

    /// Writes the next entry of a key's own chain, and takes it in.
    pub(crate) fn state(&mut self, key: &SigningKey, statement: Statement, at: WallTime) -> Result<(), EntryError> {
        let chain = self.chain(trust::node_id(key));
        let entry =
            AuthorityEntry { mesh: self.mesh, number: chain.len() as u64, previous: previous(chain), at, statement };
        let bytes = hither_wire::encode_authority_entry(&entry).map_err(|_| EntryError::Malformed)?;
        self.take(trust::sign(key, Seal::Authority, bytes)).map(|_| ())
    }

    /// Whether a node may let others in.
    pub(crate) fn is_issuer(&self, node: NodeId) -> bool {
        node == self.founder || self.issuers.contains_key(&node)
    }

    /// Who may let others in: the founder first.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = NodeId> {
        [self.founder].into_iter().chain(self.issuers.keys().copied())
    }

    /// Whether a node may let in a member like this.
    pub(crate) fn may_let_in(&self, issuer: NodeId, member: &Member) -> bool {
        let Member { jurisdiction, operator, roles, .. } = member;
        let lets_in = |scope: &Scope| scope.covers(*jurisdiction, operator, *roles);
        issuer == self.founder || self.issuers.get(&issuer).is_some_and(lets_in)
    }

    /// Whether a node is no member any more, by the word of others or its own.
    pub(crate) fn is_revoked(&self, node: NodeId) -> bool {
        self.revoked.contains(&node) || self.left.contains(&node)
    }

    /// How many entries a node's own chain has.
    pub(crate) fn length(&self, node: NodeId) -> u64 {
        self.chain(node).len() as u64
    }

    /// A node's own chain.
    fn chain(&self, node: NodeId) -> &[Link] {
        self.chains.get(&node).map_or(&[][..], Vec::as_slice)
    }

    /// The member that a certificate vouches for, now.
    pub(crate) fn check_certificate(&self, signed: &Signed, now: WallTime) -> Result<Member, TrustError> {
        let member = self.check_but_for_time(signed)?;
        if trust::clock_grace(member.expires) < now { Err(TrustError::Expired) } else { Ok(member) }
    }

    /// The same of a certificate that may have ended.
    pub(crate) fn check_but_for_time(&self, signed: &Signed) -> Result<Member, TrustError> {
        if !self.is_issuer(signed.signer) {
            return Err(TrustError::Issuer);
        }
        trust::check(signed, Seal::Certificate)?;
        let member =
            hither_wire::decode_member(&signed.bytes).map_err(|error| TrustError::Malformed(error.to_string()))?;
        self.vouches(signed.signer, &member)?;
        Ok(member)
    }

    /// Whether the log lets a signer say of a member what it says, its signature and the time aside.
    pub(crate) fn vouches(&self, signer: NodeId, member: &Member) -> Result<(), TrustError> {
        if !self.is_issuer(signer) {
            return Err(TrustError::Issuer);
        }
        if member.mesh != self.mesh {
            return Err(TrustError::Mesh);
        }
        if self.revoked.contains(&member.node) {
            return Err(TrustError::Revoked);
        }
        if self.left.contains(&member.node) {
            return Err(TrustError::Left);
        }
        // An issuer vouches for others: what it says of itself the founder must say, and nobody says anything of the founder,
        // whose operator decides who follows it.
        let is_own = signer == member.node && signer != self.founder;
        let is_of_founder = member.node == self.founder && signer != self.founder;
        if is_own || is_of_founder || !self.may_let_in(signer, member) {
            return Err(TrustError::Scope);
        }
        Ok(())
    }

    /// The policies that the founder published and that hold for somebody, the latest last.
    pub(crate) fn publications(&self) -> &[Publication] {
        &self.publications
    }

    /// The policy that the founder published for a member.
    pub(crate) fn policy_for(&self, member: &Member) -> Option<PublishedPolicy> {
        self.publications.iter().rev().find(|publication| publication.range.covers(member))?.policy
    }

    /// What the log says, for people.
    pub(crate) fn view(&self) -> AuthorityView {
        let issuers = self.issuers.iter().map(|(node, scope)| Issuer { node: *node, scope: scope.clone() });
        AuthorityView {
            mesh: self.mesh,
            founder: self.founder,
            issuers: issuers.collect(),
            revoked: self.revoked.union(&self.left).copied().collect(),
            quorum: self.quorum.clone(),
            proposals: self.proposed(),
            publications: self.publications.clone(),
            entries: self.chains.values().map(Vec::len).sum(),
        }
    }
}

fn publishes(statement: &Statement) -> bool {
    matches!(statement, Statement::Publish(_) | Statement::Propose(Change::Publish(_)))
}

fn leaves(link: &Link) -> bool {
    matches!(link.statement, Statement::Leave { .. })
}

fn previous(chain: &[Link]) -> [u8; 32] {
    chain.last().map_or([0; 32], |link| *blake3::hash(&link.signed.bytes).as_bytes())
}
