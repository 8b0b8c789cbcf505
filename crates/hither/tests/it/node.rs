//! A node of one's own, from `init` to its end, and the commands that talk to it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::{ends, object, text};

/// A node under test; killed if a test leaves it.
pub(super) struct Node {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Node {
    /// Starts it and reads the line that says where it is.
    pub(super) fn up(dir: &Path) -> (Self, Value) {
        Self::up_with(dir, Stdio::null())
    }

    /// The same with its log.
    pub(super) fn up_with(dir: &Path, log: Stdio) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hither"))
            .args(["up", "--json", "--api", "127.0.0.1:0", "--mesh", "127.0.0.1:0", "--data", text(dir)])
            .args(["--tied-to", &std::process::id().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let started = serde_json::from_str(&line).unwrap_or_else(|_| panic!("the node said {line:?}"));
        (Self { child, stdout }, started)
    }

    /// Stops it as a service manager would.
    pub(super) fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut rest = String::new();
        while self.stdout.read_line(&mut rest).unwrap() > 0 {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn init(dir: &Path) -> Value {
    object(&["init", "--site", "munich", "--jurisdiction", "DE-BY", "--operator", "acme", "--data", text(dir)], 0)
}

#[test]
fn a_mesh_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let made = init(dir.path());
    assert_eq!(made["site"], "munich");
    for file in made["files"].as_array().unwrap() {
        assert!(Path::new(file.as_str().unwrap()).is_file(), "{file}");
    }
    ends(&["policy", "check", text(&dir.path().join("policy.toml"))], 0);
    let (_, stderr) = ends(&["init", "--site", "munich", "--jurisdiction", "DE-BY", "--data", text(dir.path())], 1);
    assert!(stderr.contains("error[E0121]") && stderr.contains("help: hither status"), "{stderr}");
}

#[test]
fn a_node_lives_from_up_to_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let (node, started) = Node::up(dir.path());
    assert_eq!((started["site"].as_str(), started["jurisdiction"].as_str()), (Some("munich"), Some("DE-BY")));
    let data = ["--data", text(dir.path())];
    let with = |args: &[&'static str]| args.iter().copied().chain(data).collect::<Vec<&str>>();

    let status = object(&with(&["status"]), 0);
    assert_eq!(status["me"]["node"], started["node"]);
    let (stdout, _) = ends(&with(&["status"]), 0);
    assert!(stdout.starts_with("munich  DE-BY  acme") && stdout.contains("● here"), "{stdout}");
    assert_eq!(object(&with(&["models", "ls"]), 0), serde_json::json!([]));

    let unknown = object(&with(&["run", "nobody-has-this", "hello"]), 1);
    assert_eq!(unknown["error"]["code"], "E0401");
    let unknown = object(&with(&["explain", "018f0000-0000-7000-8000-000000000000"]), 1);
    assert_eq!(unknown["error"]["code"], "E0407");
    let ticket = object(&with(&["invite", "--site", "paris", "--jurisdiction", "FR"]), 0);
    assert!(!ticket["ticket"].as_str().unwrap().is_empty());
    let (_, stderr) = ends(&with(&["join", "nonsense"]), 1);
    assert!(stderr.starts_with("error[E"), "{stderr}");
    let (_, stderr) = ends(&with(&["models", "add", "/nonexistent", "--name", "x"]), 2);
    assert!(stderr.contains("error[E0140]"), "{stderr}");

    // A second one on the same directory, and a second one on the same address.
    let (_, stderr) = ends(&with(&["up", "--api", "127.0.0.1:0"]), 1);
    assert!(stderr.contains("error[E0105]"), "{stderr}");

    let ledger = dir.path().join("ledger");
    object(&["ledger", "verify", text(&ledger)], 0);
    assert_eq!(node.stop(), Some(0));
    object(&with(&["status"]), 4);
    let shown = object(&["ledger", "show", text(&ledger)], 0);
    assert_eq!(shown["records"][0]["kind"], "config.start");
}

#[test]
fn a_taken_address_is_named_with_what_to_type() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_, stderr) = ends(&["up", "--api", &address, "--data", text(dir.path())], 1);
    assert!(stderr.contains("error[E0104]") && stderr.contains(&address), "{stderr}");
    assert!(stderr.contains("--api 127.0.0.1:0"), "{stderr}");
}

#[test]
fn a_configuration_with_an_unknown_key_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    std::fs::write(dir.path().join("hither.toml"), "[power]\nwatts = 3\n").unwrap();
    let (_, stderr) = ends(&["up", "--api", "127.0.0.1:0", "--data", text(dir.path())], 2);
    assert!(stderr.contains("error[E0103]") && stderr.contains("watts"), "{stderr}");
}

#[test]
fn a_simulation_is_repeated_from_its_seed() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/forward.toml");
    let play = || object(&["sim", text(&scenario), "--seed", "7"], 0);
    let (first, second) = (play(), play());
    assert_eq!(first["passed"], true);
    assert_eq!(first["trace_hash"], second["trace_hash"]);
    let (_, stderr) = ends(&["sim", "/nonexistent.toml"], 1);
    assert!(stderr.contains("error[E0911]"), "{stderr}");
}
