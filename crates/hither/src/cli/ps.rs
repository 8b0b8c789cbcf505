//! `hither ps`: which models are loaded, on which device of which node, and why there; and at this node, what keeps the
//! others from being so.

use hither_api::admin::{HeldDto, PresenceDto, StageDto, ViewDto};
use hither_types::unit::ByteCount;
use serde_json::json;

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// Shows the models that are loaded, this node's first.
pub(super) fn ps(context: &Context) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let loaded = shown(&view);
    let list: Vec<_> = loaded.iter().map(|(site, held)| json!({ "site": site, "model": held })).collect();
    context.screen.answer(&json!(list), |colour| text(&loaded, colour));
    Ok(())
}

fn shown(view: &ViewDto) -> Vec<(&str, &HeldDto)> {
    let present = view.nodes.iter().filter(|node| node.presence != PresenceDto::Gone);
    let models = present.flat_map(|node| node.models.iter().map(|held| (node.member.site.as_str(), held)));
    models.filter(|(_, held)| held.stage == StageDto::Ready || !held.note.is_empty()).collect()
}

fn text(loaded: &[(&str, &HeldDto)], colour: Colour) -> String {
    if loaded.is_empty() {
        return "no model is loaded anywhere: hither models ls\n".to_owned();
    }
    let mut text = String::new();
    for (site, held) in loaded {
        let name = held.name.clone().unwrap_or_else(|| held.digest.chars().take(10).collect());
        let waiting = if held.queued > 0 { format!(", {} waiting", held.queued) } else { String::new() };
        let ready = held.stage == StageDto::Ready;
        let memory = if held.memory > 0 { format!(", {}", ByteCount(held.memory)) } else { String::new() };
        let note = if held.note.is_empty() { String::new() } else { format!(", {}", held.note) };
        let busy = match ready {
            true => format!("{} of {} slots busy{waiting}{memory}{note}", held.busy, held.slots),
            false => held.note.clone(),
        };
        text.push_str(&format!(
            "{}  {:4}  {:12}  {}\n",
            colour.bold(&format!("{:24}", plain(&name))),
            held.device.as_deref().unwrap_or("-"),
            plain(site),
            plain(&busy)
        ));
        if !held.engine.is_empty() {
            text.push_str(&format!("    {}\n", plain(&held.engine)));
        }
    }
    text
}
