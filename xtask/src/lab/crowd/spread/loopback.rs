//! One giver and one taker without lines, beside plain iroh-blobs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use super::super::board::{Figure, Goal, plain};
use super::super::{Crowd, Crowded, quantile};
use super::{apart, fetched, filled, known, short};
use crate::lab::net::command;

/// Ours over theirs, in bytes a second.
const BLOBS_MIN: f64 = 0.8;

/// Long enough that what surrounds a fetch matters little.
const MEBIBYTES: u64 = 512;

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where it is, if it was built.
fn program() -> PathBuf {
    let cache = std::env::var_os("HITHER_CACHE").filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    cache.unwrap_or_else(|| home.join(".cache/hither")).join("rivals/blobs-build/release/blobs")
}

/// Fetches files of one length in turn: one of ours, one of theirs.
pub(super) fn beside_blobs(given: &Crowded) -> Result<Vec<Figure>, String> {
    let blobs = program();
    let (rounds, mebibytes) = given.pick((3, MEBIBYTES), (1, 64));
    let (lab, scratch) = apart(given, "loopback")?;
    let crowd = Crowd::configured(&lab, 2, "memory_mb = 1\n")?;
    let (mut ours, mut theirs, mut ran) = (Vec::new(), Vec::new(), None);
    for round in 0..rounds {
        let (name, file) = (format!("model{round}"), scratch.join("model"));
        filled(&file, mebibytes, round)?;
        crowd.nodes[0].add(&file, &name)?;
        known(&crowd.nodes, &name)?;
        let took = fetched(&crowd, &[1], &name, 1, PATIENCE)?;
        ours.push(took.last());
        ran = Some(took);
        // Memory for the next.
        crowd.nodes[1].run(&["models", "rm", &name])?;
        crowd.nodes[0].run(&["models", "rm", &name, "--last"])?;
        let gone = || crowd.nodes[1].complete_files().is_empty().then_some(());
        super::super::wait("the file is gone again", PATIENCE, gone)?;
        if blobs.is_file() {
            theirs.push(plain_blobs(&crowd, &blobs, &file, &scratch)?);
        }
    }
    let _ = std::fs::remove_dir_all(&scratch);
    let Some(ran) = ran else { return Ok(Vec::new()) };
    let rate = |seconds: &f64| (mebibytes << 20) as f64 / seconds / 1e6;
    let said = |all: &[f64]| all.iter().map(|seconds| plain(rate(seconds))).collect::<Vec<_>>().join(", ");
    if theirs.is_empty() {
        return Err(format!(
            "iroh-blobs: not run: it is not built (scripts/rivals/setup blobs); ours {} MB/s",
            said(&ours)
        ));
    }
    let what = format!("one giver, no lines, {mebibytes} MiB: bytes a second beside plain iroh-blobs");
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect();
    Ok(vec![
        Figure::told(what, quantile(&ratios, 0.5), "×")
            .goal(Goal::AtLeast(BLOBS_MIN))
            .more(format!(
                "median of {rounds} rounds, {}–{} ×; ours {} MB/s, from the command typed until the file is whole; iroh-blobs {}, \
                 from its dial",
                plain(quantile(&ratios, 0.0)),
                plain(quantile(&ratios, 1.0)),
                said(&ours),
                said(&theirs)
            ))
            .why(short(&ran)),
    ])
}

/// The seconds that plain iroh-blobs takes on the same two machines.
fn plain_blobs(crowd: &Crowd, blobs: &Path, file: &Path, scratch: &Path) -> Result<f64, String> {
    let dirs = ["giver", "taker"].map(|name| scratch.join(name));
    for dir in &dirs {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    }
    let [giver, taker] = [0, 1].map(|at: usize| format!("n-{}", crowd.nodes[at].name));
    let address = crowd.nodes[0].at(7200);
    let mut serve = command(&giver, blobs);
    serve.args(["serve", &address]).arg(file).arg(&dirs[0]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut serving = Serving(serve.spawn().map_err(|error| format!("{}: {error}", blobs.display()))?);
    let mut line = String::new();
    let out = serving.0.stdout.take().ok_or("a server has an output")?;
    BufReader::new(out).read_line(&mut line).map_err(|error| format!("blobs serve: {error}"))?;
    let hash = line.trim().strip_prefix("ready ").ok_or("blobs serve did not begin")?;
    let mut get = command(&taker, blobs);
    let done =
        get.args(["get", &address, hash]).arg(&dirs[1]).output().map_err(|error| format!("blobs get: {error}"))?;
    drop(serving);
    for dir in dirs {
        let _ = std::fs::remove_dir_all(dir);
    }
    let said = String::from_utf8_lossy(&done.stdout);
    said.trim().parse().map_err(|_| format!("blobs get: {said} {}", String::from_utf8_lossy(&done.stderr)))
}

/// It goes with this.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
