//! A member whose program is of an earlier release: what it does not read is not told to it, and not begun while it is there.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use hither_swarm::{Multicast, Swarm, SwarmConfig, SwarmEvent};
use hither_types::member::{Address, Signed};
use hither_types::message::HelloReply;
use hither_types::version::{Program, Versions};
use hither_wire::versions::{NEWEST, OLDEST, WITH_POLICIES};
use serde_json::Value;
use tokio::sync::mpsc;

use super::crowd::{invite, join_hello};
use super::node::{Node, init};
use super::{hither, object, text};

/// Far more than a picture takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who was let in.
struct Guest {
    swarm: Swarm,
    events: mpsc::Receiver<SwarmEvent>,
    /// The entries of the authority log that it was told when it joined.
    told: Vec<Signed>,
}

/// Joins as a program that speaks versions of the protocol up to one.
async fn join(dir: &Path, site: &str, founder: SocketAddr, newest: u16) -> Guest {
    let invite = invite(dir, site);
    let config = SwarmConfig {
        secret_key: *blake3::hash(site.as_bytes()).as_bytes(),
        bind: ([127, 0, 0, 1], 0).into(),
        blobs_dir: dir.join(site),
        relay: None,
        multicast: Multicast::Off,
        members: Vec::new(),
    };
    let speaks = Versions { oldest: OLDEST, newest, program: Program::parse("0.0.7").unwrap() };
    let (swarm, events, _) = Swarm::start_as(config, speaks).await.unwrap();
    let hello = join_hello(swarm.node(), &invite);
    match swarm.hello(invite.issuer, vec![Address::Direct(founder)], hello).await {
        Ok(HelloReply::Welcome { authority, .. }) => Guest { swarm, events, told: authority },
        other => panic!("{site} is not let in: {other:?}"),
    }
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {} s", PATIENCE.as_secs());
    }
}

/// The program of a member, as a list of members has it.
fn program(members: &Value, site: &str) -> Option<String> {
    let member = members.as_array()?.iter().find(|member| member["site"] == site)?;
    member["program"].as_str().map(str::to_owned)
}

#[test]
fn no_policy_is_published_while_a_program_is_there_that_reads_none_and_one_that_comes_later_is_told_what_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let (node, started) = Node::up(dir.path());
    let founder: SocketAddr = started["mesh_addresses"][0].as_str().unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let data = ["--data", text(dir.path())];
    let with = |args: &[&'static str]| args.iter().copied().chain(data).collect::<Vec<&str>>();
    let policy = dir.path().join("policy.toml");
    let publish = ["policy", "publish", text(&policy), "--data", text(dir.path())];

    let mut paris = runtime.block_on(join(dir.path(), "paris", founder, WITH_POLICIES - 1));
    assert_eq!(paris.told.len(), 1, "nothing stands in the log yet but who founded the mesh");
    let munich = paris.told[0].signer;
    runtime.block_on(async {
        paris.swarm.admit(munich, vec![Address::Direct(founder)]);
        paris.swarm.keep([munich]);
        let linked = async { while !matches!(paris.events.recv().await, Some(SwarmEvent::LinkUp(_))) {} };
        tokio::time::timeout(PATIENCE, linked).await.expect("a link");
    });
    until("its program is seen", || program(&object(&with(&["member", "ls"]), 0), "paris").as_deref() == Some("0.0.7"));
    let refused = object(&publish, 1);
    assert_eq!(refused["error"]["code"], "E0316", "{refused}");
    let said = refused.to_string();
    assert!(said.contains("log: paris\"") && said.contains("hither member ls"), "{said}");
    assert_eq!(object(&with(&["policy", "published"]), 0)["published"], serde_json::json!([]));

    // Once it is gone, one is published.
    runtime.block_on(paris.swarm.shutdown());
    until("its link is down", || hither(&publish).status.success());

    // Who comes later with such a program is told what it reads, and nothing behind which it would read no more.
    let lyon = runtime.block_on(join(dir.path(), "lyon", founder, WITH_POLICIES - 1));
    assert_eq!(lyon.told, paris.told);
    let nice = runtime.block_on(join(dir.path(), "nice", founder, NEWEST));
    assert_eq!(nice.told.len(), 2, "one that reads it is told of it");
    runtime.block_on(async { tokio::join!(lyon.swarm.shutdown(), nice.swarm.shutdown()) });
    assert_eq!(node.stop(), Some(0));
}
