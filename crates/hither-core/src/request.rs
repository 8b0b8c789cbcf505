//! What is kept of a request that entered here, while it is open.

use hither_types::fact::{Counterpart, Outcome, Permit};
use hither_types::id::{Attempt, Digest, ModelName, NodeId, RequestId, SiteName, Ticket};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope, Prefix};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Millijoules};

use crate::hedge::Hedge;
use crate::limits;
use crate::router::Lawful;
use crate::spending::Held;
use crate::timers::{Timer, Timers};

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) envelope: Envelope,
    pub(crate) deadline: Timestamp,
    pub(crate) arrived: Timestamp,
    /// The model that the name meant at first: a stream goes on with the same weights only.
    pub(crate) digest: Option<Digest>,
    /// Places where it ran, or was sent to.
    pub(crate) attempts: u8,
    /// Offers that were refused since it last waited here.
    pub(crate) rejects: u8,
    /// The next try is paid for out of the budget.
    pub(crate) paid: bool,
    /// The peer that did not answer the last offers, and how many.
    pub(crate) unheard: Option<(NodeId, u8)>,
    /// It was held for a faster place before, or looked for one in vain: not again.
    pub(crate) held: bool,
    /// It could start here, and waits for a faster place.
    pub(crate) holding: bool,
    /// It asked a peer to open the model.
    pub(crate) woke: bool,
    /// What it shares with requests whose prompt begins alike.
    pub(crate) affinity: Option<u64>,
    /// The smaller model that stands in for the one that was asked for.
    pub(crate) instead: Option<ModelName>,
    /// The new version of the model failed under it: the old one answers.
    pub(crate) old_version: bool,
    /// The attempt that is about to fail gave nothing to whoever asked.
    pub(crate) unanswered: bool,
    /// Peers that were tried: one try per place.
    pub(crate) tried: Vec<NodeId>,
    /// Times that the engine of this node was lost under it.
    pub(crate) losses_here: u8,
    /// Stopped here for want of power: it may wait for power to come back.
    pub(crate) preempted: bool,
    /// The ledger did not take its egress: it stays.
    pub(crate) grounded: bool,
    /// What to say if nothing is left; a failure counts more than a "no".
    pub(crate) failure: Option<Failure>,
    pub(crate) phase: Phase,
    /// The second copy, beside one at a peer.
    pub(crate) hedge: Option<Hedge>,
    /// How often a place for a second copy may still be looked for; none once there was one.
    pub(crate) hedge_looks: u8,
    /// Where it ran last.
    pub(crate) last_site: Option<SiteName>,
    /// Counted as one that went on elsewhere.
    pub(crate) moved: bool,
    /// What it took at this node.
    pub(crate) energy: Millijoules,
}

/// What a request waits for.
#[derive(Debug)]
pub(crate) enum Phase {
    /// A place; only within one event.
    Placing,
    /// A slot, the model or power, here.
    Queued,
    /// Its egress to be on the record, and the peer to say yes.
    Offering(Egress, Pending),
    /// A peer.
    Remote(Egress, Watch),
    /// The engine of this node.
    Here(Attempt),
}

/// An attempt elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Egress {
    pub(crate) attempt: Attempt,
    /// The model that it is to run on.
    pub(crate) digest: Digest,
    pub(crate) lawful: Lawful,
    /// The policy that its intent names.
    pub(crate) policy: Digest,
    /// What it left by, if that is not what its intent says.
    pub(crate) left_by: Option<Permit>,
    /// Whether what is read of it there may stay.
    pub(crate) prefix: Prefix,
    pub(crate) to: Counterpart,
    /// What it is counted with until it is over.
    pub(crate) held: Held,
}

/// What an attempt elsewhere waits for before it leaves.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The record of its egress, if that is not on disk yet.
    pub(crate) ticket: Option<Ticket>,
    /// The peer said yes, or asked for it.
    pub(crate) accepted: bool,
    /// What the peer is asked once the egress is on the record, if it is not asked at the same time.
    pub(crate) later: Option<Asking>,
    /// Of the offer.
    pub(crate) number: u32,
    /// When silence is taken for a no.
    pub(crate) until: Timestamp,
    /// This node was held up, and gave the peer more time.
    pub(crate) doubted: bool,
}

/// What an offer is made by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking {
    /// The wait that this node believes in.
    pub(crate) promised: Micros,
    pub(crate) rtt: Micros,
}

/// The two clocks of an attempt elsewhere: no frame at all, and frames without progress.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) silent_at: Timestamp,
    pub(crate) stuck_at: Timestamp,
    /// How long beats may come without progress.
    pub(crate) patience: Micros,
    pub(crate) sent: Timestamp,
    pub(crate) progress: u64,
    pub(crate) pace: Pace,
    pub(crate) beaten: bool,
    /// This node doubted itself since the last frame.
    pub(crate) doubted: bool,
}

/// The steps of an attempt, as its origin saw them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    last: Option<Timestamp>,
    steps: u32,
    /// The longest time between two of them.
    pause: Micros,
}

impl Watch {
    /// The engine came further.
    pub(crate) fn advanced(&mut self, progress: u64, now: Timestamp) {
        self.progress = progress;
        if let Some(last) = self.pace.last.replace(now) {
            self.pace.pause = self.pace.pause.max(now.since(last));
        }
        self.pace.steps = self.pace.steps.saturating_add(1);
        let paced = Micros(self.pace.pause.0.saturating_mul(limits::STUCK_PAUSES).max(limits::STUCK_MIN.0));
        let patience = if self.pace.steps > limits::PACED_FROM { paced } else { self.patience };
        self.stuck_at = now.after(patience);
    }

    /// When the first of them runs out.
    pub(crate) fn due(&self) -> Timestamp {
        self.silent_at.min(self.stuck_at)
    }
}

/// How an attempt is left.
pub(crate) enum Leave {
    /// It answered, and took this.
    Answered(Cost),
    /// It is over; the place knows.
    Over,
    /// It is over, and the place did no work for it.
    Declined,
    /// It is over, and nothing left for the place.
    Withheld,
    /// The place has to be told to stop.
    Stop(Outcome),
}

/// How a request ends.
pub(crate) enum Ending {
    Answered { by: NodeId, cost: Cost },
    Refused(Refusal),
    Failed(Failure),
    Gone,
}

impl Request {
    /// A request that has no place yet.
    pub(crate) fn new(envelope: Envelope, deadline: Timestamp, affinity: Option<u64>, now: Timestamp) -> Self {
        Self {
            envelope,
            deadline,
            arrived: now,
            digest: None,
            attempts: 0,
            rejects: 0,
            paid: false,
            unheard: None,
            held: false,
            holding: false,
            woke: false,
            affinity,
            instead: None,
            old_version: false,
            unanswered: false,
            tried: Vec::new(),
            losses_here: 0,
            preempted: false,
            grounded: false,
            failure: None,
            phase: Phase::Placing,
            hedge: None,
            hedge_looks: limits::HEDGE_LOOKS,
            last_site: None,
            moved: false,
            energy: Millijoules(0),
        }
    }

    /// Whether its timers fit its phase.
    pub(crate) fn is_consistent(&self, id: RequestId, timers: &Timers) -> bool {
        let watched = timers.is_set(Timer::Watch(id));
        let beside = self.hedge.is_some() || timers.is_set(Timer::Hedge(id));
        timers.is_set(Timer::Deadline(id))
            && (!beside || matches!(self.phase, Phase::Remote(..)))
            && match self.phase {
                Phase::Placing => false,
                Phase::Offering(_, ref pending) => watched == (!pending.accepted && pending.later.is_none()),
                Phase::Queued | Phase::Here(_) => !watched,
                Phase::Remote(..) => watched,
            }
    }

    /// Whether it was running and lost its place, through no fault of its own. Such a request may wait for a slot here
    /// for as long as it has: it was accepted, and another place's death must not end what this node can answer.
    pub(crate) fn lost_its_place(&self) -> bool {
        self.preempted
            || self.attempts > 0
                && self.failure.as_ref().is_some_and(|failure| match failure {
                    Failure::EngineLost
                    | Failure::EngineCrashed(_)
                    | Failure::Unreachable
                    | Failure::Silent
                    | Failure::Stuck => true,
                    Failure::BadInput(_) | Failure::Declined(_) | Failure::Engine(_) | Failure::Severed(_) => false,
                })
    }

    /// Whether the next try is no retry: it lost its place, or the last one did nothing for it, for a filter let nothing
    /// leave, or its server did not let this node in.
    pub(crate) fn tries_for_nothing(&self) -> bool {
        let nothing = |refusal: &Refusal| matches!(refusal, Refusal::Withheld { .. } | Refusal::Barred { .. });
        self.lost_its_place() || matches!(&self.failure, Some(Failure::Declined(refusal)) if nothing(refusal))
    }

    /// Remembers why a place did not answer.
    pub(crate) fn remember(&mut self, failure: Failure) {
        let declined = matches!(failure, Failure::Declined(_));
        let known_better = self.failure.as_ref().is_some_and(|known| !matches!(known, Failure::Declined(_)));
        if !(declined && known_better) {
            self.failure = Some(failure);
        }
    }
}

/// Whether a refusal is the law's.
pub(crate) fn is_by_law(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Unlawful { .. } | Refusal::UnlawfulThere(_) => true,
        Refusal::UnknownModel(_)
        | Refusal::Overloaded { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::DeadlinePassed
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::NotAMember
        | Refusal::Stopping
        | Refusal::KeyInUse
        | Refusal::ModelExpired { .. }
        | Refusal::BudgetSpent { .. }
        | Refusal::Withheld { .. }
        | Refusal::Barred { .. }
        | Refusal::NotTrained { .. } => false,
    }
}

/// Whether a peer that says this is better left alone for a moment.
pub(crate) fn is_want_of_room(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Overloaded { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::UnknownModel(_)
        | Refusal::NotAMember
        | Refusal::Stopping
        | Refusal::KeyInUse
        | Refusal::ModelExpired { .. }
        | Refusal::BudgetSpent { .. } => true,
        Refusal::Unlawful { .. }
        | Refusal::UnlawfulThere(_)
        | Refusal::DeadlinePassed
        | Refusal::Withheld { .. }
        | Refusal::Barred { .. }
        | Refusal::NotTrained { .. } => false,
    }
}

/// A wait as clients are told it.
pub(crate) fn overloaded(wait: Micros) -> Refusal {
    Refusal::Overloaded { retry_after: wait.clamp(limits::RETRY_AFTER_MIN, limits::RETRY_AFTER_MAX) }
}

/// What a peer's "no" means to our client, once nobody is left.
pub(crate) fn in_our_words(refusal: Refusal, preempted: bool, tried: u8) -> Refusal {
    match refusal {
        Refusal::NoPower { cap } if preempted => Refusal::NoPower { cap },
        Refusal::Overloaded { retry_after } => overloaded(retry_after),
        Refusal::UnlawfulThere(denial) => Refusal::UnlawfulThere(denial),
        known @ (Refusal::Withheld { .. } | Refusal::Barred { .. }) => known,
        Refusal::UnknownModel(_)
        | Refusal::Unlawful { .. }
        | Refusal::NoPower { .. }
        | Refusal::NoCapacity { .. }
        | Refusal::DeadlinePassed
        | Refusal::LedgerUnavailable
        | Refusal::ModelBroken(_)
        | Refusal::NotAMember
        | Refusal::Stopping
        | Refusal::KeyInUse
        | Refusal::ModelExpired { .. }
        | Refusal::BudgetSpent { .. }
        | Refusal::NotTrained { .. } => Refusal::NoCapacity { tried },
    }
}
