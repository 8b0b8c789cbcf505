//! `cargo xtask rivals engines` and `… gateway`: this program and its rivals in one run, in turn, each at its best settings.
//!
//! What must stay true: a ratio compares two rounds that ran one after the other; a rival that did not run is said not to
//! have run, with the reason, and no figure stands in its row.

use std::path::{Path, PathBuf};

use crate::tidy::root;

mod gateway;
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

/// What the words of a command say.
struct Told {
    setting: Setting,
    /// Where pages are written.
    to: PathBuf,
    /// Parts that are wanted; all if empty.
    parts: Vec<String>,
}

impl Told {
    /// Reads the words. `part` is the one that names a part of the field, and `parts` are all of them.
    fn read(words: &[String], part: &str, parts: &[&str]) -> Result<Self, String> {
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
        let (mut to, mut wanted) = (root().join("docs/figures"), Vec::new());
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().ok_or(format!("{word} wants a value"));
            match word.as_str() {
                "--hither" => setting.hither = PathBuf::from(next()?),
                "--to" => to = PathBuf::from(next()?),
                "--rounds" => setting.rounds = next()?.parse().map_err(|error| format!("--rounds: {error}"))?,
                word if word == part => wanted.push(next()?.clone()),
                other => return Err(format!("there is no {other:?}")),
            }
        }
        if let Some(unknown) = wanted.iter().find(|name| !parts.contains(&name.as_str())) {
            return Err(format!("{part} takes one of {}, and not {unknown:?}", parts.join(", ")));
        }
        if !setting.hither.is_file() {
            return Err(format!("{} is not there; make it with: make build", setting.hither.display()));
        }
        std::fs::create_dir_all(&setting.scratch).map_err(|error| format!("{}: {error}", setting.scratch.display()))?;
        Ok(Self { setting, to, parts: wanted })
    }

    /// Whether a part is wanted.
    fn wants(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == name)
    }
}

/// Measures one field and writes its page.
///
/// # Errors
/// What is wrong with the words, that nothing could be measured, or that the page cannot be written.
pub(crate) fn rivals(words: &[String]) -> Result<Vec<String>, String> {
    let (told, field) = match words.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        Some(("engines", rest)) => {
            (Told::read(rest, "--only", &PARTS.map(|(name, _)| name))?, engines as fn(&Told) -> Result<(), String>)
        }
        Some(("gateway", rest)) => (Told::read(rest, "--part", &gateway::PARTS)?, gateway::gateway as fn(&Told) -> _),
        _ => return Err("there are two fields: cargo xtask rivals engines, cargo xtask rivals gateway".to_owned()),
    };
    let done = field(&told);
    // Temporary files that stay are no fault of a measurement.
    let _ = std::fs::remove_dir_all(&told.setting.scratch);
    done.map(|()| Vec::new())
}

type Measure = fn(&Setting) -> Vec<Row>;

const PARTS: [(&str, Measure); 4] =
    [("onnx", onnx::rows), ("http", http::rows), ("language", language::rows), ("idle", idle::rows)];

fn engines(told: &Told) -> Result<(), String> {
    let mut rows = Vec::new();
    for (name, measure) in PARTS {
        rows.extend(if told.wants(name) { measure(&told.setting) } else { Vec::new() });
    }
    for row in &rows {
        println!("{}", row.line());
    }
    if !rows.iter().any(Row::has_run) {
        return Err("nothing was measured, so no page is written; install the rivals: scripts/rivals/setup".to_owned());
    }
    if !told.parts.is_empty() {
        println!("a part was measured, so no page is written");
        return Ok(());
    }
    write(&told.to.join("engines.md"), &page(&rows, &told.setting))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
