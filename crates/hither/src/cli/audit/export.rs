//! `hither audit export`: ledgers for somebody who checks them, if the law lets them have what is in there (`export`).
//!
//! What must stay true: the law is asked about everything that the ledgers hold before anything is written, and again about
//! what was copied, for a node goes on writing. Where the node runs, its ledger says who gets a copy before they have it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Args;
use hither_api::admin::{DoneDto, ExportDto, PolicyDto, ViewDto};
use hither_node::config::{NodeConfig, Overrides};
use hither_node::law::Outsider;
use hither_types::id::{Digest, NodeId, Operator, RuleId};
use hither_types::law::Policy;
use hither_types::place::Jurisdiction;
use serde_json::{Value, json};

use super::super::policy::apply::in_force;
use super::super::policy::{hold_tests, load_text};
use super::super::{Context, ledger, parse as words, up};
use crate::client::Client;
use crate::output::{Colour, Exit, Trouble, plain};

use folder::Copy;
use holdings::Holdings;

mod folder;
mod holdings;
#[cfg(test)]
mod tests;

/// What is handed over, and to whom.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// The ledgers' directories; that of the node of this machine if absent.
    dirs: Vec<PathBuf>,
    /// The folder that is made: a copy of each ledger, the policies that it names, and how to check them.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where whoever gets it is: ISO 3166, such as FR.
    #[arg(long = "for", value_name = "CODE", value_parser = words::jurisdiction)]
    recipient: Jurisdiction,
    /// Who they are, as rules with same_operator ask.
    #[arg(long, value_name = "NAME", value_parser = words::operator)]
    operator: Option<Operator>,
    /// The policy that is asked, where no node of these ledgers runs here; that of the node of this machine if absent.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
}

/// The node that runs here.
struct Running {
    client: Client,
    node: NodeId,
    policy: PolicyDto,
}

/// Does it.
pub(super) fn export(context: &Context, args: &ExportArgs) -> Result<(), Trouble> {
    let dirs = match args.dirs.is_empty() {
        true => vec![context.data_dir()?.join("ledger")],
        false => args.dirs.clone(),
    };
    folder::is_free(&args.to)?;
    let held: Vec<Holdings> = dirs.iter().map(|dir| Holdings::of(dir)).collect::<Result<_, _>>()?;
    each_once(&held)?;
    let running = running(context)?;
    for held in held.iter().filter(|held| running.as_ref().is_none_or(|running| running.node != held.report.node)) {
        nobody_writes(&held.dir)?;
    }
    let own = |held: &Holdings| running.as_ref().filter(|running| running.node == held.report.node);
    let policy =
        policy(context, args, running.as_ref().map(|running| (running, held.iter().any(|one| own(one).is_some()))))?;
    let to = Outsider { jurisdiction: args.recipient, operator: args.operator.clone(), control: None };
    let rules = holdings::permitted(&policy, &held, &to)?;
    for one in &held {
        if let Some(running) = own(one) {
            let own_rules = holdings::permitted(&policy, std::slice::from_ref(one), &to)?;
            record(context, running, (&to, &own_rules), one)?;
        }
    }
    let copy = Copy::make(&args.to, &held)?;
    // What was written meanwhile is copied, too.
    holdings::permitted(&policy, &copy.held, &to)?;
    let recorded: Vec<bool> = held.iter().map(|one| own(one).is_some()).collect();
    let names: Vec<String> = held.iter().map(folder::name).collect();
    let told = Told { to: &to, rules: &rules, policy: &policy, recorded: &recorded, names: &names };
    copy.hand_over(&args.to, &told.readme(&copy.held))?;
    context.screen.answer(&told.object(&args.to, &copy.held), |colour| told.text(colour, &args.to, &copy.held));
    Ok(())
}

fn each_once(held: &[Holdings]) -> Result<(), Trouble> {
    let mut nodes = BTreeSet::new();
    match held.iter().find(|one| !nodes.insert(one.report.node)) {
        None => Ok(()),
        Some(twice) => {
            Err(Trouble::new("E0824", format!("two of the ledgers are of node {}", twice.report.node.short()))
                .help("name each node's ledger once")
                .exit(Exit::Usage))
        }
    }
}

/// Whose node runs elsewhere is asked there: it lives by a policy, and keeps a record.
fn nobody_writes(dir: &Path) -> Result<(), Trouble> {
    if !hither_ledger::is_being_written(dir) {
        return Ok(());
    }
    let data = dir.parent().unwrap_or(dir).display();
    Err(Trouble::new("E0830", format!("a node that is not the one of this command writes {}", dir.display()))
        .note("its policy is asked, and its ledger says who gets a copy: both are that node's")
        .help(format!("hither --data {data} audit export --to DIR --for CODE"))
        .exit(Exit::Usage))
}

/// The node that runs on the data directory, if one does.
fn running(context: &Context) -> Result<Option<Running>, Trouble> {
    let client = Client::of(&context.data_dir()?);
    let view: ViewDto = match context.wait(client.get("/hither/v1/view")) {
        Ok(view) => view,
        // One that was reached and does not answer is there: what it lives by is not known.
        Err(trouble) if trouble.code == "E0701" => return Ok(None),
        Err(trouble) => return Err(trouble),
    };
    let policy = context.wait(client.get("/hither/v1/policy"))?;
    let node = NodeId::parse(&view.me.node)
        .map_err(|error| Trouble::new("E0829", error.to_string()).help("hither --version"))?;
    Ok(Some(Running { client, node, policy }))
}

/// Which policy is asked. A node that runs and whose ledger it is lives by one, and no other speaks for it.
fn policy(context: &Context, args: &ExportArgs, running: Option<(&Running, bool)>) -> Result<Policy, Trouble> {
    let typed = args.policy.as_deref().map(read).transpose()?;
    match (typed, running) {
        (Some(typed), Some((running, true))) if typed.digest.to_string() != running.policy.digest => {
            let file = args.policy.as_deref().unwrap_or(Path::new("FILE")).display();
            Err(Trouble::new(
                "E0823",
                format!("the node whose ledger this is lives by another policy than {file}, and that one is asked"),
            )
            .help(format!("hither policy apply {file}     and then the same again, without --policy"))
            .exit(Exit::Usage))
        }
        (Some(typed), _) => Ok(typed),
        (None, Some((running, _))) => in_force(&running.policy),
        (None, None) => {
            let overrides = Overrides { data_dir: Some(context.data_dir()?), ..Overrides::default() };
            let config = NodeConfig::load(None, overrides).map_err(|error| up::config_trouble(&error))?;
            match config.policy.exists() {
                true => read(&config.policy),
                false => Err(Trouble::new(
                    "E0822",
                    format!(
                        "no policy says what may be exported: no node runs here, and {} is not there",
                        config.policy.display()
                    ),
                )
                .help("hither audit export … --policy FILE")
                .exit(Exit::Usage)),
            }
        }
    }
}

fn read(file: &Path) -> Result<Policy, Trouble> {
    let (policy, text) = load_text(file)?;
    hold_tests(&policy, &text, file)?;
    Ok(policy)
}

/// Has the node put it on the record; it answers when that is on the disk.
fn record(
    context: &Context,
    running: &Running,
    (to, rules): (&Outsider, &BTreeSet<RuleId>),
    held: &Holdings,
) -> Result<(), Trouble> {
    let body = ExportDto {
        jurisdiction: to.jurisdiction.to_string(),
        operator: to.operator.as_ref().map(ToString::to_string),
        records: held.report.signed,
        root: Digest(held.report.root).to_string(),
        rules: rules.iter().map(ToString::to_string).collect(),
        policy: running.policy.digest.clone(),
    };
    let _: DoneDto = context.wait(running.client.post("/hither/v1/ledger/export", &json!(body)))?;
    Ok(())
}

/// What is said of an export, to whoever makes it and to whoever gets it.
struct Told<'a> {
    to: &'a Outsider,
    rules: &'a BTreeSet<RuleId>,
    policy: &'a Policy,
    recorded: &'a [bool],
    names: &'a [String],
}

impl Told<'_> {
    fn recipient(&self) -> String {
        let who = self.to.operator.as_ref().map_or_else(String::new, |operator| format!("{operator} in "));
        format!("{who}{}", self.to.jurisdiction)
    }

    fn rules(&self) -> String {
        match self.rules.is_empty() {
            true => "they hold no request, so that no rule was needed".to_owned(),
            false => format!("permitted by {}", super::tables::joined(self.rules)),
        }
    }

    fn object(&self, dir: &Path, held: &[Holdings]) -> Value {
        let ledger = |((held, name), recorded): ((&Holdings, &String), &bool)| {
            json!({
                "folder": name, "node": held.report.node.to_string(), "records": held.report.records,
                "signed": held.report.signed, "root": Digest(held.report.root).to_string(), "recorded": recorded,
            })
        };
        json!({
            "to": dir.display().to_string(), "jurisdiction": self.to.jurisdiction.to_string(),
            "operator": self.to.operator.as_ref().map(ToString::to_string),
            "policy": self.policy.digest.to_string(),
            "rules": self.rules.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "ledgers": held.iter().zip(self.names).zip(self.recorded).map(ledger).collect::<Vec<_>>(),
        })
    }

    fn text(&self, colour: Colour, dir: &Path, held: &[Holdings]) -> String {
        let records: u64 = held.iter().map(|held| held.report.records).sum();
        let mut text = format!(
            "{} {} for {}: {records} records of {} ledger{}; {} (policy b3:{})\n",
            colour.green("ok"),
            dir.display(),
            self.recipient(),
            held.len(),
            if held.len() == 1 { "" } else { "s" },
            self.rules(),
            self.policy.digest.short()
        );
        for (name, recorded) in self.names.iter().zip(self.recorded) {
            text.push_str(&match recorded {
                true => format!("  {name}: on its own record before it was copied (export)\n"),
                false => {
                    format!("  {} {name}: on no record, for its node does not run here\n", colour.red("!"))
                }
            });
        }
        text.push_str(&format!("  how to check it: {}\n", plain(&dir.join(folder::README).display().to_string())));
        text
    }

    fn readme(&self, held: &[Holdings]) -> String {
        folder::readme(&self.recipient(), self.names, held)
    }
}

/// Why a ledger cannot be read, as all commands say it.
fn unreadable(error: &hither_ledger::VerifyError) -> Trouble {
    ledger::trouble(error)
}
