//! Words that are to be passed on, and when the first of them is. Whoever handles a sign asks that each time, and in a large
//! mesh hundreds of words wait: so the answer is kept beside them.

use std::collections::BTreeMap;

use hither_types::id::NodeId;
use hither_types::time::Timestamp;

/// To whom a word is passed on: within the site oftener than beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Near,
    Far,
}

impl Reach {
    pub(super) const BOTH: [Self; 2] = [Self::Near, Self::Far];
}

/// Words that are to be passed on, by whom they are about.
///
/// What must stay true: `first` is the least of `at`.
#[derive(Debug, Default)]
pub(super) struct Pending {
    at: [BTreeMap<NodeId, Timestamp>; 2],
    first: [Option<Timestamp>; 2],
}

impl Pending {
    /// A word waits until then; if it does already, as long as it did.
    pub(super) fn wait(&mut self, id: NodeId, reach: Reach, at: Timestamp) {
        let at = *self.at[reach as usize].entry(id).or_insert(at);
        self.not_later(reach, at);
    }

    /// A word waits for nothing any more.
    pub(super) fn hurry(&mut self, id: NodeId, now: Timestamp) {
        for reach in Reach::BOTH {
            match self.at[reach as usize].insert(id, now) {
                Some(at) if at < now => self.look(reach),
                _ => self.not_later(reach, now),
            }
        }
    }

    /// There is nothing to pass on of somebody.
    pub(super) fn drop(&mut self, id: NodeId) {
        for reach in Reach::BOTH {
            let at = self.at[reach as usize].remove(&id);
            if at.is_some() && at == self.first[reach as usize] {
                self.look(reach);
            }
        }
    }

    /// When the first word is due.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.first.into_iter().flatten().min()
    }

    /// Takes out the words that are due, by key.
    pub(super) fn due(&mut self, reach: Reach, now: Timestamp) -> Vec<NodeId> {
        if self.first[reach as usize].is_none_or(|first| first > now) {
            return Vec::new();
        }
        let waiting = &mut self.at[reach as usize];
        let due: Vec<NodeId> = waiting.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in &due {
            waiting.remove(id);
        }
        self.look(reach);
        due
    }

    fn not_later(&mut self, reach: Reach, at: Timestamp) {
        let first = &mut self.first[reach as usize];
        *first = Some(first.map_or(at, |first| first.min(at)));
    }

    fn look(&mut self, reach: Reach) {
        self.first[reach as usize] = self.at[reach as usize].values().copied().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_first_that_is_due_is_what_walking_finds() {
        let mut random = Random::new(3);
        let mut pending = Pending::default();
        let mut taken = 0;
        for step in 0..4000_u64 {
            let id = NodeId([(random.next() % 20) as u8; 32]);
            let (now, later) = (Timestamp(step), Timestamp(step + random.next() % 50));
            match random.next() % 4 {
                0 => pending.wait(id, Reach::Near, later),
                1 => pending.wait(id, Reach::Far, later),
                2 if random.next().is_multiple_of(8) => pending.hurry(id, now),
                2 => pending.drop(id),
                _ => {
                    let due = pending.due(Reach::Near, now);
                    taken += due.len();
                    assert!(due.is_sorted(), "by key");
                    assert!(pending.at[Reach::Near as usize].values().all(|at| *at > now));
                }
            }
            let walked = pending.at.iter().flat_map(BTreeMap::values).copied().min();
            assert_eq!(pending.first(), walked);
        }
        assert!(taken > 100, "{taken}");
    }

    #[test]
    fn a_word_that_waits_is_not_put_off() {
        let (id, mut pending) = (NodeId([1; 32]), Pending::default());
        pending.wait(id, Reach::Far, Timestamp(5));
        pending.wait(id, Reach::Far, Timestamp(9));
        assert_eq!(pending.first(), Some(Timestamp(5)));
        pending.hurry(id, Timestamp(2));
        assert_eq!(pending.due(Reach::Far, Timestamp(2)), [id]);
        assert_eq!(pending.due(Reach::Near, Timestamp(1)), []);
        assert_eq!(pending.due(Reach::Near, Timestamp(2)), [id]);
        assert_eq!(pending.first(), None);
    }
}
