//! The law applied: one question in, one verdict out. The only place that says whether something may go somewhere.
//!
//! Default deny, and a forbid beats every permit. Each constraint of a rule holds surely, perhaps or not at all:
//! perhaps, if the fact is unknown, or known for a part only. A permit wants "surely" of every constraint; a forbid is
//! satisfied with "perhaps". So what is not known never opens a way, whichever side of the law speaks of it.

use std::fmt;

use hither_types::id::{AppName, ModelName, Purpose, RuleId, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{Denial, LawAction, Policy, PolicyTest, Question, Rule, Verdict};
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind, Region};

use miss::near_miss;

pub use law::{Answer, Asked, Law, Matter, Target};

pub mod cells;
pub mod changes;
mod law;
mod miss;
pub mod outside;
pub mod proof;
pub mod reach;
#[cfg(test)]
mod tests;
pub mod what_if;

/// The id of the built-in rule that permits work at home.
pub const LOCAL_RULE: &str = "local";

/// Answers one question to the law.
///
/// Work at home (infer, enqueue, cache, observe) is permitted by the built-in rule `local`; a forbid may still forbid
/// it. A denial names the forbid that matched, and the near miss: among the permits that speak of the action, the one
/// with the fewest failed fields, the first in the file if several have as few. A `Forbidden` without a near miss is
/// one that a permit, or `local`, would have allowed.
pub fn judge(policy: &Policy, question: &Question<'_>) -> Verdict {
    decide(policy, &Facts::of(question))
}

/// The id of the built-in rule that permits relays in a node's own country.
pub const RELAY_RULE: &str = "own-country-relay";

/// Whether the ciphertext of a node may pass over a relay, whatever it is the ciphertext of.
///
/// Both ends ask their own law. A connection carries requests of all labels, so a relay is for all of them or for none:
/// what a rule says of classes, tags, apps, models and purposes makes a permit too narrow to count, and leaves a forbid as
/// wide as the rest of it. A relay in the node's own country needs no permit; it may be forbidden.
pub fn judge_relay(policy: &Policy, me: &PlaceFacts, relay: &PlaceFacts) -> Verdict {
    let subjects = [me.jurisdiction];
    let facts = Facts {
        action: LawAction::Relay,
        app: None,
        model: None,
        carried: Carried::Everything,
        purpose: None,
        origin: me.jurisdiction,
        subjects: &subjects,
        target: relay.jurisdiction,
        control: relay.control.as_deref(),
        assurance: relay.assurance,
        operators: [me.operator.as_str(), relay.operator.as_str()],
        kind: PlaceKind::Peer,
    };
    decide(policy, &facts)
}

/// Whether a node may keep a request on its disk, to be worked on later. `model`: if it is known by then.
pub fn judge_keeping(
    policy: &Policy,
    app: &AppName,
    model: Option<&ModelName>,
    label: &Label,
    me: &PlaceFacts,
) -> Verdict {
    let facts = Facts {
        action: LawAction::Enqueue,
        app: Some(app),
        model,
        carried: Carried::One { class: label.class, tags: &label.tags },
        purpose: label.purpose.as_ref(),
        origin: me.jurisdiction,
        subjects: &label.subjects,
        target: me.jurisdiction,
        control: me.control.as_deref(),
        assurance: me.assurance,
        operators: [me.operator.as_str(); 2],
        kind: PlaceKind::Home,
    };
    decide(policy, &facts)
}

/// The app and the label under which weights are copied to a place: public data of the receiver's own.
pub(crate) fn of_weights(target: Jurisdiction) -> (AppName, Label) {
    let app = AppName::parse("hither").expect("six letters are a name");
    let label = Label { class: DataClass::Public, tags: Vec::new(), subjects: vec![target], purpose: None };
    (app, label)
}

/// A test of a policy's author that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedTest {
    /// Its place in the file, from 0.
    pub index: usize,
    /// The case.
    pub test: PolicyTest,
    /// What the law says instead.
    pub verdict: Verdict,
}

impl fmt::Display for FailedTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PolicyTest { action, class, origin, target, .. } = &self.test;
        write!(f, "test {}: {} of {class} data from {origin} at {target}: ", self.index + 1, action.as_str())?;
        let expected = if self.test.permitted { "permit" } else { "deny" };
        match &self.verdict {
            Verdict::Permitted(rule) => write!(f, "expected {expected}, and rule {rule} permits it"),
            Verdict::Denied(Denial::Forbidden { rule, .. }) => {
                write!(f, "expected {expected}, and rule {rule} forbids it")
            }
            Verdict::Denied(Denial::NotPermitted { nearest: None }) => {
                write!(f, "expected {expected}, and no permit speaks of the action")
            }
            Verdict::Denied(Denial::NotPermitted { nearest: Some(near) }) => {
                write!(f, "expected {expected}, and no permit allows it; the nearest is {}", near.rule)?;
                near.failed.iter().try_for_each(|field| write!(f, " ({field})"))
            }
            Verdict::Denied(Denial::Role(role)) => write!(f, "expected {expected}, and the role {role} is not given"),
        }
    }
}

/// Runs the policy's own tests of the day on which it was read, and returns those that came out otherwise.
///
/// A case is about another node of the mesh, even where origin and target are the same: that work at home is lawful
/// needs no test. Both ends have one operator whom nobody can compel, the target is vouched for, and the label has no
/// tags. An app, model or purpose that the case does not name is unknown, so it satisfies no permit and escapes no
/// forbid that asks for it. The subjects are the origin's if none are named.
pub fn failing_tests(policy: &Policy) -> Vec<FailedTest> {
    let run = |(index, test): (usize, &PolicyTest)| {
        let verdict = decide(policy, &Facts::of_test(test));
        let permitted = matches!(verdict, Verdict::Permitted(_));
        (permitted != test.permitted).then(|| FailedTest { index, test: test.clone(), verdict })
    };
    let asked = policy.tests.iter().enumerate().filter(|(_, test)| test.is_asked_on(policy.day));
    asked.filter_map(run).collect()
}

/// What data a question is about.
#[derive(Clone, Copy)]
enum Carried<'a> {
    /// Those of one label.
    One {
        /// Its class.
        class: DataClass,
        /// Its tags.
        tags: &'a [Tag],
    },
    /// Data of all labels at once, as a connection carries them.
    Everything,
}

/// What is known about a question; `None` is "unknown".
struct Facts<'a> {
    action: LawAction,
    app: Option<&'a AppName>,
    model: Option<&'a ModelName>,
    carried: Carried<'a>,
    purpose: Option<&'a Purpose>,
    origin: Jurisdiction,
    subjects: &'a [Jurisdiction],
    target: Jurisdiction,
    control: Option<&'a [Jurisdiction]>,
    assurance: Assurance,
    operators: [&'a str; 2],
    kind: PlaceKind,
}

impl<'a> Facts<'a> {
    fn of(question: &Question<'a>) -> Self {
        let Question { action, app, model, label, origin, origin_operator, target, kind } = question;
        Self {
            action: *action,
            app: Some(app),
            model: Some(model),
            carried: Carried::One { class: label.class, tags: &label.tags },
            purpose: label.purpose.as_ref(),
            origin: *origin,
            subjects: &label.subjects,
            target: target.jurisdiction,
            control: target.control.as_deref(),
            assurance: target.assurance,
            operators: [origin_operator.as_str(), target.operator.as_str()],
            kind: *kind,
        }
    }

    fn of_test(test: &'a PolicyTest) -> Self {
        Self {
            action: test.action,
            app: test.app.as_ref(),
            model: test.model.as_ref(),
            carried: Carried::One { class: test.class, tags: &[] },
            purpose: test.purpose.as_ref(),
            origin: test.origin,
            subjects: &test.subjects,
            target: test.target,
            control: Some(&[]),
            assurance: Assurance::Vouched,
            operators: ["one-operator", "one-operator"],
            kind: PlaceKind::Peer,
        }
    }

    /// Whether it is about a relay in the node's own country.
    fn is_own_relay(&self) -> bool {
        let own = !self.origin.is_unknown() && self.target.within(self.origin.country());
        matches!(self.carried, Carried::Everything) && own
    }

    /// Where the data come from, first, and whom they concern.
    fn sources(&self) -> impl Iterator<Item = Jurisdiction> {
        std::iter::once(self.origin).chain(self.subjects.iter().copied())
    }
}

fn decide(policy: &Policy, facts: &Facts<'_>) -> Verdict {
    match found(policy, facts) {
        (None, Some(rule)) => Verdict::Permitted(rule),
        (forbid, permit) => Verdict::Denied(in_words(policy, facts, forbid, permit.is_some())),
    }
}

/// A denial by a forbid, or for want of a permit; a forbid that stands alone in the way has no near miss.
fn in_words(policy: &Policy, facts: &Facts<'_>, forbid: Option<&Rule>, permitted: bool) -> Denial {
    let nearest = if permitted { None } else { near_miss(policy, facts) };
    match forbid {
        Some(forbid) => Denial::Forbidden { rule: forbid.id.clone(), nearest },
        None => Denial::NotPermitted { nearest },
    }
}

/// The forbid that matches, and what permits, if there are any.
fn found<'a>(policy: &'a Policy, facts: &Facts<'_>) -> (Option<&'a Rule>, Option<RuleId>) {
    let forbids =
        |rule: &&Rule| !is_beside(rule, facts) && Field::ALL.iter().all(|field| field.test(rule, facts) != Held::Not);
    (policy.forbids.iter().find(forbids), permitted(policy, facts))
}

/// Whether a rule is about something else: another action, app or class, so that neither a permit nor a forbid holds. Most
/// rules are, and these three tests are quick; all that they tell, the fields tell as well.
#[inline]
fn is_beside(rule: &Rule, facts: &Facts<'_>) -> bool {
    let other_action = rule.actions.iter().all(|action| *action != facts.action);
    let other_app = || facts.app.is_some_and(|app| !rule.apps.is_empty() && rule.apps.iter().all(|one| one != app));
    let other_class = || match facts.carried {
        Carried::One { class, .. } => !rule.classes.is_empty() && rule.classes.iter().all(|one| *one != class),
        Carried::Everything => false,
    };
    other_action || other_app() || other_class()
}

/// Whether the rule `local` permits it at home. What is worked on there is gone afterwards; what rests on a disk can be
/// taken with it, so that data beyond personal ones need a permit for that.
fn is_local(action: LawAction, class: DataClass) -> bool {
    match action {
        LawAction::Infer | LawAction::Cache | LawAction::Observe => true,
        LawAction::Enqueue => class <= DataClass::Personal,
        LawAction::Relay | LawAction::Replicate | LawAction::Export => false,
    }
}

fn permitted(policy: &Policy, facts: &Facts<'_>) -> Option<RuleId> {
    let at_home = facts.kind == PlaceKind::Home;
    if at_home && matches!(facts.carried, Carried::One { class, .. } if is_local(facts.action, class)) {
        return Some(RuleId::parse(LOCAL_RULE).expect("the name of the built-in rule is a rule id"));
    }
    if facts.is_own_relay() {
        return Some(RuleId::parse(RELAY_RULE).expect("the name of the built-in rule is a rule id"));
    }
    let holds = |rule: &&Rule| {
        !is_beside(rule, facts) && Field::ALL.iter().all(|field| field.test(rule, facts) == Held::Surely)
    };
    policy.permits.iter().find(holds).map(|rule| rule.id.clone())
}

/// How far a constraint holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The fact is known and inside, for every part of it.
    Surely,
    /// The fact is unknown, or inside for a part of it.
    Perhaps,
    /// The fact is known and outside, for every part of it.
    Not,
}

impl Held {
    fn from_known(inside: bool) -> Self {
        if inside { Self::Surely } else { Self::Not }
    }

    fn negated(self) -> Self {
        match self {
            Self::Surely => Self::Not,
            Self::Perhaps => Self::Perhaps,
            Self::Not => Self::Surely,
        }
    }

    /// One answer for many parts: certain only if all agree.
    fn of_all(parts: impl Iterator<Item = Self>) -> Self {
        parts.reduce(|one, other| if one == other { one } else { Self::Perhaps }).unwrap_or(Self::Perhaps)
    }
}

/// A place known by its country alone may or may not be in a subdivision, and an unknown one may be anywhere.
fn inside(region: &Region, place: Jurisdiction) -> Held {
    if region.contains(place) {
        Held::Surely
    } else if place.is_unknown() || region.members.iter().any(|member| member.within(place)) {
        Held::Perhaps
    } else {
        Held::Not
    }
}

fn listed<T: PartialEq>(list: &[T], fact: Option<&T>) -> Held {
    match fact {
        None => Held::Perhaps,
        Some(fact) => Held::from_known(list.contains(fact)),
    }
}

fn of_class(classes: &[DataClass], carried: Carried<'_>) -> Held {
    match carried {
        Carried::One { class, .. } => Held::from_known(classes.contains(&class)),
        Carried::Everything => {
            Held::of_all(DataClass::ALL.iter().map(|class| Held::from_known(classes.contains(class))))
        }
    }
}

fn tagged(listed: &[Tag], carried: Carried<'_>) -> Held {
    match carried {
        Carried::One { tags, .. } => Held::from_known(tags.iter().any(|tag| listed.contains(tag))),
        Carried::Everything => Held::Perhaps,
    }
}

/// What is said of a model holds for all its versions: a new one is no way around the law of the old one.
fn of_listed(list: &[ModelName], fact: Option<&ModelName>) -> Held {
    fact.map_or(Held::Perhaps, |fact| Held::from_known(list.iter().any(|model| fact.is_version_of(model))))
}

/// The constraints of a rule, in the order in which people read them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Action,
    Class,
    Tags,
    Apps,
    Models,
    Purpose,
    Origin,
    OriginNot,
    Target,
    TargetNot,
    NotControl,
    Assurance,
    SameOperator,
}

impl Field {
    const ALL: [Self; 13] = [
        Self::Action,
        Self::Class,
        Self::Tags,
        Self::Apps,
        Self::Models,
        Self::Purpose,
        Self::Origin,
        Self::OriginNot,
        Self::Target,
        Self::TargetNot,
        Self::NotControl,
        Self::Assurance,
        Self::SameOperator,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Action => "action",
            Self::Class => "class",
            Self::Tags => "tags",
            Self::Apps => "apps",
            Self::Models => "models",
            Self::Purpose => "purpose",
            Self::Origin => "origin",
            Self::OriginNot => "origin_not",
            Self::Target => "target",
            Self::TargetNot => "target_not",
            Self::NotControl => "not_control",
            Self::Assurance => "assurance",
            Self::SameOperator => "same_operator",
        }
    }

    /// How far this constraint of the rule holds; one that is not stated always does.
    fn test(self, rule: &Rule, facts: &Facts<'_>) -> Held {
        let sources = |region| Held::of_all(facts.sources().map(|source| inside(region, source)));
        match self {
            Self::Action => Held::from_known(rule.actions.contains(&facts.action)),
            Self::Class if !rule.classes.is_empty() => of_class(&rule.classes, facts.carried),
            Self::Tags if !rule.tags.is_empty() => tagged(&rule.tags, facts.carried),
            Self::Apps if !rule.apps.is_empty() => listed(&rule.apps, facts.app),
            Self::Models if !rule.models.is_empty() => of_listed(&rule.models, facts.model),
            Self::Purpose if !rule.purposes.is_empty() => listed(&rule.purposes, facts.purpose),
            Self::NotControl if !rule.not_control.is_empty() => free_of(&rule.not_control, facts.control),
            Self::Class | Self::Tags | Self::Apps | Self::Models | Self::Purpose | Self::NotControl => Held::Surely,
            Self::Origin => rule.origin.as_ref().map_or(Held::Surely, sources),
            Self::OriginNot => rule.origin_not.as_ref().map_or(Held::Surely, |region| sources(region).negated()),
            Self::Target => rule.target.as_ref().map_or(Held::Surely, |region| inside(region, facts.target)),
            Self::TargetNot => {
                rule.target_not.as_ref().map_or(Held::Surely, |region| inside(region, facts.target).negated())
            }
            Self::Assurance => rule.assurance.map_or(Held::Surely, |least| Held::from_known(facts.assurance >= least)),
            Self::SameOperator => rule
                .same_operator
                .map_or(Held::Surely, |same| Held::from_known((facts.operators[0] == facts.operators[1]) == same)),
        }
    }
}

/// Whether none of these states can compel the operator. A state may be listed by a part of it, or known as a whole.
fn free_of(states: &[Jurisdiction], control: Option<&[Jurisdiction]>) -> Held {
    let Some(control) = control else { return Held::Perhaps };
    let named = |held: fn(Jurisdiction, Jurisdiction) -> bool| {
        control.iter().any(|state| states.iter().any(|listed| held(*state, *listed)))
    };
    if named(|state, listed| state.within(listed)) {
        Held::Not
    } else if named(|state, listed| listed.within(state) || state.is_unknown()) {
        Held::Perhaps
    } else {
        Held::Surely
    }
}
