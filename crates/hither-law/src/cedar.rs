//! A policy in the words of Cedar, for those who have tools for it.
//!
//! The answers are the same for every question that nodes ask. What the evaluator calls "surely" and "perhaps" is written
//! out: a permit asks for what is sure, a forbid for what is not ruled out, so that neither needs a third truth. Cedar has
//! no "for each", so data name their countries, and the codes in each country, as sets and as tags of the entity.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write as _};

use hither_types::id::ModelName;
use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::place::{Assurance, Jurisdiction, Region};

use crate::places::UNKNOWN_PLACE;

/// What requests look like; the same for every policy.
pub const CEDAR_SCHEMA: &str = include_str!("cedar/schema.cedarschema");

/// How a request is put to Cedar.
const HEAD: &str = include_str!("cedar/head.txt");

/// What is permitted without a rule.
const BUILT_IN: &str = include_str!("cedar/built-in.cedar");

/// So many words of a list stand on a line.
const LIST_LINE: usize = 14;

/// Which of the two questions a constraint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    /// It must hold for certain, and for all.
    Permit,
    /// It must not be ruled out.
    Forbid,
}

/// Writes the policy as a set of Cedar policies, valid under [`CEDAR_SCHEMA`]. Each has the id of its rule as `@id`.
pub fn cedar(policy: &Policy) -> String {
    let mut out = format!("// Hither policy version {}, b3:{}.\n//\n", policy.version, policy.digest);
    if !policy.blocs.is_empty() {
        let _ = write!(out, "// Its groups of countries are those of {}", policy.day);
        match policy.turns().into_iter().find(|turn| *turn > policy.day) {
            Some(turn) => _ = writeln!(out, "; they change on {turn}: export it anew then.\n//"),
            None => out.push_str(".\n//\n"),
        }
    }
    for line in HEAD.lines() {
        out.push_str(if line.is_empty() { "//" } else { "// " });
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(BUILT_IN);
    policy.permits.iter().for_each(|rule| out.push_str(&permit(rule)));
    policy.forbids.iter().for_each(|rule| out.push_str(&written(rule, Effect::Forbid, &rule.actions)));
    out
}

/// A permit. A connection over a relay carries data of all kinds, so only one that speaks of all of them is about relays.
fn permit(rule: &Rule) -> String {
    let of_all_classes = DataClass::ALL.iter().all(|class| rule.classes.contains(class));
    let speaks_of_all = (rule.classes.is_empty() || of_all_classes)
        && rule.tags.is_empty()
        && rule.apps.is_empty()
        && rule.models.is_empty()
        && rule.purposes.is_empty();
    let counts = |action: &LawAction| *action != LawAction::Relay || speaks_of_all;
    let actions: Vec<LawAction> = rule.actions.iter().copied().filter(counts).collect();
    if actions.is_empty() {
        return format!(
            "\n// {} permits nothing: a relay carries data of all kinds, and it does not speak of all.\n",
            rule.id
        );
    }
    written(rule, Effect::Permit, &actions)
}

fn written(rule: &Rule, effect: Effect, actions: &[LawAction]) -> String {
    let mut of_data = data(rule, effect);
    // Of relays, only what a forbid says of places counts.
    if effect == Effect::Forbid && actions.contains(&LawAction::Relay) {
        let ignored = |condition: String| format!("action == Hither::Action::\"relay\" || ({condition})");
        of_data = if actions == [LawAction::Relay] { Vec::new() } else { of_data.into_iter().map(ignored).collect() };
    }
    let word = if effect == Effect::Permit { "permit" } else { "forbid" };
    let conditions = of_data.into_iter().chain(places(rule, effect));
    let when: String = conditions.map(|condition| format!("\nwhen {{ {condition} }}")).collect();
    format!("\n@id(\"{}\")\n{word} (principal, {}, resource){when};\n", rule.id, scope(actions))
}

fn scope(actions: &[LawAction]) -> String {
    let named: BTreeSet<LawAction> = actions.iter().copied().collect();
    if named.len() == LawAction::ALL.len() {
        return "action".to_owned();
    }
    let named: Vec<String> = named.iter().map(|action| format!("Hither::Action::\"{}\"", action.as_str())).collect();
    match named.as_slice() {
        [one] => format!("action == {one}"),
        several => format!("action in [{}]", several.join(", ")),
    }
}

/// What is said of the data and of what is done with them.
fn data(rule: &Rule, effect: Effect) -> Vec<String> {
    let mut all = Vec::new();
    if !rule.classes.is_empty() {
        all.push(format!("{}.contains(principal.class)", list(&rule.classes)));
    }
    if !rule.tags.is_empty() {
        all.push(format!("{}.containsAny(principal.tags)", list(&rule.tags)));
    }
    if !rule.apps.is_empty() {
        all.push(known(effect, "context", "app", &format!("{}.contains(context.app)", list(&rule.apps))));
    }
    if !rule.models.is_empty() {
        all.push(known(effect, "context", "model", &models(&rule.models)));
    }
    if !rule.purposes.is_empty() {
        all.push(known(effect, "context", "purpose", &format!("{}.contains(context.purpose)", list(&rule.purposes))));
    }
    all
}

/// What is not known is not enough for a permit, and no way around a forbid.
fn known(effect: Effect, of: &str, fact: &str, condition: &str) -> String {
    let unknown = effect == Effect::Forbid;
    format!("if {of} has {fact} then {condition} else {unknown}")
}

/// A model, or what stands behind its name and a colon: a version of it.
fn models(models: &[ModelName]) -> String {
    let each = |model: &ModelName| format!("context.model == \"{model}\" || context.model like \"{model}:*\"");
    format!("({})", models.iter().map(each).collect::<Vec<_>>().join(" || "))
}

/// What is said of where data come from, and of where they would go.
fn places(rule: &Rule, effect: Effect) -> Vec<String> {
    let mut all = Vec::new();
    let split = |region: &Region| Split::of(&region.members);
    if let Some(region) = rule.origin.as_ref().map(split) {
        all.push(match effect {
            Effect::Permit => region.holds_all(),
            Effect::Forbid => region.may_hold("Any", "principal.from.countries", "principal.from.codes"),
        });
    }
    if let Some(region) = rule.origin_not.as_ref().map(split) {
        all.push(match effect {
            Effect::Permit => {
                format!("!({})", region.may_hold("Any", "principal.from.countries", "principal.from.codes"))
            }
            Effect::Forbid => format!("!({})", region.holds_all()),
        });
    }
    if let Some(region) = rule.target.as_ref().map(split) {
        all.push(match effect {
            Effect::Permit => region.holds("", "resource.country", "resource.code"),
            Effect::Forbid => region.may_hold("", "resource.country", "resource.code"),
        });
    }
    if let Some(region) = rule.target_not.as_ref().map(split) {
        all.push(match effect {
            Effect::Permit => format!("!({})", region.may_hold("", "resource.country", "resource.code")),
            Effect::Forbid => format!("!({})", region.holds("", "resource.country", "resource.code")),
        });
    }
    if !rule.not_control.is_empty() {
        let states = Split::of(&rule.not_control);
        let (countries, codes) = ("resource.control.countries", "resource.control.codes");
        let free = match effect {
            Effect::Permit => format!("!({})", states.may_hold("Any", countries, codes)),
            Effect::Forbid => format!("!({})", states.holds("Any", countries, codes)),
        };
        all.push(known(effect, "resource", "control", &free));
    }
    if let Some(least) = rule.assurance {
        all.push(format!("resource.assurance >= {}", level(least)));
    }
    if let Some(same) = rule.same_operator {
        all.push(format!("principal.operator {} resource.operator", if same { "==" } else { "!=" }));
    }
    all
}

fn level(assurance: Assurance) -> u8 {
    match assurance {
        Assurance::Claimed => 0,
        Assurance::Vouched => 1,
        Assurance::Near => 2,
        Assurance::Hardware => 3,
    }
}

/// A region as Cedar can test it.
struct Split {
    /// Countries that are in it as a whole.
    countries: BTreeSet<String>,
    /// Countries of which only parts are in it, and these parts.
    parts: BTreeMap<String, BTreeSet<String>>,
}

impl Split {
    fn of(members: &[Jurisdiction]) -> Self {
        let (countries, parts): (Vec<_>, Vec<_>) =
            members.iter().copied().partition(|place: &Jurisdiction| *place == place.country());
        let countries: BTreeSet<String> = countries.iter().map(ToString::to_string).collect();
        let mut split = Self { countries, parts: BTreeMap::new() };
        for part in parts {
            let country = part.country().to_string();
            if !split.countries.contains(&country) {
                split.parts.entry(country).or_default().insert(part.to_string());
            }
        }
        split
    }

    fn part_codes(&self) -> impl Iterator<Item = &String> {
        self.parts.values().flatten()
    }

    /// That a place is inside for certain, or one of several ("Any").
    fn holds(&self, any: &str, countries: &str, codes: &str) -> String {
        either(any, (&self.countries, countries), (&self.part_codes().cloned().collect(), codes))
    }

    /// That a place may be inside: it is, or nobody knows it, or only its country is known, and a part of that is inside.
    fn may_hold(&self, any: &str, countries: &str, codes: &str) -> String {
        let mut whole = self.countries.clone();
        whole.insert(UNKNOWN_PLACE.to_owned());
        let named = self.part_codes().chain(self.parts.keys()).cloned().collect();
        either(any, (&whole, countries), (&named, codes))
    }

    /// That everything the data come from or concern is inside for certain.
    fn holds_all(&self) -> String {
        let countries: BTreeSet<&String> = self.countries.iter().chain(self.parts.keys()).collect();
        if countries.is_empty() {
            return "false".to_owned();
        }
        let mut all = format!("{}.containsAll(principal.from.countries)", list(&countries));
        for (country, parts) in &self.parts {
            let parts = list(parts);
            let _ = write!(
                all,
                " && (if principal.hasTag(\"{country}\") then {parts}.containsAll(principal.getTag(\"{country}\")) else true)"
            );
        }
        all
    }
}

/// That one of two lists has what stands beside it. Cedar knows no empty list in a policy, so one that is empty is left out.
fn either(any: &str, first: (&BTreeSet<String>, &str), second: (&BTreeSet<String>, &str)) -> String {
    let stated = [first, second].into_iter().filter(|(listed, _)| !listed.is_empty());
    let stated: Vec<String> = stated.map(|(listed, fact)| format!("{}.contains{any}({fact})", list(listed))).collect();
    if stated.is_empty() { "false".to_owned() } else { stated.join(" || ") }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| format!("\"{item}\"")).collect();
    if items.len() <= LIST_LINE {
        return format!("[{}]", items.join(", "));
    }
    let lines: Vec<String> = items.chunks(LIST_LINE).map(|line| format!("\n    {}", line.join(", "))).collect();
    format!("[{}\n  ]", lines.join(","))
}
