//! A record as a reader sees it: the line, and what it says.

use std::fmt;

use hither_types::fact::Outcome;
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Purpose, RequestId, RuleId, SiteName, Tag};
use hither_types::label::DataClass;
use hither_types::place::Jurisdiction;
use hither_types::unit::ByteCount;

use crate::body::outcome_word;
use crate::canonical::{self, Object, Value};

/// The version of the form of a record.
pub(crate) const VERSION: u64 = 1;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What a record is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the record.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

kinds! {
    /// The node started.
    ConfigStart = "config.start",
    /// The law changed.
    PolicyChange = "policy.change",
    /// A member joined.
    MemberJoin = "member.join",
    /// A member is none any more.
    MemberRevoke = "member.revoke",
    /// A member left for good, by its own word.
    MemberLeave = "member.leave",
    /// The wall clock jumped against the steady one of the machine.
    ClockJump = "clock.jump",
    /// A damaged ledger was put aside, and this one began in its place.
    LossAccept = "loss.accept",
    /// A model was admitted to the store.
    ModelAdmit = "model.admit",
    /// An entry of the catalog was taken in.
    ModelPublish = "model.publish",
    /// A new version of a model takes over, or is taken back.
    ModelRollout = "model.rollout",
    /// A member found a new version bad.
    ModelJudged = "model.judged",
    /// A request was refused by law.
    Deny = "deny",
    /// Payload is about to leave with a request.
    EgressIntent = "egress.intent",
    /// Payload is about to leave for a country to which none left before.
    FirstTransfer = "first_transfer",
    /// A filter found something in it before it left.
    EgressFiltered = "egress.filtered",
    /// What became of it.
    EgressSettled = "egress.settled",
    /// Payload from a peer was accepted.
    IngressAccept = "ingress.accept",
    /// Payload from a peer was refused.
    IngressRefuse = "ingress.refuse",
    /// The answer to a peer ended.
    EgressAnswer = "egress.answer",
    /// A request that entered here ended.
    RequestEnd = "request.end",
    /// Records were lost because they could not be written: how many, of which kinds.
    Gap = "gap",
    /// A crash was made good: bytes of an unfinished write were cut, records beyond the checkpoint were taken over.
    Recovered = "recovered",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The other end of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeId,
    /// Its site.
    pub site: SiteName,
    /// Where it stands.
    pub jurisdiction: Jurisdiction,
    /// How well that is supported: 0 claimed, 1 vouched, 2 near, 3 hardware.
    pub assurance: u64,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The line, without the line feed: exactly what was hashed.
    pub line: String,
    /// Its number, from 0, without holes.
    pub seq: u64,
    /// Who wrote it.
    pub node: NodeId,
    /// Wall time, RFC 3339.
    pub ts: String,
    /// Milliseconds since the node started.
    pub mono_ms: u64,
    /// What it is about.
    pub kind: Kind,
    /// The request.
    pub request: Option<RequestId>,
    /// Which try; 0 for the request as a whole.
    pub attempt: Option<Attempt>,
    /// The app.
    pub app: Option<AppName>,
    /// The model.
    pub model: Option<ModelName>,
    /// The class of the data.
    pub class: Option<DataClass>,
    /// The jurisdictions of the people concerned.
    pub subjects: Vec<Jurisdiction>,
    /// Marks on the data.
    pub tags: Vec<Tag>,
    /// What it is for.
    pub purpose: Option<Purpose>,
    /// The policy in force.
    pub policy: Option<Digest>,
    /// The other end; of `config.start`, this one.
    pub place: Option<Place>,
    /// The rule that decided.
    pub rule: Option<RuleId>,
    /// Bytes of payload that left, or are about to.
    pub bytes_out: Option<ByteCount>,
    /// Bytes of payload that came.
    pub bytes_in: Option<ByteCount>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Who served it; none if nobody did (`request.end`).
    pub served_by: Option<NodeId>,
    /// Energy at this node, in millijoules (`request.end`).
    pub energy_mj: Option<u64>,
    /// The digest of a model (`model.admit`, `model.publish`).
    pub digest: Option<Digest>,
    /// The version of the program (`config.start`).
    pub version: Option<String>,
    /// Records that were signed by the checkpoint of a ledger that was put aside (`loss.accept`).
    pub signed: Option<u64>,
    /// SHA-256 of its file (`loss.accept`).
    pub sha256: Option<Digest>,
    /// Records that a crash had left, and that were taken over (`recovered`).
    pub adopted: Option<u64>,
    /// Bytes of an unfinished line that were cut (`recovered`).
    pub bytes_cut: Option<u64>,
    /// How many records were lost (`gap`).
    pub dropped: Option<u64>,
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The form is wrong.
    #[error("{0}")]
    Form(&'static str),
    /// Longer than any record.
    #[error("longer than {} bytes", crate::limits::LINE_BYTES_MAX)]
    TooLong,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Encoding,
    /// A newer program wrote it.
    #[error("version {0} of the form, this program knows {VERSION}: verify it with a newer program")]
    Version(u64),
    /// A field is missing, or is not what it should be.
    #[error("the field {0:?} is missing or malformed")]
    Field(&'static str),
    /// A kind that this program does not know.
    #[error("a kind of record that this program does not know: verify it with one as new as the node that wrote it")]
    Kind,
}

struct Fields(Object);

impl Fields {
    fn integer(&self, name: &'static str) -> Result<Option<u64>, RecordError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Integer(number)) => Ok(Some(*number)),
            Some(_) => Err(RecordError::Field(name)),
        }
    }

    fn text(&self, name: &'static str) -> Result<Option<&str>, RecordError> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(RecordError::Field(name)),
        }
    }

    fn parsed<T, E>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, RecordError> {
        self.text(name)?.map(|text| parse(text).map_err(|_| RecordError::Field(name))).transpose()
    }

    fn digest(&self, name: &'static str) -> Result<Option<Digest>, RecordError> {
        self.parsed(name, |text| text.strip_prefix("b3:").map(Digest::parse).ok_or(()))?
            .transpose()
            .map_err(|_| RecordError::Field(name))
    }

    fn list<T, E>(&self, name: &'static str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, RecordError> {
        let wrong = || RecordError::Field(name);
        match self.0.get(name) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => items
                .iter()
                .map(|item| match item {
                    Value::Text(text) => parse(text).map_err(|_| wrong()),
                    _ => Err(wrong()),
                })
                .collect(),
            Some(_) => Err(wrong()),
        }
    }

    fn place(&self) -> Result<Option<Place>, RecordError> {
        let wrong = || RecordError::Field("place");
        let object = match self.0.get("place") {
            None => return Ok(None),
            Some(Value::Object(object)) => Fields(object.clone()),
            Some(_) => return Err(wrong()),
        };
        Ok(Some(Place {
            node: object.parsed("node", NodeId::parse)?.ok_or_else(wrong)?,
            site: object.parsed("site", SiteName::parse)?.ok_or_else(wrong)?,
            jurisdiction: object.parsed("jur", Jurisdiction::parse)?.ok_or_else(wrong)?,
            assurance: object.integer("assurance")?.filter(|level| *level <= 3).ok_or_else(wrong)?,
        }))
    }
}

fn required<T>(name: &'static str, value: Option<T>) -> Result<T, RecordError> {
    value.ok_or(RecordError::Field(name))
}

impl Record {
    /// Reads a line, without its line feed. Strict: only what this program could have written is a record.
    pub fn parse(line: &str) -> Result<Self, RecordError> {
        let fields = Fields(canonical::parse(line).map_err(RecordError::Form)?);
        let version = required("v", fields.integer("v")?)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let word = required("kind", fields.text("kind")?)?;
        let kind = *Kind::ALL.iter().find(|kind| kind.as_str() == word).ok_or(RecordError::Kind)?;
        let record = Self {
            line: line.to_owned(),
            seq: required("seq", fields.integer("seq")?)?,
            node: required("node", fields.parsed("node", NodeId::parse)?)?,
            ts: required("ts", fields.text("ts")?)?.to_owned(),
            mono_ms: required("mono_ms", fields.integer("mono_ms")?)?,
            kind,
            request: fields.parsed("req", RequestId::parse)?,
            attempt: fields
                .integer("attempt")?
                .map(u8::try_from)
                .transpose()
                .map_err(|_| RecordError::Field("attempt"))?
                .map(Attempt),
            app: fields.parsed("app", AppName::parse)?,
            model: fields.parsed("model", ModelName::parse)?,
            class: fields.parsed("class", DataClass::parse)?,
            subjects: fields.list("subj", Jurisdiction::parse)?,
            tags: fields.list("tags", Tag::parse)?,
            purpose: fields.parsed("purpose", Purpose::parse)?,
            policy: fields.digest("policy")?,
            place: fields.place()?,
            rule: fields.parsed("rule", RuleId::parse)?,
            bytes_out: fields.integer("bytes_out")?.map(ByteCount),
            bytes_in: fields.integer("bytes_in")?.map(ByteCount),
            outcome: fields.parsed("outcome", parse_outcome)?,
            served_by: fields.parsed("served_by", NodeId::parse)?,
            energy_mj: fields.integer("energy_mj")?,
            digest: fields.digest("digest")?,
            version: fields.text("version")?.map(str::to_owned),
            signed: fields.integer("signed")?,
            sha256: fields.parsed("sha256", Digest::parse)?,
            adopted: fields.integer("adopted")?,
            bytes_cut: fields.integer("bytes_cut")?,
            dropped: fields.integer("dropped")?,
        };
        record.check()?;
        Ok(record)
    }

    /// What must be there for each kind, so that whoever sums up does not have to ask.
    fn check(&self) -> Result<(), RecordError> {
        let about_request = matches!(
            self.kind,
            Kind::Deny
                | Kind::RequestEnd
                | Kind::EgressIntent
                | Kind::EgressFiltered
                | Kind::EgressSettled
                | Kind::IngressAccept
                | Kind::IngressRefuse
                | Kind::EgressAnswer
        );
        if about_request {
            required("req", self.request)?;
            required("attempt", self.attempt)?;
            required("app", self.app.as_ref())?;
            required("model", self.model.as_ref())?;
            required("class", self.class)?;
        }
        let transfer = about_request && !matches!(self.kind, Kind::Deny | Kind::RequestEnd);
        if transfer || matches!(self.kind, Kind::MemberJoin | Kind::MemberRevoke | Kind::MemberLeave) {
            required("place", self.place.as_ref())?;
        }
        if matches!(self.kind, Kind::EgressIntent | Kind::IngressAccept) {
            required("rule", self.rule.as_ref())?;
        }
        if matches!(self.kind, Kind::EgressIntent | Kind::EgressSettled | Kind::EgressAnswer) {
            required("bytes_out", self.bytes_out)?;
        }
        if matches!(self.kind, Kind::EgressSettled | Kind::IngressAccept) {
            required("bytes_in", self.bytes_in)?;
        }
        if matches!(self.kind, Kind::EgressSettled | Kind::EgressAnswer | Kind::RequestEnd) {
            required("outcome", self.outcome)?;
        }
        if self.kind == Kind::Gap {
            required("dropped", self.dropped)?;
        }
        Ok(())
    }
}

fn parse_outcome(text: &str) -> Result<Outcome, ()> {
    [Outcome::Answered, Outcome::Refused, Outcome::Cancelled]
        .into_iter()
        .find(|outcome| outcome_word(*outcome) == text)
        .ok_or(())
}

#[cfg(test)]
mod tests;
