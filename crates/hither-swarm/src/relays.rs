//! The relays that this node may use, as the driver said. An empty table means none: nothing of a relay is ever dialled
//! that is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hither_types::id::NodeId;
use hither_types::member::{Relay, RelayUse};
use hither_types::view::RelayState;
use iroh::{Endpoint, RelayUrl, TransportAddr, Watcher};
use iroh_relay::{RelayConfig, RelayQuicConfig};
use tokio::sync::watch;

use crate::links::Kind;
use crate::relay::pins::Pins;
use crate::swarm::{Shared, SwarmEvent};

#[cfg(test)]
mod tests;

/// A relay that may be used, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRelay {
    /// Which.
    pub relay: Relay,
    /// What may go over it.
    pub used_for: RelayUse,
    /// What lets this node on, as long as it is no member.
    pub pass: Option<String>,
}

#[derive(Debug, Default)]
struct Table {
    known: BTreeMap<RelayUrl, KnownRelay>,
    /// Those that the transport keeps a connection to.
    home: BTreeSet<RelayUrl>,
    /// Where this node's own relay listens on this machine: from here it is not reached by its outer address.
    own: Option<SocketAddr>,
}

/// The table of relays.
#[derive(Debug)]
pub(crate) struct Relays {
    table: RwLock<Table>,
    me: NodeId,
    pins: Arc<Pins>,
    /// Grows with each change, for whoever tells the endpoint of it.
    changed: watch::Sender<u64>,
    /// As far as the endpoint was told.
    told: watch::Sender<u64>,
}

impl Relays {
    pub(crate) fn new(me: NodeId, pins: Arc<Pins>, own: Option<SocketAddr>) -> Self {
        let (changed, told) = (watch::channel(0).0, watch::channel(0).0);
        Self { table: RwLock::new(Table { own, ..Table::default() }), me, pins, changed, told }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a new list in the place of the old one. Says whether it says something else.
    pub(crate) fn replace(&self, relays: Vec<KnownRelay>) -> bool {
        let mut table = self.write();
        let mut known = BTreeMap::new();
        let mut pins: Vec<(IpAddr, NodeId)> = Vec::new();
        for relay in relays {
            let address = match table.own {
                Some(own) if relay.relay.node == self.me => own,
                _ => relay.relay.address,
            };
            if let Some(url) = url(address, relay.pass.is_some()) {
                pins.push((address.ip(), relay.relay.node));
                known.insert(url, relay);
            }
        }
        if known == table.known {
            return false;
        }
        table.known = known;
        self.pins.replace(pins);
        drop(table);
        self.changed.send_modify(|count| *count += 1);
        true
    }

    /// Waits until the endpoint knows of every change so far: a relay that is dialled before is asked without its pass, and
    /// again without it until the endpoint lets go of it.
    pub(crate) async fn settled(&self) {
        let wanted = *self.changed.borrow();
        // It cannot fail: who tells lives here. Where nobody does any more, whoever waits has a time of his own.
        let _ = self.told.subscribe().wait_for(|told| *told >= wanted).await;
    }

    /// Which relay a URL names, if it may be used.
    pub(crate) fn named(&self, url: &RelayUrl) -> Option<Relay> {
        self.read().known.get(url).map(|known| known.relay)
    }

    /// Every relay that may be used, and whether it is.
    pub(crate) fn states(&self, endpoint: &Endpoint) -> Vec<(KnownRelay, RelayState)> {
        let chosen = endpoint.home_relay_status().get();
        let table = self.read();
        let states = table.known.iter().map(|(url, known)| {
            let state = match chosen.iter().find(|status| status.url() == url) {
                Some(status) if status.is_connected() => RelayState::Home,
                Some(status) => RelayState::Unreachable(status.last_error().map(|error| format!("{error:#}"))),
                // The transport chooses among those that answer: if it chose none, none does.
                None if chosen.is_empty() => RelayState::Unreachable(None),
                None => RelayState::Spare,
            };
            (known.clone(), state)
        });
        states.collect()
    }

    /// The URLs of a relay for a kind of connection. One relay may have several addresses, and which of them can be
    /// reached from here is found out by trying; once there is a connection it is the only one, for a relay sends what it
    /// has for a node over the newest.
    pub(crate) fn urls(&self, relay: NodeId, kind: Kind) -> Vec<RelayUrl> {
        let table = self.read();
        let fits = |known: &KnownRelay| known.relay.node == relay && allows(known.used_for, kind);
        let urls = table.known.iter().filter(|(_, known)| fits(known)).map(|(url, _)| url.clone());
        let (home, others): (Vec<_>, Vec<_>) = urls.partition(|url| table.home.contains(url));
        if home.is_empty() { others } else { home }
    }

    /// Whether a connection of this kind may use this path.
    pub(crate) fn permits(&self, path: &TransportAddr, kind: Kind) -> bool {
        match path {
            TransportAddr::Relay(url) => self.read().known.get(url).is_some_and(|known| allows(known.used_for, kind)),
            _ => true,
        }
    }
}

fn allows(used_for: RelayUse, kind: Kind) -> bool {
    match (used_for, kind) {
        (RelayUse::Everything, _) | (RelayUse::Hellos, Kind::Hello) => true,
        (RelayUse::Hellos, Kind::Talk | Kind::Ask | Kind::Blobs | Kind::Chunks | Kind::Ping) => false,
    }
}

/// The URL by which the transport names a relay. A guest has one of its own, for the transport asks for a pass once for
/// each URL.
fn url(address: SocketAddr, is_guest: bool) -> Option<RelayUrl> {
    let path = if is_guest { "guest" } else { "" };
    format!("https://{address}/{path}").parse().ok()
}

/// Tells the endpoint of every change, and the driver which relay the endpoint keeps a connection to.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut changed = shared.relays.changed.subscribe();
    let mut home = shared.endpoint.home_relay_status();
    let mut told: BTreeSet<RelayUrl> = BTreeSet::new();
    let mut at_home: Vec<Relay> = Vec::new();
    loop {
        // Before the table is read: what changes after it is another change.
        let version = *changed.borrow_and_update();
        let known = shared.relays.read().known.clone();
        for url in told.iter().filter(|url| !known.contains_key(url)) {
            shared.endpoint.remove_relay(url).await;
        }
        for (url, known) in &known {
            if !told.contains(url) {
                let mut config = RelayConfig::new(url.clone(), Some(RelayQuicConfig::new(quic_port(url))));
                if let Some(pass) = &known.pass {
                    config = config.with_auth_token(pass.clone());
                }
                shared.endpoint.insert_relay(url.clone(), Arc::new(config)).await;
            }
        }
        told = known.into_keys().collect();
        shared.relays.told.send_replace(version);
        shared.links.close_forbidden(&shared);
        loop {
            let connected = home.get().into_iter().filter(|status| status.is_connected());
            let urls: BTreeSet<RelayUrl> = connected.map(|status| status.url().clone()).collect();
            let now: Vec<Relay> = urls.iter().filter_map(|url| shared.relays.named(url)).collect();
            shared.relays.write().home = urls;
            if now != at_home {
                at_home = now;
                if shared.events.send(SwarmEvent::HomeRelays(at_home.clone())).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                news = changed.changed() => match news {
                    Ok(()) => break,
                    Err(_) => return,
                },
                news = home.updated() => if news.is_err() { return },
            }
        }
    }
}

/// A relay answers at one number over TCP and UDP. A URL leaves out the usual one.
fn quic_port(url: &RelayUrl) -> u16 {
    url.port_or_known_default().unwrap_or(443)
}
