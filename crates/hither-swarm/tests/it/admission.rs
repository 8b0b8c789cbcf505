//! Who gets in, and how fast somebody is out.

use hither_swarm::{AskError, DialError};
use hither_types::member::Address;
use hither_types::message::Frame;

use crate::world::{ALPNS, Node, OF_MEMBERS, ask, closed_with, dial, pair, raw, raw_id, soon};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_on_every_protocol_of_members() {
    let (node, _other) = pair(1, 2).await;
    let stranger = raw(3).await;
    for alpn in &OF_MEMBERS {
        let connection = dial(&stranger, &node, alpn).await;
        assert_eq!(closed_with(&connection).await, 403, "{}", String::from_utf8_lossy(alpn));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_set_of_members_means_nobody() {
    let node = Node::start(1).await;
    let stranger = raw(3).await;
    let connection = dial(&stranger, &node, ALPNS[0]).await;
    assert_eq!(closed_with(&connection).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protocol_that_nobody_knows_is_refused() {
    let node = Node::start(1).await;
    let member = raw(3).await;
    node.swarm.admit(raw_id(&member), member.bound_sockets().into_iter().map(Address::Direct).collect());
    let id = iroh::EndpointId::from_bytes(&node.id().0).expect("a key");
    let address = iroh::EndpointAddr::from_parts(id, node.swarm.addresses().into_iter().map(iroh::TransportAddr::Ip));
    assert!(soon("a refusal", member.connect(address, b"hither/other/1")).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_on_one_side_only_makes_no_link() {
    let (mut a, mut b, mut c) = (Node::start(1).await, Node::start(2).await, Node::start(3).await);
    a.admit(&b);
    // The link with a third shows that time enough has passed for a link with the second.
    a.admit(&c);
    c.admit(&a);
    c.link_up(a.id()).await;
    let b_id = b.id();
    a.until("the link with the third", |event| match event {
        hither_swarm::SwarmEvent::LinkUp(node) => {
            assert_ne!(node, b_id);
            Some(())
        }
        _ => None,
    })
    .await;
    let refused = a.swarm.ask(b.id(), ask(1, vec![])).await;
    if let Ok(mut stream) = refused {
        assert!(soon("the end of the stream", stream.next()).await.is_err());
    }
    assert!(b.events.try_recv().is_err(), "nothing reached the other side");
    let unknown = b.swarm.ask(a.id(), ask(2, vec![])).await;
    assert!(matches!(unknown, Err(AskError::Dial(DialError::NotMember(node))) if node == a.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn expelling_closes_live_connections_and_breaks_streams() {
    let (mut a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![7; 10])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    answer.send(Frame::Accepted).await.expect("the asker is there");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));

    b.swarm.expel(a.id());
    assert!(soon("the end of the stream", stream.next()).await.is_err());
    soon("the watcher", answer.gone()).await;
    a.link_down(b.id()).await;
    b.link_down(a.id()).await;
    assert!(b.swarm.known(a.id()).is_empty());

    // Until it is admitted again.
    b.admit(&a);
    a.link_up(b.id()).await;
}
