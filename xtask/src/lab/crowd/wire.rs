//! The bench `wire` of hither-swarm: building it, and running it on a machine of the hall.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::super::net::command;
use crate::tidy::root;

/// Builds it and says where it lies.
pub(super) fn built() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        // With the program, so that both share what is built of iroh.
        .args(["build", "--release", "--locked", "--package", "hither", "--package", "hither-swarm", "--bench", "wire"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages
        .filter(|message| message["target"]["name"] == "wire")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.ok_or_else(|| "cargo build --release --package hither-swarm --bench wire made no program".to_owned())
}

/// A server that listens, until this goes.
pub(super) struct Serving {
    child: Child,
    /// What an asker has to know of it.
    pub(super) certificate: String,
}

impl Serving {
    /// Starts it in a namespace.
    pub(super) fn start(wire: &Path, space: &str, kind: &str, address: &str) -> Result<Self, String> {
        let mut command = command(space, wire);
        command.args(["serve", kind, address]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", wire.display()))?;
        let out = child.stdout.take().ok_or("a server has an output")?;
        let mut line = String::new();
        let read = BufReader::new(out).read_line(&mut line);
        let certificate = line.trim().strip_prefix("ready ").map(str::to_owned);
        match (read, certificate) {
            (Ok(_), Some(certificate)) => Ok(Self { child, certificate }),
            _ => {
                end(&mut child);
                Err(format!("wire serve {kind} did not begin"))
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Runs it to its end and reads the object that it prints last.
pub(super) fn run(wire: &Path, space: &str, words: &[&str]) -> Result<Value, String> {
    let done = command(space, wire).args(words).stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{}: {error}", wire.display()))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let object = said.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    match object {
        Some(object) if done.status.success() => Ok(object),
        _ => Err(format!("wire {}: {said} {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim())),
    }
}

/// Starts it and leaves it running.
pub(super) fn begin(wire: &Path, space: &str, words: &[&str]) -> Result<Child, String> {
    let mut command = command(space, wire);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", wire.display()))?;
    if let Some(out) = child.stdout.as_mut() {
        // One byte at a time, so that the rest is left for whoever reads the end.
        let mut byte = [0];
        while std::io::Read::read(out, &mut byte).is_ok_and(|count| count == 1) && byte != *b"\n" {}
    }
    Ok(child)
}
