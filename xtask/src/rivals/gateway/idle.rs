//! Ten thousand connections that do nothing: what they take of the memory, and whether others are still served.

use std::path::Path;
use std::process::Command;

use super::board::Board;
use super::gates::{CHAT, CHAT_PATH, HAPROXY, NGINX, gate};
use super::http1::{Client, post, request};
use super::load::{Post, wrk};
use super::process::{Running, bare, node};
use super::{NODE, PATIENCE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

const BARE: &str = "bare axum";

const CONNECTIONS: usize = 10_000;

/// Files that this program and every server may have open: a connection, and some for the backends of a gateway.
const FILES: usize = 2 * CONNECTIONS;

const MEMORY_MAX_KB: f64 = 20.0;

const MEMORY: &str = "memory of an idle connection";

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    if let Err(why) = measure(setting, &mut board) {
        board.lacks(NODE, &why);
    }
    let mut row = board.alone(MEMORY, MEMORY, "kB", NODE, Goal::AtMost(MEMORY_MAX_KB));
    row.theirs = format!("{} ({BARE})", board.shown(BARE, MEMORY));
    Part {
        title: "Ten thousand idle connections",
        about: format!(
            "{CONNECTIONS} connections, each of which asked once and then stays open. What they take is the resident memory of all \
             processes of the server with them less that before, divided by their number; the kernel's own part is not in it. \
             Meanwhile others are served as fast as they can be, 8 at once (`wrk`), and at the end a hundredth of those that \
             idled ask again, on the same connection. The node and the bare server answer themselves (`/v2/health/live` and fixed \
             bytes), haproxy and nginx stand before the bare server."
        ),
        rows: vec![row],
        board,
    }
}

fn measure(setting: &Setting, board: &mut Board) -> Result<(), String> {
    files()?;
    let body = setting.scratch.join("idle-chat.json");
    std::fs::write(&body, CHAT).map_err(|error| format!("{}: {error}", body.display()))?;
    for round in 0..setting.rounds {
        for who in [NODE, BARE, HAPROXY, NGINX] {
            let name = format!("idle-{round}");
            let behind = bare(setting, &format!("{name}-bare"), &[])?;
            let server = match who {
                NODE => node(setting, &format!("{name}-node"), "", &[]),
                BARE => bare(setting, &format!("{name}-front"), &[]),
                _ => gate(setting, who, &name, &[behind.address]),
            };
            if let Err(why) = server.and_then(|server| one(board, who, &server, &body)) {
                board.lacks(who, &why);
            }
        }
    }
    Ok(())
}

/// Raises how many files this program, and with it every server that it starts, may have open.
///
/// # Errors
/// The machine does not allow it.
pub(super) fn files() -> Result<(), String> {
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit").args(["--pid", &own, &format!("--nofile={FILES}:")]).output();
    let raised = raised.map_err(|error| format!("prlimit: {error}"))?;
    match raised.status.success() {
        true => Ok(()),
        false => {
            let why = String::from_utf8_lossy(&raised.stderr).trim().to_owned();
            Err(format!("{CONNECTIONS} connections need {FILES} open files: {why}"))
        }
    }
}

fn one(board: &mut Board, who: &str, server: &Running, chat: &Path) -> Result<(), String> {
    let (asked, load) = match who {
        NODE => {
            let path = "/v2/health/live";
            (request("GET", path, &[], b""), Post { path, body: Path::new("-"), headers: &[] })
        }
        _ => {
            let headers = &["content-type: application/json"];
            (post(CHAT_PATH, CHAT.as_bytes()), Post { path: CHAT_PATH, body: chat, headers })
        }
    };
    // So that what a server takes for its first requests is not counted for connections.
    super::warm(server.address, &asked)?;
    let alone = wrk(server, load, 8)?;
    let before = server.resident()?;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut client = Client::connect(server.address, PATIENCE)?;
        let answer = client.ask(&asked)?;
        if answer.status != 200 {
            return Err(format!("connection {} was answered {}", clients.len(), answer.status));
        }
        client.forget();
        clients.push(client);
    }
    let after = server.resident()?;
    let beside = wrk(server, load, 8)?;
    for client in clients.iter_mut().step_by(100) {
        client.ask(&asked).map_err(|error| format!("a connection that idled was lost: {error}"))?;
    }
    board.add(who, "resident before", "MB", before / 1e6);
    board.add(who, "… with them", "MB", after / 1e6);
    board.add(who, MEMORY, "kB", (after - before) / CONNECTIONS as f64 / 1e3);
    board.add(who, "requests a second without them", "/s", alone.rate);
    board.add(who, "… beside them", "/s", beside.rate);
    board.add(who, "… p99", "µs", beside.p99);
    Ok(())
}
