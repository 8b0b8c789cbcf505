//! A web server on loopback that answers as a test tells it to, and misbehaves where a proper one could not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What a client asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
}

impl Asked {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first byte that was asked for.
    pub(crate) fn from(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// How a body goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// To its end.
    Whole,
    /// The connection breaks after so many bytes.
    Breaks(usize),
    /// Nothing comes after so many bytes, and the connection stays.
    Hangs(usize),
    /// Without a length, and without an end.
    Endless,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    how: How,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), how: How::Whole }
    }

    pub(crate) fn to(status: u16, location: &str) -> Self {
        Self::new(status, "").with("location", location)
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn how(mut self, how: How) -> Self {
        self.how = how;
        self
    }

    /// A file as a proper server gives it: the part that was asked for, if it is still of the same version.
    pub(crate) fn file(asked: &Asked, bytes: &[u8], etag: &str) -> Self {
        let is_same = asked.header("if-range").is_none_or(|known| known == etag);
        let reply = match asked.from().filter(|_| is_same) {
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Self::new(206, &bytes[from..]).with("content-range", &range)
            }
            Some(_) => Self::new(416, ""),
            None => Self::new(200, bytes),
        };
        if etag.is_empty() { reply } else { reply.with("etag", etag) }
    }
}

type Handler = Box<dyn FnMut(&Asked) -> Reply + Send>;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(handler: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::begin(None, Box::new(handler)).await
    }

    pub(crate) async fn secure(tls: TlsAcceptor, handler: impl FnMut(&Asked) -> Reply + Send + 'static) -> Self {
        Self::begin(Some(tls), Box::new(handler)).await
    }

    async fn begin(tls: Option<TlsAcceptor>, handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (noted, handler) = (Arc::clone(&asked), Arc::new(Mutex::new(handler)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (noted, handler, tls) = (Arc::clone(&noted), Arc::clone(&handler), tls.clone());
                connections.spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                answer(stream, &noted, &handler).await;
                            }
                        }
                        None => answer(stream, &noted, &handler).await,
                    }
                });
            }
        });
        Self { address, scheme, asked, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, noted: &Mutex<Vec<Asked>>, handler: &Mutex<Handler>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let asked = read(&String::from_utf8(head).unwrap());
    noted.lock().unwrap().push(asked.clone());
    let reply = (handler.lock().unwrap())(&asked);
    let mut text = format!("HTTP/1.1 {} x\r\nconnection: close\r\n", reply.status);
    let has_length = reply.headers.iter().any(|(name, _)| name == "content-length");
    if !has_length && reply.how != How::Endless {
        text += &format!("content-length: {}\r\n", reply.body.len());
    }
    for (name, value) in &reply.headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    // A client that goes away meanwhile is part of some tests.
    let _ = stream.write_all(text.as_bytes()).await;
    if asked.method != "HEAD" {
        let _ = body(&mut stream, &reply).await;
    }
    let _ = stream.shutdown().await;
}

async fn body(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: &Reply) -> std::io::Result<()> {
    match reply.how {
        How::Whole => stream.write_all(&reply.body).await,
        How::Breaks(after) => stream.write_all(&reply.body[..after.min(reply.body.len())]).await,
        How::Hangs(after) => {
            stream.write_all(&reply.body[..after.min(reply.body.len())]).await?;
            stream.flush().await?;
            // Until the client goes.
            stream.read_u8().await.map(drop)
        }
        How::Endless => loop {
            stream.write_all(&reply.body).await?;
        },
    }
}

fn read(head: &str) -> Asked {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Asked { method, path, headers }
}
