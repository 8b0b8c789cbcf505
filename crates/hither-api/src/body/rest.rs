//! What is left of a body when its request was answered without it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use crate::limits::{DISCARD_BYTES, DISCARD_READ};

/// Where the rest of a body lies once whoever had it let it go.
pub(crate) struct Rest(Option<Arc<Mutex<Option<Body>>>>);

/// A body that does not go with whoever drops it half-read.
struct Lent {
    body: Option<Body>,
    rest: Arc<Mutex<Option<Body>>>,
}

/// Gives a body away and keeps hold of what will be left of it.
pub(crate) fn lend(body: Body) -> (Body, Rest) {
    if body.is_end_stream() {
        return (body, Rest(None));
    }
    let rest = Arc::new(Mutex::new(None));
    (Body::new(Lent { body: Some(body), rest: Arc::clone(&rest) }), Rest(Some(rest)))
}

impl Rest {
    /// Whether nothing is left, as far as whoever had the body has let it go.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|rest| rest.lock().unwrap_or_else(PoisonError::into_inner).is_none())
    }

    /// Reads a little of what nobody wanted: a client that writes its head and its body apart would find the connection
    /// closed instead of the answer, or instead of the answer to its next request. Says whether all of it was read.
    pub(crate) async fn discard(self) -> bool {
        let left = self.0.and_then(|rest| rest.lock().unwrap_or_else(PoisonError::into_inner).take());
        let Some(body) = left else { return true };
        matches!(timeout(DISCARD_READ, Limited::new(body, DISCARD_BYTES).collect()).await, Ok(Ok(_)))
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if let Poll::Ready(None | Some(Err(_))) = polled {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
