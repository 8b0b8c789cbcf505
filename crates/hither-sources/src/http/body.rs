//! A body, piece by piece, that has to move.

use std::pin::pin;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Body;
use tokio::time::Instant;

use crate::error::FetchError;
use crate::limits::{STALL, STALL_BYTES};

#[cfg(test)]
mod tests;

/// Reads a body and notices when it stalls: in each window of [`STALL`], [`STALL_BYTES`] have to come.
#[derive(Debug)]
pub(crate) struct Reader<B> {
    body: B,
    place: String,
    window_end: Instant,
    in_window: u64,
}

impl<B: Body<Data = Bytes, Error: std::error::Error> + Unpin> Reader<B> {
    pub(crate) fn new(body: B, place: &str) -> Self {
        Self { body, place: place.to_owned(), window_end: Instant::now() + STALL, in_window: 0 }
    }

    /// The next piece. `None`: the body ended as it should.
    ///
    /// The time that the caller takes for its own work counts, too; a window that ends meanwhile is judged by what came in it.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            if self.in_window >= STALL_BYTES {
                (self.window_end, self.in_window) = (Instant::now() + STALL, 0);
            }
            let frame = pin!(self.body.frame());
            let Ok(frame) = tokio::time::timeout_at(self.window_end, frame).await else {
                return Err(FetchError::Silent { place: self.place.clone(), bytes: STALL_BYTES, within: STALL });
            };
            let broken = |error: B::Error| FetchError::Unreachable {
                place: self.place.clone(),
                text: format!("the connection broke ({})", innermost(&error)),
            };
            let Some(frame) = frame.transpose().map_err(broken)? else { return Ok(None) };
            if let Ok(data) = frame.into_data() {
                self.in_window += data.len() as u64;
                return Ok(Some(data));
            }
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
