//! Streams of tokens: how soon the first one is there, and how late each of 64 streams' tokens is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::board::Board;
use super::gates::{CHAT_PATH, CHAT_STREAM, GATES, SETTINGS, SGLANG, gate};
use super::http1::{Client, post};
use super::load::quantile;
use super::process::{Running, bare, node};
use super::{NODE, PATIENCE, Part};
use crate::rivals::Setting;
use crate::rivals::page::Goal;

const DIRECT: &str = "direct";

/// A node whose own engine speaks: no gateway.
const LOCAL: &str = "hither, its own engine";

/// How long the engine takes until its first token, where that is measured.
const FIRST: Duration = Duration::from_millis(5);

/// From one token to the next, where that is measured.
const TOKEN: Duration = Duration::from_millis(20);

const TOKENS: usize = 64;

/// Streams one after the other on one connection: as an application does it.
const FIRST_ASKED: usize = 40;

/// Streams at once, and how many each client asks one after the other.
const STREAMS: u32 = 64;
const EACH: usize = 2;

const FIRST_MAX_MS: f64 = 1.0;
const LATE_MAX_MS: f64 = 5.0;

const FIRST_OVER: &str = "first token over the engine's time, p50";
const FIRST_ADDED: &str = "first token over that of the server behind, p50";
const LATE: &str = "64 streams: a token's lateness, p99";

/// The part.
pub(super) fn part(setting: &Setting) -> Part {
    let mut board = Board::default();
    if let Err(why) = measure(setting, &mut board) {
        board.lacks(DIRECT, &why);
    }
    let mut rows = Vec::new();
    board.over(DIRECT, FIRST_OVER, "ms", FIRST_ADDED);
    for (who, what) in [(LOCAL, FIRST_OVER), (NODE, FIRST_ADDED)] {
        let mut row = board.alone(&format!("{who}: {what}"), what, "ms", who, Goal::AtMost(FIRST_MAX_MS));
        row.theirs = format!("{} ({SGLANG})", board.shown(SGLANG, what));
        rows.push(row);
    }
    for who in [LOCAL, NODE] {
        let mut row = board.alone(&format!("{who}: {LATE}"), LATE, "ms", who, Goal::AtMost(LATE_MAX_MS));
        row.theirs = format!("{} ({DIRECT})", board.shown(DIRECT, LATE));
        rows.push(row);
    }
    Part {
        title: "Streams",
        about: format!(
            "First token: a chat of {TOKENS} tokens as events, {FIRST_ASKED} times on one connection of a client that sets nothing \
             special; the engine waits {} ms and then gives all tokens at once, and what is shown is the time to the first event \
             over that. 64 streams: each gets a token every {} ms, {TOKENS} of them, and begins at another moment; a token is late \
             by what it came after the steadiest clock that fits the stream (the least late token is late by nothing). `{DIRECT}` \
             is the bare server, whose clock ticks in milliseconds, and gateways stand before it; `{LOCAL}` is a node with its stub engine in a worker, so that the \
             stub's own sleep counts as the node's. {SETTINGS}.",
            FIRST.as_millis(),
            TOKEN.as_millis()
        ),
        rows,
        board,
    }
}

/// A server with one pace before and the other.
struct Pair {
    who: &'static str,
    first: Running,
    paced: Running,
}

fn measure(setting: &Setting, board: &mut Board) -> Result<(), String> {
    let (first_us, token_us) = (FIRST.as_micros().to_string(), TOKEN.as_micros().to_string());
    let mut pairs = vec![Pair {
        who: DIRECT,
        first: bare(setting, "stream-first", &["--first-us", &first_us])?,
        paced: bare(setting, "stream-paced", &["--first-us", &token_us, "--token-us", &token_us])?,
    }];
    let behind = [("first", pairs[0].first.address), ("paced", pairs[0].paced.address)];
    for who in GATES {
        let mut both = behind.iter().map(|(name, backend)| gate(setting, who, &format!("stream-{name}"), &[*backend]));
        match (both.next(), both.next()) {
            (Some(Ok(first)), Some(Ok(paced))) => pairs.push(Pair { who, first, paced }),
            (Some(Err(why)), _) | (_, Some(Err(why))) => board.lacks(who, &why),
            _ => {}
        }
    }
    match local(setting, &first_us, &token_us) {
        Ok((first, paced)) => pairs.push(Pair { who: LOCAL, first, paced }),
        Err(why) => board.lacks(LOCAL, &why),
    }
    for _ in 0..setting.rounds {
        for pair in &pairs {
            let found = first_over(pair.first.address).and_then(|first| Ok((first, late(pair.paced.address)?)));
            let (first, late) = match found {
                Ok(found) => found,
                Err(why) => {
                    board.lacks(pair.who, &why);
                    continue;
                }
            };
            board.add(pair.who, FIRST_OVER, "ms", quantile(&first, 0.5));
            board.add(pair.who, "… p90", "ms", quantile(&first, 0.9));
            board.add(pair.who, "64 streams: a token's lateness, p50", "ms", quantile(&late, 0.5));
            board.add(pair.who, LATE, "ms", quantile(&late, 0.99));
        }
    }
    Ok(())
}

/// Two nodes with a stub engine of each pace.
fn local(setting: &Setting, first_us: &str, token_us: &str) -> Result<(Running, Running), String> {
    let start = |name: &str, first_us: &str, token_us: &str| {
        let path = setting.scratch.join(format!("{name}.stub"));
        let text = format!(
            "hither-stub 1\nkind=generate slots={STREAMS} length={TOKENS} prefill_us={first_us} token_us={token_us}\n"
        );
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        node(setting, name, "", &[("assistant", &path)])
    };
    Ok((start("stream-local-first", first_us, "0")?, start("stream-local-paced", token_us, token_us)?))
}

/// When each event of a stream came, from the moment at which it was asked for.
fn events(client: &mut Client, request: &[u8]) -> Result<Vec<Duration>, String> {
    let began = Instant::now();
    let mut times = Vec::new();
    let mut ended_in_newline = true;
    let answer = client.listen(request, &mut |now, piece| {
        // Events end with an empty line; one with text is told by its field.
        let count = piece.windows(CONTENT.len()).filter(|window| *window == CONTENT).count();
        times.extend(std::iter::repeat_n(now - began, count));
        ended_in_newline = piece.ends_with(b"\n\n");
    })?;
    let text = || String::from_utf8_lossy(&answer.body).chars().take(300).collect::<String>();
    match (answer.status, times.len(), ended_in_newline) {
        (200, TOKENS, true) => Ok(times),
        (status, count, _) => Err(format!("{count} tokens of {TOKENS} and status {status}: {}", text())),
    }
}

const CONTENT: &[u8] = b"\"content\":\"";

/// Milliseconds to the first token, over what the engine takes.
fn first_over(server: SocketAddr) -> Result<Vec<f64>, String> {
    let request = post(CHAT_PATH, CHAT_STREAM.as_bytes());
    let mut client = Client::connect(server, PATIENCE)?;
    let mut times = Vec::new();
    for _ in 0..FIRST_ASKED {
        let first = events(&mut client, &request)?[0];
        times.push((first.as_secs_f64() - FIRST.as_secs_f64()) * 1e3);
    }
    Ok(times)
}

/// How late each token of all streams is, in milliseconds.
fn late(server: SocketAddr) -> Result<Vec<f64>, String> {
    let request = &post(CHAT_PATH, CHAT_STREAM.as_bytes());
    std::thread::scope(|scope| {
        let streams = (0..STREAMS).map(|number| {
            scope.spawn(move || -> Result<Vec<f64>, String> {
                let mut client = Client::connect(server, PATIENCE)?;
                std::thread::sleep(TOKEN * number / STREAMS);
                let mut late = Vec::new();
                for _ in 0..EACH {
                    let times = events(&mut client, request)?;
                    let over = |(at, time): (usize, &Duration)| time.as_secs_f64() - TOKEN.as_secs_f64() * at as f64;
                    let least = times.iter().enumerate().map(over).fold(f64::INFINITY, f64::min);
                    late.extend(times.iter().enumerate().map(|each| (over(each) - least) * 1e3));
                }
                Ok(late)
            })
        });
        let streams: Vec<_> = streams.collect();
        let ended = streams.into_iter().map(|stream| stream.join().map_err(|_| "a client ended early".to_owned())?);
        Ok(ended.collect::<Result<Vec<Vec<f64>>, String>>()?.concat())
    })
}
