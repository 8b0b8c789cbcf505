//! `hither models add`: from wherever a model is into the store of this node.
//!
//! This program fetches, not the node: a node contacts nobody but members and what its configuration names. What was fetched
//! lies in `incoming` of the data directory, is gone on with after an interruption, and is removed once the store has it.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use data_encoding::HEXLOWER;
use hither_api::admin::{AddModelDto, GoldenDto, ModelDto, SignedFileDto};
use hither_sources::{Fetched, Fetcher, Order, Progress, Settings, Sha256, Source, Stage, Whose};
use hither_types::id::ModelName;
use hither_types::unit::ByteCount;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;

use super::super::{Context, parse};
use super::logins;
use super::publish::end;
use super::signature::{Proven, WhomArgs, proven};
use crate::client::Client;
use crate::output::{Exit, Trouble, chain};

/// The directory of what is on its way, in that of the data.
const INCOMING: &str = "incoming";

/// How often the bar is drawn anew.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// What to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Where it is: a file or a directory of this machine, https://HOST/FILE, hf:ORG/REPO/FILE@REVISION, or
    /// oci://REGISTRY/REPOSITORY:TAG#FILE. ONNX or GGUF.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// What people will call it; the name of its file if absent.
    #[arg(long, value_parser = parse::model)]
    name: Option<ModelName>,
    /// The SHA-256 that the file must have, as sha256sum prints it.
    #[arg(long, value_name = "DIGITS")]
    sha256: Option<Sha256>,
    /// The SPDX licence expression, such as Apache-2.0.
    #[arg(long, value_name = "SPDX", default_value = "")]
    licence: String,
    /// A JSON file with questions whose answers are known: a list of {"inputs": […], "outputs": […]} with tensors in the form
    /// of the Open Inference Protocol, or of {"prompt": "…", "begins": "…"}. Without it, what the model answers here counts,
    /// wherever it runs.
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// Add it only if its publisher signed it: a bundle of OpenSSF Model Signing 1.0. A directory has to be as a whole what
    /// was signed; a file has to be the one that was signed, or among several the one of its name.
    #[arg(long, value_name = "BUNDLE", requires = "whom")]
    signature: Option<PathBuf>,
    #[command(flatten)]
    whom: WhomArgs,
    /// How long from now on it may be used, as 12h or 90d: after that no member does, until hither models publish says more.
    /// For ever if absent.
    #[arg(long, value_name = "TIME", value_parser = parse::span)]
    valid_for: Option<Duration>,
}

/// Does it.
pub(super) fn add(context: &Context, asked: &AddArgs) -> Result<(), Trouble> {
    let data = context.data_dir()?;
    let source: Source = asked.source.parse().map_err(|error| {
        Trouble::new("E0140", format!("{:?} names no model: {error}", asked.source)).exit(Exit::Usage)
    })?;
    let here = std::env::current_dir()
        .map_err(|error| Trouble::new("E0140", format!("the directory that this was typed in is gone: {error}")))?;
    let source = source.absolute(&here);
    let name = asked.name.clone().or_else(|| source.model_name()).ok_or_else(|| {
        Trouble::new("E0142", format!("{source} gives the model no name")).help("add --name NAME").exit(Exit::Usage)
    })?;
    let golden = asked.golden.as_deref().map(known_answers).transpose()?.unwrap_or_default();
    // Who signed is known before anything is fetched.
    let proven = asked.signature.as_deref().map(|bundle| proven(bundle, &asked.whom)).transpose()?;
    let client = Client::of(&data).patient();
    // Nobody is asked for gigabytes that no node is there to take.
    context.wait(client.get::<serde_json::Value>("/hither/v1/view"))?;
    let into = data.join(INCOMING).join(source.key());
    let fetched = context.wait(fetch(context, &source, asked.sha256, &into))?;
    if !fetched.others.is_empty() {
        return Err(of_several(&source, &fetched));
    }
    let checked = proven.as_ref().map(|proven| as_signed(proven, &source, &fetched, &into)).transpose()?;
    let path = fetched.model.path.display().to_string();
    let valid_for_s = asked.valid_for.map(|span| span.as_secs());
    // The node takes no other file than the one that was checked, and tells the mesh who signed it.
    let signed = proven.as_ref().zip(checked).map(|(proven, digest)| SignedFileDto { by: proven.entry(), digest });
    let licence = asked.licence.clone();
    let body = AddModelDto { path, name: name.to_string(), licence, golden, valid_for_s, signed };
    let model: ModelDto = context.wait(client.post("/hither/v1/models", &json!(body)))?;
    let left = match fetched.whose {
        Whose::Ours => clear(&into),
        Whose::Theirs => None,
    };
    let mut object = json!(model);
    if let Some(proven) = &proven {
        object["signer"] = proven.signer();
    }
    context.screen.answer(&object, |colour| {
        let answers = match model.known_answers {
            0 => "no known answers: it answers by chance, or takes no input that can be made up".to_owned(),
            count => format!("{count} known answers, checked wherever it is loaded and every hour"),
        };
        let signed = proven.iter().map(|proven| format!("  {}\n", proven.words(colour)));
        let ends = end(&model).map(|end| format!("  {end}\n"));
        let version = fetched.revision.iter().map(|revision| format!("  from {source}, {revision}\n"));
        let left = left.iter().map(|left| format!("  {left}\n"));
        format!(
            "{}  {}  {}  b3:{}\n  takes {} of memory\n  {answers}\n{}{}{}{}",
            colour.bold(&model.name),
            model.format,
            ByteCount(model.size),
            &model.digest[..10.min(model.digest.len())],
            ByteCount(model.memory),
            signed.collect::<String>(),
            ends.unwrap_or_default(),
            version.collect::<String>(),
            left.collect::<String>(),
        )
    });
    Ok(())
}

/// Compares what is here with what was signed, and gives its BLAKE3. What was fetched and is something else is of no use.
fn as_signed(proven: &Proven, source: &Source, fetched: &Fetched, into: &Path) -> Result<String, Trouble> {
    let model = &fetched.model.path;
    let given = match source {
        Source::Local(path) => path,
        _ => model,
    };
    let blake3 = proven.check_one(given, model).inspect_err(|_| {
        if fetched.whose == Whose::Ours {
            clear(into);
        }
    })?;
    Ok(HEXLOWER.encode(&blake3))
}

async fn fetch(context: &Context, source: &Source, sha256: Option<Sha256>, into: &Path) -> Result<Fetched, Trouble> {
    let settings = Settings { registries: logins(source)?, ..Settings::default() };
    let settings = settings.with_environment(|name| std::env::var(name).ok());
    let fetcher = Fetcher::new(settings).map_err(|error| Trouble::new("E0143", error.to_string()).exit(Exit::Usage))?;
    let (progress, seen) = watch::channel(Progress::default());
    let bar = bar(context);
    let fetched = {
        let fetch = fetcher.fetch(Order { source, sha256, into }, &progress);
        tokio::pin!(fetch);
        let mut tick = tokio::time::interval(DRAWN_EVERY);
        loop {
            tokio::select! {
                fetched = &mut fetch => break fetched,
                _ = tick.tick() => draw(&bar, *seen.borrow()),
            }
        }
    };
    bar.finish_and_clear();
    fetched.map_err(|error| {
        if matches!(source, Source::Local(_)) {
            return Trouble::new("E0140", chain(&error)).exit(Exit::Usage);
        }
        let trouble = Trouble::new("E0144", format!("{source} cannot be fetched: {}", chain(&error)));
        if seen.borrow().done.0 > 0 { trouble.help("type the same again: what came so far is kept") } else { trouble }
    })
}

/// A bar on stderr, for a person alone.
fn bar(context: &Context) -> ProgressBar {
    let attended = !context.screen.is_json() && std::io::stderr().is_terminal();
    let target = if attended { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    ProgressBar::with_draw_target(None, target)
}

fn draw(bar: &ProgressBar, progress: Progress) {
    let template = match (progress.stage, progress.total) {
        (Stage::Asking, _) => "asks what is there",
        (Stage::Waiting, _) => "waits, and goes on by itself  {bytes} so far",
        (Stage::Checking, Some(_)) => "looks at what is here  {bar:40} {bytes}/{total_bytes}",
        (Stage::Checking, None) => "looks at what is here  {bytes}",
        (Stage::Fetching, Some(_)) => "{bar:40} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        (Stage::Fetching, None) => "{bytes}  {bytes_per_sec}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    match progress.total {
        Some(total) => bar.set_length(total.0),
        None => bar.unset_length(),
    }
    bar.set_position(progress.done.0);
}

/// A model of several files cannot be told to the mesh, whose catalog knows one file of each.
fn of_several(source: &Source, fetched: &Fetched) -> Trouble {
    let count = 1 + fetched.others.len();
    let trouble =
        Trouble::new("E0145", format!("{source} is a model of {count} files, and the mesh knows models of one"));
    let first = fetched.model.path.display();
    let trouble = match fetched.model.path.extension().is_some_and(|extension| extension == "gguf") {
        true => trouble.help(format!("llama-gguf-split --merge {first} whole.gguf, and add whole.gguf")),
        false => trouble.help("save the model with its data in one ONNX file, which may have at most 2 GB"),
    };
    trouble.exit(Exit::Usage)
}

/// Removes what the store has now. Says what is left if that fails.
fn clear(into: &Path) -> Option<String> {
    let failed = std::fs::remove_dir_all(into).err()?;
    Some(format!("{} is of no use any more and cannot be removed: {failed}", into.display()))
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
