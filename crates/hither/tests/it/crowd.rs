//! A mesh with more members than one message holds: all are known, all are told of, and each membership can be ended.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hither_swarm::{Multicast, Swarm, SwarmConfig};
use hither_types::id::NodeId;
use hither_types::member::Address;
use hither_types::message::{Hello, HelloReply, Invite};
use hither_wire::limits::MAX_MEMBERS;
use serde_json::Value;

use super::node::{Node, init};
use super::{object, text};

/// Far more than a picture takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Joiners: with the founder a few more than one message holds.
const GUESTS: usize = MAX_MEMBERS + 4;

pub(super) fn invite(dir: &Path, site: &str) -> Invite {
    let made = object(&["invite", "--site", site, "--jurisdiction", "DE", "--data", text(dir)], 0);
    hither_wire::ticket::parse(made["ticket"].as_str().unwrap()).unwrap()
}

/// What somebody says who comes with an invite.
pub(super) fn join_hello(me: NodeId, invite: &Invite) -> Hello {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(&invite.secret).as_bytes()[..16]);
    let key = blake3::derive_key("hither invite proof 1", &invite.secret);
    let proof = *blake3::keyed_hash(&key, &me.0).as_bytes();
    Hello::Join { mesh: invite.mesh, invite: name, proof, addresses: Vec::new() }
}

/// Joins with a key of its own, and gives it and how many members it was told of.
async fn join(scratch: &Path, number: usize, invite: &Invite, founder: SocketAddr) -> (NodeId, usize) {
    let mut secret_key = [7; 32];
    secret_key[..8].copy_from_slice(&number.to_le_bytes());
    let config = SwarmConfig {
        secret_key,
        bind: ([127, 0, 0, 1], 0).into(),
        blobs_dir: scratch.join(number.to_string()),
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    };
    let (guest, ..) = Swarm::start(config).await.unwrap();
    let me = guest.node();
    let reply = guest.hello(invite.issuer, vec![Address::Direct(founder)], join_hello(me, invite)).await;
    guest.shutdown().await;
    match reply {
        Ok(HelloReply::Welcome { members, .. }) => (me, members.len()),
        other => panic!("guest {number} is not let in: {other:?}"),
    }
}

/// The members that a node shows, once they are so many: its picture is renewed a few times a second.
fn listed(dir: &Path, count: usize) -> Vec<String> {
    let begun = Instant::now();
    loop {
        let members = object(&["member", "ls", "--data", text(dir)], 0);
        let members = members.as_array().unwrap();
        if members.len() == count {
            return members.iter().map(|member: &Value| member["node"].as_str().unwrap().to_owned()).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "{} are listed, and {count} there should be", members.len());
    }
}

#[test]
fn each_of_a_few_hundred_members_is_known_and_can_be_revoked() {
    let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    init(dir.path());
    let log = dir.path().join("log");
    let (node, started) = Node::up_with(dir.path(), Stdio::from(File::create(&log).unwrap()));
    let founder: SocketAddr = started["mesh_addresses"][0].as_str().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut last = (NodeId([0; 32]), 0);
    for number in 0..GUESTS {
        let invite = invite(dir.path(), &format!("shop{number}"));
        last = runtime.block_on(join(scratch.path(), number, &invite, founder));
    }
    assert_eq!(last.1, MAX_MEMBERS, "the answer to a joiner holds so many");
    listed(dir.path(), 1 + GUESTS);

    let last = last.0.to_string();
    object(&["member", "revoke", &last, "--data", text(dir.path())], 0);
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains("no member any more"), "{}", said.lines().last().unwrap_or_default());
    assert!(!said.contains("cannot be written"), "{said}");
    assert_eq!(node.stop(), Some(0));

    // What is on the disk is all of them but the one.
    let (node, _) = Node::up(dir.path());
    assert!(!listed(dir.path(), GUESTS).contains(&last));
    assert_eq!(node.stop(), Some(0));
}
