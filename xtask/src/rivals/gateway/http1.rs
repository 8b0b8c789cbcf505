//! A client of HTTP/1.1 as plain as can be: one connection, one request at a time, and the moment at which each piece of
//! an answer came.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Headers of an answer.
const HEADERS_MAX: usize = 64;

/// A connection.
pub(super) struct Client {
    stream: TcpStream,
    /// What came and was not looked at yet.
    bytes: Vec<u8>,
}

/// The head of an answer, and its body if it is short.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// As on the first line.
    pub(super) status: u16,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    /// All of it.
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// How the end of a body is known.
enum Body {
    Length(usize),
    Chunks,
    Close,
}

/// The bytes of a request.
pub(super) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    [text.as_bytes(), body].concat()
}

/// The bytes of a request with a body of JSON.
pub(super) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    request("POST", path, &[("content-type", "application/json")], body)
}

/// Asks once on a connection of its own.
///
/// # Errors
/// What broke.
pub(super) fn ask(address: SocketAddr, request: &[u8], patience: Duration) -> Result<Answer, String> {
    Client::connect(address, patience)?.ask(request)
}

impl Client {
    /// A connection that waits no longer than this for anything.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(super) fn connect(address: SocketAddr, patience: Duration) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{address}: {error}");
        let stream = TcpStream::connect_timeout(&address, patience).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(patience)).map_err(failed)?;
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        Ok(Self { stream, bytes: Vec::new() })
    }

    /// Gives back the memory that reading took.
    pub(super) fn forget(&mut self) {
        self.bytes.shrink_to_fit();
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// What broke, or that it took too long.
    pub(super) fn ask(&mut self, request: &[u8]) -> Result<Answer, String> {
        self.listen(request, &mut |_, _| {})
    }

    /// Sends a request and tells of each piece of the answer's body when it came.
    ///
    /// # Errors
    /// What broke, or that it took too long.
    pub(super) fn listen(&mut self, request: &[u8], heard: &mut dyn FnMut(Instant, &[u8])) -> Result<Answer, String> {
        self.stream.write_all(request).map_err(|error| format!("a request was not taken: {error}"))?;
        let mut now;
        let (mut answer, kind) = loop {
            now = self.read()?;
            if let Some((length, answer, kind)) = head(&self.bytes)? {
                self.bytes.drain(..length);
                break (answer, kind);
            }
        };
        loop {
            let is_over = match kind {
                Body::Length(length) => {
                    let taken = self.bytes.len().min(length - answer.body.len());
                    self.take(0, taken, 0, &mut answer, now, heard);
                    answer.body.len() == length
                }
                Body::Close => {
                    self.take(0, self.bytes.len(), 0, &mut answer, now, heard);
                    false
                }
                Body::Chunks => self.chunks(&mut answer, now, heard)?,
            };
            if is_over {
                return Ok(answer);
            }
            now = match self.read() {
                Err(_) if matches!(kind, Body::Close) => return Ok(answer),
                read => read?,
            };
        }
    }

    /// All whole chunks that are there. Returns whether the last was among them.
    fn chunks(
        &mut self,
        answer: &mut Answer,
        now: Instant,
        heard: &mut dyn FnMut(Instant, &[u8]),
    ) -> Result<bool, String> {
        loop {
            let parsed = httparse::parse_chunk_size(&self.bytes).map_err(|_| "a chunk without a size".to_owned())?;
            let httparse::Status::Complete((begin, size)) = parsed else { return Ok(false) };
            let size = usize::try_from(size).map_err(|error| error.to_string())?;
            if self.bytes.len() < begin + size + 2 {
                return Ok(false);
            }
            self.take(begin, size, 2, answer, now, heard);
            if size == 0 {
                return Ok(true);
            }
        }
    }

    /// Moves a piece of the body out of what came.
    fn take(
        &mut self,
        begin: usize,
        size: usize,
        behind: usize,
        answer: &mut Answer,
        now: Instant,
        heard: &mut dyn FnMut(Instant, &[u8]),
    ) {
        let piece = &self.bytes[begin..begin + size];
        if size > 0 {
            heard(now, piece);
        }
        answer.body.extend_from_slice(piece);
        self.bytes.drain(..begin + size + behind);
    }

    fn read(&mut self) -> Result<Instant, String> {
        let before = self.bytes.len();
        self.bytes.resize(before + READ_BYTES, 0);
        let read = self.stream.read(&mut self.bytes[before..]);
        let now = Instant::now();
        self.bytes.truncate(before + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Err("the connection was closed before the answer was whole".to_owned()),
            Ok(_) => Ok(now),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }
}

/// The length of a head, what it says, and how its body ends. `None` if it is not whole.
fn head(bytes: &[u8]) -> Result<Option<(usize, Answer, Body)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| format!("an answer that is no HTTP: {error}"))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let answer = Answer {
        status: response.code.unwrap_or(0),
        headers: response.headers.iter().map(|each| (each.name.to_ascii_lowercase(), text(each.value))).collect(),
        body: Vec::new(),
    };
    let is_chunked = answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let kind = match answer.header("content-length").map(str::parse) {
        _ if is_chunked => Body::Chunks,
        Some(Ok(length)) => Body::Length(length),
        Some(Err(error)) => return Err(format!("an answer of no length: {error}")),
        None => Body::Close,
    };
    Ok(Some((length, answer, kind)))
}
