//! Cases of the law for people and for machines.

use std::collections::BTreeSet;

use hither_node::law::{Cell, Part, Ruling};
use hither_types::law::{LawAction, Rule};
use hither_types::place::{Assurance, Jurisdiction};
use serde_json::{Value, json};

use super::places;

/// The width of a screen.
pub(super) const COLUMNS: usize = 80;

/// One case: what matters of it, as label and text.
pub(super) fn lines(cell: &Cell, world: &BTreeSet<Jurisdiction>) -> Vec<(&'static str, String)> {
    let mut lines = vec![("data", data(cell)), ("from", sources(cell))];
    let others: BTreeSet<Jurisdiction> = cell.targets.iter().copied().collect();
    let (first, words) = (places::one(cell.target), places::few(&others, world));
    let target = match () {
        () if cell.at_home => format!("{first}, on the node that it entered"),
        () if words.contains(&first) => words.join(" or "),
        () if words.iter().all(|word| word.starts_with(&first)) => words.join(" or "),
        () => format!("{first}; the same for {}", words.join(" or ")),
    };
    lines.push(("to", target));
    lines.extend(parts(&[cell], world));
    lines
}

fn data(cell: &Cell) -> String {
    match cell.action {
        LawAction::Relay => "ciphertext of requests of every class".to_owned(),
        LawAction::Replicate => "a model\u{2019}s weights".to_owned(),
        _ => format!("{} data", cell.class),
    }
}

fn sources(cell: &Cell) -> String {
    let mut text = places::one(cell.origin);
    let others: Vec<String> =
        cell.subjects.iter().filter(|subject| **subject != cell.origin).map(|subject| places::one(*subject)).collect();
    if !others.is_empty() && cell.action != LawAction::Replicate {
        text.push_str(&format!(", concerning people in {}", others.join(", ")));
    }
    text
}

/// A case in half a sentence.
pub(super) fn short(cell: &Cell) -> String {
    let home = if cell.at_home { ", on the node that it entered" } else { "" };
    format!("{} from {} at {}{home}", data(cell), sources(cell), places::one(cell.target))
}

/// Every fact beside data and places that makes a difference, with its label and all that is alike.
pub(super) fn parts(cells: &[&Cell], world: &BTreeSet<Jurisdiction>) -> Vec<(&'static str, String)> {
    fn told<'c, T: Ord + 'c>(
        cells: &[&'c Cell],
        part: Part,
        of: impl Fn(&'c Cell) -> &'c [T],
        word: impl Fn(&T) -> String,
    ) -> Option<String> {
        let matters = !cells.iter().any(|cell| cell.any.contains(&part));
        let values: BTreeSet<&T> = cells.iter().flat_map(|cell| of(cell)).collect();
        matters.then(|| values.into_iter().map(word).collect::<Vec<_>>().join(" or "))
    }
    let tags = told(
        cells,
        Part::Tags,
        |cell| &cell.tag_sets,
        |tags| match tags.as_slice() {
            [] => "none".to_owned(),
            tags => tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "),
        },
    );
    let purpose = told(
        cells,
        Part::Purpose,
        |cell| &cell.purposes,
        |purpose| purpose.as_ref().map_or_else(|| "none stated".to_owned(), ToString::to_string),
    );
    let operator = told(
        cells,
        Part::Operator,
        |cell| &cell.operators,
        |same| if *same { "the same" } else { "another" }.to_owned(),
    );
    let control = (!cells.iter().any(|cell| cell.any.contains(&Part::Control))).then(|| control(cells, world));
    [
        ("tags", tags),
        ("app", told(cells, Part::App, |cell| &cell.apps, ToString::to_string)),
        ("model", told(cells, Part::Model, |cell| &cell.models, ToString::to_string)),
        ("purpose", purpose),
        ("control", control),
        ("assurance", told(cells, Part::Assurance, |cell| &cell.assurances, |level| levelled(*level).to_owned())),
        ("operator", operator),
    ]
    .into_iter()
    .filter_map(|(label, text)| Some((label, text?)))
    .collect()
}

/// Who can compel the operators of the targets.
fn control(cells: &[&Cell], world: &BTreeSet<Jurisdiction>) -> String {
    let all = || cells.iter().flat_map(|cell| &cell.controls);
    let single = |states: &Option<Vec<Jurisdiction>>| match states.as_deref() {
        Some([state]) => Some(*state),
        _ => None,
    };
    let mut words = Vec::new();
    if all().any(Option::is_none) {
        words.push("unknown".to_owned());
    }
    if all().flatten().any(Vec::is_empty) {
        words.push("nobody".to_owned());
    }
    let states: BTreeSet<Jurisdiction> = all().filter_map(single).collect();
    if !states.is_empty() {
        words.push(places::few(&states, world).join(", ").replace("anywhere", "any state"));
    }
    if words.is_empty() {
        let several =
            all().flatten().next().map(|states| states.iter().map(|state| places::one(*state)).collect::<Vec<_>>());
        words.push(several.unwrap_or_default().join(" and "));
    }
    words.join(" or ")
}

fn levelled(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::Claimed => "0 (claimed)",
        Assurance::Vouched => "1 (vouched)",
        Assurance::Near => "2 (near)",
        Assurance::Hardware => "3 (hardware)",
    }
}

/// What a policy says of a case.
pub(super) fn said(ruling: &Ruling) -> String {
    match ruling {
        Ruling::Permitted(rule) => format!("permitted by {rule}"),
        Ruling::Forbidden(rule) => format!("forbidden by {rule}"),
        Ruling::NotPermitted => "permitted by no rule".to_owned(),
    }
}

/// What a rule asks for beside action, class, origin and target, in the words of the language.
pub(super) fn conditions(rule: &Rule) -> Vec<String> {
    fn list<T: ToString>(name: &str, items: &[T]) -> Option<String> {
        let items: Vec<String> = items.iter().map(|item| format!("\"{}\"", item.to_string())).collect();
        (!items.is_empty()).then(|| format!("{name} = [{}]", items.join(", ")))
    }
    let assurance = rule.assurance.map(|least| format!("assurance = {}", least as u8));
    let operator = rule.same_operator.map(|same| format!("same_operator = {same}"));
    [
        list("tags", &rule.tags),
        list("apps", &rule.apps),
        list("models", &rule.models),
        list("purpose", &rule.purposes),
        list("not_control", &rule.not_control),
        assurance,
        operator,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A case for a machine.
pub(super) fn object(cell: &Cell) -> Value {
    let codes = |places: &[Jurisdiction]| places.iter().map(ToString::to_string).collect::<Vec<_>>();
    let any: Vec<String> = cell.any.iter().map(|part| format!("{part:?}").to_lowercase()).collect();
    json!({
        "action": cell.action.as_str(), "class": cell.class.as_str(), "at_home": cell.at_home,
        "origin": cell.origin.to_string(), "subjects": codes(&cell.subjects), "target": cell.target.to_string(),
        "tags": cell.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "app": cell.app.to_string(), "model": cell.model.to_string(),
        "purpose": cell.purpose.as_ref().map(ToString::to_string),
        "control": cell.control.as_deref().map(codes), "assurance": cell.assurance as u8,
        "same_operator": cell.same_operator, "any": any,
        "targets": codes(&cell.targets), "origins": codes(&cell.origins),
    })
}

/// What a policy says of a case, for a machine.
pub(super) fn said_object(ruling: &Ruling) -> Value {
    match ruling {
        Ruling::Permitted(rule) => json!({"permitted": true, "rule": rule.to_string()}),
        Ruling::Forbidden(rule) => json!({"permitted": false, "rule": rule.to_string()}),
        Ruling::NotPermitted => json!({"permitted": false, "rule": null}),
    }
}

/// A label, and text behind it that is broken at the end of the screen.
pub(super) fn labelled(indent: usize, label: &str, text: &str) -> String {
    let words: Vec<String> = text.split(", ").map(str::to_owned).collect();
    let lead = indent + 10;
    let lines = places::wrapped(&words, COLUMNS - lead);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        let label = if at == 0 { label } else { "" };
        out.push_str(&format!("{:indent$}{label:<10}{line}\n", ""));
    }
    out
}
