//! `hither policy apply`: a policy is put in force at the node that runs here.

use std::path::Path;

use hither_api::admin::{NewPolicyDto, PolicyDto};
use hither_node::law::{parse, today};
use hither_types::law::Policy;
use serde_json::{Value, json};

use super::diff::Difference;
use super::{head, hold_tests, load_text};
use crate::cli::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// The policy that a node lives by.
pub(in crate::cli) fn in_force(told: &PolicyDto) -> Result<Policy, Trouble> {
    parse(&told.text, today()).map_err(|error| {
        Trouble::new("E0704", format!("the policy in force is not one that this program reads: {error}"))
            .help("hither --version")
    })
}

/// Runs the tests of the file, shows what it changes, and has the node live by it unless it is a rehearsal.
pub(super) fn apply(context: &Context, file: &Path, dry_run: bool) -> Result<(), Trouble> {
    let (new, text) = load_text(file)?;
    hold_tests(&new, &text, file)?;
    let client = Client::of(&context.data_dir()?);
    let before: PolicyDto = context.wait(client.get("/hither/v1/policy"))?;
    let old = in_force(&before)?;
    // That the change is too large to be told keeps nobody from making it.
    let difference = Difference::of(&old, &new);
    let after = match dry_run {
        true => None,
        false => {
            let body = json!(NewPolicyDto { text, over: before.digest.clone() });
            Some(context.wait::<PolicyDto>(client.post("/hither/v1/policy", &body))?)
        }
    };
    let told = difference.as_ref().map_or(Value::Null, Difference::object);
    let object = json!({
        "dry_run": dry_run, "in_force": after.as_ref().unwrap_or(&before).digest, "file": before.file, "changes": told,
    });
    let end = |colour: Colour| match &after {
        None => format!("nothing was done: hither policy apply {}\n", file.display()),
        Some(after) if after.digest == before.digest => {
            format!("{} it was in force already, and is in {}\n", colour.green("ok"), plain(&after.file))
        }
        Some(after) => format!("{} in force: {}, kept in {}\n", colour.green("ok"), head(&new), plain(&after.file)),
    };
    context.screen.answer(&object, |colour| {
        let mut out = match &difference {
            Ok(difference) => difference.text(colour),
            Err(trouble) => format!("what changes is not told: {}\n", trouble.message),
        };
        out.push_str(&end(colour));
        out
    });
    Ok(())
}
