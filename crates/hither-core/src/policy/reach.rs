//! Where data may go: for each place, whether always, never, or only under conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use hither_types::id::{Operator, RuleId};
use hither_types::label::DataClass;
use hither_types::law::{HomeWork, LawAction, Policy};
use hither_types::place::{Jurisdiction, PlaceFacts};

use super::cells::{Cells, Ruling, Scope, TooMany};

#[cfg(test)]
mod tests;

/// Whether something is permitted, over all that is left open.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// Rules that permit some of it.
    pub permits: BTreeSet<RuleId>,
    /// Rules that forbid some of it.
    pub forbids: BTreeSet<RuleId>,
    /// Whether no rule permits some of it.
    pub lacks: bool,
}

impl Reach {
    /// Whether all of it is permitted.
    pub fn is_all(&self) -> bool {
        !self.permits.is_empty() && self.forbids.is_empty() && !self.lacks
    }

    /// Whether nothing of it is.
    pub fn is_none(&self) -> bool {
        self.permits.is_empty()
    }

    fn add(&mut self, ruling: &Ruling) {
        match ruling {
            Ruling::Permitted(rule) => {
                self.permits.insert(rule.clone());
            }
            Ruling::Forbidden(rule) => {
                self.forbids.insert(rule.clone());
            }
            Ruling::NotPermitted => self.lacks = true,
        }
    }
}

/// For each place, whether data of a class that come from an origin, and concern nobody elsewhere, may be processed by
/// another node there. Open are the app, the model, the purpose, the tags, and all of the place but where it is.
pub fn reach_from(
    policy: &Policy,
    class: DataClass,
    origin: Jurisdiction,
    countries: &[Jurisdiction],
) -> Result<BTreeMap<Jurisdiction, Reach>, TooMany> {
    let policies = [policy];
    let classes = [class];
    let scope = Scope {
        actions: &[LawAction::Infer],
        classes: &classes,
        home: HomeWork::Aside,
        origin: Some(origin),
        ..Scope::ALL
    };
    let cells = Cells::new(&policies, None, countries, scope)?;
    let mut places: BTreeMap<Jurisdiction, Reach> = BTreeMap::new();
    cells.walk(&mut |cell, rulings| {
        for target in cell().targets {
            rulings.iter().for_each(|ruling| places.entry(target).or_default().add(ruling));
        }
        ControlFlow::Continue(())
    })?;
    Ok(places)
}

/// Whether data of a class that enter at one node, and concern people there, may be processed at a certain place. Open are
/// the app, the model, the purpose and the tags.
pub fn reach_of(
    policy: &Policy,
    class: DataClass,
    origin: (Jurisdiction, &Operator),
    place: &PlaceFacts,
    countries: &[Jurisdiction],
) -> Result<Reach, TooMany> {
    let policies = [policy];
    let classes = [class];
    let (origin, operator) = origin;
    let scope = Scope {
        actions: &[LawAction::Infer],
        classes: &classes,
        home: HomeWork::Aside,
        origin: Some(origin),
        place: Some((place, operator)),
    };
    let cells = Cells::new(&policies, None, countries, scope)?;
    let mut reach = Reach::default();
    cells.walk(&mut |_, rulings| {
        rulings.iter().for_each(|ruling| reach.add(ruling));
        ControlFlow::Continue(())
    })?;
    Ok(reach)
}
