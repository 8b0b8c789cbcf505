//! Rounds and servers: commands that answer in one JSON object, and processes that end with the run.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Setting;

/// How long a server may take until it answers: it loads a model, and some load a language first.
pub(super) const UP_MAX: Duration = Duration::from_secs(120);

/// How long a server may take to end.
const DOWN_MAX: Duration = Duration::from_secs(10);

/// One round of `hither bench engine`.
pub(super) fn bench(setting: &Setting, words: &[&str]) -> Result<Value, String> {
    let mut command = Command::new(&setting.hither);
    command.args(["--json", "bench", "engine"]).args(words);
    object(&mut command)
}

/// Runs a command to its end and reads its answer.
pub(super) fn object(command: &mut Command) -> Result<Value, String> {
    let shown = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().chars().take(600).collect::<String>();
    if !output.status.success() {
        return Err(format!("{shown}: {} {}", said(&output.stdout), said(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("{shown}: {error}: {}", said(&output.stdout)))
}

/// A number of the round with so many streams.
pub(super) fn number(found: &Value, streams: u64, path: &str) -> Option<f64> {
    let round = found["rounds"].as_array()?.iter().find(|round| round["streams"].as_u64() == Some(streams))?;
    round.pointer(path)?.as_f64()
}

/// A port that was free a moment ago.
pub(super) fn port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no port is free: {error}"))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// A rival that runs.
pub(super) struct Server {
    child: Child,
    /// Where it is asked.
    pub(super) url: String,
}

impl Server {
    /// Starts it and asks it, until it answers, what it will be asked later.
    pub(super) fn start(
        setting: &Setting,
        command: &mut Command,
        log: &Path,
        url: String,
        words: &[&str],
    ) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let other = file.try_clone().map_err(|error| error.to_string())?;
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let mut server = Self { child: child.map_err(|error| format!("{shown}: {error}"))?, url };
        let began = Instant::now();
        loop {
            let asked = server.round(setting, words);
            let Err(error) = asked else { return Ok(server) };
            let ended = server.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || began.elapsed() > UP_MAX {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(5).collect();
                return Err(format!("{shown} does not answer: {error}; it said: {}", tail.join(" / ")));
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// One round against it.
    pub(super) fn round(&self, setting: &Setting, words: &[&str]) -> Result<Value, String> {
        let process = self.child.id().to_string();
        let mut all = vec!["--at", self.url.as_str(), "--process", process.as_str()];
        all.extend(words);
        bench(setting, &all)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Asks a process to end, so that it takes its own children along; then makes it.
pub(super) fn end(child: &mut Child) {
    if let Ok(Some(_)) = child.try_wait() {
        return;
    }
    let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    let began = Instant::now();
    while let Ok(None) = child.try_wait() {
        if began.elapsed() > DOWN_MAX {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The first line that a command prints: for versions.
pub(super) fn first_line(command: &mut Command) -> String {
    let output = command.output().ok().map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").trim().to_owned()
}
