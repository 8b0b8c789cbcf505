//! `cargo xtask rivals engines`: this program and its rivals in one run, in turn, each at its best settings.
//!
//! What must stay true: a ratio compares two rounds that ran one after the other; a rival that did not run is said not to
//! have run, with the reason, and no figure stands in its row.

use std::path::{Path, PathBuf};

use crate::tidy::root;

mod http;
mod idle;
mod language;
mod onnx;
mod page;
mod run;

use page::{Row, page};

/// What a run is told.
struct Setting {
    /// The program that is measured.
    hither: PathBuf,
    /// What `scripts/rivals/setup` installed.
    rivals: PathBuf,
    /// Where models and the library lie.
    cache: PathBuf,
    /// Rounds of each pair.
    rounds: usize,
    /// Where bodies of requests are written.
    scratch: PathBuf,
}

/// Measures and writes the page.
///
/// # Errors
/// What is wrong with the words, that nothing could be measured, or that the page cannot be written.
pub(crate) fn rivals(words: &[String]) -> Result<Vec<String>, String> {
    let Some(("engines", words)) = words.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        return Err("there is one field: cargo xtask rivals engines".to_owned());
    };
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = var("HOME").ok_or("HOME is not set")?;
    let cache = var("HITHER_CACHE").unwrap_or_else(|| home.join(".cache/hither"));
    let built = var("CARGO_TARGET_DIR").unwrap_or_else(|| root().join("target"));
    let mut setting = Setting {
        hither: built.join("release/hither"),
        rivals: cache.join("rivals"),
        cache,
        rounds: 5,
        scratch: std::env::temp_dir().join(format!("hither-rivals-{}", std::process::id())),
    };
    let (mut to, mut only) = (root().join("docs/figures"), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--hither" => setting.hither = PathBuf::from(next()?),
            "--to" => to = PathBuf::from(next()?),
            "--rounds" => setting.rounds = next()?.parse().map_err(|error| format!("--rounds: {error}"))?,
            "--only" => only.push(next()?.clone()),
            other => return Err(format!("there is no {other:?}")),
        }
    }
    if let Some(unknown) = only.iter().find(|name| !["onnx", "http", "language", "idle"].contains(&name.as_str())) {
        return Err(format!("--only takes onnx, http, language or idle, and not {unknown:?}"));
    }
    if !setting.hither.is_file() {
        return Err(format!("{} is not there; make it with: make build", setting.hither.display()));
    }
    std::fs::create_dir_all(&setting.scratch).map_err(|error| format!("{}: {error}", setting.scratch.display()))?;
    let wants = |name: &str| only.is_empty() || only.iter().any(|wanted| wanted == name);
    let mut rows = Vec::new();
    let parts =
        [("onnx", onnx::rows as Measure), ("http", http::rows), ("language", language::rows), ("idle", idle::rows)];
    for (name, measure) in parts {
        rows.extend(if wants(name) { measure(&setting) } else { Vec::new() });
    }
    // Temporary files that stay are no fault of a measurement.
    let _ = std::fs::remove_dir_all(&setting.scratch);
    for row in &rows {
        println!("{}", row.line());
    }
    if !rows.iter().any(Row::has_run) {
        return Err("nothing was measured, so no page is written; install the rivals: scripts/rivals/setup".to_owned());
    }
    if !only.is_empty() {
        println!("a part was measured, so no page is written");
        return Ok(Vec::new());
    }
    write(&to.join("engines.md"), &page(&rows, &setting))?;
    Ok(Vec::new())
}

type Measure = fn(&Setting) -> Vec<Row>;

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
