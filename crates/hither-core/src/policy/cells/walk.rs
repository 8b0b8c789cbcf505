//! The way through the cases: fact by fact, as long as a permit or what is claimed is still in play.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use hither_types::label::DataClass;
use hither_types::law::{HomeWork, LawAction, Rule};

use super::divide::Bits;
use super::{CASES_MAX, Cell, Cells, Field, Pick, Ruling, STEPS, Side, Step, TooMany, of_weights};

/// Called for each kind of case with what each policy says of it.
type Visit<'v> = dyn FnMut(&dyn Fn() -> Cell, &[Ruling]) -> ControlFlow<()> + 'v;

/// Why the walk ended before its end.
pub(super) enum Stop {
    Enough,
    TooMany(TooMany),
}

impl From<TooMany> for Stop {
    fn from(too_many: TooMany) -> Self {
        Self::TooMany(too_many)
    }
}

/// One walk.
pub(super) struct Walk<'w, 'a, 'v> {
    pub(super) cells: &'w Cells<'a>,
    visit: &'w mut Visit<'v>,
    /// All permits, and those of each policy; the same for forbids.
    pub(super) permits: Bits,
    pub(super) permits_of: Vec<Bits>,
    pub(super) forbids_of: Vec<Bits>,
    pub(super) claims: Bits,
    cases: u64,
}

impl<'a> Cells<'a> {
    /// Visits every kind of case that the claim is about, or every one in scope if there is none, until told to stop.
    /// Returns how many were looked at.
    pub(in crate::policy) fn walk(&self, visit: &mut Visit<'_>) -> Result<u64, TooMany> {
        let of = |side: Side, policy: Option<usize>| {
            let is = |rule: usize| {
                let watched = &self.watched[rule];
                watched.side == side && policy.is_none_or(|policy| watched.policy == policy)
            };
            Bits::of(self.watched.len(), is)
        };
        let mut walk = Walk {
            cells: self,
            visit,
            permits: of(Side::Permit, None),
            permits_of: (0..self.policies.len()).map(|policy| of(Side::Permit, Some(policy))).collect(),
            forbids_of: (0..self.policies.len()).map(|policy| of(Side::Forbid, Some(policy))).collect(),
            claims: of(Side::Claim, None),
            cases: 0,
        };
        match walk.all() {
            Ok(()) | Err(Stop::Enough) => Ok(walk.cases),
            Err(Stop::TooMany(too_many)) => Err(too_many),
        }
    }
}

impl Walk<'_, '_, '_> {
    fn all(&mut self) -> Result<(), Stop> {
        let scope = self.cells.scope.clone();
        let aside = self.cells.claim.is_some_and(|claim| claim.home == HomeWork::Aside);
        for action in scope.actions.iter().copied() {
            let homes: &[bool] = match action {
                LawAction::Relay | LawAction::Replicate => &[false],
                _ if aside || scope.home == HomeWork::Aside => &[false],
                _ => &[false, true],
            };
            // A connection carries requests of all classes; weights are public data.
            let classes: &[DataClass] = match action {
                LawAction::Relay => &[DataClass::Secret],
                LawAction::Replicate if scope.classes.contains(&DataClass::Public) => &[DataClass::Public],
                LawAction::Replicate => &[],
                _ => scope.classes,
            };
            for class in classes {
                for at_home in homes {
                    self.start(action, *class, *at_home)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, action: LawAction, class: DataClass, at_home: bool) -> Result<(), Stop> {
        let cells = self.cells;
        let somewhere = cells.places[0].members[0];
        let mut pick = Pick { action, class, at_home, ..cells.any(somewhere) };
        let live = match action {
            LawAction::Relay => {
                let live = cells.allowing(&[Field::Action], &pick);
                let narrow = |rule: usize| {
                    let watched = &cells.watched[rule];
                    watched.side != Side::Permit || speaks_of_all(watched.rule)
                };
                live.and(&Bits::of(cells.watched.len(), narrow))
            }
            _ => cells.allowing(&[Field::Action, Field::Class], &pick),
        };
        let everywhere: Vec<usize> = (0..cells.places.len()).collect();
        let targets = self.targets(&everywhere, &live, &pick);
        for (places, live) in targets {
            let place = cells.scope.place.map(|(place, _)| place.jurisdiction);
            pick.target = place.unwrap_or(cells.places[places[0]].members[0]);
            pick.targets = places;
            pick.sources = vec![cells.scope.origin.unwrap_or(pick.target)];
            self.step(0, &live, &mut pick)?;
        }
        Ok(())
    }

    /// The targets that are told apart. Where a target is a source as well, each kind of places is one.
    fn targets(&self, places: &[usize], live: &Bits, pick: &Pick) -> Vec<(Vec<usize>, Bits)> {
        let cells = self.cells;
        let of_place = cells.scope.place.map(|(place, _)| place.jurisdiction);
        let wanted = |at: &&usize| of_place.is_none_or(|place| cells.places[**at].members.contains(&place));
        let apart = pick.at_home || matches!(pick.action, LawAction::Replicate | LawAction::Relay);
        let mut groups: Vec<(Vec<usize>, Bits)> = Vec::new();
        let mut known: BTreeMap<(Bits, usize), usize> = BTreeMap::new();
        for at in places.iter().filter(wanted) {
            let bits = self.same(0, &live.and(&cells.places[*at].target));
            let group = *known.entry((bits.clone(), if apart { *at } else { 0 })).or_insert(groups.len());
            if group == groups.len() {
                groups.push((Vec::new(), bits));
            }
            groups[group].0.push(*at);
        }
        groups
    }

    /// Rules that are the same from a step on are one.
    fn same(&self, step: usize, live: &Bits) -> Bits {
        let mut bits = Bits::none(self.cells.watched.len());
        live.iter().for_each(|rule| bits.set(self.cells.same[step][rule]));
        bits
    }

    /// Whether nothing that is still open can be permitted. What a built-in rule permits at home is open to the end, and
    /// so are relays, of which the country decides.
    fn is_settled(&self, live: &Bits, pick: &Pick) -> bool {
        let built_in = is_local(pick) || pick.action == LawAction::Relay;
        !built_in && !live.meets(&self.permits)
    }

    /// The value of a fact that is the same in all cases of the kind: one index of its values.
    fn fixed(&self, step: Step, pick: &Pick) -> Option<usize> {
        let cells = self.cells;
        let of_label = matches!(step, Step::App | Step::Model | Step::Purpose | Step::Tags);
        match (pick.action, step) {
            (LawAction::Relay, _) => of_label.then_some(0),
            (LawAction::Replicate, Step::App) => {
                let (app, _) = of_weights(pick.target);
                Some(cells.apps.iter().position(|known| *known == app).unwrap_or(cells.apps.len() - 1))
            }
            // The last purpose is none, the first set of tags is empty.
            (LawAction::Replicate, Step::Purpose) => Some(cells.purposes.len() - 1),
            (LawAction::Replicate, Step::Tags) => Some(0),
            (_, Step::Operator) => pick.at_home.then_some(0),
            _ => None,
        }
    }

    fn step(&mut self, number: usize, live: &Bits, pick: &mut Pick) -> Result<(), Stop> {
        let cells = self.cells;
        if cells.claim.is_some() && !live.meets(&self.claims) {
            return Ok(());
        }
        if self.is_settled(live, pick) {
            for (open, step) in STEPS.into_iter().enumerate().skip(number) {
                (pick.values[open], pick.alike[open]) = (0, (0..cells.count(step)).collect());
            }
            pick.sources = vec![cells.scope.origin.unwrap_or(pick.target)];
            pick.origins = (0..cells.places.len()).filter(|_| cells.scope.origin.is_none()).collect();
            let rulings = self.put(pick)?;
            debug_assert!(!rulings.iter().any(Ruling::is_permitted), "what no permit can hold is permitted");
            return Ok(());
        }
        let Some(step) = STEPS.get(number).copied() else { return self.sources(live, pick) };
        if let Some(value) = self.fixed(step, pick) {
            (pick.values[number], pick.alike[number]) = (value, (0..cells.count(step)).collect());
            // What is said of labels is said of no relay.
            let live = match pick.action {
                LawAction::Relay => live.clone(),
                _ => live.and(&cells.in_play[number][value]),
            };
            return self.step(number + 1, &self.same(number + 1, &live), pick);
        }
        let mut known: BTreeMap<Bits, Vec<usize>> = BTreeMap::new();
        for (value, bits) in cells.in_play[number].iter().enumerate() {
            known.entry(self.same(number + 1, &live.and(bits))).or_default().push(value);
        }
        let mut kinds: Vec<(Vec<usize>, Bits)> = known.into_iter().map(|(bits, values)| (values, bits)).collect();
        kinds.sort();
        for (values, live) in kinds {
            (pick.values[number], pick.alike[number]) = (values[0], values);
            self.step(number + 1, &live, pick)?;
        }
        Ok(())
    }

    /// Puts a case to the evaluator, and what it says to whoever visits.
    pub(super) fn put(&mut self, pick: &Pick) -> Result<Vec<Ruling>, Stop> {
        self.cases += 1;
        if self.cases > CASES_MAX {
            return Err(Stop::TooMany(TooMany { what: "kinds of cases", most: CASES_MAX }));
        }
        let rulings = self.cells.rulings(pick);
        let cells = self.cells;
        match (self.visit)(&|| cells.cell(pick), &rulings) {
            ControlFlow::Continue(()) => Ok(rulings),
            ControlFlow::Break(()) => Err(Stop::Enough),
        }
    }
}

/// Whether the rule `local` permits it.
pub(super) fn is_local(pick: &Pick) -> bool {
    pick.at_home && crate::policy::is_local(pick.action, pick.class)
}

/// Whether a permit speaks of all that a connection may carry.
fn speaks_of_all(rule: &Rule) -> bool {
    (rule.classes.is_empty() || DataClass::ALL.iter().all(|class| rule.classes.contains(class)))
        && rule.tags.is_empty()
        && rule.apps.is_empty()
        && rule.models.is_empty()
        && rule.purposes.is_empty()
}
