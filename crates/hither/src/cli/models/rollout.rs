//! `hither models rollout` and `rollback`: a new version of a model takes over from an old one.

use clap::Args;
use hither_api::admin::{DoneDto, NewRolloutDto, RolloutDto, RolloutStateDto, TallyDto, ViewDto};
use hither_types::id::{ModelName, SiteName};
use serde_json::json;

use super::path_of;
use crate::cli::{Context, parse};
use crate::client::Client;
use crate::output::{Trouble, plain};

/// Which version takes over, and how far.
#[derive(Debug, Args)]
pub(crate) struct RolloutArgs {
    /// What applications ask for.
    #[arg(value_parser = parse::model)]
    name: ModelName,
    /// The new version, a model whose name is NAME, a colon, and more. Without it, how the rollout stands.
    #[arg(value_parser = parse::model)]
    to: Option<ModelName>,
    /// The share of the requests that the new version answers, as 10% or 0.1; all if absent.
    #[arg(long, value_parser = parse::share, requires = "to")]
    share: Option<f64>,
    /// A site whose requests it answers; may be given again. All sites if absent.
    #[arg(long, value_parser = parse::site, requires = "to")]
    site: Vec<SiteName>,
    /// The share of the requests that may fail beyond those that fail with the old version, before a node goes back by itself.
    #[arg(long, value_parser = parse::share, requires = "to", default_value = "2%")]
    tolerance: f64,
}

/// Begins it, or shows how it stands.
pub(super) fn rollout(context: &Context, client: &Client, asked: RolloutArgs) -> Result<(), Trouble> {
    let RolloutArgs { name, to, share, site, tolerance } = asked;
    let Some(to) = to else { return standing(context, client, &name) };
    let sites = site.iter().map(ToString::to_string).collect();
    let body = NewRolloutDto { to: to.to_string(), share, sites, tolerance: Some(tolerance) };
    let done: DoneDto = context.wait(client.post(&path_of(&name, "rollout"), &json!(body)))?;
    context.screen.answer(&json!(done), |colour| {
        let follow = format!("  {} hither models rollout {name}\n", colour.green("how it goes:"));
        format!("{}\n{follow}", plain(&done.message))
    });
    Ok(())
}

/// Goes back to the version before.
pub(super) fn rollback(context: &Context, client: &Client, name: &ModelName) -> Result<(), Trouble> {
    let done: DoneDto = context.wait(client.post(&path_of(name, "rollback"), &json!({})))?;
    context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
    Ok(())
}

fn standing(context: &Context, client: &Client, name: &ModelName) -> Result<(), Trouble> {
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let found = view.rollouts.iter().find(|rollout| rollout.name == name.as_str());
    context.screen.answer(&json!(found), |_| match found {
        Some(rollout) => text(rollout),
        None => format!(
            "no version of {name} is being rolled out\n  next: hither models rollout {name} {name}:2 --share 10%\n"
        ),
    });
    Ok(())
}

fn text(rollout: &RolloutDto) -> String {
    let RolloutDto { name, revision, from, to, share, sites, state, reason, old, new, unready, against, .. } = rollout;
    let share = format!("{} % of the requests", share * 100.0);
    let where_to = if sites.is_empty() { "at all sites".to_owned() } else { format!("at {}", sites.join(", ")) };
    let state = match state {
        RolloutStateDto::Running => format!("{to} gets {share} {where_to}, the rest stays with {from}"),
        RolloutStateDto::Whole => format!("{to} has taken over from {from}"),
        RolloutStateDto::TakenBack => format!("an operator went back from {to} to {from}"),
        RolloutStateDto::WentBack => {
            format!("this node went back from {to} to {from}: {}", reason.as_deref().unwrap_or("no reason is known"))
        }
    };
    let tally = |name: &str, TallyDto { tried, failed }: &TallyDto| {
        format!("  {name}: {tried} requests of this node, {failed} failed\n")
    };
    let mut text = format!("{name}, revision {revision}: {state}\n{}{}", tally(from, old), tally(to, new));
    if *unready > 0 {
        text.push_str(&format!("  {unready} requests stayed with {from}: no place had {to} open\n"));
    }
    for member in against {
        text.push_str(&format!("  found bad by {}\n", member.get(..10).unwrap_or(member)));
    }
    plain(&text)
}
