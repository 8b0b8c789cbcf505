//! `hither budget`: what may leave this node today and what left, in bytes and money; and power against its cap.

use clap::ValueEnum;
use hither_api::admin::{PresenceDto, SpendingDto, ViewDto};
use hither_types::spending::Money;
use hither_types::unit::{ByteCount, Milliwatts};
use serde_json::json;

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

#[cfg(test)]
mod tests;

/// Which budget is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// Bytes and money.
    Egress,
    /// Watts.
    Power,
}

/// Shows one of them, or both.
pub(super) fn budget(context: &Context, which: Option<Which>) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let wants = |one: Which| which.is_none_or(|which| which == one);
    let power: Vec<_> = view.nodes.iter().filter(|node| node.presence != PresenceDto::Gone).collect();
    let value = json!({
        "egress": wants(Which::Egress).then_some(&view.spending),
        "power": wants(Which::Power).then(|| {
            power.iter().map(|node| json!({ "site": node.member.site, "power_mw": node.power_mw, "cap_mw": node.cap_mw })).collect::<Vec<_>>()
        }),
    });
    context.screen.answer(&value, |colour| {
        let mut text = String::new();
        if wants(Which::Egress) {
            text.push_str(&egress(&view.spending.clone().unwrap_or_default(), colour));
        }
        if wants(Which::Power) {
            for node in &power {
                let (now, cap) = (Milliwatts(node.power_mw).watts(), Milliwatts(node.cap_mw).watts());
                text.push_str(&format!("  power     {:12}  {now:.1} W of {cap:.1} W\n", plain(&node.member.site)));
            }
        }
        text
    });
    Ok(())
}

/// What left, and of what.
fn egress(spending: &SpendingDto, colour: Colour) -> String {
    let bytes = |used: u64, most: Option<u64>| {
        limited(ByteCount(used), most.map(ByteCount), used >= most.unwrap_or(u64::MAX), colour)
    };
    let mut text = format!("  left the site since midnight UTC  {}\n", bytes(spending.bytes, spending.bytes_max));
    for link in &spending.links {
        // A third place that ciphertext passes is no place where it ends up: it stands beside those.
        let among = if link.link == "relay" { "  (of those above, over a relay)" } else { "" };
        let cost = if link.cost == 0 { String::new() } else { format!(" · {}{}", Money(link.cost), unit(spending)) };
        text.push_str(&format!(
            "    {:12}  {} in requests · {} in answers{cost}{among}\n",
            plain(&link.link),
            ByteCount(link.requests),
            ByteCount(link.answers)
        ));
    }
    for app in &spending.apps {
        text.push_str(&format!("  app       {:12}  {}\n", plain(&app.app), bytes(app.bytes, app.bytes_max)));
    }
    let unit = unit(spending);
    let money = |used: u64, most: Option<u64>| {
        limited(Money(used), most.map(Money), used >= most.unwrap_or(u64::MAX), colour) + &unit
    };
    for server in &spending.servers {
        text.push_str(&format!(
            "  server    {:12}  {}\n",
            plain(&server.server),
            money(server.spent, server.spent_max)
        ));
        for app in &server.apps {
            text.push_str(&format!("    {:12}    {}\n", plain(&app.app), money(app.spent, server.app_max)));
        }
    }
    if let Some(server) = &spending.compared_with {
        let less = match spending.carried {
            0 => String::new(),
            carried => format!(", {}{unit}, less {} for the ways there", Money(spending.saved), Money(carried)),
        };
        text.push_str(&format!(
            "  saved     {}{unit}  (what this node and its peers answered, at the price of {}{less})\n",
            saved(spending),
            plain(server)
        ));
    }
    text
}

/// What money is called, behind a sum.
fn unit(spending: &SpendingDto) -> String {
    if spending.currency.is_empty() { String::new() } else { format!(" {}", plain(&spending.currency)) }
}

/// What was saved, less what the ways to members cost; that may be more.
fn saved(spending: &SpendingDto) -> String {
    let (saved, carried) = (Money(spending.saved), Money(spending.carried));
    if carried > saved { format!("-{}", carried.less(saved)) } else { saved.less(carried).to_string() }
}

fn limited<T: std::fmt::Display>(used: T, most: Option<T>, is_spent: bool, colour: Colour) -> String {
    match most {
        None => format!("{used}, no budget"),
        Some(most) if is_spent => colour.red(&format!("{used} of {most}: spent")),
        Some(most) => format!("{used} of {most}"),
    }
}

/// The same in one line, for `hither status`; nothing where there is no budget and no price.
pub(super) fn line(spending: &SpendingDto) -> String {
    let limited = spending.bytes_max.is_some() || spending.apps.iter().any(|app| app.bytes_max.is_some());
    if !limited && spending.currency.is_empty() {
        return String::new();
    }
    let of = spending.bytes_max.map(|most| format!(" of {}", ByteCount(most))).unwrap_or_default();
    let at = |name: &str| {
        spending.links.iter().find(|link| link.link == name).map_or(0, |link| link.requests + link.answers)
    };
    let spent = spending.servers.iter().map(|server| server.spent).fold(0, u64::saturating_add);
    let money = match spending.currency.as_str() {
        "" => String::new(),
        unit if spending.compared_with.is_none() => format!(" · spent {} {unit}", Money(spent)),
        unit => format!(" · spent {} {unit}, saved {} {unit}", Money(spent), saved(spending)),
    };
    let (border, cloud) = (ByteCount(at("cross-border")), ByteCount(at("cloud")));
    format!(
        "  today     {}{of} left the site · cross-border {border} · cloud {cloud}{}\n",
        ByteCount(spending.bytes),
        plain(&money)
    )
}
