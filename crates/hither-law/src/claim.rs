//! Claims: one sentence about what must never be permitted, read into the words of a forbid.
//!
//! ```text
//! [ACTIONS of] CLASSES|anything [tagged TAGS] [by APPS] [on MODELS] [for PURPOSES] [from [outside] PLACES] never …
//!     leaves PLACES | leaves its node | goes to PLACES | goes to another operator
//!     goes under STATES | goes below LEVEL | runs in PLACES | runs outside PLACES
//! ```
//!
//! Lists have commas and no blanks. Without actions, all of them are meant.

use hither_types::id::{AppName, ModelName, ParseIdError, Purpose, RuleId, Tag};
use hither_types::label::DataClass;
use hither_types::law::{Claim, HomeWork, LawAction, Policy, Rule};
use hither_types::place::{Assurance, Region};

use crate::lists::Lists;
use crate::places::{UNKNOWN_PLACE, region};
use crate::suggest::similar;

#[cfg(test)]
mod tests;

/// The longest claim.
const MAX_CLAIM: usize = 4096;

/// Why a sentence is no claim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClaimError {
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl ClaimError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

const EXAMPLE: &str = "\"special from ID never leaves ID\", or: hither policy prove --help";

/// Reads a claim about a policy, such as `special from ID never leaves ID`. It may name groups that the policy lists.
pub fn claim(text: &str, policy: &Policy) -> Result<Claim, ClaimError> {
    if text.len() > MAX_CLAIM {
        return Err(ClaimError::new(format!("a claim has at most {MAX_CLAIM} bytes"), EXAMPLE));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let Some(at) = words.iter().position(|word| *word == "never") else {
        return Err(ClaimError::new("a claim says what never happens, and there is no \"never\" in it", EXAMPLE));
    };
    let mut claim = Claim {
        written: words.join(" "),
        rule: Rule {
            id: RuleId::parse("claim").map_err(|_| ClaimError::new("the claim has no name", EXAMPLE))?,
            actions: LawAction::ALL.to_vec(),
            classes: Vec::new(),
            tags: Vec::new(),
            apps: Vec::new(),
            models: Vec::new(),
            purposes: Vec::new(),
            origin: None,
            origin_not: None,
            target: None,
            target_not: None,
            not_control: Vec::new(),
            assurance: None,
            same_operator: None,
        },
        home: HomeWork::Aside,
        compelled_by: Vec::new(),
        below: None,
    };
    let lists = &Lists::of(policy);
    what(&words[..at], &mut claim.rule, lists)?;
    never(&words[at + 1..], &mut claim, lists)?;
    Ok(claim)
}

/// What is before "never".
fn what(words: &[&str], rule: &mut Rule, lists: &Lists<'_>) -> Result<(), ClaimError> {
    let rest = match words {
        [actions, "of", rest @ ..] => {
            rule.actions = each(actions, "an action", &LawAction::ALL.map(|action| (action.as_str(), action)))?;
            rest
        }
        all => all,
    };
    let [classes, rest @ ..] = rest else {
        let help = format!("begin with public, internal, personal, special, secret or anything: {EXAMPLE}");
        return Err(ClaimError::new("the claim does not say of which data it speaks", help));
    };
    if *classes != "anything" {
        rule.classes = each(classes, "a class of data", &DataClass::ALL.map(|class| (class.as_str(), class)))?;
    }
    let mut rest = rest;
    while !rest.is_empty() {
        rest = match rest {
            ["from", "outside", list, rest @ ..] if rule.origin_not.is_none() => {
                rule.origin_not = Some(places(list, lists)?);
                rest
            }
            ["from", list, rest @ ..] if rule.origin.is_none() => {
                rule.origin = Some(places(list, lists)?);
                rest
            }
            ["tagged", list, rest @ ..] if rule.tags.is_empty() => {
                rule.tags = named(list, Tag::parse)?;
                rest
            }
            ["by", list, rest @ ..] if rule.apps.is_empty() => {
                rule.apps = named(list, AppName::parse)?;
                rest
            }
            ["on", list, rest @ ..] if rule.models.is_empty() => {
                rule.models = named(list, ModelName::parse)?;
                rest
            }
            ["for", list, rest @ ..] if rule.purposes.is_empty() => {
                rule.purposes = named(list, Purpose::parse)?;
                rest
            }
            other => return Err(lost(other, "tagged, by, on, for, from or never")),
        };
    }
    Ok(())
}

/// What is behind it.
fn never(words: &[&str], claim: &mut Claim, lists: &Lists<'_>) -> Result<(), ClaimError> {
    match words {
        ["leaves", "its", "node"] => {}
        ["leaves", list] => claim.rule.target_not = Some(places(list, lists)?),
        ["goes", "to", "another", "operator"] => claim.rule.same_operator = Some(false),
        ["goes", "to", list] => claim.rule.target = Some(places(list, lists)?),
        ["goes", "under", list] => claim.compelled_by = places(list, lists)?.members,
        ["goes", "below", level] => claim.below = Some(assurance(level)?),
        ["runs", "in", list] => {
            claim.home = HomeWork::Counts;
            claim.rule.target = Some(places(list, lists)?);
        }
        ["runs", "outside", list] => {
            claim.home = HomeWork::Counts;
            claim.rule.target_not = Some(places(list, lists)?);
        }
        other => {
            let wanted = "leaves PLACES, leaves its node, goes to PLACES, goes to another operator, goes under STATES, \
                          goes below LEVEL, runs in PLACES or runs outside PLACES";
            return Err(lost(other, wanted));
        }
    }
    Ok(())
}

fn lost(words: &[&str], wanted: &str) -> ClaimError {
    let found = match words.first() {
        Some(_) => format!("\"{}\" makes no sense there", shown(&words.join(" "))),
        None => "the claim ends too early".to_owned(),
    };
    ClaimError::new(found, format!("write {wanted}; lists have commas and no blanks between"))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
}

fn each<T: Copy>(list: &str, what: &str, choices: &[(&'static str, T)]) -> Result<Vec<T>, ClaimError> {
    let one = |word: &str| {
        let found = choices.iter().find(|(name, _)| *name == word).map(|(_, choice)| *choice);
        found.ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let help = match similar(&word.to_lowercase(), names.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("write one of {}", names.join(", ")),
            };
            ClaimError::new(format!("{:?} is not {what}", shown(word)), help)
        })
    };
    items(list).map(one).collect()
}

fn named<T>(list: &str, parse: fn(&str) -> Result<T, ParseIdError>) -> Result<Vec<T>, ClaimError> {
    let one = |word: &str| {
        parse(word).map_err(|error| {
            let help = format!("write {}", error.expected);
            ClaimError::new(format!("{:?} is not a name that can stand there", shown(word)), help)
        })
    };
    items(list).map(one).collect()
}

fn places(list: &str, lists: &Lists<'_>) -> Result<Region, ClaimError> {
    if items(list).any(|place| place == UNKNOWN_PLACE) {
        let message =
            "\"ZZ\" stands for a place that nobody knows, and a claim counts such a place as any place already";
        return Err(ClaimError::new(message, "name the countries that you mean"));
    }
    region(items(list), lists)
        .map_err(|(_, error)| ClaimError::new(format!("{:?} is not a jurisdiction", error.found), error.help()))
}

fn assurance(word: &str) -> Result<Assurance, ClaimError> {
    match word {
        "1" => Ok(Assurance::Vouched),
        "2" => Ok(Assurance::Near),
        "3" => Ok(Assurance::Hardware),
        _ => Err(ClaimError::new(
            format!("{:?} is not a level of assurance below which a place can be", shown(word)),
            "write 1 (vouched), 2 (near) or 3 (hardware)",
        )),
    }
}
