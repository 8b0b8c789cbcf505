//! Bodies that do not move, in a time that does not pass.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::*;

/// Gives so many bytes each time that so long has passed, so often.
struct Drip {
    bytes: usize,
    every: Duration,
    left: u32,
    next: Pin<Box<Sleep>>,
}

impl Drip {
    fn new(bytes: usize, every: Duration, times: u32) -> Self {
        Self { bytes, every, left: times, next: Box::pin(sleep(every)) }
    }
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match self.next.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let every = self.every;
                self.next.as_mut().reset(Instant::now() + every);
                self.left -= 1;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; self.bytes])))))
            }
        }
    }
}

/// Bytes that came, whether it ended well, and the seconds until then.
async fn drained(body: Drip) -> (usize, bool, u64) {
    let begin = Instant::now();
    let mut reader = Reader::new(body, "models.example");
    let mut came = 0;
    loop {
        match reader.next().await {
            Ok(Some(bytes)) => came += bytes.len(),
            Ok(None) => return (came, true, begin.elapsed().as_secs()),
            Err(error) => {
                assert!(error.passes() && error.to_string().contains("models.example sends too little"), "{error}");
                return (came, false, begin.elapsed().as_secs());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_loris_is_given_half_a_minute() {
    let (came, is_whole, seconds) = drained(Drip::new(1, Duration::from_secs(1), 1_000_000)).await;
    assert!(!is_whole && seconds == STALL.as_secs() && came <= 30, "{came} bytes in {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn silence_is_given_as_long() {
    let (came, is_whole, seconds) = drained(Drip::new(1, Duration::from_secs(86_400), 1)).await;
    assert_eq!((came, is_whole, seconds), (0, false, STALL.as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_may_take_hours() {
    let (came, is_whole, seconds) = drained(Drip::new(1000, Duration::from_secs(5), 2000)).await;
    assert_eq!((came, is_whole, seconds), (2_000_000, true, 10_000));
}
