//! The side that takes.

use std::iter;

use hither_types::id::NodeId;
use hither_types::message::ChunkWord;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use super::{Deed, Distribution};
use crate::limits;

/// Where a chunk is on its way from.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) from: NodeId,
    near: bool,
    since: Timestamp,
    /// Whether others were told that it does not come soon enough.
    missed: bool,
}

impl Distribution {
    pub(super) fn offered(&mut self, from: NodeId, chunks: &[u32]) {
        let Some(name) = chunks.first().copied() else { return };
        let chunks = &chunks[..chunks.len().min(limits::CHUNKS_NAMED)];
        match self.choose(from, chunks) {
            Some(chunk) => {
                let near = self.partners.get(&from).is_some_and(|partner| partner.near);
                self.taking.entry(chunk).or_default().push(Taken { from, near, since: self.now, missed: false });
                self.say_all(&ChunkWord::Coming(chunk));
                self.out.push(Deed::Fetch { from, offered: name, chunk });
            }
            None => self.say(from, ChunkWord::Decline(name)),
        }
    }

    /// Which of a partner's chunks is taken, of these first.
    fn choose(&mut self, from: NodeId, named: &[u32]) -> Option<u32> {
        let partner = self.partners.get(&from)?;
        let under_way = self.taking.values().flatten();
        let of_one = under_way.clone().filter(|taken| taken.from == from).count();
        if under_way.count() >= limits::CHUNKS_TAKEN || of_one >= limits::CHUNKS_TAKEN_OF_ONE {
            return None;
        }
        // Whose turn it is may hang, or have no partner who has it.
        let starves = self.hungry.after(limits::CHUNK_STARVES) <= self.now;
        let may = |chunk: &u32| *chunk < self.most && (partner.near || starves || self.owned.has(*chunk));
        let is_free = |chunk: &u32| !self.have.has(*chunk) && !self.taking.contains_key(chunk) && may(chunk);
        let named = named.iter().copied().find(is_free);
        let mut random = self.random.clone();
        let rarest = || {
            let all = partner.have.beyond(&self.have).filter(is_free);
            all.min_by_key(|chunk| (self.copies[*chunk as usize], random.next()))
        };
        let chunk =
            named.or_else(rarest).or_else(|| self.overdue(from, |chunk| partner.have.has(*chunk) && may(chunk)));
        self.random = random;
        chunk
    }

    /// Something that is on its way for so long that a second partner is taken up on it.
    fn overdue(&self, from: NodeId, may: impl Fn(&u32) -> bool) -> Option<u32> {
        let is_late = |taken: &[Taken]| matches!(taken, [one] if one.missed && one.from != from);
        let late = self.taking.iter().filter(|(chunk, taken)| is_late(taken) && may(chunk));
        late.min_by_key(|(_, taken)| taken.first().map(|taken| taken.since)).map(|(chunk, _)| *chunk)
    }

    /// When something that is on its way is late, unless others know.
    pub(super) fn is_late_at(&self, taken: &[Taken]) -> Option<Timestamp> {
        match taken {
            [one] if !one.missed => {
                let takes = self.takes[usize::from(one.near)];
                Some(one.since.after(Micros(takes.0.saturating_mul(limits::CHUNK_LATE))))
            }
            _ => None,
        }
    }

    /// Tells others what does not come soon enough, so that it is offered again.
    pub(super) fn miss(&mut self) {
        let is_late = |taken: &[Taken]| self.is_late_at(taken).is_some_and(|at| at <= self.now);
        let late: Vec<u32> = self.taking.iter().filter(|(_, taken)| is_late(taken)).map(|(chunk, _)| *chunk).collect();
        for chunk in late {
            self.taking.get_mut(&chunk).into_iter().flatten().for_each(|taken| taken.missed = true);
            self.say_all(&ChunkWord::Lost(chunk));
        }
    }

    /// What has begun to come may be offered already: it is here by the time that somebody comes for it.
    pub(super) fn begun(&mut self, from: NodeId, chunk: u32) {
        if self.taking.get(&chunk).is_some_and(|taken| taken.iter().any(|taken| taken.from == from)) {
            self.soon.insert(chunk);
        }
    }

    pub(super) fn failed(&mut self, from: NodeId, chunk: u32) {
        let Some(taken) = self.taking.get_mut(&chunk) else { return };
        let before = taken.len();
        taken.retain(|taken| taken.from != from);
        if taken.len() == before || !taken.is_empty() {
            return;
        }
        self.taking.remove(&chunk);
        self.soon.remove(chunk);
        self.say_all(&ChunkWord::Lost(chunk));
        self.refuse(chunk);
    }

    pub(super) fn arrived(&mut self, from: NodeId, chunk: u32) {
        let Some(taken) = self.taking.remove(&chunk) else { return };
        for taken in taken {
            if taken.from == from {
                let (took, takes) = (self.now.since(taken.since), &mut self.takes[usize::from(taken.near)]);
                *takes = Micros((takes.0 * 7 + took.0) / 8);
            } else {
                self.out.push(Deed::Cancel { from: taken.from, chunk });
            }
        }
        self.hungry = self.now;
        self.soon.insert(chunk);
        if !self.have.insert(chunk) {
            return;
        }
        self.say_all(&ChunkWord::Have(iter::once(chunk..chunk + 1).collect()));
        if self.have.is_full() {
            self.out.push(Deed::Complete);
        }
    }
}
