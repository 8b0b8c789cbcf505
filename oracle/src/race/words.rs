//! What the policy of the race says, for languages that are given its lists as data and its facts by name.

use hither_types::law::{LawAction, Rule};
use hither_types::place::{Assurance, Jurisdiction};

use crate::draw::Act;

/// Lists that rules name, each once.
#[derive(Debug, Default)]
pub(super) struct Lists(pub(super) Vec<Vec<String>>);

impl Lists {
    /// The number of a list.
    pub(super) fn number<T: ToString>(&mut self, items: &[T]) -> usize {
        let list: Vec<String> = items.iter().map(ToString::to_string).collect();
        let known = self.0.iter().position(|known| *known == list);
        known.unwrap_or_else(|| {
            self.0.push(list);
            self.0.len() - 1
        })
    }
}

/// How a language says one condition. The number is that of a list.
pub(super) trait Tongue {
    /// That a fact is this.
    fn is(&self, fact: &str, word: &str) -> String;
    /// That a fact is in a list.
    fn is_in(&self, fact: &str, list: usize) -> String;
    /// That it is not.
    fn is_not_in(&self, fact: &str, list: usize) -> String;
    /// That all of several are.
    fn all_in(&self, facts: &str, list: usize) -> String;
    /// That one of several is.
    fn any_in(&self, facts: &str, list: usize) -> String;
    /// That none of several is.
    fn none_in(&self, facts: &str, list: usize) -> String;
    /// That the model is this one or a version of it.
    fn model(&self, name: &str) -> String;
    /// That the assurance is no less than this.
    fn assured(&self, least: i64) -> String;
    /// That both operators are the same.
    fn one_operator(&self) -> String;
}

/// What a rule asks for. The race uses no more of the language than this.
pub(super) fn conditions(rule: &Rule, forbids: bool, lists: &mut Lists, tongue: &dyn Tongue) -> Vec<String> {
    let mut all = Vec::new();
    // What rules out most rules stands first, and one word is no list: every engine is quicker so.
    let mut one_of = |fact: &str, words: Vec<String>| match words.as_slice() {
        [] => {}
        [one] => all.push(tongue.is(fact, one)),
        several => all.push(tongue.is_in(fact, lists.number(several))),
    };
    one_of("app", rule.apps.iter().map(ToString::to_string).collect());
    if rule.actions.len() < LawAction::ALL.len() {
        one_of("action", rule.actions.iter().map(|action| action.as_str().to_owned()).collect());
    }
    one_of("class", rule.classes.iter().map(ToString::to_string).collect());
    one_of("purpose", rule.purposes.iter().map(ToString::to_string).collect());
    if !rule.tags.is_empty() {
        all.push(tongue.any_in("tags", lists.number(&rule.tags)));
    }
    all.extend(rule.models.iter().map(|model| tongue.model(model.as_str())));
    if let Some(region) = &rule.origin {
        let list = lists.number(&region.members);
        all.push(if forbids { tongue.any_in("sources", list) } else { tongue.all_in("sources", list) });
    }
    if let Some(region) = &rule.target {
        all.push(tongue.is_in("target", lists.number(&region.members)));
    }
    if let Some(region) = &rule.target_not {
        all.push(tongue.is_not_in("target", lists.number(&region.members)));
    }
    if !rule.not_control.is_empty() {
        all.push(tongue.none_in("control", lists.number(&rule.not_control)));
    }
    if let Some(least) = rule.assurance {
        all.push(tongue.assured(level(least)));
    }
    if rule.same_operator.is_some() {
        all.push(tongue.one_operator());
    }
    all
}

/// The number of a level.
pub(super) fn level(assurance: Assurance) -> i64 {
    match assurance {
        Assurance::Claimed => 0,
        Assurance::Vouched => 1,
        Assurance::Near => 2,
        Assurance::Hardware => 3,
    }
}

/// Facts that are texts.
pub(super) fn texts(act: &Act) -> Vec<(&'static str, String)> {
    vec![
        ("action", act.action.as_str().to_owned()),
        ("app", act.app.to_string()),
        ("model", act.model.to_string()),
        ("class", act.label.class.to_string()),
        ("purpose", act.label.purpose.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("target", act.target.jurisdiction.to_string()),
        ("operator", act.target.operator.to_string()),
        ("origin_operator", act.operator.to_string()),
    ]
}

/// Facts that are lists of texts.
pub(super) fn many(act: &Act) -> Vec<(&'static str, Vec<String>)> {
    let mut sources: Vec<Jurisdiction> =
        std::iter::once(act.origin).chain(act.label.subjects.iter().copied()).collect();
    sources.sort();
    sources.dedup();
    let control = act.target.control.iter().flatten();
    vec![
        ("tags", act.label.tags.iter().map(ToString::to_string).collect()),
        ("sources", sources.iter().map(ToString::to_string).collect()),
        ("control", control.map(ToString::to_string).collect()),
    ]
}
