//! The index says what the rules say one by one: drawn policies of all sizes, and questions in which values collide.

use std::sync::Arc;

use hither_types::id::{AppName, ModelName, Operator, Purpose, Tag};
use hither_types::label::{DataClass, Label};
use hither_types::law::{LawAction, Policy, Question, Rule, Verdict};
use hither_types::place::{Assurance, Jurisdiction, PlaceFacts, PlaceKind, Region};

use super::{Answer, Law, Matter, Target};
use crate::policy::judge;
use crate::policy::tests::{place, policy, rule};
use crate::random::Random;

pub(in crate::policy) const PLACES: [&str; 12] =
    ["DE", "DE-BY", "DE-BW", "DE-NW", "FR", "US", "US-CA", "US-NY", "CN", "ID", "ZZ", "AA"];
const CLASSES: [DataClass; 5] = DataClass::ALL;
pub(in crate::policy) const LEVELS: [Assurance; 4] =
    [Assurance::Claimed, Assurance::Vouched, Assurance::Near, Assurance::Hardware];
const TAGS: [&str; 3] = ["phi", "child", "pci"];
const PURPOSES: [&str; 3] = ["care", "billing", "care-2"];
pub(in crate::policy) const OPERATORS: [&str; 3] = ["acme", "acme-2", "globex"];
/// Names that are each other's beginnings, shorter and longer than what they are found by.
pub(in crate::policy) const APPS: [&str; 8] =
    ["a", "chat", "customer-portal", "customer-portal-2", "customer", "customer-portal-1", "triage", "zz"];
pub(in crate::policy) const MODELS: [&str; 9] =
    ["fraud", "fraud:2", "fraud:2:a", "fraud-2", "fraud-2:1", "summaries", "summaries:2", "frau", "fraud:"];

/// Drawn policies, and questions to them.
pub(in crate::policy) struct Draw(pub(in crate::policy) Random);

impl Draw {
    pub(in crate::policy) fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    pub(in crate::policy) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// None, or one to three of several; some of them twice.
    fn some<T: Copy>(&mut self, of: &[T], percent: usize) -> Vec<T> {
        if self.below(100) >= percent {
            return Vec::new();
        }
        (0..1 + self.below(3)).map(|_| self.one(of)).collect()
    }

    fn region(&mut self, percent: usize) -> Option<Region> {
        let mut members: Vec<Jurisdiction> = self.some(&PLACES[..11], percent).into_iter().map(place).collect();
        members.sort();
        members.dedup();
        (!members.is_empty()).then(|| Region { written: members.iter().map(ToString::to_string).collect(), members })
    }

    /// A rule. `percent` is how often it asks for a fact.
    fn rule(&mut self, id: &str, percent: usize) -> Rule {
        let names = |draw: &mut Self, of: &[&'static str], percent| draw.some(of, percent);
        let mut drawn = rule(id);
        drawn.actions = if self.below(3) == 0 { self.some(&LawAction::ALL, 100) } else { LawAction::ALL.to_vec() };
        drawn.classes = self.some(&CLASSES, percent);
        drawn.tags = names(self, &TAGS, percent / 2).into_iter().map(|tag| Tag::parse(tag).unwrap()).collect();
        drawn.apps = names(self, &APPS[..6], percent).into_iter().map(|app| AppName::parse(app).unwrap()).collect();
        drawn.models =
            names(self, &MODELS[..7], percent).into_iter().map(|name| ModelName::parse(name).unwrap()).collect();
        drawn.purposes =
            names(self, &PURPOSES[..2], percent / 2).into_iter().map(|p| Purpose::parse(p).unwrap()).collect();
        (drawn.origin, drawn.origin_not) = (self.region(percent), self.region(percent / 2));
        (drawn.target, drawn.target_not) = (self.region(percent), self.region(percent / 2));
        drawn.not_control = self.some(&PLACES, percent).into_iter().map(place).collect();
        drawn.assurance = (self.below(100) < percent).then(|| self.one(&LEVELS));
        drawn.same_operator = (self.below(100) < percent / 2).then(|| self.below(2) == 0);
        drawn
    }

    /// A policy: a few rules, none, or so many that they fill several blocks, with the end of the forbids anywhere.
    pub(in crate::policy) fn policy(&mut self) -> Policy {
        let most = self.one(&[4, 4, 4, 12, 70, 150]);
        let percent = if most > 60 { 45 } else { 25 };
        let (permits, forbids) = (self.below(most + 1), self.below(most + 1) / self.one(&[1, 3]));
        let permits = (0..permits).map(|number| self.rule(&format!("permit-{number}"), percent)).collect();
        let forbids = (0..forbids).map(|number| self.rule(&format!("forbid-{number}"), percent + 25)).collect();
        policy(permits, forbids)
    }

    pub(in crate::policy) fn label(&mut self) -> Label {
        let purpose = (self.below(2) == 0).then(|| Purpose::parse(self.one(&PURPOSES)).unwrap());
        Label {
            class: self.one(&CLASSES),
            tags: self.some(&TAGS, 40).into_iter().map(|tag| Tag::parse(tag).unwrap()).collect(),
            subjects: self.some(&PLACES, 80).into_iter().map(place).collect(),
            purpose,
        }
    }

    pub(in crate::policy) fn facts(&mut self) -> PlaceFacts {
        let control = self.some(&PLACES, 70).into_iter().map(place).collect();
        PlaceFacts {
            node: None,
            site: None,
            jurisdiction: place(self.one(&PLACES)),
            control: (self.below(5) != 0).then_some(control),
            operator: Operator::parse(self.one(&OPERATORS)).unwrap(),
            assurance: self.one(&LEVELS),
        }
    }
}

/// Asks both about so many matters, each at several places, and counts what was said.
fn compare(seed: u64, policies: usize) -> [usize; 3] {
    let mut draw = Draw(Random::new(seed));
    let mut said = [0; 3];
    for _ in 0..policies {
        let law = Law::new(Arc::new(draw.policy()));
        for _ in 0..20 {
            let (app, model) = (AppName::parse(draw.one(&APPS)).unwrap(), ModelName::parse(draw.one(&MODELS)).unwrap());
            let (label, operator) = (draw.label(), Operator::parse(draw.one(&OPERATORS)).unwrap());
            let (action, origin) = (draw.one(&LawAction::ALL), place(draw.one(&PLACES)));
            let matter = Matter { action, app: &app, model: &model, label: &label, origin, operator: &operator };
            let asked = law.about(matter);
            for _ in 0..3 {
                let (facts, kind) =
                    (draw.facts(), draw.one(&[PlaceKind::Home, PlaceKind::Peer, PlaceKind::Peer, PlaceKind::Cloud]));
                let question = Question {
                    action,
                    app: &app,
                    model: &model,
                    label: &label,
                    origin,
                    origin_operator: &operator,
                    target: &facts,
                    kind,
                };
                let (expected, target) = (judge(law.policy(), &question), Target::new(&facts, kind));
                assert_eq!(asked.judge(&target), expected, "{question:#?} {:#?}", law.policy());
                let answer = asked.at(&target);
                said[match (&expected, answer) {
                    (Verdict::Permitted(rule), Answer::Permitted(same)) if rule == same => 0,
                    (Verdict::Denied(_), Answer::Forbidden(_)) => 1,
                    (Verdict::Denied(_), Answer::NotPermitted) => 2,
                    other => panic!("{other:?}"),
                }] += 1;
            }
        }
    }
    said
}

#[test]
fn the_index_says_what_the_rules_say_one_by_one_on_drawn_policies() {
    let [permitted, forbidden, by_default] = compare(1, 3_000);
    assert!(permitted.min(forbidden).min(by_default) > 20_000, "dull: {permitted} {forbidden} {by_default}");
}

#[test]
fn a_law_without_rules_permits_work_at_home_alone() {
    let law = Law::new(Arc::new(policy(vec![], vec![])));
    let (app, model) = (AppName::parse("chat").unwrap(), ModelName::parse("small").unwrap());
    let (mut draw, operator) = (Draw(Random::new(2)), Operator::parse("acme").unwrap());
    let (label, facts) = (draw.label(), draw.facts());
    for action in LawAction::ALL {
        let origin = place("DE");
        let asked = law.about(Matter { action, app: &app, model: &model, label: &label, origin, operator: &operator });
        let said = |kind| matches!(asked.at(&Target::new(&facts, kind)), Answer::Permitted(_));
        let local = !matches!(action, LawAction::Relay | LawAction::Replicate | LawAction::Export);
        assert_eq!((said(PlaceKind::Home), said(PlaceKind::Peer)), (local, false), "{action:?}");
    }
}
