//! A small fast hash that gives the same number on every machine: for the trace of a run, and for tables that are only
//! looked up in. It folds a 128-bit product, as wyhash does; it withstands no adversary, and need not.

use std::hash::{BuildHasherDefault, Hasher};

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
const START: u64 = 0xcbf2_9ce4_8422_2325;

/// The state of a hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fold(u64);

impl Default for Fold {
    fn default() -> Self {
        Self(START)
    }
}

impl Fold {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(ODD);
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(23));
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(u64::from_le_bytes(chunk.try_into().expect("a chunk of eight")));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.word(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.word(u64::from(number));
    }

    fn write_u16(&mut self, number: u16) {
        self.word(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.word(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.word(number);
    }

    fn write_u128(&mut self, number: u128) {
        self.word(number as u64);
        self.word((number >> 64) as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn finish(&self) -> u64 {
        crate::chance::mix(self.0)
    }
}

/// A table that is looked up in and never walked: its order means nothing.
pub(crate) type Lookup<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Fold>>;
