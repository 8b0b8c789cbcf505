//! Servers outside the mesh, as places: what the mind is told of them, and the hand that asks them.
//!
//! Such a server knows nothing of offers, beats and presence. The driver speaks for it: it says yes while there is room,
//! takes an answer or a reply to a probe for a beat, and tells of it while it lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hither_api::endpoint::{Answering, Cleared, Endpoint, EndpointError};
use hither_core::Event;
use hither_engine::work::Piece;
use hither_types::filter::Withheld;
use hither_types::id::{AppName, ModelName, NodeId, SiteName, Task};
use hither_types::message::{ModelPresence, ModelStage, Presence, Signal};
use hither_types::model::Device;
use hither_types::refusal::{Bar, Failure, InputFault, Refusal};
use hither_types::request::Cost;
use hither_types::unit::{ByteCount, Micros};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::clearing;
use crate::config::endpoint::EndpointConfig;
use crate::driver::{Driver, Inbound};
use crate::limits::{BEAT, BEAT_FROM_PIECES, ENDPOINT_PROBE, ENDPOINT_PULSE};
use crate::session::{Delivery, Session};

mod keys;
mod models;
pub(crate) mod server;

use server::{Busy, Server};

/// All of them, by the key that stands for each.
pub(crate) type Endpoints = BTreeMap<NodeId, Arc<Server>>;

/// Opens what the configuration names. Addresses were checked when it was read.
pub(crate) fn open(configs: &[EndpointConfig]) -> Endpoints {
    let server = |config: &EndpointConfig| {
        let endpoint = Endpoint::new(&config.address).ok()?;
        Some((key(config.name.as_str()), Arc::new(Server::new(config.clone(), endpoint))))
    };
    configs.iter().filter_map(server).collect()
}

/// The key that stands for a server: nobody has the secret to it.
fn key(name: &str) -> NodeId {
    NodeId(blake3::derive_key("hither 2026 a server outside the mesh", name.as_bytes()))
}

impl Driver {
    /// The server that the work of an app belongs to.
    pub(crate) fn belongs_to(&self, app: &AppName) -> Option<SiteName> {
        self.endpoints.values().find(|server| server.is_first_for(app)).map(|server| server.site().clone())
    }

    /// Tells the mind of the servers outside the mesh, and of models that only they have.
    pub(crate) fn tell_of_endpoints(&mut self) {
        self.tell_of_models();
        let me = self.home.me.clone();
        for (node, server) in self.endpoints.clone() {
            self.feed(Event::EndpointAdded { place: server.member(node, &me), kind: server.kind() });
            if *server.lives.borrow() {
                self.endpoint_lives(node);
            }
        }
    }

    /// A server has another key now: the mind forgets how it failed with the old one.
    pub(crate) fn endpoint_changed(&mut self, node: NodeId) {
        let Some(server) = self.endpoints.get(&node).cloned() else { return };
        let (place, kind) = (server.member(node, &self.home.me), server.kind());
        self.feed(Event::EndpointAdded { place, kind });
    }

    /// A server is there: the mind hears of it as of a member.
    pub(crate) fn endpoint_lives(&mut self, node: NodeId) {
        let Some(server) = self.endpoints.get(&node).cloned() else { return };
        let load = server.load();
        let names = server.config.models.keys();
        // What a member published under the same name is the same model, for whoever wrote the configuration said so.
        let digests = names.flat_map(|name| {
            [Some(self.outside_digest(name)), self.named(name).map(|manifest| manifest.digest)].into_iter().flatten()
        });
        let model = |digest| ModelPresence {
            digest,
            stage: ModelStage::Ready,
            device: Device::default(),
            slots: load.slots,
            busy: load.busy,
            queued: 0,
            service: Micros(0),
        };
        let presence = Presence {
            incarnation: self.incarnation,
            sequence: server.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            models: digests.map(model).collect(),
            power: Default::default(),
            cap: Default::default(),
            policy: self.policy.digest,
            placing: None,
        };
        self.feed(Event::Presence { from: node, presence: Arc::new(presence) });
    }

    /// Answers a word of the mind in a server's stead; `false` if it is meant for a member.
    pub(crate) fn answer_for_endpoint(&mut self, peer: NodeId, signal: &Signal) -> bool {
        let Some(server) = self.endpoints.get(&peer) else { return false };
        let load = server.load();
        let begun = |request| self.sessions.get(&request).is_some_and(|session: &Arc<Session>| session.has_begun());
        let answer = match *signal {
            // It does not know the tokens that the client has.
            Signal::Offer { request, attempt, .. } if begun(request) => {
                let refusal = Refusal::NoCapacity { tried: 0 };
                Some(Signal::Reject { request, attempt, refusal, load })
            }
            Signal::Offer { request, attempt, .. } if load.busy < load.slots => {
                Some(Signal::Accept { request, attempt, load })
            }
            Signal::Offer { request, attempt, .. } => {
                let refusal = Refusal::Overloaded { retry_after: Micros::from_millis(1000) };
                Some(Signal::Reject { request, attempt, refusal, load })
            }
            Signal::Probe { number, digest, .. } => Some(Signal::State { number, digest, load }),
            Signal::Steal { number, digest, .. } => Some(Signal::Nothing { number, digest }),
            Signal::State { .. } | Signal::Accept { .. } | Signal::Reject { .. } | Signal::Nothing { .. } => None,
        };
        self.echoes.extend(answer.map(|signal| Event::Told { from: peer, signal }));
        true
    }

    /// Sends a request to a server outside the mesh; `false` if the place is a member.
    pub(crate) fn forward_outside(&mut self, task: Task, peer: NodeId, model: &ModelName) -> bool {
        let Some(server) = self.endpoints.get(&peer).cloned() else { return false };
        let Some(session) = self.sessions.get(&task.request).cloned() else { return true };
        let resume = session.begin(task.attempt);
        if !resume.is_empty() {
            // It does not know the tokens that the client has; that is no failure of its own.
            let failure = Failure::Declined(Refusal::NoCapacity { tried: 0 });
            self.echoes.push_back(Event::Failed { task, failure });
            return true;
        }
        if !server.is_here() && !session.is_withheld(task.attempt, peer) {
            let leaving = session.outgoing(task.attempt).unwrap_or(ByteCount(session.payload.len() as u64));
            session.add_egress(leaving.0);
            self.egress.entry(peer).or_default().requests.0 += leaving.0;
        }
        let there = server.config.models.get(model).cloned().unwrap_or_else(|| model.to_string());
        let handle = self.hands.spawn(ask(server, (peer, there), task, session, self.inbox.clone()));
        self.forwards.insert(task, handle);
        true
    }
}

/// Asks a server and carries what it says to the client.
async fn ask(
    server: Arc<Server>,
    there: (NodeId, String),
    task: Task,
    session: Arc<Session>,
    inbox: mpsc::Sender<Inbound>,
) {
    let busy = Busy::enter(&server);
    let mut told = 0;
    let ended = tokio::select! {
        ended = read((&server, &there), task, &session, &inbox, &mut told) => ended,
        () = server.dies() => Err(Broken::Server(EndpointError::Unreachable("it shows no life".to_owned()))),
        () = beat(&server, task, &inbox) => return,
    };
    drop(busy);
    let event = match ended {
        Ok(cost) => Event::Done { task, cost },
        Err(Broken::Unwanted) => return,
        Err(Broken::Withheld(why)) => {
            let refusal = Refusal::Withheld { site: server.config.name.clone(), why };
            Event::Failed { task, failure: Failure::Declined(refusal) }
        }
        Err(Broken::Old) => Event::Failed { task, failure: Failure::Engine("another copy answered first".into()) },
        Err(Broken::Server(error)) => Event::Failed { task, failure: failed(&server, error, told > 0) },
    };
    // A closed inbox means that the node is stopping.
    let _ = inbox.send(Inbound::Event(event)).await;
}

/// Why no answer came.
enum Broken {
    Server(EndpointError),
    /// Its filter lets nothing leave for it.
    Withheld(Withheld),
    /// The client left.
    Unwanted,
    /// The attempt was given up.
    Old,
}

/// Beats while the server lives: whether it advances is not to be seen from here, so life is taken for progress.
async fn beat(server: &Server, task: Task, inbox: &mpsc::Sender<Inbound>) {
    let mut progress = 0;
    loop {
        tokio::time::sleep(BEAT).await;
        if server.silence() < ENDPOINT_PULSE + ENDPOINT_PROBE {
            progress += 1;
        }
        if inbox.send(Inbound::Event(Event::Beat { task, progress })).await.is_err() {
            return;
        }
    }
}

/// What may be sent: what the filter made of it before it went on the record. To a server on this machine nothing leaves, and
/// nothing is on the record: it is read now.
async fn cleared(
    (server, node): (&Server, NodeId),
    task: Task,
    session: &Session,
    inbox: &mpsc::Sender<Inbound>,
) -> Result<Arc<Cleared>, Broken> {
    let verdict = match session.cleared(task.attempt, node) {
        Some(verdict) => verdict,
        None if server.filter().is_none() || server.is_here() => {
            let verdict = clearing::read(server.filter().copied(), session.payload.clone()).await;
            if server.filter().is_some() {
                session.fix_cleared(task.attempt, node, verdict.clone());
            }
            let masked = verdict.as_ref().ok().map(|cleared| cleared.masked()).filter(|masked| !masked.is_empty());
            if let Some(findings) = masked.cloned() {
                let event = Event::Masked { request: task.request, site: server.config.name.clone(), findings };
                let _ = inbox.send(Inbound::Event(event)).await;
            }
            verdict
        }
        // Nothing comes here that was not read.
        None => Err(Withheld::Unreadable(clearing::UNREAD)),
    };
    verdict.map_err(Broken::Withheld)
}

async fn read(
    (server, (node, model)): (&Server, &(NodeId, String)),
    task: Task,
    session: &Session,
    inbox: &mpsc::Sender<Inbound>,
    told: &mut u64,
) -> Result<Cost, Broken> {
    let cleared = cleared((server, *node), task, session, inbox).await?;
    let begun = Instant::now();
    let trace = session.trace.onwards(task.attempt);
    let mut answer: Answering =
        server.endpoint().ask(model, &cleared, session.whole, trace).await.map_err(Broken::Server)?;
    drop(cleared);
    server.refuses.store(false, Ordering::Relaxed);
    server.hear();
    let (mut bytes, mut first, mut beaten) = (0, None, Instant::now());
    while let Some(piece) = answer.next().await.map_err(Broken::Server)? {
        let first = *first.get_or_insert_with(|| begun.elapsed());
        if beaten.elapsed() >= BEAT_FROM_PIECES {
            server.hear();
            beaten = Instant::now();
            let progress = u64::try_from(first.as_millis()).unwrap_or(0) + bytes;
            let _ = inbox.send(Inbound::Event(Event::Beat { task, progress })).await;
        }
        let size = size_of(&piece);
        bytes += size;
        if !server.is_here() {
            session.add_answer(task.attempt, size);
        }
        let delivery = match session.whole {
            true => session.hold(task.attempt, piece),
            false => session.deliver_wait(task.attempt, piece).await,
        };
        match delivery {
            Delivery::Delivered => *told += 1,
            Delivery::ClientGone => return Err(Broken::Unwanted),
            Delivery::Old | Delivery::Gap | Delivery::Full => return Err(Broken::Old),
        }
    }
    server.hear();
    let totals = answer.totals();
    // Of an answer that came whole nobody knows how long its prompt was read, and no place is preferred for it.
    let prefill = first.filter(|_| !session.whole).unwrap_or_default();
    Ok(Cost {
        prefill: micros(prefill),
        decode: micros(begun.elapsed().saturating_sub(prefill)),
        prompt_tokens: totals.prompt_tokens,
        output_tokens: totals.output_tokens,
        answer: ByteCount(bytes),
        ..Cost::default()
    })
}

fn micros(time: Duration) -> Micros {
    Micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Bytes of what was said, as the ledger counts an answer.
fn size_of(piece: &Piece) -> u64 {
    match piece {
        Piece::Tokens { text, .. } => text.len() as u64,
        Piece::Outputs(tensors) => tensors.iter().map(|tensor| tensor.data.len() as u64).sum(),
        Piece::End { calls, .. } => calls.iter().map(|call| (call.name.len() + call.arguments.len()) as u64).sum(),
    }
}

/// What a failure means to the mind. `told`: the client has a part of the answer, which no other place can go on with.
fn failed(server: &Server, error: EndpointError, told: bool) -> Failure {
    let name = &server.config.name;
    if let EndpointError::OtherKey(text) = &error {
        server.shows_other_key(text);
    }
    if let EndpointError::Unreachable(_) | EndpointError::OtherKey(_) = error {
        server.lost();
    }
    if let EndpointError::Forbidden(_) = error {
        server.refuses.store(true, Ordering::Relaxed);
        tracing::error!(endpoint = %name, %error, "look at its key_file: a changed file is read within a second");
    }
    if told {
        return Failure::Severed(format!("endpoint {name}: {error}"));
    }
    match error {
        EndpointError::Unreachable(_) | EndpointError::OtherKey(_) => Failure::Unreachable,
        EndpointError::Full(wait) => {
            let retry_after = wait.map_or(Micros::from_millis(1000), micros);
            Failure::Declined(Refusal::Overloaded { retry_after })
        }
        EndpointError::Forbidden(status) => barred(name, Bar::Key(status)),
        EndpointError::Absent(_) => barred(name, Bar::NoModel),
        EndpointError::Wrong(_) | EndpointError::Cannot(_) => {
            Failure::BadInput(InputFault::Other(format!("endpoint {name} does not take this: {error}")))
        }
        other => Failure::Engine(format!("endpoint {name}: {other}")),
    }
}

/// It did nothing, and would do nothing for the next request. For how long it is left alone the mind says.
fn barred(site: &SiteName, why: Bar) -> Failure {
    Failure::Declined(Refusal::Barred { site: site.clone(), why, again: Micros(0) })
}
