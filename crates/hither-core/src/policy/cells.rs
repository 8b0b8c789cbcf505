//! The law over all cases: every kind of question that no rule can tell from another, each asked once.
//!
//! A rule only tests whether a fact lies in a set, so facts that lie in the same sets of all rules get the same answers.
//! The facts are chosen one after another; at each, values that the rules still in play treat alike are one. What must
//! stay true: how far a constraint holds is said by the evaluator's own fields, and each kind is put to the evaluator
//! itself. The division only says which questions need not be asked twice.

use hither_types::id::{AppName, ModelName, Operator, Purpose, RuleId, Tag};
use hither_types::label::DataClass;
use hither_types::law::{Claim, HomeWork, LawAction, Policy, Rule};
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind, Region};

use super::{Carried, Facts, Field, Held, found, free_of, of_weights};

mod divide;
mod sources;
#[cfg(test)]
pub(super) mod tests;
mod walk;

use divide::Bits;

/// The most kinds of cases that are looked at: some seconds of work. What needs more is refused, never sampled.
pub const CASES_MAX: u64 = 3_000_000;

/// The most mixtures (of origins and subjects, of tags, of states with control) that rules may tell apart.
pub const MIXTURES_MAX: usize = 20_000;

/// The part of a country that no rule names; ISO 3166-2 gives this code to none.
const REST: &str = "ZZZ";

/// There are more kinds of cases than are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMany {
    /// Of what.
    pub what: &'static str,
    /// The bound that was passed.
    pub most: u64,
}

/// What the law says of a case, without the near miss.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// This rule permits it.
    Permitted(RuleId),
    /// This rule forbids it.
    Forbidden(RuleId),
    /// No rule permits it.
    NotPermitted,
}

impl Ruling {
    /// Whether it may be done.
    pub fn is_permitted(&self) -> bool {
        matches!(self, Self::Permitted(_))
    }
}

/// A fact of a case that may make no difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The class of the data.
    Class,
    /// The tags.
    Tags,
    /// The app.
    App,
    /// The model.
    Model,
    /// The purpose.
    Purpose,
    /// Who can compel the operator.
    Control,
    /// How well it is known where the target stands.
    Assurance,
    /// Whether both ends have one operator.
    Operator,
}

/// One case, and all that no rule tells from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What is done.
    pub action: LawAction,
    /// The class of the data.
    pub class: DataClass,
    /// Whether it is done on the node where the request entered.
    pub at_home: bool,
    /// The tags.
    pub tags: Vec<Tag>,
    /// The app.
    pub app: AppName,
    /// The model.
    pub model: ModelName,
    /// The purpose, if one is stated.
    pub purpose: Option<Purpose>,
    /// Where it entered.
    pub origin: Jurisdiction,
    /// Whom it concerns beside people where it entered; none if nobody.
    pub subjects: Vec<Jurisdiction>,
    /// Where it would go.
    pub target: Jurisdiction,
    /// Who can compel the operator there: `None` is "unknown", an empty list is "nobody".
    pub control: Option<Vec<Jurisdiction>>,
    /// How well it is known where the target stands.
    pub assurance: Assurance,
    /// Whether both ends have one operator.
    pub same_operator: bool,
    /// What makes no difference, the rest being so.
    pub any: Vec<Part>,
    /// Apps that are alike here, the one above among them; so are the lists below.
    pub apps: Vec<AppName>,
    /// Models that are alike here.
    pub models: Vec<ModelName>,
    /// Purposes that are alike here.
    pub purposes: Vec<Option<Purpose>>,
    /// Sets of tags that are alike here.
    pub tag_sets: Vec<Vec<Tag>>,
    /// Who may be able to compel the operator alike here: every single state, and of several together the smallest lists.
    pub controls: Vec<Option<Vec<Jurisdiction>>>,
    /// Levels of assurance that are alike here.
    pub assurances: Vec<Assurance>,
    /// Both, if it makes no difference.
    pub operators: Vec<bool>,
    /// All targets that no rule tells apart here, this one first.
    pub targets: Vec<Jurisdiction>,
    /// All places that may stand for the origin here, this one first; empty if it takes several at once.
    pub origins: Vec<Jurisdiction>,
}

/// Which cases are looked at. Each list is in the order in which they are shown.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// What is done.
    pub actions: &'a [LawAction],
    /// The classes of data.
    pub classes: &'a [DataClass],
    /// Whether work at home is looked at.
    pub home: HomeWork,
    /// If there is one, everything comes from there and concerns nobody elsewhere. Work at home is not looked at then.
    pub origin: Option<Jurisdiction>,
    /// If there is one, everything goes to this place, from a node of this operator.
    pub place: Option<(&'a PlaceFacts, &'a Operator)>,
}

impl Scope<'_> {
    /// Every case.
    pub const ALL: Self =
        Self { actions: &LawAction::ALL, classes: &DataClass::ALL, home: HomeWork::Counts, origin: None, place: None };
}

/// A place that stands for the parts of a country that no rule names.
pub fn is_rest(place: Jurisdiction) -> bool {
    place.to_string().split_once('-').is_some_and(|(_, part)| part == REST)
}

/// All places that some rule may tell from others: the countries, the parts of them that rules name, for each country
/// with such a part another one, and the unknown place.
pub fn places(policies: &[&Policy], claim: Option<&Claim>, countries: &[Jurisdiction]) -> Vec<Jurisdiction> {
    let mut named: Vec<Jurisdiction> = Vec::new();
    let rules = policies.iter().flat_map(|policy| policy.permits.iter().chain(&policy.forbids));
    for rule in rules.chain(claim.map(|claim| &claim.rule)) {
        let regions = [&rule.origin, &rule.origin_not, &rule.target, &rule.target_not];
        let members = regions.into_iter().flatten().flat_map(|region: &Region| region.members.iter());
        named.extend(members.chain(&rule.not_control));
    }
    named.extend(claim.iter().flat_map(|claim| &claim.compelled_by));
    named.retain(|place| *place != place.country());
    let rest: Vec<Jurisdiction> = named.iter().filter_map(|part| rest_of(part.country())).collect();
    let mut others: Vec<Jurisdiction> = named.into_iter().chain(rest).collect();
    others.sort();
    others.dedup();
    countries.iter().copied().chain(others).chain([Jurisdiction::UNKNOWN]).collect()
}

pub(super) fn rest_of(country: Jurisdiction) -> Option<Jurisdiction> {
    Jurisdiction::parse(&format!("{country}-{REST}")).ok()
}

/// On which side of the law a rule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Permit,
    Forbid,
    Claim,
}

/// A rule, and whose it is.
struct Watched<'a> {
    rule: &'a Rule,
    side: Side,
    policy: usize,
    claim: Option<&'a Claim>,
}

impl Watched<'_> {
    /// Whether the rule is still in play once these facts are known: a permit by what is certain, all else by what may be.
    fn allows(&self, fields: &[Field], facts: &Facts<'_>) -> bool {
        match self.side {
            Side::Permit => fields.iter().all(|field| field.test(self.rule, facts) == Held::Surely),
            Side::Forbid => fields.iter().all(|field| field.test(self.rule, facts) != Held::Not),
            Side::Claim => {
                fields.iter().all(|field| field.test(self.rule, facts) != Held::Not)
                    && (!fields.contains(&Field::NotControl) || self.may_compel(facts))
                    && (!fields.contains(&Field::Assurance) || self.is_below(facts))
            }
        }
    }

    fn may_compel(&self, facts: &Facts<'_>) -> bool {
        let states = self.claim.map_or(&[][..], |claim| &claim.compelled_by);
        states.is_empty() || free_of(states, facts.control) != Held::Surely
    }

    fn is_below(&self, facts: &Facts<'_>) -> bool {
        self.claim.and_then(|claim| claim.below).is_none_or(|least| facts.assurance < least)
    }
}

/// A set of places that all rules treat alike, as target and as source.
struct Alike {
    members: Vec<Jurisdiction>,
    /// Rules in play if the target is one of them.
    target: Bits,
    /// … by `origin`, if one of them is where data come from or whom they concern.
    origin: Bits,
    /// … by `origin_not`.
    origin_not: Bits,
}

/// Policies, and the facts that their rules tell apart.
pub(super) struct Cells<'a> {
    policies: &'a [&'a Policy],
    claim: Option<&'a Claim>,
    scope: Scope<'a>,
    watched: Vec<Watched<'a>>,
    places: Vec<Alike>,
    controls: Vec<Option<Vec<Jurisdiction>>>,
    /// States that are alike alone, but those that are as good as none.
    states: Vec<Vec<Jurisdiction>>,
    /// States that are as good as none.
    harmless: Vec<Jurisdiction>,
    assurances: Vec<Assurance>,
    operators: Vec<bool>,
    apps: Vec<AppName>,
    models: Vec<ModelName>,
    purposes: Vec<Option<Purpose>>,
    tags: Vec<Vec<Tag>>,
    /// For each step, the rules in play for each of its values.
    in_play: Vec<Vec<Bits>>,
    /// For each step, the first rule that is the same as each from there on.
    same: Vec<Vec<usize>>,
}

/// The facts of a case while they are chosen.
#[derive(Debug, Clone)]
struct Pick {
    action: LawAction,
    class: DataClass,
    at_home: bool,
    target: Jurisdiction,
    targets: Vec<usize>,
    /// Indexes of the values, in the order of the steps.
    values: [usize; STEPS.len()],
    /// For each step, the values that are alike.
    alike: [Vec<usize>; STEPS.len()],
    sources: Vec<Jurisdiction>,
    origins: Vec<usize>,
}

/// A fact that is chosen, after action, class and target, and before origin and subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Control,
    Assurance,
    Operator,
    App,
    Model,
    Purpose,
    Tags,
}

const STEPS: [Step; 7] =
    [Step::Control, Step::Assurance, Step::Operator, Step::App, Step::Model, Step::Purpose, Step::Tags];

impl Step {
    fn field(self) -> Field {
        match self {
            Self::Control => Field::NotControl,
            Self::Assurance => Field::Assurance,
            Self::Operator => Field::SameOperator,
            Self::App => Field::Apps,
            Self::Model => Field::Models,
            Self::Purpose => Field::Purpose,
            Self::Tags => Field::Tags,
        }
    }

    fn part(self) -> Part {
        match self {
            Self::Control => Part::Control,
            Self::Assurance => Part::Assurance,
            Self::Operator => Part::Operator,
            Self::App => Part::App,
            Self::Model => Part::Model,
            Self::Purpose => Part::Purpose,
            Self::Tags => Part::Tags,
        }
    }
}

impl Cells<'_> {
    /// The facts of a case as the evaluator takes them; for relays, as `judge_relay` does.
    fn facts<'s>(&'s self, pick: &'s Pick) -> Facts<'s> {
        let [control, assurance, operator, app, model, purpose, tags] = pick.values;
        let relay = pick.action == LawAction::Relay;
        Facts {
            action: pick.action,
            app: (!relay).then(|| &self.apps[app]),
            model: (!relay).then(|| &self.models[model]),
            carried: if relay {
                Carried::Everything
            } else {
                Carried::One { class: pick.class, tags: &self.tags[tags] }
            },
            purpose: if relay { None } else { self.purposes[purpose].as_ref() },
            origin: pick.sources.first().copied().unwrap_or(pick.target),
            subjects: &pick.sources,
            target: pick.target,
            control: self.controls[control].as_deref(),
            assurance: self.assurances[assurance],
            operators: ["one-operator", if self.operators[operator] { "one-operator" } else { "another-operator" }],
            kind: if pick.at_home { PlaceKind::Home } else { PlaceKind::Peer },
        }
    }

    /// What each policy says of a case.
    fn rulings(&self, pick: &Pick) -> Vec<Ruling> {
        let facts = self.facts(pick);
        let said = self.policies.iter().map(|policy| match found(policy, &facts) {
            (Some(forbid), _) => Ruling::Forbidden(forbid.id.clone()),
            (None, Some(permit)) => Ruling::Permitted(permit),
            (None, None) => Ruling::NotPermitted,
        });
        said.collect()
    }

    /// A case with all that no rule tells from it.
    fn cell(&self, pick: &Pick) -> Cell {
        let [control, assurance, operator, app, model, purpose, tags] = pick.values;
        let mut sources = pick.sources.iter().copied();
        let origin = sources.next().unwrap_or(pick.target);
        let all = |first: Jurisdiction, places: &[usize]| {
            let members = places.iter().flat_map(|place| self.places[*place].members.iter().copied());
            std::iter::once(first).chain(members.filter(|place| *place != first)).collect::<Vec<_>>()
        };
        let steps = STEPS.into_iter().zip(&pick.alike).filter(|(step, alike)| alike.len() == self.count(*step));
        let steps = steps.map(|(step, _)| step.part());
        let relay = (pick.action == LawAction::Relay).then_some(Part::Class);
        Cell {
            action: pick.action,
            class: pick.class,
            at_home: pick.at_home,
            tags: self.tags[tags].clone(),
            app: self.apps[app].clone(),
            model: self.models[model].clone(),
            purpose: self.purposes[purpose].clone(),
            origin,
            subjects: sources.collect(),
            target: pick.target,
            control: self.controls[control].clone(),
            assurance: self.assurances[assurance],
            same_operator: self.operators[operator],
            any: relay.into_iter().chain(steps).collect(),
            apps: alike(&self.apps, &pick.alike[Step::App as usize]),
            models: alike(&self.models, &pick.alike[Step::Model as usize]),
            purposes: alike(&self.purposes, &pick.alike[Step::Purpose as usize]),
            tag_sets: alike(&self.tags, &pick.alike[Step::Tags as usize]),
            controls: self.all_controls(&pick.alike[Step::Control as usize]),
            assurances: alike(&self.assurances, &pick.alike[Step::Assurance as usize]),
            operators: alike(&self.operators, &pick.alike[Step::Operator as usize]),
            targets: all(pick.target, &pick.targets),
            origins: if pick.origins.is_empty() { Vec::new() } else { all(origin, &pick.origins) },
        }
    }

    /// Lists of states, those of one state for each that is alike.
    fn all_controls(&self, values: &[usize]) -> Vec<Option<Vec<Jurisdiction>>> {
        let each = |value: &usize| match self.controls[*value].as_deref() {
            Some([]) => {
                let harmless = self.harmless.iter().map(|state| Some(vec![*state]));
                std::iter::once(Some(Vec::new())).chain(harmless).collect()
            }
            Some([state]) => {
                let alike = self.states.iter().find(|alike| alike.contains(state));
                alike.map_or_else(|| vec![*state], Clone::clone).into_iter().map(|state| Some(vec![state])).collect()
            }
            _ => vec![self.controls[*value].clone()],
        };
        values.iter().flat_map(each).collect()
    }
}

fn alike<T: Clone>(all: &[T], values: &[usize]) -> Vec<T> {
    values.iter().map(|value| all[*value].clone()).collect()
}
