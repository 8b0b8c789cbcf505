//! Lets cores decide many times under a storm of requests, and prints as JSON what was against the law.
//!
//! ```sh
//! cargo run --release -p hither-sim --example lawstorm -- --decisions 1000000000 --seed 1 --threads 4
//! ```
//!
//! With `--questions N` no core plays: the index that decides about requests and the oracle are asked N questions each.
//! With `--renewals 0` no certificate says anything new while requests are under way. Each thread is a storm of its own with the next seed, and takes its share of the decisions. The hash is the same for the
//! same three numbers. The exit code is 1 if anything was against the law.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use hither_sim::lawstorm::{AnswerReport, Breach, Certificates, Decision, LawReport, questions, storm_with};

fn main() -> ExitCode {
    let mut options = BTreeMap::from([
        ("--decisions", 1_000_000),
        ("--seed", 1),
        ("--threads", 1),
        ("--renewals", 1),
        ("--questions", 0),
    ]);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let value = pair.get(1).and_then(|value| value.parse::<u64>().ok());
        match (options.get_mut(pair[0].as_str()), value) {
            (Some(option), Some(value)) => *option = value,
            _ => {
                eprintln!("usage: lawstorm [--decisions N] [--seed N] [--threads N] [--renewals 0|1] [--questions N]");
                return ExitCode::from(2);
            }
        }
    }
    let (seed, threads) = (options["--seed"], options["--threads"].max(1));
    if options["--questions"] > 0 {
        return ask(seed, threads, options["--questions"].div_ceil(threads));
    }
    let share = options["--decisions"].div_ceil(threads);
    let certificates = if options["--renewals"] == 0 { Certificates::Fixed } else { Certificates::Renewed };
    let start = Instant::now();
    let storms: Vec<_> =
        (seed..seed + threads).map(|seed| std::thread::spawn(move || storm_with(seed, share, certificates))).collect();
    let mut sum: Option<LawReport> = None;
    for storm in storms {
        let Ok(report) = storm.join() else {
            eprintln!("a storm panicked");
            return ExitCode::from(3);
        };
        match &mut sum {
            Some(sum) => sum.add(&report),
            None => sum = Some(report),
        }
    }
    let Some(report) = sum else { return ExitCode::from(2) };
    print(&report, threads, start.elapsed().as_secs_f64());
    if report.violation_count() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks questions alone, each thread by a seed of its own.
fn ask(seed: u64, threads: u64, share: u64) -> ExitCode {
    let start = Instant::now();
    let asking: Vec<_> =
        (seed..seed + threads).map(|seed| std::thread::spawn(move || questions(seed, share))).collect();
    let mut sum = AnswerReport::default();
    for thread in asking {
        let Ok(report) = thread.join() else {
            eprintln!("a thread panicked");
            return ExitCode::from(3);
        };
        sum.asked += report.asked;
        sum.laws += report.laws;
        sum.lawful += report.lawful;
        sum.at_home += report.at_home;
        sum.forbidden += report.forbidden;
        sum.different += report.different;
        sum.first.extend(report.first);
    }
    let AnswerReport { asked, laws, lawful, at_home, forbidden, different, first } = sum;
    let seconds = start.elapsed().as_secs_f64();
    println!("{{\n  \"seed\": {seed},\n  \"threads\": {threads},\n  \"questions\": {asked},\n  \"laws\": {laws},");
    println!("  \"lawful\": {lawful},\n  \"at_home\": {at_home},\n  \"forbidden\": {forbidden},");
    println!("  \"different\": {different},\n  \"first\": {first:?},\n  \"seconds\": {seconds:.1}\n}}");
    if different == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &LawReport, threads: u64, seconds: f64) {
    println!("{{");
    println!("  \"seed\": {},\n  \"threads\": {threads},", report.seed);
    println!("  \"decisions\": {},", report.decisions());
    for decision in Decision::ALL {
        println!("  \"{}\": {},", decision.as_str(), report.count(decision));
    }
    println!("  \"retries\": {},\n  \"stepped_down\": {},", report.retries, report.stepped_down);
    println!("  \"rounds\": {},\n  \"events\": {},", report.rounds, report.events);
    println!("  \"law_changes\": {},\n  \"certificates_renewed\": {},", report.amendments, report.renewals);
    println!("  \"oracle_verdicts\": {},\n  \"oracle_lawful\": {},", report.verdicts, report.lawful);
    println!("  \"violations\": {},", report.violation_count());
    for breach in Breach::ALL {
        println!("  \"{}\": {},", breach.as_str(), report.breach_count(breach));
    }
    let violations: Vec<String> = report.violations.iter().map(|text| format!("\n    {text:?}")).collect();
    println!("  \"first_violations\": [{}],", violations.join(","));
    println!("  \"seconds\": {seconds:.1},\n  \"decisions_per_second\": {:.0},", report.decisions() as f64 / seconds);
    println!("  \"hash\": \"{:016x}\"\n}}", report.hash);
}
