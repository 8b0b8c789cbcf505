//! Processes that end with the run: a node, a bare server, rivals.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::http1::{ask, post, request};
use super::tree;
use crate::rivals::Setting;
use crate::rivals::run::{UP_MAX, end, object};

/// Between two looks whether a server answers.
const LOOK: Duration = Duration::from_millis(100);

/// How long such a look waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that answers.
pub(super) struct Running {
    child: Child,
    /// Where.
    pub(super) address: SocketAddr,
    log: PathBuf,
}

impl Running {
    /// Starts a server and waits until it answers a request with 200.
    ///
    /// # Errors
    /// It does not start, ends, or does not answer in time; with the last lines that it said.
    pub(super) fn start(
        command: &mut Command,
        log: &Path,
        find: &dyn Fn() -> Option<SocketAddr>,
        probe: &[u8],
    ) -> Result<Self, String> {
        let file = std::fs::File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let other = file.try_clone().map_err(|error| error.to_string())?;
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(file).stderr(other).spawn();
        let child = child.map_err(|error| format!("{shown}: {error}; scripts/rivals/setup gateway"))?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), log: log.to_owned() };
        let began = Instant::now();
        loop {
            let ended = server.child.try_wait().map_err(|error| error.to_string())?;
            let asked = match find() {
                Some(address) => ask(address, probe, PATIENCE).map(|answer| (address, answer.status)),
                None => Err("it says no address".to_owned()),
            };
            match asked {
                Ok((address, 200)) => {
                    server.address = address;
                    return Ok(server);
                }
                found if ended.is_some() || began.elapsed() > UP_MAX => {
                    return Err(format!("{shown} does not answer: {found:?}; it said: {}", server.tail()));
                }
                _ => std::thread::sleep(LOOK),
            }
        }
    }

    /// The last lines that it said.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join(" / ")
    }

    /// Processor time so far, in microseconds.
    pub(super) fn micros(&self) -> Result<f64, String> {
        tree::micros(self.child.id())
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> Result<f64, String> {
        tree::resident(self.child.id())
    }

    /// The number of its first process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Stops it where it stands.
    pub(super) fn freeze(&self) {
        signal(self.id(), "-STOP");
    }

    /// Ends it without a word.
    pub(super) fn kill(&mut self) {
        // One that ended already has nothing to be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Who stands still hears nothing else.
        signal(self.id(), "-CONT");
        end(&mut self.child);
    }
}

fn signal(process: u32, name: &str) {
    // A process that ended needs no signal.
    let _ = Command::new("kill").args([name, &process.to_string()]).stderr(Stdio::null()).status();
}

/// The bare server of scripts/rivals/bare.
///
/// # Errors
/// As [`Running::start`].
pub(super) fn bare(setting: &Setting, name: &str, words: &[&str]) -> Result<Running, String> {
    let log = setting.scratch.join(format!("{name}.log"));
    let program = setting.rivals.join("bare-build/release/bare");
    let said = log.clone();
    let find = move || std::fs::read_to_string(&said).ok()?.lines().next()?.strip_prefix("http://")?.parse().ok();
    Running::start(Command::new(program).args(words), &log, &find, &request("GET", "/v1/models", &[], b""))
}

/// A node of its own. `rest` is what its `hither.toml` says beside where it listens; of its models, which are added under
/// these names, all can be asked.
///
/// # Errors
/// As [`Running::start`]; or a command failed.
pub(super) fn node(setting: &Setting, name: &str, rest: &str, models: &[(&str, &Path)]) -> Result<Running, String> {
    let data = setting.scratch.join(name);
    let hither = |words: &[&str]| {
        let mut command = Command::new(&setting.hither);
        command.arg("--json").arg("--data").arg(&data).args(words);
        command
    };
    object(&mut hither(&["init", "--site", "bench", "--jurisdiction", "DE", "--operator", "bench"]))?;
    let config = format!(
        "[api]\nlisten = \"127.0.0.1:0\"\n\n[mesh]\nlisten = \"127.0.0.1:0\"\n\n[models]\npull = \"manual\"\nthreads = 1\n\n{rest}"
    );
    let path = data.join("hither.toml");
    std::fs::write(&path, config).map_err(|error| format!("{}: {error}", path.display()))?;
    let written = data.join("api.addr");
    // An address that an earlier start left is nobody's now.
    let _ = std::fs::remove_file(&written);
    let find = move || std::fs::read_to_string(&written).ok()?.trim().parse().ok();
    let log = setting.scratch.join(format!("{name}.log"));
    let node = Running::start(&mut hither(&["up"]), &log, &find, &request("GET", "/v2/health/ready", &[], b""))?;
    for (model, file) in models {
        let file = file.display().to_string();
        object(&mut hither(&["models", "add", &file, "--name", model, "--licence", "Apache-2.0"]))?;
        let load = post(&format!("/v2/repository/models/{model}/load"), b"{}");
        let loaded = ask(node.address, &load, UP_MAX)?;
        if loaded.status != 200 {
            return Err(format!("{model} does not load: {}", String::from_utf8_lossy(&loaded.body)));
        }
    }
    Ok(node)
}
