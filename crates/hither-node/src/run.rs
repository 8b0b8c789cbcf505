//! A node from start to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use hither_api::door::Door;
use hither_core::Core;
use hither_core::membership::Membership;
use hither_swarm::{ChunkEvent, Swarm, SwarmConfig, SwarmEvent};
use hither_types::fact::{Counterpart, Fact};
use hither_types::law::Policy;
use hither_types::member::{Member, Relay};
use hither_types::place::{Assurance, PlaceKind};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::affinity::Salt;
use crate::apps::Apps;
use crate::canary::Canary;
use crate::clock::Clocks;
use crate::commands::{Law, load_policy};
use crate::config::NodeConfig;
use crate::courses::Courses;
use crate::doorman::{Clock, Doorman, Facade, Leavers};
use crate::driver::{Driver, Ears};
use crate::home::{Home, InitError};
use crate::kernel::Kernel;
use crate::limits::INBOX_MAX;
use crate::meetings::Meetings;
use crate::mesh::Mesh;
use crate::models::Shelf;
use crate::near::Distances;
use crate::near::moves::Moves;
use crate::pins::Pins;
use crate::program::build_id;
use crate::published::Texts;
use crate::records::Records;
use crate::rollouts::Versions;
use crate::spending::Till;
use crate::traces::{Traces, TracesError};
use crate::trainings::{Book, Trainings};
use crate::trust::{Invites, wall_now};
use crate::twins::Twins;
use crate::witness::Witnesses;

/// Why a node cannot start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Another node runs on the data directory.
    #[error("a node runs on {0} already")]
    Running(PathBuf),
    /// The address is taken.
    #[error("the address {address} of the API cannot be used")]
    Api {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file of the data directory cannot be used.
    #[error("cannot use {path}: {text}")]
    Home {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        text: String,
    },
    /// The policy does not load.
    #[error("the policy {path} is not put in force: {text}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// Line, column, what is wrong, what would be right.
        text: String,
    },
    /// The transport cannot start.
    #[error("the mesh cannot start on {address}: {text}")]
    Mesh {
        /// The address.
        address: SocketAddr,
        /// The cause.
        text: String,
    },
    /// Spans cannot be sent where the configuration says.
    #[error(transparent)]
    Traces(#[from] TracesError),
}

impl From<InitError> for RunError {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Running(dir) | InitError::AlreadyMember(dir) => Self::Running(dir),
            InitError::Io { path, source } => Self::Home { path, text: source.to_string() },
            InitError::Damaged { path, text } => Self::Home { path, text },
            // Only `init` can be told too much.
            InitError::Control(_) => Self::Home { path: PathBuf::from("mesh.toml"), text: error.to_string() },
        }
    }
}

/// What a node tells once it is up.
#[derive(Debug, Clone)]
pub struct Started {
    /// Who it is.
    pub me: Member,
    /// The HTTP interface.
    pub api: SocketAddr,
    /// Whether it is HTTPS.
    pub is_tls: bool,
    /// The operator's socket.
    pub socket: PathBuf,
    /// The mesh.
    pub mesh: Vec<SocketAddr>,
    /// The ways to the relay of this node, if it runs one.
    pub relays: Vec<Relay>,
}

/// Runs a node until `stop` resolves; tells once when it is up.
pub async fn run(
    config: NodeConfig,
    started: impl FnOnce(Started),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let home = Home::open(&config.data_dir)?;
    let law = load_policy(&config.policy).map_err(|text| RunError::Policy { path: config.policy.clone(), text })?;
    let tcp = TcpListener::bind(config.api_listen)
        .await
        .map_err(|source| RunError::Api { address: config.api_listen, source })?;
    let unix = unix_listener(&config)?;
    let api = tcp.local_addr().map_err(|source| RunError::Api { address: config.api_listen, source })?;
    write_address(&config, api)?;

    let mesh = Mesh::open(config.data_dir.join("members"), &home);
    let certified = mesh.records().into_iter().filter_map(|record| {
        let member = hither_wire::decode_member(&record.certificate.bytes).ok()?;
        Some((member.node, record.addresses))
    });
    let swarm_config = SwarmConfig {
        secret_key: home.key.to_bytes(),
        bind: config.mesh_listen,
        blobs_dir: config.data_dir.join("models"),
        relay: config.relay.as_ref().map(|relay| relay.listen),
        multicast: config.multicast,
        members: certified.collect(),
    };
    let (swarm, swarm_events, chunk_events) = Swarm::start(swarm_config)
        .await
        .map_err(|error| RunError::Mesh { address: config.mesh_listen, text: error.to_string() })?;
    swarm.advertise(&config.mesh_advertise).await;
    let events = (swarm_events, chunk_events);
    let (driver, ears, doorman, stopping) = assemble(config, (home, mesh), law, swarm.clone(), events).await?;

    started(Started {
        me: driver.home.me.clone(),
        api,
        is_tls: driver.config.tls.is_some(),
        socket: driver.config.api_socket.clone(),
        mesh: swarm.addresses(),
        relays: driver.own_relays(),
    });
    serve(driver, ears, Arc::new(doorman), stopping, (tcp, unix), stop).await;
    swarm.shutdown().await;
    Ok(())
}

/// Makes the driver and everything around it.
async fn assemble(
    mut config: NodeConfig,
    (home, mesh): (Home, Mesh),
    law: Law,
    swarm: Swarm,
    (swarm_events, chunk_events): (mpsc::Receiver<SwarmEvent>, mpsc::Receiver<ChunkEvent>),
) -> Result<(Driver, Ears, Doorman, watch::Sender<bool>), RunError> {
    let dir = config.data_dir.clone();
    config.library = crate::library::find(config.library.take());
    if config.providers.is_empty() {
        config.providers.extend(config.library.as_deref().and_then(crate::library::providers_beside));
    }
    let is_public = !config.access.bound.is_loopback() && config.tls.is_none();
    let incarnation = home.next_incarnation()?;
    let stored =
        swarm.stored().await.map_err(|error| RunError::Home { path: dir.join("models"), text: error.to_string() })?;
    let (inbox, inbound) = mpsc::channel(INBOX_MAX);
    let apps = Arc::new(Apps::open(&dir, &home.key, config.access.clone(), inbox.clone())?);
    // Without the mesh, which a node may change.
    let origin = format!("hither/{}", home.me.node.short());
    let (records, trouble) = Records::start(&config.ledger_dir(), &home.key.to_bytes(), &origin, inbox.clone());
    let clock = Clock(Instant::now());
    let (policy, policy_text) = (Arc::new(law.policy), law.text);
    let core = Core::new(core_config(&config, &home.me, &policy, incarnation, config.cap));
    let (view, views) = watch::channel(Arc::new(core.view(clock.now())));
    let facade = Arc::new(RwLock::new(Facade { me: home.me.clone(), policy: Arc::clone(&policy) }));
    swarm.look_on_networks(home.me.mesh);
    let invites = Invites::open(dir.join("invites"))
        .map_err(|error| RunError::Home { path: dir.join("invites"), text: error.to_string() })?;
    let shelf = Shelf::open(dir.join("catalog"), stored.into_iter().map(|(digest, _)| digest));
    let versions = Versions::open(dir.join("rollouts"));
    let (pins, unread) = Pins::open(dir.join("pins"), config.pinned.clone());
    let witnesses = Witnesses::new(config.ledger_dir(), dir.join("witnessed"), home.me.node, &home.key.to_bytes());
    let kernel = config.kernel.clone().map(|kernel| Kernel::open(kernel, &dir));
    let (till, unkept) = Till::open(dir.join("spent"));
    let (moves, forgotten) = Moves::open(dir.join("moves"));
    let traces = Arc::new(Traces::start(config.telemetry.as_ref(), &home.me)?);
    let (book, unknown) = Book::open(dir.join("trainings.json"));
    let book = Arc::new(book);
    let endpoints = crate::endpoints::open(&config.endpoints, &book);
    let trainings = Arc::new(Trainings { book, servers: endpoints.clone() });
    let (stopping, stop) = watch::channel(false);
    let membership = Membership::new(home.me.node, &home.me.site, incarnation, clock.now());
    let (courses, ways) = Courses::start(home.me.node, swarm.clone(), chunk_events, inbox.clone());
    let mut hands = JoinSet::new();
    hands.spawn(ways);
    let mut driver = Driver {
        cap: config.cap,
        config,
        home,
        core,
        membership,
        clock,
        policy,
        policy_text,
        incarnation,
        swarm,
        courses,
        endpoints,
        mesh,
        invites,
        meetings: Meetings::default(),
        joining: None,
        shelf,
        versions,
        pins,
        records,
        inbox: inbox.clone(),
        sessions: Default::default(),
        apps: Arc::clone(&apps),
        referred: Default::default(),
        asks: Default::default(),
        forwards: Default::default(),
        workers: Default::default(),
        hands,
        echoes: Default::default(),
        view,
        facade: Arc::clone(&facade),
        warnings: Default::default(),
        crashes: Default::default(),
        draining: false,
        twins: Twins::new(wall_now(), incarnation),
        clocks: Clocks::default(),
        distances: Distances::default(),
        moves,
        outlasted: None,
        gave_way: false,
        leaving: false,
        traces: Arc::clone(&traces),
        egress: Default::default(),
        till,
        witnesses,
        texts: Texts::new(dir.join("policies")),
        kernel,
        canary: Canary::new(),
        clearings: Default::default(),
    };
    for (node, server) in driver.endpoints.clone() {
        driver.hands.spawn(crate::endpoints::watch_over(server, node, driver.inbox.clone()));
    }
    if let Some(text) = trouble {
        driver.warn(None, format!("audit-damaged: nothing leaves this node: {text}"));
    }
    let unplaced = driver.traces.trouble();
    for text in unplaced.into_iter().chain(unread).chain(unkept).chain(forgotten).chain(unknown) {
        driver.warn(None, text);
    }
    if is_public {
        let text = "the API listens on a public address without TLS: keys and data can be read on their way; give it a \
                    certificate under [api.tls], put a TLS proxy before it, or listen on 127.0.0.1";
        driver.warn(None, text.to_owned());
    }
    let jobs = match crate::jobs::open(&dir, driver.config.jobs) {
        Ok((jobs, warnings)) => {
            warnings.into_iter().for_each(|text| driver.warn(None, text));
            Ok(Arc::new(jobs))
        }
        Err(error) => {
            driver.warn(None, format!("jobs cannot be kept in {}: {error}; none is taken", dir.join("jobs").display()));
            Err(error.to_string())
        }
    };
    let (policy, version) = (driver.policy.digest, env!("CARGO_PKG_VERSION").to_owned());
    let here = Counterpart::of(&driver.home.me, PlaceKind::Home);
    let (build, config) = (build_id(), driver.config.digest);
    driver.record(None, Fact::Started { policy, version, build, config, here });
    let leavers = Arc::new(Leavers::default());
    let ears = Ears { inbox: inbound, swarm: swarm_events, stop, leavers: Arc::clone(&leavers) };
    let swarm = driver.swarm.clone();
    let doorman =
        Doorman { inbox, view: views, facade, clock, salt: Salt::new(), leavers, apps, traces, swarm, jobs, trainings };
    Ok((driver, ears, doorman, stopping))
}

async fn serve(
    mut driver: Driver,
    ears: Ears,
    door: Arc<dyn Door>,
    stopping: watch::Sender<bool>,
    (tcp, unix): (TcpListener, UnixListener),
    stop: impl Future<Output = ()>,
) {
    // Before anybody is let in, so that nobody is told that what lies on this disk is unknown.
    driver.look_at_relays();
    driver.keep_policy_text();
    driver.follow_published();
    driver.wake();
    let watched = ears.stop.clone();
    let secured = driver.config.tls.clone();
    let tls = secured.as_ref().map(|secured| secured.tls.clone());
    let mut servers = JoinSet::new();
    servers.spawn(hither_api::serve_tcp(tcp, Arc::clone(&door), tls, watched.clone()));
    servers.spawn(hither_api::serve_unix(unix, Arc::clone(&door), watched.clone()));
    servers.spawn(hither_api::batches::run_batches(Arc::clone(&door), watched.clone()));
    servers.spawn(hither_api::jobs::run_jobs(door, watched));
    if let Some(secured) = secured {
        driver.hands.spawn(crate::renewal::certificates(secured, driver.inbox.clone()));
    }
    driver.hands.spawn(crate::clock::watch(driver.inbox.clone()));
    driver.watch_kernel();
    driver.records.live_by(&driver.policy);
    let (ledger, here) = (driver.config.ledger_dir(), driver.home.me.jurisdiction);
    if let Some(keeper) = driver.records.keeper(&ledger, here, Arc::clone(&driver.apps)) {
        driver.hands.spawn(keeper.watch());
    }
    if let Some(oidc) = driver.config.oidc.clone() {
        let kept = driver.config.data_dir.join("issuer.toml");
        driver.hands.spawn(crate::renewal::keys(oidc, kept, driver.inbox.clone()));
    }
    {
        let work = driver.run(ears);
        tokio::pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = stop => {
                stopping.send_replace(true);
                work.await;
            }
        }
    }
    stopping.send_replace(true);
    for worker in driver.workers.values() {
        worker.stop();
    }
    driver.hands.shutdown().await;
    driver.read_kernel_last().await;
    let socket = driver.config.api_socket.clone();
    let (records, traces) = (driver.records, driver.traces);
    // The thread of the ledger waits for a disk, and the last spans for a collector; the runtime must not.
    let stopped = tokio::task::spawn_blocking(move || {
        traces.stop();
        records.stop();
    })
    .await;
    if let Err(error) = stopped {
        tracing::error!(%error, "the ledger's thread did not end well");
    }
    drop(driver.inbox);
    while servers.join_next().await.is_some() {}
    // A stale socket file is removed at the next start anyway.
    let _ = std::fs::remove_file(socket);
}

fn unix_listener(config: &NodeConfig) -> Result<UnixListener, RunError> {
    use std::os::unix::fs::PermissionsExt;
    let path = &config.api_socket;
    let fault = |error: std::io::Error| RunError::Home { path: path.clone(), text: error.to_string() };
    // The lock on the data directory is held, so a socket that is there is stale.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(fault)?;
    Ok(listener)
}

fn write_address(config: &NodeConfig, api: SocketAddr) -> Result<(), RunError> {
    let path = config.data_dir.join("api.addr");
    crate::home::write_private(&path, api.to_string().as_bytes())
        .map_err(|error| RunError::Home { path, text: error.to_string() })
}
/// What the mind is told when it is made.
pub(crate) fn core_config(
    config: &NodeConfig,
    me: &Member,
    policy: &Arc<Policy>,
    incarnation: u64,
    cap: Milliwatts,
) -> hither_core::Config {
    hither_core::Config {
        // Nobody can vouch for what has to be measured.
        me: Member { assurance: me.assurance.min(Assurance::Vouched), ..me.clone() },
        policy: Arc::clone(policy),
        seed: u64::from_le_bytes(crate::home::random()),
        incarnation,
        cap,
        idle: config.idle,
        pull: config.pull,
        memory: config.memory,
        ladder: config.ladder.clone(),
        announce_every: Micros::from_millis(500),
        traces: 1_000,
        settled: Timestamp(0),
        near: config.near,
    }
}
