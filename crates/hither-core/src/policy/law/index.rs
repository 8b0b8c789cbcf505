//! Which rules are in play for each value of each fact, as bits, sixty-four rules to a block.

use std::collections::BTreeSet;

use hither_types::id::{AppName, ModelName, Purpose, Tag};
use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::place::{Assurance, Jurisdiction, PlaceKind, Region};

use super::{Matter, Target};
use crate::policy::{Carried, Facts, Field, Held};

use names::Names;
use places::Places;

mod names;
mod places;

/// Rules in a block.
const BLOCK: usize = u64::BITS as usize;

/// The row of a name that no rule speaks of.
const UNNAMED: usize = 0;

/// The row of a purpose that is not stated.
const UNSTATED: usize = 1;

/// The rules by what they ask for. Forbids come first, so that a permit is looked for only where no forbid can follow.
#[derive(Debug)]
pub(super) struct Index {
    forbids: usize,
    apps: Names,
    models: Names,
    purposes: Names,
    tags: Names,
    places: Places,
    blocks: Vec<Block>,
}

/// Sixty-four rules: for each value of a fact, those of them that it leaves in play. A permit is in play by what is certain,
/// a forbid by what may be.
#[derive(Debug)]
struct Block {
    /// Which of them are forbids.
    forbids: u64,
    actions: [u64; LawAction::ALL.len()],
    classes: [u64; DataClass::ALL.len()],
    assurances: [u64; 4],
    /// For two operators, and for one.
    operators: [u64; 2],
    /// By row: a name that no rule speaks of, then those that rules do.
    apps: Vec<u64>,
    models: Vec<u64>,
    /// By row: another purpose, none, then those that rules speak of.
    purposes: Vec<u64>,
    /// Without a tag that rules speak of, and with each of those.
    untagged: u64,
    tags: Vec<u64>,
    /// If it is not known who can compel the operator.
    uncontrolled: u64,
    places: Vec<Standing>,
}

/// What a place leaves of sixty-four rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    /// … as the target.
    target: u64,
    /// … by `origin`, as the only source.
    origin: u64,
    /// … by `origin_not`.
    origin_not: u64,
    /// … as the only state that can compel.
    control: u64,
}

/// A matter looked up: rows of its names and of its origin, and what it leaves of the first block.
#[derive(Debug)]
pub(super) struct Rows {
    app: usize,
    model: usize,
    purpose: usize,
    origin: usize,
    first: u64,
}

/// The first forbid and the first permit that hold, by their places in the policy's lists. If a forbid holds, a permit is
/// looked for as well: it makes a difference to what is said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    pub(super) forbid: Option<usize>,
    pub(super) permit: Option<usize>,
}

impl Index {
    pub(super) fn new(policy: &Policy) -> Self {
        let rules: Vec<&Rule> = policy.forbids.iter().chain(&policy.permits).collect();
        fn named<'a, T: Ord + 'a>(rules: &[&'a Rule], list: fn(&Rule) -> &Vec<T>) -> Vec<&'a T> {
            rules.iter().flat_map(|rule| list(rule)).collect::<BTreeSet<_>>().into_iter().collect()
        }
        let apps = named(&rules, |rule| &rule.apps);
        let models = named(&rules, |rule| &rule.models);
        let purposes = named(&rules, |rule| &rule.purposes);
        let tags = named(&rules, |rule| &rule.tags);
        let regions = |rule: &'_ Rule| {
            let Rule { origin, origin_not, target, target_not, .. } = rule;
            let regions = [origin, origin_not, target, target_not];
            let listed = regions.into_iter().flatten().flat_map(|region: &Region| region.members.clone());
            listed.chain(rule.not_control.iter().copied()).collect::<Vec<_>>()
        };
        let (places, kinds) = Places::new(rules.iter().flat_map(|rule| regions(rule)));
        let values = Values { apps: &apps, models: &models, purposes: &purposes, tags: &tags, places: &kinds };
        let block = |(number, of): (usize, &[&Rule])| {
            let forbids = policy.forbids.len().saturating_sub(number * BLOCK).min(of.len());
            values.block(of, forbids)
        };
        Self {
            forbids: policy.forbids.len(),
            blocks: rules.chunks(BLOCK).enumerate().map(block).collect(),
            apps: Names::new(apps.iter().map(|app| app.as_str())),
            models: Names::new(models.iter().map(|model| model.as_str())),
            purposes: Names::new(purposes.iter().map(|purpose| purpose.as_str())),
            tags: Names::new(tags.iter().map(|tag| tag.as_str())),
            places,
        }
    }

    #[inline]
    pub(super) fn rows(&self, matter: &Matter<'_>) -> Rows {
        let mut rows = Rows {
            app: self.apps.find(matter.app.as_str()).map_or(UNNAMED, |at| UNNAMED + 1 + at),
            model: self.models.find_version(matter.model.as_str()).map_or(UNNAMED, |at| UNNAMED + 1 + at),
            purpose: match &matter.label.purpose {
                None => UNSTATED,
                Some(purpose) => self.purposes.find(purpose.as_str()).map_or(UNNAMED, |at| UNSTATED + 1 + at),
            },
            origin: self.places.row(matter.origin),
            first: 0,
        };
        rows.first = self.blocks.first().map_or(0, |block| self.of_matter(block, &rows, matter));
        rows
    }

    /// What the matter leaves of a block.
    #[inline]
    fn of_matter(&self, block: &Block, rows: &Rows, matter: &Matter<'_>) -> u64 {
        let label = matter.label;
        let named = block.apps[rows.app] & block.models[rows.model] & block.purposes[rows.purpose];
        let live = block.actions[matter.action as usize] & block.classes[label.class as usize] & named;
        let of_tag = |tag: &Tag| self.tags.find(tag.as_str()).map_or(0, |at| block.tags[at]);
        let tagged = label.tags.iter().fold(block.untagged, |bits, tag| bits | of_tag(tag));
        live & tagged & self.of_sources(block, rows, matter)
    }

    /// What origin and subjects leave of a block: of permits what all of them leave, of forbids what any of them does.
    #[inline]
    fn of_sources(&self, block: &Block, rows: &Rows, matter: &Matter<'_>) -> u64 {
        let first = &block.places[rows.origin];
        let (mut all, mut any, mut any_not) = (first.origin & first.origin_not, first.origin, first.origin_not);
        for subject in matter.label.subjects.iter().filter(|subject| **subject != matter.origin) {
            let other = &block.places[self.places.row(*subject)];
            all &= other.origin & other.origin_not;
            any |= other.origin;
            any_not |= other.origin_not;
        }
        (all & !block.forbids) | (any & any_not & block.forbids)
    }

    /// What holds at a place.
    #[inline]
    pub(super) fn find(&self, rows: &Rows, matter: &Matter<'_>, target: &Target<'_>) -> Found {
        let mut found = Found::default();
        for (number, block) in self.blocks.iter().enumerate() {
            let live = if number == 0 { rows.first } else { self.of_matter(block, rows, matter) };
            if live == 0 {
                continue;
            }
            let live = live & self.of_target(block, matter, target);
            let first = |bits: u64| (bits != 0).then(|| number * BLOCK + bits.trailing_zeros() as usize);
            found.forbid = found.forbid.or_else(|| first(live & block.forbids));
            found.permit = first(live & !block.forbids).map(|rule| rule - self.forbids);
            // Behind a permit there are no forbids.
            if found.permit.is_some() {
                break;
            }
        }
        found
    }

    /// What the place leaves of a block.
    #[inline]
    fn of_target(&self, block: &Block, matter: &Matter<'_>, target: &Target<'_>) -> u64 {
        let mut live = block.places[self.places.row(target.jurisdiction)].target;
        live &= block.assurances[target.assurance as usize];
        match target.control {
            None => live &= block.uncontrolled,
            Some(states) => {
                states.iter().for_each(|state| live &= block.places[self.places.row(*state)].control);
            }
        }
        // Names are compared only where a rule asks for it.
        let [two, one] = block.operators;
        if two != one {
            live &= block.operators[usize::from(matter.operator == target.operator)];
        }
        live
    }
}

/// All values that rules tell apart.
struct Values<'a> {
    apps: &'a [&'a AppName],
    models: &'a [&'a ModelName],
    purposes: &'a [&'a Purpose],
    tags: &'a [&'a Tag],
    /// One place for each row.
    places: &'a [Jurisdiction],
}

impl Values<'_> {
    /// The bits of so many rules, of which the first are forbids.
    fn block(&self, rules: &[&Rule], forbids: usize) -> Block {
        let holds = |fields: &[Field], facts: &Facts<'_>| {
            let holds = |(number, rule): (usize, &&Rule)| {
                let holds = fields.iter().all(|field| match field.test(rule, facts) {
                    Held::Surely => true,
                    Held::Perhaps => number < forbids,
                    Held::Not => false,
                });
                u64::from(holds) << number
            };
            rules.iter().enumerate().map(holds).fold(0, |bits, bit| bits | bit)
        };
        let any = || Facts {
            action: LawAction::Infer,
            app: None,
            model: None,
            carried: Carried::One { class: DataClass::Public, tags: &[] },
            purpose: None,
            origin: Jurisdiction::UNKNOWN,
            subjects: &[],
            target: Jurisdiction::UNKNOWN,
            control: None,
            assurance: Assurance::Claimed,
            operators: ["one-operator", "another-operator"],
            kind: PlaceKind::Peer,
        };
        // A name that no rule speaks of is in the list of none, so only rules without a list hold.
        let without = |listed: fn(&Rule) -> bool| {
            rules.iter().enumerate().map(|(number, rule)| u64::from(!listed(rule)) << number).fold(0, |a, b| a | b)
        };
        let of_app = |app| holds(&[Field::Apps], &Facts { app: Some(app), ..any() });
        let of_model = |model| holds(&[Field::Models], &Facts { model: Some(model), ..any() });
        let of_purpose = |purpose| holds(&[Field::Purpose], &Facts { purpose, ..any() });
        let of_tag = |tag: &&Tag| {
            let tags = [(*tag).clone()];
            let carried = Carried::One { class: DataClass::Public, tags: &tags };
            holds(&[Field::Tags], &Facts { carried, ..any() })
        };
        let standing = |place: &Jurisdiction| Standing {
            target: holds(&[Field::Target, Field::TargetNot], &Facts { target: *place, ..any() }),
            origin: holds(&[Field::Origin], &Facts { origin: *place, ..any() }),
            origin_not: holds(&[Field::OriginNot], &Facts { origin: *place, ..any() }),
            control: holds(&[Field::NotControl], &Facts { control: Some(&[*place]), ..any() }),
        };
        let classes = DataClass::ALL.map(|class| Carried::One { class, tags: &[] });
        let levels = [Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware];
        let operators = [["one-operator", "another-operator"], ["one-operator", "one-operator"]];
        let stated = self.purposes.iter().map(|purpose| of_purpose(Some(purpose)));
        Block {
            forbids: (0..forbids).fold(0, |bits, number| bits | 1 << number),
            actions: LawAction::ALL.map(|action| holds(&[Field::Action], &Facts { action, ..any() })),
            classes: classes.map(|carried| holds(&[Field::Class], &Facts { carried, ..any() })),
            assurances: levels.map(|assurance| holds(&[Field::Assurance], &Facts { assurance, ..any() })),
            operators: operators.map(|operators| holds(&[Field::SameOperator], &Facts { operators, ..any() })),
            apps: [without(|rule| !rule.apps.is_empty())]
                .into_iter()
                .chain(self.apps.iter().map(|app| of_app(app)))
                .collect(),
            models: [without(|rule| !rule.models.is_empty())]
                .into_iter()
                .chain(self.models.iter().map(|model| of_model(model)))
                .collect(),
            purposes: [without(|rule| !rule.purposes.is_empty()), of_purpose(None)].into_iter().chain(stated).collect(),
            untagged: holds(&[Field::Tags], &any()),
            tags: self.tags.iter().map(of_tag).collect(),
            uncontrolled: holds(&[Field::NotControl], &any()),
            places: self.places.iter().map(standing).collect(),
        }
    }
}
