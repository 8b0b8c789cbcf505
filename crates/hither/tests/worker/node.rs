//! A node's end of a worker: the program itself in a process of its own, behind a real socket.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use hither_engine::engine::{JobFault, JobId, Loaded};
use hither_engine::protocol::{Command, FrameReader, Report, decode_report, encode_command};
use hither_engine::work::{Piece, Work};
use hither_types::request::Cost;

/// Nothing here takes that long; a test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What a worker here may take, in bytes: ten times what the largest model of these tests needs.
pub(crate) const MEMORY: &str = "4000000000";

pub(crate) struct Node {
    pub(crate) socket: UnixStream,
    pub(crate) reader: FrameReader,
    pub(crate) child: Child,
}

impl Node {
    /// Starts a worker with its socket as standard input.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, Stdio::inherit())
    }

    /// Starts a worker of which nobody wants to read what goes wrong.
    pub(crate) fn quiet(arguments: &[&str]) -> Self {
        Self::start_with(arguments, Stdio::null())
    }

    fn start_with(arguments: &[&str], errors: Stdio) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Process::new(env!("CARGO_BIN_EXE_hither"));
        command
            .args(["worker", "--fd", "0", "--memory-bytes", MEMORY])
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stderr(errors);
        let child = command.spawn().unwrap();
        Self { socket, reader: FrameReader::default(), child }
    }

    pub(crate) fn ready(&mut self) -> Loaded {
        match self.report() {
            Some(Report::Ready(loaded)) => loaded,
            other => panic!("{other:?}"),
        }
    }

    /// The next report; `None` at the end.
    pub(crate) fn report(&mut self) -> Option<Report> {
        let mut chunk = [0; 1 << 16];
        loop {
            if let Some(body) = self.reader.next_frame().unwrap() {
                return Some(decode_report(body).unwrap());
            }
            match self.socket.read(&mut chunk).unwrap() {
                0 => return None,
                length => self.reader.feed(&chunk[..length]),
            }
        }
    }

    pub(crate) fn run(&mut self, job: u64, work: &Work, resume: &[u32]) {
        let command = Command::Run { job: JobId(job), payload: work.encode(), resume: resume.to_vec() };
        self.socket.write_all(&encode_command(&command)).unwrap();
    }

    /// The pieces and the end of a job that is alone.
    pub(crate) fn answer(&mut self) -> (Vec<Piece>, Result<Cost, JobFault>) {
        let mut pieces = Vec::new();
        loop {
            match self.report() {
                Some(Report::Piece { bytes, .. }) => pieces.push(Piece::decode(&bytes).unwrap()),
                Some(Report::Progress { .. }) => {}
                Some(Report::Done { cost, .. }) => return (pieces, Ok(cost)),
                Some(Report::Failed { fault, .. }) => return (pieces, Err(fault)),
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Its own child; gone already in most tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of the cache that `scripts/fetch-models` fills.
pub(crate) fn cached(path: &str) -> Option<String> {
    let file = Path::new(&std::env::var_os("HOME")?).join(".cache/hither").join(path);
    if !file.exists() {
        assert!(std::env::var_os("HITHER_NEEDS_MODELS").is_none(), "{} is not there", file.display());
        eprintln!("skipped: {} is not there; run scripts/fetch-models", file.display());
        return None;
    }
    file.to_str().map(str::to_owned)
}

pub(crate) fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models").join(name)
}
