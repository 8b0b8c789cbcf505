//! Servers outside the mesh, as places: what the mind is told of them, and what is sent there.
//!
//! Such a server knows nothing of offers, beats and presence. The driver speaks for it: it says yes while there is room,
//! takes an answer or a reply to a probe for a beat, and tells of it while it lives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hither_api::endpoint::Endpoint;
use hither_core::Event;
use hither_types::id::{AppName, Digest, ModelName, NodeId, SiteName, Task};
use hither_types::message::{ModelPresence, ModelStage, Presence, Signal};
use hither_types::model::Device;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, RequestKind};
use hither_types::unit::{ByteCount, Micros};

use crate::config::endpoint::EndpointConfig;
use crate::driver::Driver;
use crate::session::Session;
use crate::trainings::Book;

mod ask;
mod keys;
mod models;
mod server;

pub(crate) use server::{Server, watch_over};

/// All of them, by the key that stands for each.
pub(crate) type Endpoints = BTreeMap<NodeId, Arc<Server>>;

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

impl Driver {
    /// The server that the work of an app belongs to.
    pub(crate) fn belongs_to(&self, app: &AppName) -> Option<SiteName> {
        self.endpoints.values().find(|server| server.is_first_for(app)).map(|server| server.site().clone())
    }

    /// Tells the mind of the servers outside the mesh, and of models that only they have.
    pub(crate) fn tell_of_endpoints(&mut self) {
        self.tell_of_models();
        for (node, server) in self.endpoints.clone() {
            self.endpoint_changed(node);
            if *server.lives.borrow() {
                self.endpoint_lives(node);
            }
        }
    }

    /// Tells the mind of a server, also when it has another key: the mind forgets how it failed with the old one.
    pub(crate) fn endpoint_changed(&mut self, node: NodeId) {
        let Some(server) = self.endpoints.get(&node).cloned() else { return };
        let trains = server.config.trains.keys().map(|name| (name.clone(), training(name))).collect();
        let (place, kind) = (server.member(node, &self.home.me), server.kind());
        self.feed(Event::EndpointAdded { place, kind, trains });
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
    pub(crate) fn forward_outside(&mut self, task: Task, peer: NodeId, envelope: &Envelope) -> bool {
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
        let (model, config) = (&envelope.model, &server.config);
        let names = if envelope.kind == RequestKind::Train { &config.trains } else { &config.models };
        let there = names.get(model).cloned().unwrap_or_else(|| model.to_string());
        let handle = self.hands.spawn(ask::ask(server, (peer, there), task, session, self.inbox.clone()));
        self.forwards.insert(task, handle);
        true
    }
}
