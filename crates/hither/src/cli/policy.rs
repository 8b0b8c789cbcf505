//! `hither policy`: a policy is checked and tested before a node is asked to live by it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hither_node::law::{failing_tests, parse};
use hither_types::law::Policy;
use serde_json::{Value, json};

use super::Context;
use crate::output::{Trouble, plain};

/// What can be done with a policy file.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Read a policy and say what is wrong with it; runs its tests as well.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Run the tests of a policy, and show each.
    Test {
        /// The file.
        file: PathBuf,
    },
}

/// Does it.
pub(super) fn policy(context: &Context, command: PolicyCommand) -> Result<(), Trouble> {
    match command {
        PolicyCommand::Check { file } => {
            let policy = load(&file)?;
            hold_tests(&policy, &file)?;
            let object = json!({
                "file": file.display().to_string(), "version": policy.version, "digest": policy.digest.to_string(),
                "unlabelled": policy.unlabelled.as_str(), "permits": policy.permits.len(),
                "forbids": policy.forbids.len(), "tests": policy.tests.len(),
            });
            context.screen.answer(&object, |colour| {
                let mut text = format!(
                    "{} version {}, b3:{}: {} permits, {} forbids, {} tests hold\n",
                    colour.green("ok"),
                    policy.version,
                    policy.digest.short(),
                    policy.permits.len(),
                    policy.forbids.len(),
                    policy.tests.len()
                );
                if policy.tests.is_empty() {
                    text.push_str(&format!(
                        "  {} add [[test]] cases: a policy that fails its own is not put in force\n",
                        colour.green("help:")
                    ));
                }
                text
            });
        }
        PolicyCommand::Test { file } => {
            let policy = load(&file)?;
            if policy.tests.is_empty() {
                return Err(Trouble::new("E0331", format!("{} has no tests", file.display())).help(
                    "add [[test]] with given = { class = \"special\", origin = \"DE-BY\", target = \"US\" } and expect = \"deny\"",
                ));
            }
            let failing = failing_tests(&policy);
            if !context.screen.is_json() {
                for (index, test) in policy.tests.iter().enumerate() {
                    let ok = failing.iter().all(|failed| failed.index != index);
                    let mark = if ok { context.screen.colour.green("✓") } else { context.screen.colour.red("✗") };
                    let expected = if test.permitted { "permit" } else { "deny" };
                    let action = test.action.as_str();
                    crate::output::line(&format!(
                        "{mark} test {}: {action} of {} data from {} at {}: {expected}",
                        index + 1,
                        test.class,
                        test.origin,
                        test.target
                    ));
                }
            }
            hold_tests(&policy, &file)?;
            let object: Value = json!({"file": file.display().to_string(), "tests": policy.tests.len(), "failed": 0});
            context.screen.answer(&object, |_| format!("all {} tests hold\n", policy.tests.len()));
        }
    }
    Ok(())
}

fn load(file: &Path) -> Result<Policy, Trouble> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Trouble::new("E0330", format!("cannot read {}: {error}", file.display())))?;
    parse(&text).map_err(|error| {
        let (before, width) = error.mark;
        let number = error.line.to_string();
        let place = format!("{}:{}:{}", file.display(), error.line, error.column);
        Trouble::new(error.code.as_str(), format!("{place}: {}", plain(&error.message)))
            .note(format!("{number} | {}", plain(&error.text)))
            .note(format!("{:gutter$} | {:before$}{:^<width$}", "", "", "", gutter = number.len()))
            .help(plain(&error.help))
    })
}

fn hold_tests(policy: &Policy, file: &Path) -> Result<(), Trouble> {
    let failing = failing_tests(policy);
    if failing.is_empty() {
        return Ok(());
    }
    let text = format!("{}: {} of {} tests do not hold", file.display(), failing.len(), policy.tests.len());
    let trouble = failing.iter().fold(Trouble::new("E0332", text), |trouble, failed| trouble.note(failed.to_string()));
    Err(trouble.help("change the rule or the expectation; a node does not put such a policy in force"))
}
