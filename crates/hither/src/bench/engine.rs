//! `hither bench engine`: how fast one model answers, through a worker alone, through a node's HTTP interface, or at
//! another server of this machine.
//!
//! What must stay true: all three ways are asked the same, by the same client, and counted the same.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use hither_types::model::{Datatype, ModelIo, TensorSpec};
use serde_json::{Value, json};

use crate::output::{Exit, Screen, Trouble, line};

mod ask;
mod http;
mod node;
mod sample;
mod usage;
mod worker;

use ask::{Ask, Until};
use http::Http;
use node::Node;
use sample::{Round, Sample};
use usage::Tree;
use worker::Worker;

/// What comes before the first round and is not counted: caches fill, clocks of processors rise.
const WARM_UP: Duration = Duration::from_millis(300);

/// What `bench engine` is told.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    hither bench engine --model models/fraud.onnx\n  \
    hither bench engine --model models/fraud.onnx --http --streams 1,8,32\n  \
    hither bench engine --model SmolLM2-135M-Instruct.Q4_1.gguf --http --prompt-tokens 512\n  \
    hither bench engine --at http://127.0.0.1:8080/v1/completions --process 4711\n\n\
    The last one asks another server the same, so that both can be compared.")]
pub(crate) struct EngineArgs {
    /// The model: a file whose name ends with .onnx or .gguf.
    #[arg(long, value_name = "FILE", required_unless_present = "at", conflicts_with = "at")]
    model: Option<PathBuf>,
    /// Ask through the HTTP interface of a node, in the place of a worker alone.
    #[arg(long)]
    http: bool,
    /// Ask a server on this machine that runs already.
    #[arg(long, value_name = "URL", conflicts_with = "http")]
    at: Option<String>,
    /// The process of that server: its time and memory, and its children's, are reported.
    #[arg(long, value_name = "PID", requires = "at")]
    process: Option<u32>,
    /// What the model is called at that server.
    #[arg(long, value_name = "NAME", default_value = "model", requires = "at")]
    name: String,
    /// The request, as the Open Inference Protocol has it in JSON; made up if absent.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Rows of a request that is made up, if the model leaves that open.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Requests at once, a round for each number.
    #[arg(long, value_name = "N,…", default_value = "1,8", value_delimiter = ',')]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=512))]
    streams: Vec<u16>,
    /// How long a round of tensors takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0, value_parser = seconds)]
    seconds: f64,
    /// Requests of each stream in a round of text.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Words of a prompt, of about a token each.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens of an answer.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..))]
    output_tokens: u32,
    /// Threads of the engine.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    /// Conversations at once in the engine, for language models.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    slots: u16,
    /// Rows of several requests that go together in one call at most, for tensor models behind `--http`; 1 is off.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), requires = "http")]
    max_batch: u16,
    /// Tokens of one conversation, prompt and answer together.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(64..))]
    context_tokens: u32,
    /// The shared library of ONNX Runtime; looked for where a node looks if absent.
    #[arg(long, value_name = "FILE")]
    library: Option<PathBuf>,
}

impl EngineArgs {
    /// Whether no HTTP is spoken.
    pub(super) fn is_worker_alone(&self) -> bool {
        self.at.is_none() && !self.http
    }
}

/// What a model is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Onnx,
    Gguf,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::Gguf => "gguf",
        }
    }

    /// By the name of the file, or by the end of an address.
    fn of(args: &EngineArgs) -> Result<Self, Trouble> {
        if let Some(url) = &args.at {
            return Ok(if url.ends_with("/completions") { Self::Gguf } else { Self::Onnx });
        }
        let path = args.model.as_deref().unwrap_or(Path::new(""));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("onnx") => Ok(Self::Onnx),
            Some("gguf") => Ok(Self::Gguf),
            _ => Err(Trouble::new("E0912", format!("{} is neither .onnx nor .gguf", path.display()))
                .help("hither bench engine --model FILE.onnx")
                .exit(Exit::Usage)),
        }
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a round takes 0.1 to 3600 seconds".to_owned()),
    }
}

/// What is asked.
enum Target {
    Worker(Box<Worker>),
    /// Of a node of its own, which lives as long.
    Node {
        http: Http,
        _node: Box<Node>,
    },
    Server(Http),
}

/// Measures, and says what was found.
pub(super) async fn engine(screen: Screen, args: &EngineArgs) -> Result<(), Trouble> {
    let kind = Kind::of(args)?;
    let (mut target, ask) = prepare(args, kind).await?;
    let most = args.streams.iter().copied().max().unwrap_or(1);
    // A server that runs on must not know the prompts from an earlier call.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let mut sent = now.map_or(0, |since| since.as_micros() as u64);
    let warm_up = match &ask {
        Ask::Tensors { .. } => (ask.clone(), Until::Over(WARM_UP)),
        Ask::Text { .. } => (Ask::Text { words: 16, output_tokens: 4 }, Until::Each(1)),
    };
    round(&mut target, &warm_up.0, most, warm_up.1, &mut sent).await?;
    let mut rounds = Vec::new();
    for streams in &args.streams {
        let until = match kind {
            Kind::Onnx => Until::Over(Duration::from_secs_f64(args.seconds)),
            Kind::Gguf => Until::Each(args.requests),
        };
        let found = round(&mut target, &ask, *streams, until, &mut sent).await?;
        if !screen.is_json() {
            line(&found.text());
        }
        rounds.push(found.json());
    }
    if screen.is_json() {
        let (way, engine) = match &target {
            Target::Worker(worker) => ("worker", Some(worker.loaded().engine.clone())),
            Target::Node { .. } => ("http", None),
            Target::Server(_) => ("at", None),
        };
        let model = args.model.as_ref().map(|path| path.display().to_string());
        let object = json!({
            "model": model, "at": args.at, "way": way, "engine": engine, "threads": args.threads, "slots": args.slots,
            "rounds": rounds,
        });
        line(&object.to_string());
    }
    Ok(())
}

/// Starts what is to be asked, and finds what to ask it.
async fn prepare(args: &EngineArgs, kind: Kind) -> Result<(Target, Ask), Trouble> {
    let given = args.body.as_deref().map(Ask::file).transpose()?;
    if let Some(url) = &args.at {
        let tree = args.process.map(Tree::of).transpose()?;
        let ask = match (kind, given) {
            (Kind::Gguf, _) => Ask::text(args),
            (Kind::Onnx, Some(ask)) => ask,
            (Kind::Onnx, None) => {
                return Err(Trouble::new("E0912", "nobody knows what that server takes")
                    .help("--body REQUEST.json")
                    .exit(Exit::Usage));
            }
        };
        return Ok((Target::Server(Http::at(url, &args.name, tree)?), ask));
    }
    let model = args.model.as_deref().unwrap_or(Path::new(""));
    let model = std::fs::canonicalize(model)
        .map_err(|error| Trouble::new("E0912", format!("{}: {error}", model.display())).exit(Exit::Usage))?;
    let library = match kind {
        Kind::Onnx => Some(hither_node::find_library(args.library.clone()).ok_or_else(|| {
            Trouble::new("E0912", "ONNX Runtime is not found").help("scripts/fetch-models").help("--library FILE")
        })?),
        Kind::Gguf => None,
    };
    if args.is_worker_alone() {
        let worker = Worker::start(args, kind, &model, library.as_deref())?;
        let ask = match (&worker.loaded().io, given) {
            (ModelIo::Language { .. }, _) => Ask::text(args),
            (ModelIo::Tensors { .. }, Some(ask)) => ask,
            (ModelIo::Tensors { inputs, .. }, None) => Ask::made_for(inputs, args.rows)?,
        };
        return Ok((Target::Worker(Box::new(worker)), ask));
    }
    let node = Node::bring_up(args, &model, library.as_deref()).await?;
    let ask = match (kind, given) {
        (Kind::Gguf, _) => Ask::text(args),
        (Kind::Onnx, Some(ask)) => ask,
        (Kind::Onnx, None) => Ask::made_for(&specs(&node.metadata().await?), args.rows)?,
    };
    let http = node.http(kind)?;
    Ok((Target::Node { http, _node: Box::new(node) }, ask))
}

/// The inputs of a model, as its metadata tells them: -1 is any size.
fn specs(metadata: &Value) -> Vec<TensorSpec> {
    let one = |input: &Value| {
        let shape = input["shape"].as_array()?.iter().map(Value::as_u64).collect();
        let datatype = Datatype::parse(input["datatype"].as_str()?)?;
        Some(TensorSpec { name: input["name"].as_str()?.to_owned(), datatype, shape })
    };
    metadata["inputs"].as_array().map(|inputs| inputs.iter().filter_map(one).collect()).unwrap_or_default()
}

async fn round(target: &mut Target, ask: &Ask, streams: u16, until: Until, sent: &mut u64) -> Result<Round, Trouble> {
    let tree = match target {
        Target::Worker(worker) => Some(worker.tree()?),
        Target::Node { http, .. } | Target::Server(http) => http.tree(),
    };
    let cpu = |tree: Option<Tree>| tree.map(Tree::micros).transpose();
    let (before, own_before) = (cpu(tree)?, Tree::own_micros()?);
    let began = Instant::now();
    let samples: Vec<Sample> = match target {
        Target::Worker(worker) => worker.round(ask, streams, until)?,
        Target::Node { http, .. } | Target::Server(http) => http.round(ask, streams, until, *sent).await?,
    };
    let took = began.elapsed();
    *sent += samples.len() as u64;
    Ok(Round {
        streams,
        took,
        cpu_us: before.zip(cpu(tree)?).map(|(before, after)| after.saturating_sub(before)),
        client_cpu_us: Tree::own_micros()?.saturating_sub(own_before),
        memory: tree.map(Tree::memory).transpose()?,
        samples,
    })
}
