//! What each rule tells apart: the values of each fact, and which rules are in play for each.

use std::collections::{BTreeMap, BTreeSet};

use hither_types::id::{AppName, ModelName, Purpose, Tag};
use hither_types::label::DataClass;
use hither_types::law::{Claim, LawAction, Policy};
use hither_types::place::{Assurance, Jurisdiction};

use super::{Alike, Cells, Field, MIXTURES_MAX, Pick, STEPS, Scope, Side, Step, TooMany, Watched, places};

/// A set of rules, by their places in the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn none(rules: usize) -> Self {
        Self(vec![0; rules.div_ceil(64)])
    }

    pub(super) fn of(rules: usize, held: impl Fn(usize) -> bool) -> Self {
        let mut bits = Self::none(rules);
        (0..rules).filter(|rule| held(*rule)).for_each(|rule| bits.set(rule));
        bits
    }

    pub(super) fn set(&mut self, rule: usize) {
        self.0[rule / 64] |= 1 << (rule % 64);
    }

    pub(super) fn has(&self, rule: usize) -> bool {
        self.0[rule / 64] & (1 << (rule % 64)) != 0
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a | b).collect())
    }

    pub(super) fn without(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a & !b).collect())
    }

    pub(super) fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        let of_word = |(at, word): (usize, &u64)| {
            let word = *word;
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit)
        };
        self.0.iter().enumerate().flat_map(of_word)
    }
}

impl<'a> Cells<'a> {
    /// Divides the facts.
    pub(in crate::policy) fn new(
        policies: &'a [&'a Policy],
        claim: Option<&'a Claim>,
        countries: &[Jurisdiction],
        scope: Scope<'a>,
    ) -> Result<Self, TooMany> {
        let mut watched = Vec::new();
        for (policy, of) in policies.iter().enumerate() {
            let watch = |side| move |rule| Watched { rule, side, policy, claim: None };
            watched.extend(of.permits.iter().map(watch(Side::Permit)));
            watched.extend(of.forbids.iter().map(watch(Side::Forbid)));
        }
        watched.extend(claim.map(|claim| Watched {
            rule: &claim.rule,
            side: Side::Claim,
            policy: policies.len(),
            claim: Some(claim),
        }));
        let (apps, models, purposes) = names(&watched);
        let mut cells = Self {
            policies,
            claim,
            scope,
            watched,
            places: Vec::new(),
            controls: vec![None],
            states: Vec::new(),
            harmless: Vec::new(),
            assurances: vec![Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware],
            operators: vec![true, false],
            apps,
            models,
            purposes,
            tags: vec![Vec::new()],
            in_play: Vec::new(),
            same: Vec::new(),
        };
        let mut world = places(policies, claim, countries);
        world.extend(cells.scope.origin);
        world.extend(cells.scope.place.map(|(place, _)| place.jurisdiction));
        cells.divide_places(&world);
        match cells.scope.place {
            Some((place, operator)) => {
                cells.controls = vec![place.control.clone()];
                cells.assurances = vec![place.assurance];
                cells.operators = vec![place.operator == *operator];
            }
            None => cells.mix_controls(&world)?,
        }
        cells.mix_tags()?;
        cells.in_play = STEPS.iter().map(|step| cells.values(*step)).collect();
        cells.same = cells.sameness();
        Ok(cells)
    }

    /// The rules in play if only these fields of a case are looked at.
    pub(super) fn allowing(&self, fields: &[Field], pick: &Pick) -> Bits {
        let facts = self.facts(pick);
        Bits::of(self.watched.len(), |rule| self.watched[rule].allows(fields, &facts))
    }

    /// Any case at all, to be changed one fact at a time.
    pub(super) fn any(&self, at: Jurisdiction) -> Pick {
        Pick {
            action: LawAction::Infer,
            class: DataClass::Public,
            at_home: false,
            target: at,
            targets: Vec::new(),
            values: [0; STEPS.len()],
            alike: std::array::from_fn(|_| Vec::new()),
            sources: vec![at],
            origins: Vec::new(),
        }
    }

    fn divide_places(&mut self, world: &[Jurisdiction]) {
        let mut known: BTreeMap<[Bits; 3], usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for place in world.iter().copied().filter(|place| seen.insert(*place)) {
            let pick = self.any(place);
            let of = |fields: &[Field]| self.allowing(fields, &pick);
            let bits = [of(&[Field::Target, Field::TargetNot]), of(&[Field::Origin]), of(&[Field::OriginNot])];
            let at = *known.entry(bits.clone()).or_insert(self.places.len());
            if at == self.places.len() {
                let [target, origin, origin_not] = bits;
                self.places.push(Alike { members: Vec::new(), target, origin, origin_not });
            }
            self.places[at].members.push(place);
        }
    }

    /// Lists of states that rules tell apart. A list is as good as the worst of it, so each is made from a smaller one.
    fn mix_controls(&mut self, world: &[Jurisdiction]) -> Result<(), TooMany> {
        let one = self.any(world[0]);
        let bits = |control: Vec<Jurisdiction>, cells: &mut Self| {
            cells.controls = vec![Some(control)];
            cells.allowing(&[Field::NotControl], &one)
        };
        let mut states: BTreeMap<Bits, Vec<Jurisdiction>> = BTreeMap::new();
        for state in world {
            states.entry(bits(vec![*state], self)).or_default().push(*state);
        }
        let nobody = bits(Vec::new(), self);
        self.harmless = states.remove(&nobody).unwrap_or_default();
        self.states = states.into_values().collect();
        let mixtures = mix(world, |states| bits(states.to_vec(), self), "lists of states with control")?;
        self.controls = mixtures.into_iter().map(Some).chain([None]).collect();
        Ok(())
    }

    /// Sets of tags that rules tell apart.
    fn mix_tags(&mut self) -> Result<(), TooMany> {
        let mut named: Vec<Tag> = self.watched.iter().flat_map(|watched| watched.rule.tags.iter().cloned()).collect();
        named.sort();
        named.dedup();
        let Some(one) = self.places.first().map(|place| self.any(place.members[0])) else { return Ok(()) };
        let bits = |tags: &[Tag]| {
            self.tags = vec![tags.to_vec()];
            self.allowing(&[Field::Tags], &one)
        };
        self.tags = mix(&named, bits, "sets of tags")?;
        Ok(())
    }

    /// How many values a step has.
    pub(super) fn count(&self, step: Step) -> usize {
        match step {
            Step::Control => self.controls.len(),
            Step::Assurance => self.assurances.len(),
            Step::Operator => self.operators.len(),
            Step::App => self.apps.len(),
            Step::Model => self.models.len(),
            Step::Purpose => self.purposes.len(),
            Step::Tags => self.tags.len(),
        }
    }

    fn values(&self, step: Step) -> Vec<Bits> {
        let mut pick = self.any(self.places[0].members[0]);
        let of = |value: usize| {
            pick.values[step as usize] = value;
            self.allowing(&[step.field()], &pick)
        };
        (0..self.count(step)).map(of).collect()
    }

    /// Two rules of one side that ask the same of all facts that are still open are one: whichever holds, it holds then.
    fn sameness(&self) -> Vec<Vec<usize>> {
        let rules = self.watched.len();
        let sources = |rule: usize| {
            let of = |place: &Alike| [place.origin.has(rule), place.origin_not.has(rule)];
            self.places.iter().flat_map(of).collect::<Vec<bool>>()
        };
        let mut ids: BTreeMap<(Side, usize, Vec<bool>), usize> = BTreeMap::new();
        let key = |rule: usize| (self.watched[rule].side, self.watched[rule].policy, sources(rule));
        let mut after: Vec<usize> = (0..rules).map(|rule| *ids.entry(key(rule)).or_insert(rule)).collect();
        let mut same = vec![after.clone()];
        for values in self.in_play.iter().rev() {
            let mut ids: BTreeMap<(usize, Vec<bool>), usize> = BTreeMap::new();
            let key = |rule: usize| (after[rule], values.iter().map(|bits| bits.has(rule)).collect());
            let before: Vec<usize> = (0..rules).map(|rule| *ids.entry(key(rule)).or_insert(rule)).collect();
            after = before;
            same.push(after.clone());
        }
        same.reverse();
        same
    }
}

/// The names that rules ask for, each with one that no rule names.
fn names(watched: &[Watched<'_>]) -> (Vec<AppName>, Vec<ModelName>, Vec<Option<Purpose>>) {
    let rules = || watched.iter().map(|watched| watched.rule);
    let mut apps: BTreeSet<AppName> = rules().flat_map(|rule| rule.apps.iter().cloned()).collect();
    let mut models: BTreeSet<ModelName> = rules().flat_map(|rule| rule.models.iter().cloned()).collect();
    let mut purposes: BTreeSet<Purpose> = rules().flat_map(|rule| rule.purposes.iter().cloned()).collect();
    let texts = |number: usize, what: &str| {
        if number == 0 { format!("another-{what}") } else { format!("another-{what}-{number}") }
    };
    let unnamed =
        (0..).find_map(|number| AppName::parse(&texts(number, "app")).ok().filter(|name| !apps.contains(name)));
    let app = unnamed.into_iter().collect::<Vec<_>>();
    let of_no = |name: &ModelName| models.iter().all(|model| !name.is_version_of(model));
    let model: Option<ModelName> =
        (0..).find_map(|number| ModelName::parse(&texts(number, "model")).ok().filter(of_no));
    let free = |name: &Purpose| !purposes.contains(name);
    let purpose: Option<Purpose> = (0..).find_map(|number| Purpose::parse(&texts(number, "purpose")).ok().filter(free));
    let apps = std::mem::take(&mut apps).into_iter().chain(app).collect();
    let models = std::mem::take(&mut models).into_iter().chain(model).collect();
    let stated = std::mem::take(&mut purposes).into_iter().chain(purpose).map(Some);
    (apps, models, stated.chain([None]).collect())
}

/// All sets of items that are told apart, each the smallest of its kind, the empty one first. What is told of a set must
/// be known from what is told of two sets that make it up.
fn mix<T: Clone>(items: &[T], mut told: impl FnMut(&[T]) -> Bits, what: &'static str) -> Result<Vec<Vec<T>>, TooMany> {
    let mut known: BTreeSet<Bits> = BTreeSet::from([told(&[])]);
    let mut sets: Vec<Vec<T>> = vec![Vec::new()];
    // Items that are alike alone are alike in every set.
    let mut alone: BTreeSet<Bits> = BTreeSet::new();
    let items: Vec<&T> = items.iter().filter(|item| alone.insert(told(std::slice::from_ref(item)))).collect();
    let mut next = 0;
    while next < sets.len() {
        for item in &items {
            let mut set = sets[next].clone();
            set.push((*item).clone());
            if known.insert(told(&set)) {
                if sets.len() >= MIXTURES_MAX {
                    return Err(TooMany { what, most: MIXTURES_MAX as u64 });
                }
                sets.push(set);
            }
        }
        next += 1;
    }
    Ok(sets)
}
