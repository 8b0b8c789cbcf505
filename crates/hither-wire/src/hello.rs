//! The first words on a connection, and invites. The order of the variants is part of the form.

use hither_types::id::{MeshId, NodeId};
use hither_types::member::Roles;
use hither_types::message::{Comparison, Hello, HelloReply, Invite};
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{Address, List, Text};
use crate::limits::{MAX_ADDRESSES, MAX_AUTHORITY, MAX_CATALOG, MAX_MEMBERS};
use crate::member::{RecordForm, SignedForm, halves, joined, roles};

#[derive(Serialize, Deserialize)]
pub(crate) enum HelloForm<'a> {
    Join {
        mesh: [u8; 32],
        invite: [u8; 16],
        proof: [u8; 32],
        addresses: List<Address, MAX_ADDRESSES>,
    },
    #[serde(borrow)]
    Introduce(RecordForm<'a>),
    Meet {
        mesh: [u8; 32],
        invite: [u8; 16],
        proof: [u8; 32],
        commitment: [u8; 32],
    },
    Reveal {
        invite: [u8; 16],
        number: [u8; 32],
        addresses: List<Address, MAX_ADDRESSES>,
    },
}

impl<'a> TryFrom<&'a Hello> for HelloForm<'a> {
    type Error = EncodeError;

    fn try_from(hello: &'a Hello) -> Result<Self, EncodeError> {
        Ok(match hello {
            Hello::Join { mesh, invite, proof, addresses } => Self::Join {
                mesh: mesh.0,
                invite: *invite,
                proof: *proof,
                addresses: List::of("addresses of one node", addresses)?,
            },
            Hello::Introduce(record) => Self::Introduce(record.try_into()?),
            Hello::Meet { mesh, invite, proof, commitment } => {
                Self::Meet { mesh: mesh.0, invite: *invite, proof: *proof, commitment: *commitment }
            }
            Hello::Reveal { invite, number, addresses } => Self::Reveal {
                invite: *invite,
                number: *number,
                addresses: List::of("addresses of one node", addresses)?,
            },
        })
    }
}

impl TryFrom<HelloForm<'_>> for Hello {
    type Error = DecodeError;

    fn try_from(form: HelloForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            HelloForm::Join { mesh, invite, proof, addresses } => {
                Self::Join { mesh: MeshId(mesh), invite, proof, addresses: addresses.into_words()? }
            }
            HelloForm::Introduce(record) => Self::Introduce(record.try_into()?),
            HelloForm::Meet { mesh, invite, proof, commitment } => {
                Self::Meet { mesh: MeshId(mesh), invite, proof, commitment }
            }
            HelloForm::Reveal { invite, number, addresses } => {
                Self::Reveal { invite, number, addresses: addresses.into_words()? }
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) enum ReplyForm<'a> {
    Welcome {
        #[serde(borrow)]
        certificate: SignedForm<'a>,
        members: List<RecordForm<'a>, MAX_MEMBERS>,
        catalog: List<SignedForm<'a>, MAX_CATALOG>,
        authority: List<SignedForm<'a>, MAX_AUTHORITY>,
    },
    Refused(Text<'a>),
    Met([u8; 32]),
    Waiting,
}

impl<'a> TryFrom<&'a HelloReply> for ReplyForm<'a> {
    type Error = EncodeError;

    fn try_from(reply: &'a HelloReply) -> Result<Self, EncodeError> {
        Ok(match reply {
            HelloReply::Welcome { certificate, members, catalog, authority } => Self::Welcome {
                certificate: certificate.into(),
                members: List::of("members", members)?,
                catalog: List::of("entries of the catalog", catalog)?,
                authority: List::of("entries of the authority log", authority)?,
            },
            HelloReply::Refused(why) => Self::Refused(Text::sentence(why)),
            HelloReply::Met(number) => Self::Met(*number),
            HelloReply::Waiting => Self::Waiting,
        })
    }
}

impl TryFrom<ReplyForm<'_>> for HelloReply {
    type Error = DecodeError;

    fn try_from(form: ReplyForm<'_>) -> Result<Self, DecodeError> {
        Ok(match form {
            ReplyForm::Welcome { certificate, members, catalog, authority } => Self::Welcome {
                certificate: certificate.into(),
                members: members.into_words()?,
                catalog: catalog.into_words()?,
                authority: authority.into_words()?,
            },
            ReplyForm::Refused(why) => Self::Refused(why.into_sentence("the reason of a refusal")?),
            ReplyForm::Met(number) => Self::Met(number),
            ReplyForm::Waiting => Self::Waiting,
        })
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct InviteForm<'a> {
    mesh: [u8; 32],
    issuer: [u8; 32],
    addresses: List<Address, MAX_ADDRESSES>,
    secret: [u8; 16],
    #[serde(borrow)]
    site: Text<'a>,
    jurisdiction: Text<'a>,
    expires: u64,
}

/// An invite with a pass, and nothing of words and roles.
#[derive(Serialize, Deserialize)]
pub(crate) struct InviteForm2<'a> {
    #[serde(borrow)]
    invite: InviteForm<'a>,
    pass: ([u8; 32], [u8; 32]),
}

impl<'a> InviteForm2<'a> {
    pub(crate) fn of(invite: InviteForm<'a>, pass: &[u8; 64]) -> Self {
        Self { invite, pass: halves(pass) }
    }
}

impl TryFrom<InviteForm2<'_>> for Invite {
    type Error = DecodeError;

    fn try_from(form: InviteForm2<'_>) -> Result<Self, DecodeError> {
        Ok(Self { pass: Some(joined(&form.pass)), ..Self::try_from(form.invite)? })
    }
}

/// An invite that says what becomes of words, and what the joiner may do.
#[derive(Serialize, Deserialize)]
pub(crate) struct InviteForm3<'a> {
    #[serde(borrow)]
    invite: InviteForm<'a>,
    pass: Option<([u8; 32], [u8; 32])>,
    comparison: ComparisonCode,
    roles: u8,
    operator: Option<Text<'a>>,
}

#[derive(Serialize, Deserialize)]
enum ComparisonCode {
    Shown,
    Typed,
}

impl<'a> InviteForm3<'a> {
    pub(crate) fn of(invite: InviteForm<'a>, whole: &'a Invite, comparison: Comparison) -> Self {
        let comparison = match comparison {
            Comparison::Shown => ComparisonCode::Shown,
            Comparison::Typed => ComparisonCode::Typed,
        };
        let Invite { pass, roles, operator, .. } = whole;
        let (pass, operator) = (pass.as_ref().map(halves), operator.as_ref().map(Into::into));
        Self { invite, pass, comparison, roles: roles.bits(), operator }
    }
}

impl TryFrom<InviteForm3<'_>> for Invite {
    type Error = DecodeError;

    fn try_from(form: InviteForm3<'_>) -> Result<Self, DecodeError> {
        let comparison = match form.comparison {
            ComparisonCode::Shown => Comparison::Shown,
            ComparisonCode::Typed => Comparison::Typed,
        };
        Ok(Self {
            pass: form.pass.as_ref().map(joined),
            comparison: Some(comparison),
            roles: roles(form.roles)?,
            operator: form.operator.map(TryInto::try_into).transpose()?,
            ..Self::try_from(form.invite)?
        })
    }
}

impl<'a> TryFrom<&'a Invite> for InviteForm<'a> {
    type Error = EncodeError;

    fn try_from(invite: &'a Invite) -> Result<Self, EncodeError> {
        let Invite { mesh, issuer, addresses, secret, site, jurisdiction, expires, .. } = invite;
        Ok(Self {
            mesh: mesh.0,
            issuer: issuer.0,
            addresses: List::of("addresses of one node", addresses)?,
            secret: *secret,
            site: site.into(),
            jurisdiction: jurisdiction.into(),
            expires: expires.0,
        })
    }
}

impl TryFrom<InviteForm<'_>> for Invite {
    type Error = DecodeError;

    fn try_from(form: InviteForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            mesh: MeshId(form.mesh),
            issuer: NodeId(form.issuer),
            addresses: form.addresses.into_words()?,
            secret: form.secret,
            site: form.site.try_into()?,
            jurisdiction: form.jurisdiction.try_into()?,
            expires: WallTime(form.expires),
            pass: None,
            comparison: None,
            roles: Roles::ALL,
            operator: None,
        })
    }
}
