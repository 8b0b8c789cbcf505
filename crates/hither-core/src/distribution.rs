//! How one file gets to many: what a node offers to whom, and what it takes of what it is offered.
//!
//! Whoever has room on its line offers a chunk to a partner that lacks it: to the one that has least, and of what it lacks
//! the one of which fewest copies are known. The partner takes that or, if it is on its way already, another one of the same
//! giver; so no question waits anywhere, nothing is on its way to a node twice, and a seed gives each chunk once before it
//! gives one twice. Rarest first is BitTorrent's (Cohen, "Incentives build robustness in BitTorrent", 2003; Legout et al.,
//! IMC 2006); that the giver chooses comes from the analyses of broadcasting (Mundinger, Weber, Weiss, "Optimal scheduling of
//! peer-to-peer file dissemination", 2008). Nobody is choked: all belong to one mesh.
//!
//! What must stay true:
//! - A chunk crosses into a site once: it is taken from elsewhere only by the member of the site whose turn it is
//!   (rendezvous hashing, Thaler and Ravishankar, 1998), and from the same site by everybody.
//! - Who is here was let in by the law before: nobody is named that may not have the file, or may not give it.
//! - No chunk is told of before it was verified.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hither_types::id::NodeId;
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;
use crate::random::Random;

mod bits;
mod giving;
mod picture;
mod taking;
#[cfg(test)]
mod tests;

pub use bits::Bits;
use giving::Given;
use taking::Taken;

/// What happened.
#[derive(Debug, Clone)]
pub enum Sign {
    /// Somebody takes part, or is at another place than before. It is told what is here.
    Partner {
        /// Who.
        node: NodeId,
        /// Whether it is at this node's site.
        near: bool,
    },
    /// Somebody of this site wants the file or has it: chunks are shared out among all of them.
    Sharer(NodeId),
    /// Somebody does not take part any more.
    Gone(NodeId),
    /// A partner said something.
    Said {
        /// Who.
        from: NodeId,
        /// What.
        word: ChunkWord,
    },
    /// The first bytes of a chunk have come.
    Begun {
        /// From whom.
        from: NodeId,
        /// The chunk.
        chunk: u32,
    },
    /// A chunk came whole and was verified.
    Arrived {
        /// From whom.
        from: NodeId,
        /// The chunk.
        chunk: u32,
    },
    /// A chunk did not come.
    Failed {
        /// From whom.
        from: NodeId,
        /// The chunk.
        chunk: u32,
    },
    /// A partner has come for what it was offered.
    Called {
        /// Who.
        by: NodeId,
        /// Which chunk it was offered.
        offered: u32,
        /// Which it takes.
        chunk: u32,
    },
    /// What a partner came for is over its line, or it gave up.
    Given {
        /// Who.
        to: NodeId,
        /// Which chunk it was offered.
        offered: u32,
        /// Whether it has got all of what it took.
        whole: bool,
    },
    /// The deadline has come.
    Tick,
}

/// What shall be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Say something to a partner.
    Say {
        /// To whom.
        to: NodeId,
        /// What.
        word: ChunkWord,
    },
    /// Fetch a chunk.
    Fetch {
        /// From whom.
        from: NodeId,
        /// Which chunk was offered.
        offered: u32,
        /// Which is taken.
        chunk: u32,
    },
    /// Fetch it no longer: it came from somebody else.
    Cancel {
        /// From whom.
        from: NodeId,
        /// The chunk.
        chunk: u32,
    },
    /// Fetch it no longer: it does not come.
    Abandon {
        /// From whom.
        from: NodeId,
        /// The chunk.
        chunk: u32,
    },
    /// What a partner was promised does not come: it shall not wait for it.
    Refuse {
        /// To whom.
        to: NodeId,
        /// Which chunk it was offered.
        offered: u32,
    },
    /// Everything is here.
    Complete,
}

/// How many bytes a chunk of a file has: about 256 chunks a file, so that all soon have something to give, of 64 KiB to
/// 4 MiB. All who take part cut alike: it is part of the protocol.
pub fn chunk_bytes(size: u64) -> u64 {
    (size / 256).next_power_of_two().clamp(64 << 10, 4 << 20)
}

/// One partner, as this node sees it.
#[derive(Debug)]
struct Partner {
    near: bool,
    have: Bits,
    /// What it has, and what is on its way to it.
    soon: Bits,
    /// Until when nothing is offered to it, since it declined.
    rests: Timestamp,
    /// How often it declined since it took something last.
    declined: u32,
    /// Until when nothing is taken of it, since it did not give what it offered.
    shunned: Timestamp,
    /// How often it did not since it gave something last.
    failed: u32,
}

/// One file at one node.
#[derive(Debug)]
pub struct Distribution {
    me: NodeId,
    now: Timestamp,
    most: u32,
    have: Bits,
    /// What is here, and what has begun to come.
    soon: Bits,
    /// Copies among partners, by chunk.
    copies: Vec<u32>,
    partners: BTreeMap<NodeId, Partner>,
    sharers: BTreeSet<NodeId>,
    /// Which chunks this node may fetch from elsewhere: those whose turn it is at its site.
    owned: Bits,
    /// What is on its way here, by chunk.
    taking: BTreeMap<u32, Vec<Taken>>,
    /// What was offered or is being given: to whom, and under which chunk's name.
    giving: BTreeMap<(NodeId, u32), Given>,
    /// How long a chunk takes from the offer on: from other sites, and from this one.
    takes: [Micros; 2],
    /// Since when nothing has come.
    hungry: Timestamp,
    random: Random,
    out: Vec<Deed>,
}

impl Distribution {
    /// A file of so many chunks, of which some are here.
    pub fn new(me: NodeId, have: Bits, seed: u64, now: Timestamp) -> Self {
        Self {
            me,
            now,
            most: have.most(),
            copies: vec![0; have.most() as usize],
            owned: Bits::full(have.most()),
            soon: have.clone(),
            have,
            partners: BTreeMap::new(),
            sharers: BTreeSet::from([me]),
            taking: BTreeMap::new(),
            giving: BTreeMap::new(),
            takes: [limits::CHUNK_TAKES; 2],
            hungry: now,
            random: Random::new(seed),
            out: Vec::new(),
        }
    }

    /// What is here.
    pub fn have(&self) -> &Bits {
        &self.have
    }

    /// Takes in what happened and says what shall be done, in order. Time never goes backwards.
    pub fn handle(&mut self, sign: Sign, now: Timestamp) -> std::vec::Drain<'_, Deed> {
        self.now = self.now.max(now);
        match sign {
            Sign::Partner { node, near } => self.partner(node, near),
            Sign::Sharer(node) => {
                self.sharers.insert(node);
                self.share_out();
            }
            Sign::Gone(node) => self.gone(node),
            Sign::Said { from, word } => self.said(from, word),
            Sign::Begun { from, chunk } => self.begun(from, chunk),
            Sign::Arrived { from, chunk } => self.arrived(from, chunk),
            Sign::Failed { from, chunk } => self.refused(from, chunk),
            Sign::Called { by, offered, chunk } => self.called(by, offered, chunk),
            Sign::Given { to, offered, whole } => self.given(to, offered, whole),
            Sign::Tick => {}
        }
        self.expire();
        self.miss();
        self.give_up();
        self.give();
        self.out.drain(..)
    }

    /// When [`Sign::Tick`] is due next, if nothing else happens; `None` if never.
    pub fn deadline(&self) -> Option<Timestamp> {
        let offers = self.giving.values().filter_map(Given::ends);
        let rests = self.partners.values().filter(|partner| self.lacks(partner)).map(|partner| partner.rests);
        offers.chain(rests.filter(|until| *until > self.now)).chain(self.waits_until()).min()
    }

    fn partner(&mut self, node: NodeId, near: bool) {
        if node == self.me {
            return;
        }
        let new = Partner {
            near,
            have: Bits::new(self.most),
            soon: Bits::new(self.most),
            rests: Timestamp(0),
            declined: 0,
            shunned: Timestamp(0),
            failed: 0,
        };
        self.partners.entry(node).and_modify(|partner| partner.near = near).or_insert(new);
        let ranges: Vec<Range<u32>> = self.have.ranges().collect();
        for some in ranges.chunks(limits::CHUNK_RANGES) {
            self.say(node, ChunkWord::Have(some.to_vec()));
        }
    }

    fn gone(&mut self, node: NodeId) {
        if self.sharers.remove(&node) {
            self.share_out();
        }
        let Some(partner) = self.partners.remove(&node) else { return };
        partner.have.iter().for_each(|chunk| self.copies[chunk as usize] -= 1);
        self.giving.retain(|(to, _), _| *to != node);
        let chunks: Vec<u32> = self.taking.keys().copied().collect();
        chunks.into_iter().for_each(|chunk| self.failed(node, chunk));
    }

    /// Finds out whose turn it is with each chunk.
    fn share_out(&mut self) {
        let weight = |node: &NodeId, chunk: u32| Random::new(node.prefix() ^ (u64::from(chunk) << 32)).next();
        self.owned = Bits::new(self.most);
        for chunk in 0..self.most {
            if self.sharers.iter().max_by_key(|node| weight(node, chunk)) == Some(&self.me) {
                self.owned.insert(chunk);
            }
        }
    }

    fn said(&mut self, from: NodeId, word: ChunkWord) {
        if !self.partners.contains_key(&from) {
            return;
        }
        match word {
            ChunkWord::Have(ranges) => {
                for range in ranges {
                    (range.start..range.end.min(self.most)).for_each(|chunk| self.copied(from, chunk));
                }
            }
            ChunkWord::Coming(chunk) => {
                if let Some(partner) = self.partners.get_mut(&from) {
                    partner.soon.insert(chunk);
                }
            }
            ChunkWord::Lost(chunk) => self.lost(from, chunk),
            ChunkWord::Offer(chunks) => self.offered(from, &chunks),
            ChunkWord::Decline(offered) => self.declined(from, offered),
        }
    }

    /// A partner has a chunk.
    fn copied(&mut self, node: NodeId, chunk: u32) {
        let new = self.partners.get_mut(&node).is_some_and(|partner| {
            partner.soon.insert(chunk);
            partner.have.insert(chunk)
        });
        if new {
            self.copies[chunk as usize] += 1;
        }
    }

    /// A chunk is not on its way to a partner, after all.
    fn lost(&mut self, node: NodeId, chunk: u32) {
        if let Some(partner) = self.partners.get_mut(&node).filter(|partner| !partner.have.has(chunk)) {
            partner.soon.remove(chunk);
        }
    }

    fn say_all(&mut self, word: &ChunkWord) {
        let partners: Vec<NodeId> = self.partners.keys().copied().collect();
        partners.into_iter().for_each(|partner| self.say(partner, word.clone()));
    }

    fn say(&mut self, to: NodeId, word: ChunkWord) {
        self.out.push(Deed::Say { to, word });
    }
}
