//! Entries of the authority log. The order of the variants is part of the form: new ones go to the end.

use hither_types::authority::{
    AuthorityEntry, Change, Issuer, Publication, PublishedPolicy, Quorum, Range, Scope, Statement,
};
use hither_types::id::{Digest, MeshId, NodeId};
use hither_types::member::Roles;
use hither_types::place::Jurisdiction;
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{List, Text};
use crate::limits::{MAX_APPROVERS, MAX_OPERATORS, MAX_QUORUM, MAX_WITHIN};
use crate::member::{SignedForm, roles};

#[derive(Serialize, Deserialize)]
pub(crate) struct EntryForm<'a> {
    mesh: [u8; 32],
    number: u64,
    previous: [u8; 32],
    at: u64,
    #[serde(borrow)]
    statement: StatementForm<'a>,
}

#[derive(Serialize, Deserialize)]
enum StatementForm<'a> {
    Found {
        nonce: [u8; 16],
    },
    Revoke {
        node: [u8; 32],
    },
    Appoint {
        node: [u8; 32],
        #[serde(borrow)]
        within: List<Text<'a>, MAX_WITHIN>,
    },
    Dismiss {
        node: [u8; 32],
        keep: u64,
    },
    Leave {
        #[serde(borrow)]
        certificate: SignedForm<'a>,
    },
    Quorum(QuorumForm),
    Propose(#[serde(borrow)] ChangeForm<'a>),
    Approve {
        proposal: [u8; 32],
    },
    Enact {
        proposal: u64,
        #[serde(borrow)]
        approvals: List<SignedForm<'a>, MAX_QUORUM>,
    },
    AppointFor(#[serde(borrow)] IssuerForm<'a>),
    /// Since version 5 of the protocol.
    Publish(#[serde(borrow)] PublicationForm<'a>),
}

#[derive(Serialize, Deserialize)]
enum ChangeForm<'a> {
    #[serde(borrow)]
    Appoint(IssuerForm<'a>),
    Dismiss {
        node: [u8; 32],
        keep: u64,
    },
    Quorum(QuorumForm),
    /// Since version 5 of the protocol.
    Publish(PublicationForm<'a>),
}

#[derive(Serialize, Deserialize)]
struct PublicationForm<'a> {
    policy: Option<([u8; 32], u32)>,
    #[serde(borrow)]
    within: List<Text<'a>, MAX_WITHIN>,
    operators: List<Text<'a>, MAX_OPERATORS>,
}

#[derive(Serialize, Deserialize)]
struct QuorumForm {
    needed: u8,
    approvers: List<Key, MAX_APPROVERS>,
}

#[derive(Serialize, Deserialize)]
struct Key([u8; 32]);

#[derive(Serialize, Deserialize)]
struct IssuerForm<'a> {
    node: [u8; 32],
    #[serde(borrow)]
    within: List<Text<'a>, MAX_WITHIN>,
    operators: List<Text<'a>, MAX_OPERATORS>,
    roles: u8,
}

impl From<&NodeId> for Key {
    fn from(node: &NodeId) -> Self {
        Self(node.0)
    }
}

impl From<Key> for NodeId {
    fn from(key: Key) -> Self {
        Self(key.0)
    }
}

/// The list as it stands in a form.
fn within(list: &[Jurisdiction]) -> Result<List<Text<'_>, MAX_WITHIN>, EncodeError> {
    List::of("jurisdictions that one issuer lets others in from", list)
}

impl<'a> TryFrom<&'a Issuer> for IssuerForm<'a> {
    type Error = EncodeError;

    fn try_from(issuer: &'a Issuer) -> Result<Self, EncodeError> {
        let Issuer { node, scope } = issuer;
        let operators = List::of("operators whose nodes one issuer lets in", &scope.operators)?;
        Ok(Self { node: node.0, within: within(&scope.within)?, operators, roles: scope.roles.bits() })
    }
}

impl TryFrom<IssuerForm<'_>> for Issuer {
    type Error = DecodeError;

    fn try_from(form: IssuerForm<'_>) -> Result<Self, DecodeError> {
        let scope = Scope {
            within: form.within.into_words()?,
            operators: form.operators.into_words()?,
            roles: roles(form.roles)?,
        };
        Ok(Self { node: NodeId(form.node), scope })
    }
}

impl TryFrom<&Quorum> for QuorumForm {
    type Error = EncodeError;

    fn try_from(quorum: &Quorum) -> Result<Self, EncodeError> {
        Ok(Self { needed: quorum.needed, approvers: List::of("approvers", &quorum.approvers)? })
    }
}

impl TryFrom<QuorumForm> for Quorum {
    type Error = DecodeError;

    fn try_from(form: QuorumForm) -> Result<Self, DecodeError> {
        Ok(Self { needed: form.needed, approvers: form.approvers.into_words()? })
    }
}

impl<'a> TryFrom<&'a Publication> for PublicationForm<'a> {
    type Error = EncodeError;

    fn try_from(publication: &'a Publication) -> Result<Self, EncodeError> {
        let Publication { policy, range } = publication;
        let operators = List::of("operators whose nodes a policy is published for", &range.operators)?;
        let policy = policy.map(|policy| (policy.digest.0, policy.version));
        let within = List::of("jurisdictions that a policy is published for", &range.within)?;
        Ok(Self { policy, within, operators })
    }
}

impl TryFrom<PublicationForm<'_>> for Publication {
    type Error = DecodeError;

    fn try_from(form: PublicationForm<'_>) -> Result<Self, DecodeError> {
        let range = Range { within: form.within.into_words()?, operators: form.operators.into_words()? };
        let policy = form.policy.map(|(digest, version)| PublishedPolicy { digest: Digest(digest), version });
        Ok(Self { policy, range })
    }
}

impl<'a> TryFrom<&'a Change> for ChangeForm<'a> {
    type Error = EncodeError;

    fn try_from(change: &'a Change) -> Result<Self, EncodeError> {
        Ok(match change {
            Change::Appoint(issuer) => Self::Appoint(issuer.try_into()?),
            Change::Dismiss { node, keep } => Self::Dismiss { node: node.0, keep: *keep },
            Change::Quorum(quorum) => Self::Quorum(quorum.try_into()?),
            Change::Publish(publication) => Self::Publish(publication.try_into()?),
        })
    }
}

impl TryFrom<ChangeForm<'_>> for Change {
    type Error = DecodeError;

    fn try_from(form: ChangeForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            ChangeForm::Appoint(issuer) => Self::Appoint(issuer.try_into()?),
            ChangeForm::Dismiss { node, keep } => Self::Dismiss { node: NodeId(node), keep },
            ChangeForm::Quorum(quorum) => Self::Quorum(quorum.try_into()?),
            ChangeForm::Publish(publication) => Self::Publish(publication.try_into()?),
        })
    }
}

/// An appointment, in the form that older nodes read if it says nothing that they do not know.
fn appointment(issuer: &Issuer) -> Result<StatementForm<'_>, EncodeError> {
    match issuer.scope.operators.is_empty() && issuer.scope.roles == Roles::ALL {
        true => Ok(StatementForm::Appoint { node: issuer.node.0, within: within(&issuer.scope.within)? }),
        false => Ok(StatementForm::AppointFor(issuer.try_into()?)),
    }
}

impl<'a> TryFrom<&'a AuthorityEntry> for EntryForm<'a> {
    type Error = EncodeError;

    fn try_from(entry: &'a AuthorityEntry) -> Result<Self, EncodeError> {
        let AuthorityEntry { mesh, number, previous, at, statement } = entry;
        let statement = match statement {
            Statement::Found { nonce } => StatementForm::Found { nonce: *nonce },
            Statement::Revoke { node } => StatementForm::Revoke { node: node.0 },
            Statement::Appoint(issuer) => appointment(issuer)?,
            Statement::Dismiss { node, keep } => StatementForm::Dismiss { node: node.0, keep: *keep },
            Statement::Leave { certificate } => StatementForm::Leave { certificate: certificate.into() },
            Statement::Quorum(quorum) => StatementForm::Quorum(quorum.try_into()?),
            Statement::Propose(change) => StatementForm::Propose(change.try_into()?),
            Statement::Approve { proposal } => StatementForm::Approve { proposal: *proposal },
            Statement::Enact { proposal, approvals } => {
                StatementForm::Enact { proposal: *proposal, approvals: List::of("approvals", approvals)? }
            }
            Statement::Publish(publication) => StatementForm::Publish(publication.try_into()?),
        };
        Ok(Self { mesh: mesh.0, number: *number, previous: *previous, at: at.0, statement })
    }
}

impl TryFrom<EntryForm<'_>> for AuthorityEntry {
    type Error = DecodeError;

    fn try_from(form: EntryForm<'_>) -> Result<Self, DecodeError> {
        let statement = match form.statement {
            StatementForm::Found { nonce } => Statement::Found { nonce },
            StatementForm::Revoke { node } => Statement::Revoke { node: NodeId(node) },
            StatementForm::Appoint { node, within } => {
                let scope = Scope { within: within.into_words()?, operators: Vec::new(), roles: Roles::ALL };
                Statement::Appoint(Issuer { node: NodeId(node), scope })
            }
            StatementForm::AppointFor(issuer) => Statement::Appoint(issuer.try_into()?),
            StatementForm::Quorum(quorum) => Statement::Quorum(quorum.try_into()?),
            StatementForm::Propose(change) => Statement::Propose(change.try_into()?),
            StatementForm::Approve { proposal } => Statement::Approve { proposal },
            StatementForm::Enact { proposal, approvals } => {
                Statement::Enact { proposal, approvals: approvals.into_words()? }
            }
            StatementForm::Publish(publication) => Statement::Publish(publication.try_into()?),
            StatementForm::Dismiss { node, keep } => Statement::Dismiss { node: NodeId(node), keep },
            StatementForm::Leave { certificate } => Statement::Leave { certificate: certificate.into() },
        };
        let EntryForm { mesh, number, previous, at, .. } = form;
        Ok(Self { mesh: MeshId(mesh), number, previous, at: WallTime(at), statement })
    }
}
