//! Links come up by themselves, and come back.

use std::time::Instant;

use hither_swarm::{AskError, DialError, Isolation, SwarmEvent};
use hither_types::id::Digest;
use hither_types::member::Signed;
use hither_types::message::{Frame, PeerMessage, Signal};
use iroh::Endpoint;
use iroh::endpoint::{Connection, SendStream};
use tokio::runtime::{Builder, Runtime};

use crate::world::{ALPNS, Node, ask, closed_with, dial, direct, pair, preface, presence, raw, raw_id, soon};

async fn hears(node: &mut Node, sequence: u64) {
    node.until("a message", |event| match event {
        SwarmEvent::Message { message: PeerMessage::Presence(presence), .. } => {
            (presence.sequence == sequence).then_some(())
        }
        _ => None,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_and_round_trips_are_measured() {
    let (mut a, mut b) = pair(1, 2).await;
    a.swarm.send(b.id(), presence(11));
    b.swarm.send(a.id(), presence(22));
    hears(&mut b, 11).await;
    hears(&mut a, 22).await;
    let b_id = b.id();
    let rtt = a
        .until("a round trip", |event| match event {
            SwarmEvent::RoundTrip { peer, rtt } if peer == b_id => Some(rtt),
            _ => None,
        })
        .await;
    assert!(rtt.0 > 0 && rtt.millis() < 1000.0, "{rtt:?}");
    assert!(a.swarm.known(b.id()).contains(&b.addresses()[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_overtake_large_messages_and_neither_is_lost() {
    const CATALOGS: usize = 20;
    const SIGNALS: u32 = 200;
    let (a, mut b) = pair(1, 2).await;
    // Nearly a megabyte each.
    let entry = Signed { bytes: vec![7; 60_000], signer: a.id(), signature: [0; 64] };
    for _ in 0..CATALOGS {
        a.swarm.send(b.id(), PeerMessage::Catalog(vec![entry.clone(); 15]));
    }
    for number in 0..SIGNALS {
        a.swarm.send(b.id(), PeerMessage::Signal(Signal::Nothing { number, digest: Digest([1; 32]) }));
    }
    let (mut catalogs, mut signals) = (0, Vec::new());
    let before = b
        .until("everything", |event| {
            match event {
                SwarmEvent::Message { message: PeerMessage::Catalog(_), .. } => catalogs += 1,
                SwarmEvent::Message { message: PeerMessage::Signal(Signal::Nothing { number, .. }), .. } => {
                    signals.push((number, catalogs));
                }
                _ => {}
            }
            (catalogs == CATALOGS && signals.len() == SIGNALS as usize)
                .then(|| signals.iter().map(|(_, catalogs)| *catalogs).max())
        })
        .await;
    // Both ends may have dialled, and two links keep no order between them.
    signals.sort_unstable();
    assert!(signals.iter().map(|(number, _)| *number).eq(0..SIGNALS), "each once: {signals:?}");
    assert!(before < Some(CATALOGS), "the last signal came after {before:?} of {CATALOGS} catalogs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_while_links_are_made_anew_arrives() {
    let (mut a, mut b) = pair(1, 2).await;
    for sequence in 1..=4 {
        a.swarm.renew_links();
        b.swarm.send(a.id(), presence(sequence));
        hears(&mut a, sequence).await;
    }
    a.swarm.send(b.id(), presence(5));
    hears(&mut b, 5).await;
}

/// The next link that a node makes to a program that speaks by hand. Other connections are kept.
async fn next_link(other: &Endpoint, kept: &mut Vec<Connection>) -> Connection {
    loop {
        let incoming = soon("a dial", other.accept()).await.expect("it listens");
        let connection = soon("a handshake", incoming.accept().expect("taken")).await.expect("a handshake");
        if connection.alpn() == ALPNS[0] {
            return connection;
        }
        kept.push(connection);
    }
}

/// Says which start of a program this is: the same one each time. The link ends with what this gives.
#[must_use]
async fn greet(connection: &Connection) -> SendStream {
    let greeting = [&8_u32.to_le_bytes()[..], &[1; 8]].concat();
    let mut sender = connection.open_uni().await.expect("a stream");
    sender.write_all(&[preface(1, 7), greeting].concat()).await.expect("written");
    sender
}

/// A program that speaks by hand, to which a node has a link.
async fn linked(node: &mut Node, kept: &mut Vec<Connection>) -> (Endpoint, Connection, SendStream) {
    let other = raw(3).await;
    node.swarm.admit(raw_id(&other), direct(other.bound_sockets()));
    let connection = next_link(&other, kept).await;
    let speaks = greet(&connection).await;
    node.link_up(raw_id(&other)).await;
    (other, connection, speaks)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_made_anew_ends_the_old_one_once_it_is_up() {
    let (mut a, mut kept) = (Node::start(1).await, Vec::new());
    let (other, old, _speaks) = linked(&mut a, &mut kept).await;
    a.swarm.renew_links();
    let anew = next_link(&other, &mut kept).await;
    assert!(old.close_reason().is_none(), "nothing is up yet");
    let _speaks_anew = greet(&anew).await;
    assert_eq!(closed_with(&old).await, 409);
    assert!(anew.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_link_can_be_made_anew_all_connections_are() {
    let (mut a, mut kept) = (Node::start(1).await, Vec::new());
    let (other, old, _speaks) = linked(&mut a, &mut kept).await;
    let refuse = tokio::spawn(async move {
        while let Some(incoming) = other.accept().await {
            incoming.refuse();
        }
    });
    a.swarm.renew_links();
    assert_eq!(closed_with(&old).await, 409);
    refuse.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn to_whom_no_link_stands_one_is_made_for_a_signal_alone() {
    let (a, mut b) = (Node::start(1).await, Node::start(2).await);
    for node in [&a, &b] {
        node.swarm.keep([]);
    }
    a.admit(&b);
    b.admit(&a);
    a.swarm.send(b.id(), presence(1));
    a.swarm.send(b.id(), PeerMessage::Signal(Signal::Nothing { number: 7, digest: Digest([7; 32]) }));
    let first = b.until("a message", |event| match event {
        SwarmEvent::Message { message, .. } => Some(message),
        _ => None,
    });
    let first = first.await;
    assert!(matches!(first, PeerMessage::Signal(Signal::Nothing { number: 7, .. })), "{first:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_knows_no_address_is_found_by_the_other() {
    let (mut a, mut b) = (Node::start(1).await, Node::start(2).await);
    a.swarm.admit(b.id(), vec![]);
    b.admit(&a);
    a.link_up(b.id()).await;
    b.link_up(a.id()).await;
    assert!(!a.swarm.known(b.id()).is_empty(), "the address of the live link is known");
    // And asks the other way although it was told no address.
    let stream = a.swarm.ask(b.id(), ask(1, vec![])).await;
    assert!(stream.is_ok(), "{stream:?}");
    b.asked().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_a_member_before_the_start_needs_no_admission() {
    let mut a = Node::start(1).await;
    let mut b = Node::start_among(2, vec![(a.id(), a.addresses())]).await;
    a.admit(&b);
    a.link_up(b.id()).await;
    b.link_up(a.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn isolation_cuts_everything_and_heals() {
    let (mut a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    b.swarm.isolate(Isolation::Isolated);
    assert!(soon("the end of the stream", stream.next()).await.is_err());
    soon("the watcher", answer.gone()).await;
    a.link_down(b.id()).await;
    b.link_down(a.id()).await;

    let begun = Instant::now();
    assert!(a.swarm.ask(b.id(), ask(2, vec![])).await.is_err(), "nobody answers");
    assert!(begun.elapsed().as_secs() < 10, "and that is known soon");
    let own = b.swarm.ask(a.id(), ask(3, vec![])).await;
    assert!(matches!(own, Err(AskError::Dial(DialError::Isolated))));

    b.swarm.isolate(Isolation::Connected);
    a.link_up(b.id()).await;
    b.link_up(a.id()).await;
    let mut stream = a.swarm.ask(b.id(), ask(4, vec![])).await.expect("healed");
    let (_, _, mut answer) = b.asked().await;
    answer.send(Frame::Accepted).await.expect("sent");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_found_again() {
    let (mut a, b) = pair(1, 2).await;
    let (b_id, address) = (b.id(), b.swarm.addresses()[0]);
    b.swarm.shutdown().await;
    let Node { swarm, events, dir } = b;
    drop((swarm, events));
    a.link_down(b_id).await;

    let mut b = Node::start_in(2, address, dir).await;
    b.admit(&a);
    a.link_up(b_id).await;
    b.link_up(a.id()).await;
    let mut stream = a.swarm.ask(b_id, ask(1, vec![])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    answer.send(Frame::Accepted).await.expect("sent");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
}

/// A node in a runtime of its own, so that it can end as a killed process does: without a word.
struct Mortal {
    runtime: Runtime,
    node: Node,
}

impl Mortal {
    /// Starts and links with a node, which knows it from then on.
    async fn start(seed: u8, with: &mut Node) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (other, addresses) = (with.id(), with.swarm.addresses());
        let node = runtime.spawn(async move {
            let node = Node::start(seed).await;
            node.swarm.admit(other, direct(addresses));
            node
        });
        let mut node = node.await.expect("started");
        with.admit(&node);
        with.link_up(node.id()).await;
        node.link_up(other).await;
        Self { runtime, node }
    }

    fn kill(self) {
        self.runtime.shutdown_background();
        drop(self.node);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_killed_and_started_again_at_once_is_asked_where_it_is_now() {
    let mut a = Node::start(1).await;
    let mut old = Mortal::start(2, &mut a).await;
    let b_id = old.node.id();
    let mut stream = a.swarm.ask(b_id, ask(1, vec![])).await.expect("sent");
    let (_, _, mut answer) = old.node.asked().await;
    let accept = async move {
        answer.send(Frame::Accepted).await.expect("sent");
        answer
    };
    // It is not broken off: the program dies, and says nothing any more.
    let answer = old.runtime.spawn(accept).await.expect("ran");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
    old.kill();
    drop(answer);

    let mut b = Node::start(2).await;
    b.admit(&a);
    b.link_up(a.id()).await;
    b.swarm.send(a.id(), presence(7));
    hears(&mut a, 7).await;
    // What ran there is over, long before the silence would be long enough to say so.
    let begun = Instant::now();
    assert!(soon("the end of the old answer", stream.next()).await.is_err());
    assert!(begun.elapsed().as_millis() < 1000, "{:?}", begun.elapsed());
    let mut stream = a.swarm.ask(b_id, ask(2, vec![])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    answer.send(Frame::Accepted).await.expect("sent");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_counted_by_kind() {
    let (a, mut b) = pair(1, 2).await;
    let mut stream = a.swarm.ask(b.id(), ask(1, vec![7; 100_000])).await.expect("sent");
    let (_, _, mut answer) = b.asked().await;
    answer.send(Frame::Piece(vec![8; 200_000])).await.expect("sent");
    soon("a frame", stream.next()).await.expect("a frame").expect("a frame");
    let of = |node: &Node, peer: &Node| {
        let totals = node.swarm.totals();
        totals.into_iter().find(|(node, _)| *node == peer.id()).expect("counted").1
    };
    let (at_a, at_b) = (of(&a, &b), of(&b, &a));
    assert!(at_a.requests.sent.0 >= 100_000 && at_b.requests.received.0 >= 100_000, "{at_a:?} {at_b:?}");
    assert!(at_b.answers.sent.0 >= 200_000 && at_a.answers.received.0 >= 200_000, "{at_a:?} {at_b:?}");
    assert!(at_a.talk.sent.0 > 0 && at_a.models.sent.0 == 0, "{at_a:?}");
    // What is closed stays counted.
    a.swarm.expel(b.id());
    b.swarm.expel(a.id());
    assert!(of(&a, &b).requests.sent.0 >= 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wire_is_counted_by_kind_strangers_included() {
    let (a, mut b) = pair(1, 2).await;
    let flow = |node: &Node, kind: &str| {
        let flows = node.swarm.wire().flows;
        flows.into_iter().find(|(name, _)| *name == kind).expect("every kind is there").1
    };
    a.swarm.send(b.id(), presence(1));
    b.until("a message", |event| matches!(event, SwarmEvent::Message { .. }).then_some(())).await;
    let said = a.swarm.wire().words.into_iter().find(|(about, _)| *about == "presence").expect("every kind is there").1;
    assert!(said.messages == 1 && said.bytes.0 > 4, "{said:?}");
    let talk = flow(&a, "talk");
    assert!(talk.open >= 1 && talk.sent.0 > 0 && talk.received.0 > 0 && talk.datagrams_sent > 0, "{talk:?}");
    assert_eq!(flow(&a, "models"), Default::default());
    // A stranger who was heard and left is in the sum, and in no row of its own.
    let stranger = raw(9).await;
    let connection = dial(&stranger, &a, b"hither/hello/1").await;
    connection.close(0u32.into(), b"");
    let counted = async {
        while flow(&a, "hellos").received.0 == 0 || flow(&a, "hellos").open > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the stranger is counted", counted).await;
    assert!(a.swarm.totals().iter().all(|(node, _)| *node != raw_id(&stranger)));
}
