//! `cargo xtask operators`: the operator tests of ONNX through real workers, as a page.

use std::path::PathBuf;
use std::process::Command;

use crate::tidy::root;

/// Fetches the tests, runs them and writes the page.
///
/// # Errors
/// What is wrong with the words, or that something cannot be run; what failed is in its own words above.
pub(crate) fn operators(words: &[String]) -> Result<Vec<String>, String> {
    let to = match words {
        [] => root().join("docs/figures"),
        [flag, to] if flag == "--to" => PathBuf::from(to),
        _ => return Err(format!("there is no {words:?}")),
    };
    // Tests run elsewhere than this.
    let to = std::path::absolute(&to).map_err(|error| format!("{}: {error}", to.display()))?;
    run(Command::new(root().join("scripts/fetch-models")).arg("operators"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--release", "--package", "hither", "--test", "worker", "--", "--nocapture", "operators::"]);
    tests.current_dir(root()).env("HITHER_NEEDS_MODELS", "1").env("HITHER_OPERATORS_PAGE", to.join("operators.md"));
    run(&mut tests)?;
    Ok(Vec::new())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| format!("{program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} failed: {status}")) }
}
