//! Reports: which tables each has, and what has to be read before them.

use std::collections::{BTreeMap, BTreeSet};

use hither_ledger::audit::{Audit, Audited, Course, Draw, Ended, Moved, Way, Work};
use hither_types::place::Jurisdiction;

use super::super::ledger::deletion_text;
use super::conclusion::conclusion;
use super::tables::{self, Table, joined, or_none};

/// A report.
pub(super) struct Document {
    /// What it is.
    pub(super) title: &'static str,
    /// What has to be read first.
    pub(super) lead: Vec<String>,
    /// What was found.
    pub(super) tables: Vec<Table>,
}

impl Document {
    fn new(title: &'static str, audit: &Audit, draw: Draw, tables: Vec<Table>) -> Self {
        let mut lead = vec![about(audit)];
        lead.extend(deleted(audit));
        if draw.count > 0 {
            let (drawn, all, seed) = (audit.sample.len(), audit.population, draw.seed);
            lead.push(format!(
                "{drawn} requests were drawn with seed {seed} from all {all} of which the period has a record; the test requests \
                 of the canary are none of them."
            ));
        }
        lead.push(
            "What this does not prove: who controls the operating system of a machine can send data past the program \
             that writes the ledger, and a ledger that is lost with its machine says nothing. Each node signs its own: \
             compare it with those of the nodes that it exchanged data with (hither audit reconcile A B), and with the \
             counters of a firewall in somebody else's hands."
                .to_owned(),
        );
        lead.push(
            "To check it without us: hither-ledger-verify DIRECTORY, or any verifier of C2SP checkpoints and RFC 6962 \
             trees over the lines of ledger.jsonl. No record holds anything of what was asked or answered."
                .to_owned(),
        );
        Self { title, lead, tables }
    }

    /// Everything.
    pub(super) fn whole(audit: &Audit, draw: Draw) -> Self {
        let mut all = vec![
            tables::ledgers(audit),
            tables::work(audit),
            tables::transfers(audit, |_| true),
            tables::first(audit),
            tables::refusals(audit),
            tables::law(audit),
            tables::members(audit),
            tables::models(audit),
            tables::kernel(audit),
            tables::lost(audit),
        ];
        all.extend(tables::sample(audit, draw));
        let mut document = Self::new("What the ledgers say", audit, draw, all);
        document.lead.insert(0, conclusion(audit));
        document
    }

    /// What left a country, or may have: where a node never said where it stands, it counts.
    pub(super) fn transfers(audit: &Audit, draw: Draw) -> Self {
        let mut all = vec![tables::transfers(audit, |course| course.crosses() != Some(false)), tables::first(audit)];
        all.extend(tables::sample(audit, draw));
        Self::new("Register of transfers to other countries", audit, draw, all)
    }

    /// A record of processing.
    pub(super) fn processing(audit: &Audit, draw: Draw) -> Self {
        let mut all = vec![processing(audit), tables::transfers(audit, |course| course.crosses() != Some(false))];
        all.extend(tables::sample(audit, draw));
        let mut document = Self::new("Record of processing (GDPR, Article 30)", audit, draw, all);
        document.lead.push(
            "To be filled in, for no ledger knows it: name and contact of the controller, of its representative and of \
             the data protection officer (30(1)(a)); the safeguards for each transfer to a third country (30(1)(e)); \
             time limits for erasure of what the apps keep (30(1)(f)). Hither keeps nothing of what is asked and \
             answered but the accepted jobs, encrypted, until they are fetched or expire."
                .to_owned(),
        );
        document.lead.push(
            "Security (30(1)(g)): every connection between nodes is encrypted and authenticated at both ends; nothing \
             leaves a node that no rule of its policy permits, and the receiver asks its own policy again; each \
             transfer is on a durable record before its first byte leaves."
                .to_owned(),
        );
        document
    }

    /// Events of a high-risk system.
    pub(super) fn events(audit: &Audit, draw: Draw) -> Self {
        let mut all = vec![
            tables::work(audit),
            tables::uses(audit),
            tables::models(audit),
            tables::law(audit),
            tables::refusals(audit),
            tables::lost(audit),
            tables::ledgers(audit),
        ];
        all.extend(tables::sample(audit, draw));
        let mut document = Self::new("Events of AI systems (EU AI Act, Article 12)", audit, draw, all);
        if audit.unlisted > 0 {
            let (listed, more) = (audit.uses.len(), audit.unlisted);
            document.lead.push(format!(
                "{listed} uses are listed one by one, and {more} more only counted: ask for a shorter period (--from, --to) \
                 to see each."
            ));
        }
        document.lead.push(
            "Of each use the ledger holds when it entered and when it ended (12(3)(a)), by which model it was answered, also \
             where that is another than was asked for, and under which law; of what was processed elsewhere also when it \
             left. It does not hold who oversees the system, or, for remote biometrics, the reference database and the \
             matching input (12(3)): that is the app's to log."
                .to_owned(),
        );
        document
    }
}

/// The period, and on what it all rests.
fn about(audit: &Audit) -> String {
    let (count, plural) = (audit.ledgers.len(), if audit.ledgers.len() == 1 { "" } else { "s" });
    let records: u64 = audit.ledgers.iter().map(|ledger| ledger.report.records).sum();
    let period = match (&audit.period.from, &audit.period.to) {
        (None, None) => "All that is there".to_owned(),
        (from, to) => {
            let day = |moment: &String| moment.trim_end_matches("T00:00:00.000").to_owned();
            let from =
                from.as_ref().map_or_else(|| "From the beginning".to_owned(), |from| format!("From {}", day(from)));
            let to = to.as_ref().map_or_else(|| "to the end".to_owned(), |to| format!("until before {}", day(to)));
            format!("{from} {to} (UTC)")
        }
    };
    format!(
        "{period}, from {count} ledger{plural} with {records} records. Every record was checked while it was read: all \
         are there, in order, unchanged, and signed by their node up to the size that is named below."
    )
}

/// What is not there any more, and by whose word. No number in the report counts it.
fn deleted(audit: &Audit) -> Option<String> {
    let of = |ledger: &Audited| {
        let node = ledger.report.node.short();
        ledger
            .report
            .deleted
            .iter()
            .map(|deleted| format!("Node {node}: {}.", deletion_text(deleted)))
            .collect::<Vec<_>>()
    };
    let all: Vec<String> = audit.ledgers.iter().flat_map(of).collect();
    (!all.is_empty()).then(|| {
        format!(
            "Deleted by retention, and in no number below: their hashes stand in their place and were checked with the rest. A \
             segment goes as a whole, after the longest period among the places that it has records of. {}",
            all.join(" ")
        )
    })
}

#[derive(Default)]
struct Processing {
    ended: Ended,
    recipients: BTreeSet<String>,
    abroad: BTreeSet<Jurisdiction>,
}

/// One line for each purpose, app and class of data.
fn processing(audit: &Audit) -> Table {
    let mut lines: BTreeMap<(String, String, String), Processing> = BTreeMap::new();
    let key = |work: &Work| (or_none(work.purpose.as_ref()), work.app.to_string(), work.class.to_string());
    for (work, ended) in &audit.work {
        let line = lines.entry(key(work)).or_default();
        line.ended.here += ended.here + ended.elsewhere + ended.refused + ended.cancelled;
        line.ended.tags.extend(ended.tags.iter().cloned());
        line.ended.subjects.extend(ended.subjects.iter().copied());
    }
    for (course, Moved { subjects, .. }) in audit.courses.iter().filter(|(course, _)| course.way == Way::Request) {
        let Course { site, to, operator, work, .. } = course;
        let line = lines.entry(key(work)).or_default();
        let operator = operator.as_ref().map_or("operator not known", |operator| operator.as_str());
        line.recipients.insert(format!("{site} ({to}, {operator}, {})", tables::way(course)));
        line.ended.subjects.extend(subjects.iter().copied());
        if course.crosses() != Some(false) {
            line.abroad.insert(to.country());
        }
    }
    let row = |((purpose, app, class), line): ((String, String, String), Processing)| {
        let Processing { ended, recipients, abroad } = line;
        let recipients = if recipients.is_empty() { "none".to_owned() } else { joined(&recipients) };
        let abroad = if abroad.is_empty() { "none".to_owned() } else { joined(&abroad) };
        vec![
            purpose,
            app,
            class,
            joined(&ended.tags),
            joined(&ended.subjects),
            recipients,
            abroad,
            ended.here.to_string(),
        ]
    };
    Table {
        name: "processing",
        title: "What is processed, and for what",
        note: "Purposes (30(1)(b)), data and whom they concern by where these people live (c), recipients (d) \
               with place, operator and way, and countries (e). Requests are counted where they entered.",
        columns: &[
            "purpose",
            "app",
            "class of data",
            "tags",
            "concerns people in",
            "recipients",
            "other countries",
            "requests",
        ],
        rows: lines.into_iter().map(row).collect(),
    }
}
