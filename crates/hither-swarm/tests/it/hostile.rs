//! Members that break the rules hurt nobody but themselves.

use hither_swarm::{ChunkEvent, Fault, FetchError, StreamError};
use hither_types::message::Frame;
use hither_types::unit::ByteCount;
use iroh::Endpoint;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::world::{
    ALPNS, Node, OF_MEMBERS, ask, closed_with, dial, digest, direct, noise, pair, preface, presence, put, raw, raw_id,
    soon,
};

/// A pair of good nodes, and a member of the first that does what it wants.
async fn world() -> (Node, Node, Endpoint) {
    let (a, b) = pair(1, 2).await;
    let evil = raw(3).await;
    a.swarm.admit(raw_id(&evil), vec![]);
    (a, b, evil)
}

async fn still_well(a: &mut Node, b: &mut Node) {
    let mut stream = b.swarm.ask(a.id(), ask(1, vec![5])).await.expect("sent");
    let (_, _, mut answer) = a.asked().await;
    answer.send(Frame::Accepted).await.expect("sent");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
    b.swarm.send(a.id(), presence(77));
    a.until("a message", |event| matches!(event, hither_swarm::SwarmEvent::Message { .. }).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_does_not_decode_closes_its_link_only() {
    let (mut a, mut b, evil) = world().await;
    let connection = dial(&evil, &a, ALPNS[0]).await;
    let mut sender = connection.open_uni().await.expect("a stream");
    let mut bytes = preface(1, 1);
    bytes.extend_from_slice(&8_u32.to_le_bytes());
    bytes.extend_from_slice(&[1; 8]);
    bytes.extend_from_slice(&4_u32.to_le_bytes());
    bytes.extend_from_slice(&[0xff; 4]);
    sender.write_all(&bytes).await.expect("written");
    assert_eq!(closed_with(&connection).await, 400);
    still_well(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn oversized_and_garbled_requests_close_their_connection_only() {
    let (mut a, mut b, evil) = world().await;
    for bytes in [u32::MAX.to_le_bytes().to_vec(), vec![2, 0, 0, 0, 0xee, 0xee]] {
        let connection = dial(&evil, &a, ALPNS[1]).await;
        let (mut sender, _receiver) = connection.open_bi().await.expect("a stream");
        sender.write_all(&bytes).await.expect("written");
        assert_eq!(closed_with(&connection).await, 400);
    }
    still_well(&mut a, &mut b).await;
}

/// Answers every request on this protocol with these bytes, for as long as the set lives.
fn answer_with(evil: &Endpoint, alpn: &'static [u8], bytes: &[u8]) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (evil, bytes) = (evil.clone(), bytes.to_vec());
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Some(incoming) = evil.accept().await {
            let Ok(connection) = incoming.await else { continue };
            let bytes = bytes.clone();
            connections.spawn(async move {
                while let Ok((mut sender, mut receiver)) = connection.accept_bi().await {
                    if connection.alpn() == alpn && receiver.read_to_end(1 << 20).await.is_ok() {
                        // The other end may have had enough already.
                        let _ = sender.write_all(&bytes).await;
                        let _ = sender.finish();
                    }
                }
            });
        }
    });
    tasks
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_read_are_errors() {
    let garbage: [&[u8]; 2] = [&u32::MAX.to_le_bytes(), &[2, 0, 0, 0, 0xee, 0xee]];
    for bytes in garbage {
        let a = Node::start(1).await;
        let evil = raw(3).await;
        let _server = answer_with(&evil, ALPNS[1], bytes);
        a.swarm.admit(raw_id(&evil), direct(evil.bound_sockets()));
        let mut stream = a.swarm.ask(raw_id(&evil), ask(1, vec![])).await.expect("sent");
        let end = soon("the end", stream.next()).await;
        assert!(matches!(end, Err(StreamError::Garbage(_))), "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_sends_wrong_bytes_is_dropped_and_named() {
    let file = noise(3, 5_000_000);
    let short: &[u8] = &[];
    for wrong in [&file[..], short, &[9; 3_000_000]] {
        let (a, b) = pair(1, 2).await;
        let evil = raw(3).await;
        let _server = answer_with(&evil, ALPNS[2], wrong);
        a.swarm.admit(raw_id(&evil), direct(evil.bound_sockets()));

        let only_evil = vec![raw_id(&evil)];
        let (progress, seen) = watch::channel(0);
        let size = ByteCount(file.len() as u64);
        let fetch = a.swarm.fetch(digest(&file), size, only_evil.clone(), progress);
        match soon("the end", fetch).await.expect_err("no good provider") {
            FetchError::NoProvider { missing, dropped } => {
                assert_eq!(missing, size);
                assert_eq!(dropped, [(raw_id(&evil), Fault::BadBytes)]);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(*seen.borrow(), 0);

        let (found, _) = put(&b, &file).await;
        let (progress, _) = watch::channel(0);
        let both = vec![raw_id(&evil), b.id()];
        let fetched = soon("the file", a.swarm.fetch(found, size, both, progress)).await.expect("fetched");
        assert_eq!(fetched.from, [(b.id(), size)]);
        let path = a.swarm.checkout(found).await.expect("whole");
        assert!(std::fs::read(path).expect("readable") == file);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_takes_a_chunk_and_does_not_say_so_keeps_no_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let (a, mut chunks) = Node::start_hearing(1, crate::world::loopback(), (None, Vec::new()), dir).await;
    let evil = raw(3).await;
    a.swarm.admit(raw_id(&evil), vec![]);
    let (file, _) = put(&a, &noise(3, 64 << 10)).await;
    let connection = dial(&evil, &a, OF_MEMBERS[3]).await;
    let (mut sender, mut receiver) = connection.open_bi().await.expect("a stream");
    let part = 0..64_u64 << 10;
    let words = [&[2][..], &file.0, &part.start.to_le_bytes(), &part.end.to_le_bytes(), &7_u32.to_le_bytes()];
    sender.write_all(&words.concat()).await.expect("written");
    let asked = match soon("a request", chunks.recv()).await {
        Some(ChunkEvent::Asked(asked)) => asked,
        other => panic!("{other:?}"),
    };
    let encoded = a.swarm.prove(file, part).await.expect("it is here");
    let reading = tokio::spawn(async move { receiver.read_to_end(1 << 20).await });
    // It has all of it, does not say so, and is not waited for as long as one on a slow line, which would be minutes.
    assert!(!soon("the end", asked.give(encoded)).await);
    assert!(reading.await.expect("it does not panic").expect("all of it").len() > 64 << 10);
    drop(sender);
}
