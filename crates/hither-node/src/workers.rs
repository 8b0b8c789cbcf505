//! The engines' hand: one worker process per model, a socket to each, and where the pieces of each job go.
//!
//! A worker may end at any moment, by any signal. Its node says which, and lives.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hither_core::Event;
use hither_engine::engine::{JobFault, JobId, Loaded};
use hither_engine::protocol::{Command, FrameReader, Report, decode_report, encode_command};
use hither_engine::work::{Piece, Work};
use hither_types::id::{Digest, Task};
use hither_types::message::Frame;
use hither_types::model::ModelFormat;
use hither_types::refusal::{Crash, Failure};
use hither_types::unit::ByteCount;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Duration;

use crate::config::NodeConfig;
use crate::config::model::ModelConfig;
use crate::driver::Inbound;
use crate::limits::{BEAT, LOAD_TIME, READ_CHUNK, STOP_TIME, WORKER_BACKLOG_MAX, WORKER_FRAME_MAX};
use crate::session::{AskSession, Delivery, Session};

mod process;
#[cfg(test)]
mod tests;

use process::{command, end_of, memory_limit};

/// Of the next worker.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// Where the pieces of a job go.
pub(crate) enum Sink {
    /// To a client of this node.
    Client(Arc<Session>),
    /// To a peer.
    Peer(Arc<AskSession>),
    /// To this node itself, which knows what should come.
    Proof(Proof),
}

/// A question of this node to its own engine: the pieces so far, and who waits for the whole.
pub(crate) struct Proof {
    pieces: Vec<Piece>,
    done: oneshot::Sender<Result<Vec<Piece>, String>>,
}

struct Job {
    /// Whose it is; nobody's, if this node asks.
    task: Option<Task>,
    sink: Sink,
    progress: u64,
    beat: Instant,
}

/// A worker process with its model open.
pub(crate) struct Worker {
    /// Tells it from an earlier worker with the same model.
    pub(crate) number: u64,
    pub(crate) loaded: Loaded,
    process: Option<u32>,
    stopped: Notify,
    offered: AtomicBool,
    gone: AtomicBool,
    jobs: Mutex<BTreeMap<JobId, Job>>,
    next: AtomicU64,
    pipe: Pipe,
    /// Jobs that were taken and are not sent yet.
    corked: Mutex<Corked>,
}

/// Commands that go out together: to wake a worker for each would cost more than a small model takes.
#[derive(Default)]
struct Corked {
    bytes: Vec<u8>,
    jobs: Vec<JobId>,
}

/// The writing half of the socket. Commands are small, so nearly all go straight into the kernel's buffer.
struct Pipe {
    socket: StdStream,
    backlog: mpsc::Sender<Vec<u8>>,
    /// Of several threads: one whole command after the other.
    turn: Mutex<()>,
}

impl Pipe {
    /// Writes at once if nothing waits, else queues. `false`: the worker does not read.
    fn send(&self, bytes: Vec<u8>) -> bool {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = self.backlog.capacity() < self.backlog.max_capacity();
        let written = match waiting {
            true => 0,
            false => match (&self.socket).write(&bytes) {
                Ok(written) => written,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(_) => return false,
            },
        };
        written == bytes.len() || self.backlog.try_send(bytes[written..].to_vec()).is_ok()
    }
}

/// A crash, maybe of a driver: the CPU has none.
pub(crate) const DIED: &str = "the worker";

/// Why a worker did not come up: a text for the log and the operator.
pub(crate) type StartFailure = String;

impl Worker {
    /// Starts a worker on a model file and waits until it has opened it.
    pub(crate) async fn start(
        config: &NodeConfig,
        digest: Digest,
        (format, settings): (ModelFormat, ModelConfig),
        model: &Path,
        inbox: mpsc::Sender<Inbound>,
    ) -> Result<(Arc<Self>, ReadLoop), StartFailure> {
        let (ours, theirs) = StdStream::pair().map_err(|error| format!("no socket for a worker: {error}"))?;
        let memory = memory_limit(config, &settings);
        let size = std::fs::metadata(model).map_or(0, |meta| meta.len());
        if let Some(most) = memory.filter(|most| size > *most) {
            let (size, most) = (ByteCount(size), ByteCount(most));
            return Err(format!("its file alone has {size}, and a worker here may take {most} of memory"));
        }
        let mut command = command(config, (format, &settings), model, memory);
        // The socket is the worker's standard input: nothing else is inherited.
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        let mut child = command.spawn().map_err(|error| format!("the worker cannot be started: {error}"))?;
        drop(command);

        ours.set_nonblocking(true).map_err(|error| error.to_string())?;
        let writer = ours.try_clone().map_err(|error| error.to_string())?;
        let socket = UnixStream::from_std(ours).map_err(|error| error.to_string())?;
        let (mut read, mut write) = socket.into_split();
        let mut frames = FrameReader::new(WORKER_FRAME_MAX);
        let mut buffer = vec![0; READ_CHUNK];
        let ready = tokio::time::timeout(LOAD_TIME, next_report(&mut read, &mut frames, &mut buffer)).await;
        let loaded = match ready {
            Ok(Some(Report::Ready(loaded))) => loaded,
            Ok(Some(Report::LoadFailed(text))) => return Err(text),
            Ok(Some(_)) => return Err("the worker spoke before it was ready".into()),
            Ok(None) => return Err(format!("{DIED} {} while it opened the model", end_of(&mut child).await)),
            Err(_) => return Err(format!("the worker had not opened the model after {LOAD_TIME:?}")),
        };
        let (backlog, mut queue) = mpsc::channel::<Vec<u8>>(WORKER_BACKLOG_MAX);
        let drain = tokio::spawn(async move {
            while let Some(bytes) = queue.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        });
        let pipe = Pipe { socket: writer, backlog, turn: Mutex::default() };
        let worker = Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            loaded,
            process: child.id(),
            stopped: Notify::new(),
            offered: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            jobs: Mutex::new(BTreeMap::new()),
            next: AtomicU64::new(1),
            pipe,
            corked: Mutex::default(),
        });
        let own = Arc::clone(&worker);
        let hang_time = config.hang_time;
        let drain = drain.abort_handle();
        let own = ReadLoop { digest, child, read, frames, buffer, worker: own, inbox, drain, hang_time, hung: false };
        Ok((worker, own))
    }

    /// Tells the worker to end; its read loop then ends, too.
    pub(crate) fn stop(&self) {
        // One that does not read any more is killed when its read loop is dropped.
        let _ = self.pipe.send(encode_command(&Command::Stop));
        self.stopped.notify_one();
    }

    /// Marks it as offered. `false`: it was already.
    pub(crate) fn offer(&self) -> bool {
        !self.offered.swap(true, Ordering::Relaxed)
    }

    /// Whether it is offered.
    pub(crate) fn is_offered(&self) -> bool {
        self.offered.load(Ordering::Relaxed)
    }

    /// Whether its process has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// What its process takes in memory now.
    pub(crate) fn memory(&self) -> Option<ByteCount> {
        self.process.and_then(crate::machine::resident).map(ByteCount)
    }

    /// Asks the engine something for this node itself. The error is the engine's word, or that it is gone.
    pub(crate) async fn ask(&self, work: &Work) -> Result<Vec<Piece>, String> {
        let (done, answer) = oneshot::channel();
        let sink = Sink::Proof(Proof { pieces: Vec::new(), done });
        let gone = || "the worker ended".to_owned();
        let job = JobId(self.next.fetch_add(1, Ordering::Relaxed));
        self.jobs().insert(job, Job { task: None, sink, progress: 0, beat: Instant::now() });
        // By itself: what is corked is the driver's, which has to hear what of it the worker does not take.
        if !self.pipe.send(encode_command(&Command::Run { job, payload: work.encode(), resume: Vec::new() })) {
            self.jobs().remove(&job);
            return Err(gone());
        }
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<JobId, Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job has been here for so long that the engine should have said something.
    fn has_old_jobs(&self, hang_time: Duration) -> bool {
        self.jobs().values().any(|job| job.beat.elapsed() >= hang_time)
    }

    /// Starts a job with the next [`Self::flush`].
    pub(crate) fn run(&self, task: Task, sink: Sink, payload: Vec<u8>, resume: Vec<u32>) {
        let job = JobId(self.next.fetch_add(1, Ordering::Relaxed));
        self.jobs().insert(job, Job { task: Some(task), sink, progress: 0, beat: Instant::now() });
        let command = encode_command(&Command::Run { job, payload, resume });
        let mut corked = self.corked();
        corked.jobs.push(job);
        match corked.bytes.is_empty() {
            true => corked.bytes = command,
            false => corked.bytes.extend_from_slice(&command),
        }
    }

    /// Sends what was started since the last time. The tasks that the worker does not take come back.
    #[must_use]
    pub(crate) fn flush(&self) -> Vec<Task> {
        let Corked { bytes, jobs } = std::mem::take(&mut *self.corked());
        if bytes.is_empty() || self.pipe.send(bytes) {
            return Vec::new();
        }
        let mut open = self.jobs();
        jobs.iter().filter_map(|job| open.remove(job)).filter_map(|job| job.task).collect()
    }

    fn corked(&self) -> MutexGuard<'_, Corked> {
        self.corked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops a job. Nothing more comes from it.
    pub(crate) fn cancel(&self, task: Task) {
        let mut jobs = self.jobs();
        let found = jobs.iter().find(|(_, job)| job.task == Some(task)).map(|(id, _)| *id);
        if let Some(job) = found {
            jobs.remove(&job);
            drop(jobs);
            // Behind the command that starts it. A worker that does not read any more is found by its silence.
            self.corked().bytes.extend_from_slice(&encode_command(&Command::Cancel { job }));
        }
    }
}

async fn next_report(
    read: &mut tokio::net::unix::OwnedReadHalf,
    frames: &mut FrameReader,
    buffer: &mut [u8],
) -> Option<Report> {
    loop {
        match frames.next_frame() {
            Ok(Some(frame)) => match decode_report(frame) {
                Ok(report) => return Some(report),
                Err(error) => {
                    tracing::error!(%error, "a worker sent what is not a report");
                    return None;
                }
            },
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "a worker sent a frame that is too large");
                return None;
            }
        }
        match read.read(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => frames.feed(&buffer[..n]),
        }
    }
}

/// The reading half: runs until the worker ends.
pub(crate) struct ReadLoop {
    digest: Digest,
    child: Child,
    read: tokio::net::unix::OwnedReadHalf,
    frames: FrameReader,
    /// What was read last: made once, for a report comes with every token.
    buffer: Vec<u8>,
    worker: Arc<Worker>,
    inbox: mpsc::Sender<Inbound>,
    drain: tokio::task::AbortHandle,
    hang_time: Duration,
    hung: bool,
}

impl ReadLoop {
    /// Carries pieces to their sinks. At the end every job that was open has failed, and the model is lost.
    pub(crate) async fn run(mut self) {
        while let Some(report) = self.next().await {
            if let Some(event) = self.take(report)
                && self.inbox.send(Inbound::Event(event)).await.is_err()
            {
                break;
            }
        }
        self.worker.gone.store(true, Ordering::Relaxed);
        self.drain.abort();
        let end = end_of(&mut self.child).await;
        let crash = if self.hung { Crash::Hung } else { end };
        let open = std::mem::take(&mut *self.worker.jobs());
        let jobs = open.len();
        for task in open.into_values().filter_map(|job| job.task) {
            let event = Event::Failed { task, failure: Failure::EngineCrashed(crash) };
            // A closed inbox means that the node is stopping.
            let _ = self.inbox.send(Inbound::Event(event)).await;
        }
        let (digest, number) = (self.digest, self.worker.number);
        let _ = self.inbox.send(Inbound::WorkerLost { digest, number, crash, jobs }).await;
    }

    /// The next report. `None`: the worker ended, or it has work and has said nothing for too long.
    async fn next(&mut self) -> Option<Report> {
        loop {
            // Nothing is lost when the wait is cut off: bytes are fed the moment they are read.
            let report = next_report(&mut self.read, &mut self.frames, &mut self.buffer);
            let report = tokio::time::timeout(self.hang_time, report);
            let report = tokio::select! {
                report = report => report,
                // It ends by itself, or is killed after this loop.
                () = self.worker.stopped.notified() => {
                    let _ = tokio::time::timeout(STOP_TIME, self.child.wait()).await;
                    return None;
                }
            };
            match report {
                Ok(report) => return report,
                Err(_) if self.worker.has_old_jobs(self.hang_time) => {
                    self.hung = true;
                    return None;
                }
                Err(_) => {}
            }
        }
    }

    fn take(&self, report: Report) -> Option<Event> {
        let mut jobs = self.worker.jobs();
        match report {
            Report::Ready(_) | Report::LoadFailed(_) => None,
            Report::Progress { job } => jobs.get_mut(&job).and_then(Job::advance),
            Report::Done { job, cost } => {
                let job = jobs.remove(&job)?;
                if let Sink::Proof(proof) = job.sink {
                    // Nobody waits any more if the node is stopping.
                    let _ = proof.done.send(Ok(proof.pieces));
                    return None;
                }
                job.task.map(|task| Event::Done { task, cost })
            }
            Report::Failed { job, fault } => {
                let failure = match fault {
                    JobFault::Input(fault) => Failure::BadInput(fault),
                    JobFault::Engine(text) => Failure::Engine(text),
                };
                let job = jobs.remove(&job)?;
                if let Sink::Proof(proof) = job.sink {
                    let _ = proof.done.send(Err(failure_text(&failure)));
                    return None;
                }
                job.task.map(|task| Event::Failed { task, failure })
            }
            Report::Piece { job: id, bytes } => {
                let job = jobs.get_mut(&id)?;
                let beat = job.advance();
                let failure = match job.deliver(bytes) {
                    Delivery::Delivered | Delivery::ClientGone => return beat,
                    Delivery::Old => Failure::Engine("another copy answered first".into()),
                    Delivery::Full => Failure::Engine("the client reads too slowly".into()),
                    Delivery::Gap => Failure::Engine("the engine skipped or repeated a token".into()),
                };
                let task = job.task;
                jobs.remove(&id);
                drop(jobs);
                let _ = self.worker.pipe.send(encode_command(&Command::Cancel { job: id }));
                task.map(|task| Event::Failed { task, failure })
            }
        }
    }
}

fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::BadInput(fault) => fault.to_string(),
        Failure::Engine(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

impl Job {
    /// Counts a step; the mind hears of it four times a second.
    fn advance(&mut self) -> Option<Event> {
        self.progress += 1;
        if let Sink::Peer(ask) = &self.sink {
            ask.progress.store(self.progress, Ordering::Relaxed);
        }
        if self.beat.elapsed() < BEAT {
            return None;
        }
        self.beat = Instant::now();
        self.task.map(|task| Event::Beat { task, progress: self.progress })
    }

    fn deliver(&mut self, bytes: Vec<u8>) -> Delivery {
        match &mut self.sink {
            Sink::Client(session) => match (Piece::decode(&bytes), self.task) {
                (Ok(piece), Some(task)) => session.deliver(task.attempt, piece),
                (Ok(_) | Err(_), _) => Delivery::Gap,
            },
            Sink::Proof(proof) => match Piece::decode(&bytes) {
                Ok(piece) => {
                    proof.pieces.push(piece);
                    Delivery::Delivered
                }
                Err(_) => Delivery::Gap,
            },
            Sink::Peer(ask) => match ask.frames.try_send(Frame::Piece(bytes)) {
                Ok(()) => Delivery::Delivered,
                Err(mpsc::error::TrySendError::Full(_)) => Delivery::Full,
                Err(mpsc::error::TrySendError::Closed(_)) => Delivery::ClientGone,
            },
        }
    }
}
