//! Lends memory for what comes in over gRPC, message by message, and bounds how long a message may take to arrive.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until};

use super::status;
use crate::body::Bodies;
use crate::errors::{Code, Problem};
use crate::limits::BODY_READ;
use crate::routes::App;

#[cfg(test)]
mod tests;

/// What was lent for the message that is arriving.
#[derive(Clone, Default)]
pub(super) struct Lent(Arc<Mutex<Arriving>>);

/// The memory of a message that is here.
pub(super) struct Held {
    _memory: [Option<OwnedSemaphorePermit>; 2],
}

#[derive(Default)]
struct Arriving {
    permit: Option<OwnedSemaphorePermit>,
    since: Option<Instant>,
}

impl Lent {
    fn put(&self, permit: OwnedSemaphorePermit) {
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.since.get_or_insert_with(Instant::now);
        match &mut arriving.permit {
            Some(lent) => lent.merge(permit),
            None => arriving.permit = Some(permit),
        }
    }

    fn take(&self) -> Option<OwnedSemaphorePermit> {
        let mut arriving = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.since = None;
        arriving.permit.take()
    }

    /// The message is here: its memory is given back when whoever works on it drops this. One that came compressed is
    /// larger now; it was opened in one go, so that few are open and not yet counted.
    pub(super) fn hold(&self, bodies: &Bodies, packed: bool, message: &impl prost::Message) -> Result<Held, Problem> {
        let arrived = self.take();
        let opened = if packed { Some(bodies.lend(message.encoded_len())?) } else { None };
        Ok(Held { _memory: [arrived, opened] })
    }

    fn since(&self) -> Option<Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).since
    }
}

/// Puts the meter between the connection and the service.
pub(super) async fn measure(State(app): State<App>, request: Request, next: Next) -> Response {
    let lent = Lent::default();
    let (mut parts, body) = request.into_parts();
    let metered = Metered { inner: body, bodies: app.bodies, lent: lent.clone(), sleep: None };
    parts.extensions.insert(lent);
    next.run(Request::from_parts(parts, Body::new(metered))).await
}

/// Whether messages come compressed.
pub(super) fn is_packed(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_some_and(|coding| coding != "identity")
}

struct Metered {
    inner: Body,
    bodies: Bodies,
    lent: Lent,
    /// Armed while a message is arriving and nothing comes.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// Whether the message that is arriving has taken too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<tonic::Status> {
        let Some(since) = self.lent.since() else { return Poll::Pending };
        let until = since + BODY_READ;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if sleep.deadline() != until {
            sleep.as_mut().reset(until);
        }
        ready!(sleep.as_mut().poll(context));
        let late = Problem::new(Code::TooSlow, format!("the message took more than {BODY_READ:?} to arrive"));
        Poll::Ready(status::status(&late))
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) else {
            return self.poll_late(context).map(|late| Some(Err(late.into())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.data_ref().map_or(Ok(None), |data| self.bodies.lend(data.len()).map(Some)) {
                Ok(permit) => {
                    if let Some(permit) = permit {
                        self.lent.put(permit);
                    }
                    Some(Ok(frame))
                }
                Err(problem) => Some(Err(status::status(&problem).into())),
            },
            Some(Err(error)) => Some(Err(error.into())),
            None => None,
        })
    }
}
