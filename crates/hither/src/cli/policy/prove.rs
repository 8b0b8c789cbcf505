//! `hither policy prove`: claims about a policy, and the cases that speak against them.

use std::collections::BTreeSet;
use std::time::Instant;

use hither_node::law::{Against, Proof, places, prove as ask};
use hither_types::law::{Claim, Policy};
use hither_types::place::Jurisdiction;
use serde_json::{Value, json};

use super::{cases, head, head_object, too_many};
use crate::cli::Context;
use crate::output::{Colour, Exit, Trouble, plain};

/// How claims are written.
pub(super) const HELP: &str = "\
A claim is one sentence:
  [ACTIONS of] CLASSES|anything [tagged TAGS] [by APPS] [on MODELS] [for PURPOSES]
  [from [outside] PLACES] never
    leaves PLACES | leaves its node | goes to PLACES | goes to another operator
    goes under STATES | goes below LEVEL | runs in PLACES | runs outside PLACES
Lists have commas and no blanks: personal,special from DE,FR never leaves EEA
It is about what goes to other nodes; \"runs\" is about work at home as well. Data are \"from\" a place if they
entered there or concern people there. Without actions, all are meant: relayed ciphertext, too.";

struct Proved {
    claim: Claim,
    proof: Proof,
    took_us: u64,
}

/// Proves each claim, or shows what speaks against it.
pub(super) fn prove(context: &Context, policy: &Policy, claims: &[String]) -> Result<(), Trouble> {
    let read = |text: &String| {
        hither_law::claim(text, policy).map_err(|error| {
            Trouble::new("E0333", format!("{:?}: {}", plain(text), plain(&error.message)))
                .help(plain(&error.help))
                .exit(Exit::Usage)
        })
    };
    let claims = claims.iter().map(read).collect::<Result<Vec<Claim>, Trouble>>()?;
    let mut proved = Vec::new();
    for claim in claims {
        let begun = Instant::now();
        let proof = ask(policy, &claim, &hither_law::countries())
            .map_err(|error| too_many(error, "claim less at once: name the actions and the classes"))?;
        proved.push(Proved { claim, proof, took_us: begun.elapsed().as_micros() as u64 });
    }
    let failed = proved.iter().filter(|one| one.proof.against.is_some()).count();
    let object = json!({
        "policy": head_object(policy), "holds": failed == 0, "claims": proved.iter().map(object).collect::<Vec<_>>(),
    });
    context.screen.answer(&object, |colour| {
        let mut out = format!("policy {}\n", head(policy));
        proved.iter().for_each(|one| out.push_str(&text(policy, one, colour)));
        out
    });
    match failed {
        0 => Ok(()),
        some => Err(Trouble::new("E0334", format!("{some} of {} claims do not hold", proved.len())).quiet()),
    }
}

fn object(proved: &Proved) -> Value {
    let Proved { claim, proof, took_us } = proved;
    let against = proof.against.as_ref();
    json!({
        "claim": claim.written, "holds": against.is_none(), "cases": proof.cases, "took_us": took_us,
        "against": against.map(|Against { cell, rule }| json!({"rule": rule.to_string(), "case": cases::object(cell)})),
    })
}

fn text(policy: &Policy, proved: &Proved, colour: Colour) -> String {
    let Proved { claim, proof: Proof { cases: count, against }, took_us } = proved;
    let took = format!("{:.1} ms", *took_us as f64 / 1000.0);
    let claimed = plain(&claim.written);
    match against {
        None if *count == 0 => {
            format!("{} {claimed}\n    holds, since no question is of that kind\n", colour.green("✓"))
        }
        None => {
            format!("{} {claimed}\n    holds in all {count} kinds of cases ({took})\n", colour.green("✓"))
        }
        Some(Against { cell, rule }) => {
            let world: BTreeSet<Jurisdiction> =
                places(&[policy], Some(claim), &hither_law::countries()).into_iter().collect();
            let mut out = format!("{} {claimed}\n", colour.red("✗"));
            let action = cell.action.as_str();
            out.push_str(&format!("    does not hold: rule {} permits {action} of\n", colour.bold(rule.as_str())));
            for (label, line) in cases::lines(cell, &world) {
                out.push_str(&cases::labelled(6, label, &line));
            }
            out.push_str(&format!("    found as case {count} ({took}); what is not named makes no difference\n"));
            out
        }
    }
}
