//! The near miss: what would have permitted what is denied, and what is in the way, in words.

use std::fmt;

use hither_types::law::{FailedField, NearMiss, Policy, Rule};
use hither_types::place::{Assurance, Jurisdiction, Region};

use super::{Carried, Facts, Field, Held, inside};

/// The permit that came closest. One that speaks of other actions is not close: naming it would help nobody.
pub(super) fn near_miss(policy: &Policy, facts: &Facts<'_>) -> Option<NearMiss> {
    let mut nearest: Option<(&Rule, usize)> = None;
    for rule in policy.permits.iter().filter(|rule| rule.actions.contains(&facts.action)) {
        // Only fewer are better, so that the first in the file stays; what has as many is not counted to its end.
        let most = nearest.map_or(usize::MAX, |(_, fewest)| fewest);
        let failed = Field::ALL.iter().filter(|field| field.test(rule, facts) != Held::Surely).take(most).count();
        if failed < most {
            nearest = Some((rule, failed));
        }
    }
    let (rule, _) = nearest?;
    let failed: Vec<FailedField> = Field::ALL
        .iter()
        .filter(|field| field.test(rule, facts) != Held::Surely)
        .map(|field| field.describe(rule, facts))
        .collect();
    debug_assert!(!failed.is_empty(), "a permit without a failed field would have permitted");
    Some(NearMiss { rule: rule.id.clone(), failed })
}

impl Field {
    /// What the rule wants and what it met. The words fit into "found is not in wanted".
    fn describe(self, rule: &Rule, facts: &Facts<'_>) -> FailedField {
        let (wanted, found) = match self {
            Self::Action => (list(rule.actions.iter().map(|a| a.as_str())), facts.action.as_str().to_owned()),
            Self::Class => (list(&rule.classes), class(facts.carried)),
            Self::Tags => (list(&rule.tags), tags(facts.carried)),
            Self::Apps => (list(&rule.apps), known(facts.app)),
            Self::Models => (list(&rule.models), known(facts.model)),
            Self::Purpose => (list(&rule.purposes), known(facts.purpose)),
            Self::Origin => (written(rule.origin.as_ref()), offenders(facts, rule.origin.as_ref(), Held::Surely)),
            Self::OriginNot => (
                format!("the places outside {}", written(rule.origin_not.as_ref())),
                offenders(facts, rule.origin_not.as_ref(), Held::Not),
            ),
            Self::Target => (written(rule.target.as_ref()), facts.target.to_string()),
            Self::TargetNot => {
                (format!("the places outside {}", written(rule.target_not.as_ref())), facts.target.to_string())
            }
            Self::NotControl => (
                format!("the operators that none of {} can compel", list(&rule.not_control)),
                facts.control.map_or_else(
                    || "an operator of unknown control".to_owned(),
                    |control| format!("an operator under {}", list(control)),
                ),
            ),
            Self::Assurance => (
                rule.assurance.map_or_else(String::new, |least| format!("the levels from {} up", level(least))),
                level(facts.assurance).to_owned(),
            ),
            Self::SameOperator => (
                match rule.same_operator {
                    Some(false) => "transfers between two operators".to_owned(),
                    Some(true) | None => "transfers within one operator".to_owned(),
                },
                facts.operators.join(" to "),
            ),
        };
        FailedField { field: self.name(), wanted, found }
    }
}

fn class(carried: Carried<'_>) -> String {
    match carried {
        Carried::One { class, .. } => class.to_string(),
        Carried::Everything => "data of all classes".to_owned(),
    }
}

fn tags(carried: Carried<'_>) -> String {
    match carried {
        Carried::One { tags, .. } => list(tags),
        Carried::Everything => "data of all tags".to_owned(),
    }
}

pub(super) fn level(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Claimed => "0 (claimed)",
        Assurance::Vouched => "1 (vouched)",
        Assurance::Near => "2 (near)",
        Assurance::Hardware => "3 (hardware)",
    }
}

fn known(fact: Option<&impl fmt::Display>) -> String {
    fact.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

/// A list as the policy language writes it.
pub(super) fn list<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}

fn written(region: Option<&Region>) -> String {
    region.map_or_else(String::new, |region| list(&region.written))
}

/// The origin and the subjects that are not where the rule wants all of them.
fn offenders(facts: &Facts<'_>, region: Option<&Region>, wanted: Held) -> String {
    let offends = |place: Jurisdiction| region.is_some_and(|region| inside(region, place) != wanted);
    let mut found = Vec::new();
    if offends(facts.origin) {
        found.push(format!("{} (origin)", facts.origin));
    }
    for subject in facts.subjects {
        let text = format!("{subject} (subject)");
        if offends(*subject) && !found.contains(&text) {
            found.push(text);
        }
    }
    found.join(", ")
}
