//! Requests that crash or stall Triton 2.51, which its later tests know of: what each costs a node, and what it does to a
//! Triton of its own.

use std::path::Path;
use std::time::Duration;

use super::board::Board;
use super::http1::{ask, post, request};
use super::process::{Running, node};
use super::triton::{GROUPED, triton, written};
use super::{NODE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

const TRITON: &str = "Triton";

/// How long an answer is waited for.
const BOUND: Duration = Duration::from_secs(30);

const SPENT_MAX_MS: f64 = 10.0;

/// Levels of a JSON that no parser should follow, and bytes of a name that no file can have.
const DEPTH: usize = 250_000;
const NAME_BYTES: usize = 256;

/// The requests, by name.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    let deep = [vec![b'['; DEPTH], vec![b']'; DEPTH]].concat();
    let long = format!(r#"{{"parameters":{{"config":"{{}}","file:{}":"eA=="}}}}"#, "a".repeat(NAME_BYTES));
    let wide = r#"{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[4294967296,4294967297],"data":[1]},
        {"name":"INPUT1","datatype":"INT32","shape":[1,16],"data":[1]}]}"#;
    vec![
        ("JSON 250,000 deep to the index", post("/v2/repository/index", &deep)),
        ("a file of 256 letters at load", post("/v2/repository/models/identity/load", long.as_bytes())),
        ("shape [4294967296,4294967297]", post("/v2/models/identity/infer", wide.as_bytes())),
    ]
}

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    match written(setting, 1) {
        Ok(dir) => {
            if let Err(why) = ours(setting, &mut board, &dir) {
                board.lacks(NODE, &why);
            }
            if let Err(why) = theirs(setting, &mut board, &dir) {
                board.lacks(TRITON, &why);
            }
        }
        Err(why) => board.lacks(NODE, &why),
    }
    let inputs = inputs();
    let rows = inputs.iter().map(|(name, _)| {
        let what = spent(name);
        let mut row = board.alone(&what, &what, "ms", NODE, Goal::AtMost(SPENT_MAX_MS));
        row.theirs = board.shown(TRITON, &then(name));
        row
    });
    Part {
        title: "Requests that crash or stall another server",
        about: format!(
            "Three requests of the tests of later versions of Triton, which 2.51 does not stand; its makers mended them since, and \
             this is the newest that is there for processors alone. Each goes to one node that lives on, in turn, and to a Triton \
             of its own, once; an answer is waited for {} s. The cost is the processor time of all processes of the server from \
             the request to the answer, and of what a node does in the {} ms after it.",
            BOUND.as_secs(),
            SETTLE.as_millis()
        ),
        rows: rows.collect(),
        board,
    }
}

fn spent(name: &str) -> String {
    format!("{name}: processor time")
}

fn then(name: &str) -> String {
    format!("{name}: then")
}

/// What a server still does after an answer is over by then.
const SETTLE: Duration = Duration::from_millis(50);

/// Sends a request; what it cost, in milliseconds, and what came of it.
fn sent(server: &mut Running, bytes: &[u8]) -> Result<(Option<f64>, String), String> {
    let before = server.micros()?;
    let answer = ask(server.address, bytes, BOUND);
    std::thread::sleep(SETTLE);
    if let Some(status) = server.ended() {
        return Ok((None, format!("the process ended: {status}")));
    }
    let cost = (server.micros()? - before) / 1e3;
    let alive = ask(server.address, &request("GET", "/v2/health/live", &[], b""), BOUND).map(|answer| answer.status);
    let said = match answer {
        Ok(answer) => format!("answered {}", answer.status),
        Err(error) => format!("no answer in {} s: {error}", BOUND.as_secs()),
    };
    match alive {
        Ok(200) => Ok((Some(cost), format!("{said}, lives"))),
        // It may end a moment after it closed the connection.
        other => Ok((Some(cost), format!("{said}, answers nobody any more: {other:?}"))),
    }
}

fn ours(setting: &Setting, board: &mut Board, dir: &Path) -> Result<(), String> {
    let mut node = node(setting, "hostile-node", GROUPED, &[("identity", &dir.join("identity.onnx"))])?;
    for _ in 0..setting.rounds {
        for (name, bytes) in inputs() {
            let (cost, said) = sent(&mut node, &bytes)?;
            let cost = cost.ok_or_else(|| format!("{name}: {said}"))?;
            board.add(NODE, &spent(name), "ms", cost);
            board.say(NODE, &then(name), &said);
        }
    }
    Ok(())
}

fn theirs(setting: &Setting, board: &mut Board, dir: &Path) -> Result<(), String> {
    for (number, (name, bytes)) in inputs().into_iter().enumerate() {
        let mut server = triton(setting, &format!("hostile-triton-{number}"), &dir.join("repository"))?;
        let (cost, said) = sent(&mut server.running, &bytes)?;
        match cost {
            Some(cost) => board.add(TRITON, &spent(name), "ms", cost),
            None => board.say(TRITON, &spent(name), "–"),
        }
        board.say(TRITON, &then(name), &said);
    }
    Ok(())
}
