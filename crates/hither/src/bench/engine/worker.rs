//! A worker process as a node starts it, and requests over its own protocol: what an engine does without a node.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hither_engine::engine::{JobFault, JobId, Loaded};
use hither_engine::protocol::{Command as Order, FrameReader, Report, decode_report, encode_command};
use hither_engine::work::Piece;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::ask::{Ask, Until};
use super::sample::Sample;
use super::usage::Tree;
use super::{EngineArgs, Kind};
use crate::demo::failed;
use crate::demo::site::program;
use crate::output::Trouble;

/// A worker with its model open; it ends with this.
pub(super) struct Worker {
    child: Child,
    socket: UnixStream,
    frames: FrameReader,
    chunk: Vec<u8>,
    next: u64,
    loaded: Loaded,
}

/// A request under way.
struct Open {
    begun: Instant,
    /// Processor time of the worker before.
    cpu_us: Option<u64>,
    first: Option<(Duration, Option<u64>)>,
}

impl Worker {
    /// Starts it and waits until the model is open.
    pub(super) fn start(args: &EngineArgs, kind: Kind, model: &Path, library: Option<&Path>) -> Result<Self, Trouble> {
        let (socket, theirs) =
            UnixStream::pair().map_err(|error| failed(format!("no socket for a worker: {error}")))?;
        let mut command = Command::new(program()?);
        command.args(["worker", "--fd", "0", "--format", kind.as_str(), "--model"]).arg(model);
        command.args(["--threads", &args.threads.to_string(), "--slots", &args.slots.to_string()]);
        command.args(["--context-tokens", &args.context_tokens.to_string()]);
        if let Some(library) = library {
            command.arg("--library").arg(library);
        }
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| failed(format!("the worker cannot be started: {error}")))?;
        drop(command);
        let nothing = Loaded {
            io: hither_types::model::ModelIo::Language { context_tokens: 0 },
            slots: 0,
            batch: 1,
            device: hither_types::model::Device::Cpu,
            fallback: None,
            engine: String::new(),
        };
        let mut worker =
            Self { child, socket, frames: FrameReader::default(), chunk: vec![0; 64 << 10], next: 0, loaded: nothing };
        match worker.report()? {
            Report::Ready(loaded) => worker.loaded = loaded,
            Report::LoadFailed(why) => {
                return Err(failed(format!("{} cannot be opened: {why}", model.display())));
            }
            other => return Err(failed(format!("the worker said {other:?} before it was ready"))),
        }
        Ok(worker)
    }

    /// What it has open.
    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Its process.
    pub(super) fn tree(&self) -> Result<Tree, Trouble> {
        Tree::of(self.child.id())
    }

    /// Keeps so many requests under way until the end of the round.
    pub(super) fn round(&mut self, ask: &Ask, streams: u16, until: Until) -> Result<Vec<Sample>, Trouble> {
        let tree = self.tree()?;
        let alone = (streams == 1 && matches!(ask, Ask::Text { .. })).then_some(tree);
        // Tensors are understood once: a node does it at its door, and that belongs to the way over HTTP.
        let work = match ask {
            Ask::Tensors { .. } => Some(ask.work(0)?),
            Ask::Text { .. } => None,
        };
        let (mut open, mut samples) = (BTreeMap::new(), Vec::new());
        let began = Instant::now();
        let mut left = match until {
            Until::Over(_) => u64::MAX,
            Until::Each(count) => u64::from(count) * u64::from(streams),
        };
        let is_over = |left: u64| match until {
            Until::Over(span) => began.elapsed() >= span,
            Until::Each(_) => left == 0,
        };
        loop {
            while open.len() < usize::from(streams) && !is_over(left) {
                left -= 1;
                let cpu_us = alone.map(Tree::micros).transpose()?;
                let begun = Instant::now();
                let payload = match &work {
                    Some(work) => work.encode(),
                    None => ask.work(self.next)?.encode(),
                };
                let job = JobId(self.next);
                self.next += 1;
                open.insert(job, Open { begun, cpu_us, first: None });
                self.send(&encode_command(&Order::Run { job, payload, resume: Vec::new() }))?;
            }
            if open.is_empty() {
                return Ok(samples);
            }
            let report = self.report()?;
            take(report, &mut open, &mut samples, alone)?;
        }
    }

    /// Sends all of it. What comes meanwhile is read: a worker that cannot speak does not listen.
    fn send(&mut self, mut bytes: &[u8]) -> Result<(), Trouble> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::AGAIN | Errno::INTR) => {
                    let mut ready = [PollFd::new(&self.socket, PollFlags::IN | PollFlags::OUT)];
                    poll(&mut ready, None).map_err(|error| failed(format!("cannot wait for the worker: {error}")))?;
                    if ready[0].revents().contains(PollFlags::IN) {
                        self.read()?;
                    }
                }
                Err(error) => return Err(failed(format!("the worker ended: {error}"))),
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), Trouble> {
        match self.socket.read(&mut self.chunk) {
            Ok(0) => Err(failed("the worker ended").note("what it said is above, on its standard error")),
            Ok(length) => {
                self.frames.feed(&self.chunk[..length]);
                Ok(())
            }
            Err(error) => Err(failed(format!("the worker cannot be heard: {error}"))),
        }
    }

    fn report(&mut self) -> Result<Report, Trouble> {
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(|error| failed(error.to_string()))? {
                return decode_report(frame).map_err(|error| failed(error.to_string()));
            }
            self.read()?;
        }
    }
}

/// Takes what came into account.
fn take(
    report: Report,
    open: &mut BTreeMap<JobId, Open>,
    samples: &mut Vec<Sample>,
    alone: Option<Tree>,
) -> Result<(), Trouble> {
    match report {
        Report::Piece { job, bytes } => {
            let piece = Piece::decode(&bytes).map_err(|error| failed(error.to_string()))?;
            if let (Piece::Tokens { .. }, Some(open)) = (&piece, open.get_mut(&job))
                && open.first.is_none()
            {
                let first = open.begun.elapsed();
                let now = alone.map(Tree::micros).transpose()?;
                open.first = Some((first, now.zip(open.cpu_us).map(|(now, before)| now.saturating_sub(before))));
            }
        }
        Report::Done { job, cost } => {
            let Some(open) = open.remove(&job) else { return Ok(()) };
            let latency = open.begun.elapsed();
            let (first, first_cpu_us) = open.first.unwrap_or((latency, None));
            let (prompt_tokens, output_tokens) = (cost.prompt_tokens, cost.output_tokens);
            samples.push(Sample { latency, first, prompt_tokens, output_tokens, first_cpu_us });
        }
        Report::Failed { fault, .. } => {
            return Err(failed(match fault {
                JobFault::Input(fault) => format!("the model does not take the request: {fault}"),
                JobFault::Engine(text) => format!("the engine failed: {text}"),
            })
            .help("hither bench engine --model FILE --body REQUEST.json     to say what is asked"));
        }
        Report::Progress { .. } | Report::Ready(_) | Report::LoadFailed(_) => {}
    }
    Ok(())
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already; nothing is left of it either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
