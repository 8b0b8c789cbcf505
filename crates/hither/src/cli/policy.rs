//! `hither policy`: a policy is checked, tested, proved and compared before a node is asked to live by it.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hither_node::law::{TooMany, failing_on_all_days, parse, today};
use hither_types::id::{Operator, RuleId};
use hither_types::label::DataClass;
use hither_types::law::{Bloc, Policy};
use hither_types::place::Jurisdiction;
use serde_json::{Value, json};

use super::{Context, parse as words};
use crate::output::{Trouble, plain};

pub(super) mod apply;
mod cases;
mod diff;
mod export;
mod failover;
mod firewall;
mod map;
mod places;
mod prove;
mod publish;
#[cfg(test)]
mod tests;

/// What can be done with a policy file.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Read a policy, run its tests, and count what failover it leaves in the mesh of the node that runs here.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Run the tests of a policy, and show each.
    Test {
        /// The file.
        file: PathBuf,
    },
    /// Prove that something is never permitted, or show a case in which it is. Ends with 1 if a claim does not hold.
    #[command(after_help = prove::HELP)]
    Prove {
        /// The file.
        file: PathBuf,
        /// What never happens: "special from ID never leaves ID".
        #[arg(required = true, value_name = "CLAIM")]
        claims: Vec<String>,
    },
    /// Show every answer that changes from one policy to another. Ends with 0 if none does, and with 1 if some do.
    Diff {
        /// The policy that is compared with.
        old: PathBuf,
        /// The policy in its place.
        new: PathBuf,
    },
    /// Show where data from one place may go.
    Map {
        /// The file.
        file: PathBuf,
        /// The class of the data; all of them, if absent.
        #[arg(long, value_parser = words::class)]
        class: Option<DataClass>,
        /// Where they come from, and whom they concern; the place of the node that runs here, if absent.
        #[arg(long, value_name = "CODE", value_parser = words::jurisdiction)]
        origin: Option<Jurisdiction>,
    },
    /// Write a policy in another language, with the same answers to every question that nodes ask.
    Export {
        /// The file.
        file: PathBuf,
        /// In that of Cedar: a policy set and its schema.
        #[arg(long)]
        cedar: bool,
        /// Where to write `policy.cedar` and `policy.cedarschema`; shown, if absent.
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// Show rules of nftables that count and stop what the node here sends to anybody but members of its mesh.
    Firewall {
        /// The file.
        file: PathBuf,
        /// For this machine, whose node runs as this user; for the gateway before it, if absent.
        #[arg(long)]
        uid: Option<u32>,
    },
    /// Put a policy in force at the node that runs here, without a restart, and keep it where the node reads its policy.
    Apply {
        /// The file.
        file: PathBuf,
        /// Only show what would change.
        #[arg(long)]
        dry_run: bool,
    },
    /// Have nodes of the mesh live by a policy: it is signed into the authority log, and spreads. At the founder.
    Publish {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        range: RangeArgs,
        /// Only show what would change at the node that runs here.
        #[arg(long)]
        dry_run: bool,
    },
    /// Take back what was published for a range of nodes; each keeps the policy that it has. At the founder.
    Withdraw {
        #[command(flatten)]
        range: RangeArgs,
    },
    /// Show which policies are published, and which node lives by which; or the text of one.
    Published {
        /// The beginning of its digest: of one that was published or proposed, or in force at the node here once.
        digest: Option<String>,
    },
}

/// Some of the nodes of a mesh.
#[derive(Debug, clap::Args)]
pub(super) struct RangeArgs {
    /// Nodes that stand there, with commas between: ISO 3166, such as DE,FR. Wherever, if absent.
    #[arg(long, value_name = "CODES", value_delimiter = ',', value_parser = words::jurisdiction)]
    within: Vec<Jurisdiction>,
    /// Nodes that these run, with commas between. Whoever, if absent.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = words::operator)]
    operators: Vec<Operator>,
}

/// Does it.
pub(super) fn policy(context: &Context, command: PolicyCommand) -> Result<(), Trouble> {
    match command {
        PolicyCommand::Check { file } => {
            let (policy, written) = load_text(&file)?;
            hold_tests(&policy, &written, &file)?;
            let left = failover::look(context, &policy);
            let object = json!({
                "file": file.display().to_string(), "version": policy.version, "digest": policy.digest.to_string(),
                "unlabelled": policy.unlabelled.as_str(), "permits": policy.permits.len(),
                "forbids": policy.forbids.len(), "tests": policy.tests.len(),
                "failover": left.object(),
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
                text.push_str(&lists(&policy));
                for rule in by_anyones_purpose(&policy) {
                    text.push_str(&format!(
                        "  {} {rule} trusts any app that states its purpose: name apps, or hither apps limit --purposes\n",
                        colour.red("!")
                    ));
                }
                text.push_str(&left.text(colour));
                text
            });
        }
        PolicyCommand::Test { file } => {
            let (policy, written) = load_text(&file)?;
            if policy.tests.is_empty() {
                return Err(Trouble::new("E0331", format!("{} has no tests", file.display())).help(
                    "add [[test]] with given = { class = \"special\", origin = \"DE-BY\", target = \"US\" } and expect = \"deny\"",
                ));
            }
            let failing = failing_on_all_days(&written, &policy);
            if !context.screen.is_json() {
                for (index, test) in policy.tests.iter().enumerate() {
                    let ok = failing.iter().all(|failed| failed.test.index != index);
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
            hold_tests(&policy, &written, &file)?;
            let object: Value = json!({"file": file.display().to_string(), "tests": policy.tests.len(), "failed": 0});
            context.screen.answer(&object, |_| format!("all {} tests hold\n", policy.tests.len()));
        }
        PolicyCommand::Prove { file, claims } => prove::prove(context, &load(&file)?, &claims)?,
        PolicyCommand::Diff { old, new } => diff::diff(context, &load(&old)?, &load(&new)?)?,
        PolicyCommand::Map { file, class, origin } => map::map(context, &load(&file)?, class, origin)?,
        PolicyCommand::Firewall { file, uid } => firewall::firewall(context, &load(&file)?, uid)?,
        PolicyCommand::Export { file, cedar, to } => export::export(context, &file, cedar, to.as_deref())?,
        PolicyCommand::Apply { file, dry_run } => apply::apply(context, &file, dry_run)?,
        PolicyCommand::Publish { file, range, dry_run } => publish::publish(context, &file, &range, dry_run)?,
        PolicyCommand::Withdraw { range } => publish::withdraw(context, &range)?,
        PolicyCommand::Published { digest: None } => publish::list(context)?,
        PolicyCommand::Published { digest: Some(digest) } => publish::text(context, &digest)?,
    }
    Ok(())
}

/// Permits that go by a purpose, and trust every app that says it.
fn by_anyones_purpose(policy: &Policy) -> impl Iterator<Item = &RuleId> {
    policy.permits.iter().filter(|rule| !rule.purposes.is_empty() && rule.apps.is_empty()).map(|rule| &rule.id)
}

/// How many places its own groups of countries have today, a line each.
fn lists(policy: &Policy) -> String {
    let line = |bloc: &Bloc| {
        let places = bloc.on(policy.day).len();
        let dates = bloc.members.iter().flat_map(|member| [member.from, member.until]).flatten();
        let next = dates.filter(|date| *date > policy.day).min();
        let then = next.map(|day| format!(", and others from {day} on")).unwrap_or_default();
        format!("  {}: {places} place{}{then}\n", bloc.name, if places == 1 { "" } else { "s" })
    };
    policy.blocs.iter().map(line).collect()
}

/// A policy in one line.
fn head(policy: &Policy) -> String {
    format!("version {}, b3:{}", policy.version, policy.digest.short())
}

fn head_object(policy: &Policy) -> Value {
    json!({"version": policy.version, "digest": policy.digest.to_string()})
}

fn too_many(error: TooMany, help: &str) -> Trouble {
    let TooMany { what, most } = error;
    Trouble::new("E0335", format!("the rules tell more than {most} {what} apart, so that not all can be looked at"))
        .note("nothing is said from a part of them")
        .help(help)
}

fn load(file: &Path) -> Result<Policy, Trouble> {
    load_text(file).map(|(policy, _)| policy)
}

pub(super) fn load_text(file: &Path) -> Result<(Policy, String), Trouble> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Trouble::new("E0330", format!("cannot read {}: {error}", file.display())))?;
    let policy = parse(&text, today()).map_err(|error| {
        let (before, width) = error.mark;
        let number = error.line.to_string();
        let place = format!("{}:{}:{}", file.display(), error.line, error.column);
        Trouble::new(error.code.as_str(), format!("{place}: {}", plain(&error.message)))
            .note(format!("{number} | {}", plain(&error.text)))
            .note(format!("{:gutter$} | {:before$}{:^<width$}", "", "", "", gutter = number.len()))
            .help(plain(&error.help))
    })?;
    Ok((policy, text))
}

pub(super) fn hold_tests(policy: &Policy, text: &str, file: &Path) -> Result<(), Trouble> {
    let failing = failing_on_all_days(text, policy);
    if failing.is_empty() {
        return Ok(());
    }
    let text = format!("{}: {} of {} tests do not hold", file.display(), failing.len(), policy.tests.len());
    let trouble = failing.iter().fold(Trouble::new("E0332", text), |trouble, failed| trouble.note(failed.to_string()));
    Err(trouble.help("change the rule or the expectation; a node does not put such a policy in force"))
}
