//! `hither audit`: what ledgers say about a period, for people who were not there.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use hither_ledger::audit::{Audit, Draw, Period, audit};

use super::{Context, ledger};
use crate::output::{Exit, Trouble};

mod conclusion;
mod document;
mod export;
mod forms;
mod tables;
#[cfg(test)]
mod tests;

use document::Document;

/// Uses that the report of events lists one by one: a person looks at a period that has fewer.
const USES_LISTED: usize = 5_000;

/// What an auditor asks for.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Verify ledgers, and sum up what they say about a period.
    #[command(after_help = "\
A moment is as exact as you write it: 2026, 2026-11, 2026-11-29, 2026-11-29T12:00 (UTC).
For a PDF, write report.html, open it in a browser and print it to a file.")]
    Report(ReportArgs),
    /// Make a folder for an auditor: ledgers, policies, and how to check them. The policy is asked first (export), and the
    /// node's ledger says who gets a copy.
    Export(export::ExportArgs),
    /// Lay two or more ledgers side by side: what left one must have come to the other.
    Reconcile {
        /// The directories.
        #[arg(required = true, num_args = 2..)]
        dirs: Vec<PathBuf>,
    },
}

/// What a report is about.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("view"))]
pub(super) struct ReportArgs {
    /// The ledgers' directories; that of the node of this machine if absent.
    dirs: Vec<PathBuf>,
    /// The first moment of the period; the beginning of the ledgers if absent.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Option<String>,
    /// The first moment after the period; the end of the ledgers if absent.
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Option<String>,
    /// Only what left a country: the register of transfers.
    #[arg(long, group = "view")]
    transfers: bool,
    /// A record of processing, as Article 30 of the GDPR asks for it; what no ledger knows is left open.
    #[arg(long = "gdpr-art30", group = "view")]
    gdpr_art30: bool,
    /// What Article 12 of the EU AI Act wants logged of a high-risk system.
    #[arg(long = "ai-act-12", group = "view")]
    ai_act_12: bool,
    /// Draw so many requests, with every record about them.
    #[arg(long, value_name = "N", default_value_t = 0)]
    sample: usize,
    /// Which are drawn: the same number, the same requests.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "sample")]
    seed: u64,
    /// Only this table.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// How it is written; by the end of the file's name if absent, and else as text.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write it to this file instead of the screen.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For the screen.
    Text,
    /// One page without scripts, that prints well.
    Html,
    /// One table.
    Csv,
    /// Everything, for a program.
    Json,
}

/// Does it.
pub(super) fn run(context: &Context, command: AuditCommand) -> Result<(), Trouble> {
    match command {
        AuditCommand::Report(args) => report(context, &args),
        AuditCommand::Export(args) => export::export(context, &args),
        AuditCommand::Reconcile { dirs } => ledger::lay_side_by_side(context, &dirs),
    }
}

fn report(context: &Context, args: &ReportArgs) -> Result<(), Trouble> {
    let dirs = match args.dirs.is_empty() {
        true => vec![context.data_dir()?.join("ledger")],
        false => args.dirs.clone(),
    };
    let period = Period { from: args.from.clone(), to: args.to.clone() };
    if let (Some(from), Some(to)) = (&period.from, &period.to)
        && from >= to
    {
        return Err(Trouble::new("E0806", format!("a period from {from} to {to} holds no moment"))
            .help("--to is the first moment after it: --from 2026-11-01 --to 2026-12-01")
            .exit(Exit::Usage));
    }
    let paths: Vec<&Path> = dirs.iter().map(PathBuf::as_path).collect();
    let uses = if args.ai_act_12 { USES_LISTED } else { 0 };
    let draw = Draw { count: args.sample, seed: args.seed, uses };
    let found = audit(&paths, &period, draw).map_err(|error| ledger::trouble(&error))?;
    let mut document = view(args, &found, draw);
    if let Some(name) = &args.table {
        let names = document.tables.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        document.tables.retain(|table| table.name == name);
        if document.tables.is_empty() {
            return Err(Trouble::new("E0808", format!("this report has no table {name:?}"))
                .help(format!("one of {names}"))
                .exit(Exit::Usage));
        }
    }
    let text = match format(context, args) {
        Format::Text => forms::text(&document, context.screen.colour_unless(args.out.is_some())),
        Format::Html => forms::html(&document),
        Format::Json => format!("{}\n", forms::object(&document)),
        Format::Csv => match document.tables.as_slice() {
            [table] => forms::csv(table),
            tables => {
                let names = tables.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
                return Err(Trouble::new(
                    "E0808",
                    format!("CSV holds one table, and this report has {}", tables.len()),
                )
                .help(format!("--table NAME, one of {names}"))
                .exit(Exit::Usage));
            }
        },
    };
    let Some(file) = &args.out else {
        crate::output::raw(&text);
        return Ok(());
    };
    write(file, &text)?;
    let object = serde_json::json!({"file": file.display().to_string(), "bytes": text.len()});
    context
        .screen
        .answer(&object, |colour| format!("{} {} ({} bytes)\n", colour.green("ok"), file.display(), text.len()));
    Ok(())
}

fn view(args: &ReportArgs, found: &Audit, draw: Draw) -> Document {
    match () {
        () if args.transfers => Document::transfers(found, draw),
        () if args.gdpr_art30 => Document::processing(found, draw),
        () if args.ai_act_12 => Document::events(found, draw),
        () => Document::whole(found, draw),
    }
}

fn format(context: &Context, args: &ReportArgs) -> Format {
    let end = args.out.as_deref().and_then(Path::extension).and_then(|end| end.to_str());
    match (args.format, end) {
        (Some(format), _) => format,
        (None, Some("html" | "htm")) => Format::Html,
        (None, Some("csv")) => Format::Csv,
        (None, Some("json")) => Format::Json,
        (None, _) if args.out.is_none() && context.screen.is_json() => Format::Json,
        (None, _) => Format::Text,
    }
}

/// Whole or not at all: half a report says less than none.
fn write(file: &Path, text: &str) -> Result<(), Trouble> {
    let new = file.with_extension("part");
    let written = std::fs::File::create(&new)
        .and_then(|mut out| out.write_all(text.as_bytes()).and_then(|()| out.sync_all()))
        .and_then(|()| std::fs::rename(&new, file));
    written.map_err(|error| {
        // What is left of it is in nobody's way.
        let _ = std::fs::remove_file(&new);
        Trouble::new("E0807", format!("{} cannot be written: {error}", file.display())).help("--out FILE")
    })
}

/// A moment as records write it, but for the Z; what is not said is the beginning.
fn moment(text: &str) -> Result<String, String> {
    const FORM: &str = "dddd-dd-ddTdd:dd:dd.ddd";
    const BEGINNING: &str = "0000-01-01T00:00:00.000";
    // Where each number stands, and between what it lies.
    const BOUNDS: [(usize, u8, u8); 5] = [(5, 1, 12), (8, 1, 31), (11, 0, 23), (14, 0, 59), (17, 0, 59)];
    let digits = text.strip_suffix('Z').unwrap_or(text);
    let fits = |(wanted, found): (char, char)| if wanted == 'd' { found.is_ascii_digit() } else { wanted == found };
    let whole = [4, 7, 10, 13, 16, 19, 23].contains(&digits.len()) && FORM.chars().zip(digits.chars()).all(fits);
    let full = format!("{digits}{}", BEGINNING.get(digits.len()..).unwrap_or_default());
    let number = |at: usize| full.get(at..at + 2).and_then(|two| two.parse::<u8>().ok());
    let is_one = |(at, least, most)| number(at).is_some_and(|number| (least..=most).contains(&number));
    if whole && BOUNDS.into_iter().all(is_one) {
        Ok(full)
    } else {
        Err("write it as 2026-11, 2026-11-29 or 2026-11-29T12:00 (UTC)".to_owned())
    }
}
