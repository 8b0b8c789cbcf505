//! `hither sim`: a scenario in the simulator, from a seed.

use std::path::PathBuf;

use clap::Args;
use hither_sim::compare::{Comparison, compare};
use hither_sim::{Report, Scenario, SimError, run};
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
    /// Put the same arrivals through one queue that knows everything, and through what others do; for a scenario with a
    /// [topology].
    #[arg(long)]
    compare: bool,
}

/// Plays it.
pub(super) fn sim(context: &Context, args: &SimArgs) -> Result<(), Trouble> {
    let (report, comparison) = play(args).map_err(|error| {
        let trouble = Trouble::new("E0911", format!("{}: {}", args.scenario.display(), chain(&error)));
        match error {
            SimError::Unreadable { .. } => trouble.help("ls scenarios"),
            SimError::Nodes { .. } => trouble.exit(Exit::Usage),
            _ => trouble,
        }
    })?;
    if let Some(path) = &args.html {
        std::fs::write(path, hither_sim::page::page(&report, comparison.as_ref())).map_err(|error| {
            Trouble::new("E0912", format!("{} cannot be written: {error}", path.display())).help("df -h")
        })?;
    }
    let json = report_json(&report, comparison.as_ref());
    let beside = comparison.map_or(String::new(), |comparison| format!("\n{comparison}"));
    context.screen.answer(&json, |_| format!("{report}\n{beside}"));
    if report.passed() {
        return Ok(());
    }
    let trouble =
        Trouble::new("E0910", format!("{} violations, {} bounds not kept", report.violation_count, report.unmet.len()))
            .help(format!("hither sim {} --seed {}     plays exactly this again", args.scenario.display(), args.seed));
    // The report is on stdout already, and a machine gets one object.
    Err(if context.screen.is_json() { trouble.quiet() } else { trouble })
}

fn play(args: &SimArgs) -> Result<(Report, Option<Comparison>), SimError> {
    let scenario = Scenario::load(&args.scenario)?;
    if args.compare {
        let comparison = compare(&scenario, args.seed, args.nodes, true)?;
        return Ok((comparison.report.clone(), Some(comparison)));
    }
    Ok((run(&scenario, args.seed, args.nodes)?, None))
}

fn report_json(report: &Report, comparison: Option<&Comparison>) -> Value {
    let rows = comparison.map(|comparison| {
        let rows = [&comparison.hither, &comparison.bound].into_iter().chain(&comparison.rivals);
        let rows = rows.map(|row| {
            json!({"policy": row.name, "requests": row.count, "mean_us": row.mean, "p50_us": row.p50, "p99_us": row.p99,
                   "p999_us": row.p999, "in_time": row.goodput, "words_a_request": row.messages,
                   "mean_to_bound": comparison.mean_ratio(row), "p99_to_bound": comparison.p99_ratio(row)})
        });
        rows.collect::<Vec<_>>()
    });
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
        "comparison": rows,
    })
}
