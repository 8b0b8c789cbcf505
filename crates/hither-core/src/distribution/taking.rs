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
    /// Whether some of it has come.
    begun: bool,
    /// Whether it does not come soon enough.
    missed: bool,
}

impl Distribution {
    pub(super) fn offered(&mut self, from: NodeId, chunks: &[u32]) {
        let Some(name) = chunks.first().copied() else { return };
        let chunks = &chunks[..chunks.len().min(limits::CHUNKS_NAMED)];
        match self.choose(from, chunks) {
            Some(chunk) => {
                let near = self.partners.get(&from).is_some_and(|partner| partner.near);
                self.taking.entry(chunk).or_default().push(Taken {
                    from,
                    near,
                    since: self.now,
                    begun: false,
                    missed: false,
                });
                self.say_all(&ChunkWord::Coming(chunk));
                self.out.push(Deed::Fetch { from, offered: name, chunk });
            }
            None => self.say(from, ChunkWord::Decline(name)),
        }
    }

    /// Which of a partner's chunks is taken, of these first.
    fn choose(&mut self, from: NodeId, named: &[u32]) -> Option<u32> {
        let partner = self.partners.get(&from)?;
        let under_way = || self.taking.values().flatten();
        let of_one = under_way().filter(|taken| taken.from == from).count();
        // What is late and has not begun takes no room from what others would give.
        let awaited = under_way().filter(|taken| taken.begun || !taken.missed).count();
        let is_full = awaited >= limits::CHUNKS_TAKEN || of_one >= limits::CHUNKS_TAKEN_OF_ONE;
        if is_full || partner.shunned > self.now {
            return None;
        }
        // Whose turn it is may hang, or have no partner who has it.
        let starves = self.hungry.after(limits::CHUNK_STARVES) <= self.now;
        let is_turn = |chunk: &u32| self.owned.has(*chunk) && !self.is_near(*chunk);
        let may = |chunk: &u32| *chunk < self.most && (partner.near || starves || is_turn(chunk));
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

    /// Whether somebody of this site has a chunk, or is being given it: then it comes from there. Whoever fetched it may have
    /// done so before it knew whose turn it was.
    fn is_near(&self, chunk: u32) -> bool {
        let keeps_word = |node: &NodeId| {
            let mut under_way = self.taking.values().flatten();
            !under_way.any(|taken| taken.from == *node && taken.missed && !taken.begun)
        };
        let mut near = self.partners.iter().filter(|(_, partner)| partner.near && partner.soon.has(chunk));
        near.any(|(node, partner)| partner.shunned <= self.now && keeps_word(node))
    }

    /// Something that is on its way for so long that a second partner is taken up on it. What comes, if slowly, crosses no
    /// second time between sites.
    fn overdue(&self, from: NodeId, may: impl Fn(&u32) -> bool) -> Option<u32> {
        let near = self.partners.get(&from).is_some_and(|partner| partner.near);
        let waits = |one: &Taken| one.missed && one.from != from && (near || !one.begun);
        let is_late = |taken: &[Taken]| matches!(taken, [one] if waits(one));
        let late = self.taking.iter().filter(|(chunk, taken)| is_late(taken) && may(chunk));
        late.min_by_key(|(_, taken)| taken.first().map(|taken| taken.since)).map(|(chunk, _)| *chunk)
    }

    /// When something that is on its way is late, unless it is known to be.
    fn is_late_at(&self, taken: &Taken) -> Option<Timestamp> {
        let takes = self.takes[usize::from(taken.near)];
        (!taken.missed).then(|| taken.since.after(Micros(takes.0.saturating_mul(limits::CHUNK_LATE))))
    }

    /// When something that is on its way is given up. Whoever has begun has shown that it can give.
    fn is_lost_at(&self, taken: &Taken) -> Timestamp {
        let takes = self.takes[usize::from(taken.near)];
        let patience = limits::CHUNK_STALLS.0.max(takes.0.saturating_mul(limits::CHUNK_STALLED));
        taken.since.after(Micros(if taken.begun { patience.saturating_mul(limits::CHUNK_TRICKLES) } else { patience }))
    }

    /// When something that is on its way is late or given up next.
    pub(super) fn waits_until(&self) -> Option<Timestamp> {
        let all = self.taking.values().flatten();
        all.map(|taken| self.is_late_at(taken).unwrap_or_else(|| self.is_lost_at(taken))).min()
    }

    /// Tells others what does not come soon enough, so that it is offered again.
    pub(super) fn miss(&mut self) {
        let is_late = |taken: &Taken| self.is_late_at(taken).is_some_and(|at| at <= self.now);
        let late: Vec<u32> =
            self.taking.iter().filter(|(_, all)| all.iter().any(is_late)).map(|(chunk, _)| *chunk).collect();
        for chunk in late {
            let Some(mut all) = self.taking.remove(&chunk) else { continue };
            let first = matches!(&all[..], [one] if !one.missed);
            all.iter_mut()
                .filter(|taken| self.is_late_at(taken).is_some_and(|at| at <= self.now))
                .for_each(|taken| taken.missed = true);
            self.taking.insert(chunk, all);
            if first {
                self.say_all(&ChunkWord::Lost(chunk));
            }
        }
    }

    /// Waits no longer for what does not come: nobody holds a chunk for ever by promising it.
    pub(super) fn give_up(&mut self) {
        let mut lost: Vec<(NodeId, u32, bool)> = Vec::new();
        for (chunk, all) in &self.taking {
            let over = all.iter().filter(|taken| self.is_lost_at(taken) <= self.now);
            lost.extend(over.map(|taken| (taken.from, *chunk, taken.near)));
        }
        for (from, chunk, near) in &lost {
            self.out.push(Deed::Abandon { from: *from, chunk: *chunk });
            self.failed(*from, *chunk);
            self.shun(*from, limits::CHUNK_STALLS);
            // It may be that lines are slower than was known.
            let takes = &mut self.takes[usize::from(*near)];
            *takes = Micros(takes.0.saturating_mul(2).min(limits::CHUNK_TAKES_MOST.0));
        }
    }

    /// Takes nothing of a partner for a while, and each time that it does not keep its word for longer.
    fn shun(&mut self, node: NodeId, least: Micros) {
        let Some(partner) = self.partners.get_mut(&node) else { return };
        let longer = least.0.saturating_mul(1 << partner.failed.min(limits::CHUNK_SHUNS_DOUBLE));
        partner.shunned = partner.shunned.max(self.now.after(Micros(longer)));
        partner.failed += 1;
    }

    /// What has begun to come may be offered already: it is here by the time that somebody comes for it.
    pub(super) fn begun(&mut self, from: NodeId, chunk: u32) {
        let taken = self.taking.get_mut(&chunk).into_iter().flatten().find(|taken| taken.from == from);
        if let Some(taken) = taken {
            taken.begun = true;
            self.soon.insert(chunk);
        }
    }

    /// A partner did not give what it offered.
    pub(super) fn refused(&mut self, from: NodeId, chunk: u32) {
        if self.taking.get(&chunk).is_some_and(|taken| taken.iter().any(|taken| taken.from == from)) {
            self.failed(from, chunk);
            self.shun(from, limits::CHUNK_TAKES);
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
        if let Some(partner) = self.partners.get_mut(&from) {
            (partner.shunned, partner.failed) = (Timestamp(0), 0);
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
