//! Who belongs, as the driver said, and where they are. An empty table means nobody.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hither_types::id::NodeId;
use hither_types::member::Address;

/// Whether this node may talk to anybody: a drill for a cut cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// As usual.
    #[default]
    Connected,
    /// Everything is closed; nothing is dialled, and nobody is answered.
    Isolated,
}

/// What may be done towards a node at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A member.
    Member,
    /// Not a member.
    Stranger,
    /// This node is isolated.
    Isolated,
}

/// Addresses kept per member: more would only delay a dial.
const ADDRESSES: usize = 16;

#[derive(Debug, Default)]
struct Table {
    addresses: HashMap<NodeId, Vec<Address>>,
    /// Where a member was announced to be, on a network of this machine. Apart from the others, for anybody on that network
    /// can have said it: it takes the place of nothing that a member told, and is told to nobody.
    announced: HashMap<NodeId, Vec<SocketAddr>>,
    isolation: Isolation,
}

/// The table of members.
#[derive(Debug, Default)]
pub(crate) struct Members(RwLock<Table>);

impl Members {
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a member, or puts new addresses before those known.
    pub(crate) fn admit(&self, node: NodeId, addresses: Vec<Address>) {
        let mut table = self.write();
        let known = table.addresses.entry(node).or_default();
        let mut merged: Vec<Address> = Vec::with_capacity(addresses.len() + known.len());
        for address in addresses.into_iter().chain(known.iter().copied()) {
            if !merged.contains(&address) && merged.len() < ADDRESSES {
                merged.push(address);
            }
        }
        *known = merged;
    }

    /// Removes a member.
    pub(crate) fn expel(&self, node: NodeId) {
        let mut table = self.write();
        table.addresses.remove(&node);
        table.announced.remove(&node);
    }

    /// Keeps where a member was announced to be, in the place of what was announced before. Says whether that is news; of a
    /// node that is no member it never is, and nothing is kept.
    pub(crate) fn announce(&self, node: NodeId, addresses: Vec<SocketAddr>) -> bool {
        let mut table = self.write();
        if addresses.is_empty() || !table.addresses.contains_key(&node) {
            return false;
        }
        table.announced.insert(node, addresses.clone()).is_none_or(|before| before != addresses)
    }

    /// Where a member was announced to be.
    pub(crate) fn announced(&self, node: NodeId) -> Vec<Address> {
        let table = self.read();
        table.announced.get(&node).into_iter().flatten().copied().map(Address::Direct).collect()
    }

    /// Whether some member is known to be at an address, at whatever port: one behind a translator has another each time.
    pub(crate) fn is_anybody_at(&self, ip: IpAddr) -> bool {
        let table = self.read();
        let told = table.addresses.values().flatten().filter_map(|address| address.direct());
        let announced = table.announced.values().flatten().copied();
        told.chain(announced).any(|address| address.ip().to_canonical() == ip)
    }

    /// Whether there is anybody but this node.
    pub(crate) fn is_empty(&self) -> bool {
        self.read().addresses.is_empty()
    }

    /// What may be done towards a node.
    pub(crate) fn standing(&self, node: NodeId) -> Standing {
        let table = self.read();
        match (table.isolation, table.addresses.contains_key(&node)) {
            (Isolation::Isolated, _) => Standing::Isolated,
            (Isolation::Connected, true) => Standing::Member,
            (Isolation::Connected, false) => Standing::Stranger,
        }
    }

    /// The addresses of a member, newest first.
    pub(crate) fn addresses(&self, node: NodeId) -> Vec<Address> {
        self.read().addresses.get(&node).cloned().unwrap_or_default()
    }

    /// Cuts this node off, or heals it.
    pub(crate) fn isolate(&self, isolation: Isolation) {
        self.write().isolation = isolation;
    }

    /// Whether this node is cut off.
    pub(crate) fn isolation(&self) -> Isolation {
        self.read().isolation
    }
}

#[cfg(test)]
mod tests;
