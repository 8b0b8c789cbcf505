//! `hither bench`: what real processes do under a given stream of requests: a mesh of nodes, or one model. A benchmark,
//! not a test: its numbers are for reports, and hold for the machine that they were measured on.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::demo::{failed, stopped};
use crate::output::{Screen, Trouble, line};

mod arrivals;
mod engine;
mod ledger;
mod mesh;
mod processor;
mod replay;
mod report;

/// What can be measured.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Many nodes on this machine, whose engine sleeps as long as each request says.
    Mesh(MeshArgs),
    /// One model: how fast it answers, alone, behind a node's HTTP interface, or at another server.
    Engine(Box<engine::EngineArgs>),
    /// The ledger on a disk of this machine: what a record costs, what waiting for one adds, how long verifying takes.
    Ledger(ledger::LedgerArgs),
}

/// What `bench mesh` is told.
#[derive(Debug, Args)]
pub(crate) struct MeshArgs {
    /// The requests, one JSON object a line: at_us (after the start), node (from 0), work_us (at the engine) and
    /// deadline_us (after at_us).
    #[arg(long, value_name = "FILE")]
    trace: PathBuf,
    /// How many nodes.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=64))]
    nodes: u16,
    /// Requests at once at each node.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
    /// Requests of the first so many seconds are sent, and left out of the numbers.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    warm_up_s: u64,
    /// Where to write what became of each request, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Where the nodes live; a new directory under ~/.cache/hither if absent. Removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Measures. The answer is one JSON object on stdout; how it goes on is told on stderr.
pub(crate) fn bench(screen: Screen, command: BenchCommand) -> Result<(), Trouble> {
    let args = match command {
        BenchCommand::Mesh(args) => args,
        BenchCommand::Ledger(args) => {
            line(&ledger::measure(&args)?.to_string());
            return Ok(());
        }
        // A worker alone is asked by this thread, which then hears no signals: they end the program, and that its worker.
        BenchCommand::Engine(args) if args.is_worker_alone() => return wait(engine::engine(screen, &args)),
        BenchCommand::Engine(args) => {
            return wait(async {
                tokio::select! {
                    measured = engine::engine(screen, &args) => measured,
                    stopped = stopped() => stopped,
                }
            });
        }
    };
    let measured = wait(async {
        tokio::select! {
            measured = measure(screen, &args) => measured,
            stopped = stopped() => stopped.map(|()| Value::Null),
        }
    })?;
    line(&measured.to_string());
    Ok(())
}

/// Waits on one thread, this one: the children are tied to the thread that starts them.
fn wait<T>(what: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new("E0102", format!("the machine gives no resources to wait with: {error}")))?;
    runtime.block_on(what)
}

async fn measure(screen: Screen, args: &MeshArgs) -> Result<Value, Trouble> {
    let say = |text: String| {
        if !screen.is_json() {
            eprintln!("{text}");
        }
    };
    let arrivals = arrivals::read(&args.trace, usize::from(args.nodes))?;
    say(format!("{} requests; starting {} nodes of {} slots each", arrivals.len(), args.nodes, args.slots));
    let began = std::time::Instant::now();
    let mesh = mesh::Mesh::bring_up(args).await?;
    say(format!(
        "one mesh after {:.1} s; the last request is due in {:.0} s",
        began.elapsed().as_secs_f64(),
        due(&arrivals)
    ));
    let before = processor::Times::read(&mesh.processes())?;
    let samples = replay::replay(&arrivals, &mesh).await?;
    let used = processor::Times::read(&mesh.processes())?.since(&before);
    if let Some(path) = &args.samples {
        let text: String = samples.iter().map(|sample| format!("{}\n", sample.json())).collect();
        std::fs::write(path, text).map_err(|error| failed(format!("cannot write {}: {error}", path.display())))?;
    }
    let from_us = args.warm_up_s.saturating_mul(1_000_000);
    let counted: Vec<_> = samples.iter().filter(|sample| sample.arrival.at_us >= from_us).collect();
    let mut object = report::report(&counted);
    object["nodes"] = json!(args.nodes);
    object["slots"] = json!(args.slots);
    object["left_out"] = json!(samples.len() - counted.len());
    object["processor"] = used.json();
    Ok(object)
}

fn due(arrivals: &[arrivals::Arrival]) -> f64 {
    arrivals.last().map_or(0.0, |last| last.at_us as f64 / 1e6)
}
