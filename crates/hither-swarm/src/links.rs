//! The live connections of this node, so that they can be closed at once, and what went over them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use hither_types::id::NodeId;
use hither_types::member::Address;
use hither_types::unit::ByteCount;
use hither_types::view::WireFlow;
use iroh::TransportAddr;
use iroh::endpoint::{
    Connection, ConnectionError, ConnectionStats, PathEvent, PathEventStream, Side, VarInt, WeakConnectionHandle,
};

use crate::members::Standing;
use crate::swarm::Shared;
use crate::{ledbat, starts};

/// What a connection is for. One ALPN each, so that models cannot delay requests, nor requests small talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Presence and the like.
    Talk,
    /// Requests and their answers.
    Ask,
    /// Files.
    Blobs,
    /// Files on their way to many.
    Chunks,
    /// A stranger's first words.
    Hello,
    /// Round trips.
    Ping,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [Self::Talk, Self::Ask, Self::Blobs, Self::Chunks, Self::Hello, Self::Ping];

    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Talk => b"hither/talk/1",
            Self::Ask => b"hither/ask/1",
            Self::Blobs => b"hither/blobs/1",
            Self::Chunks => b"hither/chunks/1",
            Self::Hello => b"hither/hello/1",
            Self::Ping => b"hither/ping/1",
        }
    }

    /// What people call it.
    fn name(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Ask => "requests",
            Self::Blobs => "models",
            Self::Chunks => "chunks",
            Self::Hello => "hellos",
            Self::Ping => "pings",
        }
    }

    pub(crate) fn of(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.alpn() == alpn)
    }
}

/// Why a connection or a stream was closed, as the other end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Code {
    /// Nothing is wrong.
    Done = 0,
    /// What was sent cannot be read.
    Garbage = 400,
    /// The other is not a member, or no longer.
    Stranger = 403,
    /// The file is not here.
    Absent = 404,
    /// It took too long.
    Slow = 408,
    /// A newer connection or a newer start of the node took its place.
    Stale = 409,
    /// No version of the protocol is common to both.
    Apart = 426,
    /// Too much is pending.
    Busy = 429,
    /// The law does not let it go over this relay.
    Unlawful = 451,
    /// Nobody waits for it any more.
    Cancelled = 499,
    /// The answer ended without an end.
    Broken = 500,
    /// A drill.
    Isolated = 503,
    /// The file here is damaged.
    Rotten = 507,
}

impl From<Code> for VarInt {
    fn from(code: Code) -> Self {
        Self::from_u32(code as u32)
    }
}

/// Bytes in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes sent.
    pub sent: ByteCount,
    /// Bytes received.
    pub received: ByteCount,
}

/// Bytes on the wire by kind, UDP payload, acknowledgements and repeats included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests: what this node sent on connections that it asks over, and received on those it is asked over.
    pub requests: Flow,
    /// Answers: the other direction of the same connections.
    pub answers: Flow,
    /// Files of models.
    pub models: Flow,
    /// Small talk, hellos and pings.
    pub talk: Flow,
}

impl Flow {
    fn add(&mut self, sent: u64, received: u64) {
        self.sent.0 += sent;
        self.received.0 += received;
    }
}

impl Traffic {
    fn add(&mut self, kind: Kind, side: Side, stats: &ConnectionStats) {
        let (sent, received) = (stats.udp_tx.bytes, stats.udp_rx.bytes);
        match (kind, side) {
            (Kind::Talk | Kind::Hello | Kind::Ping, _) => self.talk.add(sent, received),
            (Kind::Blobs | Kind::Chunks, _) => self.models.add(sent, received),
            (Kind::Ask, Side::Client) => {
                self.requests.add(sent, 0);
                self.answers.add(0, received);
            }
            (Kind::Ask, Side::Server) => {
                self.requests.add(0, received);
                self.answers.add(sent, 0);
            }
        }
    }
}

fn count(flow: &mut WireFlow, stats: &ConnectionStats) {
    flow.sent.0 += stats.udp_tx.bytes;
    flow.received.0 += stats.udp_rx.bytes;
    flow.datagrams_sent += stats.udp_tx.datagrams;
    flow.datagrams_received += stats.udp_rx.datagrams;
}

#[derive(Debug)]
struct Link {
    id: usize,
    /// Grows from link to link.
    number: u64,
    kind: Kind,
    side: Side,
    /// The start of the program at the other end, once it said so.
    epoch: Option<u64>,
    handle: WeakConnectionHandle,
}

/// The newest start of a node that is known.
#[derive(Debug, Clone, Copy)]
struct Start {
    epoch: u64,
    /// Links with lower numbers than this were made before it was known.
    before: u64,
}

#[derive(Debug, Default)]
struct Table {
    live: HashMap<NodeId, Vec<Link>>,
    past: HashMap<NodeId, Traffic>,
    starts: HashMap<NodeId, Start>,
    next: u64,
    /// What connections that ended carried, by kind: one row each, however many strangers there were.
    ended: HashMap<Kind, WireFlow>,
}

/// The table of live connections.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Table>);

impl Links {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connections of a node.
    pub(crate) fn close(&self, node: NodeId, code: Code, reason: &str) {
        for connection in self.connections(|of, _| of == node) {
            connection.close(code.into(), reason.as_bytes());
        }
    }

    /// Closes every connection.
    pub(crate) fn close_all(&self, code: Code, reason: &str) {
        for connection in self.connections(|_, _| true) {
            connection.close(code.into(), reason.as_bytes());
        }
    }

    /// Closes the links of small talk to a node that were made before this one.
    pub(crate) fn supersede(&self, node: NodeId, id: usize) {
        let this = self.lock().live.get(&node).and_then(|links| Some(links.iter().find(|link| link.id == id)?.number));
        let is_older = |link: &Link| link.kind == Kind::Talk && this.is_some_and(|this| link.number < this);
        for connection in self.connections(|of, link| of == node && is_older(link)) {
            connection.close(Code::Stale.into(), b"the link was made anew");
        }
    }

    /// A node showed a new start of itself. Gives the connections to earlier ones, and those that have not said yet to
    /// which they belong.
    pub(crate) fn outlived(&self, node: NodeId, epoch: u64) -> (Vec<Connection>, Vec<Connection>) {
        let mut table = self.lock();
        let before = table.next;
        table.starts.insert(node, Start { epoch, before });
        let links = table.live.get(&node).into_iter().flatten().filter(|link| starts::is_introduced(link.kind));
        let (unknown, known): (Vec<&Link>, Vec<&Link>) = links.partition(|link| link.epoch.is_none());
        let open = |links: Vec<&Link>| links.into_iter().filter_map(|link| link.handle.upgrade()).collect();
        (open(known.into_iter().filter(|link| link.epoch != Some(epoch)).collect()), open(unknown))
    }

    /// A connection said to which start of the other program it belongs. `true` if a newer one is known.
    pub(crate) fn belongs(&self, node: NodeId, id: usize, epoch: u64) -> bool {
        let mut table = self.lock();
        let newest = table.starts.get(&node).copied();
        let Some(link) = table.live.get_mut(&node).and_then(|links| links.iter_mut().find(|link| link.id == id)) else {
            return false;
        };
        link.epoch = Some(epoch);
        // One that was made later may belong to a start that is newer still.
        newest.is_some_and(|newest| link.number < newest.before && epoch != newest.epoch)
    }

    /// Forgets which start of a node is the newest: it is no member any more.
    pub(crate) fn forget_start(&self, node: NodeId) {
        self.lock().starts.remove(&node);
    }

    /// Whether a connection said to which start of the other program it belongs.
    pub(crate) fn has_said(&self, node: NodeId, id: usize) -> bool {
        let table = self.lock();
        table.live.get(&node).into_iter().flatten().any(|link| link.id == id && link.epoch.is_some())
    }

    fn add(&self, node: NodeId, link: Link) {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        table.live.entry(node).or_default().push(Link { number, ..link });
    }

    fn connections(&self, wanted: impl Fn(NodeId, &Link) -> bool) -> Vec<Connection> {
        let table = self.lock();
        let links = table.live.iter().flat_map(|(node, links)| links.iter().map(|link| (*node, link)));
        links.filter(|(node, link)| wanted(*node, link)).filter_map(|(_, link)| link.handle.upgrade()).collect()
    }

    /// The addresses that live connections to a node use without a relay.
    pub(crate) fn addresses(&self, node: NodeId) -> Vec<Address> {
        let mut found = Vec::new();
        for connection in self.connections(|of, _| of == node) {
            if connection.close_reason().is_none()
                && let Some(TransportAddr::Ip(address)) = selected(&connection)
                && !found.contains(&Address::Direct(address))
            {
                found.push(Address::Direct(address));
            }
        }
        found
    }

    /// Closes connections over relays that may not be used for them any more.
    pub(crate) fn close_forbidden(&self, shared: &Shared) {
        let table = self.lock();
        let links = table.live.values().flatten();
        let open: Vec<_> = links.filter_map(|link| Some((link.kind, link.handle.upgrade()?))).collect();
        drop(table);
        for (kind, connection) in open {
            if !is_lawful(shared, &connection, kind) {
                close_unlawful(&connection);
            }
        }
    }

    /// What went over all connections, closed ones included.
    pub(crate) fn totals(&self) -> Vec<(NodeId, Traffic)> {
        let table = self.lock();
        let mut totals = table.past.clone();
        for (node, links) in &table.live {
            for link in links {
                if let Some(connection) = link.handle.upgrade() {
                    totals.entry(*node).or_default().add(link.kind, link.side, &connection.stats());
                }
            }
        }
        drop(table);
        let mut totals: Vec<_> = totals.into_iter().collect();
        totals.sort_by_key(|(node, _)| *node);
        totals
    }
}

impl Links {
    /// What went over all connections by kind, closed ones and those of strangers included.
    pub(crate) fn flows(&self) -> Vec<(&'static str, WireFlow)> {
        let table = self.lock();
        let mut flows = table.ended.clone();
        for link in table.live.values().flatten() {
            let flow = flows.entry(link.kind).or_default();
            flow.open += 1;
            if let Some(connection) = link.handle.upgrade() {
                count(flow, &connection.stats());
                flow.giving_way += u64::from(ledbat::is_behind(&connection));
            }
        }
        drop(table);
        Kind::ALL.into_iter().map(|kind| (kind.name(), flows.remove(&kind).unwrap_or_default())).collect()
    }
}

/// The address that a connection uses, as the transport names it.
fn selected(connection: &Connection) -> Option<TransportAddr> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    Some(path.remote_addr().clone())
}

/// Whether new connections to the same node would be sent where this one goes. iroh (1.4) sends their first packets to the
/// address that it chose last, as long as any connection to the node lives, and does not choose again when those at that
/// address end.
pub(crate) fn leads(connection: &Connection) -> bool {
    connection.paths().iter().any(|path| path.is_selected())
}

/// Whether a connection was closed for the sake of a newer one.
pub(crate) fn is_stale(connection: &Connection) -> bool {
    match connection.close_reason() {
        Some(ConnectionError::ApplicationClosed(close)) => close.error_code == Code::Stale.into(),
        // This end closes those of members to no other purpose, as long as it may dial them again.
        Some(ConnectionError::LocallyClosed) => true,
        _ => false,
    }
}

/// The address that a connection uses.
pub(crate) fn address(shared: &Shared, connection: &Connection) -> Option<Address> {
    match selected(connection)? {
        TransportAddr::Ip(address) => Some(Address::Direct(address)),
        TransportAddr::Relay(url) => shared.relays.named(&url).map(Address::Relayed),
        _ => None,
    }
}

/// Whether every path of a connection, used or kept for later, is one that the law lets this kind of connection use.
fn is_lawful(shared: &Shared, connection: &Connection, kind: Kind) -> bool {
    connection.paths().iter().all(|path| shared.relays.permits(path.remote_addr(), kind))
}

fn close_unlawful(connection: &Connection) {
    let peer = NodeId(*connection.remote_id().as_bytes());
    tracing::warn!(peer = %peer.short(), "a connection went over a relay that the law does not permit, and was closed");
    connection.close(Code::Unlawful.into(), b"the law does not permit this relay");
}

/// Closes a connection as soon as it gets a path that it may not use; returns at the connection's end. A new path carries
/// nothing of a connection before both ends have proved that it works, so nothing has gone over it by then.
async fn guard(
    weak: &std::sync::Weak<Shared>,
    connection: &WeakConnectionHandle,
    kind: Kind,
    mut events: PathEventStream,
) {
    while let Some(event) = events.next().await {
        match event {
            PathEvent::Opened { .. } | PathEvent::Selected { .. } | PathEvent::Lagged { .. } => {
                let (Some(shared), Some(connection)) = (weak.upgrade(), connection.upgrade()) else { return };
                if !is_lawful(&shared, &connection, kind) {
                    close_unlawful(&connection);
                }
            }
            _ => {}
        }
    }
}

/// The round trip of a connection.
pub(crate) fn round_trip(connection: &Connection) -> Option<Duration> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    Some(path.rtt())
}

/// Keeps account of a connection until its end. `false`, and the connection is closed, if the other end was expelled
/// or this node was isolated since the handshake.
pub(crate) fn register(shared: &Arc<Shared>, connection: &Connection, kind: Kind) -> bool {
    let node = NodeId(*connection.remote_id().as_bytes());
    let side = connection.side();
    let handle = connection.weak_handle();
    let id = connection.stable_id();
    let closed = handle.closed();
    let (watched, paths) = (handle.clone(), connection.path_events());
    shared.links.add(node, Link { id, number: 0, kind, side, epoch: None, handle });
    // Looked up again only now: who was expelled before is refused here, who is expelled later finds it in the table.
    let standing = shared.members.standing(node);
    let refusal = match (standing, kind) {
        (Standing::Isolated, _) => Some((Code::Isolated, "isolated")),
        (Standing::Stranger, Kind::Talk | Kind::Ask | Kind::Blobs | Kind::Chunks | Kind::Ping) => {
            Some((Code::Stranger, "not a member"))
        }
        (Standing::Stranger, Kind::Hello) | (Standing::Member, _) if is_lawful(shared, connection, kind) => None,
        (Standing::Stranger, Kind::Hello) | (Standing::Member, _) => {
            Some((Code::Unlawful, "the law does not permit this relay"))
        }
    };
    if let Some((code, reason)) = refusal {
        connection.close(code.into(), reason.as_bytes());
    } else if starts::is_introduced(kind) {
        shared.tasks.spawn(starts::introduce(shared.clone(), node, connection.clone()));
    }
    let weak = Arc::downgrade(shared);
    shared.tasks.spawn(async move {
        tokio::pin!(closed);
        let end = tokio::select! {
            end = &mut closed => end,
            () = guard(&weak, &watched, kind, paths) => closed.await,
        };
        let Some(shared) = weak.upgrade() else { return };
        let known = shared.members.standing(node) != Standing::Stranger;
        let mut table = shared.links.lock();
        if let Some(links) = table.live.get_mut(&node) {
            links.retain(|link| link.id != id);
            if links.is_empty() {
                table.live.remove(&node);
            }
        }
        if let Some(end) = &end {
            count(table.ended.entry(kind).or_default(), &end.stats);
        }
        // Strangers can make up any number of keys: what they send is not kept by name.
        if let Some(end) = end
            && (known || kind != Kind::Hello || side == Side::Client)
        {
            table.past.entry(node).or_default().add(kind, side, &end.stats);
        }
        drop(table);
        shared.lines.forget(node, kind, id);
    });
    refusal.is_none()
}
