//! The first words on a connection, and invites. The order of the variants is part of the form.

use hither_types::id::{MeshId, NodeId};
use hither_types::message::{Hello, HelloReply, Invite};
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{Address, List, Text};
use crate::limits::{MAX_ADDRESSES, MAX_AUTHORITY, MAX_CATALOG, MAX_MEMBERS};
use crate::member::{RecordForm, SignedForm, halves, joined};

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

/// An invite with a pass. One without is written as the first form, which older nodes read.
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

impl<'a> TryFrom<&'a Invite> for InviteForm<'a> {
    type Error = EncodeError;

    fn try_from(invite: &'a Invite) -> Result<Self, EncodeError> {
        let Invite { mesh, issuer, addresses, secret, site, jurisdiction, expires, pass: _ } = invite;
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
        })
    }
}
