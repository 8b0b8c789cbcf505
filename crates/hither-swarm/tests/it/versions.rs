//! Programs of other versions: those with a version in common talk, the others are told why not.

use hither_swarm::{DialError, SwarmEvent};
use hither_types::id::MeshId;
use hither_types::message::Hello;
use iroh::endpoint::{Connection, ConnectionError};

use crate::world::{ALPNS, Node, dial, direct, pair, preface, raw, raw_id, soon};

/// The code and the words that the other end closed with.
async fn end(connection: &Connection) -> (u64, String) {
    match soon("a close", connection.closed()).await {
        ConnectionError::ApplicationClosed(close) => {
            (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
        }
        other => panic!("closed by {other}"),
    }
}

fn join() -> Hello {
    Hello::Join { mesh: MeshId([1; 32]), invite: [2; 16], proof: [3; 32], addresses: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_know_which_program_the_other_runs() {
    let (a, b) = pair(1, 2).await;
    let program = |node: &Node, of: &Node| node.swarm.program(of.id()).map(|program| program.to_string());
    let own = Some(env!("CARGO_PKG_VERSION").to_owned());
    assert_eq!((program(&a, &b), program(&b, &a)), (own.clone(), own));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_program_that_still_speaks_our_version_is_linked() {
    let mut a = Node::start(1).await;
    let newer = raw(3).await;
    a.swarm.admit(raw_id(&newer), vec![]);
    let connection = dial(&newer, &a, ALPNS[0]).await;
    let mut sender = connection.open_uni().await.expect("a stream");
    // It says more in its first frame than we know of.
    let mut first = preface(1, 7);
    first[0] += 4;
    first.extend_from_slice(b"more");
    let greeting = [&8_u32.to_le_bytes()[..], &[1; 8]].concat();
    sender.write_all(&[first, greeting].concat()).await.expect("written");
    a.link_up(raw_id(&newer)).await;
    assert_eq!(a.swarm.program(raw_id(&newer)).expect("said").as_str(), "9.9.9");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_a_common_version_is_refused_and_both_are_told_what_to_do() {
    for ((oldest, newest), there, here) in [
        ((7, 9), "install a newer hither at the other end", "install a newer hither here"),
        ((0, 0), "install a newer hither here", "install a newer hither at the other end"),
    ] {
        let mut a = Node::start(1).await;
        let other = raw(3).await;
        a.swarm.admit(raw_id(&other), vec![]);
        let connection = dial(&other, &a, ALPNS[0]).await;
        let mut sender = connection.open_uni().await.expect("a stream");
        sender.write_all(&preface(oldest, newest)).await.expect("written");
        let (code, told) = end(&connection).await;
        assert!(code == 426 && told.starts_with("this is hither 9.9.9") && told.ends_with(there), "{code} {told}");
        let reason = a
            .until("news of it", |event| match event {
                SwarmEvent::Apart { peer, reason } if peer == raw_id(&other) => Some(reason),
                _ => None,
            })
            .await;
        assert!(reason.contains(&format!("speaks {oldest} to {newest}")) && reason.ends_with(here), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_without_a_common_version_is_told_so() {
    let node = Node::start(1).await;
    let other = raw(3).await;
    let connection = dial(&other, &node, ALPNS[3]).await;
    let (mut sender, _receiver) = connection.open_bi().await.expect("a stream");
    sender.write_all(&preface(7, 9)).await.expect("written");
    let (code, told) = end(&connection).await;
    assert!(code == 426 && told.ends_with("install a newer hither at the other end"), "{code} {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_a_mesh_of_a_later_program_is_told_to_renew_his_own() {
    let a = Node::start(1).await;
    let later = raw(3).await;
    let (id, addresses) = (raw_id(&later), later.bound_sockets());
    let server = async {
        let connection = later.accept().await.expect("a stranger").await.expect("a handshake");
        let (mut sender, mut receiver) = connection.accept_bi().await.expect("a hello");
        sender.write_all(&preface(7, 9)).await.expect("written");
        let _ = receiver.read_to_end(1 << 16).await;
        connection.closed().await;
    };
    let ((), reply) =
        soon("the end", async { tokio::join!(server, a.swarm.hello(id, direct(addresses), join())) }).await;
    let Err(DialError::Apart { reason, .. }) = reply else { panic!("{reply:?}") };
    assert!(reason.ends_with("install a newer hither here"), "{reason}");
}
