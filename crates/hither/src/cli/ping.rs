//! `hither ping`: how far a member is, and whether a relay stands between.

use clap::Args;
use hither_api::admin::{PathDto, PongDto};
use serde_json::json;

use super::{Context, authority};
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// What `ping` is told.
#[derive(Debug, Args)]
pub(super) struct PingArgs {
    /// Its key or the beginning of it, as `hither member ls` shows it; or its site, if one node stands there.
    node: String,
    /// How many round trips are measured, one after the other.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    count: u32,
}

/// Measures round trips to a member.
pub(super) fn ping(context: &Context, args: &PingArgs) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let key = authority::find(context, &client, &args.node)?;
    let path = format!("/hither/v1/members/{key}/ping");
    let pong: PongDto = context.wait(client.post(&path, &json!({ "count": args.count })))?;
    context.screen.answer(&json!(pong), |colour| text(&args.node, &pong, colour));
    Ok(())
}

fn text(said: &str, pong: &PongDto, colour: Colour) -> String {
    let milliseconds = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
    let address = plain(pong.address.as_deref().unwrap_or("?"));
    let way = match (pong.path, &pong.relay) {
        (Some(PathDto::Direct), _) => format!("direct, {address}"),
        (Some(PathDto::Relayed), Some(relay)) => {
            let site = plain(relay.site.as_deref().unwrap_or("no member"));
            let place = plain(relay.jurisdiction.as_deref().unwrap_or("place unknown"));
            format!("over the relay {site} ({place}), {address}")
        }
        (Some(PathDto::Relayed), None) | (None, _) => "over a path that was just changing".to_owned(),
    };
    let ends = match (pong.round_trips_us.iter().min(), pong.round_trips_us.iter().max()) {
        (Some(least), Some(most)) => format!(", {} to {}", milliseconds(*least), milliseconds(*most)),
        _ => String::new(),
    };
    format!(
        "{}  {}  ({} round trips{ends})  {way}\n",
        plain(said),
        colour.bold(&milliseconds(pong.p50_us)),
        pong.round_trips_us.len()
    )
}
