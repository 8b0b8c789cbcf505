//! Nodes to test with, and the waiting for what they report.

use std::net::SocketAddr;
use std::time::Duration;

use hither_swarm::{AnswerStream, ChunkEvent, Multicast, Swarm, SwarmConfig, SwarmEvent};
use hither_types::id::{AppName, Attempt, Digest, ModelName, NodeId, RequestId};
use hither_types::label::{DataClass, Label};
use hither_types::member::{Address, Relay};
use hither_types::message::{Ask, PeerMessage, Presence};
use hither_types::place::Jurisdiction;
use hither_types::request::{Envelope, Priority, Quality, RequestKind};
use hither_types::unit::{ByteCount, Micros, Milliwatts};
use hither_types::version::{Program, Versions};
use hither_wire::versions::encode_versions;
use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Far more than anything here takes; a test that reaches it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ALPNS: [&[u8]; 4] = [b"hither/talk/1", b"hither/ask/1", b"hither/blobs/1", b"hither/hello/1"];

/// Those that strangers are refused on.
pub(crate) const OF_MEMBERS: [&[u8]; 5] =
    [b"hither/talk/1", b"hither/ask/1", b"hither/blobs/1", b"hither/chunks/1", b"hither/ping/1"];

pub(crate) fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

pub(crate) fn key(seed: u8) -> [u8; 32] {
    *blake3(&[seed]).first_chunk().expect("32 bytes")
}

fn blake3(bytes: &[u8]) -> [u8; 32] {
    *bao_tree::blake3::hash(bytes).as_bytes()
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    Digest(blake3(bytes))
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen"),
    }
}

pub(crate) struct Node {
    pub(crate) swarm: Swarm,
    pub(crate) events: mpsc::Receiver<SwarmEvent>,
    pub(crate) dir: TempDir,
}

impl Node {
    pub(crate) async fn start(seed: u8) -> Self {
        Self::start_in(seed, loopback(), tempfile::tempdir().expect("a directory")).await
    }

    pub(crate) async fn start_in(seed: u8, bind: SocketAddr, dir: TempDir) -> Self {
        Self::start_with(seed, bind, (None, Vec::new()), dir).await
    }

    /// A node with members that it knew before.
    pub(crate) async fn start_among(seed: u8, members: Vec<(NodeId, Vec<Address>)>) -> Self {
        Self::start_with(seed, loopback(), (None, members), tempfile::tempdir().expect("a directory")).await
    }

    /// A node with a relay of its own.
    pub(crate) async fn start_relay(seed: u8) -> Self {
        let relay = (Some(loopback()), Vec::new());
        Self::start_with(seed, loopback(), relay, tempfile::tempdir().expect("a directory")).await
    }

    async fn start_with(
        seed: u8,
        bind: SocketAddr,
        (relay, members): (Option<SocketAddr>, Vec<(NodeId, Vec<Address>)>),
        dir: TempDir,
    ) -> Self {
        let (node, mut chunks) = Self::start_hearing(seed, bind, (relay, members), dir).await;
        // The law lets everything go.
        tokio::spawn(async move {
            while let Some(event) = chunks.recv().await {
                if let ChunkEvent::Copying { may, .. } = event {
                    let _ = may.send(true);
                }
            }
        });
        node
    }

    /// A node, and what others do about chunks of files.
    pub(crate) async fn start_hearing(
        seed: u8,
        bind: SocketAddr,
        (relay, members): (Option<SocketAddr>, Vec<(NodeId, Vec<Address>)>),
        dir: TempDir,
    ) -> (Self, mpsc::Receiver<ChunkEvent>) {
        let config = SwarmConfig {
            secret_key: key(seed),
            bind,
            blobs_dir: dir.path().to_owned(),
            relay,
            multicast: Multicast::Off,
            members,
        };
        let (swarm, events, chunks) = Swarm::start(config).await.expect("a swarm");
        (Self { swarm, events, dir }, chunks)
    }

    /// Where it is reached without a relay.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.swarm.addresses().into_iter().map(Address::Direct).collect()
    }

    /// Its own relay.
    pub(crate) fn relay(&self) -> Relay {
        Relay { node: self.id(), address: self.swarm.relay().expect("it has a relay") }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.swarm.node()
    }

    pub(crate) fn admit(&self, other: &Node) {
        self.swarm.admit(other.id(), other.addresses());
    }

    /// The first event that the function takes.
    pub(crate) async fn until<T>(&mut self, what: &str, mut take: impl FnMut(SwarmEvent) -> Option<T>) -> T {
        soon(what, async {
            loop {
                let event = self.events.recv().await.expect("the swarm is running");
                if let Some(taken) = take(event) {
                    return taken;
                }
            }
        })
        .await
    }

    pub(crate) async fn link_up(&mut self, with: NodeId) {
        self.until("link up", |event| matches!(event, SwarmEvent::LinkUp(node) if node == with).then_some(())).await;
    }

    pub(crate) async fn link_down(&mut self, with: NodeId) {
        self.until("link down", |event| matches!(event, SwarmEvent::LinkDown(node) if node == with).then_some(()))
            .await;
    }

    pub(crate) async fn asked(&mut self) -> (NodeId, Ask, AnswerStream) {
        self.until("an ask", |event| match event {
            SwarmEvent::Asked { from, ask, answer } => Some((from, ask, answer)),
            _ => None,
        })
        .await
    }
}

/// Two members whose link is up.
pub(crate) async fn pair(first: u8, second: u8) -> (Node, Node) {
    let (mut a, mut b) = (Node::start(first).await, Node::start(second).await);
    a.admit(&b);
    b.admit(&a);
    a.link_up(b.id()).await;
    b.link_up(a.id()).await;
    (a, b)
}

/// Bytes that look like nothing, the same for the same seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut hasher = bao_tree::blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    let mut bytes = vec![0; length];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

/// Puts a file into the store of a node.
pub(crate) async fn put(node: &Node, bytes: &[u8]) -> (Digest, ByteCount) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    node.swarm.import(file.path()).await.expect("imported")
}

/// An endpoint that speaks no protocol of ours by itself.
pub(crate) async fn raw(seed: u8) -> Endpoint {
    raw_at(seed, loopback()).await
}

pub(crate) async fn raw_at(seed: u8, bind: SocketAddr) -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(SecretKey::from_bytes(&key(seed)))
        .alpns(ALPNS.iter().map(|alpn| alpn.to_vec()).collect())
        .clear_ip_transports()
        .bind_addr(bind)
        .expect("loopback")
        .bind()
        .await
        .expect("an endpoint")
}

/// The first frame of a conversation, of a program that speaks these versions.
pub(crate) fn preface(oldest: u16, newest: u16) -> Vec<u8> {
    let program = Program::parse("9.9.9").expect("a version");
    let body = encode_versions(&Versions { oldest, newest, program });
    [&(body.len() as u32).to_le_bytes(), &body[..]].concat()
}

pub(crate) fn raw_id(endpoint: &Endpoint) -> NodeId {
    NodeId(*endpoint.id().as_bytes())
}

pub(crate) async fn dial(endpoint: &Endpoint, node: &Node, alpn: &[u8]) -> Connection {
    let id = EndpointId::from_bytes(&node.id().0).expect("a key");
    let address = EndpointAddr::from_parts(id, node.swarm.addresses().into_iter().map(TransportAddr::Ip));
    soon("a handshake", endpoint.connect(address, alpn)).await.expect("a handshake")
}

/// The code that the other end closed a connection with.
pub(crate) async fn closed_with(connection: &Connection) -> u64 {
    match soon("a close", connection.closed()).await {
        iroh::endpoint::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed by {other}"),
    }
}

pub(crate) fn presence(sequence: u64) -> PeerMessage {
    PeerMessage::Presence(Presence {
        incarnation: 1,
        sequence,
        models: Vec::new(),
        power: Milliwatts(0),
        cap: Milliwatts(0),
        policy: Digest([0; 32]),
        placing: None,
    })
}

pub(crate) fn ask(request: u128, payload: Vec<u8>) -> Ask {
    Ask {
        request: RequestId(request),
        attempt: Attempt(1),
        digest: Digest([1; 32]),
        envelope: Envelope {
            app: AppName::parse("test").expect("a name"),
            model: ModelName::parse("fraud").expect("a name"),
            label: Label {
                class: DataClass::Internal,
                tags: Vec::new(),
                subjects: vec![Jurisdiction::parse("DE").expect("a country")],
                purpose: None,
            },
            kind: RequestKind::Infer,
            size: ByteCount(payload.len() as u64),
            priority: Priority::Normal,
            prefer: None,
            quality: Quality::Exact,
        },
        remaining: Micros::from_millis(5000),
        resume: vec![1, 2, 3],
        payload,
        trace: None,
    }
}

/// Addresses as members are told them.
pub(crate) fn direct(addresses: impl IntoIterator<Item = std::net::SocketAddr>) -> Vec<Address> {
    addresses.into_iter().map(Address::Direct).collect()
}
