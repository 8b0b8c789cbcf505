//! `hither sim`: a scenario in the simulator, from a seed.

use std::path::PathBuf;

use clap::Args;
use hither_sim::{Report, SimError, run_file};
use serde_json::{Value, json};

use super::Context;
use crate::output::{Exit, Trouble, chain};

/// What `sim` is told.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// The scenario.
    scenario: PathBuf,
    /// Where every chance comes from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Repeat the scenario's nodes up to so many.
    #[arg(long, value_name = "N")]
    nodes: Option<u32>,
    /// Also write the run as one HTML page, with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Plays it.
pub(super) fn sim(context: &Context, args: &SimArgs) -> Result<(), Trouble> {
    let report = run_file(&args.scenario, args.seed, args.nodes).map_err(|error| {
        let trouble = Trouble::new("E0911", format!("{}: {}", args.scenario.display(), chain(&error)));
        match error {
            SimError::Unreadable { .. } => trouble.help("ls scenarios"),
            SimError::Nodes { .. } => trouble.exit(Exit::Usage),
            _ => trouble,
        }
    })?;
    if let Some(path) = &args.html {
        std::fs::write(path, hither_sim::page::page(&report)).map_err(|error| {
            Trouble::new("E0912", format!("{} cannot be written: {error}", path.display())).help("df -h")
        })?;
    }
    context.screen.answer(&report_json(&report), |_| format!("{report}\n"));
    if report.passed() {
        return Ok(());
    }
    let trouble =
        Trouble::new("E0910", format!("{} violations, {} bounds not kept", report.violation_count, report.unmet.len()))
            .help(format!("hither sim {} --seed {}     plays exactly this again", args.scenario.display(), args.seed));
    // The report is on stdout already, and a machine gets one object.
    Err(if context.screen.is_json() { trouble.quiet() } else { trouble })
}

fn report_json(report: &Report) -> Value {
    let counters: serde_json::Map<String, Value> =
        report.counters().map(|(name, count)| (name.to_owned(), json!(count))).collect();
    let violations: Vec<Value> = report
        .violations
        .iter()
        .map(|violation| {
            json!({"invariant": violation.invariant, "at_us": violation.at, "node": violation.node,
                   "what": violation.what, "trace": violation.trace})
        })
        .collect();
    json!({
        "scenario": report.scenario, "seed": report.seed, "nodes": report.nodes, "passed": report.passed(),
        "virtual_us": report.end, "events": report.events, "trace_lines": report.lines,
        "trace_hash": format!("{:016x}", report.hash), "violations": violations,
        "violation_count": report.violation_count, "unmet": report.unmet, "counters": counters,
    })
}
