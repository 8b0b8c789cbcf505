//! The accept loops: bounded connections, no delay on small writes, a limit on slow heads, an orderly end. HTTP/1.1 and
//! HTTP/2 (as gRPC speaks it, without TLS and by prior knowledge) on one port.

use std::convert::Infallible;
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown, Watcher};
use socket2::{SockFilter, SockRef};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::callers;
use crate::door::Door;
use crate::idempotency::{self, Kept};
use crate::limits::{
    CONNECTION_WINDOW, CONNECTIONS, DRAIN, HALF_OPEN, HEAD_BYTES, HEAD_READ, HEADERS, IDLE, LAST_WORDS, STREAM_WINDOW,
    STREAMS,
};
use crate::metrics::Metrics;
use crate::routes::{self, Listener};
use crate::tls::{self, Tls};

mod pace;
#[cfg(test)]
mod tests;

use pace::{Paced, Patience, Version};

/// After a failed accept (usually: no file descriptor left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves a TCP listener until `stop` says true, then lets open requests end. `tls`: HTTPS, and nothing else.
pub async fn serve_tcp(listener: TcpListener, door: Arc<dyn Door>, tls: Option<Tls>, stop: watch::Receiver<bool>) {
    let kept = Metrics::of(&door).1;
    let mut connections = Connections::new(routes::router(door, Listener::Tcp, stop.clone()), kept, stop);
    while let Some(permit) = connections.room().await {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut connections.stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => connections.take(stream, tls.as_ref(), permit),
            Err(error) => accept_failed(error).await,
        }
    }
    // Who has connected already hears that this node stops, instead of nothing.
    lets_nobody_in(&listener);
    let over = Instant::now() + HALF_OPEN;
    while let Ok(Ok((stream, _))) = tokio::time::timeout_at(over, listener.accept()).await {
        let Ok(permit) = Arc::clone(&connections.room).try_acquire_owned() else { break };
        connections.take(stream, tls.as_ref(), permit);
    }
    drop(listener);
    connections.drain().await;
}

/// Makes the kernel drop the first packet (SYN) of whoever is about to connect: between the last look for those who have and
/// the end of the listener some would, and be reset. The packet comes again after a second, and is refused then, or let in by
/// the program that listens in this one's place.
fn lets_nobody_in(listener: &TcpListener) {
    /// Where the flags are in a TCP header, and which of them says that it is the first (RFC 9293, section 3.1).
    const FLAGS: (u32, u32) = (13, 0x02);
    // Load a byte; go on if it has the flag, else skip one; drop the packet; keep all of it.
    let filter = [
        SockFilter::new(0x30, 0, 0, FLAGS.0),
        SockFilter::new(0x45, 0, 1, FLAGS.1),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    if let Err(error) = SockRef::from(listener).attach_filter(&filter) {
        debug!(%error, "who connects at the very end is reset");
    }
}

/// Serves a Unix listener until `stop` says true, then lets open requests end. Operators' commands work only here.
pub async fn serve_unix(listener: UnixListener, door: Arc<dyn Door>, stop: watch::Receiver<bool>) {
    let kept = Metrics::of(&door).1;
    let router = routes::router(door, Listener::Unix, stop.clone());
    let mut connections = Connections::new(router.clone(), kept, stop);
    while let Some(permit) = connections.room().await {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut connections.stop) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.router = callers::from_peer(&router, &stream);
                connections.serve(stream, permit);
            }
            Err(error) => accept_failed(error).await,
        }
    }
    // From here on nobody can connect; who has, hears that this node stops.
    if let Err(error) = SockRef::from(&listener).shutdown(Shutdown::Read) {
        debug!(%error, "who connects at the very end is reset");
    }
    // The kernel is asked itself: the runtime would say that nobody waits until it has looked again.
    let Ok(listener) = listener.into_std() else { return connections.drain().await };
    while let Ok((stream, _)) = listener.accept() {
        let Ok(permit) = Arc::clone(&connections.room).try_acquire_owned() else { break };
        if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) {
            connections.router = callers::from_peer(&router, &stream);
            connections.serve(stream, permit);
        }
    }
    drop(listener);
    connections.drain().await;
}

/// Returns once `stop` says true, or nobody can say it any more.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone: whoever started this server is no longer there.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn accept_failed(error: std::io::Error) {
    warn!(%error, "could not accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

struct Connections {
    router: Router,
    stop: watch::Receiver<bool>,
    room: Arc<Semaphore>,
    graceful: GracefulShutdown,
    tasks: JoinSet<()>,
}

impl Connections {
    fn new(router: Router, kept: Arc<Kept>, stop: watch::Receiver<bool>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(idempotency::sweep(kept, stop.clone()));
        let (room, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
        Self { router, stop, room, graceful, tasks }
    }

    /// Waits for room for one more connection. `None` once the server stops.
    async fn room(&mut self) -> Option<OwnedSemaphorePermit> {
        while self.tasks.try_join_next().is_some() {}
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => None,
            permit = Arc::clone(&self.room).acquire_owned() => permit.ok(),
        }
    }

    /// Takes a connection of TCP.
    fn take(&mut self, stream: TcpStream, tls: Option<&Tls>, permit: OwnedSemaphorePermit) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "could not switch Nagle off");
        }
        match tls {
            None => self.serve(stream, permit),
            Some(tls) => self.shake(stream, tls.clone(), permit),
        }
    }

    fn serve<S>(&mut self, stream: S, permit: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (router, watcher, stop) = (self.router.clone(), self.graceful.watcher(), self.stop.clone());
        self.tasks.spawn(async move {
            open(stream, router, watcher, stop).await;
            drop(permit);
        });
    }

    /// The same after a handshake, which may be as slow as a head.
    fn shake(&mut self, stream: TcpStream, tls: Tls, permit: OwnedSemaphorePermit) {
        let (router, watcher, mut stop) = (self.router.clone(), self.graceful.watcher(), self.stop.clone());
        self.tasks.spawn(async move {
            let mut shaking = pin!(tls.accept(stream));
            let shaken = tokio::select! {
                biased;
                shaken = &mut shaking => shaken,
                () = stopped(&mut stop) => tokio::time::timeout(LAST_WORDS, shaking).await.ok().flatten(),
            };
            if let Some((stream, shown)) = shaken {
                open(stream, tls::with_shown(&router, shown), watcher, stop).await;
            }
            drop(permit);
        });
    }

    async fn drain(self) {
        let mut tasks = self.tasks;
        let ended = async {
            self.graceful.shutdown().await;
            while tasks.join_next().await.is_some() {}
        };
        if tokio::time::timeout(DRAIN, ended).await.is_err() {
            warn!("some requests did not end in time and are cut off");
        }
    }
}

async fn open<S>(stream: S, router: Router, watcher: Watcher, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut opening = pin!(Paced::open(stream));
    let opened = tokio::select! {
        biased;
        opened = &mut opening => opened,
        // Who has connected a moment ago is about to say something; whoever is not has no request that may end.
        () = stopped(&mut stop) => tokio::time::timeout(LAST_WORDS, opening).await.ok().flatten(),
    };
    match opened {
        Some((stream, version)) => connection(stream, version, router, watcher, stop).await,
        None => debug!("a client said nothing, or left before it did"),
    }
}

async fn connection<S>(
    stream: Paced<S>,
    version: Version,
    router: Router,
    watcher: Watcher,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let patience = Patience(stream.heard());
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let request = routes::normalize(request.map(Body::new));
            let response: Result<Response<Body>, Infallible> = router.oneshot(request).await;
            response
        }
    });
    let served = match version {
        Version::Http1 => {
            let served = http1::Builder::new()
                .timer(patience)
                .header_read_timeout(IDLE)
                .max_buf_size(HEAD_BYTES)
                .max_headers(HEADERS)
                .serve_connection(stream, service);
            until_stopped(served, stop).await
        }
        Version::Http2 => {
            let served = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(IDLE)
                .keep_alive_timeout(HEAD_READ)
                .max_concurrent_streams(STREAMS)
                .max_header_list_size(HEAD_BYTES as u32)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .serve_connection(stream, service);
            watcher.watch(served).await
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection ended early");
    }
}

/// Serves a connection until it ends, or the node stops and its last request is answered. It is looked at before it is told to
/// end: hyper answers what it has begun to read, and ends at once, without an answer, where it has read nothing. A [`Watcher`]
/// tells it first.
async fn until_stopped<C: GracefulConnection>(served: C, mut stop: watch::Receiver<bool>) -> Result<(), C::Error> {
    let mut served = pin!(served);
    tokio::select! {
        biased;
        ended = &mut served => return ended,
        () = stopped(&mut stop) => {}
    }
    served.as_mut().graceful_shutdown();
    served.await
}
