//! A record as a reader sees it: the line, and what it says.

use std::fmt;

use hither_types::fact::{CANARY, Outcome, Permit, Ran};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, Tag};
use hither_types::kernel::KernelFault;
use hither_types::label::DataClass;
use hither_types::place::Jurisdiction;
use hither_types::unit::ByteCount;

use crate::canonical::{self, Raw, RawFields};
use crate::limits::KIND_BYTES_MAX;

mod parts;

pub use parts::{Deletion, KernelRecord, Place};

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
    /// Lists of the policy have other members from a day on.
    BlocChange = "bloc.change",
    /// A member joined.
    MemberJoin = "member.join",
    /// A member is none any more.
    MemberRevoke = "member.revoke",
    /// A member left for good, by its own word.
    MemberLeave = "member.leave",
    /// Members measured that a member answers from much farther than before.
    MemberMoved = "member.moved",
    /// The wall clock jumped against the steady one of the machine.
    ClockJump = "clock.jump",
    /// A damaged ledger was put aside, and this one began in its place.
    LossAccept = "loss.accept",
    /// The counters of a kernel were read.
    KernelCounted = "kernel.counted",
    /// They could not be.
    KernelUnread = "kernel.unread",
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
    /// The law would let a request out that must stay.
    CanaryPermit = "canary.permit",
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
    /// A copy of the ledger is about to be handed to somebody.
    Export = "export",
    /// The keys of an app's references were destroyed.
    ReferenceDestroy = "reference.destroy",
    /// Records were lost because they could not be written: how many, of which kinds.
    Gap = "gap",
    /// A crash was made good: bytes of an unfinished write were cut, records beyond the checkpoint were taken over.
    Recovered = "recovered",
    /// A closed segment is older than the law wants records kept: it is deleted, and the hashes of its records stay.
    RetentionDelete = "retention.delete",
    /// None that this program knows: a newer one wrote it. [`Record::word`] is what it calls it.
    Unknown = "unknown",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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
    /// What a newer program calls a kind that this one does not know. Of such a record only what every record has is read.
    pub strange: Option<String>,
    /// The request.
    pub request: Option<RequestId>,
    /// Which try; 0 for the request as a whole.
    pub attempt: Option<Attempt>,
    /// The app.
    pub app: Option<AppName>,
    /// The model that was asked for.
    pub model: Option<ModelName>,
    /// The model that ran, or was to run, if it is another than was asked for.
    pub ran: Option<Ran>,
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
    /// Who published it, if it came by the authority log.
    pub by: Option<NodeId>,
    /// The other end; of `config.start`, this one.
    pub place: Option<Place>,
    /// The country that payload left for the first time (`first_transfer`).
    pub left: Option<Jurisdiction>,
    /// The country that it went to; of whoever gets a copy of the ledger (`export`), where they are.
    pub to: Option<Jurisdiction>,
    /// Who gets a copy, if that was said (`export`).
    pub operator: Option<Operator>,
    /// The rules that permit that (`export`).
    pub rules: Vec<RuleId>,
    /// The rule that decided.
    pub rule: Option<RuleId>,
    /// What payload left by, if not by the rule and the policy of its intent (`egress.settled`).
    pub left_by: Option<Permit>,
    /// Bytes of payload that left, or are about to.
    pub bytes_out: Option<ByteCount>,
    /// Bytes of payload that came.
    pub bytes_in: Option<ByteCount>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// The relay that it passed, and where that stands if it was known.
    pub relay: Option<(NodeId, Option<Jurisdiction>)>,
    /// Who served it; none if nobody did (`request.end`).
    pub served_by: Option<NodeId>,
    /// Energy at this node, in millijoules (`request.end`).
    pub energy_mj: Option<u64>,
    /// From when it entered to its end, in milliseconds (`request.end`); none in ledgers of before this was recorded.
    pub took_ms: Option<u64>,
    /// The keyed reference to what was asked, if its app has them (`egress.intent`, `request.end`).
    pub reference: Option<Digest>,
    /// The digest of a model (`model.admit`, `model.publish`).
    pub digest: Option<Digest>,
    /// The version of the program (`config.start`).
    pub version: Option<String>,
    /// The build of the program, in hex digits (`config.start`).
    pub build: Option<String>,
    /// Records that were signed by the checkpoint of a ledger that was put aside (`loss.accept`), or copied (`export`).
    pub signed: Option<u64>,
    /// The day by which lists of the policy are read (`bloc.change`), or the last whose key was destroyed (`reference.destroy`).
    pub day: Option<String>,
    /// Who came into them and who went, such as `+our-adequate/US`.
    pub lists: Vec<String>,
    /// SHA-256 of its file (`loss.accept`).
    pub sha256: Option<Digest>,
    /// Records that a crash had left, and that were taken over (`recovered`).
    pub adopted: Option<u64>,
    /// Bytes of an unfinished line that were cut (`recovered`).
    pub bytes_cut: Option<u64>,
    /// How many records were lost (`gap`).
    pub dropped: Option<u64>,
    /// What was deleted (`retention.delete`).
    pub deletion: Option<Box<Deletion>>,
    /// What a kernel counted (`kernel.counted`).
    pub kernel: Option<Box<KernelRecord>>,
    /// Why its counters could not be read (`kernel.unread`).
    pub unread: Option<KernelFault>,
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
}

type Read<T> = Result<T, RecordError>;

/// A field, by its name and as it stands.
#[derive(Clone, Copy)]
struct Field<'a>(&'static str, Raw<'a>);

impl<'a> Field<'a> {
    fn wrong(self) -> RecordError {
        RecordError::Field(self.0)
    }

    fn integer(self) -> Read<u64> {
        match self.1 {
            Raw::Integer(number) => Ok(number),
            _ => Err(self.wrong()),
        }
    }

    /// No text that is read has a character that is escaped; one that has is no name, id or time.
    fn text(self) -> Read<&'a str> {
        match self.1 {
            Raw::Text(text) if !text.contains('\\') => Ok(text),
            _ => Err(self.wrong()),
        }
    }

    fn parsed<T, E>(self, parse: impl FnOnce(&str) -> Result<T, E>) -> Read<T> {
        parse(self.text()?).map_err(|_| self.wrong())
    }

    fn digest(self) -> Read<Digest> {
        let hex = self.text()?.strip_prefix("b3:").ok_or_else(|| self.wrong())?;
        Digest::parse(hex).map_err(|_| self.wrong())
    }

    fn list<T, E>(self, parse: impl Fn(&str) -> Result<T, E>) -> Read<Vec<T>> {
        let Raw::List(list) = self.1 else { return Err(self.wrong()) };
        let items = canonical::items(list).ok_or_else(|| self.wrong())?;
        items.into_iter().map(|item| Field(self.0, item).parsed(&parse)).collect()
    }
}

fn find<'a>(fields: &RawFields<'a>, name: &str) -> Option<Raw<'a>> {
    fields.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw)
}

fn required<T>(name: &'static str, value: Option<T>) -> Read<T> {
    value.ok_or(RecordError::Field(name))
}

/// A word as kinds are: a newer program may have more of them.
fn is_kind(word: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'_')
}

impl Record {
    /// Reads a line, without its line feed. Strict: only what this program could have written is a record, or what a newer
    /// one could have that has more kinds.
    pub fn parse(line: &str) -> Result<Self, RecordError> {
        let fields = canonical::fields(line).ok_or_else(|| RecordError::Form(canonical::explain(line)))?;
        let field = |name| required(name, find(&fields, name)).map(|raw| Field(name, raw));
        let version = field("v")?.integer()?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let word = field("kind")?.text()?;
        let known = Kind::ALL.iter().find(|kind| kind.as_str() == word && **kind != Kind::Unknown);
        if known.is_none() && !is_kind(word) {
            return Err(RecordError::Field("kind"));
        }
        let mut record = Self {
            line: line.to_owned(),
            seq: field("seq")?.integer()?,
            node: field("node")?.parsed(NodeId::parse)?,
            ts: field("ts")?.text()?.to_owned(),
            mono_ms: field("mono_ms")?.integer()?,
            kind: known.copied().unwrap_or(Kind::Unknown),
            strange: known.is_none().then(|| word.to_owned()),
            request: None,
            attempt: None,
            app: None,
            model: None,
            ran: None,
            class: None,
            subjects: Vec::new(),
            tags: Vec::new(),
            purpose: None,
            policy: None,
            by: None,
            day: None,
            lists: Vec::new(),
            place: None,
            left: None,
            to: None,
            operator: None,
            rules: Vec::new(),
            rule: None,
            left_by: None,
            bytes_out: None,
            bytes_in: None,
            outcome: None,
            relay: None,
            served_by: None,
            energy_mj: None,
            took_ms: None,
            reference: None,
            digest: None,
            version: None,
            build: None,
            signed: None,
            sha256: None,
            adopted: None,
            bytes_cut: None,
            dropped: None,
            deletion: None,
            kernel: None,
            unread: None,
        };
        if record.kind == Kind::Unknown {
            return Ok(record);
        }
        for (name, raw) in &fields {
            record.take(name, *raw)?;
        }
        if record.kind == Kind::RetentionDelete {
            record.deletion = Some(Box::new(parts::deletion(&fields)?));
        }
        if record.kind == Kind::KernelCounted {
            record.kernel = Some(Box::new(parts::kernel(&fields)?));
        }
        if record.kind == Kind::KernelUnread {
            record.unread = Some(parts::fault(&fields)?);
        }
        record.check()?;
        Ok(record)
    }

    /// The word for its kind, also for one that this program does not know.
    pub fn word(&self) -> &str {
        self.strange.as_deref().unwrap_or(self.kind.as_str())
    }

    /// Whether it is about a request that nobody made: the test of the law of every hour.
    pub fn is_of_canary(&self) -> bool {
        let is = |name: Option<&str>| name == Some(CANARY);
        is(self.app.as_ref().map(AppName::as_str)) && is(self.model.as_ref().map(ModelName::as_str))
    }

    /// Takes in one field, if it is one that a reader sums up. Others are for people.
    fn take(&mut self, name: &str, raw: Raw<'_>) -> Read<()> {
        match name {
            "req" => self.request = Some(Field("req", raw).parsed(RequestId::parse)?),
            "attempt" => self.attempt = Some(Attempt(Field("attempt", raw).small()?)),
            "app" => self.app = Some(Field("app", raw).parsed(AppName::parse)?),
            "model" => self.model = Some(Field("model", raw).parsed(ModelName::parse)?),
            "ran" => self.ran = Some(Field("ran", raw).ran()?),
            "class" => self.class = Some(Field("class", raw).parsed(DataClass::parse)?),
            "subj" => self.subjects = Field("subj", raw).list(Jurisdiction::parse)?,
            "tags" => self.tags = Field("tags", raw).list(Tag::parse)?,
            "purpose" => self.purpose = Some(Field("purpose", raw).parsed(Purpose::parse)?),
            "policy" => self.policy = Some(Field("policy", raw).digest()?),
            "place" => self.place = Some(Field("place", raw).place()?),
            // A deletion has a time by this name.
            "to" if self.kind != Kind::RetentionDelete => self.to = Some(Field("to", raw).parsed(Jurisdiction::parse)?),
            "op" => self.operator = Some(Field("op", raw).parsed(Operator::parse)?),
            "rules" => self.rules = Field("rules", raw).list(RuleId::parse)?,
            "left" => self.left = Some(Field("left", raw).parsed(Jurisdiction::parse)?),
            "rule" => self.rule = Some(Field("rule", raw).parsed(RuleId::parse)?),
            "left_by" => self.left_by = Some(Field("left_by", raw).permit()?),
            "bytes_out" => self.bytes_out = Some(ByteCount(Field("bytes_out", raw).integer()?)),
            "bytes_in" => self.bytes_in = Some(ByteCount(Field("bytes_in", raw).integer()?)),
            "outcome" => self.outcome = Some(Field("outcome", raw).outcome()?),
            "relay" => self.relay = Some(Field("relay", raw).relay()?),
            "served_by" => self.served_by = Some(Field("served_by", raw).parsed(NodeId::parse)?),
            "energy_mj" => self.energy_mj = Some(Field("energy_mj", raw).integer()?),
            "took_ms" => self.took_ms = Some(Field("took_ms", raw).integer()?),
            "ref" => self.reference = Field("ref", raw).reference()?,
            "digest" => self.digest = Some(Field("digest", raw).digest()?),
            // Of models and versions others say who published them; nobody sums those up.
            "by" if self.kind == Kind::PolicyChange => self.by = Some(Field("by", raw).parsed(NodeId::parse)?),
            "version" => self.version = Some(Field("version", raw).text()?.to_owned()),
            "build" => self.build = Some(Field("build", raw).text()?.to_owned()),
            "day" | "last_day" => self.day = Some(Field("day", raw).text()?.to_owned()),
            "lists" => self.lists = Field("lists", raw).list(|text| Ok::<_, ()>(text.to_owned()))?,
            "signed" => self.signed = Some(Field("signed", raw).integer()?),
            "sha256" => self.sha256 = Some(Field("sha256", raw).parsed(Digest::parse)?),
            "adopted" => self.adopted = Some(Field("adopted", raw).integer()?),
            "bytes_cut" => self.bytes_cut = Some(Field("bytes_cut", raw).integer()?),
            "dropped" => self.dropped = Some(Field("dropped", raw).integer()?),
            _ => {}
        }
        Ok(())
    }

    /// What must be there for each kind, so that whoever sums up does not have to ask.
    fn check(&self) -> Result<(), RecordError> {
        let about_request = matches!(
            self.kind,
            Kind::Deny
                | Kind::CanaryPermit
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
        if matches!(self.kind, Kind::EgressIntent | Kind::IngressAccept | Kind::CanaryPermit) {
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
        if self.kind == Kind::RetentionDelete {
            required("policy", self.policy)?;
        }
        if self.kind == Kind::FirstTransfer {
            required("left", self.left)?;
        }
        if matches!(self.kind, Kind::FirstTransfer | Kind::Export) {
            required("to", self.to)?;
        }
        if self.kind == Kind::Export {
            required("signed", self.signed)?;
        }
        if self.kind == Kind::ReferenceDestroy {
            required("app", self.app.as_ref())?;
            required("last_day", self.day.as_ref())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
