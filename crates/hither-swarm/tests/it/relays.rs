//! Nodes that cannot reach each other meet over a relay of a third, and nobody else gets on it.

use std::net::{Ipv6Addr, SocketAddr};

use hither_swarm::{AskError, DialError, KnownRelay, SwarmEvent};
use hither_types::id::MeshId;
use hither_types::member::{Address, Relay, RelayUse};
use hither_types::message::{Frame, Hello, HelloReply};

use crate::world::{Node, ask, loopback, soon};

fn use_for(relay: Relay, used_for: RelayUse) -> Vec<KnownRelay> {
    vec![KnownRelay { relay, used_for, pass: None }]
}

/// A node whose packets cannot reach those of a node on the loopback of IPv4, nor the other way round; TCP can.
async fn beyond(seed: u8) -> Node {
    let bind = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    Node::start_in(seed, bind, tempfile::tempdir().expect("a directory")).await
}

/// Waits until a node keeps a connection to a relay.
async fn at_home(node: &mut Node, relay: Relay) {
    let here = |event| matches!(event, SwarmEvent::HomeRelays(relays) if relays.contains(&relay)).then_some(());
    node.until("a connection to the relay", here).await;
}

/// Two members that know each other over a relay alone, and the relay, of which both are members.
struct Three {
    relay: Node,
    a: Node,
    b: Node,
}

/// Starts them, and lets both get on the relay; they do not know each other yet.
async fn three(a: Node, b: Node) -> Three {
    let relay = Node::start_relay(1).await;
    let (mut a, mut b) = (a, b);
    for node in [&mut a, &mut b] {
        relay.swarm.admit(node.id(), vec![]);
        node.swarm.use_relays(use_for(relay.relay(), RelayUse::Everything));
        at_home(node, relay.relay()).await;
    }
    Three { relay, a, b }
}

impl Three {
    fn introduce(&self) {
        let over = vec![Address::Relayed(self.relay.relay())];
        self.a.swarm.admit(self.b.id(), over.clone());
        self.b.swarm.admit(self.a.id(), over);
    }

    async fn linked(&mut self) {
        self.introduce();
        self.a.link_up(self.b.id()).await;
        self.b.link_up(self.a.id()).await;
    }
}

async fn serves(asker: &Node, other: &mut Node, number: u128) {
    let mut stream = asker.swarm.ask(other.id(), ask(number, vec![7; 100_000])).await.expect("sent");
    let (_, _, mut answer) = other.asked().await;
    answer.send(Frame::Accepted).await.expect("sent");
    assert_eq!(soon("a frame", stream.next()).await.expect("a frame"), Some(Frame::Accepted));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_cannot_reach_each_other_serve_each_other_over_the_relay() {
    let mut world = three(Node::start(2).await, beyond(3).await).await;
    world.linked().await;
    serves(&world.a, &mut world.b, 1).await;
    serves(&world.b, &mut world.a, 2).await;
    let pinged = soon("a ping", world.a.swarm.ping(world.b.id(), 5)).await.expect("pongs");
    assert_eq!(pinged.seen_as, None, "over a relay nobody sees where the other is");
    let pongs = pinged.pongs;
    assert_eq!(pongs.len(), 5);
    let over = Some(Address::Relayed(world.relay.relay()));
    assert!(pongs.iter().all(|pong| pong.path == over && !pong.took.is_zero()), "{pongs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_meet_over_a_relay_go_on_without_it_where_they_can() {
    let mut world = three(Node::start(2).await, Node::start(3).await).await;
    world.linked().await;
    soon("a direct path", async {
        loop {
            let pinged = world.a.swarm.ping(world.b.id(), 1).await.expect("a pong");
            if pinged.pongs.iter().any(|pong| matches!(pong.path, Some(Address::Direct(_)))) {
                return;
            }
        }
    })
    .await;
    assert!(world.a.swarm.known(world.b.id()).contains(&world.b.addresses()[0]));
}

fn join() -> Hello {
    Hello::Join { mesh: MeshId([1; 32]), invite: [2; 16], proof: [3; 32], addresses: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_unless_the_driver_takes_its_pass_and_then_it_says_hello_alone() {
    let (mut relay, mut issuer, stranger) = (Node::start_relay(1).await, Node::start(2).await, beyond(3).await);
    relay.swarm.admit(issuer.id(), vec![]);
    issuer.swarm.use_relays(use_for(relay.relay(), RelayUse::Everything));
    at_home(&mut issuer, relay.relay()).await;
    let (at, issuer_id) = (relay.relay(), issuer.id());
    let pass = |text: &str| vec![KnownRelay { relay: at, used_for: RelayUse::Hellos, pass: Some(text.to_owned()) }];
    let stranger_id = stranger.id();
    let over = vec![Address::Relayed(relay.relay())];

    // The driver of the relay drops what it is asked: refused, and nothing gets through.
    stranger.swarm.use_relays(use_for(relay.relay(), RelayUse::Hellos));
    let shown = relay.until("a guest", |event| match event {
        SwarmEvent::Guest { node, pass, .. } if node == stranger_id => Some(pass),
        _ => None,
    });
    let refused = stranger.swarm.hello(issuer_id, over.clone(), join());
    let (shown, refused) = soon("a refusal", async { tokio::join!(shown, refused) }).await;
    assert_eq!(shown, None);
    assert!(matches!(refused, Err(DialError::TimedOut { .. })), "{refused:?}");

    // With a pass that the driver takes the hello gets through.
    stranger.swarm.use_relays(pass("let me in"));
    let admitted = relay.until("the pass", |event| match event {
        SwarmEvent::Guest { node, pass: Some(text), reply } if node == stranger_id => {
            reply.admit();
            Some(text)
        }
        _ => None,
    });
    let heard = issuer.until("a hello", |event| match event {
        SwarmEvent::Hello { from, hello, reply, .. } if from == stranger_id => {
            reply.reply(HelloReply::Refused("not today".to_owned()));
            Some(hello)
        }
        _ => None,
    });
    // Whoever was refused does not come again at once: a hello may be over before, and is said again, as drivers do.
    let reply = async {
        loop {
            match stranger.swarm.hello(issuer_id, over.clone(), join()).await {
                Err(DialError::TimedOut { .. }) => {}
                told => break told,
            }
        }
    };
    let (admitted, heard, reply) = soon("a hello", async { tokio::join!(admitted, heard, reply) }).await;
    assert_eq!((admitted.as_str(), heard), ("let me in", join()));
    assert_eq!(reply, Ok(HelloReply::Refused("not today".to_owned())));

    // A relay that is for hellos carries nothing else, even between those who hold each other for members.
    stranger.swarm.admit(issuer.id(), over);
    let asked = stranger.swarm.ask(issuer.id(), ask(1, vec![])).await;
    assert!(matches!(asked, Err(AskError::Dial(DialError::NoRelay(node))) if node == issuer.id()), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_expelled_is_thrown_off_the_relay_and_does_not_get_back_on() {
    let mut world = three(Node::start(2).await, beyond(3).await).await;
    world.linked().await;
    let (a_id, b_id) = (world.a.id(), world.b.id());
    world.relay.swarm.expel(b_id);
    world.a.link_down(b_id).await;
    world.b.link_down(a_id).await;
    world
        .relay
        .until("the attempt to get back", |event| {
            matches!(event, SwarmEvent::Guest { node, .. } if node == b_id).then_some(())
        })
        .await;
    // Until it is a member again.
    world.relay.swarm.admit(b_id, vec![]);
    world.a.link_up(b_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_may_not_be_used_any_more_loses_its_connections() {
    let mut world = three(Node::start(2).await, beyond(3).await).await;
    world.linked().await;
    let (a_id, b_id) = (world.a.id(), world.b.id());
    world.a.swarm.use_relays(use_for(world.relay.relay(), RelayUse::Hellos));
    world.a.link_down(b_id).await;
    world.b.link_down(a_id).await;
    let asked = world.a.swarm.ask(b_id, ask(1, vec![])).await;
    assert!(matches!(asked, Err(AskError::Dial(DialError::NoRelay(_)))), "{asked:?}");
    world.a.swarm.use_relays(use_for(world.relay.relay(), RelayUse::Everything));
    world.a.link_up(b_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_with_another_key_than_the_one_expected_is_not_used() {
    let (relay, impostor) = (Node::start_relay(1).await, Node::start(4).await);
    let mut node = Node::start(2).await;
    relay.swarm.admit(node.id(), vec![]);
    // The address of the relay, and the key of somebody else.
    let wrong = Relay { node: impostor.id(), address: relay.relay().address };
    node.swarm.use_relays(use_for(wrong, RelayUse::Everything));
    node.swarm.admit(relay.id(), vec![Address::Relayed(wrong)]);
    let dialled = node.swarm.hello(impostor.id(), vec![Address::Relayed(wrong)], join()).await;
    assert!(matches!(dialled, Err(DialError::TimedOut { .. })), "{dialled:?}");
    // With the right one it is, so that the above was the key's doing.
    node.swarm.use_relays(use_for(relay.relay(), RelayUse::Everything));
    at_home(&mut node, relay.relay()).await;
    assert_ne!(relay.relay().address, loopback());
}
