//! `hither policy map`: a table of where data may go.

use std::collections::{BTreeMap, BTreeSet};

use hither_node::law::{Reach, reach_from};
use hither_types::id::RuleId;
use hither_types::label::DataClass;
use hither_types::law::Policy;
use hither_types::place::Jurisdiction;
use serde_json::json;

use super::places::{few, one, wrapped};
use super::{cases, failover, head, head_object, too_many};
use crate::cli::Context;
use crate::output::{Colour, Exit, Trouble};

/// The width of the column of places.
const PLACES: usize = 34;

type Row = (Vec<Reach>, BTreeSet<Jurisdiction>);

/// Shows the table.
pub(super) fn map(
    context: &Context,
    policy: &Policy,
    class: Option<DataClass>,
    origin: Option<Jurisdiction>,
) -> Result<(), Trouble> {
    let here = || failover::view(context).ok().and_then(|view| Jurisdiction::parse(&view.me.jurisdiction).ok());
    let origin = origin.or_else(here).ok_or_else(|| {
        Trouble::new("E0337", "no node runs here that would say where the data come from")
            .help("hither policy map FILE --origin DE")
            .exit(Exit::Usage)
    })?;
    let classes: Vec<DataClass> = class.map_or_else(|| DataClass::ALL.to_vec(), |class| vec![class]);
    let mut columns = Vec::new();
    for class in &classes {
        let column = reach_from(policy, *class, origin, &hither_law::countries())
            .map_err(|error| too_many(error, "hither policy map FILE --class CLASS"))?;
        columns.push(column);
    }
    let world: BTreeSet<Jurisdiction> = columns.iter().flat_map(|column| column.keys().copied()).collect();
    let rows = rows(&columns, &world);
    let object = json!({
        "policy": head_object(policy), "origin": origin.to_string(),
        "rows": rows.iter().map(|(reach, places)| json!({
            "targets": places.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "answers": classes.iter().zip(reach).map(|(class, reach)| (class.as_str().to_owned(), json!({
                "permitted": word(reach), "permits": ids(&reach.permits), "forbids": ids(&reach.forbids),
            }))).collect::<serde_json::Map<_, _>>(),
        })).collect::<Vec<_>>(),
    });
    context.screen.answer(&object, |colour| text(policy, origin, (&classes, &rows), &world, colour));
    Ok(())
}

/// Targets with equal answers are one row; those with the most that is open come first.
fn rows(columns: &[BTreeMap<Jurisdiction, Reach>], world: &BTreeSet<Jurisdiction>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for place in world {
        let of = |column: &BTreeMap<Jurisdiction, Reach>| column.get(place).cloned().unwrap_or_default();
        let answers: Vec<Reach> = columns.iter().map(of).collect();
        // Which rules forbid what no rule permits anyway makes no row of its own.
        let told = |answers: &[Reach]| answers.iter().map(|r| (word(r), r.permits.clone())).collect::<Vec<_>>();
        match rows.iter_mut().find(|(known, _)| told(known) == told(&answers)) {
            Some((_, places)) => {
                places.insert(*place);
            }
            None => rows.push((answers, BTreeSet::from([*place]))),
        }
    }
    let shut = |(answers, _): &Row| answers.iter().filter(|reach| reach.is_none()).count();
    rows.sort_by_key(|row| (shut(row), std::cmp::Reverse(row.1.len())));
    rows
}

fn word(reach: &Reach) -> &'static str {
    match () {
        () if reach.is_none() => "no",
        () if reach.is_all() => "yes",
        () => "if",
    }
}

fn ids(rules: &BTreeSet<RuleId>) -> Vec<String> {
    rules.iter().map(ToString::to_string).collect()
}

fn text(
    policy: &Policy,
    origin: Jurisdiction,
    (classes, rows): (&[DataClass], &[Row]),
    world: &BTreeSet<Jurisdiction>,
    colour: Colour,
) -> String {
    let mut out = format!("policy {}: data from {} may be processed\n\n", head(policy), one(origin));
    let titles: String = classes.iter().map(|class| format!(" {class:<8}")).collect();
    out.push_str(format!("  {:<PLACES$}{titles}", "by another node in").trim_end());
    out.push('\n');
    for (answers, places) in rows {
        let lines = wrapped(&few(places, world), PLACES - 1);
        for (at, line) in lines.iter().enumerate() {
            let cells: String = match at {
                0 => answers.iter().map(|reach| format!(" {:<8}", word(reach))).collect(),
                _ => String::new(),
            };
            out.push_str(format!("  {line:<PLACES$}{cells}").trim_end());
            out.push('\n');
        }
    }
    let some = |reach: &&Reach| !reach.is_none() && !reach.is_all();
    let open = || rows.iter().flat_map(|(answers, _)| answers).filter(some);
    let named: BTreeSet<&RuleId> = open().flat_map(|reach| reach.permits.iter().chain(&reach.forbids)).collect();
    if !named.is_empty() {
        out.push_str("\n  if: it takes more than class and place\n");
        for rule in policy.permits.iter().chain(&policy.forbids).filter(|rule| named.contains(&rule.id)) {
            let side = if policy.forbids.iter().any(|forbid| forbid.id == rule.id) { "forbids" } else { "permits" };
            let conditions = cases::conditions(rule);
            let told = if conditions.is_empty() { vec!["in every case".to_owned()] } else { conditions };
            out.push_str(&format!("    {} {side}\n", colour.bold(rule.id.as_str())));
            wrapped(&told, cases::COLUMNS - 6).iter().for_each(|line| out.push_str(&format!("      {line}\n")));
        }
    }
    out
}
