//! Two ledgers, one truth: every transfer is on the record at both ends, with the same bytes.
//!
//! Joined by origin, target, request and attempt. At the origin: `egress.intent`, `egress.settled`. At the target:
//! `ingress.accept` or `ingress.refuse`, then `egress.answer`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use hither_types::fact::Outcome;
use hither_types::id::{Attempt, NodeId, RequestId};
use hither_types::unit::ByteCount;

use crate::body::parse_rfc3339;
use crate::damage::VerifyError;
use crate::record::{Deletion, Kind, Record};
use crate::verify::{Report, verify_each};

mod judge;

/// A ledger that took part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLedger {
    /// Where it lies.
    pub dir: PathBuf,
    /// What its verifier found.
    pub report: Report,
}

/// One transfer: which request went from where to where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Transfer {
    /// The request.
    pub request: RequestId,
    /// Which try.
    pub attempt: Attempt,
    /// Who sent the payload.
    pub origin: NodeId,
    /// Who got it.
    pub target: NodeId,
}

/// A transfer that is on the record at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Which one.
    pub transfer: Transfer,
    /// Bytes of payload, the same at both ends.
    pub payload: ByteCount,
    /// Bytes of the answer, the same at both ends; `None` if one end did not live to say.
    pub answer: Option<ByteCount>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Explained by the records: a refusal, a node that died, a request still under way.
    Note,
    /// The records contradict each other.
    Error,
}

/// Something other than two ends that agree.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The other end's ledger was not given.
    Unchecked(Transfer),
    /// The origin meant to send and did not: settled with no byte.
    NeverSent(Transfer),
    /// The origin did not settle, and the target knows nothing: the origin died, or is about to send.
    Open(Transfer),
    /// The payload was sent, and the target has no record of it: it died or was out of reach before it accepted.
    SentNotAccepted(Transfer, ByteCount),
    /// The target refused the payload.
    Refused(Transfer),
    /// Both ends have the payload, and the origin did not settle: it died, or the request is under way.
    NotSettled(Transfer),
    /// The target accepted and did not close the answer: it died, froze, or the request is under way.
    AnswerNotClosed(Transfer),
    /// The attempt was given up, and less of the answer arrived than was sent.
    AnswerCutShort {
        /// Which one.
        transfer: Transfer,
        /// What the target sent.
        sent: ByteCount,
        /// What the origin got.
        received: ByteCount,
    },
    /// Payload was accepted that the origin never recorded: an egress off the record.
    NoIntent(Transfer),
    /// The origin settled what it never meant to send.
    SettledWithoutIntent(Transfer),
    /// An answer left for a payload that was never accepted.
    AnswerWithoutAccept(Transfer),
    /// The two ends, or intent and settlement, tell different sizes.
    PayloadDiffers {
        /// Which one.
        transfer: Transfer,
        /// What the origin meant to send.
        intended: ByteCount,
        /// What it says it sent, if it settled.
        settled: Option<ByteCount>,
        /// What the target says it got, if it accepted.
        accepted: Option<ByteCount>,
    },
    /// The two ends tell different sizes of a whole answer.
    AnswerDiffers {
        /// Which one.
        transfer: Transfer,
        /// What the target sent.
        sent: ByteCount,
        /// What the origin got.
        received: ByteCount,
    },
    /// One end has two records of a kind for one transfer.
    Doubled(Transfer, Kind),
    /// A record that is missing would stand among those that this node deleted by retention.
    Deleted(Transfer, NodeId),
}

/// What two or more ledgers say about each other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciliation {
    /// The ledgers.
    pub ledgers: Vec<NodeLedger>,
    /// Transfers on which both ends agree.
    pub pairs: Vec<Pair>,
    /// All else.
    pub findings: Vec<Finding>,
}

impl Reconciliation {
    /// Whether the ledgers contradict each other nowhere.
    pub fn agrees(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity() == Severity::Note)
    }

    /// Payload and answers on which both ends agree.
    pub fn matched_bytes(&self) -> (ByteCount, ByteCount) {
        let payload = self.pairs.iter().map(|pair| pair.payload.0).sum();
        let answers = self.pairs.iter().filter_map(|pair| pair.answer).map(|answer| answer.0).sum();
        (ByteCount(payload), ByteCount(answers))
    }
}

/// What the records say about one transfer.
#[derive(Debug, Clone, Default)]
struct Ends {
    intent: Option<ByteCount>,
    settled: Option<Settled>,
    accepted: Option<ByteCount>,
    refused: bool,
    answer: Option<(ByteCount, Outcome)>,
    doubled: Option<Kind>,
    /// The time of the first record.
    ts: String,
}

#[derive(Debug, Clone, Copy)]
struct Settled {
    sent: ByteCount,
    received: ByteCount,
    outcome: Outcome,
}

impl Ends {
    fn note(&mut self, record: &Record) {
        if self.ts.is_empty() || record.ts < self.ts {
            record.ts.clone_into(&mut self.ts);
        }
        let out = record.bytes_out.unwrap_or_default();
        let inward = record.bytes_in.unwrap_or_default();
        let outcome = record.outcome.unwrap_or(Outcome::Cancelled);
        // An offer that was refused is settled with nothing sent; the same peer may be offered the same attempt again.
        let nothing_left = self.settled.as_ref().is_some_and(|settled| settled.sent.0 == 0 && settled.received.0 == 0);
        if record.kind == Kind::EgressIntent && nothing_left {
            (self.intent, self.settled) = (None, None);
        }
        let again = match record.kind {
            Kind::EgressIntent => self.intent.replace(out).is_some(),
            Kind::EgressSettled => self.settled.replace(Settled { sent: out, received: inward, outcome }).is_some(),
            Kind::IngressAccept => self.accepted.replace(inward).is_some(),
            Kind::IngressRefuse => std::mem::replace(&mut self.refused, true),
            Kind::EgressAnswer => self.answer.replace((out, outcome)).is_some(),
            _ => false,
        };
        if again {
            self.doubled = Some(record.kind);
        }
    }
}

/// Which transfer a record is about, if it is about one.
fn transfer_of(record: &Record, writer: NodeId) -> Option<Transfer> {
    let (request, attempt, other) = (record.request?, record.attempt?, record.place.as_ref()?.node);
    let (origin, target) = match record.kind {
        Kind::EgressIntent | Kind::EgressSettled => (writer, other),
        Kind::IngressAccept | Kind::IngressRefuse | Kind::EgressAnswer => (other, writer),
        _ => return None,
    };
    Some(Transfer { request, attempt, origin, target })
}

/// How long after the newest record that was deleted a record may stand whose other half was among them: a transfer takes
/// minutes, and the clocks of two nodes differ.
const ACROSS_MS: u64 = 86_400_000;

/// Verifies some ledgers and joins them.
pub fn reconcile(dirs: &[&Path]) -> Result<Reconciliation, VerifyError> {
    let mut result = Reconciliation::default();
    let mut transfers: BTreeMap<Transfer, Ends> = BTreeMap::new();
    for dir in dirs {
        let report = verify_each(dir, |record| {
            if let Some(transfer) = transfer_of(record, record.node) {
                transfers.entry(transfer).or_default().note(record);
            }
        })?;
        // Two copies of one ledger say everything twice.
        if result.ledgers.iter().any(|ledger| ledger.report.node == report.node) {
            return Err(VerifyError::Twice { dir: dir.to_path_buf(), node: report.node });
        }
        result.ledgers.push(NodeLedger { dir: dir.to_path_buf(), report });
    }
    let given = |node: NodeId| result.ledgers.iter().any(|ledger| ledger.report.node == node);
    for (transfer, ends) in transfers {
        let both = given(transfer.origin) && given(transfer.target);
        let (pair, findings) = judge::judge(transfer, &ends, both);
        let half = |finding: Finding| match finding.misses() {
            Some(node) if was_deleted(&result.ledgers, node, &ends.ts) => Finding::Deleted(transfer, node),
            _ => finding,
        };
        let mut findings: Vec<Finding> = findings.into_iter().map(half).collect();
        findings.dedup();
        result.pairs.extend(pair);
        result.findings.extend(findings);
    }
    Ok(result)
}

/// Whether a node deleted records from about the time of one that is there.
fn was_deleted(ledgers: &[NodeLedger], node: NodeId, ts: &str) -> bool {
    let Some(at) = parse_rfc3339(ts) else { return false };
    let around = |what: &Deletion| {
        let (from, to) = (parse_rfc3339(&what.from), parse_rfc3339(&what.to));
        from.is_some_and(|from| from.0 <= at.0.saturating_add(ACROSS_MS))
            && to.is_some_and(|to| at.0 <= to.0.saturating_add(ACROSS_MS))
    };
    let of_node = ledgers.iter().filter(|ledger| ledger.report.node == node);
    of_node.flat_map(|ledger| &ledger.report.deleted).any(|deleted| around(&deleted.what))
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, attempt, origin, target } = self;
        write!(f, "request {request}, attempt {}, {} to {}", attempt.0, origin.short(), target.short())
    }
}

#[cfg(test)]
mod tests;
