//! A client gets each token once, in order, whatever the places do.

use hither_api::door::Answer;
use hither_engine::work::Piece;
use hither_types::id::{Attempt, RequestId};
use tokio::sync::mpsc;

use super::*;

fn session(room: usize) -> (Session, mpsc::Receiver<Answer>) {
    let (answers, receiver) = mpsc::channel(room);
    (Session::new(RequestId(1), Bytes::new(), answers), receiver)
}

fn tokens(first: u32, ids: &[u32]) -> Piece {
    Piece::Tokens { first, ids: ids.to_vec(), text: String::new() }
}

fn delivered(receiver: &mut mpsc::Receiver<Answer>) -> Vec<u32> {
    let mut all = Vec::new();
    while let Ok(answer) = receiver.try_recv() {
        if let Answer::Piece(Piece::Tokens { ids, .. }) = answer {
            all.extend(ids);
        }
    }
    all
}

#[test]
fn a_stream_goes_on_from_what_was_delivered_and_old_attempts_are_silent() {
    let (session, mut receiver) = session(16);
    assert!(session.begin(Attempt(1)).is_empty());
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10, 11])), Delivery::Delivered);
    assert_eq!(session.begin(Attempt(2)), [10, 11]);
    assert_eq!(session.deliver(Attempt(1), tokens(2, &[12])), Delivery::Old);
    assert_eq!(session.deliver(Attempt(2), tokens(2, &[12, 13])), Delivery::Delivered);
    assert_eq!(delivered(&mut receiver), [10, 11, 12, 13]);
    assert_eq!(session.summary(Cost::default()).migrations, 1);
}

#[test]
fn a_gap_or_a_repeat_is_never_delivered() {
    let (session, mut receiver) = session(16);
    session.begin(Attempt(1));
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Delivered);
    assert_eq!(session.deliver(Attempt(1), tokens(2, &[12])), Delivery::Gap);
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Gap);
    assert_eq!(delivered(&mut receiver), [10]);
}

#[test]
fn a_full_channel_and_a_client_that_left_are_told_apart() {
    let (session, receiver) = session(1);
    session.begin(Attempt(1));
    assert_eq!(session.deliver(Attempt(1), tokens(0, &[10])), Delivery::Delivered);
    assert_eq!(session.deliver(Attempt(1), tokens(1, &[11])), Delivery::Full);
    drop(receiver);
    assert_eq!(session.deliver(Attempt(1), tokens(1, &[11])), Delivery::ClientGone);
}

#[tokio::test]
async fn what_was_not_sent_is_not_logged_when_the_wait_is_dropped() {
    let (session, mut receiver) = session(1);
    session.begin(Attempt(1));
    session.deliver(Attempt(1), tokens(0, &[10]));
    let waiting = tokio::time::timeout(std::time::Duration::ZERO, session.deliver_wait(Attempt(1), tokens(1, &[11])));
    assert!(waiting.await.is_err());
    assert_eq!(session.begin(Attempt(2)), [10]);
    assert_eq!(delivered(&mut receiver), [10]);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_end_is_no_news() {
    let (session, receiver) = session(1);
    session.end();
    drop(receiver);
    assert!(!session.client_gone().await);
}

#[test]
fn what_leaves_with_an_attempt_is_the_payload_and_the_tokens_to_go_on_from() {
    let (answers, _receiver) = mpsc::channel(16);
    let session = Session::new(RequestId(1), Bytes::from_static(b"0123456789"), answers);
    session.begin(Attempt(1));
    session.deliver(Attempt(1), tokens(0, &[10, 11, 12]));
    assert_eq!(session.fix_outgoing(Attempt(2)), ByteCount(10 + 3 * 4));
    // What is on the record is what is sent, though the old place still speaks.
    assert_eq!(session.deliver(Attempt(1), tokens(3, &[13])), Delivery::Old);
    assert_eq!(session.begin(Attempt(2)), [10, 11, 12]);
    assert_eq!(session.outgoing(Attempt(2)), Some(ByteCount(22)));
    assert_eq!(session.summary(Cost::default()).migrations, 1);
}
