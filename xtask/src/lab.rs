//! `cargo xtask lab`: real `hither` processes on machines out of network namespaces, behind an emulated network, playing the
//! faults that a mesh must bear.
//!
//! What must stay true: every row asserts what it expects, with times of the monotonic clock; every row is also played with
//! its expectation broken on purpose (`--broken`), and then has to fail; what was not played is said not to have been, with
//! the reason. Nothing outlives a run: it happens in namespaces of processes, mounts and networks that end with it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::tidy::root;

mod crowd;
mod http;
mod link;
mod mesh;
mod net;
mod node;
mod page;
mod queue;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use crowd::mesh as crowd_mesh;
use page::Played;
use rows::ROWS;

/// Says that this process runs inside of the lab's namespaces.
const INSIDE: &str = "HITHER_LAB_INSIDE";

/// The lab's own file system, in memory: names of namespaces, and directories of nodes.
const FILES: &str = "/run";

/// What a row is given.
struct Lab {
    /// The program under test.
    hither: PathBuf,
    /// A program of the release before, if there is one.
    previous: Option<PathBuf>,
    /// Where its nodes live.
    scratch: PathBuf,
    /// Where logs of nodes are kept.
    logs: PathBuf,
    /// Of the losses, and of what a row draws.
    seed: u64,
    /// Fewer repetitions.
    quick: bool,
    /// The row has to fail.
    broken: bool,
}

/// What the words of the command say.
struct Told {
    lab: Lab,
    rows: Vec<String>,
    to: PathBuf,
}

fn read(words: &[String]) -> Result<Told, String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let mut lab = Lab {
        hither: target.join("release/hither"),
        previous: None,
        scratch: PathBuf::from(FILES).join("lab"),
        logs: target.join("lab"),
        seed: 1,
        quick: false,
        broken: false,
    };
    let (mut rows, mut to) = (Vec::new(), root().join("docs/figures"));
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut next = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--hither" => lab.hither = PathBuf::from(next()?),
            "--previous" => lab.previous = Some(PathBuf::from(next()?)),
            "--row" => rows.push(next()?.clone()),
            "--seed" => lab.seed = next()?.parse().map_err(|error| format!("--seed: {error}"))?,
            "--quick" => lab.quick = true,
            "--broken" => lab.broken = true,
            "--to" => to = PathBuf::from(next()?),
            other => return Err(format!("there is no {other:?}")),
        }
    }
    let known: Vec<&str> = ROWS.iter().map(|row| row.number).collect();
    if let Some(unknown) = rows.iter().find(|row| !known.contains(&row.as_str())) {
        return Err(format!("there is no row {unknown:?} that can be played; there are {}", known.join(", ")));
    }
    lab.hither = std::path::absolute(&lab.hither).map_err(|error| format!("--hither: {error}"))?;
    if !lab.hither.is_file() {
        return Err(format!("{} is not there; make it with: make build", lab.hither.display()));
    }
    if let Some(previous) = &mut lab.previous {
        *previous = std::path::absolute(&previous).map_err(|error| format!("--previous: {error}"))?;
        if !previous.is_file() {
            return Err(format!("{} is not there; make it with: cargo xtask previous", previous.display()));
        }
    }
    Ok(Told { lab, rows, to })
}

/// Plays the rows and writes the page, if all of them were played. Rows that failed come back as faults.
///
/// # Errors
/// What is wrong with the words, or with the machine.
pub(crate) fn lab(words: &[String]) -> Result<Vec<String>, String> {
    let told = read(words)?;
    if std::env::var_os(INSIDE).is_none() {
        return outside("lab", words);
    }
    settle(&told.lab, &[("ip", "iproute2"), ("nft", "nftables"), ("nsenter", "util-linux")])?;
    let wanted = |number: &str| told.rows.is_empty() || told.rows.iter().any(|row| row == number);
    let mut played = Vec::new();
    for row in ROWS.iter().filter(|row| wanted(row.number)) {
        let normal = if told.lab.broken { None } else { Some(play(&told.lab, row)) };
        // A quick run shows that the program holds, not that the rows can fail.
        let broken =
            (told.lab.broken || !told.lab.quick).then(|| play(&Lab { broken: true, ..told.lab.clone_of() }, row));
        played.push(Played { row, normal, broken });
    }
    if !told.lab.quick && !told.lab.broken {
        let file = told.to.join("lab.md");
        let page = match std::fs::read_to_string(&file) {
            Ok(old) if !told.rows.is_empty() => page::renewed(&old, &played),
            _ => page::page(&told.lab, &played),
        };
        std::fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(played.iter().flat_map(Played::faults).collect())
}

impl Lab {
    fn clone_of(&self) -> Self {
        let Self { hither, previous, scratch, logs, seed, quick, broken } = self;
        Self {
            hither: hither.clone(),
            previous: previous.clone(),
            scratch: scratch.clone(),
            logs: logs.clone(),
            seed: *seed,
            quick: *quick,
            broken: *broken,
        }
    }
}

/// What came of playing a row once.
struct Came {
    what: Result<String, String>,
    took: Duration,
}

fn play(lab: &Lab, row: &rows::Row) -> Came {
    let part = format!("row-{}{}", row.number, if lab.broken { "-broken" } else { "" });
    let lab = Lab { scratch: lab.scratch.join(&part), logs: lab.logs.join(&part), ..lab.clone_of() };
    let began = Instant::now();
    let what = (row.play)(&lab);
    let took = began.elapsed();
    let (said, text) = match &what {
        Ok(observed) => ("held", observed),
        Err(observed) => ("did not hold", observed),
    };
    println!("{part}: {said} in {:.1} s: {text}", took.as_secs_f64());
    Came { what, took }
}

/// Starts this program again inside of namespaces of its own. When this process ends, however it ends, the kernel ends
/// the first process in there and with it everything that was made.
fn outside(chore: &str, words: &[String]) -> Result<Vec<String>, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let status = isolated().arg(this).arg(chore).args(words).env(INSIDE, "1").status();
    match status {
        Ok(status) if status.success() => Ok(Vec::new()),
        Ok(status) => Ok(vec![format!("what ran in namespaces of its own ended with {status}")]),
        Err(error) => Err(format!("setpriv and unshare of util-linux are needed: {error}")),
    }
}

/// A command that enters new namespaces: as root directly, else in a user namespace in which it is root.
fn isolated() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
    command
}

/// Mounts the lab's own file system, and looks for the programs that the lab needs.
fn settle(lab: &Lab, needed: &[(&str, &str)]) -> Result<(), String> {
    for (program, package) in needed {
        let there = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !there.is_ok_and(|found| found.status.success()) {
            return Err(format!("{program} is missing; install {package}"));
        }
    }
    let mount = format!("mount -t tmpfs -o mode=755 tmpfs {FILES} && mkdir -p {FILES}/netns {}", lab.scratch.display());
    let done = Command::new("sh").args(["-c", &mount]).output().map_err(|error| format!("mount: {error}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
