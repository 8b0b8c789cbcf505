//! No message takes more memory than there is, and none takes for ever.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::{Duration, timeout};
use tonic::{Code, Status};

use super::{Lent, Metered};
use crate::body::Bodies;
use crate::limits::{BODIES_BYTES, BODY_READ};

/// A body that gets what is sent to it, and the meter in front of it.
fn metered(bodies: &Bodies, lent: &Lent) -> (mpsc::Sender<Bytes>, Metered) {
    let (sender, receiver) = mpsc::channel(4);
    let frames = stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
    let inner = Body::from_stream(frames.map(Ok::<_, Infallible>));
    (sender, Metered { inner, bodies: bodies.clone(), lent: lent.clone(), sleep: None })
}

fn code(error: Box<dyn std::error::Error + Send + Sync>) -> Code {
    error.downcast::<Status>().unwrap().code()
}

#[tokio::test]
async fn what_a_message_took_is_given_back_with_it() {
    let (bodies, lent) = (Bodies::new(), Lent::default());
    let (sender, mut body) = metered(&bodies, &lent);
    let others = bodies.lend(BODIES_BYTES - (1 << 20)).unwrap();
    for _ in 0..2 {
        sender.send(vec![0; 1 << 20].into()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 1 << 20);
        assert!(bodies.lend(1).is_err(), "all is lent");
        drop(lent.hold(&bodies, false, &()).unwrap());
        assert!(bodies.lend(1 << 20).is_ok(), "it came back");
    }
    sender.send(vec![0; (1 << 20) + 1].into()).await.unwrap();
    assert_eq!(code(body.frame().await.unwrap().unwrap_err()), Code::Unavailable);
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_trickles_is_given_up_and_a_quiet_stream_is_not() {
    let (bodies, lent) = (Bodies::new(), Lent::default());
    let (sender, mut body) = metered(&bodies, &lent);
    assert!(timeout(10 * BODY_READ, body.frame()).await.is_err(), "nothing has begun, so nothing is late");
    sender.send(Bytes::from_static(b"a")).await.unwrap();
    assert!(body.frame().await.unwrap().is_ok());
    assert!(timeout(BODY_READ - Duration::from_secs(1), body.frame()).await.is_err());
    assert_eq!(code(body.frame().await.unwrap().unwrap_err()), Code::DeadlineExceeded);
    // Once it is whole, the next may take its time.
    drop(lent.hold(&bodies, false, &()).unwrap());
    assert!(timeout(10 * BODY_READ, body.frame()).await.is_err());
}

#[tokio::test]
async fn what_came_compressed_counts_as_what_it_is_now() {
    let (bodies, lent) = (Bodies::new(), Lent::default());
    let message = b"x".repeat(1 << 20);
    let held = lent.hold(&bodies, true, &message).unwrap();
    assert!(bodies.lend(BODIES_BYTES).is_err());
    drop(held);
    let all = bodies.lend(BODIES_BYTES).unwrap();
    assert!(lent.hold(&bodies, true, &message).is_err());
    drop(all);
}
