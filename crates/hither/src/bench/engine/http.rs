//! A server over HTTP: requests on connections that stay open, one for each stream.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::ask::{Ask, Until};
use super::sample::Sample;
use super::usage::Tree;
use crate::client::sse::{Splitter, SseEvent};
use crate::demo::failed;
use crate::output::{Exit, Trouble, chain, plain};

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Http {
    address: SocketAddr,
    path: String,
    model: String,
    tree: Option<Tree>,
}

/// One stream of a round.
struct Stream {
    http: Http,
    ask: Ask,
    sender: SendRequest<Full<Bytes>>,
    /// The number of its first request, and what lies between two.
    numbers: (u64, u64),
    alone: Option<Tree>,
}

impl Http {
    /// An address as people write it, with the processes behind it if they are known.
    pub(super) fn at(url: &str, model: &str, tree: Option<Tree>) -> Result<Self, Trouble> {
        let wrong = || {
            Trouble::new("E0912", format!("{url:?} is not an address of a server on this machine"))
                .help("--at http://127.0.0.1:8080/v1/completions")
                .exit(Exit::Usage)
        };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_once('/').ok_or_else(wrong)?;
        let address: SocketAddr = host.replacen("localhost", "127.0.0.1", 1).parse().map_err(|_| wrong())?;
        // A load for other machines is none of this program's business.
        if !address.ip().is_loopback() {
            return Err(wrong());
        }
        Ok(Self { address, path: format!("/{path}"), model: model.to_owned(), tree })
    }

    /// The processes behind it.
    pub(super) fn tree(&self) -> Option<Tree> {
        self.tree
    }

    /// Keeps so many requests under way until the end of the round.
    pub(super) async fn round(&self, ask: &Ask, streams: u16, until: Until, from: u64) -> Result<Vec<Sample>, Trouble> {
        let mut open = JoinSet::new();
        let mut drivers = JoinSet::new();
        let mut ready = Vec::new();
        for number in 0..u64::from(streams) {
            let stream = TcpStream::connect(self.address).await.map_err(|error| self.unreachable(&error))?;
            stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
            let (sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(&chain(&error)))?;
            // A broken connection reaches the stream through its request.
            drivers.spawn(async move { drop(connection.await) });
            let alone = self.tree.filter(|_| streams == 1 && matches!(ask, Ask::Text { .. }));
            let numbers = (from + number, u64::from(streams));
            ready.push(Stream { http: self.clone(), ask: ask.clone(), sender, numbers, alone });
        }
        for stream in ready {
            open.spawn(stream.run(until));
        }
        let mut samples = Vec::new();
        while let Some(ended) = open.join_next().await {
            samples.extend(ended.map_err(|error| failed(format!("a client ended early: {error}")))??);
        }
        Ok(samples)
    }

    fn unreachable(&self, error: &std::io::Error) -> Trouble {
        Trouble::new("E0701", format!("no server answers at {}: {error}", self.address)).exit(Exit::Unreachable)
    }

    fn broken(&self, what: &str) -> Trouble {
        Trouble::new("E0702", format!("the connection to {} failed: {what}", self.address)).exit(Exit::Unreachable)
    }
}

impl Stream {
    async fn run(mut self, until: Until) -> Result<Vec<Sample>, Trouble> {
        let (mut number, step) = self.numbers;
        let began = Instant::now();
        let mut samples = Vec::new();
        loop {
            let is_over = match until {
                Until::Over(span) => began.elapsed() >= span,
                Until::Each(count) => samples.len() as u64 >= u64::from(count),
            };
            if is_over {
                return Ok(samples);
            }
            let body = self.ask.body(&self.http.model, number);
            number += step;
            let cpu_us = self.alone.map(Tree::micros).transpose()?;
            let begun = Instant::now();
            let response = self.send(body).await?;
            samples.push(match self.ask {
                Ask::Tensors { .. } => {
                    let whole = response.into_body().collect().await;
                    whole.map_err(|error| self.http.broken(&chain(&error)))?;
                    Sample { latency: begun.elapsed(), ..Sample::default() }
                }
                Ask::Text { .. } => self.listen(response.into_body(), begun, cpu_us).await?,
            });
        }
    }

    async fn send(&mut self, body: Bytes) -> Result<Response<Incoming>, Trouble> {
        let request = Request::post(&self.http.path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| failed(format!("this cannot be sent: {error}")))?;
        self.sender.ready().await.map_err(|error| self.http.broken(&chain(&error)))?;
        let response = self.sender.send_request(request).await.map_err(|error| self.http.broken(&chain(&error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let said: String = String::from_utf8_lossy(&body).chars().take(400).collect();
        Err(failed(format!("{}{} answered {status}: {}", self.http.address, self.http.path, plain(&said))))
    }

    /// Reads a stream of text to its end.
    async fn listen(&self, mut body: Incoming, begun: Instant, cpu_us: Option<u64>) -> Result<Sample, Trouble> {
        let mut splitter = Splitter::default();
        let mut sample = Sample::default();
        let mut is_first = true;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.http.broken(&chain(&error)))?;
            splitter.push(frame.data_ref().map_or(&[][..], |bytes| &bytes[..]));
            while let Some(event) = splitter.pop() {
                let SseEvent::Data { text, .. } = event else { continue };
                // `[DONE]` is the end, and no JSON.
                let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
                if is_first && has_text(&value) {
                    is_first = false;
                    sample.first = begun.elapsed();
                    let now = self.alone.map(Tree::micros).transpose()?;
                    sample.first_cpu_us = now.zip(cpu_us).map(|(now, before)| now.saturating_sub(before));
                }
                let usage = |name: &str| value["usage"][name].as_u64().and_then(|count| u32::try_from(count).ok());
                if let (Some(prompt), Some(output)) = (usage("prompt_tokens"), usage("completion_tokens")) {
                    (sample.prompt_tokens, sample.output_tokens) = (prompt, output);
                }
            }
        }
        sample.latency = begun.elapsed();
        match sample.output_tokens {
            0 => Err(failed(format!("{} does not say how many tokens it gave", self.http.address))),
            _ => Ok(sample),
        }
    }
}

/// Whether an event carries text: of a completion or of a turn in a conversation.
fn has_text(event: &Value) -> bool {
    let choice = &event["choices"][0];
    [&choice["text"], &choice["delta"]["content"]].iter().any(|text| text.as_str().is_some_and(|text| !text.is_empty()))
}
