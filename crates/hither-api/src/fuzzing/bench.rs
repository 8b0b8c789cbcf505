//! The router without a socket, on a clock that stands still unless everybody waits.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;

use super::jobs::Shelf;
use super::script::script;
use crate::callers::Peer;
use crate::routes::{Listener, normalize, router};
use crate::tests::fake::FakeDoor;

/// How long a part of an answer may take, on the clock that stands still: what takes longer comes only when something
/// else happens, and nothing does.
const SILENCE: Duration = Duration::from_millis(400);

/// Both ways in to one door.
pub(super) struct Bench {
    runtime: Runtime,
    pub(super) door: Arc<FakeDoor>,
    tcp: Router,
    unix: Router,
    _stop: watch::Sender<bool>,
}

/// What came back.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Vec<u8>,
    pub(super) trailers: HeaderMap,
    /// Whether it came to an end.
    pub(super) ended: bool,
}

impl Came {
    /// A header, or nothing.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

impl Bench {
    pub(super) fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime without a socket needs nothing of the system");
        let _inside = runtime.enter();
        let mut door = FakeDoor::new(script);
        door.jobs = Some(Arc::new(Shelf::default()));
        let (door, stop) = (Arc::new(door), watch::Sender::new(false));
        let at = |listener| router(Arc::clone(&door) as _, listener, stop.subscribe());
        let (tcp, unix) = (at(Listener::Tcp), at(Listener::Unix));
        drop(_inside);
        Self { runtime, door, tcp, unix, _stop: stop }
    }

    /// Sends a request as if it were the first.
    pub(super) fn send(&self, mut request: Request<Body>) -> Came {
        self.door.forget();
        let router = match request.extensions().get::<Peer>() {
            Some(_) => &self.unix,
            None => &self.tcp,
        };
        // As a connection sees to it: a length that is announced is the length that comes.
        if request.headers().contains_key("content-length") {
            let length = request.body().size_hint().exact().expect("a body in memory has a length");
            request.headers_mut().insert("content-length", length.into());
        }
        self.runtime.block_on(async {
            let response = match router.clone().oneshot(normalize(request)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            let (parts, mut body) = response.into_parts();
            let (mut bytes, mut trailers) = (Vec::new(), HeaderMap::new());
            let ended = loop {
                match timeout(SILENCE, body.frame()).await {
                    Err(_) => break false,
                    Ok(None) => break true,
                    Ok(Some(frame)) => match frame.expect("a body in memory does not break").into_data() {
                        Ok(data) => bytes.extend_from_slice(&data),
                        Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
                    },
                }
            };
            Came { status: parts.status.as_u16(), headers: parts.headers, bytes, trailers, ended }
        })
    }
}
