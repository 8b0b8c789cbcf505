//! Load: `wrk` and `h2load` for as much as a server takes, and a steady stream of requests that waits for nobody.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http1::Client;
use super::process::Running;
use crate::tidy::root;

/// How long a closed loop lasts.
const CLOSED_S: u64 = 3;

/// What a closed loop found.
#[derive(Debug)]
pub(super) struct Closed {
    /// Requests a second.
    pub(super) rate: f64,
    /// Microseconds, the median and the slowest hundredth; the mean twice where the client knows no more.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Microseconds of processor time of the server, all its processes, for each request.
    pub(super) spent: f64,
}

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Post<'a> {
    pub(super) path: &'a str,
    pub(super) body: &'a Path,
    /// `name: value`.
    pub(super) headers: &'a [&'a str],
}

/// As many requests as a server answers on so many connections over HTTP/1.1.
///
/// # Errors
/// The client did not run, or an answer was no success.
pub(super) fn wrk(server: &Running, post: Post, connections: usize) -> Result<Closed, String> {
    let url = format!("http://{}{}", server.address, post.path);
    let mut command = Command::new("wrk");
    command.args(["--threads", "1", "--connections", &connections.to_string()]);
    command.args(["--duration", &format!("{CLOSED_S}s"), "--timeout", "10s", "--script"]);
    command.arg(root().join("scripts/rivals/post.lua")).args([&url, "--"]).arg(post.body).args(post.headers);
    let before = server.micros()?;
    let text = said(&mut command)?;
    let spent = server.micros()? - before;
    let line = text.lines().last().unwrap_or_default();
    let found: Value = serde_json::from_str(line).map_err(|error| format!("{command:?}: {error}: {text}"))?;
    let number = |name: &str| found[name].as_f64().ok_or_else(|| format!("wrk did not say {name}: {text}"));
    if number("failed")? > 0.0 || number("requests")? < 1.0 {
        return Err(format!("{url}: not every answer was a success: {line}"));
    }
    let requests = number("requests")?;
    let rate = requests / number("duration_us")? * 1e6;
    Ok(Closed { rate, p50: number("p50_us")?, p99: number("p99_us")?, spent: spent / requests })
}

/// As many requests as a server answers over HTTP/2, so many at once on each of some connections.
///
/// # Errors
/// The client did not run, an answer was no success, or answers were shorter than `bytes_min`: an error of gRPC is a
/// success of HTTP without a message.
pub(super) fn h2load(
    server: SocketAddr,
    process: &Running,
    post: Post,
    (connections, streams): (usize, usize),
    bytes_min: f64,
) -> Result<Closed, String> {
    let mut command = Command::new("h2load");
    command.args(["--threads=1", &format!("--clients={connections}"), &format!("--max-concurrent-streams={streams}")]);
    command.arg(format!("--duration={CLOSED_S}")).arg(format!("--data={}", post.body.display()));
    for header in post.headers {
        command.arg(format!("--header={header}"));
    }
    command.arg(format!("http://{server}{}", post.path));
    let before = process.micros()?;
    let text = said(&mut command)?;
    let spent = process.micros()? - before;
    let after = |mark: &str, at: usize| -> Option<&str> {
        text.lines().find_map(|line| line.strip_prefix(mark))?.split_whitespace().nth(at)
    };
    let number = |mark: &str, at: usize| after(mark, at).and_then(|word| word.parse::<f64>().ok());
    let counts = (number("requests:", 6), number("requests:", 8), number("requests:", 10), number("status codes:", 0));
    let (Some(succeeded), Some(failed), Some(errored), Some(_)) = counts else {
        return Err(format!("h2load said something else: {text}"));
    };
    let data = text.lines().find_map(|line| line.strip_prefix("traffic:")).and_then(|line| {
        let words = line.rsplit('(').next()?;
        words.split(')').next()?.parse::<f64>().ok()
    });
    let data = data.ok_or_else(|| format!("h2load did not say how much came: {text}"))?;
    if failed + errored > 0.0 || succeeded < 1.0 || data / succeeded < bytes_min {
        return Err(format!("{server}: not every answer was a success: {text}"));
    }
    let micros = |word: &str| {
        let at = word.find(|letter: char| letter.is_alphabetic())?;
        let scale = match &word[at..] {
            "us" => 1.0,
            "ms" => 1e3,
            "s" => 1e6,
            _ => return None,
        };
        Some(word[..at].parse::<f64>().ok()? * scale)
    };
    let mean = after("time for request:", 2).and_then(micros).ok_or_else(|| format!("h2load, times: {text}"))?;
    Ok(Closed { rate: succeeded / CLOSED_S as f64, p50: mean, p99: mean, spent: spent / succeeded })
}

fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}; scripts/rivals/setup gateway"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(text),
        false => Err(format!("{command:?}: {text} {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A steady stream of requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    /// Requests a second, one as long after another.
    pub(super) rate: f64,
    /// At most so many under way.
    pub(super) connections: usize,
    /// No request is sent later.
    pub(super) span: Duration,
    /// No answer is waited for longer.
    pub(super) patience: Duration,
}

/// What became of one request.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Microseconds, from the moment at which it was due if all connections were taken then: who waits for a server
    /// waits, whether or not the request has left.
    pub(super) micros: f64,
    /// A success, or what it was instead.
    pub(super) fault: Option<String>,
}

impl Steady {
    /// Sends them. A connection that breaks is made anew.
    ///
    /// # Errors
    /// No connection was had at the start.
    pub(super) fn run(self, server: SocketAddr, request: &[u8]) -> Result<Vec<Sample>, String> {
        let next = AtomicUsize::new(0);
        let clients: Result<Vec<Client>, String> =
            (0..self.connections).map(|_| Client::connect(server, self.patience)).collect();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let threads = clients?.into_iter().map(|client| {
                let next = &next;
                scope.spawn(move || self.client(server, request, client, next, began))
            });
            let threads: Vec<_> = threads.collect();
            let ended = threads.into_iter().map(|thread| thread.join().map_err(|_| "a client ended early".to_owned()));
            Ok(ended.collect::<Result<Vec<Vec<Sample>>, String>>()?.concat())
        })
    }

    fn client(
        self,
        server: SocketAddr,
        request: &[u8],
        client: Client,
        next: &AtomicUsize,
        began: Instant,
    ) -> Vec<Sample> {
        let mut client = Some(client);
        let mut samples = Vec::new();
        loop {
            let due = Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / self.rate);
            if due >= self.span || began.elapsed() >= self.span {
                return samples;
            }
            let wait = due.saturating_sub(began.elapsed());
            let from = match wait.is_zero() {
                true => began + due,
                false => {
                    std::thread::sleep(wait);
                    Instant::now()
                }
            };
            let asked = match client.take() {
                Some(client) => Ok(client),
                None => Client::connect(server, self.patience),
            };
            let asked = asked.and_then(|mut open| Ok((open.ask(request)?, open)));
            let micros = from.elapsed().as_secs_f64() * 1e6;
            let fault = match asked {
                Ok((answer, open)) => {
                    let is_kept = answer.header("connection").is_none_or(|word| !word.eq_ignore_ascii_case("close"));
                    client = is_kept.then_some(open);
                    (answer.status != 200).then(|| format!("status {}", answer.status))
                }
                Err(error) => Some(error),
            };
            samples.push(Sample { micros, fault });
        }
    }
}

/// A value below which so large a part lies, 0 to 1.
pub(super) fn quantile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(at.max(1) - 1).copied().unwrap_or(f64::NAN)
}
