//! Which chunks somebody has.

use std::ops::Range;

/// A set of chunks of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
    count: u32,
    most: u32,
}

impl Bits {
    /// Nothing of a file of so many chunks.
    pub fn new(most: u32) -> Self {
        Self { words: vec![0; most.div_ceil(64) as usize], count: 0, most }
    }

    /// All of it.
    pub fn full(most: u32) -> Self {
        let mut bits = Self::new(most);
        (0..most).for_each(|chunk| {
            bits.insert(chunk);
        });
        bits
    }

    /// How many chunks the file has.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// Adds a chunk. Says whether it is new; a chunk that the file does not have is not.
    pub fn insert(&mut self, chunk: u32) -> bool {
        let Some(word) = self.words.get_mut((chunk / 64) as usize).filter(|_| chunk < self.most) else { return false };
        let new = *word & (1 << (chunk % 64)) == 0;
        *word |= 1 << (chunk % 64);
        self.count += u32::from(new);
        new
    }

    /// Takes a chunk away.
    pub fn remove(&mut self, chunk: u32) {
        if self.has(chunk) {
            self.words[(chunk / 64) as usize] &= !(1 << (chunk % 64));
            self.count -= 1;
        }
    }

    /// Whether a chunk is there.
    pub fn has(&self, chunk: u32) -> bool {
        self.words.get((chunk / 64) as usize).is_some_and(|word| word & (1 << (chunk % 64)) != 0)
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether all are there.
    pub fn is_full(&self) -> bool {
        self.count == self.most
    }

    /// The chunks that are there.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().zip(0..).flat_map(|(word, at)| ones(*word, at))
    }

    /// The chunks that are there, as ranges.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u32>> {
        let mut chunks = self.iter().peekable();
        std::iter::from_fn(move || {
            let first = chunks.next()?;
            let mut end = first + 1;
            while chunks.next_if_eq(&end).is_some() {
                end += 1;
            }
            Some(first..end)
        })
    }

    /// The chunks that are there and not in another set.
    pub fn beyond<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u32> + 'a {
        self.words.iter().zip(&other.words).zip(0..).flat_map(|((word, other), at)| ones(word & !other, at))
    }
}

fn ones(mut word: u64, at: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(at * 64 + bit)
    })
}
