//! What strangers show to a node that runs: each is refused, is told why, and the reason stands in the node's log.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use hither_swarm::{Multicast, Swarm, SwarmConfig};
use hither_types::id::{MeshId, NodeId};
use hither_types::member::{Address, MemberRecord, Signed};
use hither_types::message::{Hello, HelloReply};

use super::node::{Node, init};

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    bytes(text).try_into().unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The mesh of a node, and the certificate that the node shows.
fn mesh_of(dir: &Path) -> (MeshId, Signed) {
    let file: toml::Table = std::fs::read_to_string(dir.join("mesh.toml")).unwrap().parse().unwrap();
    let field = |name: &str| file[name].as_str().unwrap();
    let signer = NodeId(unhex(field("founder")));
    let certificate = Signed { bytes: bytes(field("certificate")), signer, signature: unhex(field("signature")) };
    (MeshId(unhex(field("mesh"))), certificate)
}

#[test]
fn what_strangers_show_is_refused_and_the_reason_is_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let (mesh, certificate) = mesh_of(dir.path());
    let log = dir.path().join("log");
    let (node, started) = Node::up_with(dir.path(), Stdio::from(File::create(&log).unwrap()));
    let founder = NodeId(unhex(started["node"].as_str().unwrap()));
    let address: SocketAddr = started["mesh_addresses"][0].as_str().unwrap().parse().unwrap();

    let show = |certificate: Signed| Hello::Introduce(MemberRecord { certificate, addresses: Vec::new() });
    let join = |mesh| Hello::Join { mesh, invite: [2; 16], proof: [3; 32], addresses: Vec::new() };
    let mut another = certificate.clone();
    let site = another.bytes.windows(6).position(|word| word == b"munich").unwrap();
    another.bytes[site..site + 6].copy_from_slice(b"lisbon");
    let mut cut = certificate.clone();
    cut.bytes.truncate(40);
    let mut flipped = certificate.clone();
    flipped.signature[7] ^= 1;
    let by_nobody = Signed { signer: NodeId([9; 32]), ..certificate.clone() };
    let cases = [
        (show(certificate), "the certificate belongs to another key"),
        (show(another), "not a member: the signature does not fit"),
        (show(cut), "not a member: the signature does not fit"),
        (show(flipped), "not a member: the signature does not fit"),
        (show(by_nobody), "not a member: the certificate was signed by a key that is no issuer of this mesh"),
        (join(mesh), "this invite was never made here, or its time is long over"),
        (join(MeshId([7; 32])), "this node does not let others into that mesh"),
    ];
    let expected: Vec<&str> = cases.iter().map(|(_, reason)| *reason).collect();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = SwarmConfig {
            secret_key: [5; 32],
            bind: ([127, 0, 0, 1], 0).into(),
            blobs_dir: dir.path().join("stranger"),
            relay: None,
            multicast: Multicast::Off,
            members: Vec::new(),
        };
        let (stranger, ..) = Swarm::start(config).await.unwrap();
        for (hello, reason) in cases {
            let reply = stranger.hello(founder, vec![Address::Direct(address)], hello).await;
            assert_eq!(reply, Ok(HelloReply::Refused(reason.to_owned())));
        }
        stranger.shutdown().await;
    });

    assert_eq!(node.stop(), Some(0));
    let said = std::fs::read_to_string(&log).unwrap();
    let mut refusals = said.lines().filter(|line| line.contains("a hello was refused"));
    for reason in expected {
        let line = refusals.next().unwrap_or_default();
        assert!(line.contains(reason), "{reason:?} is not in the log where it should be:\n{said}");
    }
    assert_eq!(refusals.next(), None);
    assert!(!said.contains(" a member ") && !said.contains("lisbon"), "{said}");
}
