//! `cargo xtask rivals gateway`: a node as a server and as a gateway, beside what else does that, in one run on one machine.
//!
//! What must stay true: rounds of all go in turn; who was not measured has no figure and a reason.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use super::page::{Row, machine};
use super::run::first_line;
use super::{Setting, Told, write};
use crate::tidy::root;

mod board;
mod faults;
mod gates;
mod hop;
mod hostile;
mod http1;
mod idle;
mod load;
mod process;
mod router;
mod stream;
mod tree;
mod triton;

use board::Board;
use http1::Client;
use load::Closed;

/// What this program is called in tables.
const NODE: &str = "hither";

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Requests before anything counts.
const WARM_UP: usize = 200;

/// One part of the page.
struct Part {
    title: &'static str,
    /// What exactly was compared.
    about: String,
    /// Goals.
    rows: Vec<Row>,
    /// All that was measured.
    board: Board,
}

/// Which they are.
pub(super) const PARTS: [&str; 7] = ["hop", "triton", "router", "stream", "idle", "faults", "hostile"];

/// Measures, and writes the page if all parts were measured.
///
/// # Errors
/// Nothing could be measured, or the page cannot be written.
pub(super) fn gateway(told: &Told) -> Result<(), String> {
    // Servers that hold few connections do without; the part that holds many says if it could not be done.
    let _ = idle::files();
    let mut text = String::new();
    let mut unmeasured = Vec::new();
    for name in PARTS.into_iter().filter(|name| told.wants(name)) {
        eprintln!("{name}");
        let part = match name {
            "hop" => hop::part(&told.setting),
            "triton" => triton::part(&told.setting),
            "router" => router::part(&told.setting),
            "stream" => stream::part(&told.setting),
            "idle" => idle::part(&told.setting),
            "faults" => faults::part(&told.setting),
            _ => hostile::part(&told.setting),
        };
        if part.board.is_empty() {
            unmeasured.push(name);
        }
        let section = part.section();
        println!("{section}");
        text.push_str(&section);
    }
    if !unmeasured.is_empty() {
        return Err(format!(
            "of {} nothing was measured, so no page is written; install the rivals: scripts/rivals/setup gateway",
            unmeasured.join(", ")
        ));
    }
    if !told.parts.is_empty() {
        println!("a part was measured, so no page is written");
        return Ok(());
    }
    let head = format!(
        "# A node beside servers and gateways\n\nWritten by `cargo xtask rivals gateway`; do not edit by hand. \
         `scripts/rivals/setup gateway` installs the rivals.\n\nEach figure is the median over {} rounds, with the least and the \
         greatest; in a round all were asked the same by the same client, one after the other, on one machine that client and \
         servers share. A ratio is ours divided by the rival's in the same round. Processor time is that of all processes of a \
         server, as the kernel's scheduler counts it, divided by the requests; it says more than what a clock showed where other \
         work runs beside.\n\n{}\n\n",
        told.setting.rounds,
        machine()
    );
    write(&told.to.join("gateway.md"), &format!("{head}{text}{}", versions(&told.setting)))
}

impl Part {
    fn section(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.about);
        if !self.rows.is_empty() {
            let _ = write!(text, "\n| what | goal | measured | verdict | ours | theirs |\n|{}\n", " --- |".repeat(6));
        }
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        let mut missed: Vec<(&str, Vec<&str>)> = Vec::new();
        for row in self.rows.iter().filter(|row| row.is_met() == Some(false)) {
            match missed.iter_mut().find(|(why, _)| *why == row.why) {
                Some((_, rows)) => rows.push(&row.what),
                None => missed.push((row.why, vec![&row.what])),
            }
        }
        if !missed.is_empty() {
            text.push_str("\nMissed:\n\n");
        }
        for (why, rows) in missed {
            let why = if why.is_empty() { "no reason is known" } else { why };
            let _ = writeln!(text, "- {}: {why}.", rows.join("; "));
        }
        let table = self.board.table();
        let _ = write!(text, "\n{table}{}", if table.is_empty() { "" } else { "\n" });
        text
    }
}

/// What a closed loop found, under a heading.
fn add(board: &mut Board, who: &str, what: &str, found: &Closed) {
    board.add(who, &format!("{what}: requests a second"), "/s", found.rate);
    board.add(who, &format!("{what}: p50"), "µs", found.p50);
    board.add(who, &format!("{what}: p99"), "µs", found.p99);
    board.add(who, &format!("{what}: processor time of a request"), "µs", found.spent);
}

/// Asks a server some hundred times, so that what is done once is done.
fn warm(server: SocketAddr, request: &[u8]) -> Result<(), String> {
    let mut client = Client::connect(server, PATIENCE)?;
    for _ in 0..WARM_UP {
        let answer = client.ask(request)?;
        if answer.status != 200 {
            return Err(format!("{server} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        if answer.header("connection").is_some_and(|word| word.eq_ignore_ascii_case("close")) {
            client = Client::connect(server, PATIENCE)?;
        }
    }
    Ok(())
}

fn versions(setting: &Setting) -> String {
    let package = |venv: &str, name: &str| {
        let python = setting.rivals.join(venv).join("bin/python");
        let code = format!("import importlib.metadata as m; print(m.version({name:?}))");
        first_line(Command::new(python).args(["-c", &code]))
    };
    let git = |words: &[&str]| first_line(Command::new("git").args(words).current_dir(root()));
    let first = |program: &str, word: &str| first_line(Command::new(program).arg(word));
    format!(
        "## Versions\n\n\
         - this program: {}, commit {}\n\
         - the bare server: axum {}, tokio {}, one link-time optimisation over all of it\n\
         - Triton 2.51.0 (October 2024, the newest that a package index brings for processors alone), out of nvidia-pytriton 0.7.0\n\
         - {}\n- {}\n- vllm-router {}\n- sglang-router {}\n- clients: {}; {}; for what is steady and for streams, one of our own\n",
        first_line(Command::new(&setting.hither).arg("--version")),
        git(&["rev-parse", "--short", "HEAD"]),
        locked("axum"),
        locked("tokio"),
        first("haproxy", "-v"),
        first("nginx", "-v"),
        package("vllm-router", "vllm-router"),
        package("sglang-router", "sglang-router"),
        first("wrk", "-v").split(" [").next().unwrap_or("wrk"),
        first("h2load", "--version"),
    )
}

/// The version of a crate that the bare server is built of.
fn locked(name: &str) -> String {
    let path = root().join("scripts/rivals/bare/Cargo.lock");
    let lock: Option<toml::Table> = std::fs::read_to_string(path).ok().and_then(|text| text.parse().ok());
    let packages = lock.as_ref().and_then(|lock| lock.get("package")).and_then(toml::Value::as_array);
    let found = packages.and_then(|all| all.iter().find(|package| package["name"].as_str() == Some(name)));
    found.and_then(|package| package["version"].as_str()).unwrap_or("unknown").to_owned()
}
