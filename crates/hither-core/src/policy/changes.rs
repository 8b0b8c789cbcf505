//! What changes if one policy takes the place of another: every kind of case that is permitted by one of them alone.

use std::ops::ControlFlow;

use hither_types::law::Policy;
use hither_types::place::Jurisdiction;

use super::cells::{Cell, Cells, Ruling, Scope, TooMany};

#[cfg(test)]
mod tests;

/// The most changes that are told; what has more is another policy altogether.
pub const CHANGES_MAX: usize = 100_000;

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// How many kinds of cases were put to the evaluator.
    pub cases: u64,
    /// Those that one policy permits and the other does not.
    pub changes: Vec<Change>,
}

/// A case whose answer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The case.
    pub cell: Cell,
    /// What the old policy says.
    pub old: Ruling,
    /// What the new one says.
    pub new: Ruling,
}

/// Asks both policies about every kind of case that rules of either tell apart.
pub fn changes(old: &Policy, new: &Policy, countries: &[Jurisdiction]) -> Result<Changes, TooMany> {
    let policies = [old, new];
    let cells = Cells::new(&policies, None, countries, Scope::ALL)?;
    let mut changes = Vec::new();
    let cases = cells.walk(&mut |cell, rulings| {
        if let [old, new] = rulings
            && old.is_permitted() != new.is_permitted()
        {
            changes.push(Change { cell: cell(), old: old.clone(), new: new.clone() });
        }
        if changes.len() > CHANGES_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if changes.len() > CHANGES_MAX {
        return Err(TooMany { what: "changed answers", most: CHANGES_MAX as u64 });
    }
    Ok(Changes { cases, changes })
}
