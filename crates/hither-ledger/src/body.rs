//! A fact as the fields of a record: the only way into the ledger.

use hither_types::fact::{Counterpart, Fact, FilterVerdict, Outcome, Passed, Permit, Subject};
use hither_types::filter::DataKind;
use hither_types::id::{Digest, NodeId, RuleId};
use hither_types::kernel::{KernelCount, KernelSpan};
use hither_types::place::{Assurance, PlaceKind};
use hither_types::rollout::RolloutFault;
use hither_types::time::{DAY_MS, Day, WallTime};

use crate::canonical::{Object, Value};
use crate::limits::{BLOC_MOVES_MAX, BUILD_BYTES_MAX, EXPORT_RULES_MAX, VERSION_BYTES_MAX};
use crate::record::Kind;

/// What stands before a reference in a record: the function that made it.
pub(crate) const REFERENCE_PREFIX: &str = "hmac-sha256:";

/// What a fact says, without who, when and where in the ledger.
pub(crate) struct Body {
    /// The kind.
    pub(crate) kind: Kind,
    /// The fields.
    pub(crate) fields: Object,
}

impl Body {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, fields: Object::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.fields.insert(name.into(), value);
        self
    }

    fn with_some(self, name: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, Value::text(value)),
            None => self,
        }
    }

    fn subject(self, subject: &Subject) -> Self {
        let list = |items: Vec<String>| Value::List(items.into_iter().map(Value::Text).collect());
        let ran = subject.ran.as_ref().map(|ran| {
            let fields = [("model".into(), Value::text(&ran.model)), ("digest".into(), digest(&ran.digest))];
            Value::Object(fields.into_iter().collect())
        });
        let body = self
            .with("req", Value::text(subject.request))
            .with("attempt", Value::Integer(subject.attempt.0.into()))
            .with("app", Value::text(&subject.app))
            .with("model", Value::text(&subject.model))
            .with("class", Value::text(subject.class))
            .with("tags", list(subject.tags.iter().map(ToString::to_string).collect()))
            .with("subj", list(subject.subjects.iter().map(ToString::to_string).collect()))
            .with_some("purpose", subject.purpose.as_ref())
            .with("policy", digest(&subject.policy));
        match ran {
            Some(ran) => body.with("ran", ran),
            None => body,
        }
    }

    fn place(self, place: &Counterpart) -> Self {
        let mut object = Object::new();
        object.insert("node".into(), Value::text(place.node));
        object.insert("site".into(), Value::text(&place.site));
        object.insert("jur".into(), Value::text(place.jurisdiction));
        object.insert("op".into(), Value::text(&place.operator));
        // What is not there is not known, and nobody is an empty list.
        if let Some(control) = &place.control {
            object.insert("control".into(), Value::List(control.iter().map(Value::text).collect()));
        }
        object.insert("kind".into(), Value::text(kind_word(place.kind)));
        object.insert("assurance".into(), Value::Integer(assurance_level(place.assurance)));
        self.with("place", Value::Object(object))
    }

    /// What payload left by, where that is not what its intent says.
    fn left_by(self, permit: Option<&Permit>) -> Self {
        let Some(Permit { rule, policy }) = permit else { return self };
        let fields = [("rule".into(), Value::text(rule)), ("policy".into(), digest(policy))];
        self.with("left_by", Value::Object(fields.into_iter().collect()))
    }

    /// The relay that payload passed.
    fn over(self, passed: Option<&Passed>) -> Self {
        let Some(Passed { relay, place }) = passed else { return self };
        let mut object = Object::new();
        object.insert("node".into(), Value::text(relay));
        if let Some((site, jurisdiction)) = place {
            object.insert("site".into(), Value::text(site));
            object.insert("jur".into(), Value::text(jurisdiction));
        }
        self.with("relay", Value::Object(object))
    }

    /// What the kernel counted, beside what the ledger says. What is more on one side has a name of its own: a number of a
    /// record is never below nothing.
    fn kernel(self, count: &KernelCount) -> Self {
        let (span, since) = match count.span {
            KernelSpan::First => ("first", None),
            KernelSpan::Since(at) => ("since", Some(rfc3339(at))),
            KernelSpan::Reset => ("reset", None),
        };
        let body = self
            .with("span", Value::text(span))
            .with_some("since", since)
            .with("lawful", Value::Integer(count.lawful.0))
            .with("talk", Value::Integer(count.talk.0))
            .with("leak_packets", Value::Integer(count.leak_packets))
            .with("leak", Value::Integer(count.leak.0));
        let Some(payload) = count.payload else { return body };
        let body = body.with("payload", Value::Integer(payload.0));
        match count.to_members().checked_sub(payload.0) {
            Some(drift) => body.with("drift", Value::Integer(drift)),
            None => body.with("short", Value::Integer(payload.0 - count.to_members())),
        }
    }

    fn rule(self, decision: &str, rule: Option<&RuleId>) -> Self {
        self.with("decision", Value::text(decision)).with_some("rule", rule)
    }
}

impl From<&Fact> for Body {
    fn from(fact: &Fact) -> Self {
        match fact {
            Fact::Started { policy, version, build, config, here } => Self::new(Kind::ConfigStart)
                .place(here)
                .with("policy", digest(policy))
                .with("version", Value::text(version_text(version)))
                .with_some("build", build_text(build))
                .with_some("config", config.map(|config| format!("b3:{config}"))),
            Fact::PolicyChanged { policy, publisher } => {
                Self::new(Kind::PolicyChange).with("policy", digest(policy)).with_some("by", publisher.as_ref())
            }
            Fact::BlocsChanged { policy, day, moves } => Self::new(Kind::BlocChange)
                .with("policy", digest(policy))
                .with("day", Value::text(day))
                .with("count", Value::Integer(moves.len() as u64))
                .with("lists", Value::List(moves.iter().take(BLOC_MOVES_MAX).map(Value::text).collect())),
            Fact::Joined(member) => Self::new(Kind::MemberJoin).place(member),
            Fact::Revoked(member) => Self::new(Kind::MemberRevoke).place(member),
            Fact::Left(member) => Self::new(Kind::MemberLeave).place(member),
            Fact::Moved { member, by, rtt, before } => Self::new(Kind::MemberMoved)
                .place(member)
                .with("by", Value::text(by))
                .with("rtt_us", Value::Integer(rtt.0))
                .with("before_us", Value::Integer(before.0)),
            Fact::ClockJumped { expected, found } => Self::new(Kind::ClockJump)
                .with("expected", Value::Text(rfc3339(*expected)))
                .with("found", Value::Text(rfc3339(*found)))
                .with("jump_ms", Value::Integer(expected.0.abs_diff(found.0))),
            Fact::LossAccepted { signed, root, file } => Self::new(Kind::LossAccept)
                .with("signed", Value::Integer(*signed))
                .with_some("root", root.as_ref())
                .with("sha256", Value::text(file)),
            Fact::KernelCounted(count) => Self::new(Kind::KernelCounted).kernel(count),
            Fact::KernelUnread(fault) => Self::new(Kind::KernelUnread).with("fault", Value::text(fault.as_str())),
            Fact::ModelAdmitted { model, digest: weights, size, from } => Self::new(Kind::ModelAdmit)
                .with("model", Value::text(model))
                .with("digest", digest(weights))
                .with("bytes", Value::Integer(size.0))
                .with_some("from", from.as_ref()),
            Fact::Published { model, digest: weights, revision, publisher, expires } => Self::new(Kind::ModelPublish)
                .with("model", Value::text(model))
                .with("digest", digest(weights))
                .with("revision", Value::Integer(*revision))
                .with("by", Value::text(publisher))
                .with_some("expires", expires.map(rfc3339)),
            Fact::RolledOut(rollout) => Self::new(Kind::ModelRollout)
                .with("model", Value::text(&rollout.name))
                .with("revision", Value::Integer(rollout.revision))
                .with("old", digest(&rollout.from))
                .with("new", digest(&rollout.to))
                .with("permille", Value::Integer(rollout.share.into()))
                .with("sites", Value::List(rollout.sites.iter().map(Value::text).collect()))
                .with("by", Value::text(rollout.publisher)),
            Fact::Judged(verdict) => {
                let judged = Self::new(Kind::ModelJudged)
                    .with("model", Value::text(&verdict.name))
                    .with("revision", Value::Integer(verdict.revision))
                    .with("by", Value::text(verdict.by));
                match verdict.fault {
                    RolloutFault::Failures { tried, failed } => judged
                        .with("fault", Value::text("failures"))
                        .with("tried", Value::Integer(tried.into()))
                        .with("failed", Value::Integer(failed.into())),
                    RolloutFault::WrongAnswer => judged.with("fault", Value::text("wrong-answer")),
                }
            }
            Fact::Denied { subject, rule, considered } => Self::new(Kind::Deny)
                .subject(subject)
                .rule("deny", rule.as_ref())
                .with("considered", Value::Integer((*considered).into())),
            Fact::CanaryPermitted { subject, to, rule } => {
                Self::new(Kind::CanaryPermit).subject(subject).place(to).rule("permit", Some(rule))
            }
            Fact::Ended { subject, served_by, outcome, attempts, energy, took, reference: of } => {
                Self::new(Kind::RequestEnd)
                    .subject(subject)
                    .with_some("served_by", served_by.as_ref().map(NodeId::to_string))
                    .with("outcome", Value::text(outcome_word(*outcome)))
                    .with("attempts", Value::Integer((*attempts).into()))
                    .with("energy_mj", Value::Integer(energy.0))
                    .with("took_ms", Value::Integer(took.0 / 1_000))
                    .with_some("ref", of.as_ref().map(reference_text))
            }
            Fact::EgressIntent { subject, to, rule, rests, cache, bytes, reference: of } => {
                Self::new(Kind::EgressIntent)
                    .subject(subject)
                    .place(to)
                    .rule("permit", Some(rule))
                    .with_some("rests", rests.as_ref())
                    .with_some("cache", cache.as_ref())
                    .with("bytes_out", Value::Integer(bytes.0))
                    .with_some("ref", of.as_ref().map(reference_text))
            }
            Fact::FirstTransfer { left, to } => {
                Self::new(Kind::FirstTransfer).with("left", Value::text(left)).with("to", Value::text(to))
            }
            Fact::EgressFiltered { subject, to, findings, verdict } => {
                let count = |(kind, count): (&DataKind, &u32)| (kind.as_str().into(), Value::Integer((*count).into()));
                let word = match verdict {
                    FilterVerdict::Masked => "mask",
                    FilterVerdict::Blocked => "block",
                };
                Self::new(Kind::EgressFiltered)
                    .subject(subject)
                    .place(to)
                    .with("decision", Value::text(word))
                    .with("found", Value::Object(findings.0.iter().map(count).collect()))
            }
            Fact::EgressSettled { subject, to, bytes, answer, outcome, left_by, over } => {
                Self::new(Kind::EgressSettled)
                    .subject(subject)
                    .place(to)
                    .with("bytes_out", Value::Integer(bytes.0))
                    .with("bytes_in", Value::Integer(answer.0))
                    .with("outcome", Value::text(outcome_word(*outcome)))
                    .left_by(left_by.as_ref())
                    .over(over.as_ref())
            }
            Fact::IngressAccepted { subject, from, rule, cache, bytes } => Self::new(Kind::IngressAccept)
                .subject(subject)
                .place(from)
                .rule("permit", Some(rule))
                .with_some("cache", cache.as_ref())
                .with("bytes_in", Value::Integer(bytes.0)),
            Fact::AnswerSent { subject, to, bytes, outcome, over } => Self::new(Kind::EgressAnswer)
                .subject(subject)
                .place(to)
                .with("bytes_out", Value::Integer(bytes.0))
                .with("outcome", Value::text(outcome_word(*outcome)))
                .over(over.as_ref()),
            Fact::IngressRefused { subject, from, rule } => {
                Self::new(Kind::IngressRefuse).subject(subject).place(from).rule("deny", rule.as_ref())
            }
            Fact::Exported(export) => Self::new(Kind::Export)
                .with("to", Value::text(export.to))
                .with_some("op", export.operator.as_ref())
                .with("signed", Value::Integer(export.records))
                .with("root", Value::text(export.root))
                .with("rules", Value::List(export.rules.iter().take(EXPORT_RULES_MAX).map(Value::text).collect()))
                .with("policy", digest(&export.policy)),
            Fact::ReferencesDestroyed { app, first, last, policy } => Self::new(Kind::ReferenceDestroy)
                .with("app", Value::text(app))
                .with("first_day", Value::text(first))
                .with("last_day", Value::text(last))
                .with_some("policy", policy.map(|policy| format!("b3:{policy}"))),
        }
    }
}

impl From<&Fact> for Kind {
    fn from(fact: &Fact) -> Self {
        Body::from(fact).kind
    }
}

fn digest(digest: &Digest) -> Value {
    Value::Text(format!("b3:{digest}"))
}

/// The only text in a fact that no type guards. What does not look like a version does not get in.
fn version_text(version: &str) -> &str {
    let looks_right = version.len() <= VERSION_BYTES_MAX
        && version.starts_with(|c: char| c.is_ascii_digit())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c));
    if looks_right { version } else { "unreadable" }
}

/// The build of a program in hex digits; nothing if it has none, or one longer than linkers make.
fn build_text(build: &[u8]) -> Option<String> {
    let fits = (1..=BUILD_BYTES_MAX).contains(&build.len());
    fits.then(|| build.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A keyed reference, with the function that made it.
fn reference_text(mac: &Digest) -> String {
    format!("{REFERENCE_PREFIX}{mac}")
}

/// What a place is to the node that writes.
pub(crate) fn kind_word(kind: PlaceKind) -> &'static str {
    match kind {
        PlaceKind::Home => "home",
        PlaceKind::Peer => "peer",
        PlaceKind::Cloud => "cloud",
    }
}

/// 0 is claimed, 3 is hardware.
fn assurance_level(assurance: Assurance) -> u64 {
    match assurance {
        Assurance::Claimed => 0,
        Assurance::Vouched => 1,
        Assurance::Near => 2,
        Assurance::Hardware => 3,
    }
}

pub(crate) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Answered => "answered",
        Outcome::Refused => "refused",
        Outcome::Cancelled => "cancelled",
    }
}

/// Wall time as people read it: RFC 3339, UTC, milliseconds.
pub(crate) fn rfc3339(wall: WallTime) -> String {
    let ms = wall.0 % DAY_MS;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:03}Z", wall.day(), ms % 1_000)
}

/// Reads wall time as [`rfc3339`] writes it.
pub(crate) fn parse_rfc3339(text: &str) -> Option<WallTime> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse::<u32>().ok()
    };
    let day = Day::of_date(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
    let [hour, minute, second, ms] =
        [number(11, 13)?, number(14, 16)?, number(17, 19)?, number(20, 23)?].map(u64::from);
    let wall = WallTime(u64::from(day.0) * DAY_MS + (hour * 60 + minute) * 60_000 + second * 1_000 + ms);
    // One that is written the same is one: no letters between.
    (rfc3339(wall) == text).then_some(wall)
}

#[cfg(test)]
mod tests;
