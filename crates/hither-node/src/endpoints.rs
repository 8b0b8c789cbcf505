//! Servers outside the mesh, as places: what the mind is told of them, and what is sent there.
//!
//! Such a server knows nothing of offers, beats and presence. The driver speaks for it: it says yes while there is room,
//! takes an answer or a reply to a probe for a beat, and tells of it while it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hither_api::endpoint::{Endpoint, Filter};
use hither_core::Event;
use hither_types::id::{AppName, Digest, ModelName, NodeId, SiteName, Task};
use hither_types::member::{Member, Roles};
use hither_types::message::{Load, ModelPresence, ModelStage, Presence, Signal};
use hither_types::model::{Device, Manifest, ModelFormat, ModelIo, OUTSIDE};
use hither_types::place::{Assurance, PlaceKind};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, RequestKind};
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Micros};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::endpoint::EndpointConfig;
use crate::driver::{Driver, Inbound};
use crate::limits::{ENDPOINT_PROBE, ENDPOINT_PULSE, ENDPOINT_RETRY, ENDPOINT_TELL};
use crate::session::Session;
use crate::trainings::Book;

mod ask;

/// All of them, by the key that stands for each.
pub(crate) type Endpoints = BTreeMap<NodeId, Arc<Server>>;

/// One of them.
pub(crate) struct Server {
    config: EndpointConfig,
    endpoint: Endpoint,
    begun: std::time::Instant,
    /// Requests that are there now.
    busy: AtomicU32,
    /// When it last showed life, in milliseconds since `begun`.
    heard: AtomicU64,
    /// Whether it is there.
    lives: watch::Sender<bool>,
    /// Numbers what the mind is told of it.
    sequence: AtomicU64,
    /// What was handed over to train with.
    book: Arc<Book>,
}

/// Opens what the configuration names. Addresses were checked when it was read.
pub(crate) fn open(configs: &[EndpointConfig], book: &Arc<Book>) -> Endpoints {
    let server = |config: &EndpointConfig| {
        let endpoint = Endpoint::new(&config.address).ok()?;
        Some((key(config.name.as_str()), Arc::new(Server::new(config.clone(), endpoint, Arc::clone(book)))))
    };
    configs.iter().filter_map(server).collect()
}

/// The key that stands for a server: nobody has the secret to it.
fn key(name: &str) -> NodeId {
    NodeId(blake3::derive_key("hither 2026 a server outside the mesh", name.as_bytes()))
}

/// The digest that stands for the training of a model: no model has it, so that nobody is asked for answers under it.
fn training(name: &ModelName) -> Digest {
    Digest(blake3::derive_key("hither 2026 the training of a model outside the mesh", name.as_str().as_bytes()))
}

/// The digest that stands for a model that only servers outside the mesh have.
fn digest(name: &ModelName) -> Digest {
    Digest(blake3::derive_key("hither 2026 a model outside the mesh", name.as_str().as_bytes()))
}

impl Server {
    fn new(config: EndpointConfig, endpoint: Endpoint, book: Arc<Book>) -> Self {
        Self {
            config,
            endpoint,
            begun: std::time::Instant::now(),
            busy: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            lives: watch::Sender::new(false),
            sequence: AtomicU64::new(0),
            book,
        }
    }

    /// The way to it.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The record of what is handed over to train with.
    pub(crate) fn book(&self) -> &Arc<Book> {
        &self.book
    }

    /// What is looked for before something leaves for it.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.config.filter.as_ref()
    }

    /// Whether an operator said that what an app asks belongs there.
    fn is_first_for(&self, app: &AppName) -> bool {
        self.config.first_for.contains(app)
    }

    pub(crate) fn site(&self) -> &SiteName {
        &self.config.name
    }

    /// Whether it runs on this machine, so that nothing leaves.
    pub(crate) fn is_here(&self) -> bool {
        self.config.elsewhere.is_none()
    }

    /// What it is to the mind and to the law. One on this machine stands where this node does.
    pub(crate) fn member(&self, node: NodeId, me: &Member) -> Member {
        let site = self.config.name.clone();
        match &self.config.elsewhere {
            None => Member { node, site, ..me.clone() },
            Some(elsewhere) => Member {
                node,
                mesh: me.mesh,
                site,
                jurisdiction: elsewhere.jurisdiction,
                control: elsewhere.control.clone(),
                operator: elsewhere.operator.clone(),
                assurance: Assurance::Claimed,
                expires: WallTime(u64::MAX),
                roles: Roles::ALL,
            },
        }
    }

    fn load(&self) -> Load {
        let busy = u16::try_from(self.busy.load(Ordering::Relaxed)).unwrap_or(u16::MAX);
        let zero = Micros(0);
        Load { slots: self.config.at_once, busy, queued: 0, wait: zero, urgent: zero, service: zero }
    }

    /// It showed life.
    pub(crate) fn hear(&self) {
        self.heard.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.lives.send_if_modified(|lives| !std::mem::replace(lives, true));
    }

    /// How long it has said nothing.
    fn silence(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    fn lost(&self) {
        self.lives.send_if_modified(|lives| std::mem::replace(lives, false));
    }

    /// Waits until it is taken for dead.
    async fn dies(&self) {
        // The sender lives as long as the server does.
        let _ = self.lives.subscribe().wait_for(|lives| !lives).await;
    }

    async fn probe(&self) {
        match self.endpoint.probe(ENDPOINT_PROBE).await {
            Ok(()) => self.hear(),
            Err(error) => {
                if *self.lives.borrow() {
                    tracing::warn!(endpoint = %self.config.name, %error, "a server outside the mesh is not there");
                }
                self.lost();
            }
        }
    }
}

/// One request less is there.
struct Busy<'a>(&'a Server);

impl<'a> Busy<'a> {
    fn enter(server: &'a Server) -> Self {
        server.busy.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Watches a server: probes it when it is not there, and when it has work and says nothing; and tells of it while it
/// lives. One that lives and has no work is left in peace.
pub(crate) async fn watch_over(server: Arc<Server>, node: NodeId, inbox: mpsc::Sender<Inbound>) {
    let mut told = None::<Instant>;
    loop {
        let lives = *server.lives.borrow();
        if !lives || (server.busy.load(Ordering::Relaxed) > 0 && server.silence() >= ENDPOINT_PULSE) {
            server.probe().await;
        }
        let lives = *server.lives.borrow();
        if lives && told.is_none_or(|told| told.elapsed() >= ENDPOINT_TELL) {
            told = Some(Instant::now());
            if inbox.send(Inbound::EndpointLives(node)).await.is_err() {
                return;
            }
        }
        // A look at two numbers: to be woken by the first of some requests would cost each request more.
        tokio::time::sleep(if lives { ENDPOINT_PULSE } else { ENDPOINT_RETRY }).await;
    }
}

impl Driver {
    /// The server that the work of an app belongs to.
    pub(crate) fn belongs_to(&self, app: &AppName) -> Option<SiteName> {
        self.endpoints.values().find(|server| server.is_first_for(app)).map(|server| server.site().clone())
    }

    /// Tells the mind of the servers outside the mesh, and of models that only they have.
    pub(crate) fn tell_of_endpoints(&mut self) {
        let names: BTreeSet<ModelName> =
            self.endpoints.values().flat_map(|server| server.config.models.keys().cloned()).collect();
        for name in names {
            self.feed(Event::Catalogued(Manifest {
                digest: digest(&name),
                name,
                sha256: [0; 32],
                size: ByteCount(0),
                format: ModelFormat::Outside,
                licence: String::new(),
                io: ModelIo::Language { context_tokens: 0 },
                memory: ByteCount(0),
                golden: Vec::new(),
                publisher: OUTSIDE,
                revision: 0,
                expires: None,
                signed_by: String::new(),
            }));
        }
        let me = self.home.me.clone();
        for (node, server) in self.endpoints.clone() {
            let kind = if server.is_here() { PlaceKind::Home } else { PlaceKind::Cloud };
            let trains = server.config.trains.keys().map(|name| (name.clone(), training(name))).collect();
            self.feed(Event::EndpointAdded { place: server.member(node, &me), kind, trains });
            if *server.lives.borrow() {
                self.endpoint_lives(node);
            }
        }
    }

    /// A server is there: the mind hears of it as of a member.
    pub(crate) fn endpoint_lives(&mut self, node: NodeId) {
        let Some(server) = self.endpoints.get(&node).cloned() else { return };
        let load = server.load();
        let names = server.config.models.keys();
        // What a member published under the same name is the same model, for whoever wrote the configuration said so.
        let digests = names.flat_map(|name| {
            [Some(digest(name)), self.named(name).map(|manifest| manifest.digest)].into_iter().flatten()
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
    pub(crate) fn forward_outside(&mut self, task: Task, peer: NodeId, envelope: &Envelope) -> bool {
        let Some(server) = self.endpoints.get(&peer).cloned() else { return false };
        let Some(session) = self.sessions.get(&task.request).cloned() else { return true };
        let resume = session.begin(task.attempt);
        if !resume.is_empty() {
            let text = format!("endpoint {} cannot go on with an answer that began elsewhere", server.config.name);
            self.echoes.push_back(Event::Failed { task, failure: Failure::Engine(text) });
            return true;
        }
        if !server.is_here() && !session.is_withheld(task.attempt, peer) {
            let leaving = session.outgoing(task.attempt).unwrap_or(ByteCount(session.payload.len() as u64));
            session.add_egress(leaving.0);
            self.egress.entry(peer).or_default().requests.0 += leaving.0;
        }
        let (model, config) = (&envelope.model, &server.config);
        let names = if envelope.kind == RequestKind::Train { &config.trains } else { &config.models };
        let there = names.get(model).cloned().unwrap_or_else(|| model.to_string());
        let handle = self.hands.spawn(ask::ask(server, (peer, there), task, session, self.inbox.clone()));
        self.forwards.insert(task, handle);
        true
    }
}
