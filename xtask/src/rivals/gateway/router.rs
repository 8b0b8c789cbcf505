//! What a hop through a gateway costs: haproxy, nginx, vllm-router, sglang-router and a node before one backend.

use std::time::Duration;

use super::board::Board;
use super::gates::{CHAT, CHAT_PATH, GATES, HAPROXY, SETTINGS, VLLM, gate};
use super::http1::post;
use super::load::{Post, Steady, quantile, wrk};
use super::process::bare;
use super::{NODE, PATIENCE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

const DIRECT: &str = "direct";

const STEADY: Steady = Steady { rate: 500.0, connections: 16, span: Duration::from_secs(4), patience: PATIENCE };

const CPU_MAX_US: f64 = 50.0;

/// Found with `perf record` on the node.
const WHY: &str = "of a node's processor time (32 at once) the kernel has a third, a third of that for switches between \
                   threads: a request goes from its connection to the mind, to the connection of the server behind and \
                   back, and any of these may be on the other thread; the rest is flat: the mind and the loop around it \
                   7 %, the ledger's thread 5 %, headers 4 %. With one thread instead of two a round showed half of what \
                   is added at 500 a second, and a quarter less throughput";

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    if let Err(why) = measure(setting, &mut board) {
        board.lacks(DIRECT, &why);
    }
    let mut rows = Vec::new();
    for part in ["p50", "p99"] {
        board.over(DIRECT, &format!("500 a second: {part}"), "µs", &format!("500 a second: added {part}"));
        for (rival, most) in [(HAPROXY, 1.0), (VLLM, 0.5)] {
            let what = format!("500 a second: added {part}");
            let row = board.ratio(&format!("{what}, beside {rival}"), &what, (NODE, rival), Goal::AtMost(most));
            rows.push(row.because(WHY));
        }
    }
    let what = "32 at once: requests a second";
    rows.push(board.ratio(&format!("{what}, beside {VLLM}"), what, (NODE, VLLM), Goal::AtLeast(2.0)).because(WHY));
    let what = "32 at once: processor time of a request";
    rows.push(board.alone(what, what, "µs", NODE, Goal::AtMost(CPU_MAX_US)).because(WHY));
    Part {
        title: "A hop: gateways before one OpenAI-compatible server",
        about: format!(
            "The server behind is `scripts/rivals/bare`, which answers a chat with a fixed completion of 0.3 KB. 500 a second: \
             16 connections, one request every 2 ms whether or not the last was answered, for 4 s; a time counts from the moment \
             at which a request was due if no connection was free then. What is added is over the time of the same requests \
             sent straight to the server in the same round. 32 at once: `wrk`, one thread, 3 s; processor time is that of the \
             gateway's processes alone. {SETTINGS}."
        ),
        rows,
        board,
    }
}

fn measure(setting: &Setting, board: &mut Board) -> Result<(), String> {
    let backend = bare(setting, "router-bare", &[])?;
    let body = setting.scratch.join("chat.json");
    std::fs::write(&body, CHAT).map_err(|error| format!("{}: {error}", body.display()))?;
    let chat = post(CHAT_PATH, CHAT.as_bytes());
    let mut servers = Vec::new();
    for who in GATES {
        match gate(setting, who, "router", &[backend.address]) {
            Ok(server) => servers.push((who, server)),
            Err(why) => board.lacks(who, &why),
        }
    }
    let all = || std::iter::once((DIRECT, &backend)).chain(servers.iter().map(|(who, server)| (*who, server)));
    for (_, server) in all() {
        super::warm(server.address, &chat)?;
    }
    for _ in 0..setting.rounds {
        for (who, server) in all().collect::<Vec<_>>() {
            if !board.has(who) {
                continue;
            }
            let samples = STEADY.run(server.address, &chat)?;
            if let Some(fault) = samples.iter().find_map(|sample| sample.fault.as_ref()) {
                board.lacks(who, fault);
                continue;
            }
            let times: Vec<f64> = samples.iter().map(|sample| sample.micros).collect();
            board.add(who, "500 a second: p50", "µs", quantile(&times, 0.5));
            board.add(who, "500 a second: p99", "µs", quantile(&times, 0.99));
        }
        for (who, server) in all().collect::<Vec<_>>() {
            if !board.has(who) {
                continue;
            }
            let post = Post { path: CHAT_PATH, body: &body, headers: &["content-type: application/json"] };
            match wrk(server, post, 32) {
                Ok(found) => super::add(board, who, "32 at once", &found),
                Err(why) => board.lacks(who, &why),
            }
        }
    }
    Ok(())
}
