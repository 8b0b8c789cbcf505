//! One server outside the mesh: what it is, and whether it lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use hither_api::endpoint::{Endpoint, EndpointError, Filter};
use hither_types::id::{AppName, NodeId, SiteName};
use hither_types::member::{Member, Roles};
use hither_types::message::Load;
use hither_types::place::{Assurance, PlaceKind};
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::models::Described;
use crate::config::endpoint::EndpointConfig;
use crate::driver::Inbound;
use crate::limits::{ENDPOINT_PROBE, ENDPOINT_PULSE, ENDPOINT_RETRY, ENDPOINT_TELL};
use crate::trainings::Book;

/// One of them.
pub(crate) struct Server {
    pub(super) config: EndpointConfig,
    /// With its key, which may be read anew.
    pub(super) endpoint: watch::Sender<Endpoint>,
    /// It refuses the key.
    pub(super) refuses: AtomicBool,
    begun: std::time::Instant,
    /// Requests that are there now.
    busy: AtomicU32,
    /// When it last showed life, in milliseconds since `begun`.
    heard: AtomicU64,
    /// Whether it is there.
    pub(super) lives: watch::Sender<bool>,
    /// What the operator was told of a key that is not pinned.
    other_key: watch::Sender<Option<String>>,
    /// What it said of its models.
    pub(super) described: watch::Sender<Described>,
    /// Numbers what the mind is told of it.
    pub(super) sequence: AtomicU64,
    /// What was handed over to train with.
    book: Arc<Book>,
}

impl Server {
    pub(super) fn new(config: EndpointConfig, endpoint: Endpoint, book: Arc<Book>) -> Self {
        Self {
            config,
            endpoint: watch::Sender::new(endpoint),
            refuses: AtomicBool::new(false),
            begun: std::time::Instant::now(),
            busy: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            lives: watch::Sender::new(false),
            other_key: watch::Sender::new(None),
            described: watch::Sender::new(Described::new()),
            sequence: AtomicU64::new(0),
            book,
        }
    }

    /// What is looked for before something leaves for it.
    pub(crate) fn filter(&self) -> Option<&Filter> {
        self.config.filter.as_ref()
    }

    /// Whether an operator said that what an app asks belongs there.
    pub(super) fn is_first_for(&self, app: &AppName) -> bool {
        self.config.first_for.contains(app)
    }

    pub(crate) fn site(&self) -> &SiteName {
        &self.config.name
    }

    /// Whether it runs on this machine, so that nothing leaves.
    pub(crate) fn is_here(&self) -> bool {
        self.config.elsewhere.is_none()
    }

    pub(super) fn kind(&self) -> PlaceKind {
        if self.is_here() { PlaceKind::Home } else { PlaceKind::Cloud }
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

    /// The way to it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint.borrow().clone()
    }

    /// The record of what is handed over to train with.
    pub(crate) fn book(&self) -> &Arc<Book> {
        &self.book
    }

    pub(super) fn load(&self) -> Load {
        let busy = u16::try_from(self.busy.load(Ordering::Relaxed)).unwrap_or(u16::MAX);
        let zero = Micros(0);
        Load { slots: self.config.at_once, busy, queued: 0, wait: zero, urgent: zero, service: zero }
    }

    /// It showed life.
    pub(crate) fn hear(&self) {
        self.heard.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.lives.send_if_modified(|lives| !std::mem::replace(lives, true));
        self.other_key.send_if_modified(|told| told.take().is_some());
    }

    /// How long it has said nothing.
    pub(super) fn silence(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Ordering::Relaxed)))
    }

    /// It shows a key that is not pinned.
    pub(super) fn shows_other_key(&self, text: &str) {
        let name = self.site();
        let text = format!(
            "endpoint {name}: {text}. Nothing is sent to it. If that key is right, write it into pin under [endpoint.{name}] of \
             hither.toml, and start the node again; if you do not know it, somebody may stand in between"
        );
        self.other_key.send_if_modified(|told| told.replace(text.clone()) != Some(text));
    }

    pub(super) fn lost(&self) {
        self.lives.send_if_modified(|lives| std::mem::replace(lives, false));
    }

    /// Waits until it is taken for dead.
    pub(super) async fn dies(&self) {
        // The sender lives as long as the server does.
        let _ = self.lives.subscribe().wait_for(|lives| !lives).await;
    }

    async fn probe(&self) {
        match self.endpoint().probe(ENDPOINT_PROBE).await {
            Ok(()) => self.hear(),
            Err(error) => {
                if let EndpointError::OtherKey(text) = &error {
                    self.shows_other_key(text);
                }
                if *self.lives.borrow() {
                    tracing::warn!(endpoint = %self.config.name, %error, "a server outside the mesh is not there");
                }
                self.lost();
            }
        }
    }
}

/// One request less is there.
pub(super) struct Busy<'a>(&'a Server);

impl<'a> Busy<'a> {
    pub(super) fn enter(server: &'a Server) -> Self {
        server.busy.fetch_add(1, Ordering::Relaxed);
        Self(server)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells the operator of a key that is not pinned, and when that is over.
async fn tell_of_keys(server: &Server, inbox: &mpsc::Sender<Inbound>, told: &mut Option<String>) {
    let known = server.other_key.borrow().clone();
    if known == *told {
        return;
    }
    let over = std::mem::replace(told, known.clone()).map(Inbound::WarnOver);
    for word in over.into_iter().chain(known.map(Inbound::Warn)) {
        // A closed inbox means that the node is stopping.
        let _ = inbox.send(word).await;
    }
}

/// Watches a server: probes it when it is not there, and when it has work and says nothing; and tells of it while it
/// lives. One that lives and has no work is left in peace.
pub(crate) async fn watch_over(server: Arc<Server>, node: NodeId, inbox: mpsc::Sender<Inbound>) {
    let mut told = None::<Instant>;
    let (mut key_read, mut warned) = (Instant::now(), None::<String>);
    let (mut lived, mut undescribed) = (false, Vec::new());
    loop {
        if server.refuses.load(Ordering::Relaxed) && key_read.elapsed() >= ENDPOINT_RETRY {
            key_read = Instant::now();
            if server.read_key_anew().await && inbox.send(Inbound::EndpointChanged(node)).await.is_err() {
                return;
            }
        }
        let lives = *server.lives.borrow();
        if !lives || (server.busy.load(Ordering::Relaxed) > 0 && server.silence() >= ENDPOINT_PULSE) {
            server.probe().await;
        }
        tell_of_keys(&server, &inbox, &mut warned).await;
        let lives = *server.lives.borrow();
        if lives && !std::mem::replace(&mut lived, lives) {
            undescribed = server.undescribed();
        }
        lived = lives;
        if lives && !undescribed.is_empty() {
            server.describe(&mut undescribed, node, &inbox).await;
        }
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
