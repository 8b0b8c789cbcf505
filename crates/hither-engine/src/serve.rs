//! The life of a worker after its model is open: one thread that waits for commands when the engine is idle, and
//! looks for them between steps when it is not. A second thread would cost every answer two wake-ups.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use hither_types::refusal::InputFault;
use hither_types::unit::ByteCount;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::engine::{Engine, JobFault, JobId, Output};
use crate::limits::{BURST, READ_CHUNK};
use crate::protocol::{Command, FrameReader, FrameTooLong, Report, append_report, decode_command};
use crate::work::{DecodeError, Piece, Work};

#[cfg(test)]
mod tests;

/// Why a worker cannot go on. The node sees the socket close.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The socket broke.
    #[error("the socket to the node broke")]
    Socket(#[from] io::Error),
    /// The node sent a frame that cannot be.
    #[error("the node sent a frame that is too long")]
    Frame(#[from] FrameTooLong),
    /// The node sent something that is no command.
    #[error("the node sent a frame that is no command")]
    Command(#[source] DecodeError),
}

/// What to do after the commands that were there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

/// Serves until the node says stop or closes its end. The socket must be in blocking mode.
///
/// The caller has sent [`Report::Ready`] before.
pub fn serve(socket: UnixStream, engine: Box<dyn Engine>) -> Result<(), ServeError> {
    Worker { socket, engine, reader: FrameReader::default(), answers: BTreeMap::new(), out: Vec::new() }.run()
}

/// What a step left behind.
struct Stepped {
    /// Whether there is more to do.
    is_busy: bool,
    /// Whether it gave a part of a stream.
    is_stream: bool,
}

struct Worker {
    socket: UnixStream,
    engine: Box<dyn Engine>,
    reader: FrameReader,
    /// Bytes of answer so far, per job: the engine does not know the encoded size.
    answers: BTreeMap<JobId, u64>,
    out: Vec<u8>,
}

impl Worker {
    fn run(mut self) -> Result<(), ServeError> {
        let mut chunk = vec![0; READ_CHUNK];
        let mut is_busy = false;
        loop {
            if is_busy {
                self.rest();
            }
            let flags = if is_busy { RecvFlags::DONTWAIT } else { RecvFlags::empty() };
            match recv(&self.socket, &mut chunk[..], flags) {
                Ok((0, _)) => return Ok(()),
                Ok((length, _)) => {
                    self.reader.feed(&chunk[..length]);
                    let before = self.answers.len();
                    if self.obey()? == Next::End {
                        return Ok(());
                    }
                    is_busy |= self.answers.len() > before;
                    if length == chunk.len() {
                        // The rest of a long frame waits in the socket; fetch it before the next step.
                        continue;
                    }
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(ServeError::Socket(error.into())),
            }
            if is_busy {
                is_busy = self.burst();
            }
            if !self.out.is_empty() {
                self.socket.write_all(&self.out)?;
                self.out.clear();
            }
        }
    }

    /// Waits while the engine has nothing to do, or until a command comes.
    fn rest(&self) {
        let rest = self.engine.rest();
        if rest.is_zero() {
            return;
        }
        let mut readable = [PollFd::new(&self.socket, PollFlags::IN)];
        // A wait that was cut short or could not begin costs a step that does nothing.
        let _ = poll(&mut readable, Timespec::try_from(rest).ok().as_ref());
    }

    /// Carries out the commands that have arrived whole.
    fn obey(&mut self) -> Result<Next, ServeError> {
        while let Some(body) = self.reader.next_frame()? {
            match decode_command(body).map_err(ServeError::Command)? {
                Command::Run { job, payload, resume } => match Work::decode(&payload) {
                    Ok(work) => {
                        self.answers.insert(job, 0);
                        self.engine.admit(job, work, resume);
                    }
                    Err(error) => {
                        let fault = JobFault::Input(InputFault::Other(error.to_string()));
                        append_report(&mut self.out, &Report::Failed { job, fault });
                    }
                },
                Command::Cancel { job } => {
                    if self.answers.remove(&job).is_some() {
                        self.engine.cancel(job);
                    }
                }
                Command::Stop => return Ok(Next::End),
            }
        }
        Ok(Next::GoOn)
    }

    /// Steps for a moment: whole answers that take less than a message does go out together. A part of a stream goes
    /// at once: its client has it, whatever becomes of the next step.
    fn burst(&mut self) -> bool {
        let began = Instant::now();
        loop {
            let Stepped { is_busy, is_stream } = self.step();
            if !is_busy || is_stream || began.elapsed() >= BURST || !self.engine.rest().is_zero() {
                return is_busy;
            }
        }
    }

    fn step(&mut self) -> Stepped {
        let Self { engine, answers, out, .. } = self;
        let mut is_stream = false;
        let is_busy = engine.step(&mut |job, output| {
            is_stream |= !matches!(output, Output::Piece(Piece::Outputs(_)) | Output::Done(_) | Output::Failed(_));
            let report = match output {
                Output::Piece(piece) => {
                    let bytes = piece.encode();
                    *answers.entry(job).or_default() += bytes.len() as u64;
                    Report::Piece { job, bytes }
                }
                Output::Progress => Report::Progress { job },
                Output::Done(mut cost) => {
                    cost.answer = ByteCount(answers.remove(&job).unwrap_or_default());
                    Report::Done { job, cost }
                }
                Output::Failed(fault) => {
                    answers.remove(&job);
                    Report::Failed { job, fault }
                }
            };
            append_report(out, &report);
        });
        Stepped { is_busy, is_stream }
    }
}
