//! The side that gives.

use hither_types::id::NodeId;
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use super::{Deed, Distribution, Partner};
use crate::limits;

/// What is given to a partner.
#[derive(Debug)]
pub(super) struct Given {
    chunk: u32,
    near: bool,
    /// Until when the partner may come for it; `None` once it has.
    waits: Option<Timestamp>,
}

impl Given {
    /// When it is offered in vain.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        self.waits
    }
}

impl Distribution {
    pub(super) fn called(&mut self, by: NodeId, offered: u32, chunk: u32) {
        // What a partner asks for is its own word, and may be no chunk at all.
        if !self.soon.has(chunk) {
            if self.giving.remove(&(by, offered)).is_some() {
                self.out.push(Deed::Refuse { to: by, offered });
                self.rest(by);
            }
            return;
        }
        if let Some(given) = self.giving.get_mut(&(by, offered)) {
            (given.chunk, given.waits) = (chunk, None);
        }
        if let Some(partner) = self.partners.get_mut(&by) {
            partner.declined = 0;
        }
    }

    pub(super) fn declined(&mut self, from: NodeId, offered: u32) {
        if self.giving.remove(&(from, offered)).is_some() {
            self.rest(from);
        }
    }

    /// Whoever does not want anything now is asked again later, and each time later than the last.
    fn rest(&mut self, node: NodeId) {
        let Some(partner) = self.partners.get_mut(&node) else { return };
        let takes = self.takes[usize::from(partner.near)];
        let longer = takes.0.saturating_mul(1 << partner.declined.min(limits::CHUNK_RESTS_DOUBLE));
        partner.rests = self.now.after(Micros(longer));
        partner.declined += 1;
    }

    pub(super) fn given(&mut self, to: NodeId, offered: u32, whole: bool) {
        let Some(given) = self.giving.remove(&(to, offered)) else { return };
        if whole {
            // It will say so itself, later.
            self.copied(to, given.chunk);
        } else {
            // Whatever was wrong is not better at once.
            self.rest(to);
        }
    }

    /// Keeps nobody waiting for a chunk that does not come.
    pub(super) fn refuse(&mut self, chunk: u32) {
        let promised: Vec<(NodeId, u32)> =
            self.giving.iter().filter(|(_, given)| given.chunk == chunk).map(|(key, _)| *key).collect();
        for (to, offered) in promised {
            self.giving.remove(&(to, offered));
            self.out.push(Deed::Refuse { to, offered });
        }
    }

    /// Takes back what nobody came for: whoever does not answer keeps no line from others.
    pub(super) fn expire(&mut self) {
        let is_over = |given: &Given| given.waits.is_some_and(|until| until <= self.now);
        let over: Vec<(NodeId, u32)> =
            self.giving.iter().filter(|(_, given)| is_over(given)).map(|(key, _)| *key).collect();
        for key in over {
            self.giving.remove(&key);
            self.rest(key.0);
        }
    }

    /// Whether a partner lacks something that is here.
    pub(super) fn lacks(&self, partner: &Partner) -> bool {
        self.soon.beyond(&partner.soon).next().is_some()
    }

    /// Offers, as long as there is room on a line and somebody who lacks something.
    pub(super) fn give(&mut self) {
        for near in [true, false] {
            while self.giving.values().filter(|given| given.near == near).count() < limits::CHUNKS_GIVEN {
                let Some((to, chunks)) = self.next(near) else { break };
                let waits = Some(self.now.after(limits::CHUNK_OFFER_WAITS));
                let Some(chunk) = chunks.first().copied() else { break };
                self.giving.insert((to, chunk), Given { chunk, near, waits });
                self.say(to, ChunkWord::Offer(chunks));
            }
        }
    }

    /// To whom something is offered next, and what: to the one that has least, for whoever has nothing gives nothing; of
    /// these to any.
    fn next(&mut self, near: bool) -> Option<(NodeId, Vec<u32>)> {
        let mut random = self.random.clone();
        let mut partners: Vec<(u32, u64, NodeId)> = self
            .partners
            .iter()
            .filter(|(_, partner)| partner.near == near && partner.rests <= self.now && self.lacks(partner))
            .map(|(node, partner)| (partner.soon.count() / 2, random.next(), *node))
            .collect();
        self.random = random;
        partners.sort_unstable();
        partners.into_iter().find_map(|(_, _, node)| {
            let chunks = self.rarest_for(node);
            (!chunks.is_empty()).then_some((node, chunks))
        })
    }

    /// The rarest chunks that are here, that a partner lacks and that it is not being given.
    fn rarest_for(&mut self, node: NodeId) -> Vec<u32> {
        let Some(partner) = self.partners.get(&node) else { return Vec::new() };
        let is_given = |chunk: &u32| {
            let of = |((to, offered), given): (&(NodeId, u32), &Given)| {
                *to == node && (*offered == *chunk || given.chunk == *chunk)
            };
            self.giving.iter().any(of)
        };
        let mut soon = self.copies.clone();
        self.giving.values().for_each(|given| soon[given.chunk as usize] += 1);
        let mut random = self.random.clone();
        let mut chunks: Vec<(bool, u32, u64, u32)> = self
            .soon
            .beyond(&partner.soon)
            .filter(|chunk| !is_given(chunk))
            .map(|chunk| (!self.have.has(chunk), soon[chunk as usize], random.next(), chunk))
            .collect();
        self.random = random;
        chunks.sort_unstable();
        chunks.into_iter().take(limits::CHUNKS_NAMED).map(|(_, _, _, chunk)| chunk).collect()
    }
}
