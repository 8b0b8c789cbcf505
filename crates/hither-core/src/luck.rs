//! How often it paid to look for a faster place while a slot was free here: if it seldom does, it is seldom tried.

use std::collections::BTreeMap;

use hither_types::id::Digest;

use crate::limits;
use crate::random::Random;

/// Shares in a thousand, by model.
#[derive(Debug, Default)]
pub(crate) struct Luck(BTreeMap<Digest, u32>);

impl Luck {
    /// It paid, or it did not: a moving mean over about sixteen of them.
    pub(crate) fn add(&mut self, digest: Digest, paid: bool) {
        if self.0.len() >= limits::POOLS_MAX && !self.0.contains_key(&digest) {
            return;
        }
        let share = self.0.entry(digest).or_insert(limits::LUCK_AT_FIRST);
        *share = (*share * 15 + if paid { 1000 } else { 0 }) / 16;
    }

    /// Whether it is worth trying now.
    pub(crate) fn try_now(&self, digest: Digest, random: &mut Random) -> bool {
        let share = self.0.get(&digest).copied().unwrap_or(limits::LUCK_AT_FIRST);
        share >= limits::LUCK_LOW || random.below(limits::LUCK_RETRY) == 0
    }
}
