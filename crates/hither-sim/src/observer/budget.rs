//! What second tries and second copies may cost: a share of what is asked anyway, counted beside the mind and not by it.
//!
//! The observer is the more generous of the two where the mind's own count has a detail that cannot be seen from outside.

use super::{Observer, Watch, Watched};

/// Second copies in a hundred first attempts at a peer.
const COPIES_PERCENT: u32 = 5;
/// Second tries in a hundred requests, after a "no".
const TRIES_PERCENT: u32 = 10;
/// Tokens at first, and the most that are saved up, for each model: two more than the mind has. It takes one when it decides,
/// and the attempt is seen when it begins.
const AT_FIRST: u32 = 3 + 2;
const MOST: u32 = 10 + 2;

/// Tokens of a node, in hundredths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens {
    left: u32,
    most: u32,
}

impl Tokens {
    pub(super) fn new(models: usize) -> Self {
        let models = models as u32;
        Self { left: AT_FIRST * 100 * models, most: MOST * 100 * models }
    }

    fn earn(&mut self, percent: u32) {
        self.left = (self.left + percent).min(self.most);
    }

    /// Whether there was one.
    fn spend(&mut self) -> bool {
        let enough = self.left >= 100;
        self.left = self.left.saturating_sub(100);
        enough
    }
}

impl Watch {
    /// Whether a new attempt is a second try of the origin's own choosing: every earlier one was told "no".
    fn tries_again(&self) -> bool {
        !self.attempts.is_empty() && self.flying.is_empty() && self.noes >= self.attempts.len()
    }
}

impl Observer {
    /// A node starts with what every node has at first.
    pub(super) fn fill_budgets(&mut self, node: usize) {
        let full = Tokens::new(self.models.len());
        let watched = &mut self.nodes[node];
        (watched.copies, watched.tries) = (full, full);
    }

    /// A request enters: a part of a second try is earned.
    pub(super) fn earn_try(&mut self, node: usize) {
        self.nodes[node].tries.earn(TRIES_PERCENT);
    }
}

impl Watched {
    /// An attempt begins. What it costs, if anything, must be there; says what was not.
    pub(super) fn pay(&mut self, place: usize, watch: &Watch) -> Option<&'static str> {
        let elsewhere = watch.attempts.iter().any(|(_, before)| *before != watch.origin);
        if place != watch.origin && !elsewhere {
            self.copies.earn(COPIES_PERCENT);
        }
        if !watch.flying.is_empty() {
            return (!self.copies.spend()).then_some("a second copy");
        }
        (watch.tries_again() && !self.tries.spend()).then_some("a second try")
    }
}
