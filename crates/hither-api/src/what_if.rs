//! What would have made a place lawful, as sentences for people and as data for programs.

use hither_types::law::{Then, WhatIf, Whose};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// One fact, what it could be instead, and what the law would say then, all else being so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "WhatIf"))]
pub struct WhatIfDto {
    /// The name of the field in the policy language; `role` for certificates, `forbid` and `permit` for rules.
    pub fact: String,
    /// What it is; empty for rules.
    pub now: String,
    /// What would do, each alone; at most 8.
    pub instead: Vec<String>,
    /// Who could change it: `request`, `operator`, `place` or `policy`.
    pub whose: String,
    /// `permitted`, or `forbidden` if a permit would hold and a forbid is still in the way.
    pub then: String,
    /// The rule that would permit it, or would still forbid it; absent for a permit that is not there yet.
    pub rule: Option<String>,
    /// All that as a sentence for a person.
    pub text: String,
}

impl From<&WhatIf> for WhatIfDto {
    fn from(what_if: &WhatIf) -> Self {
        let (then, rule) = match &what_if.then {
            Then::Permitted(rule) => ("permitted", rule.as_ref()),
            Then::Forbidden(rule) => ("forbidden", Some(rule)),
        };
        Self {
            fact: what_if.fact.to_owned(),
            now: what_if.now.clone(),
            instead: what_if.instead.clone(),
            whose: what_if.whose.as_str().to_owned(),
            then: then.to_owned(),
            rule: rule.map(ToString::to_string),
            text: text(what_if),
        }
    }
}

/// The sentence: what would have to be so, what the law would say, and who could make it so.
pub(crate) fn text(what_if: &WhatIf) -> String {
    let then = match &what_if.then {
        Then::Permitted(Some(rule)) => format!("permitted by {rule}"),
        Then::Permitted(None) => "permitted".to_owned(),
        Then::Forbidden(rule) => format!("a permit would hold, and {rule} would still forbid it"),
    };
    let whose = match what_if.whose {
        Whose::Request => "the request may say so",
        Whose::Operator => "the operator's to change, no request can loosen its label",
        Whose::Place => "for the place and its certificate",
        Whose::Policy => "for the policy",
    };
    let whose = if what_if.fact == "apps" { "the operator's to change, who gives apps their keys" } else { whose };
    format!("if {}: {then} ({whose})", clause(what_if))
}

fn clause(what_if: &WhatIf) -> String {
    let WhatIf { fact, now, instead, .. } = what_if;
    let instead = instead.join(" or ");
    match *fact {
        "class" => format!("the class were {instead} rather than {now}"),
        "tags" => format!("the data did not carry the tag {now}"),
        "subjects" => format!("the data concerned nobody in {now}"),
        "purpose" => format!("the purpose were {instead} (now {now})"),
        "apps" => format!("the app were {instead} rather than {now}"),
        "models" => format!("the model were {instead} rather than {now}"),
        "target" => format!("the place stood in {instead} (now {now})"),
        "not_control" if instead == "[]" => format!("nobody could compel who runs the place (now {now})"),
        "not_control" => format!("only {instead} could compel who runs the place (now {now})"),
        "assurance" => format!("the place's assurance were {instead} (now {now})"),
        "same_operator" => format!("{instead} ran the place (now {now})"),
        "role" => format!("the certificate had the role {instead}"),
        "forbid" => format!("rule {instead} were not there"),
        "permit" => format!("a rule permitted {instead}"),
        other => format!("{other} were {instead} (now {now})"),
    }
}
