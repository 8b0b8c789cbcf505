//! `hither demo`: three sites on this machine, each its own process, keys, disk and law, and six things to watch.
//!
//! The steps run in order and build on one another; each prints what it measured and asserts what it claims.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{Exit, Screen, Trouble, line};

mod assets;
mod audit;
mod cloud;
mod decide;
mod failover;
mod fetch;
mod law;
mod lean;
mod live;
mod policies;
mod power;
mod show;
pub(crate) mod site;
mod talk;
pub(crate) mod world;

use show::Show;
use world::World;

/// What `demo` is told.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Need no terminal, end after the last step, and put one JSON object on the last line.
    #[arg(long)]
    script: bool,
    /// Where the three sites live; a new directory under ~/.cache/hither if absent. Removed at the end.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where fraud.onnx, maintenance.onnx and their rows are.
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
}

/// The model that speaks.
const LANGUAGE_MODEL: &str = "smollm2-135m";

/// The steps, by the name that the JSON gives them.
const STEPS: [&str; 6] = ["decide", "fetch", "law", "failover", "power", "audit"];

/// Plays the demo.
pub(crate) fn demo(screen: Screen, args: DemoArgs) -> Result<(), Trouble> {
    let attended = !args.script && !screen.is_json() && std::io::stdout().is_terminal();
    // One thread, this one: the children are tied to the thread that starts them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new("E0102", format!("the machine gives no resources to wait with: {error}")))?;
    let show = Show::new(attended);
    let mut played = Played::default();
    let done = runtime.block_on(async {
        tokio::select! {
            done = story(&args, &show, &mut played, attended) => done,
            stopped = stopped() => stopped,
        }
    });
    if !attended {
        line(&played.json(done.as_ref().err()).to_string());
    }
    match done {
        // The reason is in the JSON already; a second copy would not be one object on the last line.
        Err(trouble) if screen.is_json() => Err(trouble.quiet()),
        other => other,
    }
}

/// What has been played so far.
#[derive(Default)]
struct Played {
    steps: Vec<Value>,
}

impl Played {
    fn json(&self, trouble: Option<&Trouble>) -> Value {
        let mut steps = self.steps.clone();
        if let Some(trouble) = trouble {
            if let Some(name) = STEPS.get(steps.len()) {
                steps.push(json!({"name": name, "ok": false, "why": trouble.message, "notes": trouble.notes}));
            }
            steps.extend(
                STEPS.iter().skip(steps.len()).map(|name| json!({"name": name, "ok": false, "why": "not reached"})),
            );
        }
        let mut object = json!({"ok": trouble.is_none(), "steps": steps});
        if let Some(trouble) = trouble {
            object["why"] = json!(trouble.message);
            object["code"] = json!(trouble.code);
        }
        object
    }
}

/// Resolves when somebody wants this program to end.
pub(crate) async fn stopped() -> Result<(), Trouble> {
    let trouble = |error| Trouble::new("E0111", format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(trouble)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(trouble)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Err(Trouble::new("E0909", "stopped by a signal; the processes and files of it are gone"))
}

async fn story(args: &DemoArgs, show: &Show, played: &mut Played, attended: bool) -> Result<(), Trouble> {
    let assets = assets::Assets::find(args.models.as_deref())?;
    let mut world = World::make(args.dir.as_deref(), assets)?;
    show.title(&format!(
        "Three sites on this machine, each its own process, keys, disk and law. Real models. Everything is removed at \
         the end ({}).",
        world.dir().display()
    ));
    let done = play(&mut world, show, played).await;
    if let Err(trouble) = &done {
        show.bad(&trouble.message);
        world.sites().for_each(|site| show.log(site.name(), &site.log_tail()));
    }
    done?;
    if attended {
        live::stay(&mut world, show).await?;
    }
    Ok(())
}

async fn play(world: &mut World, show: &Show, played: &mut Played) -> Result<(), Trouble> {
    world.bring_up(show).await?;
    for (at, name) in STEPS.into_iter().enumerate() {
        let began = std::time::Instant::now();
        let figures = match name {
            "decide" => decide::play(world, show).await,
            "fetch" => fetch::play(world, show).await,
            "law" => law::play(world, show).await,
            "failover" => failover::play(world, show).await,
            "power" => power::play(world, show).await,
            "audit" => audit::play(world, show).await,
            other => unreachable!("step {other} is not in the list"),
        };
        let mut object = json!({"name": name, "ok": true, "seconds": began.elapsed().as_secs_f64()});
        let figures =
            figures.map_err(|trouble| trouble.note(format!("in step {} of {}: {name}", at + 1, STEPS.len())))?;
        for (key, value) in figures {
            object[key] = value;
        }
        played.steps.push(object);
    }
    Ok(())
}

/// What a step measured.
type Figures = serde_json::Map<String, Value>;

/// Makes figures of a JSON object.
fn figures(object: Value) -> Figures {
    match object {
        Value::Object(map) => map,
        other => unreachable!("figures are an object, not {other}"),
    }
}

/// Holds a claim of the demo to the truth.
fn ensure(holds: bool, claim: impl FnOnce() -> String) -> Result<(), Trouble> {
    if holds { Ok(()) } else { Err(Trouble::new("E0902", format!("the demo does not hold: {}", claim()))) }
}

/// A wait that took too long, or a child that is not there.
pub(crate) fn failed(message: impl Into<String>) -> Trouble {
    Trouble::new("E0903", message).exit(Exit::Failed)
}
