//! The swarm as the driver sees it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hither_types::id::{Digest, MeshId, NodeId};
use hither_types::member::{Address, Relay};
use hither_types::message::{Ask, Hello, PeerMessage};
use hither_types::unit::{ByteCount, Micros};
use hither_types::version::{Program, Versions};
use hither_types::view::{LanView, RelayState, Wire};
use iroh::endpoint::{BindOpts, NetReportConfig, QuicTransportConfig, QuicTransportConfigBuilder, VarInt, presets};
use iroh::{Endpoint, RelayMap, RelayMode, SecretKey};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::admission::Admission;
use crate::ask::{AnswerStream, AskError, FrameStream};
use crate::blobs::chunks::{ChunkEvent, Chunks};
use crate::blobs::fetch::{FetchError, Fetched};
use crate::blobs::store::{Store, StoreError};
use crate::dial::{self, DialError, Lines};
use crate::hello::{Heard, HelloReplier};
use crate::lan::{Lan, Multicast};
use crate::ledbat::Requests;
use crate::links::{Code, Kind, Links, Traffic};
use crate::members::{Isolation, Members};
use crate::paths::Paths;
use crate::ping::Pinged;
use crate::relay::pins::{self, Pins};
use crate::relay::{Gate, GuestReplier, Host};
use crate::relays::{KnownRelay, Relays};
use crate::spoken::Spoken;
use crate::talk::Talk;
use crate::tasks::Tasks;
use crate::{accept, addresses, ask, blobs, lan, ledbat, limits, moves, ping, preface, relay, relays, talk};

/// What a swarm needs to start.
#[derive(Clone)]
pub struct SwarmConfig {
    /// The node's Ed25519 key.
    pub secret_key: [u8; 32],
    /// The UDP address to listen at; port 0 takes any.
    pub bind: SocketAddr,
    /// Where models are kept. One process at a time.
    pub blobs_dir: PathBuf,
    /// Where a relay of this node listens; none unless somebody wants one.
    pub relay: Option<SocketAddr>,
    /// Whether members are looked for on this machine's own networks.
    pub multicast: Multicast,
    /// Who is a member already, and where each was last: nobody of them is ever turned away as a stranger.
    pub members: Vec<(NodeId, Vec<Address>)>,
}

impl std::fmt::Debug for SwarmConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SwarmConfig(secret key of 32 bytes, {}, {})", self.bind, self.blobs_dir.display())
    }
}

/// Why a swarm could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be used.
    #[error("UDP address {address} cannot be used: {reason}; choose another in the configuration, or port 0 for any")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The relay cannot listen.
    #[error(
        "the relay cannot listen at {address} over TCP and UDP: {reason}; choose another address in the configuration"
    )]
    Relay {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The store cannot be opened.
    #[error("the model store cannot be opened")]
    Store(#[from] StoreError),
}

/// What peers did.
#[derive(Debug)]
pub enum SwarmEvent {
    /// A member said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: PeerMessage,
    },
    /// A member asks this node to serve a request.
    Asked {
        /// Who.
        from: NodeId,
        /// What.
        ask: Ask,
        /// Where the answer goes.
        answer: AnswerStream,
    },
    /// A node, member or not, says hello.
    Hello {
        /// Who.
        from: NodeId,
        /// Where it was reached from, if known.
        from_address: Option<Address>,
        /// The newest version of the protocol that its program speaks.
        speaks: u16,
        /// What it says.
        hello: Hello,
        /// Where the reply goes.
        reply: HelloReplier,
    },
    /// A node that is no member wants to get on the relay of this one.
    Guest {
        /// Who: it has proved its key.
        node: NodeId,
        /// What it shows, if anything.
        pass: Option<String>,
        /// Where the answer goes. Dropping it refuses.
        reply: GuestReplier,
    },
    /// The relays that this node keeps a connection to, over which others reach it.
    HomeRelays(Vec<Relay>),
    /// The first link to a member, or to a new start of its program, is up.
    LinkUp(NodeId),
    /// The last link to a member is down.
    LinkDown(NodeId),
    /// A member to whom a link is wanted was dialled, and none came up. It is dialled again.
    Unreachable(NodeId),
    /// A member's program and this one have no version of the protocol in common; why, and what to do, in a sentence.
    Apart {
        /// Who.
        peer: NodeId,
        /// For whoever runs this node.
        reason: String,
    },
    /// The round trip to a member, at most once a second.
    RoundTrip {
        /// Who.
        peer: NodeId,
        /// How long.
        rtt: Micros,
    },
}

/// A swarm that runs: what is done with it, what its peers do, and what they do about chunks.
pub type Started = (Swarm, mpsc::Receiver<SwarmEvent>, mpsc::Receiver<ChunkEvent>);

/// What all parts of a swarm share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) endpoint: Endpoint,
    pub(crate) node: NodeId,
    pub(crate) speaks: Versions,
    /// Which start of the program this is, so that peers notice a new one.
    pub(crate) epoch: u64,
    pub(crate) members: Arc<Members>,
    pub(crate) lan: Lan,
    pub(crate) relays: Relays,
    pub(crate) host: Option<Arc<Host>>,
    pub(crate) links: Links,
    pub(crate) lines: Lines,
    pub(crate) talk: Talk,
    pub(crate) store: Store,
    pub(crate) events: mpsc::Sender<SwarmEvent>,
    pub(crate) heads: Semaphore,
    pub(crate) requests: Arc<Requests>,
    pub(crate) heard: Heard,
    pub(crate) hellos: Semaphore,
    pub(crate) serving: Semaphore,
    pub(crate) tasks: Tasks,
    /// What small talk said.
    pub(crate) spoken: Spoken,
    pub(crate) chunks: Chunks,
}

impl Shared {
    /// Addresses of a node: those that work now, then those that were told, newest first.
    pub(crate) fn known(&self, node: NodeId) -> Vec<Address> {
        let mut addresses = self.links.addresses(node);
        for address in self.members.addresses(node) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// Ends the tasks when the last handle is gone: they hold what they share, and would otherwise live for ever.
#[derive(Debug)]
struct Owner(Arc<Shared>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.tasks.abort();
    }
}

/// A node among nodes. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Swarm(Arc<Owner>);

impl Swarm {
    /// Opens the store, binds the address and begins to listen.
    pub async fn start(config: SwarmConfig) -> Result<Started, StartError> {
        Self::start_as(config, preface::own()).await
    }

    /// The same as a program that speaks other versions of the protocol: how those of earlier releases are met can be tried.
    pub async fn start_as(config: SwarmConfig, speaks: Versions) -> Result<Started, StartError> {
        let store = Store::open(config.blobs_dir.clone()).await?;
        let (members, pins) = (Arc::new(Members::default()), Arc::new(Pins::default()));
        let requests = Requests::new();
        let endpoint = bind(&config, members.clone(), pins.clone(), requests.clone())
            .await
            .map_err(|reason| StartError::Bind { address: config.bind, reason })?;
        let (events, receiver) = mpsc::channel(limits::EVENTS);
        let (chunk_events, chunk_receiver) = mpsc::channel(limits::EVENTS);
        let node = NodeId(*endpoint.id().as_bytes());
        let opened = match config.relay {
            None => None,
            Some(address) => {
                let gate = Gate { me: node, members: members.clone(), events: events.clone(), open: Mutex::default() };
                let opened = relay::open(&config.secret_key, address, gate).await;
                Some(opened.map_err(|reason| StartError::Relay { address, reason })?)
            }
        };
        let (host, listener) = opened.map(|(host, listener)| (Arc::new(host), listener)).unzip();
        let shared = Arc::new(Shared {
            node,
            speaks,
            relays: Relays::new(node, pins, host.as_deref().map(Host::local)),
            host,
            endpoint,
            epoch: epoch(),
            members,
            lan: Lan::new(config.multicast),
            links: Links::default(),
            lines: Lines::default(),
            talk: Talk::default(),
            store,
            events,
            heads: Semaphore::new(limits::ASK_HEADS),
            requests,
            heard: Heard::default(),
            hellos: Semaphore::new(limits::HELLOS),
            serving: Semaphore::new(limits::SERVING),
            tasks: Tasks::default(),
            spoken: Spoken::default(),
            chunks: Chunks::new(chunk_events),
        });
        let swarm = Self(Arc::new(Owner(shared.clone())));
        config.members.into_iter().for_each(|(node, addresses)| swarm.admit(node, addresses));
        shared.tasks.spawn(accept::run(shared.clone()));
        shared.tasks.spawn(relays::keep(shared.clone()));
        shared.tasks.spawn(moves::run(shared.clone()));
        if config.multicast == Multicast::On {
            shared.tasks.spawn(lan::run(shared.clone()));
        }
        if let (Some(host), Some(listener)) = (&shared.host, listener) {
            shared.tasks.spawn(relay::run(host.clone(), listener));
        }
        Ok((swarm, receiver, chunk_receiver))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.shared().node
    }

    /// Where this node can be reached: what it is bound to, with "any address" replaced by those of this machine.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses::reached(&self.shared().endpoint)
    }

    /// Of those, the ones that no network of this machine has: how others see it from outside, or what was advertised.
    pub fn outside(&self) -> Vec<SocketAddr> {
        self.addresses().into_iter().filter(|address| !addresses::is_of_this_machine(*address)).collect()
    }

    /// The mesh whose members are looked for on this machine's own networks.
    pub fn look_on_networks(&self, mesh: MeshId) {
        self.shared().lan.look_for(mesh);
    }

    /// Whether that goes on, or why not.
    pub fn on_networks(&self) -> LanView {
        self.shared().lan.state()
    }

    /// Where the relay of this node listens, if it runs one: over TCP and UDP, both at one number.
    pub fn relay(&self) -> Option<SocketAddr> {
        self.shared().host.as_ref().map(|host| host.address)
    }

    /// The relays that may be used, in the place of those named before. Connections that go over one that is not among
    /// them, or is not for them, close at once.
    pub fn use_relays(&self, relays: Vec<KnownRelay>) {
        self.shared().relays.replace(relays);
    }

    /// The relays that may be used, and whether they are.
    pub fn relays(&self) -> Vec<(KnownRelay, RelayState)> {
        self.shared().relays.states(&self.shared().endpoint)
    }

    /// Tells peers that this node is reached at these addresses besides those that it finds itself.
    pub async fn advertise(&self, addresses: &[SocketAddr]) {
        for address in addresses {
            self.shared().endpoint.add_external_addr(*address).await;
        }
    }

    /// Measures round trips to a member, one after the other, and asks it from where it sees this node.
    pub async fn ping(&self, node: NodeId, count: u32) -> Result<Pinged, DialError> {
        ping::ping(self.shared(), node, count).await
    }

    /// Makes a node a member, or tells where it is now. It may connect, and it is dialled until it answers.
    pub fn admit(&self, node: NodeId, addresses: Vec<Address>) {
        let shared = self.shared();
        if node == shared.node {
            return;
        }
        shared.members.admit(node, addresses);
        shared.lan.look_again();
        shared.lines.encourage(node);
        talk::admit(shared, node);
    }

    /// Ends a membership. Live connections close at once.
    pub fn expel(&self, node: NodeId) {
        let shared = self.shared();
        shared.members.expel(node);
        shared.lan.look_again();
        shared.talk.expel(node);
        shared.lines.remove(node);
        shared.links.close(node, Code::Stranger, "no longer a member");
        shared.links.forget_start(node);
        if let Some(host) = &shared.host {
            host.expel(node);
        }
    }

    /// Where a member is: the address of a live connection first, then those that were told.
    pub fn known(&self, node: NodeId) -> Vec<Address> {
        self.shared().known(node)
    }

    /// Keeps links to these members from now on. To others one is made when there is a signal for them. Until it is called,
    /// links are kept to all.
    pub fn keep(&self, nodes: impl IntoIterator<Item = NodeId>) {
        self.shared().talk.keep(nodes.into_iter().collect());
    }

    /// Sends a request to a member. Waits for a connection at most 1.5 s; dropping the call gives up.
    pub async fn ask(&self, to: NodeId, ask: Ask) -> Result<FrameStream, AskError> {
        ask::ask(self.shared(), to, &ask).await
    }

    /// Cuts this node off from everybody, or heals it.
    pub fn isolate(&self, isolated: Isolation) {
        let shared = self.shared();
        shared.members.isolate(isolated);
        shared.lan.look_again();
        match isolated {
            Isolation::Isolated => shared.links.close_all(Code::Isolated, "isolated"),
            Isolation::Connected => {}
        }
        if let Some(host) = &shared.host {
            host.sweep();
        }
        shared.talk.wake_all();
    }

    /// Bytes on the wire per peer and kind, since the start.
    pub fn totals(&self) -> Vec<(NodeId, Traffic)> {
        self.shared().links.totals()
    }

    /// Which program a member was last heard with.
    pub fn program(&self, node: NodeId) -> Option<Program> {
        self.shared().talk.program(node)
    }

    /// What went over connections since the start, by kind, those of strangers included.
    pub fn wire(&self) -> Wire {
        Wire { flows: self.shared().links.flows(), words: self.shared().spoken.words() }
    }

    /// Copies a file into the store and gives its digest and size.
    pub async fn import(&self, path: &Path) -> Result<(Digest, ByteCount), StoreError> {
        self.shared().store.import(path.to_owned()).await
    }

    /// Fetches a file from any of these members. `progress` tells the bytes that are here and verified.
    pub async fn fetch(
        &self,
        digest: Digest,
        size: ByteCount,
        providers: Vec<NodeId>,
        progress: watch::Sender<u64>,
    ) -> Result<Fetched, FetchError> {
        blobs::fetch::fetch(self.shared(), digest, size, providers, progress).await
    }

    /// The files that are here in full.
    pub async fn stored(&self) -> Result<Vec<(Digest, ByteCount)>, StoreError> {
        self.shared().store.stored().await
    }

    /// Reads a file through, and gives its path if it is what it should be. One that is not is removed.
    pub async fn checkout(&self, digest: Digest) -> Result<PathBuf, StoreError> {
        self.shared().store.checkout(digest).await
    }

    /// Removes a file, whole or half.
    pub async fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        self.shared().store.remove(digest).await
    }

    /// Says goodbye to all peers and ends everything.
    pub async fn shutdown(&self) {
        let shared = self.shared();
        shared.links.close_all(Code::Done, "shutting down");
        shared.tasks.stop().await;
        shared.endpoint.close().await;
        shared.store.close();
    }
}

/// How a connection behaves. The shorter silence of both ends ends it.
pub(crate) fn transport(keep_alive: Duration, path_idle: Duration, idle: Duration) -> QuicTransportConfigBuilder {
    let idle = idle.try_into().expect("some seconds are a silence that QUIC can say");
    QuicTransportConfig::builder()
        .default_path_keep_alive_interval(keep_alive)
        .default_path_max_idle_timeout(path_idle)
        .keep_alive_interval(keep_alive)
        .max_idle_timeout(Some(idle))
        .max_concurrent_bidi_streams(VarInt::from_u32(limits::STREAMS))
}

async fn bind(
    config: &SwarmConfig,
    members: Arc<Members>,
    pins: Arc<Pins>,
    requests: Arc<Requests>,
) -> Result<Endpoint, String> {
    let transport = transport(limits::TALK_KEEP_ALIVE, limits::TALK_PATH_IDLE, limits::TALK_IDLE)
        .congestion_controller_factory(Arc::new(ledbat::Factory(requests)))
        .build();
    let mut reports = NetReportConfig::default();
    // It would ask over plain HTTP whether somebody stands between.
    reports.captive_portal_check = false;
    let builder = Endpoint::builder(presets::Minimal)
        // None yet: they come with `use_relays`.
        .relay_mode(RelayMode::Custom(RelayMap::empty()))
        .ca_tls_config(pins::of_client(pins))
        .net_report_config(reports)
        .secret_key(SecretKey::from_bytes(&config.secret_key))
        .alpns(Kind::ALL.iter().map(|kind| kind.alpn().to_vec()).collect())
        .clear_ip_transports()
        .bind_addr(config.bind)
        .map_err(|error| dial::chain(&error))?
        .transport_config(transport)
        .path_selector(Arc::new(Paths::default()))
        .hooks(Admission(members));
    // A socket of IPv6 takes nothing of IPv4 here, and whoever writes [::] means every network.
    let builder = match config.bind {
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            let other = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            let optional = BindOpts::default().set_is_required(false);
            builder.bind_addr_with_opts(other, optional).map_err(|error| dial::chain(&error))?
        }
        _ => builder,
    };
    builder.bind().await.map_err(|error| dial::chain(&error))
}

/// A number that no other start of this node has.
fn epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) ^ (u64::from(std::process::id()) << 48)
}
