//! Plants each bug of `hither_core::mutant` in turn and runs the scenarios until one of them shows it. Whatever survives
//! is a hole in the observer or in the bounds. `cargo xtask mutants-core` builds and runs it.
//!
//! Scenarios come in the order of their events, so that what is cheap is tried first, and the order is the same on every
//! machine. Before anything is planted, every run has to pass.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hither_core::mutant::{Mutant, plant};
use hither_sim::{Report, Scenario, run};

/// Seeds of each scenario, from 1, before a bug counts as not found.
const SEEDS: u64 = 4;

/// What showed a bug.
struct Catch {
    scenario: String,
    seed: u64,
    by: String,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut out, mut only) = (None, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => out = args.next().map(PathBuf::from),
            name => only.push(name.to_owned()),
        }
    }
    match check(&only) {
        Ok((page, survivors)) => {
            println!("{page}");
            if let Some(out) = out.filter(|_| only.is_empty() && survivors == 0)
                && let Err(error) = std::fs::write(&out, page)
            {
                eprintln!("failed to write {}: {error}", out.display());
                return ExitCode::FAILURE;
            }
            ExitCode::from(u8::from(survivors > 0))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The page, and how many bugs survive.
fn check(only: &[String]) -> Result<(String, usize), String> {
    let known = |name: &String| Mutant::ALL.iter().any(|mutant| format!("{mutant:?}") == *name);
    if let Some(name) = only.iter().find(|name| !known(name)) {
        return Err(format!("there is no bug {name:?}"));
    }
    plant(None);
    // A bug may break what the mind itself takes for granted; the table says so, and that is enough.
    std::panic::set_hook(Box::new(|_| {}));
    let mut scenarios = scenarios()?;
    let (hash, runs) = unharmed(&mut scenarios)?;
    let mutants: Vec<Mutant> =
        Mutant::ALL.iter().copied().filter(|mutant| only.is_empty() || only.contains(&format!("{mutant:?}"))).collect();
    let mut table = String::new();
    let mut survivors = 0;
    for mutant in &mutants {
        let caught = hunt(*mutant, &scenarios);
        let (place, by) = match &caught {
            Some(Catch { scenario, seed, by }) => (format!("{scenario}, seed {seed}"), by.as_str()),
            None => ("**survives**".to_owned(), ""),
        };
        survivors += usize::from(caught.is_none());
        eprintln!("{mutant:?}: {place} {by}");
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{mutant:?}` | {} | {} | {place} | {by} |", mutant.aim(), mutant.breaks());
    }
    let page = format!(
        "# Bugs that the simulator finds\n\n\
         Made by `cargo xtask mutants-core`. Each bug is planted in the mind by hand, alone, and the scenarios run until \
         one shows it: seeds 1 to {SEEDS}, the smallest scenario first. The mind's own assertions are compiled out, so \
         what stands in the last column was seen from outside: an invariant of the observer, or a bound that the scenario \
         states. Without a bug all {runs} runs pass; their trace hash is `{hash:016x}`.\n\n\
         {} bugs, {survivors} survive.\n\n\
         | bug | aimed at | what is broken | first caught in | by |\n| --- | --- | --- | --- | --- |\n{table}",
        mutants.len()
    );
    Ok((page, survivors))
}

fn scenarios() -> Result<Vec<Scenario>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("failed to read {}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| Scenario::load(path).map_err(|error| error.to_string())).collect()
}

/// Runs everything without a bug, and puts the scenarios into the order of their events. Gives a hash of all traces, and
/// how many there are.
fn unharmed(scenarios: &mut Vec<Scenario>) -> Result<(u64, usize), String> {
    let (mut hash, mut runs) = (0_u64, 0);
    let mut sized = Vec::new();
    for scenario in scenarios.drain(..) {
        let mut events = 0;
        for seed in 1..=SEEDS {
            let report = run(&scenario, seed, None).map_err(|error| error.to_string())?;
            if !report.passed() {
                return Err(format!("without any bug:\n{report}"));
            }
            hash = hash.rotate_left(7) ^ report.hash;
            events += report.events;
            runs += 1;
        }
        sized.push((events, scenario));
    }
    sized.sort_by_key(|(events, _)| *events);
    scenarios.extend(sized.into_iter().map(|(_, scenario)| scenario));
    Ok((hash, runs))
}

/// Runs with a bug until a report does not pass.
fn hunt(mutant: Mutant, scenarios: &[Scenario]) -> Option<Catch> {
    plant(Some(mutant));
    let all = (1..=SEEDS).flat_map(|seed| scenarios.iter().map(move |scenario| (scenario, seed)));
    let caught = all.into_iter().find_map(|(scenario, seed)| {
        let by = match catch_unwind(AssertUnwindSafe(|| run(scenario, seed, None))) {
            Ok(Ok(report)) => seen(&report)?,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a panic of the mind".to_owned(),
        };
        Some(Catch { scenario: scenario.name.clone(), seed, by })
    });
    plant(None);
    caught
}

/// What a report holds against the mind: the invariants that it broke, or else the first bound that it did not keep.
fn seen(report: &Report) -> Option<String> {
    let mut broken: Vec<&str> = report.violations.iter().map(|violation| violation.invariant).collect();
    broken.sort_unstable();
    broken.dedup();
    match (broken.is_empty(), report.unmet.first()) {
        (false, _) => Some(broken.join(", ")),
        (true, unmet) => unmet.cloned(),
    }
}
