//! The worker protocol: frames over one inherited Unix socket between a node and a worker of the same binary.
//!
//! Each frame is a 32-bit little-endian length and a postcard body. Both ends are one build, so the form may change
//! from release to release.

use std::fmt;

use hither_types::request::Cost;

use crate::engine::{JobFault, JobId, Loaded};
use crate::limits::MAX_FRAME;
use crate::work::DecodeError;

mod form;
#[cfg(test)]
mod tests;

/// From the node to its worker.
#[derive(Clone, PartialEq)]
pub enum Command {
    /// Do a job.
    Run {
        /// The node's number for it, never used twice in one worker.
        job: JobId,
        /// An encoded [`Work`](crate::work::Work).
        payload: Vec<u8>,
        /// The token ids already delivered, for a stream that goes on.
        resume: Vec<u32>,
    },
    /// Forget a job. No report follows for it, except those already under way.
    Cancel {
        /// Which.
        job: JobId,
    },
    /// End now.
    Stop,
}

/// From a worker to its node.
#[derive(Clone, PartialEq)]
pub enum Report {
    /// The model is open.
    Ready(Loaded),
    /// The model cannot be opened, in one sentence. The worker ends.
    LoadFailed(String),
    /// A part of an answer.
    Piece {
        /// Whose.
        job: JobId,
        /// An encoded [`Piece`](crate::work::Piece).
        bytes: Vec<u8>,
    },
    /// The engine advanced without a piece.
    Progress {
        /// For whom.
        job: JobId,
    },
    /// A job is over, and answered.
    Done {
        /// Which.
        job: JobId,
        /// What it took.
        cost: Cost,
    },
    /// A job is over without an answer.
    Failed {
        /// Which.
        job: JobId,
        /// Why.
        fault: JobFault,
    },
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { job, payload, resume } => {
                write!(f, "Run({}, {} bytes, resumes at {})", job.0, payload.len(), resume.len())
            }
            Self::Cancel { job } => write!(f, "Cancel({})", job.0),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(loaded) => write!(f, "Ready({loaded:?})"),
            Self::LoadFailed(why) => write!(f, "LoadFailed({why:?})"),
            Self::Piece { job, bytes } => write!(f, "Piece({}, {} bytes)", job.0, bytes.len()),
            Self::Progress { job } => write!(f, "Progress({})", job.0),
            Self::Done { job, cost } => write!(f, "Done({}, {cost:?})", job.0),
            Self::Failed { job, fault } => write!(f, "Failed({}, {fault:?})", job.0),
        }
    }
}

/// Writes a command as one frame, length included.
pub fn encode_command(command: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    form::append_command(&mut out, command);
    out
}

/// Reads the body of a frame (without its length) as a command.
pub fn decode_command(body: &[u8]) -> Result<Command, DecodeError> {
    form::read_command(body)
}

/// Writes a report as one frame, length included.
pub fn encode_report(report: &Report) -> Vec<u8> {
    let mut out = Vec::new();
    append_report(&mut out, report);
    out
}

/// Appends a report as one frame: several reports go out in one write.
pub fn append_report(out: &mut Vec<u8>, report: &Report) {
    form::append_report(out, report);
}

/// Reads the body of a frame (without its length) as a report.
pub fn decode_report(body: &[u8]) -> Result<Report, DecodeError> {
    form::read_report(body)
}

/// A frame longer than anyone may send: the other end is broken, and the connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame says that it has {found} bytes, and {limit} are allowed")]
pub struct FrameTooLong {
    /// What its length says.
    pub found: u64,
    /// What is allowed.
    pub limit: usize,
}

/// Cuts a stream of bytes into frames, however the bytes arrive.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    /// Bytes at the front that were given out already.
    taken: usize,
    limit: usize,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl FrameReader {
    /// A reader that refuses frames with a body over `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), taken: 0, limit }
    }

    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The body of the next whole frame, if it is here. Call until it gives `None`, then feed more.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLong> {
        let rest = &self.buffer[self.taken..];
        let Some((head, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*head) as usize;
        if length > self.limit {
            return Err(FrameTooLong { found: length as u64, limit: self.limit });
        }
        if rest.len() < length {
            // At once, not by doubling: each doubling would copy what is here.
            let missing = length - rest.len();
            self.buffer.reserve(missing);
            return Ok(None);
        }
        let start = self.taken + 4;
        self.taken = start + length;
        Ok(Some(&self.buffer[start..self.taken]))
    }
}
