//! A client in the namespace of the node that it calls: whole answers, and streams that are heard word by word.
//!
//! It speaks HTTP/1.0, in which the end of an answer is the end of the connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::net::{enter, within};

/// A client waits no longer than this for the next byte; every row has a bound of its own below it.
const PATIENCE: Duration = Duration::from_secs(90);

/// An answer that came whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Value,
    /// From the first byte of the request to the last of the answer.
    pub(super) took: Duration,
}

impl Answer {
    /// A header, empty if absent.
    pub(super) fn header(&self, name: &str) -> &str {
        header(&self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find(|line| line.split(':').next().is_some_and(|key| key.eq_ignore_ascii_case(name)));
    line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// Who is called: a namespace, and an address in it.
#[derive(Debug, Clone)]
pub(super) struct Api {
    pub(super) space: String,
    pub(super) address: String,
}

fn send(address: &str, method: &str, path: &str, headers: &str, body: &str) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    )?;
    Ok(BufReader::new(stream))
}

fn read_head(reader: &mut impl BufRead) -> std::io::Result<(u16, String)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head += &line;
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.map(|status| (status, head)).ok_or_else(|| std::io::Error::other("the connection ended before an answer"))
}

impl Api {
    /// Asks and waits for the whole answer.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &str, body: &Value) -> Result<Answer, String> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let ask = || -> std::io::Result<Answer> {
            let began = Instant::now();
            let mut reader = send(&self.address, method, path, headers, &text)?;
            let (status, head) = read_head(&mut reader)?;
            let mut body = String::new();
            reader.read_to_string(&mut body)?;
            let body = serde_json::from_str(&body).unwrap_or(Value::String(body));
            Ok(Answer { status, head, body, took: began.elapsed() })
        };
        within(&self.space, ask)?.map_err(|error| format!("{method} {path}: {error}"))
    }

    /// What a path shows.
    pub(super) fn get(&self, path: &str) -> Result<Answer, String> {
        self.ask("GET", path, "", &Value::Null)
    }

    /// Begins a streamed answer.
    pub(super) fn stream(&self, body: &Value) -> Stream {
        let (sender, said) = channel();
        let (api, mut body) = (self.clone(), body.clone());
        body["stream"] = true.into();
        std::thread::spawn(move || {
            let heard = enter(&api.space).and_then(|()| hear(&api.address, &body.to_string(), &sender));
            if let Err(error) = heard {
                let _ = sender.send((Instant::now(), Said::Broke(error)));
            }
        });
        Stream { said, heard: Heard::default(), began: Instant::now() }
    }
}

enum Said {
    Head(u16),
    Word(String),
    Fault(Value),
    Told(Value),
    Done,
    Broke(String),
}

fn hear(address: &str, body: &str, sender: &Sender<(Instant, Said)>) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut reader = send(address, "POST", "/v1/chat/completions", "", body).map_err(text)?;
    let (status, _) = read_head(&mut reader).map_err(text)?;
    let say = |said| sender.send((Instant::now(), said)).map_err(|_| "nobody listens".to_owned());
    say(Said::Head(status))?;
    let mut done = false;
    for line in reader.lines() {
        let line = line.map_err(text)?;
        let said = if line == "data: [DONE]" {
            done = true;
            Said::Done
        } else if let Some(told) = line.strip_prefix(": hither ") {
            Said::Told(serde_json::from_str(told).unwrap_or_default())
        } else if let Some(data) = line.strip_prefix("data: ").or(line.starts_with('{').then_some(&line)) {
            let data: Value = serde_json::from_str(data).unwrap_or_default();
            match data["choices"][0]["delta"]["content"].as_str() {
                Some(word) => Said::Word(word.to_owned()),
                None if !data["error"].is_null() => Said::Fault(data["error"].clone()),
                None => continue,
            }
        } else {
            continue;
        };
        say(said)?;
    }
    if done { Ok(()) } else { Err("the stream ended without [DONE]".to_owned()) }
}

/// What was heard of a stream.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) status: u16,
    /// Each word, and when it came since the request began.
    pub(super) words: Vec<(Duration, String)>,
    /// What the node says at the end.
    pub(super) told: Value,
    /// An error that was told in the stream.
    pub(super) fault: Value,
    pub(super) done: bool,
    /// Why the connection ended before its time.
    pub(super) broke: Option<String>,
    pub(super) ended: Duration,
}

impl Heard {
    /// All words as one text.
    pub(super) fn text(&self) -> String {
        self.words.iter().map(|(_, word)| word.as_str()).collect()
    }

    /// The longest pause between two words, and before which word it was.
    pub(super) fn pause(&self) -> (Duration, usize) {
        let pauses = self.words.windows(2).zip(1..).map(|(pair, number)| (pair[1].0 - pair[0].0, number));
        pauses.max().unwrap_or_default()
    }

    /// A number that the node told at the end.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.told[name].as_u64().unwrap_or(u64::MAX)
    }

    /// Whether the stream is whole: the words are those of the model, each once and in order, and it ended properly.
    pub(super) fn is_whole(&self, reference: &str) -> Result<(), String> {
        if self.done && self.broke.is_none() && self.text() == reference {
            return Ok(());
        }
        let (words, of) = (self.words.len(), reference.split_whitespace().count());
        let same = if reference.starts_with(&self.text()) { "right so far" } else { "WRONG words" };
        Err(format!(
            "{words} of {of} words, {same}; status {}, {} {}, {:?}",
            self.status, self.fault["code"], self.fault["message"], self.broke
        ))
    }
}

/// A streamed answer under way.
pub(super) struct Stream {
    said: Receiver<(Instant, Said)>,
    heard: Heard,
    began: Instant,
}

impl Stream {
    fn next(&mut self, bound: Duration) -> Result<bool, String> {
        let (at, said) = match self.said.recv_timeout(bound) {
            Ok(said) => said,
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("silent after {} words and {:?}", self.heard.words.len(), self.began.elapsed()));
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        };
        let at = at.saturating_duration_since(self.began);
        self.heard.ended = at;
        match said {
            Said::Head(status) => self.heard.status = status,
            Said::Word(word) => self.heard.words.push((at, word)),
            Said::Fault(fault) => self.heard.fault = fault,
            Said::Told(told) => self.heard.told = told,
            Said::Done => self.heard.done = true,
            Said::Broke(why) => self.heard.broke = Some(why),
        }
        Ok(true)
    }

    /// Waits until so many words were heard.
    pub(super) fn until(&mut self, words: usize) -> Result<(), String> {
        while self.heard.words.len() < words {
            if !self.next(PATIENCE)? {
                return Err(format!("ended before word {words}: {:?}", self.heard));
            }
        }
        Ok(())
    }

    /// How long it is since the request began.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// Hears the rest; `bound` is the longest silence.
    pub(super) fn rest(mut self, bound: Duration) -> Result<Heard, String> {
        while self.next(bound)? {}
        Ok(self.heard)
    }
}
