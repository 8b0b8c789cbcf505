//! What a reader is told of the counters of a kernel.

use hither_types::kernel::KernelFault;
use hither_types::unit::ByteCount;

use super::{Field, Read, find, required};
use crate::canonical::RawFields;

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

pub(super) fn count(fields: &RawFields<'_>) -> Read<KernelRecord> {
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
