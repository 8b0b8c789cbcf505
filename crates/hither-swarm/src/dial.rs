//! One line per peer and kind of connection: whoever wants it shares one dial, and a broken one is dialled anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hither_types::id::NodeId;
use hither_types::member::Address;
use iroh::endpoint::{ConnectOptions, Connection};
use iroh::{EndpointAddr, EndpointId, TransportAddr};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits;
use crate::links::{self, Code, Kind};
use crate::members::Standing;
use crate::swarm::{Shared, transport};

/// Why there is no connection to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The node is not a member.
    #[error("{0:?} is not a member")]
    NotMember(NodeId),
    /// This node is isolated by a drill.
    #[error("this node is isolated")]
    Isolated,
    /// No address is known.
    #[error("no address of {0:?} is known")]
    NoAddress(NodeId),
    /// It is reached over relays alone, and none of them may be used for this.
    #[error(
        "{0:?} is reached over relays alone, and the law here lets none of them pass its ciphertext on: a relay in this \
         node's country may, and others need a permit with action = [\"relay\"]"
    )]
    NoRelay(NodeId),
    /// The id is not a key.
    #[error("{0:?} is not a public key")]
    BadKey(NodeId),
    /// Nobody answered in time.
    #[error("{node:?} did not answer within {} ms at {}", after.as_millis(), listed(addresses))]
    TimedOut {
        /// Who.
        node: NodeId,
        /// How long it was waited.
        after: Duration,
        /// Where it was tried.
        addresses: Vec<Address>,
    },
    /// The other end, or the transport, said no.
    #[error("{node:?} refused the connection: {reason}")]
    Refused {
        /// Who.
        node: NodeId,
        /// In its own words.
        reason: String,
    },
    /// The other end took the connection and then gave no proper reply.
    #[error("{node:?} gave no proper reply: {reason}")]
    NoReply {
        /// Who.
        node: NodeId,
        /// What was wrong.
        reason: String,
    },
    /// The other end's program and this one have no version of the protocol in common.
    #[error("{node:?} cannot be talked to: {reason}")]
    Apart {
        /// Who.
        node: NodeId,
        /// Both ranges, and which of the two to renew.
        reason: String,
    },
    /// The hello cannot be encoded.
    #[error("the hello cannot be sent: {0}")]
    Unsayable(String),
    /// The swarm is shutting down.
    #[error("the swarm is shutting down")]
    Stopped,
}

type Outcome = Result<Connection, DialError>;
type Pending = Arc<watch::Sender<Option<Outcome>>>;
type Waiting = watch::Receiver<Option<Outcome>>;

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    pending: Option<Pending>,
    failures: u32,
    /// Grows with each news of the peer: a dial that began before it and fails says nothing.
    news: u32,
    /// The news at the beginning of the pending dial.
    pending_news: u32,
    refused: Option<(Instant, DialError)>,
    /// When somebody wanted it last.
    used: Option<Instant>,
    /// Whoever uses it holds a copy.
    uses: Arc<()>,
}

#[derive(Debug, Default)]
struct Line(Mutex<State>);

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of this node.
#[derive(Debug, Default)]
pub(crate) struct Lines(Mutex<HashMap<(NodeId, Kind), Arc<Line>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<(NodeId, Kind), Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, node: NodeId, kind: Kind) -> Arc<Line> {
        self.lock().entry((node, kind)).or_default().clone()
    }

    /// Lets go of a connection that ended.
    pub(crate) fn forget(&self, node: NodeId, kind: Kind, id: usize) {
        let Some(line) = self.lock().get(&(node, kind)).cloned() else { return };
        let mut state = line.lock();
        if state.connection.as_ref().is_some_and(|connection| connection.stable_id() == id) {
            state.connection = None;
        }
    }

    /// Ends the pause after a failed dial: there is news of the peer.
    pub(crate) fn encourage(&self, node: NodeId) {
        for kind in Kind::ALL {
            let Some(line) = self.lock().get(&(node, kind)).cloned() else { continue };
            let mut state = line.lock();
            state.failures = 0;
            state.refused = None;
            state.news = state.news.wrapping_add(1);
        }
    }

    /// Removes the lines of a node that was expelled.
    pub(crate) fn remove(&self, node: NodeId) {
        self.lock().retain(|(of, _), _| *of != node);
    }
}

/// The connection to a peer, dialled if there is none. Takes at most [`limits::DIAL`]. The dial ends when the last one
/// that waits for it does not wait any more.
pub(crate) async fn connection(shared: &Arc<Shared>, node: NodeId, kind: Kind) -> Outcome {
    match shared.members.standing(node) {
        Standing::Member => {}
        Standing::Stranger => return Err(DialError::NotMember(node)),
        Standing::Isolated => return Err(DialError::Isolated),
    }
    let line = shared.lines.line(node, kind);
    let mut again = true;
    loop {
        let (mut waiting, news) = match claim(&line)? {
            Claim::Live(connection) => return Ok(connection),
            Claim::Wait(waiting, news) => (waiting, news),
            Claim::Dial(pending, waiting, news) => {
                shared.tasks.spawn(run(shared.clone(), line.clone(), pending, node, kind));
                (waiting, news)
            }
        };
        let outcome = waiting.wait_for(Option::is_some).await.map_err(|_| DialError::Stopped)?.clone();
        let outcome = outcome.unwrap_or(Err(DialError::Stopped));
        // The peer came up while the dial went on: that dial may have met what was there before.
        if outcome.is_ok() || !again || line.lock().news == news {
            return outcome;
        }
        again = false;
    }
}

enum Claim {
    Live(Connection),
    Wait(Waiting, u32),
    Dial(Pending, Waiting, u32),
}

fn claim(line: &Line) -> Result<Claim, DialError> {
    let mut state = line.lock();
    if let Some(connection) = state.connection.as_ref().filter(|connection| connection.close_reason().is_none()) {
        return Ok(Claim::Live(connection.clone()));
    }
    state.connection = None;
    if let Some(pending) = &state.pending {
        return Ok(Claim::Wait(pending.subscribe(), state.pending_news));
    }
    if let Some((until, error)) = &state.refused
        && Instant::now() < *until
    {
        return Err(error.clone());
    }
    let (sender, waiting) = watch::channel(None);
    let pending = Arc::new(sender);
    state.pending = Some(pending.clone());
    state.pending_news = state.news;
    Ok(Claim::Dial(pending, waiting, state.news))
}

async fn run(shared: Arc<Shared>, line: Arc<Line>, pending: Pending, node: NodeId, kind: Kind) {
    let dial = dial(&shared, node, kind);
    tokio::pin!(dial);
    let outcome = loop {
        tokio::select! {
            outcome = &mut dial => break outcome,
            () = pending.closed() => {
                let mut state = line.lock();
                if pending.receiver_count() == 0 {
                    state.pending = None;
                    return;
                }
            }
        }
    };
    let mut state = line.lock();
    state.pending = None;
    match &outcome {
        Ok(connection) => {
            state.connection = Some(connection.clone());
            state.used = Some(Instant::now());
            if kind == Kind::Ask {
                shared.tasks.spawn(retire(line.clone(), connection.clone()));
            }
            state.failures = 0;
            state.refused = None;
        }
        Err(_) if state.news != state.pending_news => {}
        Err(error) => {
            let pause = limits::REDIAL_MIN.saturating_mul(1 << state.failures.min(8)).min(limits::ASK_PAUSE_MAX);
            state.failures += 1;
            state.refused = Some((Instant::now() + pause, error.clone()));
        }
    }
    pending.send_replace(Some(outcome));
}

/// Closes a connection that nobody used for a while: what it costs to keep it alive is more than another dial.
async fn retire(line: Arc<Line>, connection: Connection) {
    loop {
        let until = {
            let state = line.lock();
            let now = Instant::now();
            // The line itself holds one.
            let busy = Arc::strong_count(&state.uses) > 1;
            let until = state.used.map_or(now, |used| used + limits::ASK_UNUSED);
            if busy { now + limits::ASK_UNUSED } else { until }
        };
        if until <= Instant::now() {
            return close(&connection, Code::Done, "not used");
        }
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            _ = connection.closed() => return,
        }
    }
}

/// Somebody uses the line to a peer as long as they hold what this gives.
pub(crate) fn uses(shared: &Shared, node: NodeId, kind: Kind) -> Arc<()> {
    let line = shared.lines.line(node, kind);
    let mut state = line.lock();
    state.used = Some(Instant::now());
    state.uses.clone()
}

/// Dials a member at every address that is known of it.
pub(crate) async fn dial(shared: &Arc<Shared>, node: NodeId, kind: Kind) -> Outcome {
    let connection = dial_at(shared, node, shared.known(node), kind).await?;
    if links::register(shared, &connection, kind) {
        return Ok(connection);
    }
    Err(match shared.members.standing(node) {
        // It is the path that was refused.
        Standing::Member => DialError::NoRelay(node),
        Standing::Stranger => DialError::NotMember(node),
        Standing::Isolated => DialError::Isolated,
    })
}

fn listed(addresses: &[Address]) -> String {
    let listed: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    listed.join(", ")
}

/// Where a dial goes: each direct address, and every way to each relay that may be used for it.
fn targets(shared: &Shared, addresses: &[Address], kind: Kind) -> BTreeSet<TransportAddr> {
    let mut targets = BTreeSet::new();
    for address in addresses {
        match address {
            Address::Direct(address) => {
                targets.insert(TransportAddr::Ip(*address));
            }
            Address::Relayed(relay) => {
                targets.extend(shared.relays.urls(relay.node, kind).into_iter().map(TransportAddr::Relay));
            }
        }
    }
    targets
}

/// Dials a node at given addresses, and a member also where it was announced to be. The connection is not on the books yet.
pub(crate) async fn dial_at(shared: &Shared, node: NodeId, mut addresses: Vec<Address>, kind: Kind) -> Outcome {
    if shared.members.standing(node) == Standing::Isolated {
        return Err(DialError::Isolated);
    }
    let id = EndpointId::from_bytes(&node.0).map_err(|_| DialError::BadKey(node))?;
    for address in shared.members.announced(node) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(DialError::NoAddress(node));
    }
    let targets = targets(shared, &addresses, kind);
    if targets.is_empty() {
        return Err(DialError::NoRelay(node));
    }
    // A request does not wait for a relay that is not connected yet: the link of small talk has connected to it, if it can
    // be reached at all.
    let after = match kind {
        Kind::Ask => limits::DIAL,
        _ if targets.iter().all(TransportAddr::is_ip) => limits::DIAL,
        _ => limits::DIAL_RELAYED,
    };
    let over_relays = targets.iter().any(TransportAddr::is_relay);
    let target = EndpointAddr::from_parts(id, targets);
    let options = match kind {
        // A path over a relay takes a while to come up.
        Kind::Talk | Kind::Hello | Kind::Ping => ConnectOptions::new(),
        Kind::Ask | Kind::Blobs | Kind::Chunks => {
            let quick = transport(limits::KEEP_ALIVE, limits::PATH_IDLE, limits::IDLE).build();
            ConnectOptions::new().with_transport_config(quick)
        }
    };
    let connect = async {
        if over_relays {
            shared.relays.settled().await;
        }
        let connecting = shared.endpoint.connect_with_opts(target, kind.alpn(), options).await;
        let connecting = connecting.map_err(|error| chain(&error))?;
        connecting.await.map_err(|error| chain(&error))
    };
    match tokio::time::timeout(after, connect).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(reason)) => Err(DialError::Refused { node, reason }),
        Err(_) => Err(DialError::TimedOut { node, after, addresses }),
    }
}

/// An error with its causes, for a person.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

/// Closes a connection with a code and a reason that the other end can log.
pub(crate) fn close(connection: &Connection, code: Code, reason: &str) {
    connection.close(code.into(), reason.as_bytes());
}
