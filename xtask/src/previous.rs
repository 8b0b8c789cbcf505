//! `cargo xtask previous`: the program of an earlier commit, for what two releases have to bear of each other. It is kept
//! outside of the repository, under the commit's name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::tidy::root;

/// Builds the program of a commit unless it is there, and prints where it lies.
///
/// # Errors
/// What is wrong with the words, that there is no such commit, or that it does not build.
pub(crate) fn previous(words: &[String]) -> Result<Vec<String>, String> {
    let commit = match words {
        [] => said(&["describe", "--tags", "--abbrev=0"]).map_err(|_| {
            "there is no release yet, that is no tag; name a commit: cargo xtask previous --commit REVISION".to_owned()
        })?,
        [word, commit] if word == "--commit" => commit.clone(),
        _ => return Err("previous takes --commit REVISION, or nothing for the last release".to_owned()),
    };
    let commit = said(&["rev-parse", "--verify", "--short=12", &format!("{commit}^{{commit}}")])?;
    let program = built(&commit)?;
    println!("{}", program.display());
    Ok(Vec::new())
}

fn said(words: &[&str]) -> Result<String, String> {
    let done = Command::new("git").args(words).current_dir(root()).output().map_err(|error| format!("git: {error}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned()),
        false => Err(format!("git {}: {}", words.join(" "), String::from_utf8_lossy(&done.stderr).trim())),
    }
}

fn built(commit: &str) -> Result<PathBuf, String> {
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = var("HOME").ok_or("HOME is not set")?;
    let place = var("HITHER_CACHE").unwrap_or_else(|| home.join(".cache/hither")).join("previous");
    let program = place.join(format!("hither-{commit}"));
    if program.is_file() {
        return Ok(program);
    }
    let source = place.join(format!("source-{commit}"));
    std::fs::create_dir_all(&source).map_err(|error| format!("{}: {error}", source.display()))?;
    unpacked(commit, &source)?;
    // One folder for all of them: what they share is built once.
    let target = place.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(["build", "--release", "--locked", "--package", "hither"])
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        // What cargo tells a program of this checkout is not about that one.
        .env_remove("CARGO_MANIFEST_DIR")
        .stdout(Stdio::null())
        .status();
    if !done.map_err(|error| format!("cargo: {error}"))?.success() {
        return Err(format!("the program of {commit} does not build in {}", source.display()));
    }
    std::fs::copy(target.join("release/hither"), &program)
        .map_err(|error| format!("{}: {error}", program.display()))?;
    // What is left costs disk and nothing else.
    let _ = std::fs::remove_dir_all(&source);
    Ok(program)
}

/// The files of a commit.
fn unpacked(commit: &str, to: &Path) -> Result<(), String> {
    let archive = to.join("source.tar");
    let name = archive.display().to_string();
    said(&["archive", "--format=tar", "--output", &name, commit])?;
    let done = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(to).status();
    match done.map_err(|error| format!("tar: {error}"))?.success() {
        true => Ok(()),
        false => Err(format!("{name} cannot be unpacked")),
    }
}
