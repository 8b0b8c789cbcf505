//! A client that costs almost nothing, so that what it measures is the node: one kept connection, no delay, no parsing
//! inside the measured time, and no sleep while the answer is due, because to be woken is no work of the node.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A head or body longer than this is not an answer to one row.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A node that is silent for this long is broken.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// An answer that takes longer than this is waited for asleep: the core is better used by the node.
const POLL_MAX: Duration = Duration::from_millis(1);

/// One kept connection.
pub(super) struct Lean {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer.
pub(super) struct LeanAnswer<'a> {
    /// From the first byte sent to the last byte received.
    pub(super) took: Duration,
    /// The HTTP status.
    pub(super) status: u16,
    /// The head, as text.
    head: &'a str,
    /// The body.
    pub(super) body: &'a [u8],
}

impl Lean {
    /// Connects.
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    /// Sends a request and reads its answer.
    pub(super) fn call(&mut self, request: &[u8]) -> Result<LeanAnswer<'_>> {
        self.buffer.clear();
        self.stream.set_nonblocking(false)?;
        let began = Instant::now();
        self.stream.write_all(request)?;
        let (head_end, length) = loop {
            self.read_more()?;
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end])?);
            }
        };
        while self.buffer.len() < head_end + length {
            self.read_more()?;
        }
        let took = began.elapsed();
        let (head, body) = self.buffer.split_at(head_end);
        let head = std::str::from_utf8(head).map_err(|_| wrong("the head is not text"))?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| wrong("no status"))?;
        Ok(LeanAnswer { took, status, head, body })
    }

    fn read_more(&mut self) -> Result<()> {
        if self.buffer.len() > ANSWER_BYTES_MAX {
            return Err(wrong("the answer has no end"));
        }
        let at = self.buffer.len();
        self.buffer.resize(at + (8 << 10), 0);
        let count = self.poll(at);
        self.buffer.truncate(at + count.as_ref().copied().unwrap_or(0));
        match count {
            Ok(0) => Err(wrong("the node closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Lean {
    /// Reads what is there, looking again and again for a while before it goes to sleep.
    fn poll(&mut self, at: usize) -> Result<usize> {
        let until = Instant::now() + POLL_MAX;
        self.stream.set_nonblocking(true)?;
        while Instant::now() < until {
            match self.stream.read(&mut self.buffer[at..]) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                other => return other,
            }
        }
        self.stream.set_nonblocking(false)?;
        self.stream.read(&mut self.buffer[at..])
    }
}

impl LeanAnswer<'_> {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The duration that `Server-Timing` gives for a metric.
    pub(super) fn timing(&self, metric: &str) -> Option<Duration> {
        timing(self.header("server-timing")?, metric)
    }
}

/// Reads `name;dur=1.25` (milliseconds) from a `Server-Timing` value.
pub(super) fn timing(value: &str, metric: &str) -> Option<Duration> {
    let entry = value.split(',').map(str::trim).find(|entry| entry.split(';').next() == Some(metric))?;
    let millis: f64 = entry.split(';').find_map(|part| part.trim().strip_prefix("dur="))?.parse().ok()?;
    (millis.is_finite() && millis >= 0.0).then(|| Duration::from_secs_f64(millis / 1000.0))
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head).map_err(|_| wrong("the head is not text"))?;
    head.lines()
        .find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        })
        .ok_or_else(|| wrong("the answer has no length"))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn wrong(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests;
