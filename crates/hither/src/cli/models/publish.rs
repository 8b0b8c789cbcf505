//! `hither models publish`: a model's entry in the catalog, signed anew, and how ends are shown.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use hither_api::admin::{DoneDto, ModelDto, PublishDto};
use hither_types::id::ModelName;
use serde_json::json;

use super::path_of;
use crate::cli::{Context, parse};
use crate::client::Client;
use crate::output::{Trouble, plain};

/// Which model, and until when.
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// Its name.
    #[arg(value_parser = parse::model)]
    name: ModelName,
    /// How long from now on it may be used, as 12h or 90d: after that no member does.
    #[arg(long, value_name = "TIME", value_parser = parse::span)]
    valid_for: Option<Duration>,
    /// It may be used for ever.
    #[arg(long, conflicts_with = "valid_for")]
    no_end: bool,
}

/// Does it.
pub(super) fn publish(context: &Context, client: &Client, asked: &PublishArgs) -> Result<(), Trouble> {
    let body = PublishDto { valid_for_s: asked.valid_for.map(|span| span.as_secs()), no_end: asked.no_end };
    let done: DoneDto = context.wait(client.post(&path_of(&asked.name, "publish"), &json!(body)))?;
    context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
    Ok(())
}

/// When a model's entry ends or has ended, for a person; `None` if it has no end.
pub(super) fn end(model: &ModelDto) -> Option<String> {
    let end = model.expires_unix_ms?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    // Whether it has ended the node says, which acts by it.
    Some(match model.expired {
        true => format!("expired {} ago: not used", span(now.saturating_sub(end))),
        false => format!("expires in {}", span(end.saturating_sub(now))),
    })
}

/// Milliseconds in the largest unit of which there are two.
fn span(ms: u64) -> String {
    let units = [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000)];
    let fits = units.into_iter().find(|(_, length)| ms >= 2 * length);
    fits.map_or_else(|| format!("{} s", ms / 1000), |(name, length)| format!("{} {name}", ms / length))
}
