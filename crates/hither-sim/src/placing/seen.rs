//! What the nodes of a jurisdiction know of one another: what each told, some seconds ago.

use hither_core::placement::{Candidate, Glance, Sight};
use hither_types::id::{Digest, NodeId};
use hither_types::message::Room;
use hither_types::unit::{ByteCount, MicroHertz, Micros};

use super::town::{Town, at};

/// What a node tells of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    pub(super) held: Vec<u16>,
    /// Slots for each of those, power considered.
    pub(super) slots: Vec<u32>,
    pub(super) coming: Vec<u16>,
    pub(super) demand: Vec<(u16, u64)>,
    pub(super) room: Room,
}

/// One model in a jurisdiction, summed up.
#[derive(Debug, Clone, Default)]
struct Sum {
    holders: Vec<NodeId>,
    coming: u32,
    slots: u32,
    /// Of what a request takes at each of those that have it.
    service: u64,
    demand: u64,
}

/// A jurisdiction, as its nodes see it.
#[derive(Debug)]
pub(super) struct Seen {
    jurisdiction: usize,
    sums: Vec<Sum>,
    glances: Vec<Glance>,
    /// Its nodes, with their places in the town, and what each told last.
    words: Vec<(usize, Word)>,
    first: usize,
}

impl Seen {
    pub(super) fn new(town: &Town, jurisdiction: usize) -> Self {
        let nodes = town.houses.iter().enumerate().filter(|(_, house)| house.jurisdiction == jurisdiction);
        let words: Vec<(usize, Word)> = nodes.map(|(node, _)| (node, Word::default())).collect();
        let first = words.first().map_or(0, |(node, _)| *node);
        Self { jurisdiction, sums: vec![Sum::default(); town.models.len()], glances: Vec::new(), words, first }
    }

    /// A node's word is heard: it stands instead of its last one.
    pub(super) fn hear(&mut self, town: &Town, node: usize, word: Word) {
        // The nodes of a jurisdiction stand in one row.
        let house = town.houses[node];
        let known = &mut self.words[node - self.first].1;
        let before = std::mem::replace(known, word);
        let now = &*known;
        let service = |model: u16| town.models[usize::from(model)].service * 4 / house.speed;
        if before.held != now.held {
            for model in &before.held {
                self.sums[usize::from(*model)].holders.retain(|holder| *holder != house.id);
                self.sums[usize::from(*model)].service -= service(*model);
            }
            for model in &now.held {
                self.sums[usize::from(*model)].holders.push(house.id);
                self.sums[usize::from(*model)].service += service(*model);
            }
        }
        before.held.iter().zip(&before.slots).for_each(|(model, slots)| self.sums[usize::from(*model)].slots -= slots);
        now.held.iter().zip(&now.slots).for_each(|(model, slots)| self.sums[usize::from(*model)].slots += slots);
        before.coming.iter().for_each(|model| self.sums[usize::from(*model)].coming -= 1);
        now.coming.iter().for_each(|model| self.sums[usize::from(*model)].coming += 1);
        before.demand.iter().for_each(|(model, rate)| self.sums[usize::from(*model)].demand -= rate);
        now.demand.iter().for_each(|(model, rate)| self.sums[usize::from(*model)].demand += rate);
    }

    /// Sums up what was heard; `waiting` is how many requests waited for each model.
    pub(super) fn sum_up(&mut self, town: &Town, waiting: &[u32]) {
        self.glances.clear();
        for (index, (model, sum)) in town.models.iter().zip(&self.sums).enumerate() {
            if !town.is_allowed(index, self.jurisdiction) {
                continue;
            }
            let copies = sum.holders.len() as u32;
            let service = sum.service.checked_div(u64::from(copies)).unwrap_or(model.service);
            self.glances.push(Glance {
                model: model.digest,
                bytes: ByteCount(model.bytes),
                demand: MicroHertz(sum.demand),
                service: Micros(service),
                copies,
                coming: sum.coming,
                open: copies,
                slots: sum.slots,
                wait: Micros(u64::from(waiting[index]) * service / u64::from(sum.slots.max(1))),
                load: Micros(town.load(index, false)),
            });
        }
    }

    /// As one of its nodes sees it.
    pub(super) fn by<'a>(&'a self, town: &'a Town, me: usize, busy: &'a [(u16, u32)]) -> View<'a> {
        View { seen: self, town, me, busy }
    }
}

/// A jurisdiction, as one of its nodes sees it when it decides.
pub(super) struct View<'a> {
    seen: &'a Seen,
    town: &'a Town,
    me: usize,
    /// What runs here, by model.
    busy: &'a [(u16, u32)],
}

impl Sight for View<'_> {
    fn glances(&self) -> &[Glance] {
        &self.seen.glances
    }

    fn holders(&self, model: Digest) -> &[NodeId] {
        &self.seen.sums[at(&model.0)].holders
    }

    fn candidates(&self, model: Digest) -> Vec<Candidate> {
        let model = at(&model.0) as u16;
        let lacks = |word: &Word| !word.held.contains(&model) && !word.coming.contains(&model);
        let others = self.seen.words.iter().filter(|(node, word)| *node != self.me && lacks(word));
        others.map(|(node, word)| Candidate { node: self.town.houses[*node].id, room: word.room }).collect()
    }

    fn is_busy(&self, model: Digest) -> bool {
        let model = at(&model.0) as u16;
        self.busy.iter().any(|(held, count)| *held == model && *count > 0)
    }
}
