//! A request from one node to another on an open connection, beside plain QUIC and plain iroh in the same run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use serde_json::{Value, json};

use super::board::{Figure, Goal, Part, plain};
use super::{Crowd, Crowded, quantile, wire};
use crate::lab::net::within;

/// What a request over the mesh may add to plain QUIC, in microseconds.
const ADDED_MAX_US: f64 = 250.0;

/// One stream of ours beside one of plain iroh.
const STREAM_MIN: f64 = 0.9;

/// Questions of these many bytes, and answers of as many.
const SIZES: [usize; 2] = [128, 16 << 10];

/// A long answer.
const LONG: usize = 256 << 20;

/// Who is asked, in turn.
const KINDS: [&str; 3] = ["noq", "iroh", "swarm"];

/// Where the servers of `wire` listen on their machine.
const PORTS: [&str; 3] = ["7101", "7102", "7103"];

pub(super) fn part(given: &Crowded) -> Result<Part, String> {
    let (rounds, asks) = given.pick((5, 1000), (2, 200));
    let crowd = Crowd::of(&given.lab, 2)?;
    crowd.hold("echo", "kind=infer prefill_us=0 slots=4", &[1])?;
    let (space, host) = place(&crowd, 1)?;
    let mut servers = Vec::new();
    for (kind, port) in KINDS.into_iter().zip(PORTS) {
        let address = format!("{host}:{port}");
        servers.push((kind, address.clone(), wire::Serving::start(&given.wire, &space, kind, &address)?));
    }
    let (asker, _) = place(&crowd, 0)?;
    let mut figures = Vec::new();
    let mut below =
        "| bytes of question and answer | | p50 µs, rounds | p99 µs, median of rounds |\n| --- | --- | --- | --- |\n"
            .to_owned();
    for size in SIZES {
        let mut found: Vec<(&str, Vec<f64>, Vec<f64>)> = Vec::new();
        let mut add = |who: &'static str, (middle, late): (f64, f64)| match found.iter_mut().find(|(of, ..)| *of == who)
        {
            Some((_, middles, lates)) => {
                middles.push(middle);
                lates.push(late);
            }
            None => found.push((who, vec![middle], vec![late])),
        };
        for _ in 0..rounds {
            for (kind, address, server) in &servers {
                let words = [
                    "ask",
                    kind,
                    address,
                    &server.certificate,
                    &size.to_string(),
                    &size.to_string(),
                    &asks.to_string(),
                ];
                let said = wire::run(&given.wire, &asker, &words)?;
                let number = |name: &str| said[name].as_f64().unwrap_or(f64::NAN);
                add(kind, (number("p50_us"), number("p99_us")));
            }
            add("node, at home", asked(&crowd, 1, size, asks)?);
            add("node, over the mesh", asked(&crowd, 0, size, asks)?);
        }
        figures.extend(added(size, &found));
        for (who, middles, lates) in &found {
            let rounds = middles.iter().map(|middle| plain(*middle)).collect::<Vec<_>>().join(", ");
            below += &format!("| {size} | {who} | {rounds} | {} |\n", plain(quantile(lates, 0.5)));
        }
    }
    figures.push(stream(given, &servers, &asker)?);
    Ok(Part {
        title: "A request beside plain QUIC",
        about: format!(
            "Two machines at one router; all rounds in turn, {rounds} of {asks} requests each, one at a time. noq and iroh: a stream \
             for each question on one open connection, default settings (`crates/hither-swarm/benches/wire`). swarm: the same \
             question as a request of this program's own transport. A node is asked over HTTP on one open connection, for an \
             answer of an engine that gives back what it gets: at home, and over the mesh, where the offer, the record in the \
             ledger before the first byte leaves, and the answer are between."
        ),
        figures,
        below,
        failed: Vec::new(),
    })
}

/// The namespace of a node's machine, and its address.
fn place(crowd: &Crowd, at: usize) -> Result<(String, String), String> {
    let node = &crowd.nodes[at];
    let host = node.mesh.rsplit_once(':').map(|(host, _)| host.to_owned()).ok_or("a mesh address has a port")?;
    Ok((node.api()?.space, host))
}

/// What ours adds, round by round.
fn added(size: usize, found: &[(&str, Vec<f64>, Vec<f64>)]) -> Vec<Figure> {
    let of =
        |who: &str| found.iter().find(|(of, ..)| *of == who).map(|(_, middles, _)| middles.clone()).unwrap_or_default();
    let less =
        |one: &[f64], other: &[f64]| -> Vec<f64> { one.iter().zip(other).map(|(one, other)| one - other).collect() };
    let (noq, iroh, swarm) = (of("noq"), of("iroh"), of("swarm"));
    let hop = less(&of("node, over the mesh"), &of("node, at home"));
    let figure = |what: &str, added: &[f64], goal| {
        Figure::told(format!("{size} B: {what}"), quantile(added, 0.5), "µs").goal(goal).more(format!(
            "{}–{} µs",
            plain(quantile(added, 0.0)),
            plain(quantile(added, 1.0))
        ))
    };
    vec![
        figure("a request of our transport over one of plain noq, p50", &less(&swarm, &noq), Goal::AtMost(ADDED_MAX_US)),
        figure("over one of plain iroh, p50", &less(&swarm, &iroh), Goal::None),
        figure("a node's request over the mesh, less the same at home and less plain noq, p50", &less(&hop, &noq), Goal::AtMost(ADDED_MAX_US))
            .why("a place is offered the request and says yes before anything leaves, and the ledger writes a record to disk first: two round trips and a write where plain QUIC has one round trip"),
    ]
}

/// One long answer, ours beside plain iroh's.
fn stream(given: &Crowded, servers: &[(&str, String, wire::Serving)], asker: &str) -> Result<Figure, String> {
    let long = given.pick(LONG, LONG / 16).to_string();
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..given.pick(5, 2) {
        for ((kind, address, server), rates) in servers.iter().zip(&mut rates) {
            let words = ["ask", kind, address, &server.certificate, "64", &long, "1"];
            rates.push(wire::run(&given.wire, asker, &words)?["megabytes_per_s"].as_f64().unwrap_or(f64::NAN));
        }
    }
    let [noq, iroh, swarm] = &rates;
    let ratios: Vec<f64> = swarm.iter().zip(iroh).map(|(ours, theirs)| ours / theirs).collect();
    let middle = |rates: &[f64]| plain(quantile(rates, 0.5));
    Ok(Figure::told("one answer of 256 MB on one stream, beside plain iroh", quantile(&ratios, 0.5), "×")
        .goal(Goal::AtLeast(STREAM_MIN))
        .why("a piece of ours is copied four times on its way: into its form, into its frame, out of the stream, and out of its form")
        .more(format!(
            "{}–{} ×; ours {} MB/s, iroh {}, noq {}",
            plain(quantile(&ratios, 0.0)),
            plain(quantile(&ratios, 1.0)),
            middle(swarm),
            middle(iroh),
            middle(noq)
        )))
}

/// Asks a node over one open connection and gives p50 and p99 in microseconds.
fn asked(crowd: &Crowd, at: usize, size: usize, asks: usize) -> Result<(f64, f64), String> {
    let times = asked_while(crowd, at, size, |asked| asked < asks)?;
    Ok((quantile(&times, 0.5), quantile(&times, 0.99)))
}

/// Asks a node over one open connection for as long as there shall be one more, and gives how long each took, in
/// microseconds.
pub(super) fn asked_while(
    crowd: &Crowd,
    at: usize,
    size: usize,
    more: impl Fn(usize) -> bool + Send,
) -> Result<Vec<f64>, String> {
    let api = crowd.nodes[at].api()?;
    // Numbers of four bytes, as the mesh carries them; they are longer as text, on both ways alike.
    let numbers = size / 4;
    let body = json!({"inputs": [{"name": "x", "shape": [1, numbers], "datatype": "FP32", "data": vec![1; numbers]}]})
        .to_string();
    within(&api.space, || ask_all(&api.address, &body, more))?.map_err(|error| format!("{}: {error}", api.address))
}

fn ask_all(address: &str, body: &str, more: impl Fn(usize) -> bool) -> Result<Vec<f64>, String> {
    const WARM_UP: usize = 100;
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let mut reader = BufReader::new(stream.try_clone().map_err(text)?);
    let request = format!(
        "POST /v2/models/echo/infer HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut times = Vec::new();
    let mut warm = 0;
    while more(times.len()) {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).map_err(text)?;
        answer(&mut reader)?;
        if warm < WARM_UP {
            warm += 1;
        } else {
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}

/// Reads one answer, which has to be a good one.
fn answer(reader: &mut BufReader<TcpStream>) -> Result<(), String> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let begin = head.len();
        let read = reader.read_line(&mut head).map_err(|error| error.to_string())?;
        let line = head[begin..].trim_end();
        if read == 0 || line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(|error| format!("{line}: {error}"))?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).map_err(|error| error.to_string())?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(format!("{} {}", head.lines().next().unwrap_or_default(), String::from_utf8_lossy(&body)));
    }
    // It has to be what was sent, not a page that says otherwise.
    let said: Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    if said["outputs"][0]["data"].is_array() { Ok(()) } else { Err(format!("no output: {said}")) }
}
