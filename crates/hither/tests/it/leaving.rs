//! A client that closes its connection: its work is cancelled wherever it waits or runs, and what it held is free again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::node::Node;
use super::{object, text};

/// The bound is for a machine that hangs, not for the product.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer than any test waits: work that is over by then was cancelled.
const FOR_EVER_US: u32 = 3_000_000_000;

/// A node, where it lives, and where its API is.
struct Place {
    dir: TempDir,
    api: String,
    _node: Node,
}

impl Place {
    fn up(init: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        init(dir.path());
        std::fs::write(dir.path().join("hither.toml"), "[models]\npull = \"manual\"\n").unwrap();
        let (node, started) = Node::up(dir.path());
        let api = started["api"].as_str().unwrap().trim_start_matches("http://").to_owned();
        Self { dir, api, _node: node }
    }

    fn founder() -> Self {
        Self::up(|dir| {
            object(&["init", "--site", "munich", "--jurisdiction", "DE", "--operator", "acme", "--data", text(dir)], 0);
        })
    }

    fn run(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["--data", text(self.dir.path())]).collect();
        object(&args, 0)
    }

    /// Adds a model with one slot, whose requests say how long they take.
    fn add_sleep(&self) {
        let file = self.dir.path().join("sleep.stub");
        std::fs::write(&file, "hither-stub 1\nkind=sleep slots=1\n").unwrap();
        self.run(&["models", "add", text(&file), "--name", "sleep"]);
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends a request and gives the connection, on which nothing has come yet.
    fn ask(&self, micros: u32) -> TcpStream {
        let input = json!({"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [micros]});
        let body = json!({"inputs": [input]}).to_string();
        let head = "POST /v2/models/sleep/infer HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-hither-timeout-ms: 3600000";
        let mut stream = self.connect();
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    /// Waits until the picture of this node is as wanted.
    fn shows(&self, what: &str, wanted: impl Fn(&Value) -> bool) {
        let mut stream = self.connect();
        stream.write_all(b"GET /hither/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let begun = std::time::Instant::now();
        let mut last = Value::Null;
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { break };
            if let Some(data) = line.strip_prefix("data: ") {
                last = serde_json::from_str(data).unwrap();
                if wanted(&last) {
                    return;
                }
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
        panic!("{what} is not shown; the last picture: {last}");
    }
}

/// Requests that run and that wait at the node whose picture it is.
fn load(view: &Value) -> (u64, u64) {
    let model = &view["nodes"][0]["models"][0];
    (model["busy"].as_u64().unwrap_or(0), model["queued"].as_u64().unwrap_or(0))
}

/// The requests of clients of this node in a state.
fn count(view: &Value, state: &str) -> usize {
    view["recent"].as_array().unwrap().iter().filter(|recent| recent["state"] == state).count()
}

fn status(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_client_that_leaves_frees_its_slot_and_its_place_in_the_queue() {
    let munich = Place::founder();
    munich.add_sleep();
    munich.shows("a model that is ready", |view| view["nodes"][0]["models"][0]["stage"] == "ready");
    let runs = munich.ask(FOR_EVER_US);
    munich.shows("one that runs", |view| load(view) == (1, 0));
    let waits = munich.ask(FOR_EVER_US);
    munich.shows("one that waits", |view| load(view) == (1, 1));
    drop(waits);
    munich.shows("none that waits", |view| load(view) == (1, 0) && count(view, "cancelled") == 1);
    drop(runs);
    munich.shows("none that runs", |view| load(view) == (0, 0) && count(view, "cancelled") == 2);
    // The engine has one slot: it is free only if the engine, too, gave the work up.
    assert_eq!(status(munich.ask(1_000)), "HTTP/1.1 200 OK");
}

#[test]
fn a_client_that_leaves_frees_what_it_held_at_a_peer() {
    let munich = Place::founder();
    let paris = Place::up(|_| {});
    let ticket = munich.run(&["invite", "--site", "paris", "--jurisdiction", "DE"]);
    paris.run(&["join", ticket["ticket"].as_str().unwrap()]);
    munich.add_sleep();
    paris.shows("munich's model", |view| {
        let nodes = view["nodes"].as_array().unwrap();
        nodes.iter().any(|node| node["member"]["site"] == "munich" && node["models"][0]["stage"] == "ready")
    });
    let runs = paris.ask(FOR_EVER_US);
    munich.shows("one that runs", |view| load(view) == (1, 0));
    let waits = paris.ask(FOR_EVER_US);
    paris.shows("two that are open", |view| count(view, "open") == 2);
    drop(waits);
    paris.shows("one that is open", |view| count(view, "open") == 1 && count(view, "cancelled") == 1);
    munich.shows("none that waits", |view| load(view) == (1, 0));
    drop(runs);
    paris.shows("none that is open", |view| count(view, "cancelled") == 2);
    munich.shows("none that runs", |view| load(view) == (0, 0));
    assert_eq!(status(paris.ask(1_000)), "HTTP/1.1 200 OK");
}
