//! Models that only servers outside the mesh have: how the mind and clients know them.
//!
//! Of text there is nothing to know. What a model of tensors takes its server says, when it is there; until then, and of a
//! server that never says it, nothing is known, and the server judges what it is sent.

use std::collections::{BTreeMap, BTreeSet};

use hither_api::endpoint::{EndpointError, Protocol};
use hither_core::Event;
use hither_types::id::{Digest, ModelName, NodeId};
use hither_types::model::{Manifest, ModelFormat, ModelIo, OUTSIDE};
use hither_types::unit::ByteCount;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Server;
use crate::driver::{Driver, Inbound};
use crate::limits::{ENDPOINT_PROBE, ENDPOINT_PULSE};

/// What servers said of their models.
pub(super) type Described = BTreeMap<ModelName, ModelIo>;

/// The digest that stands for a model that only servers outside the mesh have. One that takes something else is another.
fn digest(name: &ModelName, said: Option<&ModelIo>) -> Digest {
    let context = "hither 2026 a model outside the mesh";
    Digest(match said {
        None => blake3::derive_key(context, name.as_str().as_bytes()),
        Some(io) => blake3::derive_key(context, format!("{name} {io:?}").as_bytes()),
    })
}

impl Server {
    fn speaks_tensors(&self) -> bool {
        self.config.address.protocol == Protocol::Inference
    }

    /// The models of which it is still to say what they take, once it is there anew.
    pub(super) fn undescribed(&self) -> Vec<ModelName> {
        if self.speaks_tensors() { self.config.models.keys().cloned().collect() } else { Vec::new() }
    }

    /// Asks what models take, for as long as that delays nothing else; those that it has not said are left.
    pub(super) async fn describe(&self, left: &mut Vec<ModelName>, node: NodeId, inbox: &mpsc::Sender<Inbound>) {
        let (begun, mut news) = (Instant::now(), false);
        while let Some(name) = left.pop() {
            let Some(there) = self.config.models.get(&name) else { continue };
            match self.endpoint().describe(there, ENDPOINT_PROBE).await {
                Ok(Some(io)) => {
                    news |= self.described.send_if_modified(|known| known.insert(name, io.clone()) != Some(io));
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(endpoint = %self.config.name, model = %name, %error, "does not say what its model takes");
                    if let EndpointError::Unreachable(_) = error {
                        left.push(name);
                        break;
                    }
                }
            }
            if begun.elapsed() >= ENDPOINT_PULSE {
                break;
            }
        }
        if news {
            // A closed inbox means that the node is stopping.
            let _ = inbox.send(Inbound::EndpointDescribed(node)).await;
        }
    }
}

impl Driver {
    /// Tells the mind of all models that servers outside the mesh have.
    pub(super) fn tell_of_models(&mut self) {
        let names: BTreeSet<ModelName> =
            self.endpoints.values().flat_map(|server| server.config.models.keys().cloned()).collect();
        for name in names {
            let said = self.said_of(&name);
            let digest = digest(&name, said.as_ref());
            let nothing = || ModelIo::Tensors { inputs: Vec::new(), outputs: Vec::new() };
            let of_it = |server: &Server| server.speaks_tensors() && server.config.models.contains_key(&name);
            let tensors = self.endpoints.values().any(|server| of_it(server));
            let unsaid = if tensors { nothing() } else { ModelIo::Language { context_tokens: 0 } };
            self.feed(Event::Catalogued(Manifest {
                digest,
                name,
                sha256: [0; 32],
                size: ByteCount(0),
                format: ModelFormat::Outside,
                licence: String::new(),
                io: said.unwrap_or(unsaid),
                memory: ByteCount(0),
                golden: Vec::new(),
                publisher: OUTSIDE,
                revision: 0,
                expires: None,
                signed_by: String::new(),
            }));
        }
    }

    /// What the first of the servers that have it said of a model.
    fn said_of(&self, name: &ModelName) -> Option<ModelIo> {
        self.endpoints.values().find_map(|server| server.described.borrow().get(name).cloned())
    }

    /// The digest that stands for a model of servers outside the mesh.
    pub(super) fn outside_digest(&self, name: &ModelName) -> Digest {
        digest(name, self.said_of(name).as_ref())
    }

    /// A server said what its models take: they are known anew, and it has them.
    pub(crate) fn endpoint_described(&mut self, node: NodeId) {
        self.tell_of_models();
        let others = self.endpoints.iter().filter(|(other, server)| **other != node && *server.lives.borrow());
        let others: Vec<NodeId> = others.map(|(other, _)| *other).collect();
        for node in others.into_iter().chain([node]) {
            self.endpoint_lives(node);
        }
        self.show();
    }
}
