//! Certificates, members and where they are.

use hither_types::id::{MeshId, NodeId};
use hither_types::member::{Member, MemberRecord, Roles, Signed};
use hither_types::place::Jurisdiction;
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use crate::error::{DecodeError, EncodeError};
use crate::field::{Address, AssuranceCode, Bytes, List, Text};
use crate::limits::{MAX_ADDRESSES, MAX_CONTROL};

#[derive(Serialize, Deserialize)]
pub(crate) struct MemberForm<'a> {
    node: [u8; 32],
    mesh: [u8; 32],
    #[serde(borrow)]
    site: Text<'a>,
    jurisdiction: Text<'a>,
    control: Option<List<Text<'a>, MAX_CONTROL>>,
    operator: Text<'a>,
    assurance: AssuranceCode,
    expires: u64,
}

impl<'a> TryFrom<&'a Member> for MemberForm<'a> {
    type Error = EncodeError;

    fn try_from(member: &'a Member) -> Result<Self, EncodeError> {
        let Member { node, mesh, site, jurisdiction, control, operator, assurance, expires, roles: _ } = member;
        let states = |list: &'a Vec<Jurisdiction>| List::of("states that can compel one operator", list);
        Ok(Self {
            node: node.0,
            mesh: mesh.0,
            site: site.into(),
            jurisdiction: jurisdiction.into(),
            control: control.as_ref().map(states).transpose()?,
            operator: operator.into(),
            assurance: assurance.into(),
            expires: expires.0,
        })
    }
}

impl TryFrom<MemberForm<'_>> for Member {
    type Error = DecodeError;

    fn try_from(form: MemberForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            node: NodeId(form.node),
            mesh: MeshId(form.mesh),
            site: form.site.try_into()?,
            jurisdiction: form.jurisdiction.try_into()?,
            control: form.control.map(List::into_words).transpose()?,
            operator: form.operator.try_into()?,
            assurance: form.assurance.try_into()?,
            expires: WallTime(form.expires),
            roles: Roles::ALL,
        })
    }
}

/// A certificate that gives some roles and not others.
#[derive(Serialize, Deserialize)]
pub(crate) struct MemberForm2<'a> {
    #[serde(borrow)]
    member: MemberForm<'a>,
    roles: u8,
}

impl<'a> MemberForm2<'a> {
    pub(crate) fn of(member: MemberForm<'a>, roles: Roles) -> Self {
        Self { member, roles: roles.bits() }
    }
}

impl TryFrom<MemberForm2<'_>> for Member {
    type Error = DecodeError;

    fn try_from(form: MemberForm2<'_>) -> Result<Self, DecodeError> {
        Ok(Self { roles: roles(form.roles)?, ..Self::try_from(form.member)? })
    }
}

/// Reads roles. One that this program does not know is refused: it might take something away.
pub(crate) fn roles(bits: u8) -> Result<Roles, DecodeError> {
    Roles::from_bits(bits).ok_or(DecodeError::Code { what: "roles", code: bits })
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SignedForm<'a> {
    #[serde(borrow)]
    bytes: Bytes<'a>,
    signer: [u8; 32],
    signature: ([u8; 32], [u8; 32]),
}

impl<'a> From<&'a Signed> for SignedForm<'a> {
    fn from(signed: &'a Signed) -> Self {
        let Signed { bytes, signer, signature } = signed;
        Self { bytes: Bytes(bytes), signer: signer.0, signature: halves(signature) }
    }
}

/// A signature in two parts, for serde knows no array of 64.
pub(crate) fn halves(signature: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    first.copy_from_slice(&signature[..32]);
    second.copy_from_slice(&signature[32..]);
    (first, second)
}

/// The same, put together.
pub(crate) fn joined((first, second): &([u8; 32], [u8; 32])) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(first);
    signature[32..].copy_from_slice(second);
    signature
}

impl From<SignedForm<'_>> for Signed {
    fn from(form: SignedForm<'_>) -> Self {
        Self { bytes: form.bytes.0.to_vec(), signer: NodeId(form.signer), signature: joined(&form.signature) }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RecordForm<'a> {
    #[serde(borrow)]
    certificate: SignedForm<'a>,
    addresses: List<Address, MAX_ADDRESSES>,
}

impl<'a> TryFrom<&'a MemberRecord> for RecordForm<'a> {
    type Error = EncodeError;

    fn try_from(record: &'a MemberRecord) -> Result<Self, EncodeError> {
        let MemberRecord { certificate, addresses } = record;
        Ok(Self { certificate: certificate.into(), addresses: List::of("addresses of one node", addresses)? })
    }
}

impl TryFrom<RecordForm<'_>> for MemberRecord {
    type Error = DecodeError;

    fn try_from(form: RecordForm<'_>) -> Result<Self, DecodeError> {
        Ok(Self { certificate: form.certificate.into(), addresses: form.addresses.into_words()? })
    }
}
