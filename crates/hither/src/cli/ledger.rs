//! `hither ledger`: what left, what came, what was refused; read, verified and compared without a node.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hither_ledger::{
    Cosigned, Deleted, Kind, Reconciliation, Record, Report, Severity, VerifyError, check_witnesses, key_text, read,
    reconcile, verify, verify_as,
};
use hither_node::{AcceptedLoss, InitError, LossError};
use hither_types::id::NodeId;
use hither_types::unit::ByteCount;
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::output::{Exit, Trouble, chain, plain};

mod find;
mod prune;
mod tail;

/// What can be done with ledgers.
#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// Check that every record is there, in order, unchanged and signed.
    Verify {
        /// The ledger's directory: DATA/ledger.
        dir: PathBuf,
        /// The node whose key must have signed; else the key beside the ledger is taken.
        #[arg(long, value_name = "ID", value_parser = node)]
        node: Option<NodeId>,
        /// A node that may have signed as a witness, and that you know: with this only those that are named count, and one of
        /// them at least must have signed.
        #[arg(long = "witness", value_name = "ID", value_parser = node)]
        witnesses: Vec<NodeId>,
    },
    /// Show the records.
    Show {
        /// The ledger's directory.
        dir: PathBuf,
        /// Only the last so many.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Find the records about a request, by what was asked: for an app that has references (hither apps limit NAME --references).
    Find(find::FindArgs),
    /// Show the last records, and each that is written from now on, until it is stopped.
    Tail {
        /// The ledger's directory; that of the node of this machine if absent.
        dir: Option<PathBuf>,
        /// How many of the last.
        #[arg(long, value_name = "N", default_value_t = 10)]
        last: usize,
    },
    /// Ask other members to sign the checkpoint of this node's ledger now; every ten minutes they are asked anyway.
    Witness,
    /// Delete the records that the policy's [retention] does not want kept any longer. A node does so by itself when it is
    /// started and each day; this is for looking first, and for a node that does not run.
    Prune {
        /// Only say what would be deleted; the node may run.
        #[arg(long)]
        dry_run: bool,
    },
    /// Own up to a damaged ledger: it is put aside as it is, and another begins whose first record says so.
    AcceptLoss,
    /// Lay two or more ledgers side by side: what left one must have come to the other.
    Reconcile {
        /// The directories.
        #[arg(required = true, num_args = 2..)]
        dirs: Vec<PathBuf>,
    },
}

/// Does it.
pub(super) fn ledger(context: &Context, command: LedgerCommand) -> Result<(), Trouble> {
    match command {
        LedgerCommand::Verify { dir, node, witnesses } => check(context, &dir, node, &witnesses)?,
        LedgerCommand::Show { dir, last } => show(context, &dir, last)?,
        LedgerCommand::Find(args) => find::find(context, &args)?,
        LedgerCommand::Tail { dir, last } => {
            tail::follow(context, &dir.map_or_else(|| context.data_dir().map(|data| data.join("ledger")), Ok)?, last)?;
        }
        LedgerCommand::Witness => witness(context)?,
        LedgerCommand::Prune { dry_run } => prune::prune(context, dry_run)?,
        LedgerCommand::AcceptLoss => accept_loss(context)?,
        LedgerCommand::Reconcile { dirs } => lay_side_by_side(context, &dirs)?,
    }
    Ok(())
}

fn node(text: &str) -> Result<NodeId, String> {
    NodeId::parse(text).map_err(|error| error.to_string())
}

fn check(context: &Context, dir: &Path, node: Option<NodeId>, witnesses: &[NodeId]) -> Result<(), Trouble> {
    let report = match node {
        None => verify(dir),
        Some(node) => verify_as(dir, node),
    };
    let report = report.map_err(|error| trouble(&error))?;
    let cosigned = check_witnesses(dir, report.node, witnesses).map_err(|text| {
        Trouble::new("E0801", text)
            .note("what witnesses signed and what is there, or who was named, do not go together")
            .exit(Exit::Failed)
    })?;
    let (summary, key) = (summary(&report), key_text(node.is_some()));
    let mut object = report_json(&report, &summary);
    object["key"] = json!(if node.is_some() { "named" } else { "folder" });
    let by = cosigned.iter().flat_map(|cosigned| &cosigned.by);
    object["witnesses"] = by.map(|(witness, time)| json!({"node": witness.to_string(), "time": time})).collect();
    context.screen.answer(&object, |colour| {
        let mut text = format!("{} {summary}\n  {key}\n", colour.green("ok"));
        text.push_str(&cosigned.as_ref().map(Cosigned::text).unwrap_or_default());
        report.deleted.iter().for_each(|deleted| text.push_str(&format!("  {}\n", deletion_text(deleted))));
        let known = report.kinds.iter().filter(|(kind, _)| **kind != Kind::Unknown);
        known.for_each(|(kind, count)| text.push_str(&format!("  {count:>8}  {kind}\n")));
        report.strange.iter().for_each(|(word, count)| {
            text.push_str(&format!("  {count:>8}  {} (unknown here: a newer program wrote it)\n", plain(word)));
        });
        text
    });
    Ok(())
}

fn witness(context: &Context) -> Result<(), Trouble> {
    let data = context.data_dir()?;
    let client = Client::of(&data);
    let _: Value = context.wait(client.post("/hither/v1/ledger/witness", &json!({})))?;
    let dir = data.join("ledger");
    context.screen.answer(&json!({"asked": true}), |colour| {
        let verify = format!("hither ledger verify {}", dir.display());
        format!("{} up to three members are asked to sign it; who did: {}\n", colour.green("ok"), plain(&verify))
    });
    Ok(())
}

fn accept_loss(context: &Context) -> Result<(), Trouble> {
    let data = context.data_dir()?;
    let AcceptedLoss { kept, damage } = hither_node::accept_loss(&data).map_err(|error| {
        let text = chain(&error);
        match &error {
            LossError::Absent(_) => {
                Trouble::new("E0803", text).help("hither --data DIR ledger accept-loss").exit(Exit::Usage)
            }
            LossError::Whole(dir) => {
                Trouble::new("E0809", text).help(format!("hither ledger verify {}", dir.display()))
            }
            LossError::Home(InitError::Running(_)) => {
                Trouble::new("E0810", text).help("stop the node, and type it again")
            }
            _ => Trouble::new("E0810", text)
                .note("the ledger is as it was")
                .help("hither doctor     looks at the disk and the rights; then type it again"),
        }
    })?;
    let kept = kept.display().to_string();
    context.screen.answer(&json!({"kept": kept, "damage": damage}), |colour| {
        format!(
            "{} {}\n   it is kept as it was in {kept}\n   a new ledger says so in its first record; the node may be started\n",
            colour.green("ok"),
            plain(&damage)
        )
    });
    Ok(())
}

/// What left one ledger must have come to the other.
pub(super) fn lay_side_by_side(context: &Context, dirs: &[PathBuf]) -> Result<(), Trouble> {
    let dirs: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let found = reconcile(&dirs).map_err(|error| trouble(&error))?;
    compare(context, &found)
}

fn show(context: &Context, dir: &Path, last: Option<usize>) -> Result<(), Trouble> {
    let records: Result<Vec<Record>, VerifyError> = read(dir).map_err(|error| trouble(&error))?.collect();
    let records = records.map_err(|error| trouble(&error))?;
    let shown = &records[records.len().saturating_sub(last.unwrap_or(usize::MAX))..];
    let lines: Vec<Value> = if context.screen.is_json() {
        // Each line is canonical JSON already, as the reader has checked.
        shown.iter().map(|record| serde_json::from_str(&record.line).unwrap_or(Value::Null)).collect()
    } else {
        Vec::new()
    };
    let total = records.last().map_or(0, |record| record.seq + 1);
    let object = json!({"total": total, "deleted": total - records.len() as u64, "records": lines});
    context.screen.answer(&object, |_| {
        let mut next = shown.first().filter(|_| last.is_some()).map_or(0, |record| record.seq);
        let mut text = String::new();
        for record in shown {
            text.push_str(&jump_text(next, record.seq));
            text.push_str(&record_text(record));
            next = record.seq + 1;
        }
        text
    });
    Ok(())
}

/// What stands where records were: a reader of the ledger passes over those that a record says were deleted.
fn jump_text(next: u64, found: u64) -> String {
    match found.saturating_sub(next) {
        0 => String::new(),
        count => format!("{next:>6}  … {count} records, up to {}, were deleted by retention\n", found - 1),
    }
}

/// Which records were deleted, and by whose word.
pub(super) fn deletion_text(deleted: &Deleted) -> String {
    let Deleted { seq, ts, policy, what } = deleted;
    let origins: Vec<String> = what.origins.iter().map(ToString::to_string).collect();
    let policy = policy.map_or_else(|| "of no name".to_owned(), |digest| format!("b3:{}", digest.short()));
    format!(
        "records {} to {}, until {}, were deleted by retention after {} days (the longest for {}; policy {policy}): record \
         {seq} of {ts}",
        what.first,
        what.end().saturating_sub(1),
        plain(&what.to),
        what.days,
        origins.join(", "),
    )
}

fn record_text(record: &Record) -> String {
    let mut text = format!("{:>6}  {}  {:15}", record.seq, plain(&record.ts), plain(record.word()));
    let mut add = |label: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("  {label}{}", plain(&value)));
        }
    };
    add("app ", record.app.as_ref().map(ToString::to_string));
    add("", record.model.as_ref().map(ToString::to_string));
    add("ran as ", record.ran.as_ref().map(|ran| ran.model.to_string()));
    add("", record.class.map(|class| class.to_string()));
    add("at ", record.place.as_ref().map(|place| format!("{} {}", place.site, place.jurisdiction)));
    add("rule ", record.rule.as_ref().map(ToString::to_string));
    add("left by ", record.left_by.as_ref().map(|permit| permit.rule.to_string()));
    add("out ", record.bytes_out.map(|bytes| bytes.to_string()));
    add("in ", record.bytes_in.map(|bytes| bytes.to_string()));
    add(
        "over the relay of ",
        record.relay.map(|(node, place)| {
            format!(
                "{} {}",
                node.short(),
                place.map_or_else(|| "(place not known)".to_owned(), |place| place.to_string())
            )
        }),
    );
    add("request ", record.request.map(|request| request.to_string()));
    add("records ", record.deletion.as_ref().map(|what| format!("{} to {}", what.first, what.end().saturating_sub(1))));
    if let Some(kernel) = &record.kernel {
        add("since ", kernel.since.clone().or_else(|| Some(kernel.span.clone())));
        add("lawful ", Some(kernel.lawful.to_string()));
        add("talk ", Some(kernel.talk.to_string()));
        add("leak ", Some(format!("{} packets", kernel.leak_packets)));
        add("payload ", Some(kernel.payload.map_or_else(|| "not compared".to_owned(), |bytes| bytes.to_string())));
    }
    add("not known: ", record.unread.map(|fault| fault.as_str().to_owned()));
    add("attempt ", record.attempt.filter(|attempt| attempt.0 > 0).map(|attempt| attempt.0.to_string()));
    text.push('\n');
    text
}

fn summary(report: &Report) -> String {
    let mut text = format!(
        "{} records of node {}, {} signed, root {}; {} left with requests, {} with answers",
        report.records,
        report.node.short(),
        report.signed,
        &hex(&report.root)[..16],
        report.requests_out,
        report.answers_out
    );
    if report.dropped > 0 {
        text.push_str(&format!("; {} records were lost while the disk did not take them", report.dropped));
    }
    if !report.deleted.is_empty() {
        text.push_str(&format!(
            "; {} records were deleted by retention, their hashes are there",
            report.deleted_records()
        ));
    }
    if report.torn_bytes > 0 {
        text.push_str(&format!("; {} at the end are an unfinished write", ByteCount(report.torn_bytes)));
    }
    text
}

fn hex(bytes: &[u8; 32]) -> String {
    hither_types::id::Digest(*bytes).to_string()
}

fn report_json(report: &Report, summary: &str) -> Value {
    let kinds: serde_json::Map<String, Value> =
        report.kinds.iter().map(|(kind, count)| (kind.to_string(), json!(count))).collect();
    json!({
        "summary": summary, "origin": report.origin, "node": report.node.to_string(), "records": report.records,
        "signed": report.signed, "root": hex(&report.root), "torn_bytes": report.torn_bytes, "kinds": kinds,
        "requests_out": report.requests_out.0, "answers_out": report.answers_out.0, "dropped": report.dropped,
        "unknown": report.strange, "deleted": report.deleted.iter().map(deletion_json).collect::<Vec<_>>(),
    })
}

fn deletion_json(deleted: &Deleted) -> Value {
    let Deleted { seq, ts, policy, what } = deleted;
    json!({
        "first": what.first, "count": what.count, "from": what.from, "to": what.to, "days": what.days,
        "origins": what.origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "policy": policy.map(|digest| format!("b3:{digest}")), "record": seq, "ts": ts,
    })
}

fn compare(context: &Context, found: &Reconciliation) -> Result<(), Trouble> {
    let (payload, answers) = found.matched_bytes();
    let errors = found.findings.iter().filter(|finding| finding.severity() == Severity::Error).count();
    let notes = found.findings.len() - errors;
    let summary = format!(
        "{} ledgers, {} transfers on record at both ends: {payload} of requests, {answers} of answers; explained by the records: {notes}",
        found.ledgers.len(),
        found.pairs.len()
    );
    let text = |severity| {
        let matching = found.findings.iter().filter(move |finding| finding.severity() == severity);
        matching.map(ToString::to_string).collect::<Vec<String>>()
    };
    if !found.agrees() {
        let trouble = Trouble::new("E0802", format!("the ledgers contradict each other {errors} times: {summary}"));
        let trouble = text(Severity::Error).into_iter().fold(trouble, Trouble::note);
        return Err(trouble.help("hither ledger show DIR     at both ends, and look at these requests"));
    }
    let object = json!({
        "summary": summary, "ledgers": found.ledgers.len(), "transfers": found.pairs.len(),
        "request_bytes": payload.0, "answer_bytes": answers.0, "notes": text(Severity::Note),
    });
    context.screen.answer(&object, |colour| {
        let mut lines = format!("{} {summary}\n", colour.green("ok"));
        text(Severity::Note).iter().for_each(|note| lines.push_str(&format!("  note: {note}\n")));
        lines
    });
    Ok(())
}

/// Why a ledger cannot be read, or is not what was signed.
pub(super) fn trouble(error: &VerifyError) -> Trouble {
    let text = chain(error);
    match error {
        VerifyError::Absent(_) => Trouble::new("E0803", text)
            .help("hither ledger verify DATA/ledger     with the data directory of the node")
            .exit(Exit::Usage),
        VerifyError::Io { .. } | VerifyError::Changed(_) => Trouble::new("E0804", text),
        VerifyError::Twice { .. } => Trouble::new("E0805", text).exit(Exit::Usage),
        _ => Trouble::new("E0801", text)
            .note("nothing was repaired; the files are as they were found")
            .help("compare with a copy from before: the first bad record and its byte are named above"),
    }
}
