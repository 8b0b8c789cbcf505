//! `hither models`: what is here, what is elsewhere, and how it gets from there to here.

use clap::Subcommand;
use hither_api::admin::{DoneDto, ModelDto, PresenceDto, RemoveModelDto, StageDto, ViewDto};
use hither_types::id::ModelName;
use hither_types::unit::ByteCount;
use serde_json::json;

use super::{Context, parse};
use crate::client::Client;
use crate::output::{Trouble, plain};

mod add;
mod join;
mod logins;
mod publish;
mod rollout;
mod show;
mod signature;

use logins::logins;

/// What can be done with models.
#[derive(Debug, Subcommand)]
pub(super) enum ModelsCommand {
    /// Take a model from a file, a web server, a hub or a registry into the store, and tell the mesh.
    Add(add::AddArgs),
    /// List the models of the mesh, and where each is.
    Ls,
    /// Show all that the catalog says of a model, and who has it.
    Show {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
    /// Check a model's files against a signature of its publisher (OpenSSF Model Signing 1.0), without a node.
    Signature(signature::SignatureArgs),
    /// Ask a model that is open on this node what is known of its answers.
    Verify {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
    /// Take a model's file off this node's disk. The mesh keeps knowing the model: who asks for it is served by others that have
    /// it, and with [models] pull = "on-demand" it comes back when it is asked for here.
    Rm {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
        /// Also if nobody else who is present has it.
        #[arg(long)]
        last: bool,
    },
    /// Sign a model's entry in the catalog anew, as this node, with the same end or another: it replaces the old one at every
    /// member.
    Publish(publish::PublishArgs),
    /// Let a new version of a model take over from an old one, by a share of the requests or by site, or show how that goes.
    /// A node where the new version fails, or gives a wrong answer, goes back by itself.
    Rollout(rollout::RolloutArgs),
    /// Go back to the version before.
    Rollback {
        /// What applications ask for.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
    /// Keep a model on this node: it never makes way for another one, and is not removed before it is unpinned. With [models]
    /// pull = "automatic" it comes by itself.
    Pin {
        /// Its name.
        #[arg(value_parser = parse::model)]
        name: ModelName,
    },
    /// Let a pinned model leave when another one needs its room.
    Unpin {
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
        ModelsCommand::Add(asked) => add::add(context, &asked)?,
        ModelsCommand::Signature(asked) => signature::signature(context, &asked)?,
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
                        let end = publish::end(model).map_or_else(String::new, |end| format!("  {end}"));
                        format!(
                            "{}  {:5}  {size:>9}  {}{end}\n    {}\n",
                            colour.bold(&name),
                            model.format,
                            plain(licence),
                            held_by(&view, model)
                        )
                    })
                    .collect()
            });
        }
        ModelsCommand::Show { name } => show::show(context, &client, &name)?,
        ModelsCommand::Publish(asked) => publish::publish(context, &client, &asked)?,
        ModelsCommand::Rollout(asked) => rollout::rollout(context, &client, asked)?,
        ModelsCommand::Rollback { name } => rollout::rollback(context, &client, &name)?,
        ModelsCommand::Verify { name } => done(context, &client, &name, "verify")?,
        ModelsCommand::Pin { name } => done(context, &client, &name, "pin")?,
        ModelsCommand::Unpin { name } => done(context, &client, &name, "unpin")?,
        ModelsCommand::Rm { name, last } => {
            let done: DoneDto =
                context.wait(client.post(&path_of(&name, "remove"), &json!(RemoveModelDto { last })))?;
            context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
        }
        ModelsCommand::Pull { name } => {
            let done: DoneDto = context.wait(client.post(&path_of(&name, "pull"), &json!({})))?;
            context.screen.answer(&json!(done), |colour| {
                format!("{}\n  {} hither models ls\n", plain(&done.message), colour.green("progress:"))
            });
        }
    }
    Ok(())
}

/// The path of what is asked about a model. Its name is of letters, digits and ._-/: only; the slash is the one that a path
/// would take for its own.
fn path_of(name: &ModelName, what: &str) -> String {
    format!("/hither/v1/models/{}/{what}", name.as_str().replace('/', "%2F"))
}

/// A command about one model, and what the node says to it.
fn done(context: &Context, client: &Client, name: &ModelName, what: &str) -> Result<(), Trouble> {
    let done: DoneDto = context.wait(client.post(&path_of(name, what), &json!({})))?;
    context.screen.answer(&json!(done), |_| format!("{}\n", plain(&done.message)));
    Ok(())
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
            let why = if held.why.is_empty() { String::new() } else { format!("; {}", held.why) };
            Some(format!("{} ({stage}{why})", node.member.site))
        })
        .collect();
    if places.is_empty() { "held by nobody who is present".to_owned() } else { plain(&places.join(" · ")) }
}
