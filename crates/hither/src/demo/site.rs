//! One site of a demo or a benchmark: a process of this program with a data directory of its own.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hither_api::admin::ViewDto;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::failed;
use crate::client::Client;
use crate::output::{Trouble, plain};

/// A node opens its store, its keys and its sockets in well under a second; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(60);

/// How often something is looked at again: a view changes ten times a second.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A group of records is written within a tenth of a second, and a witness that did not hear is asked again after ten; a busy
/// machine takes longer.
const LEDGER_MAX: Duration = Duration::from_secs(60);

/// Lines of a log that are shown when something failed.
const LOG_LINES: usize = 40;

/// Bytes of a log that are read for them.
const LOG_BYTES: usize = 64 << 10;

/// A site and its process.
pub(crate) struct Site {
    name: String,
    jurisdiction: &'static str,
    dir: PathBuf,
    child: Option<Child>,
    api: Option<SocketAddr>,
    mesh: Option<SocketAddr>,
}

impl Site {
    /// Makes the data directory.
    pub(crate) fn make(root: &Path, name: &str, jurisdiction: &'static str) -> Result<Self, Trouble> {
        let dir = root.join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .map_err(|error| failed(format!("cannot make {}: {error}", dir.display())))?;
        Ok(Self { name: name.to_owned(), jurisdiction, dir, child: None, api: None, mesh: None })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where it pretends to stand.
    pub(crate) fn jurisdiction(&self) -> &'static str {
        self.jurisdiction
    }

    /// Its data directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its ledger lies.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// Writes a file into the data directory.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<(), Trouble> {
        let path = self.dir.join(file);
        std::fs::write(&path, text).map_err(|error| failed(format!("cannot write {}: {error}", path.display())))
    }

    /// Starts the process and waits until it says that it is up. A second start takes the addresses of the first.
    pub(crate) async fn start(&mut self) -> Result<(), Trouble> {
        let mut command = Command::new(program()?);
        command.args(["up", "--json", "--data"]).arg(&self.dir);
        command.args(["--tied-to", &std::process::id().to_string()]);
        if let (Some(api), Some(mesh)) = (self.api, self.mesh) {
            command.args(["--api", &api.to_string(), "--mesh", &mesh.to_string()]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(self.log()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("cannot start {}: {error}", self.name)))?;
        let stdout = child.stdout.take().ok_or_else(|| failed("a child without stdout"))?;
        self.child = Some(child);
        let mut text = String::new();
        let read = tokio::time::timeout(START_MAX, BufReader::new(stdout).read_line(&mut text)).await;
        let started: Value = match read {
            Ok(Ok(_)) => serde_json::from_str(&text).unwrap_or(Value::Null),
            Ok(Err(error)) => return Err(failed(format!("{} cannot be heard: {error}", self.name))),
            Err(_) => return Err(failed(format!("{} is not up after {} s", self.name, START_MAX.as_secs()))),
        };
        if started["error"].is_object() {
            let why = plain(started["error"]["message"].as_str().unwrap_or("it does not say why"));
            return Err(failed(format!("{} does not start: {why}", self.name)));
        }
        let address = |text: &Value| text.as_str().and_then(|text| text.trim_start_matches("http://").parse().ok());
        self.api = address(&started["api"]);
        self.mesh = address(&started["mesh_addresses"][0]);
        match (self.api, self.mesh) {
            (Some(_), Some(_)) => Ok(()),
            _ => Err(failed(format!("{} ended before it was up", self.name))),
        }
    }

    fn log(&self) -> Result<File, Trouble> {
        let path = self.dir.join("node.log");
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|error| failed(format!("cannot write {}: {error}", path.display())))
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let bytes = std::fs::read(self.dir.join("node.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_BYTES)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    /// Every record of its ledger, as it is written there.
    pub(crate) async fn records(&self) -> Result<Vec<Value>, Trouble> {
        let (shown, code) = hither(&["ledger", "show"], &[&self.ledger()]).await?;
        match shown["records"].as_array() {
            Some(records) if code == Some(0) => Ok(records.clone()),
            _ => Err(failed(format!("{}'s ledger cannot be read: {shown}", self.name))),
        }
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Trouble> {
        let pid = self
            .child
            .as_ref()
            .and_then(Child::id)
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .ok_or_else(|| failed(format!("{} does not run", self.name)))?;
        kill_process(pid, signal).map_err(|error| failed(format!("cannot signal {}: {error}", self.name)))
    }

    /// The process, if it runs.
    pub(crate) fn process(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Kills the process, as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), Trouble> {
        let Some(mut child) = self.child.take() else {
            return Err(failed(format!("{} does not run", self.name)));
        };
        child.kill().await.map_err(|error| failed(format!("cannot kill {}: {error}", self.name)))
    }

    /// Whether a process is there, frozen or not.
    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Where applications reach it.
    pub(crate) fn api(&self) -> Result<SocketAddr, Trouble> {
        self.api.ok_or_else(|| failed(format!("{} is not up", self.name)))
    }

    /// As an application: over TCP.
    pub(crate) fn app(&self) -> Result<Client, Trouble> {
        self.api().map(Client::at)
    }

    /// As an operator: over the Unix socket.
    pub(crate) fn operator(&self) -> Client {
        Client::of(&self.dir)
    }

    /// What it shows now.
    pub(crate) async fn view(&self) -> Result<ViewDto, Trouble> {
        self.operator().get("/hither/v1/view").await
    }

    /// Looks again until a view is as wanted.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        mut wanted: impl FnMut(&ViewDto) -> bool,
    ) -> Result<ViewDto, Trouble> {
        let mut last = String::new();
        let watch = async {
            let mut every = tokio::time::interval(LOOK_EVERY);
            loop {
                every.tick().await;
                let view = self.view().await?;
                if wanted(&view) {
                    return Ok(view);
                }
                last = view.summary;
            }
        };
        match tokio::time::timeout(within, watch).await {
            Ok(done) => done,
            Err(_) => Err(failed(format!(
                "{} does not show {what} within {} s; it says: {}",
                self.name,
                within.as_secs(),
                plain(&last)
            ))),
        }
    }

    /// Verifies its ledger again until it has what is wanted: what nobody waits for is written within a moment, not at once.
    pub(crate) async fn wait_for_ledger(
        &self,
        what: &str,
        args: &[&str],
        wanted: impl Fn(&Verified) -> bool,
    ) -> Result<Verified, Trouble> {
        let dir = self.ledger();
        let args = [&["ledger", "verify"], args].concat();
        let mut last = Verified::default();
        let watch = async {
            let mut every = tokio::time::interval(LOOK_EVERY);
            loop {
                every.tick().await;
                let (report, code) = hither(&args, &[&dir]).await?;
                if code != Some(0) {
                    return Err(failed(format!("{}'s ledger does not verify: {report}", self.name)));
                }
                last = Verified(report);
                if wanted(&last) {
                    return Ok(last.clone());
                }
            }
        };
        match tokio::time::timeout(LEDGER_MAX, watch).await {
            Ok(done) => done,
            Err(_) => Err(failed(format!("{}'s ledger does not have {what}; it has {}", self.name, last.0))),
        }
    }
}

/// What the verifier says of a ledger.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verified(Value);

impl Verified {
    /// The sentence for a person.
    pub(crate) fn summary(&self) -> String {
        plain(self.0["summary"].as_str().unwrap_or("verified"))
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> u64 {
        self.0["records"].as_u64().unwrap_or(0)
    }

    /// How many of one kind.
    pub(crate) fn count(&self, kind: &str) -> u64 {
        self.0["kinds"][kind].as_u64().unwrap_or(0)
    }

    /// How many of all kinds that tell of payload that left.
    pub(crate) fn egress(&self) -> u64 {
        ["egress.intent", "egress.settled", "egress.answer"].iter().map(|kind| self.count(kind)).sum()
    }

    /// The ids of the nodes that signed it as witnesses.
    pub(crate) fn witnesses(&self) -> Vec<&str> {
        self.0["witnesses"].as_array().into_iter().flatten().filter_map(|by| by["node"].as_str()).collect()
    }
}

impl Drop for Site {
    /// Kills the process, frozen or not, and reaps it, so that its files may be removed.
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if child.start_kill().is_err() {
            return;
        }
        // SIGKILL cannot be refused: the process is gone within milliseconds.
        while let Ok(None) = child.try_wait() {
            std::thread::yield_now();
        }
    }
}

/// This program itself.
pub(crate) fn program() -> Result<PathBuf, Trouble> {
    std::env::current_exe().map_err(|error| failed(format!("cannot find this program's own file: {error}")))
}

/// Runs one command of this program to its end; gives its JSON object and whether it ended well.
pub(crate) async fn hither(args: &[&str], paths: &[&Path]) -> Result<(Value, Option<i32>), Trouble> {
    let output = Command::new(program()?)
        .arg("--json")
        .args(args)
        .args(paths)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(format!("cannot run hither {}: {error}", args.join(" "))))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = serde_json::from_str(text.trim()).map_err(|error| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        failed(format!("hither {} gave no JSON ({error}): {}", args.join(" "), plain(&stderr)))
    })?;
    Ok((value, output.status.code()))
}
