//! What ledgers say about a period, summed up for those who ask: who processed what, where it went, on whose word.
//!
//! Every record is verified while it is read, and sums are made of what is signed or durable, never of what a node says
//! of itself elsewhere. A transfer counts in the period in which it was settled. One that was permitted and is not settled in
//! the ledger counts as unsettled: a request's bytes as if all had left, an answer's as none, for nobody wrote its size.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hither_types::fact::{BUDGET_RULE, Outcome, Ran};
use hither_types::id::{AppName, Attempt, ModelName, NodeId, Operator, Purpose, RequestId, RuleId, SiteName, Tag};
use hither_types::label::DataClass;
use hither_types::place::Jurisdiction;
use hither_types::spending::Link;
use hither_types::unit::ByteCount;
use sha2::{Digest as _, Sha256};

use crate::check::Deleted;
use crate::damage::VerifyError;
use crate::record::{Kind, Place, Record};
use crate::verify::{Report, verify_each};

mod first;

use first::Firsts;
pub use first::{Between, First, Word};

/// From one moment on and before another, as RFC 3339 in UTC begins: `2026-11`, `2026-11-29`, `2026-11-29T12:00`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Period {
    /// The first moment; the beginning of the ledgers if there is none.
    pub from: Option<String>,
    /// The first moment after it; none if it has not ended.
    pub to: Option<String>,
}

impl Period {
    /// Whether a time of a record lies before it.
    pub fn is_before(&self, ts: &str) -> bool {
        self.from.as_deref().is_some_and(|from| ts < from)
    }

    /// Whether a time of a record lies in it. Times of records have one form, so their order is that of their letters.
    pub fn contains(&self, ts: &str) -> bool {
        self.from.as_deref().is_none_or(|from| ts >= from) && self.to.as_deref().is_none_or(|to| ts < to)
    }
}

/// What is drawn for somebody to look at: the same for everybody with the same seed and the same ledgers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Draw {
    /// How many requests.
    pub count: usize,
    /// Any number; another gives other requests.
    pub seed: u64,
    /// How many uses are listed one by one; of the others there is their number.
    pub uses: usize,
}

/// One use: a request from when it entered to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// When it entered; none in ledgers of before this was recorded.
    pub began: Option<String>,
    /// When it ended.
    pub ended: String,
    /// Where it entered.
    pub node: NodeId,
    /// The request.
    pub request: RequestId,
    /// What it was.
    pub work: Work,
    /// How it ended.
    pub outcome: Outcome,
    /// Who answered.
    pub served_by: Option<NodeId>,
}

/// A ledger that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// Its folder.
    pub dir: PathBuf,
    /// What verifying it gave.
    pub report: Report,
    /// Where its node stands, by its own records: the last of them, and none if it never said.
    pub here: Option<Place>,
    /// The times of its first and its last record.
    pub span: Option<(String, String)>,
}

/// Work of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// The app.
    pub app: AppName,
    /// The model that was asked for.
    pub model: ModelName,
    /// The model that ran, or was to run, if it is another: the law was asked about that one.
    pub ran: Option<Ran>,
    /// The class of the data.
    pub class: DataClass,
    /// What it is for.
    pub purpose: Option<Purpose>,
}

/// How requests of one kind ended, where they entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Answered by the node at which they entered.
    pub here: u64,
    /// Answered by another place.
    pub elsewhere: u64,
    /// Refused, or failed everywhere.
    pub refused: u64,
    /// Given up by the client.
    pub cancelled: u64,
    /// Energy at the nodes at which they entered, in millijoules.
    pub energy_mj: u64,
    /// Marks on their data.
    pub tags: BTreeSet<Tag>,
    /// Where the people live whom they concern.
    pub subjects: BTreeSet<Jurisdiction>,
    /// From the start of the first, if that is on the record, to the end of the last.
    pub span: Option<(String, String)>,
}

/// Which way payload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// With a request, to who processes it.
    Request,
    /// With an answer, to who asked.
    Answer,
}

impl Way {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Answer => "answer",
        }
    }
}

/// Transfers of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Course {
    /// The country that it left; none if the node never said where it stands.
    pub from: Option<Jurisdiction>,
    /// Where it went.
    pub to: Jurisdiction,
    /// The site there.
    pub site: SiteName,
    /// Who runs it; none in ledgers of before this was recorded.
    pub operator: Option<Operator>,
    /// The way there, if enough is known of both ends.
    pub link: Option<Link>,
    /// With what.
    pub way: Way,
    /// Of which work.
    pub work: Work,
    /// The relay that it passed, and where that stands if it was known.
    pub relay: Option<(NodeId, Option<Jurisdiction>)>,
    /// The rule that permitted it; none if its permission is not in this ledger.
    pub rule: Option<RuleId>,
}

impl Course {
    /// Whether it left its country; none if that is not known.
    pub fn crosses(&self) -> Option<bool> {
        self.from.map(|from| from.country() != self.to.country())
    }
}

/// How many transfers, and how much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// Attempts that gave payload to the transport.
    pub transfers: u64,
    /// Attempts that were permitted and are not settled: they are under way, or the node ended before it wrote their end.
    pub unsettled: u64,
    /// Payload that left; of unsettled requests all that was permitted, of unsettled answers nothing.
    pub bytes: ByteCount,
    /// Where the people live whom it concerns.
    pub subjects: BTreeSet<Jurisdiction>,
    /// The times of the first and the last.
    pub span: Option<(String, String)>,
}

/// What refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refuser {
    /// The policy.
    Law,
    /// What may leave in a day was spent.
    Budget,
    /// The policy, of a request that nobody made: the test of every hour.
    Canary,
}

/// A refusal before anything left.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refusal {
    /// What refused it.
    pub by: Refuser,
    /// Of which work.
    pub work: Work,
    /// The forbid that matched; none if nothing permitted it.
    pub rule: Option<RuleId>,
    /// Who asked, if it was a peer's request.
    pub asked_from: Option<SiteName>,
}

/// One thing that happened to a node and not to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// When.
    pub ts: String,
    /// At which node.
    pub node: NodeId,
    /// The record.
    pub record: Record,
}

/// What ledgers say about a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// The period.
    pub period: Period,
    /// The ledgers, in the order in which they were given.
    pub ledgers: Vec<Audited>,
    /// Requests by where they entered.
    pub work: BTreeMap<Work, Ended>,
    /// What left.
    pub courses: BTreeMap<Course, Moved>,
    /// When payload first left for a country, over all of the ledgers and not only the period.
    pub first: BTreeMap<Between, First>,
    /// What was refused before anything left.
    pub refusals: BTreeMap<Refusal, u64>,
    /// The law, members, models, starts, and what was lost; of each ledger also the law that was in force when the period
    /// began, with its own time.
    pub happened: Vec<Happened>,
    /// The requests that were drawn, of those that the period has a record of: every record about them, whenever.
    pub sample: BTreeMap<RequestId, Vec<Record>>,
    /// Uses one by one, as many as were to be listed.
    pub uses: Vec<Use>,
    /// How many others there are.
    pub unlisted: u64,
    /// Of how many they were drawn; 0 if none were to be.
    pub population: u64,
}

impl Audit {
    /// Where a node stands, by its own ledger.
    pub fn here(&self, node: NodeId) -> Option<&Place> {
        self.ledgers.iter().find(|ledger| ledger.report.node == node)?.here.as_ref()
    }

    /// Records of the nodes about the law.
    pub fn of_kinds<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Happened> {
        self.happened.iter().filter(move |happened| kinds.contains(&happened.record.kind))
    }
}

/// Verifies ledgers and sums up what they say about a period.
pub fn audit(dirs: &[&Path], period: &Period, draw: Draw) -> Result<Audit, VerifyError> {
    let mut audit = Audit { period: period.clone(), ..Audit::default() };
    let mut nodes = BTreeSet::new();
    for dir in dirs {
        let mut reader = Reader::new(&mut audit, draw);
        let report = verify_each(dir, |record| reader.look(record))?;
        let (here, span) = reader.end(&report.deleted);
        if !nodes.insert(report.node) {
            return Err(VerifyError::Twice { dir: dir.to_path_buf(), node: report.node });
        }
        audit.ledgers.push(Audited { dir: dir.to_path_buf(), report, here, span });
    }
    audit.population = audit.sample.len() as u64;
    let mut drawn: BTreeMap<Weight, RequestId> = BTreeMap::new();
    for request in audit.sample.keys() {
        drawn.insert(weight(draw.seed, *request), *request);
        if drawn.len() > draw.count {
            drawn.pop_last();
        }
    }
    let drawn: BTreeSet<RequestId> = drawn.into_values().collect();
    audit.sample.retain(|request, _| drawn.contains(request));
    for dir in dirs.iter().filter(|_| !drawn.is_empty()) {
        // The records of the few are kept in a second reading, so that a year of them never lies in memory.
        verify_each(dir, |record| {
            if let Some(records) = record.request.and_then(|request| audit.sample.get_mut(&request)) {
                records.push(record.clone());
            }
        })?;
    }
    Ok(audit)
}

type Weight = [u8; 32];

/// Requests in an order that nobody chose: of SHA-256 over the seed (8 bytes, big-endian) and the request's number (16).
fn weight(seed: u64, request: RequestId) -> Weight {
    let mut hash = Sha256::new();
    hash.update(seed.to_be_bytes());
    hash.update(request.0.to_be_bytes());
    hash.finalize().into()
}

type Try = (RequestId, Attempt, NodeId);

/// One ledger while it is read.
struct Reader<'a> {
    audit: &'a mut Audit,
    here: Option<Place>,
    span: Option<(String, String)>,
    draw: Draw,
    /// What was the law before the period.
    law: Option<Record>,
    /// Requests that may leave, by whom, and are not settled yet.
    intents: BTreeMap<Try, Record>,
    /// Requests of peers whose answers may leave, and are not yet.
    accepted: BTreeMap<Try, Record>,
    firsts: Firsts,
}

impl<'a> Reader<'a> {
    fn new(audit: &'a mut Audit, draw: Draw) -> Self {
        let (intents, accepted) = (BTreeMap::new(), BTreeMap::new());
        Self { audit, here: None, span: None, draw, law: None, intents, accepted, firsts: Firsts::default() }
    }

    fn look(&mut self, record: &Record) {
        widen(&mut self.span, &record.ts);
        let inside = self.audit.period.contains(&record.ts);
        // A request that nobody made shows nobody how requests are treated.
        if let Some(request) = record.request.filter(|_| inside && self.draw.count > 0 && !record.is_of_canary()) {
            self.audit.sample.entry(request).or_default();
        }
        if record.kind == Kind::ConfigStart || record.kind == Kind::MemberJoin {
            let here = record.place.as_ref().filter(|place| place.node == record.node);
            self.here = here.or(self.here.as_ref()).cloned();
        }
        self.firsts.look(record);
        match record.kind {
            Kind::ConfigStart | Kind::PolicyChange if self.audit.period.is_before(&record.ts) => {
                self.law = Some(record.clone());
            }
            Kind::EgressIntent => {
                if let Some(of) = attempt(record) {
                    self.intents.insert(of, record.clone());
                }
            }
            Kind::IngressAccept => {
                if let Some(of) = attempt(record) {
                    self.accepted.insert(of, record.clone());
                }
            }
            Kind::EgressSettled => {
                let permission = attempt(record).and_then(|of| self.intents.remove(&of));
                self.moved(record, Way::Request, permission.as_ref(), true);
            }
            Kind::EgressAnswer => {
                let permission = attempt(record).and_then(|of| self.accepted.remove(&of));
                self.moved(record, Way::Answer, permission.as_ref(), true);
            }
            Kind::Deny | Kind::IngressRefuse => {
                if let Some(work) = work(record).filter(|_| inside) {
                    let asked_from = record.place.as_ref().map(|place| place.site.clone());
                    let by = match &record.rule {
                        _ if record.is_of_canary() => Refuser::Canary,
                        Some(rule) if rule.as_str() == BUDGET_RULE => Refuser::Budget,
                        _ => Refuser::Law,
                    };
                    let refusal = Refusal { by, work, rule: record.rule.clone(), asked_from };
                    *self.audit.refusals.entry(refusal).or_default() += 1;
                }
            }
            Kind::RequestEnd => self.ended(record, inside),
            _ if inside => self.happened(record),
            _ => {}
        }
    }

    /// What the node never said the end of.
    fn end(mut self, deleted: &[Deleted]) -> (Option<Place>, Option<(String, String)>) {
        for intent in std::mem::take(&mut self.intents).into_values() {
            self.moved(&intent, Way::Request, Some(&intent), false);
        }
        for accept in std::mem::take(&mut self.accepted).into_values() {
            self.moved(&accept, Way::Answer, Some(&accept), false);
        }
        if let Some(law) = self.law.take() {
            self.happened(&law);
        }
        self.firsts.end(deleted, &mut self.audit.first);
        (self.here, self.span)
    }

    fn happened(&mut self, record: &Record) {
        let happened = Happened { ts: record.ts.clone(), node: record.node, record: record.clone() };
        self.audit.happened.push(happened);
    }

    fn ended(&mut self, record: &Record, inside: bool) {
        let (Some(work), Some(outcome)) = (work(record).filter(|_| inside), record.outcome) else { return };
        self.list(record, &work, outcome);
        let ended = self.audit.work.entry(work).or_default();
        match (outcome, record.served_by) {
            (Outcome::Answered, Some(by)) if by != record.node => ended.elsewhere += 1,
            (Outcome::Answered, _) => ended.here += 1,
            (Outcome::Refused, _) => ended.refused += 1,
            (Outcome::Cancelled, _) => ended.cancelled += 1,
        }
        ended.energy_mj += record.energy_mj.unwrap_or(0);
        ended.tags.extend(record.tags.iter().cloned());
        ended.subjects.extend(record.subjects.iter().copied());
        record.began().iter().for_each(|began| widen(&mut ended.span, began));
        widen(&mut ended.span, &record.ts);
    }

    /// One use, if it is to be listed.
    fn list(&mut self, record: &Record, work: &Work, outcome: Outcome) {
        let Some(request) = record.request.filter(|_| self.audit.uses.len() < self.draw.uses) else {
            self.audit.unlisted += 1;
            return;
        };
        self.audit.uses.push(Use {
            began: record.began(),
            ended: record.ts.clone(),
            node: record.node,
            request,
            work: work.clone(),
            outcome,
            served_by: record.served_by,
        });
    }

    fn moved(&mut self, record: &Record, way: Way, permission: Option<&Record>, settled: bool) {
        let bytes = record.bytes_out.unwrap_or_default();
        let (Some(work), Some(place)) = (work(record), record.place.as_ref()) else { return };
        if settled && bytes.0 == 0 {
            return;
        }
        let from = self.here.as_ref().map(|here| here.jurisdiction);
        // It left after it was permitted, and not only when it was over.
        let between = (from.map(Jurisdiction::country), place.jurisdiction.country());
        self.firsts.left(between, permission.unwrap_or(record));
        if !self.audit.period.contains(&record.ts) {
            return;
        }
        // What held when it left, where that is not what was written before.
        let left_by = record.left_by.as_ref().map(|permit| permit.rule.clone());
        let rule = left_by.or_else(|| permission.and_then(|permission| permission.rule.clone()));
        let link = self.here.as_ref().and_then(|here| place.link_from(here));
        let (site, operator, relay) = (place.site.clone(), place.operator.clone(), record.relay);
        let course = Course { from, to: place.jurisdiction, site, operator, link, way, work, relay, rule };
        let moved = self.audit.courses.entry(course).or_default();
        *if settled { &mut moved.transfers } else { &mut moved.unsettled } += 1;
        moved.bytes.0 += bytes.0;
        moved.subjects.extend(record.subjects.iter().copied());
        widen(&mut moved.span, &record.ts);
    }
}

fn attempt(record: &Record) -> Option<Try> {
    Some((record.request?, record.attempt?, record.place.as_ref()?.node))
}

fn work(record: &Record) -> Option<Work> {
    Some(Work {
        app: record.app.clone()?,
        model: record.model.clone()?,
        ran: record.ran.clone(),
        class: record.class?,
        purpose: record.purpose.clone(),
    })
}

fn widen(span: &mut Option<(String, String)>, ts: &str) {
    match span {
        None => *span = Some((ts.to_owned(), ts.to_owned())),
        Some((first, last)) => {
            if ts < first.as_str() {
                ts.clone_into(first);
            }
            if ts > last.as_str() {
                ts.clone_into(last);
            }
        }
    }
}

#[cfg(test)]
mod tests;
