//! Backends that stand still, that die one by one, that are all dead: what a client sees through each gateway.

use std::time::{Duration, Instant};

use super::board::Board;
use super::gates::{CHAT, CHAT_PATH, GATES, SETTINGS, gate};
use super::http1::{ask, post};
use super::load::{Sample, Steady};
use super::process::{Running, bare};
use super::{NODE, PATIENCE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

/// Requests go on for so long, and after a second of them a backend breaks. As many connections as can hang, so that those
/// that do keep nobody else from asking.
const STEADY: Steady = Steady { rate: 50.0, connections: 100, span: Duration::from_secs(4), patience: PATIENCE };
const HEALTHY: Duration = Duration::from_secs(1);

/// Within this it shows which backend is asked.
const LOOK: Duration = Duration::from_millis(250);

/// How often who has no backend any more is asked.
const ASKED: usize = 5;

const FROZEN: &str = "one of two frozen: slowest answer";
const FROZEN_LOST: &str = "… clients' errors";
const KILLED_LOST: &str = "one of two killed: clients' errors";
const DEAD: &str = "all dead: answer after";

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    for _ in 0..setting.rounds {
        for who in GATES {
            if board.has(who)
                && let Err(why) = round(setting, &mut board, who)
            {
                board.lacks(who, &why);
            }
        }
    }
    let rows = vec![
        board.alone(FROZEN, FROZEN, "s", NODE, Goal::AtMost(1.0)),
        board.alone("one of two frozen: clients' errors", FROZEN_LOST, "errors", NODE, Goal::AtMost(0.0)),
        board.alone(KILLED_LOST, KILLED_LOST, "errors", NODE, Goal::AtMost(0.0)),
        board.alone(DEAD, DEAD, "ms", NODE, Goal::AtMost(50.0)),
    ];
    Part {
        title: "Faults: gateways before two backends",
        about: format!(
            "50 requests a second for {} s on 100 connections; after {} s the busier of two bare servers is stopped where it stands \
             (SIGSTOP: its connections stay open, and new ones are taken by the kernel), or killed (SIGKILL). A client waits {} s \
             and no longer: `> 10 s` is a request that it gave up, and that is an error of its own. All dead: both are killed, \
             and a client asks {ASKED} times; the slowest answer, the last one's status, what kind of body it has and whether it \
             says when to come again. {SETTINGS}.",
            STEADY.span.as_secs(),
            (HEALTHY + LOOK).as_secs_f64(),
            PATIENCE.as_secs()
        ),
        rows,
        board,
    }
}

/// A gateway before two backends.
fn fresh(setting: &Setting, who: &str) -> Result<(Running, [Running; 2]), String> {
    let backends = [bare(setting, "faults-a", &[])?, bare(setting, "faults-b", &[])?];
    // A number for each start: a node's directory cannot be made twice.
    let name = format!("faults-{}", backends[0].address.port());
    let gate = gate(setting, who, &name, &backends.each_ref().map(|backend| backend.address))?;
    super::warm(gate.address, &post(CHAT_PATH, CHAT.as_bytes()))?;
    Ok((gate, backends))
}

fn round(setting: &Setting, board: &mut Board, who: &str) -> Result<(), String> {
    let (gate, backends) = fresh(setting, who)?;
    let samples = while_asked(&gate, || backends[busier(&backends)].freeze())?;
    let micros = samples.iter().map(|sample| sample.micros).fold(0.0, f64::max);
    let slowest = if micros >= PATIENCE.as_secs_f64() * 1e6 { f64::INFINITY } else { micros / 1e6 };
    board.add(who, FROZEN, "s", slowest);
    board.add(who, "… of requests", "", samples.len() as f64);
    lost(board, who, FROZEN_LOST, &samples);
    drop((gate, backends));

    let (gate, mut backends) = fresh(setting, who)?;
    let mut dead = 0;
    let samples = while_asked(&gate, || {
        dead = busier(&backends);
        backends[dead].kill();
    })?;
    lost(board, who, KILLED_LOST, &samples);
    backends[1 - dead].kill();
    let chat = post(CHAT_PATH, CHAT.as_bytes());
    let mut slowest = 0.0_f64;
    for _ in 0..ASKED {
        let began = Instant::now();
        let answer = ask(gate.address, &chat, PATIENCE)?;
        slowest = slowest.max(began.elapsed().as_secs_f64() * 1e3);
        let kind = answer.header("content-type").unwrap_or("no type").to_owned();
        let parsed = serde_json::from_slice::<serde_json::Value>(&answer.body);
        let is_openai =
            parsed.is_ok_and(|body| body["error"]["message"].is_string() && body["error"]["type"].is_string());
        let form = if is_openai { "in OpenAI's form" } else { "in no form of OpenAI's" };
        let after =
            answer.header("retry-after").map_or("no Retry-After".to_owned(), |after| format!("Retry-After: {after}"));
        board.say(who, "… and it is", &format!("{}, {kind}, {form}, {after}", answer.status));
    }
    board.add(who, DEAD, "ms", slowest);
    Ok(())
}

/// The backend that works more at the moment: a gateway would lose nothing with one that it never asks.
fn busier(backends: &[Running; 2]) -> usize {
    // One that cannot be looked at has ended, and is seen to by whoever asks next.
    let spent = || backends.each_ref().map(|backend| backend.micros().unwrap_or_default());
    let before = spent();
    std::thread::sleep(LOOK);
    let [first, second] = spent();
    usize::from(second - before[1] > first - before[0])
}

/// Sends requests, and breaks something in the middle of them.
fn while_asked(gate: &Running, breaks: impl FnOnce()) -> Result<Vec<Sample>, String> {
    let (address, chat) = (gate.address, post(CHAT_PATH, CHAT.as_bytes()));
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || STEADY.run(address, &chat));
        std::thread::sleep(HEALTHY);
        breaks();
        asking.join().map_err(|_| "a client ended early".to_owned())?
    })
}

fn lost(board: &mut Board, who: &str, what: &str, samples: &[Sample]) {
    let faults: Vec<&String> = samples.iter().filter_map(|sample| sample.fault.as_ref()).collect();
    board.add(who, what, "errors", faults.len() as f64);
}
