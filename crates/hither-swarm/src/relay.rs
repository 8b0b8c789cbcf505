//! A relay of one's own: passes ciphertext on between members that cannot reach each other, and tells them how they look
//! from outside, so that they can.
//!
//! It lets members on, and whoever the driver vouches for: a joiner with a pass of an issuer, for a moment. Everybody else
//! is refused. It sees who speaks with whom and how much, and nothing of what is said.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hither_types::id::NodeId;
use iroh::EndpointId;
use iroh_relay::KeyCache;
use iroh_relay::http::RELAY_PROBE_PATH;
use iroh_relay::server::http_server::{BytesBody, TlsConfig};
use iroh_relay::server::{
    Access, AccessControl, ClientRequest, ConnectionId, Handlers, Metrics, QuicConfig, RelayService, Server,
    ServerConfig,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::dial::chain;
use crate::limits;
use crate::members::{Isolation, Members, Standing};
use crate::swarm::SwarmEvent;

pub(crate) mod pins;

/// Who may be on this relay, and who is.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) me: NodeId,
    pub(crate) members: Arc<Members>,
    pub(crate) events: mpsc::Sender<SwarmEvent>,
    pub(crate) open: Mutex<HashMap<NodeId, Vec<Client>>>,
}

/// A connection to this relay.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    id: ConnectionId,
    since: Instant,
}

/// The way back to a node that wants to get on this relay and is no member.
#[derive(Debug)]
pub struct GuestReplier(oneshot::Sender<bool>);

impl GuestReplier {
    /// Lets it on for a moment.
    pub fn admit(self) {
        // It may have given up by now.
        let _ = self.0.send(true);
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, Vec<Client>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_member(&self, node: NodeId) -> bool {
        self.members.isolation() == Isolation::Connected
            && (node == self.me || self.members.standing(node) == Standing::Member)
    }

    /// Whether there is room for one more, as far as the table says.
    fn is_full(&self, node: NodeId, is_member: bool) -> bool {
        let open = self.lock();
        let guests = open.keys().filter(|node| !self.is_member(**node)).count();
        open.get(&node).is_some_and(|clients| clients.len() >= limits::RELAY_CONNECTIONS)
            || (!is_member && guests >= limits::RELAY_GUESTS)
    }

    async fn decide(&self, node: NodeId, pass: Option<String>) -> Result<(), &'static str> {
        if self.members.isolation() == Isolation::Isolated {
            return Err("isolated");
        }
        let is_member = self.is_member(node);
        if self.is_full(node, is_member) {
            return Err("too many connections");
        }
        if is_member {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let asked = SwarmEvent::Guest { node, pass, reply: GuestReplier(reply) };
        self.events.try_send(asked).map_err(|_| "too busy to look at a pass")?;
        match tokio::time::timeout(limits::RELAY_GUEST_ANSWER, answer).await {
            Ok(Ok(true)) => Ok(()),
            _ => Err("not a member, and no pass that holds"),
        }
    }
}

impl AccessControl for Gate {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        let node = NodeId(*request.endpoint_id().as_bytes());
        match self.decide(node, request.auth_token()).await {
            Ok(()) => {
                let client = Client { id: request.connection_id(), since: Instant::now() };
                self.lock().entry(node).or_default().push(client);
                Access::Allow
            }
            Err(reason) => {
                tracing::info!(peer = %node.short(), reason, "refused on the relay");
                Access::Deny { reason: Some(reason.to_owned()) }
            }
        }
    }

    fn on_disconnect(&self, endpoint: EndpointId, connection: ConnectionId) {
        let node = NodeId(*endpoint.as_bytes());
        let mut open = self.lock();
        if let Some(clients) = open.get_mut(&node) {
            clients.retain(|client| client.id != connection);
            if clients.is_empty() {
                open.remove(&node);
            }
        }
    }
}

/// A relay that runs.
#[derive(Debug)]
pub(crate) struct Host {
    gate: Arc<Gate>,
    service: RelayService,
    tls: TlsConfig,
    /// Tells whoever asks how it looks from outside. It stops when it is dropped.
    _outside: Server,
    /// Where both listen.
    pub(crate) address: SocketAddr,
}

impl Host {
    /// Where this node itself reaches its relay.
    pub(crate) fn local(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// Throws a node off at once.
    pub(crate) fn expel(&self, node: NodeId) {
        if let Ok(endpoint) = EndpointId::from_bytes(&node.0) {
            self.service.clients().disconnect(endpoint, None);
        }
    }

    /// Throws off whoever is not entitled to be on: guests whose time is over, and members that were expelled while they
    /// connected.
    pub(crate) fn sweep(&self) {
        let over: Vec<(NodeId, ConnectionId)> = self
            .gate
            .lock()
            .iter()
            .filter(|(node, _)| !self.gate.is_member(**node))
            .flat_map(|(node, clients)| clients.iter().map(|client| (*node, *client)))
            .filter(|(_, client)| {
                client.since.elapsed() > limits::RELAY_GUEST || self.gate.members.isolation() == Isolation::Isolated
            })
            .map(|(node, client)| (node, client.id))
            .collect();
        for (node, connection) in over {
            if let Ok(endpoint) = EndpointId::from_bytes(&node.0) {
                self.service.clients().disconnect(endpoint, Some(connection));
            }
        }
    }
}

/// Binds one number over TCP and UDP, and begins to answer over UDP.
pub(crate) async fn open(secret: &[u8; 32], listen: SocketAddr, gate: Gate) -> Result<(Host, TcpListener), String> {
    let tls = pins::of_server(secret, gate.me).map_err(|error| error.to_string())?;
    let (listener, outside) = bind(listen, &tls).await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut handlers = Handlers::default();
    // Whoever has no UDP measures by it which relay is near.
    handlers.insert(
        (hyper::Method::GET, RELAY_PROBE_PATH),
        Box::new(|_, response| {
            let empty: BytesBody = Box::new(http_body_util::Empty::new());
            Ok(response.status(hyper::StatusCode::OK).body(empty)?)
        }),
    );
    let gate = Arc::new(gate);
    let service = RelayService::new(
        handlers,
        hyper::HeaderMap::new(),
        None,
        KeyCache::new(limits::RELAY_KEYS),
        gate.clone(),
        Arc::new(Metrics::default()),
    );
    Ok((Host { gate, service, tls: TlsConfig::new(Arc::new(tls)), _outside: outside, address }, listener))
}

async fn bind(listen: SocketAddr, tls: &rustls::ServerConfig) -> Result<(TcpListener, Server), String> {
    let mut tries = if listen.port() == 0 { limits::RELAY_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let listener = TcpListener::bind(listen).await.map_err(|error| format!("TCP: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut quic = QuicConfig::new(address);
        quic.server_config = Some(tls.clone());
        let mut config = ServerConfig::default();
        config.quic = Some(quic);
        match Server::spawn(config).await {
            Ok(outside) => return Ok((listener, outside)),
            // The number that TCP gave is taken in UDP: another will do.
            Err(_) if tries > 0 => {}
            Err(error) => return Err(format!("UDP: {}", chain(&error))),
        }
    }
}

/// Takes connections until it is dropped.
pub(crate) async fn run(host: Arc<Host>, listener: TcpListener) {
    let mut handshakes = JoinSet::new();
    let mut sweep = tokio::time::interval(limits::RELAY_SWEEP);
    loop {
        tokio::select! {
            accepted = listener.accept(), if handshakes.len() < limits::RELAY_HANDSHAKES => match accepted {
                Ok((stream, _)) => {
                    handshakes.spawn(shake(host.clone(), stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "the relay cannot take a connection");
                    tokio::time::sleep(limits::RELAY_ACCEPT_PAUSE).await;
                }
            },
            Some(_) = handshakes.join_next(), if !handshakes.is_empty() => {}
            _ = sweep.tick() => host.sweep(),
        }
    }
}

async fn shake(host: Arc<Host>, stream: TcpStream) {
    // It ends when the connection is handed over to the relay, or gives up after its time.
    host.service.clone().handle_connection(stream, Some(host.tls.clone()), limits::RELAY_HANDSHAKE).await;
}
