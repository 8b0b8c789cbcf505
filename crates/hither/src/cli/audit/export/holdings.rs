//! What ledgers hold of requests, and what the law says of giving it to somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hither_api::explain;
use hither_ledger::{Kind, Place, Record, Report, verify_each};
use hither_node::law::{Outsider, Shown, judge_outside};
use hither_types::id::{AppName, ModelName, Operator, Purpose, RuleId, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Verdict};
use hither_types::place::Jurisdiction;

use crate::output::Trouble;

/// As many kinds of requests that may not be exported are named; the rest is counted.
const NAMED_MAX: usize = 8;

/// A verified ledger, and what it holds.
pub(super) struct Holdings {
    /// Where it is.
    pub(super) dir: PathBuf,
    /// What was verified.
    pub(super) report: Report,
    /// Where its node stands, by its own last word.
    pub(super) here: Option<Place>,
    /// How many records there are about requests that are the same to the law.
    pub(super) alike: BTreeMap<Alike, u64>,
}

/// Requests that are the same to the law.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Alike {
    app: AppName,
    model: ModelName,
    class: DataClass,
    tags: Vec<Tag>,
    subjects: Vec<Jurisdiction>,
    purpose: Option<Purpose>,
    /// Where they entered; [`Jurisdiction::UNKNOWN`] if the ledger does not say.
    origin: Jurisdiction,
    /// Who runs the node there, if the ledger says.
    operator: Option<Operator>,
}

impl Holdings {
    /// Verifies a ledger and counts what it holds.
    pub(super) fn of(dir: &Path) -> Result<Self, Trouble> {
        let (mut here, mut alike) = (None::<Place>, BTreeMap::new());
        let report = verify_each(dir, |record| {
            if matches!(record.kind, Kind::ConfigStart | Kind::MemberJoin) {
                let own = record.place.as_ref().filter(|place| place.node == record.node);
                here = own.or(here.as_ref()).cloned();
            }
            if let Some(found) = of_record(record, here.as_ref()) {
                *alike.entry(found).or_default() += 1;
            }
        });
        let report = report.map_err(|error| super::unreadable(&error))?;
        if let Some(word) = report.strange.keys().next() {
            let text = format!("{} holds records that this program does not know ({word})", dir.display());
            return Err(Trouble::new("E0821", text)
                .note("what they say of requests cannot be put to the law")
                .help("hither --version     a newer program wrote it: export it with that one"));
        }
        Ok(Self { dir: dir.to_owned(), report, here, alike })
    }
}

/// What a record says of a request. A request that nobody made, the test of the law of every hour, is nobody's.
fn of_record(record: &Record, here: Option<&Place>) -> Option<Alike> {
    let model = record.ran.as_ref().map(|ran| &ran.model).or(record.model.as_ref())?;
    let class = record.class.filter(|_| !record.is_of_canary())?;
    // What a peer asked entered there.
    let entered = match record.kind {
        Kind::IngressAccept | Kind::IngressRefuse | Kind::EgressAnswer => record.place.as_ref(),
        _ => here,
    };
    Some(Alike {
        app: record.app.clone()?,
        model: model.clone(),
        class,
        tags: record.tags.clone(),
        subjects: record.subjects.clone(),
        purpose: record.purpose.clone(),
        origin: entered.map_or(Jurisdiction::UNKNOWN, |place| place.jurisdiction),
        operator: entered.and_then(|place| place.operator.clone()),
    })
}

/// The rules by which everything that ledgers hold may be given to somebody; trouble if anything may not.
pub(super) fn permitted(policy: &Policy, ledgers: &[Holdings], to: &Outsider) -> Result<BTreeSet<RuleId>, Trouble> {
    let (mut rules, mut denied, mut kept, mut all) = (BTreeSet::new(), BTreeMap::<String, u64>::new(), 0, 0);
    for (alike, count) in ledgers.iter().flat_map(|held| &held.alike) {
        all += count;
        match judge(policy, alike, to) {
            Verdict::Permitted(rule) => _ = rules.insert(rule),
            Verdict::Denied(denial) => {
                kept += count;
                let Alike { app, class, origin, .. } = alike;
                let origin = if origin.is_unknown() { "an unknown place".to_owned() } else { origin.to_string() };
                let why = explain::denial(&denial);
                *denied.entry(format!("{class} data of app {app} from {origin}: {why}")).or_default() += count;
            }
        }
    }
    if denied.is_empty() {
        return Ok(rules);
    }
    let text = format!(
        "nothing was exported: {kept} of {all} records about requests may not be given to {} (policy b3:{})",
        recipient(to),
        policy.digest.short()
    );
    let mut trouble = Trouble::new("E0820", text);
    for (line, count) in denied.iter().take(NAMED_MAX) {
        trouble = trouble.note(format!("{count} of {line}"));
    }
    if let Some(more) = denied.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        trouble = trouble.note(format!("and {more} kinds more"));
    }
    Err(trouble
        .help("a [[permit]] with action = [\"export\"] lets records go; put it in force: hither policy apply FILE")
        .help("hither audit report --out report.html     sums up what ledgers say, for you to look at first"))
}

fn recipient(to: &Outsider) -> String {
    let who = to.operator.as_ref().map_or_else(|| "somebody".to_owned(), ToString::to_string);
    format!("{who} in {}", to.jurisdiction)
}

fn judge(policy: &Policy, alike: &Alike, to: &Outsider) -> Verdict {
    let Alike { app, model, class, tags, subjects, purpose, origin, operator } = alike;
    let label = Label { class: *class, tags: tags.clone(), subjects: subjects.clone(), purpose: purpose.clone() };
    let shown =
        Shown { action: LawAction::Export, app, model, label: &label, origin: *origin, operator: operator.as_ref() };
    judge_outside(policy, &shown, to)
}
