//! A client of the router without a socket, for tests.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use hither_types::refusal::Refusal;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request};
use tokio::sync::watch;
use tower::ServiceExt;

use crate::callers::Peer;
use crate::door::{Answer, Submission};
use crate::routes::{Listener, normalize, router};
use crate::tests::fake::FakeDoor;

/// A router, and the door behind it.
pub(crate) struct Lab {
    pub(crate) door: Arc<FakeDoor>,
    pub(crate) stop: watch::Sender<bool>,
    router: Router,
}

/// What came back.
pub(crate) struct Came {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Came {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("-", |value| value.to_str().unwrap())
    }
}

impl Lab {
    pub(crate) fn new(script: impl Fn(&Submission) -> Result<Vec<Answer>, Refusal> + Send + Sync + 'static) -> Self {
        Self::behind(FakeDoor::new(script), Listener::Tcp)
    }

    pub(crate) fn behind(door: FakeDoor, listener: Listener) -> Self {
        let door = Arc::new(door);
        let stop = watch::Sender::new(false);
        let router = router(Arc::clone(&door) as _, listener, stop.subscribe());
        Self { door, stop, router }
    }

    /// Another way in to the same door.
    pub(crate) fn beside(&self, listener: Listener) -> Self {
        let router = router(Arc::clone(&self.door) as _, listener, self.stop.subscribe());
        Self { door: Arc::clone(&self.door), stop: self.stop.clone(), router }
    }

    /// What is served, for clients that bring their own way of calling it.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    pub(crate) async fn open(&self, head: &str, body: impl Into<Body>) -> axum::response::Response {
        let mut lines = head.lines().map(str::trim).filter(|line| !line.is_empty());
        let (method, path) = lines.next().unwrap().split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        let mut host = "127.0.0.1:7701";
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            match name {
                "host" => host = value.trim(),
                // Not a header: who is at the other end of the Unix socket.
                "peer-uid" => request = request.extension(Peer::with_uid(value.trim().parse().unwrap())),
                _ => request = request.header(name, value.trim()),
            }
        }
        let request = request.header("host", host).body(body.into()).unwrap();
        self.router.clone().oneshot(normalize(request)).await.unwrap()
    }

    /// Sends a request: `METHOD path`, then headers, a line each.
    pub(crate) async fn send(&self, head: &str, body: impl Into<Body>) -> Came {
        let response = self.open(head, body).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Came { status: parts.status.as_u16(), headers: parts.headers, bytes }
    }
}
