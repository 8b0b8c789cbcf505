//! Plants bugs in the mind and looks which scenario finds each: builds the runner of `hither-sim` and lets it write the table.
//!
//! The mind's own assertions are compiled out for it: what the shipped program would stop at, the simulator has to see.

use std::process::Command;

/// Where the table is written.
const PAGE: &str = "docs/figures/mutants.md";

/// The check; with names, of those bugs alone, and nothing is written.
pub(crate) fn mutants(names: &[String]) -> Vec<String> {
    let root = crate::tidy::root();
    let page = root.join(PAGE);
    if let Some(Err(error)) = page.parent().map(std::fs::create_dir_all) {
        return vec![format!("failed to make the folder of {PAGE}: {error}")];
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--release", "--locked", "--package", "hither-sim", "--example", "mutants"])
        .args(["--features", "mutants", "--config", "profile.release.package.hither-core.debug-assertions=false", "--"])
        .arg("--out")
        .arg(&page)
        .args(names)
        .current_dir(&root)
        .status();
    match status {
        Ok(status) if status.success() => Vec::new(),
        Ok(_) => vec!["a planted bug was not found, or the mind without one does not pass".to_owned()],
        Err(error) => vec![format!("failed to run cargo: {error}")],
    }
}
