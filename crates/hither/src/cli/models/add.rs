//! `hither models add`: from wherever a model is into the store of this node.
//!
//! This program fetches, not the node: a node contacts nobody but members and what its configuration names. What was fetched
//! lies in `incoming` of the data directory, is gone on with after an interruption, and is removed once the store has it. A
//! model of several files is joined to one there.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use data_encoding::HEXLOWER;
use hither_api::admin::{AddModelDto, GoldenDto, ModelDto, SignedFileDto};
use hither_engine::limits::ONNX_FILE_BYTES;
use hither_sources::{FetchError, Fetched, Fetcher, Order, Progress, Settings, Sha256, Source, Stage, Whose};
use hither_types::id::ModelName;
use hither_types::unit::ByteCount;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;

use super::super::{Context, parse};
use super::join::{Joined, Loose, NO_PLACE, join, loose};
use super::logins;
use super::publish::end;
use super::signature::{Proven, WhomArgs, proven};
use crate::client::Client;
use crate::output::{Exit, Trouble, chain, plain};

/// The directory of what is on its way, in that of the data.
const INCOMING: &str = "incoming";

/// How often the bar is drawn anew.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// What to add.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// Where it is: a file or a directory of this machine, https://HOST/FILE, hf:ORG/REPO/FILE@REVISION, or
    /// oci://REGISTRY/REPOSITORY:TAG#FILE. ONNX or GGUF. Of a model in several files name any part of a split GGUF, or the
    /// .onnx file: they are joined to one.
    #[arg(value_name = "SOURCE")]
    source: String,
    /// What people will call it; the name of its file if absent.
    #[arg(long, value_parser = parse::model)]
    name: Option<ModelName>,
    /// The SHA-256 that the file must have, as sha256sum prints it. Not for a model of several files.
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
    /// was signed; a file has to be the one that was signed, or among several the one of its name. Of a model in several files
    /// every one has to be.
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
    let (fetched, loose) = context.wait(fetch(context, &source, asked.sha256, &into))?;
    let (joined, signed) =
        whole(context, &source, (&fetched, loose.as_ref()), proven.as_ref(), &into).inspect_err(|trouble| {
            // What was fetched and cannot be used is of no use.
            if fetched.whose == Whose::Ours && trouble.code != NO_PLACE {
                clear(&into);
            }
        })?;
    let path = joined.as_ref().map_or(&fetched.model.path, |joined| &joined.path).display().to_string();
    let valid_for_s = asked.valid_for.map(|span| span.as_secs());
    let licence = asked.licence.clone();
    let body = AddModelDto { path, name: name.to_string(), licence, golden, valid_for_s, signed };
    let model: ModelDto = context.wait(client.post("/hither/v1/models", &json!(body)))?;
    let names = joined.as_ref().map(|joined| joined.names.clone()).unwrap_or_default();
    drop(joined);
    let left = match fetched.whose {
        Whose::Ours => clear(&into),
        Whose::Theirs => None,
    };
    let mut object = json!(model);
    if !names.is_empty() {
        object["joined"] = json!(names);
    }
    if let Some(proven) = &proven {
        object["signer"] = proven.signer();
    }
    context.screen.answer(&object, |colour| {
        let joined = names.first().map(|first| {
            let others = names.len() - 1;
            format!("  joined {} files to one: {first} and {others} more\n", names.len())
        });
        let answers = match model.known_answers {
            0 => "no known answers: it answers by chance, or takes no input that can be made up".to_owned(),
            count => format!("{count} known answers, checked wherever it is loaded and every hour"),
        };
        let signed = proven.iter().map(|proven| format!("  {}\n", proven.words(colour)));
        let ends = end(&model).map(|end| format!("  {end}\n"));
        let version = fetched.revision.iter().map(|revision| format!("  from {source}, {revision}\n"));
        let left = left.iter().map(|left| format!("  {left}\n"));
        format!(
            "{}  {}  {}  b3:{}\n{}  takes {} of memory\n  {answers}\n{}{}{}{}",
            colour.bold(&model.name),
            model.format,
            ByteCount(model.size),
            &model.digest[..10.min(model.digest.len())],
            joined.unwrap_or_default(),
            ByteCount(model.memory),
            signed.collect::<String>(),
            ends.unwrap_or_default(),
            version.collect::<String>(),
            left.collect::<String>(),
        )
    });
    Ok(())
}

/// Compares what is here with what was signed, and joins it if it is in several files. Gives the joined file, and of the file
/// that the node shall take who signed it: the node takes no other than the one that was checked, or was made of what was.
fn whole(
    context: &Context,
    source: &Source,
    files: (&Fetched, Option<&Loose>),
    proven: Option<&Proven>,
    into: &Path,
) -> Result<(Option<Joined>, Option<SignedFileDto>), Trouble> {
    let (fetched, _) = files;
    let given = match source {
        Source::Local(path) => path,
        _ => &fetched.model.path,
    };
    let paths: Vec<&Path> =
        std::iter::once(&fetched.model).chain(&fetched.others).map(|file| file.path.as_path()).collect();
    let checked = proven.map(|proven| proven.check_all(given, &paths)).transpose()?;
    let joined = join(context, source, files, checked.as_deref(), into)?;
    let (Some(proven), Some(checked)) = (proven, checked) else { return Ok((joined, None)) };
    let digest = joined.as_ref().map_or(Ok(checked[0]), Joined::digest)?;
    Ok((joined, Some(SignedFileDto { by: proven.entry(), digest: HEXLOWER.encode(&digest) })))
}

/// Fetches all files of a model: those that its name tells of, and those that it names itself.
async fn fetch(
    context: &Context,
    source: &Source,
    sha256: Option<Sha256>,
    into: &Path,
) -> Result<(Fetched, Option<Loose>), Trouble> {
    let settings = Settings { registries: logins(source)?, ..Settings::default() };
    let settings = settings.with_environment(|name| std::env::var(name).ok());
    let fetcher = Fetcher::new(settings).map_err(|error| Trouble::new("E0143", error.to_string()).exit(Exit::Usage))?;
    let (progress, seen) = watch::channel(Progress::default());
    let order = Order { source, sha256, into };
    let failed = |error: FetchError| {
        use FetchError as E;
        if matches!(source, Source::Local(_)) {
            return Trouble::new("E0140", plain(&chain(&error))).exit(Exit::Usage);
        }
        let trouble = Trouble::new("E0144", format!("{source} cannot be fetched: {}", plain(&chain(&error))));
        // It would end like this again.
        if matches!(error, E::Name(_) | E::Beside { .. } | E::BesideTooMany(_) | E::ChecksumOfSeveral(_)) {
            clear(into);
            return trouble;
        }
        if seen.borrow().done.0 > 0 { trouble.help("type the same again: what came so far is kept") } else { trouble }
    };
    let mut fetched = watched(context, &seen, fetcher.fetch(order, &progress)).await.map_err(failed)?;
    // A split model is known by its name; what else is in several files says so itself.
    if !fetched.others.is_empty() {
        return Ok((fetched, None));
    }
    let is_ours = fetched.whose == Whose::Ours;
    let loose = loose(source, &fetched.model).inspect_err(|_| {
        if is_ours {
            clear(into);
        }
    })?;
    if let Some(loose) = &loose {
        let beside = fetcher.beside(order, &fetched, (loose.names(), ByteCount(ONNX_FILE_BYTES)), &progress);
        fetched.others = watched(context, &seen, beside).await.map_err(failed)?;
    }
    Ok((fetched, loose))
}

/// Waits for files, and shows how far they are.
async fn watched<T>(
    context: &Context,
    seen: &watch::Receiver<Progress>,
    files: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let bar = bar(context);
    let files = {
        tokio::pin!(files);
        let mut tick = tokio::time::interval(DRAWN_EVERY);
        loop {
            tokio::select! {
                files = &mut files => break files,
                _ = tick.tick() => draw(&bar, *seen.borrow()),
            }
        }
    };
    bar.finish_and_clear();
    files
}

/// A bar on stderr, for a person alone.
pub(super) fn bar(context: &Context) -> ProgressBar {
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
