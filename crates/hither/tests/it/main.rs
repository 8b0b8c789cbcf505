//! The program as a shell sees it: what it prints, where, and with which code it ends.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

mod bench;
mod crowd;
mod doctor;
mod leaving;
mod ledger;
mod node;
mod older;
mod policy;
mod strangers;
mod usage;

/// Runs the program to its end, in an environment that has no node and no cache.
fn hither(args: &[&str]) -> Output {
    let nowhere = std::env::temp_dir().join("hither-nowhere");
    Command::new(env!("CARGO_BIN_EXE_hither"))
        .args(args)
        .env("HITHER_DATA", &nowhere)
        .env("HITHER_CACHE", &nowhere)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Runs it, and holds the code with which it ends.
fn ends(args: &[&str], code: i32) -> (String, String) {
    let output = hither(args);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "hither {}\n{stdout}\n{stderr}", args.join(" "));
    (stdout, stderr)
}

/// Runs it with `--json`: stdout is one object on one line, and nothing else is said.
fn object(args: &[&str], code: i32) -> Value {
    let args: Vec<&str> = std::iter::once("--json").chain(args.iter().copied()).collect();
    let (stdout, stderr) = ends(&args, code);
    assert_eq!(stderr, "", "hither {}", args.join(" "));
    assert_eq!(stdout.trim_end().lines().count(), 1, "{stdout}");
    serde_json::from_str(&stdout).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
