//! What the law says, held against Cedar, and how quick it is beside others. `make oracle` runs it.

use std::process::ExitCode;

mod cedar;
mod compare;
mod draw;
mod faults;
mod race;

use compare::compare;
use faults::FAULTS;

const USAGE: &str =
    "usage: hither-oracle check [--seed N] [--pairs N]   the evaluator and Cedar, on drawn policies and questions
       hither-oracle faults [--seed N] [--pairs N]  planted faults, each of which must be found
       hither-oracle race --to PATH                 one decision, timed beside other engines; the page goes to PATH";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("error: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let Some((command, rest)) = arguments.split_first() else { return Err(USAGE.to_owned()) };
    match command.as_str() {
        "check" => check(number(rest, "--seed", 1)?, number(rest, "--pairs", 100_000)?),
        "faults" => plant(number(rest, "--seed", 1)?, number(rest, "--pairs", 20_000)?),
        "race" => match rest {
            [word, path] if word == "--to" => race::race(path.as_ref()),
            _ => Err(format!("say where the page goes: --to docs/figures/decision.md\n{USAGE}")),
        },
        _ => Err(format!("{command:?} is no command\n{USAGE}")),
    }
}

/// The number behind a word.
fn number(arguments: &[String], word: &str, default: u64) -> Result<u64, String> {
    let Some(at) = arguments.iter().position(|argument| argument == word) else { return Ok(default) };
    let value = arguments.get(at + 1).map(String::as_str).unwrap_or_default();
    value.parse().map_err(|_| format!("{value:?} behind {word} is no number\n{USAGE}"))
}

/// Compares, and demands that each kind of answer was given often.
fn check(seed: u64, pairs: u64) -> Result<(), String> {
    let counts = compare(seed, pairs as usize, str::to_owned)?;
    println!(
        "seed {seed}: {} questions to {} policies, {} of them about relays: {} permitted, {} forbidden, {} denied by default; \
         Cedar says the same of each, for the same rule",
        counts.pairs(),
        counts.policies,
        counts.relays,
        counts.permitted,
        counts.forbidden,
        counts.by_default
    );
    match counts.rare().as_slice() {
        [] => Ok(()),
        rare => Err(format!("too few answers of a kind to show anything: {}", rare.join(", "))),
    }
}

/// Plants each fault, and demands that it is found.
fn plant(seed: u64, pairs: u64) -> Result<(), String> {
    let mut missed = Vec::new();
    for (what, fault) in FAULTS {
        match compare(seed, pairs as usize, fault) {
            Err(found) if found.starts_with("the evaluator and Cedar disagree") => println!("found: {what}"),
            Err(other) => return Err(format!("{what}: {other}")),
            Ok(_) => missed.push(what),
        }
    }
    if missed.is_empty() { Ok(()) } else { Err(format!("not found among {pairs} questions: {}", missed.join("; "))) }
}
