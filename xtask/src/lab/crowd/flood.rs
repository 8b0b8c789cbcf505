//! Strangers that knock without end: what it costs the node, and what its members notice.

use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::board::{Figure, Goal, Part, plain};
use super::usage::{micros, proportional};
use super::{Crowd, Crowded, quantile, wire};
use crate::lab::node::wait;

/// Processor time of one refused handshake, in microseconds.
const HANDSHAKE_MAX_US: f64 = 1000.0;

/// What members get done during a flood, of what they get done without.
const GOODPUT_MIN: f64 = 0.9;

/// Memory that a flood may add, in megabytes.
const MEMORY_MAX_MB: f64 = 64.0;

/// What the stranger's link carries: all floods together cannot be told from a slow network otherwise.
const STRANGER_BITS: u64 = 100_000_000;

/// An answer that comes later is of no use.
const IN_TIME: Duration = Duration::from_secs(1);

/// Clients, and how often each of them asks.
const CLIENTS: u32 = 8;
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How often the node's memory is looked at.
const MEMORY_LOOK: Duration = Duration::from_millis(200);

/// The floods: their kind, how many in a second, and what one of them is.
const FLOODS: [(&str, u32, &str); 4] = [
    ("handshakes", 200, "a whole handshake of an unknown key"),
    ("hellos", 100, "a whole handshake and a hello with a certificate that nobody gave"),
    ("initials", 5000, "a datagram that begins like a connection"),
    ("garbage", 5000, "a datagram of noise"),
];

/// What members got done in a while.
struct Done {
    in_time: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let span = given.pick(Duration::from_secs(15), Duration::from_secs(4));
    let mut crowd = Crowd::of(&given.lab, 3)?;
    crowd.hold("talker", "token_us=500 length=100 slots=16", &[1])?;
    let (stranger, _) = crowd.hall.machine("stranger")?;
    crowd.hall.bound("stranger", STRANGER_BITS)?;
    let node = u32::try_from(crowd.nodes[1].process().ok_or("a node has a process")?.as_raw_nonzero().get());
    let node = node.map_err(|error| error.to_string())?;
    members(&crowd, Duration::from_secs(1))?;
    let (mut figures, mut below) = (Vec::new(), String::new());
    below += "| flood | a second | what one is | members' answers a second: before, during, after | p50, p99 before, ms | during, ms | what came of it |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for (kind, rate, what) in FLOODS {
        let (before, calm) = spent(node, || members(&crowd, span))?;
        let start = proportional(node).unwrap_or(0);
        let mut flood = begin(given, &crowd, &stranger, kind, rate, span)?;
        let ((during, busy), peak) = greatest(node, || spent(node, || members(&crowd, span)))?;
        let counts = ended(&mut flood)?;
        let (after, _) = spent(node, || members(&crowd, span / 2))?;
        let usual = (before.in_time + after.in_time) / 2.0;
        let number = |name: &str| counts[name].as_f64().unwrap_or(0.0);
        let one = (busy - calm).max(0.0)
            / if kind == "handshakes" || kind == "hellos" { number("refused") } else { number("sent") };
        let goal = if kind == "handshakes" { Goal::AtMost(HANDSHAKE_MAX_US) } else { Goal::None };
        figures.push(Figure::told(format!("{kind}: processor time of one"), one, "µs").goal(goal));
        figures.push(
            Figure::told(format!("{kind}: members' goodput beside that without"), during.in_time / usual, "×")
                .goal(Goal::AtLeast(GOODPUT_MIN))
                .why("client, stranger and nodes share the processors of this machine"),
        );
        figures.push(
            Figure::told(format!("{kind}: memory that the node took more"), (peak as f64 - start as f64) / 1e6, "MB")
                .goal(Goal::AtMost(MEMORY_MAX_MB))
                .more(format!("{} MB before", plain(start as f64 / 1e6))),
        );
        below += &format!(
            "| {kind} | {rate} | {what} | {}, {}, {} | {}, {} | {}, {} | {} sent, {} refused, {} without an end |\n",
            plain(before.in_time),
            plain(during.in_time),
            plain(after.in_time),
            plain(before.p50_ms),
            plain(before.p99_ms),
            plain(during.p50_ms),
            plain(during.p99_ms),
            number("sent"),
            number("refused"),
            number("failed")
        );
    }
    // Who was flooded still takes a member in.
    crowd.nodes[2].kill();
    let (_, back) = (crowd.nodes[2].up()?, Instant::now());
    wait("a member comes back after the floods", Duration::from_secs(30), || {
        crowd.shown(1)?.get(&crowd.keys[2]).copied().filter(|there| *there)
    })?;
    figures.push(Figure::told(
        "after all floods: a member that was started again, once ready, is shown as there",
        back.elapsed().as_secs_f64(),
        "s",
    ));
    Ok(Part {
        title: "Strangers that knock without end",
        about: format!(
            "Three members; one asks another over the mesh, {CLIENTS} clients with a question of three words every {} ms each. A \
             stranger at the same router, with a link of {} Mbit/s, knocks at the one that answers, for {} s each time. \
             Goodput is answers within {} s. Processor time is that of the node during the flood less that before, \
             divided by the handshakes that were refused, or by the datagrams that were sent.",
            ASK_EVERY.as_millis(),
            STRANGER_BITS / 1_000_000,
            span.as_secs(),
            IN_TIME.as_secs()
        ),
        figures,
        below,
        failed: Vec::new(),
    })
}

/// Runs something and says how much memory a process took at most meanwhile.
fn greatest<T>(process: u32, work: impl FnOnce() -> Result<T, String>) -> Result<(T, u64), String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !over.load(Ordering::Relaxed) {
                peak = proportional(process).unwrap_or(0).max(peak);
                std::thread::sleep(MEMORY_LOOK);
            }
            peak
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let peak = watch.join().map_err(|_| "the watch panicked".to_owned())?;
        done.map(|done| (done, peak))
    })
}

/// Runs something and says what a process spent meanwhile, in microseconds for each second of it.
fn spent<T>(process: u32, work: impl FnOnce() -> Result<T, String>) -> Result<(T, f64), String> {
    let before = micros(process);
    let done = work()?;
    Ok((done, micros(process).saturating_sub(before) as f64))
}

fn begin(
    given: &Crowded,
    crowd: &Crowd,
    stranger: &str,
    kind: &str,
    rate: u32,
    span: Duration,
) -> Result<Child, String> {
    let (rate, seconds) = (rate.to_string(), span.as_secs().to_string());
    wire::begin(&given.wire, stranger, &["flood", kind, &crowd.nodes[1].mesh, &crowd.keys[1], &rate, &seconds])
}

/// What the flood says that it did.
fn ended(flood: &mut Child) -> Result<Value, String> {
    let mut said = String::new();
    if let Some(mut out) = flood.stdout.take() {
        std::io::Read::read_to_string(&mut out, &mut said).map_err(|error| format!("the flood: {error}"))?;
    }
    let status = flood.wait().map_err(|error| format!("the flood: {error}"))?;
    let object = said.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
    object.ok_or_else(|| format!("the flood ended with {status} and said {said:?}"))
}

/// What members get done in a while: each client asks at its moments, whether or not the last answer came late.
fn members(crowd: &Crowd, span: Duration) -> Result<Done, String> {
    let began = Instant::now();
    let client = |number: u32| {
        let mut times = Vec::new();
        let mut due = ASK_EVERY * number / CLIENTS;
        while due < span {
            std::thread::sleep(due.saturating_sub(began.elapsed()));
            let asked = began + due;
            let answer = crowd.nodes[0].chat("talker", "flooded", 3);
            times.push(answer.ok().filter(|answer| answer.status == 200).map(|_| asked.elapsed()));
            due += ASK_EVERY;
        }
        times
    };
    let client = &client;
    let times: Vec<Option<Duration>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client does not panic")).collect()
    });
    let all: Vec<f64> = times.iter().flatten().map(|time| time.as_secs_f64() * 1e3).collect();
    let in_time = times.iter().flatten().filter(|time| **time <= IN_TIME).count();
    if in_time == 0 {
        return Err("no member was answered in time".to_owned());
    }
    Ok(Done { in_time: in_time as f64 / span.as_secs_f64(), p50_ms: quantile(&all, 0.5), p99_ms: quantile(&all, 0.99) })
}
