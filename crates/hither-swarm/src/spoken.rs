//! How much small talk said, by what it is about: so that a quiet mesh can be shown to be quiet, and a loud one why.

use std::sync::atomic::{AtomicU64, Ordering};

use hither_types::message::PeerMessage;
use hither_types::unit::ByteCount;
use hither_types::view::WireWords;

#[cfg(test)]
mod tests;

/// What people call the kinds, in the order of their places.
const KINDS: [&str; 12] = [
    "presence",
    "signal",
    "members",
    "catalog",
    "authority",
    "starts",
    "pulses",
    "rumours",
    "rollouts",
    "witnesses",
    "policies",
    "distances",
];

/// Counts of one kind.
#[derive(Debug, Default)]
struct Count {
    messages: AtomicU64,
    bytes: AtomicU64,
}

/// Counts of what left, over all peers.
#[derive(Debug, Default)]
pub(crate) struct Spoken([Count; KINDS.len()]);

impl Spoken {
    /// Counts a message and the bytes of its frame.
    pub(crate) fn count(&self, message: &PeerMessage, bytes: usize) {
        let place = match message {
            PeerMessage::Presence(_) => 0,
            PeerMessage::Signal(_) => 1,
            PeerMessage::Members(_) => 2,
            PeerMessage::Catalog(_) => 3,
            PeerMessage::Authority(_) => 4,
            PeerMessage::Start(_) => 5,
            PeerMessage::Pulse(_) => 6,
            PeerMessage::Rumours(_) => 7,
            PeerMessage::Rollouts(_) => 8,
            PeerMessage::Witness(_) => 9,
            PeerMessage::Policy(_) => 10,
            PeerMessage::Near(_) => 11,
        };
        self.0[place].messages.fetch_add(1, Ordering::Relaxed);
        self.0[place].bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// All counts, by name.
    pub(crate) fn words(&self) -> Vec<(&'static str, WireWords)> {
        let read = |count: &Count| WireWords {
            messages: count.messages.load(Ordering::Relaxed),
            bytes: ByteCount(count.bytes.load(Ordering::Relaxed)),
        };
        KINDS.into_iter().zip(self.0.iter().map(read)).collect()
    }
}
