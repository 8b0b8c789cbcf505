//! What a storm showed: decisions by kind, and what was against the law.

use std::hash::Hasher;

use crate::hash::Fold;

/// Violations that are kept in full.
const KEPT: usize = 5;

/// A kind of decision. Each action of a core is at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// A request runs where it entered.
    RunAtHome,
    /// A request of a peer runs.
    RunForPeer,
    /// A request is offered to a peer: its label and its size leave.
    Offer,
    /// A request leaves for a peer that said yes.
    Forward,
    /// A request leaves for a peer that asked for work, without an offer.
    Steal,
    /// A second copy leaves for a peer that said a moment ago that it is free, without an offer.
    Second,
    /// A receiver says yes to an offer.
    Welcome,
    /// A receiver says yes to a request.
    Accept,
    /// A client is told that no place is lawful.
    Refuse,
    /// A receiver says no to an offer for reasons of law.
    Reject,
    /// A receiver says no to a request for reasons of law.
    Decline,
    /// A receiver ends, for reasons of law, what it let in before.
    Stop,
}

impl Decision {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 12] = [
        Self::RunAtHome,
        Self::RunForPeer,
        Self::Offer,
        Self::Forward,
        Self::Steal,
        Self::Second,
        Self::Welcome,
        Self::Accept,
        Self::Refuse,
        Self::Reject,
        Self::Decline,
        Self::Stop,
    ];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RunAtHome => "run_at_home",
            Self::RunForPeer => "run_for_peer",
            Self::Offer => "offer",
            Self::Forward => "forward",
            Self::Steal => "steal",
            Self::Second => "second_copy",
            Self::Welcome => "welcome",
            Self::Accept => "accept",
            Self::Refuse => "refuse_by_law",
            Self::Reject => "reject_by_law",
            Self::Decline => "decline_by_law",
            Self::Stop => "stop_by_law",
        }
    }
}

/// A kind of violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breach {
    /// A decision lets data be where the law does not allow it.
    Place,
    /// Work goes on at a place that a change made unlawful.
    Lingering,
    /// A record, a route or an envelope is not what it has to be, or is missing.
    Paper,
    /// A no that names the law, where the law says yes or is not why.
    Refusal,
    /// What was read stays where the law lets nothing stay, or goes where it may stay.
    Kept,
}

impl Breach {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 5] = [Self::Place, Self::Lingering, Self::Paper, Self::Refusal, Self::Kept];

    /// Its name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Place => "unlawful_places",
            Self::Lingering => "unlawful_work_goes_on",
            Self::Paper => "wrong_papers",
            Self::Refusal => "wrong_refusals",
            Self::Kept => "wrongly_kept",
        }
    }
}

/// What a storm showed. The same for the same seed, number of decisions and program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LawReport {
    /// The first seed.
    pub seed: u64,
    /// Worlds that were drawn: laws, members and kinds of requests.
    pub rounds: u64,
    /// Events given to cores.
    pub events: u64,
    /// Decisions, in the order of [`Decision::ALL`].
    pub counts: [u64; Decision::ALL.len()],
    /// … of those that let something happen: second and third tries of a request.
    pub retries: u64,
    /// … on a smaller model than was asked for.
    pub stepped_down: u64,
    /// Changes of the law under way.
    pub amendments: u64,
    /// Certificates under way that said something else than before.
    pub renewals: u64,
    /// Verdicts of the oracle that were worked out; all others were looked up.
    pub verdicts: u64,
    /// … of them, those that said yes.
    pub lawful: u64,
    /// What was against the law, in the order of [`Breach::ALL`].
    pub breaches: [u64; Breach::ALL.len()],
    /// The first few, in full.
    pub violations: Vec<String>,
    /// Of every decision, in order.
    pub hash: u64,
}

impl LawReport {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            rounds: 0,
            events: 0,
            counts: [0; Decision::ALL.len()],
            retries: 0,
            stepped_down: 0,
            amendments: 0,
            renewals: 0,
            verdicts: 0,
            lawful: 0,
            breaches: [0; Breach::ALL.len()],
            violations: Vec::new(),
            hash: 0,
        }
    }

    /// All decisions.
    pub fn decisions(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The decisions of one kind.
    pub fn count(&self, decision: Decision) -> u64 {
        self.counts[decision as usize]
    }

    /// All violations.
    pub fn violation_count(&self) -> u64 {
        self.breaches.iter().sum()
    }

    /// The violations of one kind.
    pub fn breach_count(&self, breach: Breach) -> u64 {
        self.breaches[breach as usize]
    }

    /// Adds what another storm showed.
    pub fn add(&mut self, other: &Self) {
        self.seed = self.seed.min(other.seed);
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        let sums = [&mut self.rounds, &mut self.events, &mut self.retries, &mut self.stepped_down];
        let counts = [other.rounds, other.events, other.retries, other.stepped_down];
        sums.into_iter().zip(counts).for_each(|(sum, count)| *sum += count);
        let sums = [&mut self.amendments, &mut self.renewals, &mut self.verdicts, &mut self.lawful];
        let counts = [other.amendments, other.renewals, other.verdicts, other.lawful];
        sums.into_iter().zip(counts).for_each(|(sum, count)| *sum += count);
        self.breaches.iter_mut().zip(other.breaches).for_each(|(sum, count)| *sum += count);
        let room = KEPT.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.iter().take(room).cloned());
        self.mark(other.hash);
    }

    pub(super) fn breach(&mut self, breach: Breach, what: impl FnOnce() -> String) {
        self.breaches[breach as usize] += 1;
        if self.violations.len() < KEPT {
            self.violations.push(what());
        }
    }

    /// Counts a decision; `what` tells it from others of its kind.
    pub(super) fn decided(&mut self, decision: Decision, what: u64) {
        self.counts[decision as usize] += 1;
        self.mark(what << 4 | decision as u64);
    }

    fn mark(&mut self, word: u64) {
        let mut fold = Fold::default();
        fold.write_u64(self.hash);
        fold.write_u64(word);
        self.hash = fold.finish();
    }
}
