//! HTTP to a node: over its Unix socket for operators, over TCP as any application would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use hither_api::errors::Nearest;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::output::{Exit, Trouble, chain, plain};

pub(crate) mod sse;

use sse::Events;

/// An answer that is read whole is at most this long: a view of a large mesh has a few hundred kilobytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A node that accepts a connection and then says nothing for this long will not say anything.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// The same for one that reads a model of many gigabytes from a slow disk before it answers.
const LONG_SILENCE_MAX: Duration = Duration::from_secs(4 * 3600);

/// Where a node listens.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// The operator's socket in a data directory.
    Socket(PathBuf),
    /// The interface for applications.
    Tcp(SocketAddr),
}

/// A way to one node. Each call opens its own connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    target: Target,
    silence: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// An answer whose body arrives bit by bit.
pub(crate) struct Stream {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The events of the body.
    pub(crate) events: Events,
}

impl Client {
    /// The node of a data directory.
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self::by_socket(&data_dir.join("api.sock"))
    }

    /// The node that listens on an operator's socket.
    pub(crate) fn by_socket(path: &Path) -> Self {
        Self { target: Target::Socket(path.to_owned()), silence: SILENCE_MAX }
    }

    /// A node by its address.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { target: Target::Tcp(address), silence: SILENCE_MAX }
    }

    /// The same node, for a question whose answer takes long.
    #[must_use]
    pub(crate) fn patient(self) -> Self {
        Self { silence: LONG_SILENCE_MAX, ..self }
    }

    /// Asks and reads the whole answer, whatever its status.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Trouble> {
        let answer = self.send(method, path, headers, body.map(of_json)).await?;
        self.whole(answer).await
    }

    /// Sends bytes of a type, and reads the whole answer, whatever its status.
    pub(crate) async fn send_bytes(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        kind: &str,
        bytes: Bytes,
    ) -> Result<Answer, Trouble> {
        let answer = self.send(method, path, headers, Some((kind, bytes))).await?;
        self.whole(answer).await
    }

    async fn whole(&self, (response, _driver): (Response<Incoming>, JoinSet<()>)) -> Result<Answer, Trouble> {
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(self.silence, Limited::new(body, ANSWER_BYTES_MAX).collect())
            .await
            .map_err(|_| self.broken("it does not finish its answer"))?
            .map_err(|error| self.broken(&error.to_string()))?
            .to_bytes();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// Asks, and reads the answer as one JSON value if it is a yes.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.call(Method::GET, path, &[], None).await?.into_result()?.parse()
    }

    /// Sends one JSON value, and reads the answer as one if it is a yes.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Trouble> {
        self.call(Method::POST, path, &[], Some(body)).await?.into_result()?.parse()
    }

    /// Has something removed, and reads the answer as one JSON value if it is a yes.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.call(Method::DELETE, path, &[], None).await?.into_result()?.parse()
    }

    /// Asks, and hands the answer over while it arrives.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Stream, Trouble> {
        let (response, driver) = self.send(method, path, headers, body.map(of_json)).await?;
        let (parts, body) = response.into_parts();
        Ok(Stream { status: parts.status.as_u16(), headers: parts.headers, events: Events::new(body, driver) })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<(&str, Bytes)>,
    ) -> Result<(Response<Incoming>, JoinSet<()>), Trouble> {
        let (mut sender, driver) = match &self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| self.unreachable(&error))?;
                shake(stream).await
            }
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| self.unreachable(&error))?;
                stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
                shake(stream).await
            }
        }
        .map_err(|error| self.broken(&chain(&error)))?;
        let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = match body {
            Some((kind, bytes)) => {
                request = request.header(CONTENT_TYPE, kind);
                bytes
            }
            None => Bytes::new(),
        };
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Trouble::new("E0703", format!("this cannot be sent: {error}")).exit(Exit::Usage))?;
        let response = tokio::time::timeout(self.silence, sender.send_request(request))
            .await
            .map_err(|_| self.broken("it does not answer"))?
            .map_err(|error| self.broken(&chain(&error)))?;
        Ok((response, driver))
    }

    fn unreachable(&self, error: &std::io::Error) -> Trouble {
        let trouble = match &self.target {
            Target::Socket(path) => {
                let dir = path.parent().unwrap_or(path).display().to_string();
                Trouble::new("E0701", format!("no node runs on {dir}"))
                    .note(format!("{}: {error}", path.display()))
                    .help(format!("hither up --data {dir}"))
            }
            Target::Tcp(address) => Trouble::new("E0701", format!("no node answers at {address}: {error}")),
        };
        trouble.exit(Exit::Unreachable)
    }

    fn broken(&self, what: &str) -> Trouble {
        let node = match &self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Tcp(address) => address.to_string(),
        };
        Trouble::new("E0702", format!("the node at {node} was reached, and the connection failed: {what}"))
            .help("hither status")
            .exit(Exit::Unreachable)
    }
}

/// One JSON value as what is sent.
fn of_json(value: &Value) -> (&'static str, Bytes) {
    ("application/json", value.to_string().into())
}

async fn shake<S>(stream: S) -> Result<(http1::SendRequest<Full<Bytes>>, JoinSet<()>), hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // The set is the task's owner: dropping it ends the connection.
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        // A broken connection reaches the caller through the request or its body.
        let _ = connection.await;
    });
    Ok((sender, driver))
}

impl Answer {
    /// The answer if it is a yes, the trouble if it is a no.
    pub(crate) fn into_result(self) -> Result<Self, Trouble> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.trouble()) }
    }

    /// Reads the body as JSON.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Trouble::new("E0704", format!("the node's answer is not what this version of the program expects: {error}"))
                .note("the node and this program may be of different versions")
                .help("hither --version")
        })
    }

    /// The body as JSON, `null` if it is none.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the node said, as trouble.
    pub(crate) fn trouble(&self) -> Trouble {
        trouble_of(self.status, &self.body)
    }
}

impl Stream {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Reads the rest of a refusal.
    pub(crate) async fn trouble(self) -> Trouble {
        match self.events.rest().await {
            Ok(body) => trouble_of(self.status, &body),
            Err(trouble) => trouble,
        }
    }
}

/// Turns a refusal of a node into trouble: RFC 9457, the error object of OpenAI or of the inference protocol.
pub(crate) fn trouble_of(status: u16, body: &[u8]) -> Trouble {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let inner = if value["error"].is_object() { &value["error"] } else { &value };
    let text = |name: &str| inner[name].as_str().or_else(|| value[name].as_str()).map(plain);
    let message = text("detail")
        .or_else(|| text("message"))
        .or_else(|| text("title"))
        .or_else(|| value["error"].as_str().map(plain))
        .unwrap_or_else(|| format!("the node answered with HTTP status {status}"));
    let code = text("hither_code")
        .or_else(|| text("code"))
        .filter(|code| code.starts_with('E'))
        .unwrap_or_else(|| format!("HTTP {status}"));
    let mut trouble = Trouble::new(&code, message).exit(exit_of(status, &code));
    if let Some(rule) = text("rule") {
        trouble = trouble.note(format!("rule: {rule}"));
    }
    let field = |name: &str| if inner[name].is_null() { &value[name] } else { &inner[name] };
    for nearest in field("nearest").as_array().into_iter().flatten().filter_map(readable) {
        trouble = trouble.note(nearest);
    }
    match field("help") {
        Value::String(help) => trouble.help(plain(help)),
        Value::Array(helps) => helps.iter().filter_map(Value::as_str).fold(trouble, |t, help| t.help(plain(help))),
        _ => trouble,
    }
}

/// A place that the law left out, as one line.
fn readable(nearest: &Value) -> Option<String> {
    let nearest: Nearest = serde_json::from_value(nearest.clone()).ok()?;
    let mut text = format!("{}: ", nearest.jurisdiction.as_deref().unwrap_or("the place itself"));
    match &nearest.forbidden_by {
        Some(rule) => text.push_str(&format!("forbidden by {rule}")),
        None => text.push_str("no permit matched"),
    }
    if let Some(rule) = &nearest.rule {
        text.push_str(&format!("; nearest permit {rule}"));
    }
    if !nearest.failed.is_empty() {
        text.push_str(&format!(", failed: {}", nearest.failed.join("; ")));
    }
    Some(plain(&text))
}

fn exit_of(status: u16, code: &str) -> Exit {
    match (status, code) {
        (451, _) => Exit::Refused,
        // Too much at the moment, in the form of either protocol; no power at the site: a budget leaves no room.
        (429 | 507, _) | (503, "E0501" | "E0502") => Exit::OverBudget,
        (502..=504, _) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests;
