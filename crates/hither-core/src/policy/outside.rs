//! The law about somebody outside the mesh who is shown or given what a node wrote: spans of requests, a ledger.
//!
//! What must stay true: of them no more is known than somebody said. Where it is not said who runs a place, what a rule
//! wants of that has to hold for both cases: for the operator that the request came from, and for any other.

use hither_types::id::{AppName, ModelName, Operator};
use hither_types::label::Label;
use hither_types::law::{LawAction, Policy, Verdict};
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};

use super::{Carried, Facts, decide};

#[cfg(test)]
mod tests;

/// Somebody outside the mesh, as whoever names them says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outsider {
    /// Where they are; [`Jurisdiction::UNKNOWN`] if nobody says.
    pub jurisdiction: Jurisdiction,
    /// Who they are; none if nobody says.
    pub operator: Option<Operator>,
    /// Which states can compel them; `None` is "unknown", an empty list is "nobody".
    pub control: Option<Vec<Jurisdiction>>,
}

/// What they would be shown or given: something about one request, or about many that are alike.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// What would be done: `observe` or `export`.
    pub action: LawAction,
    /// The app that asked.
    pub app: &'a AppName,
    /// The model.
    pub model: &'a ModelName,
    /// The label of the request.
    pub label: &'a Label,
    /// Where the request entered.
    pub origin: Jurisdiction,
    /// Who runs the node that it entered; none if that is not known.
    pub operator: Option<&'a Operator>,
}

/// Whether somebody outside the mesh may be shown or given something. Their place is claimed (assurance 0), and they are to
/// the law what a server outside the mesh is.
pub fn judge_outside(policy: &Policy, shown: &Shown<'_>, to: &Outsider) -> Verdict {
    match (shown.operator, &to.operator) {
        (Some(from), Some(to_operator)) => ask(policy, shown, to, [from.as_str(), to_operator.as_str()]),
        (one, other) => {
            // No operator has the name "".
            let known = one.or(other.as_ref()).map_or("unknown", Operator::as_str);
            match ask(policy, shown, to, [known; 2]) {
                Verdict::Permitted(_) => ask(policy, shown, to, [known, ""]),
                denied @ Verdict::Denied(_) => denied,
            }
        }
    }
}

fn ask(policy: &Policy, shown: &Shown<'_>, to: &Outsider, operators: [&str; 2]) -> Verdict {
    let Shown { action, app, model, label, origin, operator: _ } = *shown;
    let facts = Facts {
        action,
        app: Some(app),
        model: Some(model),
        carried: Carried::One { class: label.class, tags: &label.tags },
        purpose: label.purpose.as_ref(),
        origin,
        subjects: &label.subjects,
        target: to.jurisdiction,
        control: to.control.as_deref(),
        assurance: Assurance::Claimed,
        operators,
        kind: PlaceKind::Cloud,
    };
    decide(policy, &facts)
}
