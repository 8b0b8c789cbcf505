//! `hither models show`: all that the catalog says of one model.

use hither_api::admin::{IoDto, ModelDto, TensorDto, ViewDto};
use hither_types::id::ModelName;
use hither_types::unit::ByteCount;
use serde_json::json;

use super::super::Context;
use super::held_by;
use super::publish::end;
use crate::client::Client;
use crate::output::{Colour, Trouble, plain};

/// Does it.
pub(super) fn show(context: &Context, client: &Client, name: &ModelName) -> Result<(), Trouble> {
    let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
    let model = view.models.iter().find(|model| model.name == name.as_str()).ok_or_else(|| {
        Trouble::new("E0401", format!("no model of this mesh is called {name}")).help("hither models ls")
    })?;
    context.screen.answer(&json!(model), |colour| text(&view, model, colour));
    Ok(())
}

fn text(view: &ViewDto, model: &ModelDto, colour: Colour) -> String {
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { plain(text) };
    let publisher = view.nodes.iter().find(|node| node.member.node == model.publisher);
    let publisher = match publisher {
        Some(node) => format!("{} ({})", plain(&node.member.site), model.publisher),
        None => format!("{}, which is no member any more", model.publisher),
    };
    let memory = if model.memory == 0 { "unknown".to_owned() } else { ByteCount(model.memory).to_string() };
    let mut rows = vec![
        ("format", format!("{}, {}", model.format, ByteCount(model.size))),
        ("licence", known(&model.licence)),
        ("publisher", publisher),
        ("blake3", model.digest.clone()),
        ("sha256", model.sha256.clone()),
        ("memory", memory),
        ("answers", format!("{} are known, and checked wherever it is loaded", model.known_answers)),
    ];
    rows.push(("entry", format!("revision {}, {}", model.revision, end(model).unwrap_or_else(|| "no end".to_owned()))));
    if !model.signed_by.is_empty() {
        rows.push(("signed by", plain(&model.signed_by)));
    }
    match &model.io {
        IoDto::Language { context_tokens } => rows.push(("context", format!("{context_tokens} tokens"))),
        IoDto::Tensors { inputs, outputs } => {
            rows.extend(inputs.iter().map(|input| ("input", tensor(input))));
            rows.extend(outputs.iter().map(|output| ("output", tensor(output))));
        }
    }
    rows.push(("held by", held_by(view, model)));
    let rows = rows.into_iter().map(|(what, said)| format!("  {what:10} {said}\n"));
    format!("{}\n{}", colour.bold(&plain(&model.name)), rows.collect::<String>())
}

fn tensor(tensor: &TensorDto) -> String {
    format!("{} {} {:?}", plain(&tensor.name), tensor.datatype, tensor.shape)
}
