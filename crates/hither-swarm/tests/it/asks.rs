//! Requests and the frames of their answers.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use hither_swarm::{AskError, DialError, PeerGone, StreamError};
use hither_types::id::NodeId;
use hither_types::message::Frame;
use hither_types::request::Cost;

use crate::world::{Node, ask, direct, key, pair, soon};

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_arrives_whole_and_its_frames_come_back_in_order() {
    let (a, mut b) = pair(1, 2).await;
    let sent = ask(7, vec![9; 3_000_000]);
    let server = async {
        let (from, ask, mut answer) = b.asked().await;
        assert_eq!(from, a.id());
        assert_eq!(ask, sent);
        answer.send(Frame::Accepted).await.expect("sent");
        for progress in 0..200 {
            answer.send(Frame::Beat { progress }).await.expect("sent");
        }
        answer.send(Frame::Piece(vec![3; 2_000_000])).await.expect("sent");
        answer.send(Frame::Done(Cost::default())).await.expect("sent");
        answer.finish().await;
    };
    let client = async {
        let mut stream = a.swarm.ask(b_id(2), sent.clone()).await.expect("sent");
        let mut frames = Vec::new();
        while let Some(frame) = stream.next().await.expect("readable") {
            frames.push(frame);
        }
        assert!(stream.next().await.expect("still ended").is_none());
        frames
    };
    let ((), frames) = soon("the answer", async { tokio::join!(server, client) }).await;
    assert_eq!(frames[0], Frame::Accepted);
    assert!(frames[1..201].iter().enumerate().all(|(at, frame)| *frame == Frame::Beat { progress: at as u64 }));
    assert_eq!(frames[201], Frame::Piece(vec![3; 2_000_000]));
    assert_eq!(frames[202..], [Frame::Done(Cost::default())]);
}

fn b_id(seed: u8) -> NodeId {
    NodeId(*iroh::SecretKey::from_bytes(&key(seed)).public().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_asks_share_a_connection_and_do_not_mix() {
    let (a, mut b) = pair(1, 2).await;
    let server = async {
        for _ in 0..50 {
            let (_, ask, mut answer) = b.asked().await;
            answer.send(Frame::Piece(ask.payload)).await.expect("sent");
            answer.finish().await;
        }
    };
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..50_u8 {
        let swarm = a.swarm.clone();
        clients.spawn(async move {
            let mut stream = swarm.ask(b_id(2), ask(number.into(), vec![number; 1000])).await.expect("sent");
            assert_eq!(stream.next().await.expect("a frame"), Some(Frame::Piece(vec![number; 1000])));
        });
    }
    soon("all answers", async { tokio::join!(server, clients.join_all()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_stream_is_seen_by_the_server() {
    let (a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    let watcher = answer.watcher();
    answer.send(Frame::Accepted).await.expect("sent");
    soon("a frame", stream.next()).await.expect("a frame");
    drop(stream);
    soon("the watcher", watcher).await;
    soon("gone", answer.gone()).await;
    assert_eq!(answer.send(Frame::Beat { progress: 1 }).await, Err(PeerGone));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_answer_is_an_error_and_not_an_end() {
    let (a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![])).await.expect("sent");
    let (_, _, answer) = b.asked().await;
    drop(answer);
    let end = soon("the end", stream.next()).await;
    assert!(matches!(end, Err(StreamError::Broken(_))), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_frame_can_be_given_up_without_losing_one() {
    let (a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    let server = tokio::spawn(async move {
        for number in 0..100_u8 {
            answer.send(Frame::Piece(vec![number; 30_000])).await.expect("sent");
        }
        answer.finish().await;
    });
    let mut received = Vec::new();
    soon("all frames", async {
        loop {
            // Polled once and dropped, as a select does it.
            let turn = tokio::select! {
                biased;
                frame = stream.next() => Some(frame),
                () = tokio::task::yield_now() => None,
            };
            let Some(frame) = turn else { continue };
            match frame.expect("readable") {
                Some(Frame::Piece(bytes)) => received.push(bytes[0]),
                Some(other) => panic!("{other:?}"),
                None => break,
            }
        }
    })
    .await;
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    server.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_to_nobody_fails_fast_and_again_at_once() {
    let a = Node::start(1).await;
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    a.swarm.admit(b_id(2), direct(silent.local_addr()));
    let begun = Instant::now();
    let error = a.swarm.ask(b_id(2), ask(1, vec![])).await.expect_err("nobody is there");
    assert!(matches!(error, AskError::Dial(DialError::TimedOut { .. })), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // A second one shares the pause after the first, and a third that is dropped ends its dial.
    a.swarm.ask(b_id(2), ask(2, vec![])).await.expect_err("nobody is there");
    drop(a.swarm.ask(b_id(2), ask(3, vec![])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_too_large_is_refused_before_anything_is_sent() {
    let (a, b) = pair(1, 2).await;
    let error = a.swarm.ask(b.id(), ask(1, vec![0; hither_wire::MAX_FRAME + 1])).await.expect_err("too large");
    assert!(matches!(error, AskError::Unsayable(_)), "{error:?}");
}
