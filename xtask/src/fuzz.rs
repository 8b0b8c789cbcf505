//! Runs the fuzz targets, one after the other, each for a while.
//!
//! What must stay true: what is found goes beside the corpus, not into it; what is committed is chosen by people.

use std::path::Path;
use std::process::Command;

use crate::tidy::root;

#[cfg(test)]
mod tests;

/// What there is in `fuzz/`.
const TARGETS: [&str; 8] = ["http", "framing", "grpc", "gguf", "onnx", "work", "wire", "bundle"];

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    targets: Vec<String>,
    minutes: u32,
}

fn read(words: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { targets: Vec::new(), minutes: 10 };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--minutes" => {
                let number = words.next().and_then(|text| text.parse().ok()).filter(|minutes| *minutes > 0);
                asked.minutes = number.ok_or("--minutes takes a whole number of 1 or more")?;
            }
            target if TARGETS.contains(&target) => asked.targets.push(target.to_owned()),
            other => return Err(format!("there is no target {other:?}; there are {}", TARGETS.join(", "))),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = TARGETS.map(str::to_owned).to_vec();
    }
    Ok(asked)
}

/// What is missing, and what to type for it.
fn missing() -> Option<String> {
    let runs = |arguments: &[&str]| {
        let output = Command::new("rustup").args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs(&["run", "nightly", "rustc", "--version"]) {
        return Some(
            "the fuzzers need a nightly compiler: rustup toolchain install nightly --profile minimal".to_owned(),
        );
    }
    if !runs(&["run", "nightly", "cargo", "fuzz", "--version"]) {
        return Some("the fuzzers need cargo-fuzz: cargo install cargo-fuzz --locked".to_owned());
    }
    None
}

fn command(root: &Path, target: &str, minutes: u32) -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(root).args(["run", "nightly", "cargo", "fuzz", "run", target]);
    command.arg(format!("fuzz/found/{target}")).arg(format!("fuzz/corpus/{target}")).arg("--");
    // An input that takes longer or more than this is a fault like any other.
    command.args(["-timeout=5", "-rss_limit_mb=1024", "-max_len=4096", "-print_final_stats=1"]);
    command.arg(format!("-max_total_time={}", u64::from(minutes) * 60));
    let dictionary = format!("fuzz/dictionaries/{target}");
    if root.join(&dictionary).exists() {
        command.arg(format!("-dict={dictionary}"));
    }
    // What runs this is stable, and says so to whatever it starts.
    for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    command
}

/// Runs them. Gives those that failed.
pub(crate) fn fuzz(words: &[String]) -> Result<Vec<String>, String> {
    let asked = read(words)?;
    if let Some(missing) = missing() {
        return Ok(vec![missing]);
    }
    let root = root();
    let mut faults = Vec::new();
    for target in &asked.targets {
        let found = root.join("fuzz/found").join(target);
        if let Err(error) = std::fs::create_dir_all(&found) {
            faults.push(format!("{} cannot be made: {error}", found.display()));
            continue;
        }
        eprintln!("fuzzing {target} for {} min", asked.minutes);
        match command(&root, target, asked.minutes).status() {
            Ok(status) if status.success() => {}
            Ok(status) => faults.push(format!(
                "{target} ended with {status}: what failed is in fuzz/artifacts/{target}; make it small with \
                 cargo +nightly fuzz tmin {target} FILE, and put it into fuzz/corpus/{target} with the fix"
            )),
            Err(error) => faults.push(format!("rustup cannot be started: {error}")),
        }
    }
    Ok(faults)
}
