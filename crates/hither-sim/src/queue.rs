//! The one ordered queue of what is going to happen. Order: time, then the number of insertion.
//!
//! A wheel of short spans: what happens soon lies in the bucket of its span and is sorted when its turn comes; what is
//! further away than the wheel waits in a heap. A push costs the same however much is waiting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

#[cfg(test)]
mod tests;

/// The span of a bucket, as a power of two of microseconds.
const SPAN_BITS: u32 = 8;
/// The buckets of the wheel: 16 s, so that only deadlines lie beyond it.
const BUCKETS: u64 = 1 << 16;

/// Emptied buckets that are kept.
const MOST_SPARE: usize = 256;
/// The largest that is kept, in things.
const LARGEST_SPARE: usize = 4096;

/// Things with the time at which they happen.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    /// The bucket whose turn it is, last first.
    current: Vec<Entry<T>>,
    /// Its number.
    turn: u64,
    wheel: Vec<Vec<Entry<T>>>,
    /// Memory of emptied buckets, to be used again; left where it was, each bucket would keep room for its worst burst.
    spare: Vec<Vec<Entry<T>>>,
    /// How many are on the wheel.
    soon: usize,
    far: BinaryHeap<Reverse<Entry<T>>>,
    inserted: u64,
}

#[derive(Debug)]
struct Entry<T> {
    at: u64,
    number: u64,
    what: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        let wheel = std::iter::repeat_with(Vec::new).take(BUCKETS as usize).collect();
        Self { current: Vec::new(), turn: 0, wheel, spare: Vec::new(), soon: 0, far: BinaryHeap::new(), inserted: 0 }
    }

    /// Something will happen at this time.
    pub(crate) fn push(&mut self, at: u64, what: T) {
        self.inserted += 1;
        let entry = Entry { at, number: self.inserted, what };
        let bucket = at >> SPAN_BITS;
        if bucket <= self.turn {
            let place = self.current.partition_point(|later| later.at > at);
            self.current.insert(place, entry);
        } else if bucket < self.turn + BUCKETS {
            self.put(entry);
        } else {
            self.far.push(Reverse(entry));
        }
    }

    fn put(&mut self, entry: Entry<T>) {
        let bucket = &mut self.wheel[((entry.at >> SPAN_BITS) % BUCKETS) as usize];
        if bucket.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *bucket = spare;
        }
        bucket.push(entry);
        self.soon += 1;
    }

    /// The next thing, with its time.
    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        while self.current.is_empty() {
            self.turn = match (self.soon, self.far.peek()) {
                (0, None) => return None,
                (0, Some(Reverse(first))) => first.at >> SPAN_BITS,
                _ => self.turn + 1,
            };
            while let Some(Reverse(first)) = self.far.peek()
                && first.at >> SPAN_BITS < self.turn + BUCKETS
                && let Some(Reverse(entry)) = self.far.pop()
            {
                self.put(entry);
            }
            let next = std::mem::take(&mut self.wheel[(self.turn % BUCKETS) as usize]);
            let emptied = std::mem::replace(&mut self.current, next);
            if (1..=LARGEST_SPARE).contains(&emptied.capacity()) && self.spare.len() < MOST_SPARE {
                self.spare.push(emptied);
            }
            self.soon -= self.current.len();
            self.current.sort_unstable_by(|one, other| other.cmp(one));
        }
        self.current.pop().map(|entry| (entry.at, entry.what))
    }
}
