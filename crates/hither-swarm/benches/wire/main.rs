//! Requests between two processes: over plain QUIC (noq), over plain iroh, and over this crate; and strangers that knock
//! at a node's door. `cargo xtask mesh` starts it; by hand:
//!
//! ```text
//! wire serve noq|iroh|swarm ADDRESS                                one line when it listens; until its input ends
//! wire ask noq|iroh|swarm ADDRESS CERTIFICATE REQUEST ANSWER ROUNDS   bytes of both; one JSON object
//! wire flood handshakes|hellos|initials|garbage ADDRESS NODE RATE SECONDS   one JSON object
//! ```
//!
//! The keys of `serve` and `ask` are fixed numbers: nothing here is a secret, and nothing listens but where it is told to.

mod flood;
mod ours;
mod plain;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Requests before anything counts.
const WARM_UP: u32 = 100;

/// The longest that one request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A piece of a long answer.
const PIECE: usize = 256 << 10;

/// The largest request that a plain server reads.
const REQUEST_MAX: usize = 16 << 20;

/// The key of whoever serves.
const SERVER: [u8; 32] = [1; 32];

/// The key of whoever asks.
const CLIENT: [u8; 32] = [2; 32];

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["serve", kind, address] => serve(kind, address).await,
        ["ask", kind, address, certificate, request, answer, rounds] => {
            ask(kind, address, certificate, [request, answer, rounds]).await
        }
        ["flood", kind, address, node, rate, seconds] => flood::flood(kind, address, node, rate, seconds).await,
        _ => Err("wire serve KIND ADDRESS; or ask, or flood: see the head of benches/wire/main.rs".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wire: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(kind: &str, address: &str) -> Outcome<()> {
    let address: SocketAddr = address.parse()?;
    match kind {
        "noq" => plain::serve_noq(address).await,
        "iroh" => plain::serve_iroh(address).await,
        "swarm" => ours::serve(address).await,
        other => Err(format!("nobody serves {other:?}").into()),
    }
}

/// Says that it listens, and waits until whoever started it is gone.
async fn until_told(certificate: &str) {
    println!("ready {certificate}");
    // Read elsewhere, for a read of the standard input cannot be given up.
    let _ = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await;
}

/// What is asked: how long the answer shall be, and then nothing in particular.
fn question(request: usize, answer: usize) -> Vec<u8> {
    let mut bytes = vec![0x5a; request.max(8)];
    bytes[..8].copy_from_slice(&(answer as u64).to_le_bytes());
    bytes
}

/// How long an answer was asked for.
fn wanted(question: &[u8]) -> usize {
    let length = question.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    usize::try_from(length).unwrap_or(0)
}

async fn ask(kind: &str, address: &str, certificate: &str, numbers: [&str; 3]) -> Outcome<()> {
    let address: SocketAddr = address.parse()?;
    let [request, answer, rounds] = numbers;
    let (request, answer, rounds): (usize, usize, u32) = (request.parse()?, answer.parse()?, rounds.parse()?);
    let question = question(request, answer);
    let mut asker = match kind {
        "noq" => Asker::Noq(plain::dial_noq(address, certificate).await?),
        "iroh" => Asker::Iroh(plain::dial_iroh(address).await?),
        "swarm" => Asker::Swarm(ours::dial(address).await?),
        other => return Err(format!("nobody asks {other:?}").into()),
    };
    // A long answer warms everything up by itself.
    let warm_up = if answer > REQUEST_MAX { 0 } else { WARM_UP };
    let mut times = Vec::new();
    let mut began = Instant::now();
    for round in 0..warm_up + rounds {
        if round == warm_up {
            began = Instant::now();
        }
        let asked = Instant::now();
        let heard = tokio::time::timeout(PATIENCE, asker.ask(&question)).await.map_err(|_| "no answer in time")??;
        if heard != answer {
            return Err(format!("an answer of {heard} bytes instead of {answer}").into());
        }
        if round >= warm_up {
            times.push(asked.elapsed());
        }
    }
    let took = began.elapsed();
    times.sort();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0.0, |time| time.as_secs_f64() * 1e6);
    let megabytes = answer as f64 * f64::from(rounds) / 1e6 / took.as_secs_f64();
    println!(
        "{{\"p10_us\":{:.1},\"p50_us\":{:.1},\"p90_us\":{:.1},\"p99_us\":{:.1},\"megabytes_per_s\":{megabytes:.2}}}",
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99)
    );
    asker.close().await;
    Ok(())
}

/// A connection that is open, of any of the three.
enum Asker {
    Noq(plain::Noq),
    Iroh(plain::Iroh),
    Swarm(ours::Asker),
}

impl Asker {
    /// Asks, and says how long the answer was.
    async fn ask(&mut self, question: &[u8]) -> Outcome<usize> {
        match self {
            Self::Noq(noq) => plain::exchange(noq.connection.open_bi().await?, question).await,
            Self::Iroh(iroh) => plain::exchange(iroh.connection.open_bi().await?, question).await,
            Self::Swarm(swarm) => swarm.ask(question).await,
        }
    }

    async fn close(self) {
        match self {
            Self::Noq(noq) => {
                noq.connection.close(0u32.into(), b"");
                noq.endpoint.wait_idle().await;
            }
            Self::Iroh(iroh) => iroh.endpoint.close().await,
            Self::Swarm(swarm) => swarm.close().await,
        }
    }
}
