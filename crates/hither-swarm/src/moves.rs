//! A machine whose address changes makes its links of small talk anew, and does not wait until the old ones work again.
//!
//! The transport takes a connection along to the new address, and requests under way depend on that. But where the other end
//! has a connection on two paths, iroh (1.4.1) closes both before there is a third, and noq (1.4.0) says so over the paths
//! themselves, where nobody hears it: what was under way then waits until the other end gives them up, eleven seconds for
//! small talk, in which a member that answers everybody else is not heard. A new link takes two round trips.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hither_types::id::NodeId;
use iroh::Watcher;
use tokio::time::Instant;

use crate::links::{Code, Kind};
use crate::swarm::{Shared, Swarm};
use crate::{addresses, dial, limits, talk};

/// Makes the links anew whenever an address of this machine is gone.
pub(crate) async fn run(shared: Arc<Shared>) {
    let own = || addresses::reached(&shared.endpoint).iter().map(SocketAddr::ip).collect::<BTreeSet<IpAddr>>();
    let mut changed = shared.endpoint.watch_addr();
    let mut before = own();
    while changed.updated().await.is_ok() {
        let now = own();
        if !before.is_subset(&now) {
            tracing::info!(gone = ?before.difference(&now), "this machine's address changed: its links are made anew");
            renew_all(&shared);
        }
        before = now;
    }
}

impl Swarm {
    /// Makes every link anew, as happens by itself when an address of this machine is gone. What is said meanwhile is said
    /// over one link or the other; what was on its way over the old one may be lost, and [`crate::SwarmEvent::LinkUp`] says so.
    pub fn renew_links(&self) {
        renew_all(self.shared());
    }
}

/// Not all at the same instant.
fn renew_all(shared: &Arc<Shared>) {
    for (place, node) in (0..).zip(shared.talk.linked()) {
        shared.tasks.spawn(renew(shared.clone(), node, place));
    }
}

async fn renew(shared: Arc<Shared>, node: NodeId, place: u32) {
    let begun = Instant::now();
    tokio::time::sleep(limits::RENEWED_APART * place).await;
    match dial::dial(&shared, node, Kind::Talk).await {
        Ok(connection) => {
            let (id, weak) = (connection.stable_id(), Arc::downgrade(&shared));
            // What is on its way over one that works may arrive.
            let is_up = || {
                shared.tasks.spawn(async move {
                    tokio::time::sleep(limits::LINK_HELD).await;
                    if let Some(shared) = weak.upgrade() {
                        shared.links.supersede(node, id);
                    }
                });
            };
            talk::link(&shared, node, connection, is_up).await;
        }
        Err(error) if shared.talk.is_older(node, begun) => {
            tracing::debug!(peer = %node.short(), %error, "the link could not be made anew: all connections are made anew");
            // A dial goes where the transport sends the connections that there are; without any it goes everywhere.
            shared.links.close(node, Code::Stale, "this machine moved, and the connection did not");
        }
        // It has ended, or another was made.
        Err(_) => {}
    }
}
