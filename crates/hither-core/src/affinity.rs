//! Where requests whose prompts begin alike went last: the place has the beginning in its cache. A term of cost, never a
//! reason by itself. The numbers are made and salted by the driver, and no peer ever sees them.

use std::collections::{BTreeMap, VecDeque};

use hither_types::id::{Digest, NodeId};
use hither_types::unit::Micros;

use crate::limits;
use crate::mean::Mean;

/// The memory of beginnings; bounded, the oldest goes first.
#[derive(Debug, Default)]
pub(crate) struct Affinities {
    places: BTreeMap<u64, NodeId>,
    order: VecDeque<u64>,
    prefill: BTreeMap<Digest, Mean>,
}

impl Affinities {
    /// A request was answered at a place, which read its prompt for so long; zero if nobody knows.
    pub(crate) fn learn(&mut self, affinity: u64, digest: Digest, place: NodeId, prefill: Micros) {
        if self.places.insert(affinity, place).is_none() {
            self.order.push_back(affinity);
        }
        if self.order.len() > limits::AFFINITIES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.places.remove(&oldest);
        }
        let has_room = self.prefill.len() < limits::POOLS_MAX || self.prefill.contains_key(&digest);
        if has_room && prefill > Micros(0) {
            self.prefill.entry(digest).or_default().add(prefill);
        }
    }

    /// The place that knows a beginning.
    pub(crate) fn place(&self, affinity: u64) -> Option<NodeId> {
        self.places.get(&affinity).copied()
    }

    /// What knowing it saves: the mean time of reading a prompt.
    pub(crate) fn saved(&self, digest: Digest) -> Micros {
        self.prefill.get(&digest).map_or(Micros(0), Mean::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_nobody_knows_changes_no_mean_and_the_place_is_learned() {
        let (digest, place) = (Digest([1; 32]), NodeId([2; 32]));
        let mut affinities = Affinities::default();
        affinities.learn(7, digest, place, Micros(0));
        assert_eq!((affinities.place(7), affinities.saved(digest)), (Some(place), Micros(0)));
        affinities.learn(7, digest, place, Micros(4000));
        affinities.learn(8, digest, place, Micros(0));
        assert_eq!((affinities.place(8), affinities.saved(digest)), (Some(place), Micros(4000)));
    }
}
