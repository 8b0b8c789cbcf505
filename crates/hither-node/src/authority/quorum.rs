//! Appointments, dismissals and policies for which the founder needs others.
//!
//! What must stay true: what is in force follows from the founder's chain alone, so it is the same in whatever order
//! entries arrive. Approvers sign in chains of their own, and the founder gathers their signatures into the entry that
//! enacts a proposal; nobody takes that entry without them. Approvals count by whom the founder needs where it enacts,
//! not where it proposed: of an approver that was replaced meanwhile nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::authority::{Change, Proposal, Publication, Quorum, Scope, Statement};
use hither_types::id::NodeId;
use hither_types::member::Signed;
use hither_wire::limits::MAX_QUORUM;

use super::{Authority, Link};
use crate::limits::{PROPOSALS_MAX, PUBLICATIONS_MAX};
use crate::trust::{self, Seal};

/// The founder needs nobody.
pub(super) const NOBODY: Quorum = Quorum { needed: 0, approvers: Vec::new() };

/// What follows from the founder's chain.
pub(super) struct Drawn {
    pub(super) appointed: BTreeMap<NodeId, Scope>,
    pub(super) dismissed: BTreeMap<NodeId, u64>,
    pub(super) revoked: BTreeSet<NodeId>,
    pub(super) quorum: Quorum,
    pub(super) approvers: BTreeSet<NodeId>,
    pub(super) proposals: BTreeMap<u64, Change>,
    pub(super) publications: Vec<Publication>,
}

impl Default for Drawn {
    fn default() -> Self {
        Self {
            appointed: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            revoked: BTreeSet::new(),
            quorum: NOBODY,
            approvers: BTreeSet::new(),
            proposals: BTreeMap::new(),
            publications: Vec::new(),
        }
    }
}

impl Drawn {
    /// Goes on with the next entry.
    pub(super) fn draw(&mut self, number: u64, statement: &Statement) {
        match statement {
            Statement::Revoke { node } => {
                self.revoked.insert(*node);
            }
            Statement::Appoint(issuer) => self.change(&Change::Appoint(issuer.clone())),
            Statement::Dismiss { node, keep } => self.change(&Change::Dismiss { node: *node, keep: *keep }),
            Statement::Quorum(quorum) => self.change(&Change::Quorum(quorum.clone())),
            Statement::Publish(publication) => self.change(&Change::Publish(publication.clone())),
            Statement::Propose(change) => {
                self.proposals.insert(number, change.clone());
                // Nobody has to clear up what was never approved: the oldest makes way.
                if self.proposals.len() > PROPOSALS_MAX {
                    self.proposals.pop_first();
                }
            }
            Statement::Enact { proposal, .. } => {
                if let Some(change) = self.proposals.remove(proposal) {
                    self.change(&change);
                }
            }
            // The founder cannot leave, for nobody else could appoint; it approves by proposing.
            Statement::Found { .. } | Statement::Leave { .. } | Statement::Approve { .. } => {}
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Appoint(issuer) => {
                self.appointed.insert(issuer.node, issuer.scope.clone());
            }
            Change::Dismiss { node, keep } => {
                self.dismissed.insert(*node, *keep);
            }
            Change::Quorum(quorum) => {
                self.approvers.extend(&quorum.approvers);
                self.quorum = quorum.clone();
            }
            Change::Publish(publication) => {
                self.publications.retain(|held| !overtakes(publication, held));
                if publication.policy.is_some() {
                    self.publications.push(publication.clone());
                }
            }
        }
    }
}

/// Whether nobody lives by a publication any more after another. What is taken back is that of the same range alone.
fn overtakes(next: &Publication, held: &Publication) -> bool {
    (next.policy.is_some() && next.range.is_all()) || next.range == held.range
}

impl Authority {
    /// Whom the founder needs for appointments and dismissals.
    pub(crate) fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// Whether the founder may change this by itself.
    pub(super) fn may_alone(&self, change: &Change) -> bool {
        self.quorum.needed == 0 && self.makes_sense(change)
    }

    pub(super) fn may_propose(&self, change: &Change) -> bool {
        self.quorum.needed > 0 && self.makes_sense(change)
    }

    /// Whether it could ever be of use.
    pub(crate) fn makes_sense(&self, change: &Change) -> bool {
        match change {
            Change::Appoint(issuer) => issuer.node != self.founder,
            Change::Dismiss { node, .. } => *node != self.founder,
            Change::Publish(publication) => {
                let overtaken = self.publications.iter().filter(|held| overtakes(publication, held)).count();
                match publication.policy {
                    Some(_) => self.publications.len() - overtaken < PUBLICATIONS_MAX,
                    // What changes nothing would fill the log.
                    None => overtaken > 0,
                }
            }
            Change::Quorum(Quorum { needed, approvers }) => {
                let different: BTreeSet<&NodeId> = approvers.iter().collect();
                let needed = usize::from(*needed);
                // A quorum of nobody names nobody, so that it is not taken for one.
                needed <= MAX_QUORUM.min(approvers.len())
                    && (needed > 0 || approvers.is_empty())
                    && different.len() == approvers.len()
                    && !approvers.contains(&self.founder)
            }
        }
    }

    /// Whether the founder needs others to end what a node may: it would dismiss an issuer, or be rid of who says no.
    pub(crate) fn is_kept_by_quorum(&self, node: NodeId) -> bool {
        self.quorum.needed > 0 && (self.issuers.contains_key(&node) || self.quorum.approvers.contains(&node))
    }

    /// Whether a key may approve a proposal: it may have been enacted, or the approver replaced, before this comes, and
    /// both entries are kept all the same. Each only once, so that nobody fills the log.
    pub(super) fn may_approve(&self, signer: NodeId, proposal: &[u8; 32]) -> bool {
        let before = self.chain(signer).iter().any(|link| approves(&link.statement, proposal));
        let is_there = |link: &Link| matches!(link.statement, Statement::Propose(_)) && id(link) == *proposal;
        self.approvers.contains(&signer) && !before && self.chain(self.founder).iter().any(is_there)
    }

    /// Whether enough of those whom the founder needs now signed that they approve a proposal that it has not enacted.
    pub(super) fn is_approved(&self, number: u64, approvals: &[Signed]) -> bool {
        let Some(proposal) = self.proposal(number).filter(|_| self.proposals.contains_key(&number)) else {
            return false;
        };
        let holds = |signed: &&Signed| {
            trust::check(signed, Seal::Authority).is_ok()
                && hither_wire::decode_authority_entry(&signed.bytes)
                    .is_ok_and(|entry| entry.mesh == self.mesh && approves(&entry.statement, &proposal))
        };
        let signers: BTreeSet<NodeId> = approvals.iter().filter(holds).map(|signed| signed.signer).collect();
        let needed = signers.iter().filter(|signer| self.quorum.approvers.contains(signer)).count();
        self.quorum.needed > 0 && needed >= usize::from(self.quorum.needed)
    }

    /// The id of a proposal.
    fn proposal(&self, number: u64) -> Option<[u8; 32]> {
        self.chain(self.founder).get(usize::try_from(number).ok()?).map(id)
    }

    /// Approvals of a proposal by those whom the founder needs, in the order of their keys.
    fn approvals(&self, proposal: [u8; 32]) -> Vec<Signed> {
        let of_approvers = self.chains.iter().filter(|(node, _)| self.quorum.approvers.contains(node));
        let approval = |chain: &[Link]| chain.iter().find(|link| approves(&link.statement, &proposal)).cloned();
        of_approvers.filter_map(|(_, chain)| approval(chain)).map(|link| link.signed).collect()
    }

    /// What is proposed and not in force.
    pub(crate) fn proposed(&self) -> Vec<Proposal> {
        let proposal = |(number, change): (&u64, &Change)| {
            let id = self.proposal(*number)?;
            let approved = self.approvals(id).iter().map(|signed| signed.signer).collect();
            Some(Proposal { id, change: change.clone(), approved })
        };
        self.proposals.iter().filter_map(proposal).collect()
    }

    /// Whether a policy is proposed that is no newer than the one for its range: one that waited longer than the next.
    fn is_outdated(&self, change: &Change) -> bool {
        let Change::Publish(Publication { policy: Some(policy), range }) = change else { return false };
        let held = self.publications.iter().filter(|held| held.range == *range).filter_map(|held| held.policy);
        held.into_iter().any(|held| held.version >= policy.version)
    }

    /// The first proposal that enough approve, with what enacts it.
    pub(crate) fn ready(&self) -> Option<(Change, Statement)> {
        let needed = usize::from(self.quorum.needed);
        let wanted = self.proposals.iter().filter(|(_, change)| !self.is_outdated(change));
        wanted.into_iter().find_map(|(number, change)| {
            let mut approvals = self.approvals(self.proposal(*number)?);
            approvals.retain(|signed| !self.is_revoked(signed.signer));
            approvals.truncate(needed.max(1));
            let is_enough = needed > 0 && approvals.len() >= needed;
            is_enough.then(|| (change.clone(), Statement::Enact { proposal: *number, approvals }))
        })
    }
}

/// The id of an entry: approvers sign what the founder signed.
fn id(link: &Link) -> [u8; 32] {
    *blake3::hash(&link.signed.bytes).as_bytes()
}

fn approves(statement: &Statement, wanted: &[u8; 32]) -> bool {
    matches!(statement, Statement::Approve { proposal } if proposal == wanted)
}
