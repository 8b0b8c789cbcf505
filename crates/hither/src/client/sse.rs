//! Server-sent events as they arrive: data and comments, each when its line is complete.

use std::collections::VecDeque;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::task::JoinSet;

use crate::output::{Exit, Trouble};

/// A line longer than this is no event of ours: a whole view has a few hundred kilobytes.
const LINE_BYTES_MAX: usize = 16 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SseEvent {
    /// The data, with the name of the event; empty if it has none.
    Data {
        /// The name.
        name: String,
        /// The data; several lines are joined.
        text: String,
    },
    /// A comment, without its colon.
    Comment(String),
}

/// Turns bytes into events.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    ready: VecDeque<SseEvent>,
}

impl Splitter {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.line_done(&String::from_utf8_lossy(&line));
            } else {
                self.line.push(*byte);
            }
        }
    }

    /// The next complete event.
    pub(crate) fn pop(&mut self) -> Option<SseEvent> {
        self.ready.pop_front()
    }

    fn line_done(&mut self, line: &str) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            if let Some(text) = self.data.take() {
                self.ready.push_back(SseEvent::Data { name, text });
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.ready.push_back(SseEvent::Comment(value.to_owned())),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.name),
            // `id` and `retry` are for clients that reconnect.
            _ => {}
        }
    }
}

/// The events of one answer.
pub(crate) struct Events {
    body: Incoming,
    splitter: Splitter,
    _driver: JoinSet<()>,
}

impl Events {
    /// Reads from a body; the driver of its connection lives as long.
    pub(super) fn new(body: Incoming, driver: JoinSet<()>) -> Self {
        Self { body, splitter: Splitter::default(), _driver: driver }
    }

    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>, Trouble> {
        loop {
            if let Some(event) = self.splitter.pop() {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(broken(&error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.splitter.push(bytes);
                    }
                    if self.splitter.line.len() > LINE_BYTES_MAX {
                        return Err(broken("a line of it has no end"));
                    }
                }
            }
        }
    }

    /// The rest of the body as bytes, for an answer that turned out to be a refusal.
    pub(super) async fn rest(mut self) -> Result<Vec<u8>, Trouble> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| broken(&error.to_string()))?;
            bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            if bytes.len() > LINE_BYTES_MAX {
                return Err(broken("it has no end"));
            }
        }
        Ok(bytes)
    }
}

fn broken(what: &str) -> Trouble {
    Trouble::new("E0705", format!("the answer broke off: {what}")).help("hither status").exit(Exit::Unreachable)
}
