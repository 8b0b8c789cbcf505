//! One transfer: do its ends agree, and if not, is that explained?

use std::fmt;

use hither_types::fact::Outcome;
use hither_types::id::NodeId;
use hither_types::unit::ByteCount;

use super::{Ends, Finding, Pair, Severity, Transfer};

/// Judges one transfer. `both`: the ledgers of both ends are there.
pub(super) fn judge(transfer: Transfer, ends: &Ends, both: bool) -> (Option<Pair>, Vec<Finding>) {
    let mut findings = Vec::new();
    findings.extend(ends.doubled.map(|kind| Finding::Doubled(transfer, kind)));
    // What one ledger alone can contradict.
    if ends.settled.is_some() && ends.intent.is_none() {
        findings.push(Finding::SettledWithoutIntent(transfer));
    }
    if ends.answer.is_some() && ends.accepted.is_none() {
        findings.push(Finding::AnswerWithoutAccept(transfer));
    }
    if let Some(found) = payload_differs(transfer, ends) {
        findings.push(found);
        return (None, findings);
    }
    if !both {
        findings.push(Finding::Unchecked(transfer));
        return (None, findings);
    }
    let pair = match (ends.intent, ends.accepted) {
        (Some(payload), Some(_)) => {
            let (answer, finding) = judge_answer(transfer, ends);
            findings.extend(finding);
            Some(Pair { transfer, payload, answer })
        }
        (Some(_), None) => {
            findings.extend(explain_missing_accept(transfer, ends));
            None
        }
        (None, Some(_)) => {
            findings.push(Finding::NoIntent(transfer));
            None
        }
        // A refusal of what the origin never recorded: payload that came off the record.
        (None, None) => {
            findings.extend(ends.refused.then_some(Finding::NoIntent(transfer)));
            None
        }
    };
    (pair, findings)
}

/// Settled must be nothing or all of the intent; accepted must be all of it, and then settled may not be nothing.
fn payload_differs(transfer: Transfer, ends: &Ends) -> Option<Finding> {
    let intended = ends.intent?;
    let settled = ends.settled.map(|settled| settled.sent);
    let settled_wrong = settled.is_some_and(|sent| sent != intended && sent != ByteCount(0));
    let accepted_wrong = ends.accepted.is_some_and(|got| got != intended);
    let denied = ends.accepted.is_some() && intended != ByteCount(0) && settled == Some(ByteCount(0));
    (settled_wrong || accepted_wrong || denied).then_some(Finding::PayloadDiffers {
        transfer,
        intended,
        settled,
        accepted: ends.accepted,
    })
}

fn explain_missing_accept(transfer: Transfer, ends: &Ends) -> Option<Finding> {
    // An answer without an accept is already an error of its own.
    if ends.answer.is_some() {
        return None;
    }
    Some(match ends.settled {
        _ if ends.refused => Finding::Refused(transfer),
        None => Finding::Open(transfer),
        Some(settled) if settled.sent == ByteCount(0) => Finding::NeverSent(transfer),
        Some(settled) => Finding::SentNotAccepted(transfer, settled.sent),
    })
}

fn judge_answer(transfer: Transfer, ends: &Ends) -> (Option<ByteCount>, Option<Finding>) {
    match (ends.settled, ends.answer) {
        (None, _) => (None, Some(Finding::NotSettled(transfer))),
        (Some(_), None) => (None, Some(Finding::AnswerNotClosed(transfer))),
        (Some(settled), Some((sent, outcome))) => {
            let received = settled.received;
            let whole = settled.outcome == Outcome::Answered && outcome == Outcome::Answered;
            match received == sent {
                true => (Some(sent), None),
                // An attempt that was given up leaves frames on the way; none can arrive that was not sent.
                false if !whole && received < sent => {
                    (None, Some(Finding::AnswerCutShort { transfer, sent, received }))
                }
                false => (None, Some(Finding::AnswerDiffers { transfer, sent, received })),
            }
        }
    }
}

impl Finding {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unchecked(_)
            | Self::NeverSent(_)
            | Self::Open(_)
            | Self::SentNotAccepted(..)
            | Self::Refused(_)
            | Self::NotSettled(_)
            | Self::AnswerNotClosed(_)
            | Self::AnswerCutShort { .. }
            | Self::Deleted(..) => Severity::Note,
            Self::NoIntent(_)
            | Self::SettledWithoutIntent(_)
            | Self::AnswerWithoutAccept(_)
            | Self::PayloadDiffers { .. }
            | Self::AnswerDiffers { .. }
            | Self::Doubled(..) => Severity::Error,
        }
    }

    /// Whose record is missing, if it is about one that is.
    pub(super) fn misses(&self) -> Option<NodeId> {
        match self {
            Self::NoIntent(of) | Self::SettledWithoutIntent(of) | Self::NotSettled(of) => Some(of.origin),
            Self::Open(of)
            | Self::SentNotAccepted(of, _)
            | Self::AnswerWithoutAccept(of)
            | Self::AnswerNotClosed(of) => Some(of.target),
            Self::Unchecked(_)
            | Self::NeverSent(_)
            | Self::Refused(_)
            | Self::AnswerCutShort { .. }
            | Self::PayloadDiffers { .. }
            | Self::AnswerDiffers { .. }
            | Self::Doubled(..)
            | Self::Deleted(..) => None,
        }
    }

    /// Which transfer it is about.
    pub fn transfer(&self) -> &Transfer {
        match self {
            Self::Unchecked(transfer)
            | Self::NeverSent(transfer)
            | Self::Open(transfer)
            | Self::SentNotAccepted(transfer, _)
            | Self::Refused(transfer)
            | Self::NotSettled(transfer)
            | Self::AnswerNotClosed(transfer)
            | Self::AnswerCutShort { transfer, .. }
            | Self::NoIntent(transfer)
            | Self::SettledWithoutIntent(transfer)
            | Self::AnswerWithoutAccept(transfer)
            | Self::PayloadDiffers { transfer, .. }
            | Self::AnswerDiffers { transfer, .. }
            | Self::Doubled(transfer, _)
            | Self::Deleted(transfer, _) => transfer,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.transfer())?;
        match self {
            Self::Unchecked(_) => f.write_str("the ledger of the other end was not given"),
            Self::NeverSent(_) => f.write_str("recorded, and then not sent"),
            Self::Open(_) => {
                f.write_str("recorded, not settled, unknown to the target: the origin died, or is sending")
            }
            Self::SentNotAccepted(_, bytes) => {
                write!(f, "{} bytes sent, and the target has no record: it died or was out of reach", bytes.0)
            }
            Self::Refused(_) => f.write_str("refused by the target"),
            Self::NotSettled(_) => f.write_str("accepted, and not settled at the origin: it died, or is waiting"),
            Self::AnswerNotClosed(_) => {
                f.write_str("accepted, and the answer was not closed: the target died, froze, or is answering")
            }
            Self::AnswerCutShort { sent, received, .. } => {
                write!(f, "given up: of {} bytes of the answer, {} arrived", sent.0, received.0)
            }
            Self::NoIntent(_) => f.write_str("payload arrived that the origin never recorded"),
            Self::SettledWithoutIntent(_) => f.write_str("settled without an intent"),
            Self::AnswerWithoutAccept(_) => f.write_str("answered without having accepted"),
            Self::PayloadDiffers { intended, settled, accepted, .. } => {
                write!(f, "payload differs: intended {}", intended.0)?;
                settled.map_or(Ok(()), |bytes| write!(f, ", settled {}", bytes.0))?;
                accepted.map_or(Ok(()), |bytes| write!(f, ", accepted {}", bytes.0))
            }
            Self::AnswerDiffers { sent, received, .. } => {
                write!(f, "answer differs: sent {}, received {}", sent.0, received.0)
            }
            Self::Deleted(_, node) => {
                write!(f, "what is missing would stand among the records that {} deleted by retention", node.short())
            }
            Self::Doubled(_, kind) => write!(f, "two records of kind {kind}"),
        }
    }
}
