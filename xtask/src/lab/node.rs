//! A `hither` process on a machine of the lab, and the commands that a person would type there.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::http::{Answer, Api, Stream};
use super::net::{command, shell};

/// What the sites of one company in the European Economic Area agree on.
const POLICY: &str = r#"version = 1
[default]
unlabelled = "internal"
[[permit]]
id = "eea-personal"
action = ["infer"]
class = ["internal", "personal"]
origin = ["EEA"]
target = ["EEA"]
same_operator = true
[[permit]]
id = "weights-travel"
action = ["replicate"]
[[permit]]
id = "relays-nearby"
action = ["relay"]
target = ["EEA"]
"#;

/// What every configuration says.
const PLAIN: &str = "[models]\npull = \"manual\"\n";

/// How often something is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// A start or a command that takes longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something, and says after how long.
pub(super) fn wait<T>(
    what: &str,
    bound: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Result<(T, Duration), String> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok((found, began.elapsed()));
        }
        if began.elapsed() > bound {
            return Err(format!("{what}: not within {:.1} s", bound.as_secs_f64()));
        }
        std::thread::sleep(LOOK);
    }
}

/// Looks at several things at once and says since a moment when each was first so; nothing for those that never were.
pub(super) fn watch(since: Instant, bound: Duration, looks: &mut [&mut dyn FnMut() -> bool]) -> Vec<Option<Duration>> {
    let mut when = vec![None; looks.len()];
    while when.contains(&None) && since.elapsed() < bound {
        for (look, when) in looks.iter_mut().zip(&mut when) {
            if when.is_none() && look() {
                *when = Some(since.elapsed());
            }
        }
        std::thread::sleep(LOOK);
    }
    when
}

/// A node. Its process and its directory go with it.
pub(super) struct Node {
    pub(super) name: String,
    hither: PathBuf,
    space: String,
    /// Where others reach it.
    pub(super) mesh: String,
    /// Where it listens for them.
    pub(super) listen: String,
    pub(super) data: PathBuf,
    /// What its environment has besides.
    pub(super) environment: Vec<(String, String)>,
    /// Where it listens as a relay alone, if it is that.
    pub(super) relay: Option<String>,
    child: Option<Child>,
}

impl Node {
    /// A directory with a policy and a configuration; no process yet.
    pub(super) fn new(
        hither: &Path,
        scratch: &Path,
        name: &str,
        (space, address): (String, String),
    ) -> Result<Self, String> {
        let data = scratch.join(name);
        let write = |file: &str, text: &str| {
            std::fs::write(data.join(file), text).map_err(|error| format!("{}: {error}", data.join(file).display()))
        };
        std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        write("policy.toml", POLICY)?;
        write("hither.toml", PLAIN)?;
        Ok(Self {
            name: name.to_owned(),
            hither: hither.to_owned(),
            space,
            mesh: format!("{address}:7000"),
            listen: format!("{address}:7000"),
            data,
            environment: Vec::new(),
            relay: None,
            child: None,
        })
    }

    /// Writes more into its configuration; before its process starts.
    pub(super) fn configure(&self, text: &str) -> Result<(), String> {
        let path = self.data.join("hither.toml");
        std::fs::write(&path, format!("{PLAIN}{text}")).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// An address of its machine.
    pub(super) fn at(&self, port: u16) -> String {
        self.mesh.replace(":7000", &format!(":{port}"))
    }

    /// Gives its machine another address on the same network, or only takes the one that it has, as far as others are
    /// concerned without a moment between.
    pub(super) fn readdress(&mut self, host: Option<u8>) -> Result<(), String> {
        let (old, port) = self.mesh.rsplit_once(':').ok_or("an address has a port")?;
        let (network, _) = old.rsplit_once('.').ok_or("an address has four parts")?;
        let added = host.map_or_else(String::new, |host| {
            format!("\nip addr add {network}.{host}/24 dev eth0\nip route add default via {network}.1")
        });
        shell(&self.space, &format!("ip addr flush dev eth0{added}"))?;
        if let Some(host) = host {
            self.mesh = format!("{network}.{host}:{port}");
        }
        Ok(())
    }

    /// Types a command and reads its JSON.
    pub(super) fn run(&self, words: &[&str]) -> Result<Value, String> {
        let mut command = command(&self.space, &self.hither);
        command.arg("--data").arg(&self.data).arg("--json").args(words).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let done = command.output().map_err(|error| format!("{}: {error}", self.hither.display()))?;
        let said = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            let wrong = String::from_utf8_lossy(&done.stderr);
            return Err(format!("{} hither {}: {} {}", self.name, words.join(" "), said.trim(), wrong.trim()));
        }
        serde_json::from_str(&said)
            .map_err(|error| format!("{} hither {}: {error}: {said}", self.name, words.join(" ")))
    }

    /// Which program it will be at its next start.
    pub(super) fn becomes(&mut self, hither: &Path) {
        self.hither = hither.to_owned();
    }

    /// Starts the process, without waiting for it.
    pub(super) fn start(&mut self) -> Result<(), String> {
        let _ = std::fs::remove_file(self.data.join("api.addr"));
        let log = OpenOptions::new().create(true).append(true).open(self.data.join("log"));
        let log = log.map_err(|error| format!("log: {error}"))?;
        let also = log.try_clone().map_err(|error| format!("log: {error}"))?;
        let mut command = command(&self.space, &self.hither);
        command.arg("--data").arg(&self.data);
        match &self.relay {
            None => command.args(["up", "--api", "127.0.0.1:0", "--mesh", &self.listen]),
            Some(listen) => command.args(["relay", "--listen", listen]),
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(also).current_dir(&self.data);
        self.child = Some(command.spawn().map_err(|error| format!("{}: {error}", self.hither.display()))?);
        Ok(())
    }

    /// Waits until it answers.
    pub(super) fn ready(&mut self) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let ended = self.child.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = ended {
                return Err(format!("{} ended, {status}:\n{}", self.name, self.log_tail()));
            }
            if self.api().and_then(|api| api.get("/v2/health/ready")).is_ok_and(|answer| answer.status == 200) {
                return Ok(began.elapsed());
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{} is not ready:\n{}", self.name, self.log_tail()));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Starts it and waits until it answers.
    pub(super) fn up(&mut self) -> Result<Duration, String> {
        self.start()?;
        self.ready()
    }

    /// The end of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Its log.
    pub(super) fn log(&self) -> String {
        std::fs::read(self.data.join("log")).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Where its own clients reach it.
    pub(super) fn api(&self) -> Result<Api, String> {
        let address =
            std::fs::read_to_string(self.data.join("api.addr")).map_err(|error| format!("api.addr: {error}"))?;
        Ok(Api { space: self.space.clone(), address: address.trim().to_owned() })
    }

    /// Its process.
    pub(super) fn process(&self) -> Option<Pid> {
        self.child.as_ref().and_then(|child| Pid::from_raw(child.id() as i32))
    }

    /// The processes of its engines.
    pub(super) fn workers(&self) -> Vec<Pid> {
        let Some(process) = self.process().map(Pid::as_raw_nonzero) else { return Vec::new() };
        let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<String> = children.collect();
        children
            .iter()
            .flat_map(|list| list.split_whitespace())
            .filter_map(|id| Pid::from_raw(id.parse().ok()?))
            .collect()
    }

    /// The whole model files of its store, with their lengths.
    pub(super) fn complete_files(&self) -> Vec<(PathBuf, u64)> {
        let entries = std::fs::read_dir(self.data.join("models/complete")).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "data"));
        files.filter_map(|path| Some((path.clone(), path.metadata().ok()?.len()))).collect()
    }

    /// Ends it as a cut of its power would.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(&mut self) -> Result<(), String> {
        let process = self.process().ok_or(format!("{} does not run", self.name))?;
        kill_process(process, Signal::TERM).map_err(|error| format!("{}: {error}", self.name))?;
        wait(&format!("{} ends", self.name), PATIENCE, || self.ended()).map(drop)
    }

    /// Whether the process has ended, and how.
    pub(super) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// What it shows of the mesh.
    pub(super) fn view(&self) -> Result<Value, String> {
        self.api()?.get("/hither/v1/view").map(|answer| answer.body)
    }

    /// Whether it shows the node of a site as here; nothing if it shows no such site.
    pub(super) fn sees(&self, site: &str) -> Option<bool> {
        let view = self.view().ok()?;
        let node = view["nodes"].as_array()?.iter().find(|node| node["member"]["site"] == site)?;
        Some(is_there(node))
    }

    /// Requests that run on its own engines.
    pub(super) fn busy(&self) -> Option<u64> {
        let view = self.view().ok()?;
        view["nodes"][0]["models"].as_array()?.iter().map(|model| model["busy"].as_u64()).sum()
    }

    /// Writes a stub model and takes it in; waits until it is ready.
    pub(super) fn add_stub(&self, name: &str, values: &str) -> Result<(), String> {
        let file = self.data.join(format!("{name}.stub"));
        std::fs::write(&file, format!("hither-stub 1\n{values}\n")).map_err(|error| format!("{name}.stub: {error}"))?;
        self.add(&file, name)?;
        self.has(name)
    }

    /// Takes a model file in.
    pub(super) fn add(&self, file: &Path, name: &str) -> Result<Value, String> {
        let file = file.to_str().ok_or("a path of the lab is text")?;
        self.run(&["models", "add", file, "--name", name])
    }

    /// Waits until it can answer with a model.
    pub(super) fn has(&self, name: &str) -> Result<(), String> {
        wait(&format!("{name} is ready on {}", self.name), PATIENCE, || {
            self.stage(name).filter(|stage| stage == "ready")
        })
        .map(drop)
    }

    /// How far a model is here.
    pub(super) fn stage(&self, name: &str) -> Option<String> {
        let view = self.view().ok()?;
        let found = view["nodes"][0]["models"].as_array()?.iter().find(|model| model["name"] == name)?.clone();
        found["stage"].as_str().map(str::to_owned)
    }

    /// A whole answer to a question.
    pub(super) fn chat(&self, model: &str, text: &str, tokens: u32) -> Result<Answer, String> {
        self.api()?.ask("POST", "/v1/chat/completions", "", &question(model, text, tokens))
    }

    /// A streamed answer to a question.
    pub(super) fn stream(&self, model: &str, text: &str, tokens: u32) -> Result<Stream, String> {
        Ok(self.api()?.stream(&question(model, text, tokens)))
    }

    /// The site that an open request of this node is at.
    pub(super) fn route(&self) -> Option<String> {
        let view = self.view().ok()?;
        let open = view["recent"].as_array()?.iter().find(|recent| recent["state"] == "open")?;
        open["route"].as_array()?.last()?.as_str().map(str::to_owned)
    }

    /// The records of its ledger.
    pub(super) fn ledger(&self) -> Result<Vec<Value>, String> {
        let ledger = self.data.join("ledger");
        let shown = self.run(&["ledger", "show", ledger.to_str().ok_or("a path of the lab is text")?])?;
        Ok(shown["records"].as_array().cloned().unwrap_or_default())
    }

    /// Lets this node, which runs, join the mesh of another.
    pub(super) fn join(&self, founder: &Node) -> Result<(), String> {
        let invite = founder.run(&["invite", "--site", &self.name, "--jurisdiction", "FR"])?;
        let ticket = invite["ticket"].as_str().ok_or("an invite has a ticket")?;
        self.run(&["join", ticket]).map(drop)
    }

    /// Makes this node the first of a mesh.
    pub(super) fn found(&self) -> Result<(), String> {
        self.run(&["init", "--site", &self.name, "--jurisdiction", "DE", "--operator", "acme"]).map(drop)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A question for a chat.
pub(super) fn question(model: &str, text: &str, tokens: u32) -> Value {
    json!({
        "model": model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0,
    })
}

/// Whether a node of a view is shown as there: itself is `here`, others are `present`.
pub(super) fn is_there(node: &Value) -> bool {
    node["presence"] == "here" || node["presence"] == "present"
}
