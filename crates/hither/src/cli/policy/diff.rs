//! `hither policy diff`: every answer that changes, in groups that are told alike.

use std::collections::{BTreeMap, BTreeSet};

use hither_node::law::{Cell, Change, Changes, Ruling, changes, places};
use hither_types::law::{LawAction, Policy};
use hither_types::place::Jurisdiction;
use serde_json::{Value, json};

use super::places::few;
use super::{cases, head, head_object, too_many};
use crate::cli::Context;
use crate::output::{Colour, Trouble};

/// Two policies, and what they differ in.
pub(super) struct Difference<'a> {
    old: &'a Policy,
    new: &'a Policy,
    changes: Changes,
}

impl<'a> Difference<'a> {
    /// Compares.
    pub(super) fn of(old: &'a Policy, new: &'a Policy) -> Result<Self, Trouble> {
        let changes = changes(old, new, &hither_law::countries()).map_err(|error| {
            too_many(error, "hither policy prove FILE \"CLAIM\", of each, says whether what matters to you holds")
        })?;
        Ok(Self { old, new, changes })
    }

    /// Whether no answer changes, and no request gets another class.
    pub(super) fn is_none(&self) -> bool {
        self.changes.changes.is_empty() && self.old.unlabelled == self.new.unlabelled
    }

    /// All of it.
    pub(super) fn object(&self) -> Value {
        let change = |change: &Change| {
            let Change { cell, old, new } = change;
            json!({
                "case": cases::object(cell), "old": cases::said_object(old), "new": cases::said_object(new),
            })
        };
        json!({
            "old": head_object(self.old), "new": head_object(self.new), "equal": self.is_none(),
            "unlabelled": {"old": self.old.unlabelled.as_str(), "new": self.new.unlabelled.as_str()},
            "cases": self.changes.cases, "changes": self.changes.changes.iter().map(change).collect::<Vec<_>>(),
        })
    }

    /// The groups, and how many there are of each kind.
    pub(super) fn text(&self, colour: Colour) -> String {
        let Changes { cases, changes } = &self.changes;
        let mut out = format!("from {}\nto   {}\n", head(self.old), head(self.new));
        if self.old.unlabelled != self.new.unlabelled {
            let (old, new) = (self.old.unlabelled, self.new.unlabelled);
            out.push_str(&format!("! a request without a label is {new} from then on, and was {old}\n"));
        }
        let world: BTreeSet<Jurisdiction> =
            places(&[self.old, self.new], None, &hither_law::countries()).into_iter().collect();
        for (key, group) in groups(changes) {
            out.push_str(&group_text(key, &group, &world, colour));
        }
        let opened = changes.iter().filter(|change| change.new.is_permitted()).count();
        let closed = changes.len() - opened;
        out.push_str(&match changes.len() {
            0 => format!("no answer changes, in {cases} kinds of cases\n"),
            some => format!("{some} of {cases} kinds of cases change: {opened} open, {closed} close\n"),
        });
        out
    }
}

/// Compares two files.
pub(super) fn diff(context: &Context, old: &Policy, new: &Policy) -> Result<(), Trouble> {
    let difference = Difference::of(old, new)?;
    context.screen.answer(&difference.object(), |colour| difference.text(colour));
    if difference.is_none() { Ok(()) } else { Err(Trouble::new("E0336", "the policies differ").quiet()) }
}

type Key<'a> = (LawAction, bool, &'a Ruling, &'a Ruling);

fn groups(changes: &[Change]) -> BTreeMap<Key<'_>, Vec<&Change>> {
    let mut groups: BTreeMap<Key<'_>, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        groups.entry((change.cell.action, change.cell.at_home, &change.old, &change.new)).or_default().push(change);
    }
    groups
}

fn group_text(key: Key<'_>, group: &[&Change], world: &BTreeSet<Jurisdiction>, colour: Colour) -> String {
    let (action, at_home, old, new) = key;
    let mark = if new.is_permitted() { colour.green("+") } else { colour.red("-") };
    let home = if at_home { " on the node that it entered" } else { "" };
    let mut out = format!("{mark} {}{home}: {}\n", action.as_str(), cases::said(new));
    let mut line = |label: &str, text: &str| out.push_str(&cases::labelled(4, label, text));
    line("before", &cases::said(old));
    if !matches!(action, LawAction::Relay | LawAction::Replicate) {
        let classes: BTreeSet<_> = group.iter().map(|change| change.cell.class).collect();
        line("class", &classes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    let all = |of: fn(&Change) -> &[Jurisdiction]| -> BTreeSet<Jurisdiction> {
        group.iter().flat_map(|change| of(change).iter().copied()).collect()
    };
    let origins = all(|change| &change.cell.origins);
    let targets = all(|change| &change.cell.targets);
    match origins.is_empty() {
        true => line("from", "several places at once"),
        false => line("from", &few(&origins, world).join(", ")),
    }
    if !at_home {
        line("to", &few(&targets, world).join(", "));
    }
    let cells: Vec<&Cell> = group.iter().map(|change| &change.cell).collect();
    for (label, text) in cases::parts(&cells, world) {
        line(label, &text);
    }
    if let Some(first) = group.first() {
        line("such as", &cases::short(&first.cell));
    }
    out
}
