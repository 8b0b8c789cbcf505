//! The rules hold, and each of them can fail.

use std::path::Path;

use super::*;

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn arrows_go_down_only() {
    none(layers());
}

#[test]
fn nothing_in_the_build_contacts_anybody_by_itself() {
    none(outside());
}

#[test]
fn every_licence_is_on_the_list() {
    none(licences());
}

#[test]
fn every_file_is_tidy() {
    assert!(sources().len() > 50);
    none(files());
}

#[test]
fn the_map_names_every_crate() {
    none(map());
}

#[test]
fn each_rule_for_files_can_fail() {
    let long = format!("//! A file.\n{}", "// line\n".repeat(LINES_MAX));
    let cases = [
        ("crates/a/src/a.rs", "fn a() {}\n".to_owned(), "no header"),
        ("crates/a/src/a.rs", long, "two subjects"),
        ("crates/a/src/a/mod.rs", "//! A.\n".to_owned(), "mod.rs"),
        ("crates/hither-ledger/src/a.rs", "//! A.\nuse std::net::TcpStream;\n".to_owned(), "no code for networks"),
        ("crates/a/src/utils.rs", "//! A.\n".to_owned(), "says nothing"),
        ("crates/a/src/tests.rs", ["//! A.\nstd::thread::", "sleep(x)\n"].concat(), "sleeps"),
        ("crates/a/src/a.rs", ["//! A.\nx.", "unwrap()\n"].concat(), "unwrap outside"),
        ("crates/a/src/a.rs", ["//! A.\n// TO", "DO\n"].concat(), "left behind"),
    ];
    for (path, text, expected) in cases {
        let faults = file(Path::new(path), &text);
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{path}: {expected}: {faults:?}");
    }
    assert!(file(Path::new("crates/a/src/a.rs"), "//! A file.\n").is_empty());
}
