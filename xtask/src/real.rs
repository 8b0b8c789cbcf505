//! `cargo xtask real`: the same requests to real processes and to simulated ones, beside one another.

use std::path::PathBuf;
use std::process::Command;

use hither_sim::study::real;
use serde_json::Value;

use crate::tidy::root;

/// A run whose client fell behind its own clock by more measures the machine and not the mesh, in microseconds.
const LATE_MAX: f64 = 20_000.0;

/// Runs both and writes the page.
///
/// # Errors
/// What is wrong with the words, that the program is not there or fails, or that a page cannot be written.
pub(crate) fn real(words: &[String]) -> Result<Vec<String>, String> {
    let (mut hither, mut to) = (root().join("target/release/hither"), root().join("docs/figures"));
    let mut seeds = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--hither" => hither = PathBuf::from(next()?),
            "--to" => to = PathBuf::from(next()?),
            "--seed" => seeds.push(next()?.parse::<u64>().map_err(|error| format!("--seed: {error}"))?),
            other => return Err(format!("there is no {other:?}")),
        }
    }
    if seeds.is_empty() {
        seeds = vec![1, 2, 3];
    }
    let mut rows = String::new();
    for seed in seeds {
        let measured = measure(&hither, seed)?;
        let simulated = real::simulated(seed);
        let number = |path: &str| measured.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let late = number("/late_us/p99");
        let ms = |micros: f64| format!("{:.0}", micros / 1000.0);
        let pair = |real: f64, simulated: u64| {
            let simulated = simulated as f64;
            format!("{} | {} | {:+.1} %", ms(real), ms(simulated), (real / simulated - 1.0) * 100.0)
        };
        rows += &format!(
            "| {seed} | {} of {} | {} | {} | {}{} |\n",
            number("/answered"),
            number("/requests"),
            pair(number("/latency_us/mean"), simulated.latency_mean),
            pair(number("/latency_us/p99"), simulated.latency_p99),
            ms(late),
            if late > LATE_MAX { ", too late: the machine was busy" } else { "" },
        );
        println!("seed {seed}: {measured}");
    }
    let page = format!(
        "# Real processes beside simulated ones\n\nWritten by `cargo xtask real`; do not edit by hand.\n\n{}\n\n| seed | \
         answered | mean ms, real | simulated | off by | p99 ms, real | simulated | off by | client late, p99 ms |\n\
         |{}\n{rows}",
        real::SETUP,
        " --- |".repeat(9)
    );
    std::fs::write(to.join("real.md"), page).map_err(|error| format!("real.md: {error}"))?;
    Ok(Vec::new())
}

fn measure(hither: &std::path::Path, seed: u64) -> Result<Value, String> {
    let trace = std::env::temp_dir().join(format!("hither-trace-{}-{seed}.jsonl", std::process::id()));
    std::fs::write(&trace, real::trace(seed)).map_err(|error| format!("{}: {error}", trace.display()))?;
    let ran = Command::new(hither)
        .args(["bench", "mesh", "--trace"])
        .arg(&trace)
        .args(["--nodes", &real::NODES.to_string(), "--slots", &real::SLOTS.to_string()])
        .args(["--warm-up-s", &real::WARM_UP_S.to_string()])
        .output()
        .map_err(|error| format!("{}: {error}; `make build` makes it", hither.display()));
    let _ = std::fs::remove_file(&trace);
    let ran = ran?;
    if !ran.status.success() {
        return Err(format!("hither bench mesh failed: {}", String::from_utf8_lossy(&ran.stderr)));
    }
    serde_json::from_slice(&ran.stdout).map_err(|error| format!("the answer of hither bench mesh: {error}"))
}
