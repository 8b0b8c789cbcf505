//! A storm of requests against the law: real cores with as little around them as possible, and an oracle of its own that
//! judges every action by which data may go somewhere.
//!
//! A **decision** is an action by which a core lets the data of one request go to one place, or be worked on at one place,
//! or refuses it for reasons of law. At the origin: `Run`, `Tell(Offer)`, `Forward` (with an offer before it, or in answer
//! to a `Steal`), `Refuse(Unlawful)` and `Refuse(UnlawfulThere)`. At the receiver: `Tell(Accept)`, `Accept`, `Run`, and
//! where it names the law `Tell(Reject)`, `DeclineAsk` and `FailAsk`. Nothing else counts: no record, no answer, no probe,
//! no `Nothing`, no refusal for want of room.
//!
//! A **violation** is a decision that lets something happen where the law does not allow it, by the policy in force at the
//! core that acts and the certificates that it knows, at that moment; a refusal by law where a place is lawful; an envelope
//! that changed; a forward without its egress on disk, a run without its acceptance; a rule in a record or a route that is
//! not a permit that holds; and work that goes on where a change of the law, or of a certificate, made it unlawful. A
//! refusal by law speaks of the model that was asked for, and is held against every member that the core knows to hold it.
//!
//! Each round draws laws, 2 to 16 members and kinds of requests. Two members are cores of the product and send each other
//! what they say; the others follow a script, and lie. The verdicts are those of `oracle`, which shares no code with the
//! core's; each is worked out once in a round.

mod bench;
mod draw;
mod judge;
mod oracle;
mod questions;
mod report;
mod round;
mod script;

#[cfg(test)]
mod tests;

use hither_core::Action;
use hither_types::law::Policy;

pub use questions::{AnswerReport, questions};
pub use report::{Breach, Decision, LawReport};

use crate::chance::Chance;

/// What stands between the bench and the cores. A test puts other hands there, to see that the bench would see them.
#[derive(Clone, Copy)]
struct Hands {
    /// The law as the cores are given it.
    law: fn(&Policy) -> Policy,
    /// An action as the bench is shown it.
    action: fn(&mut Action),
}

/// Whether members get certificates that say something else than before, while requests are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificates {
    /// What a member is stays as it was, unless it leaves and comes back.
    Fixed,
    /// Jurisdiction, control, operator and assurance change under way, those of the cores too.
    Renewed,
}

/// Lets cores decide so many times, and judges each.
pub fn storm(seed: u64, decisions: u64) -> LawReport {
    storm_with(seed, decisions, Certificates::Renewed)
}

/// As [`storm`], with a say in what may change under way.
pub fn storm_with(seed: u64, decisions: u64, certificates: Certificates) -> LawReport {
    storm_by(seed, decisions, (certificates, Hands { law: Policy::clone, action: round::untouched }))
}

fn storm_by(seed: u64, decisions: u64, weather: (Certificates, Hands)) -> LawReport {
    let stock = draw::Stock::new();
    let mut report = LawReport::new(seed);
    while report.decisions() < decisions {
        let chance = Chance::new(seed, report.rounds);
        round::Round::new(&stock, &mut report, chance, weather).play(decisions);
    }
    report
}
