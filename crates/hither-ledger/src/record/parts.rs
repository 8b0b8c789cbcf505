//! Parts that only some kinds of records have: what a kernel counted, what was deleted, the relay that payload passed.

use hither_types::id::{Digest, NodeId};
use hither_types::kernel::KernelFault;
use hither_types::place::Jurisdiction;
use hither_types::unit::ByteCount;

use super::{Deletion, Field, Read, find, required};
use crate::canonical::{self, Raw, RawFields};

/// What the counters of a kernel held, as its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelRecord {
    /// `first`, `since` or `reset`.
    pub span: String,
    /// The moment of the reading before, RFC 3339.
    pub since: Option<String>,
    /// Bytes to members to whom the policy lets something go.
    pub lawful: ByteCount,
    /// Bytes to other members.
    pub talk: ByteCount,
    /// Packets to anybody else.
    pub leak_packets: u64,
    /// Payload that the ledger has for the same time, if it can be compared.
    pub payload: Option<ByteCount>,
}

pub(super) fn kernel(fields: &RawFields<'_>) -> Read<KernelRecord> {
    let optional = |name| find(fields, name).map(|raw| Field(name, raw));
    let field = |name| required(name, optional(name));
    let bytes = |name| field(name).and_then(Field::integer).map(ByteCount);
    Ok(KernelRecord {
        span: field("span")?.text()?.to_owned(),
        since: optional("since").map(|since| since.text().map(ToOwned::to_owned)).transpose()?,
        lawful: bytes("lawful")?,
        talk: bytes("talk")?,
        leak_packets: field("leak_packets")?.integer()?,
        payload: optional("payload").map(Field::integer).transpose()?.map(ByteCount),
    })
}

pub(super) fn fault(fields: &RawFields<'_>) -> Read<KernelFault> {
    let parse = |text: &str| KernelFault::ALL.into_iter().find(|fault| fault.as_str() == text).ok_or(());
    Field("fault", required("fault", find(fields, "fault"))?).parsed(parse)
}

pub(super) fn deletion(fields: &RawFields<'_>) -> Read<Deletion> {
    let field = |name| required(name, find(fields, name)).map(|raw| Field(name, raw));
    Ok(Deletion {
        first: field("first")?.integer()?,
        count: field("count")?.integer()?,
        root: field("root")?.parsed(Digest::parse)?.0,
        days: field("days")?.integer()?,
        origins: field("origins")?.list(Jurisdiction::parse)?,
        from: field("from")?.text()?.to_owned(),
        to: field("to")?.text()?.to_owned(),
    })
}

impl Field<'_> {
    /// The node of a relay, and where it stands if that was known.
    pub(super) fn relay(self) -> Read<(NodeId, Option<Jurisdiction>)> {
        let Raw::Object(object) = self.1 else { return Err(self.wrong()) };
        let fields = canonical::fields(object).ok_or_else(|| self.wrong())?;
        let field = |name| find(&fields, name).map(|raw| Field(self.0, raw));
        let node = field("node").ok_or_else(|| self.wrong())?.parsed(NodeId::parse)?;
        Ok((node, field("jur").map(|jur| jur.parsed(Jurisdiction::parse)).transpose()?))
    }
}
