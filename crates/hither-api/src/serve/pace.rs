//! How slow a client may be before a request has begun, and which HTTP it speaks.
//!
//! A connection may idle between two requests for long ([`IDLE`]): clients keep some open. But once the first byte of a
//! head has come, the rest must follow soon ([`HEAD_READ`]), and a connection that never says anything is not kept. HTTP
//! itself is read by hyper, which has one limit for both; so its timer is this one, which looks at what was heard.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::limits::{HEAD_READ, IDLE};

/// What a client says first if it speaks HTTP/2 (RFC 9113, section 3.4). No request of HTTP/1 begins so.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The version that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// A connection whose first bytes were looked at.
pub(super) struct Paced<S> {
    stream: S,
    /// The first bytes, and how many of them are there and were read again.
    first: [u8; PREFACE.len()],
    there: usize,
    again: usize,
    heard: Heard,
}

/// Whether something was heard since somebody asked.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl<S: AsyncRead + Unpin> Paced<S> {
    /// Waits for the first bytes. `None`: the client left or was too slow.
    pub(super) async fn open(stream: S) -> Option<(Self, Version)> {
        let mut paced = Self { stream, first: [0; PREFACE.len()], there: 0, again: 0, heard: Heard::default() };
        let version = tokio::time::timeout(HEAD_READ, paced.version()).await.ok()?.ok()?;
        Some((paced, version))
    }

    async fn version(&mut self) -> io::Result<Version> {
        while self.there < PREFACE.len() {
            let count = self.stream.read(&mut self.first[self.there..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.there += count;
            if self.first[..self.there] != PREFACE[..self.there] {
                return Ok(Version::Http1);
            }
        }
        Ok(Version::Http2)
    }

    /// Tells when something was heard.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if this.again < this.there {
            let count = buffer.remaining().min(this.there - this.again);
            buffer.put_slice(&this.first[this.again..this.again + count]);
            this.again += count;
        } else {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        }
        if buffer.filled().len() > before {
            this.heard.0.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The timer that hyper asks while it waits for a head.
pub(super) struct Patience(pub(super) Heard);

impl Timer for Patience {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        // What was heard until now belongs to the request before.
        self.0.0.store(false, Ordering::Relaxed);
        let sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
        Box::pin(Waiting { sleep, heard: self.0.clone(), has_begun: false })
    }
}

/// Ends after [`IDLE`], or [`HEAD_READ`] after something was heard, whichever is sooner.
struct Waiting {
    sleep: Pin<Box<tokio::time::Sleep>>,
    heard: Heard,
    has_begun: bool,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.heard.0.load(Ordering::Relaxed) {
            self.has_begun = true;
            let sooner = (tokio::time::Instant::now() + HEAD_READ).min(self.sleep.deadline());
            self.sleep.as_mut().reset(sooner);
        }
        self.sleep.as_mut().poll(context)
    }
}

impl Sleep for Waiting {}

const _: () = assert!(HEAD_READ.as_nanos() < IDLE.as_nanos());
