//! Questions to the law alone: the index that decides about requests, and the oracle's second reading, asked the same.
//!
//! No core plays here and nothing is under way, so many more questions can be asked than in a storm. What is drawn is drawn
//! as there: laws, members, labels.

use std::sync::Arc;

use hither_core::policy::{Answer, Law, Matter as Asked, Target};
use hither_types::law::{LawAction, Policy};
use hither_types::place::PlaceKind;

use super::draw::{MODELS, Stock};
use super::oracle::{HOME, Matter, Reading, Standing};
use crate::chance::Chance;

/// Members that a law is asked about.
const MEMBERS: u8 = 12;

/// Requests that each law is asked about: each of them, by its origin, for every member and for home.
const MATTERS: usize = 24;

/// What came of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerReport {
    /// How many were asked.
    pub asked: u64,
    /// Of how many laws.
    pub laws: u64,
    /// How many the oracle finds lawful.
    pub lawful: u64,
    /// How many of them by the built-in rule.
    pub at_home: u64,
    /// How many were forbidden by a rule, by the index.
    pub forbidden: u64,
    /// How many answers differ: in yes or no, or in the permit.
    pub different: u64,
    /// The first of them.
    pub first: Vec<String>,
}

/// Asks both readings at least so many questions.
pub fn questions(seed: u64, most: u64) -> AnswerReport {
    questions_by(seed, most, Policy::clone)
}

/// The same, with other hands on the law that the index is given.
pub(super) fn questions_by(seed: u64, most: u64, law: fn(&Policy) -> Policy) -> AnswerReport {
    let stock = Stock::new();
    let mut chance = Chance::new(seed, 0);
    let mut report = AnswerReport::default();
    while report.asked < most {
        let mut policy = stock.policy(report.laws as u8, &mut chance);
        if chance.permille(300) {
            policy = stock.amended(&policy, 0, &mut chance);
        }
        report.laws += 1;
        ask(&stock, &policy, &Law::new(Arc::new(law(&policy))), &mut chance, &mut report);
    }
    report
}

fn ask(stock: &Stock, policy: &Policy, law: &Law, chance: &mut Chance, report: &mut AnswerReport) {
    let reading = Reading::of(policy, &stock.atlas);
    let members: Vec<_> = (0..MEMBERS).map(|index| stock.member(index, chance)).collect();
    let standings: Vec<_> = members.iter().map(|member| Standing::of(member, &stock.atlas)).collect();
    for _ in 0..MATTERS {
        let at = chance.below(u64::from(MEMBERS)) as usize;
        let (from, origin) = (&members[at], &standings[at]);
        let kind = stock.kind(from.jurisdiction, chance);
        let action = *chance.pick(&[LawAction::Infer, LawAction::Infer, LawAction::Replicate, LawAction::Export]);
        let model = &stock.models[chance.below(MODELS.len() as u64) as usize];
        let subjects: Vec<_> = kind.label.subjects.iter().map(|code| stock.atlas.may_be(*code)).collect();
        let matter = Matter { action, app: &kind.app, model, label: &kind.label, subjects: &subjects };
        let asked = law.about(Asked {
            action,
            app: &kind.app,
            model,
            label: &kind.label,
            origin: from.jurisdiction,
            operator: &from.operator,
        });
        for (member, standing) in members.iter().zip(&standings) {
            let is_home = member.node == from.node;
            let permits = reading.permits(&matter, origin, standing, is_home);
            let kind = if is_home { PlaceKind::Home } else { PlaceKind::Peer };
            let answer = asked.at(&Target::of(member, kind));
            report.asked += 1;
            report.lawful += u64::from(permits != 0);
            report.at_home += u64::from(permits & HOME != 0);
            report.forbidden += u64::from(matches!(answer, Answer::Forbidden(_)));
            let agree = match answer {
                Answer::Forbidden(_) | Answer::NotPermitted => permits == 0,
                Answer::Permitted(rule) if rule.as_str() == "local" => permits & HOME != 0,
                Answer::Permitted(rule) => {
                    stock.position(rule) == Some(permits.trailing_zeros() as usize) && permits & HOME == 0
                }
            };
            if !agree {
                report.different += 1;
                if report.first.len() < 4 {
                    report.first.push(format!("{answer:?}, and the oracle {permits:#x}, of {matter:?} by {policy:?}"));
                }
            }
        }
    }
}
