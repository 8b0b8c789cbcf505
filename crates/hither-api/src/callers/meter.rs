//! What an app has used of its limits, and whether it may have more.
//!
//! What must stay true: within any span of time no more is let in than the limit of the span and what was saved before
//! it; a refusal says when the next request is let in, and then it is.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hither_types::unit::Micros;
use tokio::time::Instant;

use super::Limits;

#[cfg(test)]
mod tests;

/// The span that requests are counted in.
const SECOND: u64 = 1_000_000;

/// The span that tokens are counted in.
const MINUTE: u64 = 60 * SECOND;

/// A budget that fills at a steady pace up to what one span allows. What is drawn beyond it is a debt, and time pays it.
#[derive(Debug, Clone)]
struct Bucket {
    /// How many things one span allows.
    amount: NonZeroU32,
    /// The span in microseconds.
    span: u64,
    /// A thing weighs as much as the span has microseconds, so that each microsecond brings `amount` and nothing is ever
    /// rounded.
    level: i128,
    /// When the level was last true.
    at: Instant,
}

impl Bucket {
    /// A full one.
    fn new(amount: NonZeroU32, span: u64, now: Instant) -> Self {
        Self { amount, span, level: i128::from(amount.get()) * i128::from(span), at: now }
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_micros() as u64;
        // Not `now`: what is left of a microsecond counts the next time.
        self.at += Duration::from_micros(passed);
        let full = i128::from(self.amount.get()) * i128::from(self.span);
        self.level = full.min(self.level + i128::from(passed) * i128::from(self.amount.get()));
    }

    /// How long until there is one thing. Nothing if there is one now.
    fn wait(&mut self, now: Instant) -> Option<Micros> {
        self.fill(now);
        let missing = i128::from(self.span) - self.level;
        let micros = missing.max(0).unsigned_abs().div_ceil(u128::from(self.amount.get()));
        (micros > 0).then(|| Micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    fn draw(&mut self, count: u64, now: Instant) {
        self.fill(now);
        // Debts are bounded too, so that the sum of many cannot leave the range of numbers.
        let weight = i128::from(count) * i128::from(self.span);
        self.level = self.level.saturating_sub(weight);
    }
}

/// Which limit was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Of requests a second; the time until the next is let in.
    Requests(Micros),
    /// Of requests at once. When one of them ends, nobody knows.
    Concurrent,
    /// Of tokens a minute; the time until what was used is paid for.
    Tokens(Micros),
}

/// What is counted of an app since the node started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were let in.
    pub requests: u64,
    /// Requests that a limit of numbers kept out.
    pub limited: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// Requests under way.
    pub running: u32,
}

impl Counts {
    /// Both together.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            limited: self.limited + other.limited,
            tokens: self.tokens + other.tokens,
            running: self.running + other.running,
        }
    }
}

/// The use that an app has made of its limits.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Used>);

#[derive(Debug)]
struct Used {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    concurrent: Option<NonZeroU32>,
    counts: Counts,
}

impl Meter {
    /// Nothing used yet.
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        Self(Mutex::new(Used {
            requests: limits.requests_per_s.map(|amount| Bucket::new(amount, SECOND, now)),
            tokens: limits.tokens_per_min.map(|amount| Bucket::new(amount, MINUTE, now)),
            concurrent: limits.concurrent,
            counts: Counts::default(),
        }))
    }

    /// Changes what is allowed. A new limit begins full, and the requests under way still count.
    pub(crate) fn limit(&self, limits: &Limits, now: Instant) {
        let fresh = Self::new(limits, now).0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut used = self.used();
        let counts = used.counts;
        *used = Used { counts, ..fresh };
    }

    /// Lets one request in, or says which limit keeps it out. Who was let in has to [`Self::leave`].
    pub(crate) fn enter(&self, now: Instant) -> Result<(), Excess> {
        let mut used = self.used();
        let full = used.concurrent.is_some_and(|most| used.counts.running >= most.get());
        let tokens = used.tokens.as_mut().and_then(|bucket| bucket.wait(now));
        let requests = used.requests.as_mut().and_then(|bucket| bucket.wait(now));
        let excess = match (tokens, requests) {
            // Of two waits the longer one is the honest one.
            (Some(tokens), requests) if requests.is_none_or(|requests| requests <= tokens) => {
                Some(Excess::Tokens(tokens))
            }
            (_, Some(requests)) => Some(Excess::Requests(requests)),
            _ => full.then_some(Excess::Concurrent),
        };
        if let Some(excess) = excess {
            used.counts.limited += 1;
            return Err(excess);
        }
        if let Some(bucket) = &mut used.requests {
            bucket.draw(1, now);
        }
        used.counts.requests += 1;
        used.counts.running += 1;
        Ok(())
    }

    /// A request that was let in has ended.
    pub(crate) fn leave(&self) {
        self.used().counts.running -= 1;
    }

    /// Charges tokens once they are known.
    pub(crate) fn charge(&self, tokens: u64, now: Instant) {
        let mut used = self.used();
        used.counts.tokens += tokens;
        if let Some(bucket) = &mut used.tokens {
            bucket.draw(tokens, now);
        }
    }

    /// What was counted.
    pub(crate) fn counts(&self) -> Counts {
        self.used().counts
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
