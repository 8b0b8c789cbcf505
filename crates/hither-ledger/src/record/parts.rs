//! Parts of records that have a form of their own: the other end of a transfer, what a kernel counted, what was deleted, the
//! relay that payload passed.

use hither_types::fact::{Outcome, Permit, Ran};
use hither_types::id::{Digest, ModelName, NodeId, Operator, RuleId, SiteName};
use hither_types::kernel::KernelFault;
use hither_types::place::{Jurisdiction, PlaceKind};
use hither_types::spending::Link;
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

use super::{Field, Read, Record, find, required};
use crate::body::{REFERENCE_PREFIX, kind_word, outcome_word, parse_rfc3339, rfc3339};
use crate::canonical::{self, Raw, RawFields};
use crate::tree::Hash;

/// The other end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// Who runs it; none in ledgers of before this was recorded.
    pub operator: Option<Operator>,
    /// Which states can compel them; none if that is not known, empty if nobody can.
    pub control: Option<Vec<Jurisdiction>>,
    /// What it is to the node that wrote; none in ledgers of before this was recorded.
    pub kind: Option<PlaceKind>,
    /// How well its jurisdiction is supported: 0 claimed, 1 vouched, 2 near, 3 hardware.
    pub assurance: u64,
}

impl Place {
    /// The way that payload goes to it from where a node stands; none if not enough is known of the two.
    pub fn link_from(&self, here: &Self) -> Option<Link> {
        match self.kind? {
            PlaceKind::Home => Some(Link::Lan),
            PlaceKind::Cloud => Some(Link::Cloud),
            PlaceKind::Peer => Some(Link::between((&here.site, here.jurisdiction), (&self.site, self.jurisdiction))),
        }
    }
}

/// A segment that was deleted, as its record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The number of its first record.
    pub first: u64,
    /// How many records it held.
    pub count: u64,
    /// The RFC 6962 root over its records alone.
    pub root: Hash,
    /// The longest period among its origins, which it outlived.
    pub days: u64,
    /// Where its requests came from, and where the node stood.
    pub origins: Vec<Jurisdiction>,
    /// The time of its oldest record, RFC 3339.
    pub from: String,
    /// The time of its newest record.
    pub to: String,
}

impl Deletion {
    /// The number of the first record behind it.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

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

fn parse_kind(text: &str) -> Result<PlaceKind, ()> {
    let kinds = [PlaceKind::Home, PlaceKind::Peer, PlaceKind::Cloud];
    kinds.into_iter().find(|kind| kind_word(*kind) == text).ok_or(())
}

impl Record {
    /// When it was written; none if that is no time.
    pub fn written(&self) -> Option<WallTime> {
        parse_rfc3339(&self.ts)
    }

    /// When what ends with it began; none if that is not on the record.
    pub fn began(&self) -> Option<String> {
        Some(rfc3339(WallTime(self.written()?.0.checked_sub(self.took_ms?)?)))
    }
}

impl Field<'_> {
    /// A number of one byte.
    pub(super) fn small(self) -> Read<u8> {
        u8::try_from(self.integer()?).map_err(|_| self.wrong())
    }

    pub(super) fn outcome(self) -> Read<Outcome> {
        let all = [Outcome::Answered, Outcome::Refused, Outcome::Cancelled];
        let text = self.text()?;
        all.into_iter().find(|outcome| outcome_word(*outcome) == text).ok_or_else(|| self.wrong())
    }

    /// A keyed reference. One that another function made, which a newer program may have, is none that this one can check.
    pub(super) fn reference(self) -> Read<Option<Digest>> {
        let mac = self.text()?.strip_prefix(REFERENCE_PREFIX);
        mac.map(Digest::parse).transpose().map_err(|_| self.wrong())
    }

    /// The other end of a transfer.
    pub(super) fn place(self) -> Read<Place> {
        let Raw::Object(object) = self.1 else { return Err(self.wrong()) };
        let fields = canonical::fields(object).ok_or_else(|| self.wrong())?;
        let some = |name| find(&fields, name).map(|raw| Field(self.0, raw));
        let field = |name| some(name).ok_or_else(|| self.wrong());
        let assurance = field("assurance")?.integer()?;
        if assurance > 3 {
            return Err(self.wrong());
        }
        Ok(Place {
            node: field("node")?.parsed(NodeId::parse)?,
            site: field("site")?.parsed(SiteName::parse)?,
            jurisdiction: field("jur")?.parsed(Jurisdiction::parse)?,
            operator: some("op").map(|operator| operator.parsed(Operator::parse)).transpose()?,
            control: some("control").map(|control| control.list(Jurisdiction::parse)).transpose()?,
            kind: some("kind").map(|kind| kind.parsed(parse_kind)).transpose()?,
            assurance,
        })
    }

    /// A model that ran in the place of another.
    pub(super) fn ran(self) -> Read<Ran> {
        let Raw::Object(object) = self.1 else { return Err(self.wrong()) };
        let fields = canonical::fields(object).ok_or_else(|| self.wrong())?;
        let field = |name| find(&fields, name).map(|raw| Field(self.0, raw)).ok_or_else(|| self.wrong());
        Ok(Ran { model: field("model")?.parsed(ModelName::parse)?, digest: field("digest")?.digest()? })
    }

    /// What payload left by.
    pub(super) fn permit(self) -> Read<Permit> {
        let Raw::Object(object) = self.1 else { return Err(self.wrong()) };
        let fields = canonical::fields(object).ok_or_else(|| self.wrong())?;
        let field = |name| find(&fields, name).map(|raw| Field(self.0, raw)).ok_or_else(|| self.wrong());
        Ok(Permit { rule: field("rule")?.parsed(RuleId::parse)?, policy: field("policy")?.digest()? })
    }

    /// The node of a relay, and where it stands if that was known.
    pub(super) fn relay(self) -> Read<(NodeId, Option<Jurisdiction>)> {
        let Raw::Object(object) = self.1 else { return Err(self.wrong()) };
        let fields = canonical::fields(object).ok_or_else(|| self.wrong())?;
        let field = |name| find(&fields, name).map(|raw| Field(self.0, raw));
        let node = field("node").ok_or_else(|| self.wrong())?.parsed(NodeId::parse)?;
        Ok((node, field("jur").map(|jur| jur.parsed(Jurisdiction::parse)).transpose()?))
    }
}
