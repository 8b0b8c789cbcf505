//! The law, read a second time and in another way than `hither_core::policy` does: nothing here calls that.
//!
//! The world is cut into atoms: each country's named subdivisions, the rest of each country, and one for everywhere else.
//! What is known of a fact is the list of all that it may be. A constraint of a permit holds if it holds whatever the fact
//! is; a constraint of a forbid holds if there is something that the fact may be for which it holds. The documents say
//! that of each constraint by itself, so two constraints on one unknown fact are two questions.

use hither_types::id::{AppName, ModelName, Operator, Purpose};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::member::Member;
use hither_types::place::{Assurance, Jurisdiction, Region};

/// The countries of the storm, each with its subdivisions that have a code here.
const COUNTRIES: [(&str, &[&str]); 13] = [
    ("DE", &["DE-BY", "DE-BW"]),
    ("FR", &["FR-IDF"]),
    ("US", &["US-CA", "US-NY"]),
    ("ID", &["ID-JK"]),
    ("CN", &[]),
    ("HK", &[]),
    ("CH", &[]),
    ("GB", &[]),
    ("IS", &[]),
    ("NO", &[]),
    ("IN", &[]),
    ("BR", &[]),
    ("NL", &[]),
];

/// The code of a place that nobody knows.
const NOBODY_KNOWS: &str = "ZZ";

/// The place is permitted by the built-in rule; other bits are permits by their position in the policy.
pub(super) const HOME: u32 = 1 << 31;

/// All that a place may be.
#[derive(Debug, Clone)]
pub(super) struct MayBe {
    atoms: Vec<u8>,
    /// The code says that nobody knows. A rule that names this code means just that.
    unknown: bool,
}

/// The codes of the storm and what each may stand for.
#[derive(Debug)]
pub(super) struct Atlas {
    codes: Vec<(Jurisdiction, MayBe)>,
}

impl Atlas {
    pub(super) fn new() -> Self {
        let code = |text: &str| Jurisdiction::parse(text).expect("a code of the storm has the form of one");
        let (mut codes, mut next) = (Vec::new(), 0);
        for (country, parts) in COUNTRIES {
            let rest = next;
            let mut all = vec![rest];
            for (part, atom) in parts.iter().zip(rest + 1..) {
                codes.push((code(part), MayBe { atoms: vec![atom], unknown: false }));
                all.push(atom);
            }
            next += all.len() as u8;
            codes.push((code(country), MayBe { atoms: all, unknown: false }));
        }
        // The last atom is everywhere else.
        codes.push((code(NOBODY_KNOWS), MayBe { atoms: (0..=next).collect(), unknown: true }));
        Self { codes }
    }

    /// All codes.
    pub(super) fn codes(&self) -> impl Iterator<Item = Jurisdiction> {
        self.codes.iter().map(|(code, _)| *code)
    }

    /// All that a place with this code may be.
    pub(super) fn may_be(&self, code: Jurisdiction) -> MayBe {
        let found = self.codes.iter().find(|(known, _)| *known == code);
        found.map(|(_, may_be)| may_be.clone()).expect("every code of the storm is in its atlas")
    }

    fn area<'a>(&self, codes: impl IntoIterator<Item = &'a Jurisdiction>) -> Area {
        let mut area = Area::default();
        for code in codes {
            let may_be = self.may_be(*code);
            area.names_unknown |= may_be.unknown;
            if !may_be.unknown {
                may_be.atoms.iter().for_each(|atom| area.atoms[usize::from(*atom)] = true);
            }
        }
        area
    }
}

/// The atoms that a rule names.
#[derive(Debug, Clone, Default)]
struct Area {
    atoms: [bool; 32],
    names_unknown: bool,
}

impl Area {
    fn has_whatever(&self, place: &MayBe) -> bool {
        place.atoms.iter().all(|atom| self.atoms[usize::from(*atom)]) || self.means_the_unknown(place)
    }

    fn may_have(&self, place: &MayBe) -> bool {
        place.atoms.iter().any(|atom| self.atoms[usize::from(*atom)]) || self.means_the_unknown(place)
    }

    fn means_the_unknown(&self, place: &MayBe) -> bool {
        self.names_unknown && place.unknown
    }
}

/// A member as the law sees it.
#[derive(Debug, Clone)]
pub(super) struct Standing {
    at: MayBe,
    /// `None`: any state may compel its operator.
    control: Option<Vec<MayBe>>,
    operator: Operator,
    assurance: Assurance,
}

impl Standing {
    pub(super) fn of(member: &Member, atlas: &Atlas) -> Self {
        let states = |states: &Vec<Jurisdiction>| states.iter().map(|state| atlas.may_be(*state)).collect();
        Self {
            at: atlas.may_be(member.jurisdiction),
            control: member.control.as_ref().map(states),
            operator: member.operator.clone(),
            assurance: member.assurance,
        }
    }
}

/// What is asked, the places aside.
#[derive(Debug)]
pub(super) struct Matter<'a> {
    pub(super) action: LawAction,
    pub(super) app: &'a AppName,
    pub(super) model: &'a ModelName,
    pub(super) label: &'a Label,
    /// Where the people concerned are.
    pub(super) subjects: &'a [MayBe],
}

/// One policy, its regions spelled out.
#[derive(Debug)]
pub(super) struct Reading {
    permits: Vec<ReadRule>,
    forbids: Vec<ReadRule>,
}

#[derive(Debug)]
struct ReadRule {
    rule: Rule,
    origin: Option<Area>,
    origin_not: Option<Area>,
    target: Option<Area>,
    target_not: Option<Area>,
    compelled_by: Area,
}

impl Reading {
    pub(super) fn of(policy: &Policy, atlas: &Atlas) -> Self {
        let read = |rules: &[Rule]| rules.iter().map(|rule| ReadRule::of(rule, atlas)).collect();
        Self { permits: read(&policy.permits), forbids: read(&policy.forbids) }
    }

    /// The permits that allow it, as bits; none if it is not lawful.
    pub(super) fn permits(&self, matter: &Matter<'_>, origin: &Standing, target: &Standing, is_home: bool) -> u32 {
        if self.forbids.iter().any(|forbid| forbid.forbids(matter, origin, target)) {
            return 0;
        }
        let at_home = match matter.action {
            LawAction::Enqueue => !matches!(matter.label.class, DataClass::Special | DataClass::Secret),
            action => matches!(action, LawAction::Infer | LawAction::Cache | LawAction::Observe),
        };
        let holding = self.permits.iter().enumerate().filter(|(_, permit)| permit.permits(matter, origin, target));
        let written = holding.fold(0, |bits, (index, _)| bits | 1 << index);
        if is_home && at_home { written | HOME } else { written }
    }
}

impl ReadRule {
    fn of(rule: &Rule, atlas: &Atlas) -> Self {
        let area = |region: &Option<Region>| region.as_ref().map(|region| atlas.area(&region.members));
        Self {
            origin: area(&rule.origin),
            origin_not: area(&rule.origin_not),
            target: area(&rule.target),
            target_not: area(&rule.target_not),
            compelled_by: atlas.area(&rule.not_control),
            rule: rule.clone(),
        }
    }

    /// What is always known: a permit and a forbid read it alike.
    fn speaks_of(&self, matter: &Matter<'_>, origin: &Standing, target: &Standing) -> bool {
        let Rule { actions, classes, tags, apps, models, assurance, same_operator, .. } = &self.rule;
        let same = origin.operator == target.operator;
        actions.contains(&matter.action)
            && (classes.is_empty() || classes.contains(&matter.label.class))
            && (tags.is_empty() || tags.iter().any(|tag| matter.label.tags.contains(tag)))
            && (apps.is_empty() || apps.contains(matter.app))
            && (models.is_empty() || models.iter().any(|model| is_version(model.as_str(), matter.model.as_str())))
            && assurance.is_none_or(|least| least <= target.assurance)
            && same_operator.is_none_or(|wanted| wanted == same)
    }

    /// Whether every constraint holds, whatever the facts are that are not known.
    fn permits(&self, matter: &Matter<'_>, origin: &Standing, target: &Standing) -> bool {
        let mut sources = std::iter::once(&origin.at).chain(matter.subjects);
        let purposes = &self.rule.purposes;
        let for_it = |purpose: &Purpose| purposes.contains(purpose);
        let free = |states: &Vec<MayBe>| !states.iter().any(|state| self.compelled_by.may_have(state));
        self.speaks_of(matter, origin, target)
            && (purposes.is_empty() || matter.label.purpose.as_ref().is_some_and(for_it))
            && self.origin.as_ref().is_none_or(|area| sources.clone().all(|source| area.has_whatever(source)))
            && self.origin_not.as_ref().is_none_or(|area| sources.all(|source| !area.may_have(source)))
            && self.target.as_ref().is_none_or(|area| area.has_whatever(&target.at))
            && self.target_not.as_ref().is_none_or(|area| !area.may_have(&target.at))
            && (self.rule.not_control.is_empty() || target.control.as_ref().is_some_and(free))
    }

    /// Whether there is something that the unknown facts may be for which a constraint holds, for each of them.
    fn forbids(&self, matter: &Matter<'_>, origin: &Standing, target: &Standing) -> bool {
        let mut sources = std::iter::once(&origin.at).chain(matter.subjects);
        let purposes = &self.rule.purposes;
        let for_it = |purpose: &Purpose| purposes.contains(purpose);
        let may_be_free = |states: &Vec<MayBe>| !states.iter().any(|state| self.compelled_by.has_whatever(state));
        self.speaks_of(matter, origin, target)
            && (purposes.is_empty() || matter.label.purpose.as_ref().is_none_or(for_it))
            && self.origin.as_ref().is_none_or(|area| sources.clone().any(|source| area.may_have(source)))
            && self.origin_not.as_ref().is_none_or(|area| sources.any(|source| !area.has_whatever(source)))
            && self.target.as_ref().is_none_or(|area| area.may_have(&target.at))
            && self.target_not.as_ref().is_none_or(|area| !area.has_whatever(&target.at))
            && (self.rule.not_control.is_empty() || target.control.as_ref().is_none_or(may_be_free))
    }
}

/// Whether a model is one, or a version of it: its name, a colon, and more.
fn is_version(model: &str, named: &str) -> bool {
    named == model
        || named.split_at_checked(model.len()).is_some_and(|(name, rest)| name == model && rest.starts_with(':'))
}
