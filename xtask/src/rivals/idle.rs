//! A node without a model: how soon it answers, and what it takes of the memory.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Setting;
use super::page::{Goal, Row};

const READY_MAX_MS: f64 = 300.0;
const MEMORY_MAX_MB: f64 = 40.0;

/// What a node does after its start is over by then.
const SETTLE: Duration = Duration::from_secs(2);

/// Two rows, each with a figure for each start.
pub(super) fn rows(setting: &Setting) -> Vec<Row> {
    let starts: Result<Vec<(f64, f64)>, String> = (0..setting.rounds).map(|round| start(setting, round)).collect();
    let row = |what: &str, goal, unit, pick: fn(&(f64, f64)) -> f64| Row {
        part: "An idle node",
        what: what.to_owned(),
        goal: Goal::AtMost(goal),
        unit,
        figures: starts.as_ref().map(|starts| starts.iter().map(pick).collect()).map_err(Clone::clone),
        ours: "–".to_owned(),
        theirs: "–".to_owned(),
        why: "",
    };
    vec![
        row("from the start of the process to its first line, which comes when it answers", READY_MAX_MS, "ms", |it| {
            it.0
        }),
        row("resident memory without a model", MEMORY_MAX_MB, "MB", |it| it.1),
    ]
}

/// Milliseconds and megabytes of one start, with a data directory of its own.
fn start(setting: &Setting, round: usize) -> Result<(f64, f64), String> {
    let data = setting.scratch.join(format!("idle-{round}"));
    let mut command = Command::new(&setting.hither);
    command.args(["--json", "--data"]).arg(&data);
    command.args(["up", "--api", "127.0.0.1:0", "--mesh", "127.0.0.1:0"]);
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.map_err(|error| format!("{}: {error}", setting.hither.display()))?;
    let mut line = String::new();
    let out = child.stdout.take().ok_or("a node without a standard output")?;
    let read = BufReader::new(out).read_line(&mut line);
    let ready = began.elapsed();
    std::thread::sleep(SETTLE);
    let memory = resident(Path::new("/proc").join(child.id().to_string()).join("status").as_path());
    // It is its own node, started above.
    let ended = child.kill().and_then(|()| child.wait());
    ended.map_err(|error| format!("a node that does not end: {error}"))?;
    if !read.is_ok_and(|bytes| bytes > 0) {
        return Err("a node ended before it was ready".to_owned());
    }
    Ok((ready.as_secs_f64() * 1e3, memory.ok_or("the kernel does not say what a node takes")?))
}

fn resident(status: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0 / 1e6)
}
