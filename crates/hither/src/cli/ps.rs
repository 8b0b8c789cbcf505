//! `hither ps`: which models are loaded, on which device of which node, and why there.

use hither_api::admin::{HeldDto, PresenceDto, StageDto, ViewDto};
use serde_json::json;

use super::Context;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// Shows the models that are loaded, this node's first.
pub(super) fn ps(context: &Context) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let loaded = loaded(&view);
    let list: Vec<_> = loaded.iter().map(|(site, held)| json!({ "site": site, "model": held })).collect();
    context.screen.answer(&json!(list), |colour| text(&loaded, colour));
    Ok(())
}

fn loaded(view: &ViewDto) -> Vec<(&str, &HeldDto)> {
    let present = view.nodes.iter().filter(|node| node.presence != PresenceDto::Gone);
    let models = present.flat_map(|node| node.models.iter().map(|held| (node.member.site.as_str(), held)));
    models.filter(|(_, held)| held.stage == StageDto::Ready).collect()
}

fn text(loaded: &[(&str, &HeldDto)], colour: Colour) -> String {
    if loaded.is_empty() {
        return "no model is loaded anywhere: hither models ls\n".to_owned();
    }
    let mut text = String::new();
    for (site, held) in loaded {
        let name = held.name.clone().unwrap_or_else(|| held.digest.chars().take(10).collect());
        let waiting = if held.queued > 0 { format!(", {} waiting", held.queued) } else { String::new() };
        text.push_str(&format!(
            "{}  {:4}  {:12}  {} of {} slots busy{waiting}\n",
            colour.bold(&format!("{:24}", plain(&name))),
            held.device.as_deref().unwrap_or("?"),
            plain(site),
            held.busy,
            held.slots
        ));
        if !held.engine.is_empty() {
            text.push_str(&format!("    {}\n", plain(&held.engine)));
        }
    }
    text
}
