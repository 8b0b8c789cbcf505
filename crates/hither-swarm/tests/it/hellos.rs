//! The door that is open to strangers, a little.

use hither_swarm::{DialError, SwarmEvent};
use hither_types::id::MeshId;
use hither_types::member::Address;
use hither_types::message::{Hello, HelloReply};

use crate::world::{ALPNS, Node, closed_with, dial, preface, raw, raw_at, soon};

fn join() -> Hello {
    Hello::Join {
        mesh: MeshId([1; 32]),
        invite: [2; 16],
        proof: [3; 32],
        addresses: vec![Address::Direct(([127, 0, 0, 1], 9).into())],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_says_hello_and_gets_a_reply() {
    let (a, mut b) = (Node::start(1).await, Node::start(2).await);
    let (a_id, address) = (a.id(), a.addresses()[0]);
    let (b_id, b_addresses) = (b.id(), b.addresses());
    let server = async {
        let (from, from_address, speaks, hello, reply) = b
            .until("a hello", |event| match event {
                SwarmEvent::Hello { from, from_address, speaks, hello, reply } => {
                    Some((from, from_address, speaks, hello, reply))
                }
                _ => None,
            })
            .await;
        assert_eq!((from, from_address, speaks), (a_id, Some(address), hither_wire::versions::NEWEST));
        assert_eq!(hello, join());
        reply.reply(HelloReply::Refused("not today".to_owned()));
    };
    let client = a.swarm.hello(b_id, b_addresses, join());
    let ((), reply) = soon("a reply", async { tokio::join!(server, client) }).await;
    assert_eq!(reply, Ok(HelloReply::Refused("not today".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_without_a_reply_is_an_error() {
    let (a, mut b) = (Node::start(1).await, Node::start(2).await);
    let (id, addresses) = (b.id(), b.addresses());
    let server = b.until("a hello", |event| matches!(event, SwarmEvent::Hello { .. }).then_some(()));
    let client = a.swarm.hello(id, addresses, join());
    let ((), reply) = soon("the end", async { tokio::join!(server, client) }).await;
    assert!(matches!(reply, Err(DialError::NoReply { .. })), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_size_are_refused_and_too_many_of_one_address_are_turned_away() {
    let mut node = Node::start(1).await;
    let stranger = raw(3).await;
    let good = preface(1, 1);
    let [garbled, oversized] = [&[3, 0, 0, 0, 255, 255, 255][..], &u32::MAX.to_le_bytes()];
    for bytes in [garbled.to_vec(), oversized.to_vec(), [&good, garbled].concat(), [&good, oversized].concat()] {
        let connection = dial(&stranger, &node, ALPNS[3]).await;
        let (mut sender, _receiver) = connection.open_bi().await.expect("a stream");
        sender.write_all(&bytes).await.expect("written");
        assert_eq!(closed_with(&connection).await, 400);
    }
    // Those that say nothing hold their places; one too many of one address is told so at once.
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(dial(&stranger, &node, ALPNS[3]).await);
    }
    let closes = idle.iter().map(|connection| Box::pin(closed_with(connection)));
    let mut closes: Vec<_> = closes.collect();
    let first = std::future::poll_fn(|context| {
        for close in &mut closes {
            if let std::task::Poll::Ready(code) = close.as_mut().poll(context) {
                return std::task::Poll::Ready(code);
            }
        }
        std::task::Poll::Pending
    });
    assert_eq!(soon("a refusal", first).await, 429);
    // From elsewhere one is heard.
    let other = raw_at(4, ([127, 0, 0, 2], 0).into()).await;
    let connection = dial(&other, &node, ALPNS[3]).await;
    let (mut sender, _receiver) = connection.open_bi().await.expect("a stream");
    let body = hither_wire::encode_hello(&join()).expect("it can be said");
    let said = [&preface(1, 3)[..], &(body.len() as u32).to_le_bytes(), &body].concat();
    sender.write_all(&said).await.expect("written");
    let heard = node.until("a hello", |event| match event {
        SwarmEvent::Hello { speaks, hello, .. } => Some((speaks, hello)),
        _ => None,
    });
    assert_eq!(heard.await, (3, join()), "and by which program");
}
