//! `hither models`: what is here, what is elsewhere, and how it gets from there to here.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use hither_api::admin::{AddModelDto, DoneDto, GoldenDto, ModelDto, PresenceDto, StageDto, ViewDto};
use hither_types::id::ModelName;
use hither_types::unit::ByteCount;
use serde_json::json;

use super::{Context, parse};
use crate::client::Client;
use crate::output::{Exit, Trouble, plain};

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Take a model file into the store and tell the mesh.
    Add {
        /// The file, ONNX or GGUF.
        file: PathBuf,
        /// What people will call it.
        #[arg(long, value_parser = parse::model)]
        name: ModelName,
        /// The SPDX licence expression, such as Apache-2.0.
        #[arg(long, value_name = "SPDX", default_value = "")]
        licence: String,
        /// A JSON file with questions whose answers are known: a list of {"inputs": […], "outputs": […]} with tensors in
        /// the form of the Open Inference Protocol, or of {"prompt": "…", "begins": "…"}. Without it, what the model
        /// answers here counts, wherever it runs.
        #[arg(long, value_name = "FILE")]
        golden: Option<PathBuf>,
    },
    /// List the models of the mesh, and where each is.
    Ls,
    /// Ask a model that is open on this node what is known of its answers.
    Verify {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
    /// Fetch a model from the peers that have it.
    Pull {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
}

/// Does it.
pub(super) fn models(context: &Context, command: ModelsCommand) -> Result<(), Trouble> {
    let client = Client::of(&context.data_dir()?);
    match command {
        ModelsCommand::Add { file, name, licence, golden } => {
            let path = std::path::absolute(&file)
                .ok()
                .filter(|path| path.is_file())
                .ok_or_else(|| Trouble::new("E0140", format!("{} is not a file", file.display())).exit(Exit::Usage))?;
            let golden = golden.as_deref().map(known_answers).transpose()?.unwrap_or_default();
            let body = AddModelDto { path: path.display().to_string(), name: name.to_string(), licence, golden };
            let model: ModelDto = context.wait(client.post("/hither/v1/models", &json!(body)))?;
            context.screen.answer(&json!(model), |colour| {
                let answers = match model.known_answers {
                    0 => "no known answers: it answers by chance, or takes no input that can be made up".to_owned(),
                    count => format!("{count} known answers, checked wherever it is loaded and every hour"),
                };
                format!(
                    "{}  {}  {}  b3:{}\n  takes {} of memory\n  {answers}\n",
                    colour.bold(&model.name),
                    model.format,
                    ByteCount(model.size),
                    &model.digest[..10.min(model.digest.len())],
                    ByteCount(model.memory),
                )
            });
        }
        ModelsCommand::Ls => {
            let view: ViewDto = context.wait(client.get("/hither/v1/view"))?;
            context.screen.answer(&json!(view.models), |colour| {
                if view.models.is_empty() {
                    return "no models yet: hither models add FILE --name NAME\n".to_owned();
                }
                view.models
                    .iter()
                    .map(|model| {
                        let name = format!("{:24}", plain(&model.name));
                        let size = ByteCount(model.size).to_string();
                        let licence = if model.licence.is_empty() { "licence unknown" } else { &model.licence };
                        format!(
                            "{}  {:5}  {size:>9}  {}\n    {}\n",
                            colour.bold(&name),
                            model.format,
                            plain(licence),
                            held_by(&view, model)
                        )
                    })
                    .collect()
            });
        }
        ModelsCommand::Verify { name } => {
            let path = format!("/hither/v1/models/{}/verify", name.as_str().replace('/', "%2F"));
            let done: DoneDto = context.wait(client.post(&path, &json!({})))?;
            context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
        }
        ModelsCommand::Pull { name } => {
            // The name is of letters, digits and ._-/: only; the slash is the one that a path would take for its own.
            let path = format!("/hither/v1/models/{}/pull", name.as_str().replace('/', "%2F"));
            let done: DoneDto = context.wait(client.post(&path, &json!({})))?;
            context.screen.answer(&json!(done), |colour| {
                format!("{}\n  {} hither models ls\n", plain(&done.message), colour.green("progress:"))
            });
        }
    }
    Ok(())
}

fn known_answers(path: &Path) -> Result<Vec<GoldenDto>, Trouble> {
    let wrong = |text: String| {
        Trouble::new("E0141", format!("the known answers in {} cannot be used: {text}", path.display()))
            .exit(Exit::Usage)
            .help("give a list such as [{\"prompt\": \"2, 4, 6,\", \"begins\": \" 8\"}]")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

fn held_by(view: &ViewDto, model: &ModelDto) -> String {
    let places: Vec<String> = view
        .nodes
        .iter()
        .filter(|node| node.presence != PresenceDto::Gone)
        .filter_map(|node| {
            let held = node.models.iter().find(|held| held.digest == model.digest)?;
            let stage = match held.stage {
                StageDto::Fetching => format!("fetching {} %", held.fetched * 100 / model.size.max(1)),
                StageDto::Stored if held.note.is_empty() => "stored".to_owned(),
                StageDto::Stored => format!("stored, {}", held.note),
                StageDto::Quarantined if held.note.is_empty() => "in quarantine".to_owned(),
                StageDto::Quarantined => format!("in quarantine, {}", held.note),
                StageDto::Ready if held.memory == 0 => format!("ready, {} of {} slots busy", held.busy, held.slots),
                StageDto::Ready => format!(
                    "ready, {} of {} slots busy, {} of memory, {}",
                    held.busy,
                    held.slots,
                    ByteCount(held.memory),
                    held.note
                ),
            };
            Some(format!("{} ({stage})", node.member.site))
        })
        .collect();
    if places.is_empty() { "held by nobody who is present".to_owned() } else { plain(&places.join(" · ")) }
}
