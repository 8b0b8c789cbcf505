//! Which node should hold which model: what to fetch before it hurts, and what leaves for it.
//!
//! Every node decides alone and in periods, from what it and its neighbours tell of themselves; there is no plan and nobody
//! who leads. The neighbourhood of a node are the nodes of its jurisdiction: data that may go nowhere else are served there,
//! and a model's last copy there is worth more than one of many elsewhere. A model has as many copies as its load asks for
//! (proportional to the load, not to its root: the aim is that no copy is overloaded), at least two while it is asked for.
//! Where copies are missing, the first nodes of the weighted rendezvous order ([`order`]) that have none fetch it, so that
//! all who see the same agree without a word. Nobody moves a copy that is there: whoever holds a model comes before all who
//! do not, whatever weighs on it, so weights decide about the next copy only and nothing goes to and fro.
//!
//! What must stay true:
//! - Only nodes that the law lets hold a model are asked about, by signature: a [`Sight`] shows no others.
//! - The last copy in a jurisdiction is never evicted. Of all who hold a model, the first in an order that never changes
//!   keeps it; whoever evicts knows of one who comes before it. Of all who ever held it, the first can have known of nobody
//!   before it, so it still does, however old the others' news are.
//! - A copy that is pinned, busy or young does not leave.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use hither_types::id::{Digest, NodeId};
use hither_types::message::Room;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Eighths, MicroHertz, Micros};

use crate::limits;

mod copies;
mod demand;
mod order;
#[cfg(test)]
mod tests;

use copies::Copies;
pub use demand::Demand;

/// What a node sees of one model in its neighbourhood, itself included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// The model.
    pub model: Digest,
    /// What one copy takes of a node's memory for models.
    pub bytes: ByteCount,
    /// How often it is asked for.
    pub demand: MicroHertz,
    /// What a request takes at an engine; zero if nobody knows.
    pub service: Micros,
    /// Nodes that hold it.
    pub copies: u32,
    /// Nodes to which it is on its way.
    pub coming: u32,
    /// Of those who hold it, how many have it open …
    pub open: u32,
    /// … and how many slots they have for it in all, power considered.
    pub slots: u32,
    /// The predicted wait of one more request, at the best of them.
    pub wait: Micros,
    /// What one more copy takes to come and be opened.
    pub load: Micros,
}

impl Glance {
    /// Copies that its load asks for: ⌈demand · service ÷ (0.7 · slots of a copy)⌉.
    pub fn by_load(&self) -> u32 {
        if self.demand == MicroHertz(0) {
            return 0;
        }
        let service = if self.service == Micros(0) { limits::SERVICE_GUESS } else { self.service };
        // Busy slots, in thousandths.
        let busy = self.demand.0.saturating_mul(service.0) / 1_000_000_000;
        let (open, slots) = (u64::from(self.open.max(1)), u64::from(self.slots.max(self.open).max(1)));
        let copies = busy.saturating_mul(100 * open).div_ceil(slots * 1000 * limits::PLACE_PERCENT).max(1);
        u32::try_from(copies).unwrap_or(u32::MAX)
    }

    /// Copies that there should be.
    pub fn wanted(&self) -> u32 {
        if self.demand == MicroHertz(0) { 0 } else { self.by_load().max(limits::COPIES_MIN) }
    }

    fn is_pressed(&self) -> bool {
        self.wait > Micros(self.load.0 / 2).min(limits::PRESSED_AT)
    }
}

/// Somebody else who might take a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub node: NodeId,
    /// What it told of its room.
    pub room: Room,
}

/// What weighs for giving a node one more model: the lesser of its shares of free memory and of free power, times its speed.
/// Whoever has no room for it weighs nothing; where there is no power left, a little is left of the weight, for a second copy
/// is of use even there.
fn weight(room: Room, bytes: ByteCount) -> u32 {
    let free = u128::from(room.memory.0) * u128::from(room.free.count()) / 8;
    if room.free == Eighths::NONE || u128::from(bytes.0) > free {
        return 0;
    }
    u32::from(room.free.count().min(room.power.count().max(1))) * u32::from(room.speed.max(1))
}

/// What a node sees of its neighbourhood when it decides: only models that the law lets it hold, and of each only nodes that
/// the law lets hold it.
pub trait Sight {
    /// All models that somebody asks for or holds, by digest.
    fn glances(&self) -> &[Glance];
    /// The others that hold a model and are there.
    fn holders(&self, model: Digest) -> &[NodeId];
    /// The others that neither hold a model nor wait for it.
    fn candidates(&self, model: Digest) -> Vec<Candidate>;
    /// Whether work runs on a model here.
    fn is_busy(&self, model: Digest) -> bool;
}

/// Why a model is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// An operator wants it to stay here.
    Pinned,
    /// It is asked for, and nobody here holds it.
    First,
    /// Its load asks for more copies.
    Load,
    /// Requests wait for it, whatever its load says.
    Relief,
    /// It is asked for, and there is one copy only.
    Spare,
}

/// What shall be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Fetch a model.
    Fetch {
        /// Which.
        model: Digest,
        /// Why.
        why: Why,
    },
    /// Remove a model's copy.
    Evict {
        /// Which.
        model: Digest,
        /// Which one needs its room.
        by: Digest,
    },
    /// A model should come here, and nothing may leave for it; or there should be more of it, and nobody has room.
    NoRoom {
        /// Which.
        model: Digest,
        /// Why it should.
        why: Why,
    },
}

/// Whose turn it is to fetch a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Mine,
    Others,
    /// There is nobody with room for it.
    Nobodys,
}

/// How dear a copy is that may leave, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stay {
    /// There are more of it than are wanted.
    Surplus,
    /// It is a second one, and one would do for the load.
    Spare,
    /// The load asks for it.
    Owned,
}

impl Why {
    /// The dearest copy that may leave for it.
    fn may_cost(self) -> Stay {
        match self {
            Self::Pinned => Stay::Owned,
            Self::First | Self::Load | Self::Relief => Stay::Spare,
            Self::Spare => Stay::Surplus,
        }
    }
}

/// The part of a node that decides which models it should hold.
#[derive(Debug)]
pub struct Planner {
    me: NodeId,
    /// What models may use; none if nobody counts.
    budget: Option<ByteCount>,
    copies: Copies,
    /// What the others were told last of the room here: who comes first is found out with what all know.
    told: Room,
    /// Bytes of what would leave for nothing, as of the last decision.
    kept: u64,
    /// For how many decisions in a row requests have waited too long, by model.
    pressed: BTreeMap<Digest, u8>,
}

/// A model that should come to somebody, and nobody has room.
type Homeless = (Digest, Why);

impl Planner {
    /// A node that holds nothing.
    pub fn new(me: NodeId, budget: Option<ByteCount>) -> Self {
        Self { me, budget, copies: Copies::default(), told: Room::default(), kept: 0, pressed: BTreeMap::new() }
    }

    /// A model is on its way here.
    pub fn coming(&mut self, model: Digest, bytes: ByteCount) {
        self.copies.coming(model, bytes);
    }

    /// A model is here; `reload` is what it took to come, or would take.
    pub fn came(&mut self, model: Digest, bytes: ByteCount, reload: Micros, now: Timestamp) {
        self.copies.came(model, bytes, reload, now);
    }

    /// A model is not here, and does not come.
    pub fn gone(&mut self, model: Digest) {
        self.copies.gone(model);
    }

    /// Work starts on a model here.
    pub fn used(&mut self, model: Digest) {
        self.copies.used(model);
    }

    /// An operator wants a model to stay here, or does so no longer.
    pub fn pin(&mut self, model: Digest, pinned: bool) {
        self.copies.pin(model, pinned);
    }

    /// Whether an operator wants a model to stay here.
    pub fn is_pinned(&self, model: Digest) -> bool {
        self.copies.is_pinned(model)
    }

    /// What the others are to be told of the room here. Of several fetches each makes the others later, so whoever has
    /// enough to fetch has no room for now.
    pub fn room(&mut self, power: Eighths, speed: u8) -> Room {
        let memory = self.budget.unwrap_or(ByteCount(u64::MAX));
        let free = memory.0.saturating_sub(self.kept + self.copies.coming_bytes());
        let free = if self.is_fetching_enough() { Eighths::NONE } else { Eighths::of(free, memory.0) };
        self.told = Room { memory, free, power, speed };
        self.told
    }

    /// Decides, once in [`limits::PLACE_EVERY`]: what leaves comes before what needs its room.
    pub fn decide(&mut self, sight: &impl Sight, now: Timestamp) -> Vec<Step> {
        let (mut wanted, homeless) = self.wanted(sight);
        wanted.sort_unstable_by_key(|(why, glance)| (*why, Reverse(glance.demand), glance.model));
        let mut steps: Vec<Step> = homeless.into_iter().map(|(model, why)| Step::NoRoom { model, why }).collect();
        for (why, glance) in wanted {
            if self.is_fetching_enough() {
                break;
            }
            let Some(leave) = self.makes_room(glance.bytes, why.may_cost(), sight, now) else {
                steps.push(Step::NoRoom { model: glance.model, why });
                continue;
            };
            for model in leave {
                self.copies.leaves(model);
                steps.push(Step::Evict { model, by: glance.model });
            }
            self.copies.coming(glance.model, glance.bytes);
            steps.push(Step::Fetch { model: glance.model, why });
        }
        let kept = |(model, copy): (Digest, &copies::Copy)| match self.stay(model, sight) {
            Some(Stay::Surplus | Stay::Spare) => 0,
            Some(Stay::Owned) | None => copy.bytes.0,
        };
        self.kept = self.copies.here().map(kept).sum();
        steps
    }

    /// The models that should come here, and those that should come to somebody and have nobody with room.
    fn wanted(&mut self, sight: &impl Sight) -> (Vec<(Why, Glance)>, Vec<Homeless>) {
        let before = std::mem::take(&mut self.pressed);
        let (mut wanted, mut homeless) = (Vec::new(), Vec::new());
        for glance in sight.glances() {
            let mut pressed = 0;
            if glance.is_pressed() {
                pressed = before.get(&glance.model).map_or(1, |count| count.saturating_add(1));
                self.pressed.insert(glance.model, pressed);
            }
            let there = glance.copies + glance.coming;
            let lack = match glance.wanted().saturating_sub(there) {
                0 if pressed >= limits::PRESSED_FOR && glance.coming == 0 => 1,
                lack => lack,
            };
            if lack == 0 || self.copies.has(glance.model) || self.copies.comes(glance.model) {
                continue;
            }
            let why = if there == 0 {
                Why::First
            } else if glance.by_load() > there {
                Why::Load
            } else if glance.wanted() > there {
                Why::Spare
            } else {
                Why::Relief
            };
            match self.turn(glance, lack, sight) {
                Turn::Mine => wanted.push((why, *glance)),
                Turn::Others => {}
                Turn::Nobodys => homeless.push((glance.model, why)),
            }
        }
        let glances = sight.glances();
        let pinned = glances.iter().filter(|glance| self.copies.is_pinned(glance.model));
        let lacks = pinned.filter(|glance| !self.copies.has(glance.model) && !self.copies.comes(glance.model));
        let lacks: Vec<(Why, Glance)> = lacks.map(|glance| (Why::Pinned, *glance)).collect();
        wanted.retain(|(_, glance)| lacks.iter().all(|(_, pinned)| pinned.model != glance.model));
        homeless.retain(|(model, _)| lacks.iter().all(|(_, pinned)| pinned.model != *model));
        wanted.extend(lacks);
        (wanted, homeless)
    }

    /// Whether this node is among the first so many, of those who do not hold a model, in its order.
    fn turn(&self, glance: &Glance, lack: u32, sight: &impl Sight) -> Turn {
        let of = |node, room| order::place(glance.model, node, weight(room, glance.bytes));
        let candidates = sight.candidates(glance.model);
        let mut others = candidates.iter().filter_map(|other| of(other.node, other.room));
        let Some(mine) = of(self.me, self.told) else {
            return if others.next().is_some() || self.is_fetching_enough() { Turn::Others } else { Turn::Nobodys };
        };
        let before = others.filter(|other| *other < mine).take(lack as usize).count();
        if before < lack as usize { Turn::Mine } else { Turn::Others }
    }

    /// Whether as much is on its way here as may be at once.
    fn is_fetching_enough(&self) -> bool {
        self.copies.coming_count() >= limits::PLACES_AT_ONCE
    }

    /// How dear a copy here is; `None` if it leaves for nothing.
    fn stay(&self, model: Digest, sight: &impl Sight) -> Option<Stay> {
        if self.copies.is_pinned(model) {
            return None;
        }
        let mine = order::standing(model, self.me);
        let before = sight.holders(model).iter().filter(|other| order::standing(model, **other) > mine).count();
        if before == 0 {
            return None;
        }
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let glances = sight.glances();
        let glance = glances.binary_search_by_key(&model, |glance| glance.model).map(|index| &glances[index]);
        let (by_load, wanted) = glance.map_or((0, 0), |glance| (glance.by_load(), glance.wanted()));
        Some(match before {
            _ if before >= wanted => Stay::Surplus,
            _ if before >= by_load => Stay::Spare,
            _ => Stay::Owned,
        })
    }

    /// What has to leave so that there is room; `None` if that is not to be had.
    fn makes_room(&self, need: ByteCount, dearest: Stay, sight: &impl Sight, now: Timestamp) -> Option<Vec<Digest>> {
        let Some(budget) = self.budget else { return Some(Vec::new()) };
        let mut free = budget.0.saturating_sub(self.copies.bytes());
        if free >= need.0 {
            return Some(Vec::new());
        }
        let may_leave =
            self.copies.here().filter(|(model, copy)| copy.may_leave(now) && !sight.is_busy(*model)).filter_map(
                |(model, copy)| {
                    let stay = self.stay(model, sight).filter(|stay| *stay <= dearest)?;
                    Some((stay, copy.worth, model, copy.bytes.0))
                },
            );
        let mut may_leave: Vec<_> = may_leave.collect();
        may_leave.sort_unstable();
        let mut leave = Vec::new();
        for (_, _, model, bytes) in may_leave {
            if free >= need.0 {
                break;
            }
            free += bytes;
            leave.push(model);
        }
        (free >= need.0).then_some(leave)
    }
}
