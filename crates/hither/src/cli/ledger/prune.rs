//! `hither ledger prune`: what is older than the policy wants records kept.

use hither_ledger::{DeleteError, Expired, Plan, WriteError};
use hither_node::config::{NodeConfig, Overrides};
use hither_node::{InitError, Prune, PruneError};
use serde_json::{Value, json};

use super::trouble;
use crate::cli::{Context, up};
use crate::output::{Exit, Trouble, chain};

/// Says what goes, or has it go.
pub(super) fn prune(context: &Context, dry_run: bool) -> Result<(), Trouble> {
    let overrides = Overrides { data_dir: Some(context.data_dir()?), ..Overrides::default() };
    let config = NodeConfig::load(None, overrides).map_err(|error| up::config_trouble(&error))?;
    let how = if dry_run { Prune::Look } else { Prune::Delete };
    let plan = hither_node::prune(&config, how).map_err(wrong)?;
    let object = json!({
        "dry_run": dry_run, "expired": plan.expired.iter().map(object).collect::<Vec<_>>(), "kept": plan.kept,
        "not_before": plan.not_before.map(|wall| wall.0),
    });
    context.screen.answer(&object, |colour| format!("{} {}", colour.green("ok"), text(&plan, dry_run)));
    Ok(())
}

fn text(plan: &Plan, dry_run: bool) -> String {
    let records: u64 = plan.expired.iter().map(|expired| expired.count).sum();
    let done = if dry_run { "would be deleted" } else { "were deleted" };
    let mut text =
        format!("{records} records in {} closed segments {done}; {} segments stay\n", plan.expired.len(), plan.kept);
    for Expired { first, count, days, origins, from, to, bytes } in &plan.expired {
        let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "   records {first} to {} ({bytes}), {from} to {to}: kept {} days, the longest period for {}\n",
            first + count.saturating_sub(1),
            days.0,
            origins.join(", ")
        ));
    }
    text.push_str(
        "   A segment goes as a whole: the longest period among the places it has records of holds for all of it.\n   \
         The hashes of its records stay, and a record of the kind retention.delete says that they are gone.\n",
    );
    text
}

fn object(expired: &Expired) -> Value {
    let Expired { first, count, days, origins, from, to, bytes } = expired;
    json!({
        "first": first, "count": count, "days": days.0, "from": from, "to": to, "bytes": bytes.0,
        "origins": origins.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn wrong(error: PruneError) -> Trouble {
    let text = chain(&error);
    match error {
        PruneError::Read(error) => trouble(&error),
        PruneError::Absent(_) => Trouble::new("E0803", text).help("hither --data DIR ledger prune").exit(Exit::Usage),
        PruneError::Home(InitError::Running(_)) => Trouble::new("E0811", text)
            .note("a node that runs deletes old records by itself, when it is started and each day")
            .help("hither ledger prune --dry-run     shows what would go, also while it runs"),
        PruneError::Policy(_) => Trouble::new("E0811", text).help("hither policy check FILE"),
        PruneError::Delete(DeleteError::Record(WriteError::Io(_)) | DeleteError::Unfinished { .. }) => {
            Trouble::new("E0811", text)
                .help("hither doctor     looks at the disk; what was begun is finished when it is typed again")
        }
        _ => Trouble::new("E0811", text).help("hither ledger verify DATA/ledger"),
    }
}
