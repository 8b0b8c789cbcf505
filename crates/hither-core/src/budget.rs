//! Budgets against storms: second tries and second copies are a share of what was asked anyway, for each model.
//!
//! A token bucket that first tries fill, as in Finagle's retry budgets. What was accepted and lost its place through no
//! fault of its own is not a second try of anybody's choosing: it costs nothing, or the loss of many places would lose work.

use std::collections::BTreeMap;

use hither_types::id::Digest;

use crate::limits;

/// Buckets in thousandths of a token, by model.
#[derive(Debug)]
pub(crate) struct Budget {
    /// What one first try adds.
    share: u32,
    buckets: BTreeMap<Digest, u32>,
}

impl Budget {
    /// A budget of so many tokens in a hundred first tries.
    pub(crate) fn new(percent: u32) -> Self {
        Self { share: percent * 10, buckets: BTreeMap::new() }
    }

    /// A first try.
    pub(crate) fn earn(&mut self, digest: Digest) {
        if self.buckets.len() >= limits::POOLS_MAX && !self.buckets.contains_key(&digest) {
            return;
        }
        let bucket = self.buckets.entry(digest).or_insert(limits::BUDGET_AT_FIRST * 1000);
        *bucket = (*bucket + self.share).min(limits::BUDGET_MAX * 1000);
    }

    /// Whether there is a token.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.buckets.get(&digest).is_some_and(|bucket| *bucket >= 1000)
    }

    /// Takes a token, if there is one.
    pub(crate) fn spend(&mut self, digest: Digest) -> bool {
        match self.buckets.get_mut(&digest) {
            Some(bucket) if *bucket >= 1000 => {
                *bucket -= 1000;
                true
            }
            Some(_) | None => false,
        }
    }
}
