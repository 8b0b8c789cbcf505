//! The rules of ARCHITECTURE.md and CONVENTIONS.md that a machine can hold. Each gives its faults, none means well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Which crates of ours each crate may name. Arrows go down only; crates of one floor never name each other.
const LAYERS: &[(&str, &[&str])] = &[
    ("hither-types", &[]),
    ("hither-core", &["hither-types"]),
    ("hither-engine", &["hither-types"]),
    ("hither-filter", &["hither-types"]),
    ("hither-law", &["hither-types"]),
    ("hither-ledger", &["hither-types"]),
    ("hither-provenance", &[]),
    ("hither-wire", &["hither-types"]),
    ("hither-api", &["hither-engine", "hither-filter", "hither-types"]),
    ("hither-llama", &["hither-engine", "hither-types"]),
    ("hither-onnx", &["hither-engine", "hither-types"]),
    ("hither-sources", &["hither-types"]),
    ("hither-swarm", &["hither-types", "hither-wire"]),
    (
        "hither-node",
        &[
            "hither-api",
            "hither-core",
            "hither-engine",
            "hither-filter",
            "hither-law",
            "hither-ledger",
            "hither-sources",
            "hither-swarm",
            "hither-types",
            "hither-wire",
        ],
    ),
    ("hither-sim", &["hither-core", "hither-law", "hither-ledger", "hither-types", "hither-wire"]),
    (
        "hither",
        &[
            "hither-api",
            "hither-engine",
            "hither-law",
            "hither-ledger",
            "hither-llama",
            "hither-node",
            "hither-onnx",
            "hither-provenance",
            "hither-sim",
            "hither-sources",
            "hither-types",
        ],
    ),
    ("xtask", &["hither-sim"]),
];

/// Outside crates that only some of ours may name: each shuts something in.
const SHUT_IN: &[(&str, &[&str])] = &[
    ("iroh", &["hither-swarm"]),
    ("iroh-blobs", &["hither-swarm"]),
    ("iroh-relay", &["hither-swarm"]),
    ("swarm-discovery", &["hither-swarm"]),
    ("ort", &["hither-onnx"]),
    ("llama-cpp-2", &["hither-llama"]),
    ("llama-cpp-sys-2", &["hither-llama"]),
    ("axum", &["hither-api"]),
    ("tonic", &["hither-api"]),
    ("hyper-rustls", &["hither-api", "hither-sources"]),
    ("clap", &["hither"]),
    ("opentelemetry", &["hither-node"]),
    ("opentelemetry-otlp", &["hither-node"]),
    ("opentelemetry_sdk", &["hither-node"]),
];

/// All that the auditor's program is made of beside our own: no code for networks.
const OF_THE_LEDGER: &[&str] = &["data-encoding", "ed25519-dalek", "serde_json", "sha2", "thiserror"];

/// Crates that would contact somebody, or that bring a second TLS. None may be in the lock file's build. Of `hf-hub`, the
/// header of `hither-sources` says what was tried.
const NEVER: &[&str] = &["hf-hub", "iroh-mdns-address-lookup", "native-tls", "openssl", "portmapper", "sentry"];

/// Licences that may be linked.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A file past this has two subjects, or says in its header why not.
const LINES_MAX: usize = 500;

/// Tests are lists; they may be longer.
const TEST_LINES_MAX: usize = 700;

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "common", "helpers", "manager", "prelude", "misc"];

/// Every rule. Empty means tidy.
pub(crate) fn all() -> Vec<String> {
    [layers(), outside(), licences(), files(), map()].concat()
}

/// The checkout that this was started in: cargo says it when it runs something. The one that it was compiled in may be
/// another, where several share a folder of what is built.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().expect("xtask lies in the root").to_owned()
}

fn manifests() -> Vec<(String, toml::Table)> {
    let mut dirs: Vec<PathBuf> = std::fs::read_dir(root().join("crates"))
        .expect("crates/ is there")
        .map(|entry| entry.expect("crates/ can be read").path())
        .filter(|path| path.join("Cargo.toml").exists())
        .collect();
    dirs.push(root().join("xtask"));
    dirs.sort();
    let read = |dir: &PathBuf| std::fs::read_to_string(dir.join("Cargo.toml")).expect("a manifest can be read");
    dirs.iter()
        .map(|dir| read(dir).parse::<toml::Table>().expect("a manifest is TOML"))
        .map(|table| (table["package"]["name"].as_str().expect("a name").to_owned(), table))
        .collect()
}

fn dependencies(table: &toml::Table) -> BTreeSet<String> {
    let names = |key: &str| {
        table.get(key).and_then(toml::Value::as_table).map(|deps| deps.keys().cloned().collect()).unwrap_or_default()
    };
    let mut all: BTreeSet<String> = names("dependencies");
    all.append(&mut names("build-dependencies"));
    all
}

/// The floors.
pub(crate) fn layers() -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut faults = Vec::new();
    for (name, manifest) in manifests() {
        let Some(allowed) = table.get(name.as_str()) else {
            faults.push(format!("{name} stands on no floor: add it to LAYERS in xtask/src/tidy.rs"));
            continue;
        };
        for dependency in dependencies(&manifest) {
            if table.contains_key(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{name} names {dependency}, which its floor does not allow"));
            }
            let shut = SHUT_IN.iter().find(|(outside, _)| *outside == dependency);
            if let Some((_, holders)) = shut
                && !holders.contains(&name.as_str())
            {
                faults.push(format!("{name} names {dependency}; only {holders:?} may"));
            }
            if matches!(name.as_str(), "hither-types" | "hither-core") && !dependency.starts_with("hither-") {
                faults.push(format!("{name} names {dependency}; it may name nothing from outside"));
            }
            let ours = dependency.starts_with("hither-") || OF_THE_LEDGER.contains(&dependency.as_str());
            if name == "hither-ledger" && !ours {
                faults.push(format!("{name} names {dependency}; the auditor's program is made of {OF_THE_LEDGER:?}"));
            }
        }
    }
    faults
}

fn metadata() -> serde_json::Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn packages(metadata: &serde_json::Value) -> Vec<(&str, &str)> {
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .map(|nodes| nodes.iter().filter_map(|node| node["id"].as_str()).collect())
        .unwrap_or_default();
    let packages = metadata["packages"].as_array().expect("a list of packages");
    packages
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
        .map(|package| (package["name"].as_str().unwrap_or_default(), package["license"].as_str().unwrap_or_default()))
        .collect()
}

/// Nothing that contacts somebody on its own.
pub(crate) fn outside() -> Vec<String> {
    let metadata = metadata();
    let packages = packages(&metadata);
    assert!(packages.len() > 100, "only {} packages were seen", packages.len());
    packages
        .iter()
        .filter(|(name, _)| NEVER.contains(name))
        .map(|(name, _)| format!("{name} is in the build; it contacts somebody or brings what is not wanted"))
        .collect()
}

/// Every linked crate has a licence that may be linked.
pub(crate) fn licences() -> Vec<String> {
    let metadata = metadata();
    let fits = |expression: &str| {
        // "A OR B" needs one of them; "A AND B" needs all.
        let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
        expression.split(" AND ").all(|part| part.split(" OR ").any(|licence| LICENCES.contains(&licence.trim())))
    };
    packages(&metadata)
        .iter()
        .filter(|(_, licence)| !fits(licence))
        .map(|(name, licence)| format!("{name} has the licence {licence:?}, which is not on the list"))
        .collect()
}

/// Every Rust source file of the workspace and of the oracle, with its text.
pub(crate) fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join("crates"), root().join("oracle"), root().join("xtask")];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a source folder can be read") {
            let path = entry.expect("a source folder can be read").path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source is text");
                found.push((path.strip_prefix(root()).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// Sizes, headers, names.
pub(crate) fn files() -> Vec<String> {
    sources().iter().flat_map(|(path, text)| file(path, text)).collect()
}

/// What is wrong with one file.
pub(crate) fn file(path: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = path.display();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let is_test = path.components().any(|part| part.as_os_str() == "tests") || stem == "tests";
    let is_build = stem == "build";
    if !text.starts_with("//!") && !text.starts_with("#!") {
        faults.push(format!("{shown}: no header; open it with //! and what the file is for"));
    }
    let lines = text.lines().count();
    let lines_max = if is_test { TEST_LINES_MAX } else { LINES_MAX };
    if lines > lines_max && !text.contains("//! Long because") {
        faults.push(format!(
            "{shown}: {lines} lines; past {lines_max} it has two subjects, or says `//! Long because …`"
        ));
    }
    if stem == "mod" {
        faults.push(format!("{shown}: no mod.rs; use foo.rs beside foo/"));
    }
    if path.starts_with("crates/hither-ledger/src") && text.contains("std::net") {
        faults.push(format!("{shown}: the auditor's program is made of this, and has no code for networks"));
    }
    if EMPTY_NAMES.contains(&stem) {
        faults.push(format!("{shown}: the name says nothing; name what it owns"));
    }
    let sleep = [".sleep(", "thread::sleep(", "time::sleep("].iter().any(|word| text.contains(word));
    if is_test && sleep {
        faults.push(format!("{shown}: a test sleeps; wait for an event"));
    }
    let body = text.split("#[cfg(test)]").next().unwrap_or_default();
    if !is_test && !is_build && body.contains(".unwrap()") {
        faults.push(format!("{shown}: unwrap outside tests; use expect with the reason, or an error"));
    }
    // Written apart, so that this file does not find itself.
    for word in [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimple", "mented!(")] {
        if text.contains(word) {
            faults.push(format!("{shown}: {word} was left behind"));
        }
    }
    faults
}

/// ARCHITECTURE.md names every crate, and no other.
pub(crate) fn map() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md is there");
    let named: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split('`').next())
        .filter(|name| name.starts_with("hither") || *name == "xtask")
        .collect();
    let there: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    let mut faults = Vec::new();
    for name in there.difference(&named) {
        faults.push(format!("ARCHITECTURE.md does not name {name}"));
    }
    for name in named.difference(&there) {
        faults.push(format!("ARCHITECTURE.md names {name}, which is not there"));
    }
    faults
}
