//! The law as data: rules, questions and verdicts. `hither-law` reads it, `hither-core` applies it.

use std::collections::BTreeSet;
use std::fmt;

use crate::id::{AppName, Digest, ModelName, Operator, ParseIdError, Purpose, RuleId, Tag};
use crate::label::{DataClass, Label};
use crate::member::Role;
use crate::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind, Region};
use crate::time::Day;
use crate::unit::{Days, Hours};

/// What is done with data or models at a place. Separate because the law treats them so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LawAction {
    /// Process a request there, in the clear.
    Infer,
    /// Pass ciphertext through.
    Relay,
    /// Let a request rest on disk there.
    Enqueue,
    /// Keep prefix caches there.
    Cache,
    /// Copy a model's weights there.
    Replicate,
    /// Show metadata there: spans of requests to a collector.
    Observe,
    /// Take audit data there: a ledger, for whoever checks it.
    Export,
}

impl LawAction {
    /// All actions, in the order of the design.
    pub const ALL: [Self; 7] =
        [Self::Infer, Self::Relay, Self::Enqueue, Self::Cache, Self::Replicate, Self::Observe, Self::Export];

    /// The word that policies use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Relay => "relay",
            Self::Enqueue => "enqueue",
            Self::Cache => "cache",
            Self::Replicate => "replicate",
            Self::Observe => "observe",
            Self::Export => "export",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| ParseIdError::new("infer, relay, enqueue, cache, replicate, observe or export", text))
    }
}

/// One rule. An absent constraint (`None` or an empty list) always holds.
///
/// In a permit a stated constraint holds only if the fact is known and inside it; in a forbid it also holds if the
/// fact is unknown. `origin` of a permit needs the request's origin and every subject inside; of a forbid, any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Its id, unique in the policy.
    pub id: RuleId,
    /// The actions that it speaks of; never empty.
    pub actions: Vec<LawAction>,
    /// Data classes.
    pub classes: Vec<DataClass>,
    /// Holds if the label carries any of these.
    pub tags: Vec<Tag>,
    /// Applications.
    pub apps: Vec<AppName>,
    /// Models by name.
    pub models: Vec<ModelName>,
    /// Purposes.
    pub purposes: Vec<Purpose>,
    /// Where the request came from, and whom it concerns.
    pub origin: Option<Region>,
    /// Where it came from, negated.
    pub origin_not: Option<Region>,
    /// Where it would go.
    pub target: Option<Region>,
    /// Where it would go, negated.
    pub target_not: Option<Region>,
    /// Holds if none of these can compel the target's operator.
    pub not_control: Vec<Jurisdiction>,
    /// The least assurance of the target.
    pub assurance: Option<Assurance>,
    /// Whether origin and target must have one operator.
    pub same_operator: Option<bool>,
}

/// A case that the author of a policy wants answered in a certain way; a policy that fails its own is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PolicyTest {
    /// What is asked.
    pub action: LawAction,
    /// The app, if the case names one.
    pub app: Option<AppName>,
    /// The model, if the case names one.
    pub model: Option<ModelName>,
    /// The class.
    pub class: DataClass,
    /// The purpose, if the case names one.
    pub purpose: Option<Purpose>,
    /// Where the request enters.
    pub origin: Jurisdiction,
    /// Whom it concerns; the origin if empty.
    pub subjects: Vec<Jurisdiction>,
    /// Where it would go.
    pub target: Jurisdiction,
    /// Whether it must be permitted.
    pub permitted: bool,
    /// The day by whose lists it is asked; each day if none is named.
    pub on: Option<Day>,
}

impl PolicyTest {
    /// Whether it is asked on a day.
    pub fn is_asked_on(&self, day: Day) -> bool {
        self.on.is_none_or(|on| on == day)
    }
}

/// A group of countries that a policy lists itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Bloc {
    /// Its name in the policy's rules.
    pub name: String,
    /// Its members, at all times.
    pub members: Vec<BlocMember>,
}

impl Bloc {
    /// Who is in it on a day; sorted.
    pub fn on(&self, day: Day) -> BTreeSet<Jurisdiction> {
        self.members.iter().filter(|member| member.is_in_on(day)).map(|member| member.place).collect()
    }
}

/// A place in such a group, with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlocMember {
    /// The place.
    pub place: Jurisdiction,
    /// The first day on which it is a member; always, if none.
    pub from: Option<Day>,
    /// The first day on which it is none any more; never, if none.
    pub until: Option<Day>,
}

impl BlocMember {
    /// Whether it is a member on a day.
    pub fn is_in_on(&self, day: Day) -> bool {
        self.from.is_none_or(|from| from <= day) && self.until.is_none_or(|until| day < until)
    }
}

/// What an operator wants to hold: no case that this describes is ever permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// As it was written.
    pub written: String,
    /// The cases, as a forbid would match them: by any origin or subject, and by a fact that is not known.
    pub rule: Rule,
    /// Whether work on the node where a request enters counts.
    pub home: HomeWork,
    /// If any are named, only cases where one of these may be able to compel the target's operator.
    pub compelled_by: Vec<Jurisdiction>,
    /// If there is one, only cases whose target is supported less well than this.
    pub below: Option<Assurance>,
}

/// Whether a claim is about work on the node where a request enters as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HomeWork {
    /// Only what goes to another place counts.
    Aside,
    /// What runs at home counts, too.
    Counts,
}

/// A whole policy, parsed and checked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// The author's version.
    pub version: u32,
    /// BLAKE3 of the text.
    pub digest: Digest,
    /// The class of a request without a label.
    pub unlabelled: DataClass,
    /// Rules that allow.
    pub permits: Vec<Rule>,
    /// Rules that forbid; they beat every permit.
    pub forbids: Vec<Rule>,
    /// The author's own tests.
    pub tests: Vec<PolicyTest>,
    /// How long records are kept.
    pub retention: Retention,
    /// Nothing leaves a node whose ledger no other member has signed for so long; `None`: nobody has to.
    pub witness_within: Option<Days>,
    /// A certificate that was made longer ago supports no assurance; `None`: each does until it ends.
    pub certified_within: Option<Hours>,
    /// Groups of countries that it lists itself.
    pub blocs: Vec<Bloc>,
    /// The day on which it was read: its rules have the members of that day.
    pub day: Day,
}

impl Policy {
    /// One without rules: what enters a node stays there, and what has no label is special.
    pub fn closed(digest: Digest) -> Self {
        Self {
            version: 1,
            digest,
            unlabelled: DataClass::Special,
            permits: Vec::new(),
            forbids: Vec::new(),
            tests: Vec::new(),
            retention: Retention::default(),
            witness_within: None,
            certified_within: None,
            blocs: Vec::new(),
            day: Day(0),
        }
    }

    /// The days on which a list of its own gains or loses a member; sorted.
    pub fn turns(&self) -> BTreeSet<Day> {
        let dates = |member: &BlocMember| [member.from, member.until];
        self.blocs.iter().flat_map(|bloc| bloc.members.iter().flat_map(dates)).flatten().collect()
    }

    /// Who comes into one of its lists and who goes, from one day to another.
    pub fn moves(&self, before: Day, after: Day) -> Vec<BlocMove> {
        let moves = |bloc: &Bloc| {
            let (old, new) = (bloc.on(before), bloc.on(after));
            let told = |place: &Jurisdiction, joined| BlocMove { bloc: bloc.name.clone(), place: *place, joined };
            let joined = new.difference(&old).map(|place| told(place, true));
            joined.chain(old.difference(&new).map(|place| told(place, false))).collect::<Vec<_>>()
        };
        self.blocs.iter().flat_map(moves).collect()
    }

    /// Whether its lists may have other members on a day than on the one on which it was read.
    pub fn is_out_of_date_on(&self, day: Day) -> bool {
        let (first, last) = (self.day.min(day), self.day.max(day));
        self.turns().into_iter().any(|turn| first < turn && turn <= last)
    }
}

/// A place that came into a list of a policy, or went out of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlocMove {
    /// The list.
    pub bloc: String,
    /// The place.
    pub place: Jurisdiction,
    /// Whether it is in it now.
    pub joined: bool,
}

impl fmt::Display for BlocMove {
    /// Such as `+our-adequate/US`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", if self.joined { '+' } else { '-' }, self.bloc, self.place)
    }
}

/// How long the ledger keeps records, by where their requests come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Retention {
    /// For origins that no period names.
    pub default: Days,
    /// For origins that one does.
    pub periods: Vec<(Region, Days)>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { default: Self::DEFAULT, periods: Vec::new() }
    }
}

impl Retention {
    /// Where a policy says nothing: the longest six months there are.
    pub const DEFAULT: Days = Days(184);

    /// How long records of this origin are kept. What names it more closely wins (`DE-BY` over `DE`, `DE` over a group of
    /// countries); of groups that hold it, the longest.
    pub fn of(&self, origin: Jurisdiction) -> Days {
        let named = |place: Jurisdiction| {
            let one = |region: &Region| region.members == [place];
            self.periods.iter().find(|(region, _)| one(region)).map(|(_, days)| *days)
        };
        let groups = self.periods.iter().filter(|(region, _)| region.contains(origin)).map(|(_, days)| *days);
        named(origin).or_else(|| named(origin.country())).or_else(|| groups.max()).unwrap_or(self.default)
    }

    /// The shortest period that it names: nothing younger may be deleted.
    pub fn shortest(&self) -> Days {
        self.periods.iter().map(|(_, days)| *days).fold(self.default, Days::min)
    }

    /// The longest period that it names: for what nobody knows the origin of.
    pub fn longest(&self) -> Days {
        self.periods.iter().map(|(_, days)| *days).fold(self.default, Days::max)
    }
}

/// One question to the law.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// What would be done.
    pub action: LawAction,
    /// The app that asks.
    pub app: &'a AppName,
    /// The model.
    pub model: &'a ModelName,
    /// The label of the request.
    pub label: &'a Label,
    /// Where the request entered.
    pub origin: Jurisdiction,
    /// Who runs the node that it entered.
    pub origin_operator: &'a Operator,
    /// The place in question.
    pub target: &'a PlaceFacts,
    /// What the place is to the origin.
    pub kind: PlaceKind,
}

/// The fields of a rule, by their names in the policy language, in the order in which people read them.
pub const FIELDS: [&str; 13] = [
    "action",
    "class",
    "tags",
    "apps",
    "models",
    "purpose",
    "origin",
    "origin_not",
    "target",
    "target_not",
    "not_control",
    "assurance",
    "same_operator",
];

/// A field of a rule that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FailedField {
    /// The name of the field in the policy language.
    pub field: &'static str,
    /// What the rule wants, as written.
    pub wanted: String,
    /// What it met.
    pub found: String,
}

impl fmt::Display for FailedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is not in {}", self.field, self.found, self.wanted)
    }
}

/// The permit that came closest to allowing something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NearMiss {
    /// The permit.
    pub rule: RuleId,
    /// What failed in it; never empty.
    pub failed: Vec<FailedField>,
}

/// Why the law says no.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Denial {
    /// A forbid matched.
    Forbidden {
        /// The rule.
        rule: RuleId,
        /// The permit that would have allowed it, or came closest.
        nearest: Option<NearMiss>,
    },
    /// No permit matched.
    NotPermitted {
        /// The permit that came closest.
        nearest: Option<NearMiss>,
    },
    /// The certificate of the one that would serve, or of the one that asks, does not let it.
    Role(Role),
}

/// The answer of the law.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Allowed, by this rule.
    Permitted(RuleId),
    /// Not allowed.
    Denied(Denial),
}

/// One fact of a question that was denied, what it could be instead, and what the law would say then, all else being so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WhatIf {
    /// The name of the field in the policy language; `role` for certificates, `forbid` and `permit` for rules.
    pub fact: &'static str,
    /// What it is; empty for rules.
    pub now: String,
    /// What would do, each alone: at most [`WhatIf::INSTEAD_MAX`].
    pub instead: Vec<String>,
    /// Who could change it.
    pub whose: Whose,
    /// What the law would say.
    pub then: Then,
}

impl WhatIf {
    /// The most values of one fact that are named.
    pub const INSTEAD_MAX: usize = 8;
}

/// Who could change a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// Whoever sends the request: it may tighten its label, name its purpose, and ask another model.
    Request,
    /// The operator: what loosens a label, and which app asks.
    Operator,
    /// Whoever runs the place and vouches for it; or another place, of which it is so.
    Place,
    /// Whoever writes the policy.
    Policy,
}

impl Whose {
    /// The word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Operator => "operator",
            Self::Place => "place",
            Self::Policy => "policy",
        }
    }
}

/// What the law would say then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Then {
    /// A rule permits it; `None` is the permit that would be new.
    Permitted(Option<RuleId>),
    /// A permit would hold, and this forbid is still in the way.
    Forbidden(RuleId),
}
