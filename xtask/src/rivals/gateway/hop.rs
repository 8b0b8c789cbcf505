//! The path through a node that answers itself, beside a bare server that gives the same bytes.

use std::path::Path;

use super::board::Board;
use super::http1::{ask, post, request};
use super::load::{Post, wrk};
use super::process::{bare, node};
use super::triton::{GROUPED, WHY, written};
use super::{NODE, PATIENCE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

const BARE: &str = "bare axum";
const RATE_MIN: f64 = 0.7;

/// What is asked: through to a model in a worker, and of the door alone.
const INFER: &str = "/v2/models/identity/infer";
const DOOR: &str = "/v2/health/live";

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    if let Err(why) = measure(setting, &mut board) {
        board.lacks(BARE, &why);
    }
    let mut rows = Vec::new();
    for (streams, goal) in [(32, Goal::AtLeast(RATE_MIN)), (1, Goal::AtLeast(RATE_MIN))] {
        let what = format!("inference, {streams} at once: requests a second");
        rows.push(board.ratio(&format!("{what}, beside {BARE}"), &what, (NODE, BARE), goal).because(WHY));
    }
    let what = "the door alone, 32 at once: requests a second";
    rows.push(board.ratio(&format!("{what}, beside {BARE}"), what, (NODE, BARE), Goal::None));
    Part {
        title: "The local path: a node beside a bare server",
        about: format!(
            "Inference: a POST of two INT32 [1,16] tensors as JSON to `{INFER}`, run by ONNX Runtime (two Identity operators) in \
             the node's worker; the bare server reads the same body and gives the bytes of the node's own answer, without \
             parsing anything. The door alone: GET `{DOOR}`, which a node answers without its mind and its workers. The bare \
             server is axum 0.8 as it is served by its own `serve`, Nagle off, no middleware, on as many threads as there are \
             processors: `scripts/rivals/bare`. Both are asked by `wrk`, one thread, on connections that stay open."
        ),
        rows,
        board,
    }
}

fn measure(setting: &Setting, board: &mut Board) -> Result<(), String> {
    let dir = written(setting, 1)?;
    let body = dir.join("infer.json");
    let ours = node(setting, "hop-node", GROUPED, &[("identity", &dir.join("identity.onnx"))])?;
    let asked = post(INFER, &std::fs::read(&body).map_err(|error| error.to_string())?);
    let answer = ask(ours.address, &asked, PATIENCE)?;
    if answer.status != 200 {
        return Err(format!("{NODE} answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
    }
    let live = ask(ours.address, &request("GET", DOOR, &[], b""), PATIENCE)?;
    let same = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        bare(setting, name, &["--answer", &path.display().to_string()])
    };
    let (infer, door) = (same("infer.answer", &answer.body)?, same("live.answer", &live.body)?);
    for address in [ours.address, infer.address] {
        super::warm(address, &asked)?;
    }
    for _ in 0..setting.rounds {
        for streams in [1, 32] {
            for (name, server) in [(NODE, &ours), (BARE, &infer)] {
                let post = Post { path: INFER, body: &body, headers: &["content-type: application/json"] };
                super::add(board, name, &format!("inference, {streams} at once"), &wrk(server, post, streams)?);
            }
        }
        for (name, server) in [(NODE, &ours), (BARE, &door)] {
            let get = Post { path: DOOR, body: Path::new("-"), headers: &[] };
            super::add(board, name, "the door alone, 32 at once", &wrk(server, get, 32)?);
        }
    }
    Ok(())
}
