//! Proofs: whether what an operator claims holds in every case that a policy can be asked about.

use std::ops::ControlFlow;

use hither_types::id::RuleId;
use hither_types::law::{Claim, Policy};
use hither_types::place::Jurisdiction;

use super::cells::{Cell, Cells, Ruling, Scope, TooMany};

#[cfg(test)]
mod tests;

/// What came of a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How many kinds of cases were put to the evaluator.
    pub cases: u64,
    /// A case that the claim rules out and the policy permits; none if the claim holds.
    pub against: Option<Against>,
}

/// Why a claim does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// The case.
    pub cell: Cell,
    /// The rule that permits it.
    pub rule: RuleId,
}

/// Asks the policy about every kind of case that the claim is about.
pub fn prove(policy: &Policy, claim: &Claim, countries: &[Jurisdiction]) -> Result<Proof, TooMany> {
    let policies = [policy];
    let scope = Scope { actions: &claim.rule.actions, home: claim.home, ..Scope::ALL };
    let cells = Cells::new(&policies, Some(claim), countries, scope)?;
    let mut against = None;
    let cases = cells.walk(&mut |cell, rulings| match rulings {
        [Ruling::Permitted(rule)] => {
            against = Some(Against { cell: cell(), rule: rule.clone() });
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })?;
    Ok(Proof { cases, against })
}
