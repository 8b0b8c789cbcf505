//! The auditor's own program: is a ledger whole, in order, unchanged and signed, and does it go on from what was seen of
//! it before? It reads files, and does nothing else: no network, no configuration, nothing written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hither_ledger::{Checkpoint, Cosigned, Deleted, Kind, Report, check_witnesses, key_text, verify_at};
use hither_types::id::{Digest, NodeId};

const HELP: &str = "\
hither-ledger-verify: checks the ledger of a Hither node. It has no code for networks, and writes nothing.

  hither-ledger-verify [--node ID] [--witness ID…] [--since CHECKPOINT] DIRECTORY…

DIRECTORY        holds ledger.jsonl, checkpoint, node.vkey and, where days were closed or deleted, ledger-NUMBER files
--node ID        the node whose key must have signed, 64 hexadecimal digits; else the key beside the ledger is taken
--witness ID     a node that you know, which may have signed the ledger as well: with this only those that are named count,
                 and one of them at least must have signed; may be given several times
--since FILE     a checkpoint of this ledger that you kept: what it covers must still be there, and the same

It ends with 0 if everything holds, with 1 if something does not, and with 2 if it was asked wrongly.
";

struct Asked {
    node: Option<NodeId>,
    witnesses: Vec<NodeId>,
    since: Option<PathBuf>,
    dirs: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if args == ["--version"] {
        println!("hither-ledger-verify {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let asked = match read(&args) {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("error: {wrong}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let mut held = true;
    for dir in &asked.dirs {
        match check(dir, &asked) {
            Ok(text) => print!("{text}"),
            Err(text) => {
                eprintln!("FAILED {}: {text}", dir.display());
                held = false;
            }
        }
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { node: None, witnesses: Vec::new(), since: None, dirs: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--node" | "--witness" => {
                let id = args.next().ok_or_else(|| format!("{arg} wants the id of a node"))?;
                let id = NodeId::parse(id).map_err(|_| format!("{id:?} is not the id of a node"))?;
                match arg.as_str() {
                    "--node" => asked.node = Some(id),
                    _ => asked.witnesses.push(id),
                }
            }
            "--since" => asked.since = Some(args.next().ok_or("--since wants a file")?.into()),
            option if option.starts_with('-') => return Err(format!("{option:?} is no option")),
            dir => asked.dirs.push(dir.into()),
        }
    }
    match (asked.dirs.len(), asked.since.is_some() || asked.node.is_some()) {
        (0, _) => Err("no directory is named".to_owned()),
        (2.., true) => Err("--node and --since are about one ledger".to_owned()),
        _ => Ok(asked),
    }
}

/// What holds, or the first thing that does not.
fn check(dir: &Path, asked: &Asked) -> Result<String, String> {
    let since = asked.since.as_deref().map(|file| {
        std::fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
    });
    let since = since.transpose()?;
    // Its signature is checked once the ledger has said whose it is; its size is needed now.
    let wanted = since.as_deref().map(size_of).transpose()?;
    let (report, root) = verify_at(dir, wanted).map_err(|error| chain(&error))?;
    if let Some(node) = asked.node.filter(|node| *node != report.node) {
        return Err(format!("it is signed by node {}, not by {node}", report.node));
    }
    let mut text = summary(dir, &report, key_text(asked.node.is_some()));
    let cosigned = check_witnesses(dir, report.node, &asked.witnesses)?;
    text.push_str(&cosigned.as_ref().map(Cosigned::text).unwrap_or_default());
    if let Some(since) = since {
        let kept = Checkpoint::open(&since, report.node).map_err(|error| format!("the checkpoint kept: {error}"))?;
        if kept.origin != report.origin {
            return Err(format!("the checkpoint kept is of {}, the ledger of {}", kept.origin, report.origin));
        }
        match root {
            None => return Err(format!("it has {} records; the checkpoint kept has {}", report.records, kept.size)),
            Some(root) if root != kept.root => {
                return Err(format!("its first {} records are not those that the checkpoint kept covers", kept.size));
            }
            Some(_) => {
                let gone = report.deleted.iter().any(|deleted| deleted.what.first < kept.size);
                let but = if gone { ", but for those deleted, whose hashes are" } else { "" };
                text.push_str(&format!(
                    "  the {} records of the checkpoint kept are there, unchanged{but}\n",
                    kept.size
                ));
            }
        }
    }
    Ok(text)
}

/// The second line of a checkpoint.
fn size_of(note: &str) -> Result<u64, String> {
    let size = note.lines().nth(1).and_then(|line| line.parse().ok());
    size.ok_or_else(|| "the checkpoint kept is none: its second line is not a number".to_owned())
}

fn summary(dir: &Path, report: &Report, key: &str) -> String {
    let mut text = format!(
        "ok {}\n  node {}\n  {key}\n  origin {}\n  {} records, the first {} signed, root {}\n",
        dir.display(),
        report.node,
        report.origin,
        report.records,
        report.signed,
        Digest(report.root)
    );
    if report.dropped > 0 {
        text.push_str(&format!("  {} records were lost while the disk took none, as gaps say\n", report.dropped));
    }
    if report.torn_bytes > 0 {
        text.push_str(&format!("  {} bytes at the end are an unfinished write\n", report.torn_bytes));
    }
    report.deleted.iter().for_each(|deleted| text.push_str(&about(deleted)));
    for (kind, count) in report.kinds.iter().filter(|(kind, _)| **kind != Kind::Unknown) {
        text.push_str(&format!("  {count:>10}  {kind}\n"));
    }
    for (word, count) in &report.strange {
        text.push_str(&format!("  {count:>10}  {word} (unknown here: a newer program wrote it)\n"));
    }
    text
}

/// What is not there any more, and by whose word.
fn about(deleted: &Deleted) -> String {
    let Deleted { seq, ts, policy, what } = deleted;
    let origins: Vec<String> = what.origins.iter().map(ToString::to_string).collect();
    format!(
        "  records {} to {} (until {}) were deleted by retention: {} days for {}, policy {}; record {seq} of {ts} says so\n",
        what.first,
        what.end().saturating_sub(1),
        what.to,
        what.days,
        origins.join(" "),
        policy.map_or_else(|| "unknown".to_owned(), |digest| digest.short()),
    )
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
