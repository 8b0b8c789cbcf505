//! `hither status`: am I healthy, who is near, what may go where.

use hither_api::admin::{
    CarriesDto, KnownRelayDto, MemberDto, MulticastStateDto, NodeDto, PresenceDto, ReachDto, RelayStateDto, StageDto,
    ViewDto,
};
use hither_types::unit::ByteCount;
use serde_json::{Value, json};

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// A node without a configured cap states one that no single machine reaches.
const NO_CAP_MW: u64 = 100_000_000;

/// Shows the view.
pub(super) fn status(context: &Context) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let view: Value = context.wait(client.get("/hither/v1/view"))?;
    let read: ViewDto = serde_json::from_value(view.clone())
        .map_err(|error| Trouble::new("E0704", format!("the node's view is not what this program expects: {error}")))?;
    context.screen.answer(&json!(view), |colour| text(&read, colour));
    Ok(())
}

/// The view for a person.
pub(crate) fn text(view: &ViewDto, colour: Colour) -> String {
    let me = &view.me;
    let short: String = view.policy.chars().take(10).collect();
    let mut text = format!(
        "{}  {}  {}  {}   policy b3:{short}\n  {}\n",
        colour.bold(&plain(&me.site)),
        plain(&me.jurisdiction),
        plain(&me.operator),
        plain(&me.assurance),
        plain(&view.summary)
    );
    for node in &view.nodes {
        text.push_str(&format!("  {}\n", node_line(node, colour)));
    }
    let totals = &view.totals;
    text.push_str(&format!(
        "  requests  {} · answered {} · refused by law {} · otherwise {} · migrated {} · for peers {}\n",
        totals.requests,
        totals.answered,
        totals.refused_by_law,
        totals.refused_otherwise,
        totals.migrated,
        totals.served_for_peers
    ));
    text.push_str(&format!(
        "  egress    {} in requests · {} in answers   energy {:.1} J (by the node's meter or stated model)\n",
        ByteCount(totals.egress_requests),
        ByteCount(totals.egress_answers),
        totals.energy_mj as f64 / 1000.0
    ));
    text.push_str(&view.spending.as_ref().map(super::budget::line).unwrap_or_default());
    text.push_str(&view.reach.as_ref().map(reach).unwrap_or_default());
    for warning in &view.warnings {
        text.push_str(&format!("  {} {}\n", colour.red("!"), plain(warning)));
    }
    text
}

/// Where a member stands, and whether that was measured.
fn place(member: &MemberDto) -> String {
    let measured = if member.assurance == "near" { " (near)" } else { "" };
    format!("{}{measured}", plain(&member.jurisdiction))
}

/// The relays, and whether members are looked for on networks of this machine; nothing of what is as it comes.
fn reach(reach: &ReachDto) -> String {
    let mut text: String = reach.relays.iter().map(|relay| format!("  relay     {}\n", relay_words(relay))).collect();
    let multicast = &reach.multicast;
    let said = match multicast.state {
        MulticastStateDto::Runs => format!("members are looked for on {}", plain(&multicast.on.join(", "))),
        MulticastStateDto::Failed => {
            format!("members cannot be looked for: {}", plain(multicast.reason.as_deref().unwrap_or("unknown")))
        }
        MulticastStateDto::Off => "off: [mesh] mdns = false".to_owned(),
        MulticastStateDto::Alone | MulticastStateDto::NoNetwork | MulticastStateDto::Isolated => return text,
    };
    text.push_str(&format!("  mdns      {said}\n"));
    text
}

/// A relay for a person: whose it is, where it stands, and whether it is used.
pub(crate) fn relay_words(relay: &KnownRelayDto) -> String {
    let site = plain(relay.site.as_deref().unwrap_or("no member"));
    let place = plain(relay.jurisdiction.as_deref().unwrap_or("place unknown"));
    let state = match relay.state {
        RelayStateDto::Home => "others reach this node over it",
        RelayStateDto::Spare => "another one is used",
        RelayStateDto::Unreachable => "not reached",
    };
    let reason = relay.reason.as_deref().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
    let carries = match relay.carries {
        CarriesDto::Everything => "",
        CarriesDto::Hellos => ", for hellos alone",
    };
    format!("{site} ({place}) {}{carries}  {state}{reason}", plain(&relay.address))
}

fn node_line(node: &NodeDto, colour: Colour) -> String {
    let presence = match node.presence {
        PresenceDto::Here => colour.green("● here"),
        PresenceDto::Present => colour.green("● present"),
        PresenceDto::Gone => {
            let since = node.gone_us.map_or_else(|| "never heard".to_owned(), |us| format!("{:.0} s", us as f64 / 1e6));
            colour.faint(&format!("○ gone {since}"))
        }
    };
    let rtt = node.rtt_us.map_or_else(String::new, |us| format!("  {:.1} ms", us as f64 / 1000.0));
    let models: Vec<String> = node
        .models
        .iter()
        .map(|held| {
            let name = held.name.clone().unwrap_or_else(|| held.digest.chars().take(10).collect());
            match held.stage {
                StageDto::Fetching => {
                    let percent = held.size.map_or(0, |size| held.fetched * 100 / size.max(1));
                    format!("{name} (fetching {percent} %)")
                }
                StageDto::Stored if held.note.is_empty() => format!("{name} (stored)"),
                StageDto::Stored => format!("{name} ({})", held.note),
                StageDto::Quarantined if held.note.is_empty() => format!("{name} (in quarantine)"),
                StageDto::Quarantined => format!("{name} (in quarantine, {})", held.note),
                StageDto::Ready => {
                    let device = held.device.as_deref().filter(|device| *device != "cpu");
                    let device = device.map_or_else(String::new, |device| format!(" on {device}"));
                    format!("{name} {}/{}{device}", held.busy, held.slots)
                }
            }
        })
        .collect();
    let cap =
        if node.cap_mw < NO_CAP_MW { format!(" of {:.0} W", node.cap_mw as f64 / 1e3) } else { " W, no cap".into() };
    format!(
        "{presence}  {} {}{rtt}  {:.0}{cap}  {}",
        plain(&node.member.site),
        place(&node.member),
        node.power_mw as f64 / 1000.0,
        plain(&models.join(" · "))
    )
}
