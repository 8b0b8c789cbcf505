//! Members on one network find each other there when their addresses have changed: by multicast DNS (RFC 6762, 6763).
//!
//! A node announces its key and its own addresses under a name that is drawn from the id of its mesh: no site, no name, no
//! other node, no relay. Anybody on the network can hear that, and can say anything. So what is heard counts for members
//! alone, leads into this machine's own networks alone, displaces no address that a member told, and proves nothing:
//! whoever is dialled has to have the member's key. Nobody is looked for as long as there is no other member.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hither_types::id::{MeshId, NodeId};
use hither_types::view::LanView;
use iroh::Watcher;
use swarm_discovery::{Discoverer, DropGuard, IpClass};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::dial::chain;
use crate::limits;
use crate::members::{Isolation, Standing};
use crate::swarm::Shared;
use crate::{addresses, talk};

#[cfg(test)]
mod tests;

/// Whether members are looked for on this machine's own networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Multicast {
    /// On every network that the mesh listens on, loopback excepted.
    #[default]
    On,
    /// Nowhere: nothing is sent and nothing is heard.
    Off,
}

/// What is looked for, and how that goes.
#[derive(Debug)]
pub(crate) struct Lan {
    mesh: Mutex<Option<MeshId>>,
    state: Mutex<LanView>,
    /// Grows when there is a reason to look again at what is to be done.
    changed: watch::Sender<u64>,
}

impl Lan {
    pub(crate) fn new(multicast: Multicast) -> Self {
        let state = match multicast {
            Multicast::On => LanView::Alone,
            Multicast::Off => LanView::Unwanted,
        };
        Self { mesh: Mutex::default(), state: Mutex::new(state), changed: watch::channel(0).0 }
    }

    /// Looks for members of this mesh from now on.
    pub(crate) fn look_for(&self, mesh: MeshId) {
        *lock(&self.mesh) = Some(mesh);
        self.look_again();
    }

    /// Something changed upon which it depends what is to be done.
    pub(crate) fn look_again(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn state(&self) -> LanView {
        lock(&self.state).clone()
    }

    fn put(&self, state: LanView) {
        let before = std::mem::replace(&mut *lock(&self.state), state.clone());
        if before != state {
            tracing::info!(?state, "members on this machine's own networks");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is to be done: under which name, and what to announce.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    service: String,
    addresses: Vec<SocketAddr>,
}

/// What there is to do at the moment; or why nothing.
fn plan(shared: &Shared) -> Result<Plan, LanView> {
    if shared.members.isolation() == Isolation::Isolated {
        return Err(LanView::Isolated);
    }
    let mut addresses = addresses::reached(&shared.endpoint);
    addresses.retain(|address| !address.ip().is_loopback() && addresses::is_of_this_machine(*address));
    addresses.truncate(limits::LAN_ADDRESSES);
    if addresses.is_empty() {
        return Err(LanView::NoNetwork);
    }
    let mesh = *lock(&shared.lan.mesh);
    match mesh {
        Some(mesh) if !shared.members.is_empty() => Ok(Plan { service: service(mesh), addresses }),
        _ => Err(LanView::Alone),
    }
}

/// The name under which members of a mesh announce themselves. Who does not know the mesh learns nothing of it from that.
fn service(mesh: MeshId) -> String {
    let hash = blake3::derive_key("hither: the name of a mesh on a network", &mesh.0);
    format!("hither-{}", data_encoding::BASE32_NOPAD.encode(&hash[..10]).to_ascii_lowercase())
}

/// A key as the name of a host: the hexadecimal form is one letter longer than such a name may be.
fn name(node: NodeId) -> String {
    data_encoding::BASE32_NOPAD.encode(&node.0).to_ascii_lowercase()
}

fn node(name: &str) -> Option<NodeId> {
    let key = data_encoding::BASE32_NOPAD.decode(name.to_ascii_uppercase().as_bytes()).ok()?;
    Some(NodeId(key.try_into().ok()?))
}

/// What was heard.
#[derive(Debug)]
enum Heard {
    /// A member is said to be there.
    Member(NodeId, Vec<SocketAddr>),
    /// More strangers than a network has.
    Crowd,
}

/// Looks for members until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.lan.changed.subscribe();
    let mut addresses = shared.endpoint.watch_addr();
    loop {
        let until = match plan(&shared) {
            Err(why) => {
                shared.lan.put(why);
                None
            }
            Ok(plan) => match start(&shared, &plan) {
                Ok((guard, heard)) => {
                    shared.lan.put(LanView::Runs(plan.addresses.iter().map(SocketAddr::ip).collect()));
                    let why = tokio::select! {
                        why = listen(&shared, heard) => Some(why),
                        () = differs(&shared, &plan, &mut changed, &mut addresses) => None,
                    };
                    drop(guard);
                    let Some(why) = why else { continue };
                    shared.lan.put(LanView::Failed(why));
                    Some(Instant::now() + limits::LAN_PAUSE)
                }
                Err(why) => {
                    shared.lan.put(LanView::Failed(why));
                    Some(Instant::now() + limits::LAN_PAUSE)
                }
            },
        };
        let pause = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pause => {}
            // After a failure the pause is kept, whatever changes: else a crowd of strangers could be had again at once.
            news = changed.changed(), if until.is_none() => if news.is_err() { return },
            news = addresses.updated(), if until.is_none() => if news.is_err() { return },
        }
    }
}

/// Resolves when there is something else to do than what is done.
async fn differs(
    shared: &Shared,
    done: &Plan,
    changed: &mut watch::Receiver<u64>,
    addresses: &mut (impl Watcher<Value = iroh::EndpointAddr> + Unpin),
) {
    while plan(shared).as_ref() == Ok(done) {
        let ended = tokio::select! {
            news = changed.changed() => news.is_err(),
            news = addresses.updated() => news.is_err(),
            // Not every address of the machine is among those that are watched.
            () = tokio::time::sleep(limits::LAN_PAUSE) => false,
        };
        if ended {
            return std::future::pending().await;
        }
    }
}

/// Begins to announce this node, and to hear others.
fn start(shared: &Arc<Shared>, plan: &Plan) -> Result<(DropGuard, mpsc::Receiver<Heard>), String> {
    let ips: Vec<IpAddr> = plan.addresses.iter().map(SocketAddr::ip).collect();
    let class = match (ips.iter().any(IpAddr::is_ipv4), ips.iter().any(IpAddr::is_ipv6)) {
        (true, false) => IpClass::V4Only,
        (false, true) => IpClass::V6Only,
        _ => IpClass::Auto,
    };
    let v4 = ips.iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    });
    let mut v4: Vec<_> = v4.collect();
    v4.sort_unstable();
    v4.dedup();
    let (sender, heard) = mpsc::channel(limits::LAN_WAITING);
    let mut discoverer = Discoverer::new(plan.service.clone(), name(shared.node))
        .with_cadence(limits::LAN_EVERY)
        .with_response_rate(limits::LAN_ANSWERS_PER_S)
        .with_ip_class(class)
        .with_multicast_interfaces_v4(v4)
        .with_callback(ear(shared, sender));
    for address in &plan.addresses {
        discoverer = discoverer.with_addrs(address.port(), [address.ip()]);
    }
    let guard = discoverer.spawn(&Handle::current()).map_err(|error| chain(&error))?;
    Ok((guard, heard))
}

/// What is done with each announcement: those of members go on, and names of strangers are counted.
fn ear(shared: &Arc<Shared>, sender: mpsc::Sender<Heard>) -> impl FnMut(&str, &swarm_discovery::Peer) + Send + 'static {
    let (members, me) = (shared.members.clone(), shared.node);
    let mut strangers: HashSet<String> = HashSet::new();
    move |name, peer| {
        let member = node(name).filter(|node| *node == me || members.standing(*node) == Standing::Member);
        let heard = match member {
            Some(node) if node == me => return,
            Some(node) => {
                let addresses = peer.addrs().iter().map(|(ip, port)| SocketAddr::new(*ip, *port));
                Heard::Member(node, addresses.take(limits::LAN_ADDRESSES).collect())
            }
            None if peer.is_expiry() => {
                strangers.remove(name);
                return;
            }
            None => {
                if strangers.len() < limits::LAN_STRANGERS {
                    strangers.insert(name.to_owned());
                    return;
                }
                Heard::Crowd
            }
        };
        // A full queue is looked at later; whoever is there says it again.
        let _ = sender.try_send(heard);
    }
}

/// Takes what is heard, until it has to end; says why.
async fn listen(shared: &Arc<Shared>, mut heard: mpsc::Receiver<Heard>) -> String {
    let mut changed: HashMap<NodeId, Instant> = HashMap::new();
    while let Some(heard) = heard.recv().await {
        let (node, said) = match heard {
            Heard::Member(node, said) => (node, said),
            Heard::Crowd => {
                return format!(
                    "more than {} names that are no member's were announced in the name of this mesh: somebody on the \
                     network makes them up",
                    limits::LAN_STRANGERS
                );
            }
        };
        let now = Instant::now();
        if changed.get(&node).is_some_and(|at| now < *at + limits::LAN_CHANGE) {
            continue;
        }
        let own: Vec<IpAddr> = addresses::reached(&shared.endpoint).iter().map(SocketAddr::ip).collect();
        let said = said.into_iter().filter(|address| is_near(address.ip(), &own)).collect();
        if shared.members.announce(node, said) {
            changed.retain(|_, at| now < *at + limits::LAN_CHANGE);
            changed.insert(node, now);
            tracing::debug!(peer = %node.short(), "a member was announced on a network of this machine");
            shared.lines.encourage(node);
            talk::admit(shared, node);
        }
    }
    "the network could not be listened to any longer".to_owned()
}

/// Whether an address can be on a network of this machine: one of private use, or a neighbour of an own address. What
/// anybody on the network can have said leads nowhere else.
fn is_near(ip: IpAddr, own: &[IpAddr]) -> bool {
    let is_neighbour = |other: &IpAddr| match (ip, other) {
        (IpAddr::V4(ip), IpAddr::V4(own)) => ip.octets()[..3] == own.octets()[..3],
        (IpAddr::V6(ip), IpAddr::V6(own)) => ip.octets()[..8] == own.octets()[..8],
        _ => false,
    };
    match ip {
        _ if ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() => false,
        IpAddr::V4(ip) if ip.is_broadcast() => false,
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || own.iter().any(is_neighbour),
        IpAddr::V6(v6) => v6.is_unique_local() || own.iter().any(is_neighbour),
    }
}
