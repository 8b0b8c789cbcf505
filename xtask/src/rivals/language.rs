//! A language model over HTTP: a node of ours beside llama-server.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::Setting;
use super::page::{Goal, Row, median, short};
use super::run::{Server, bench, number, port};

const MODEL: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// What is compared: its words, the place of the figure, the streams, the goal, and why it may be missed.
type Figure = (&'static str, &'static str, u64, Goal, &'static str);

const FIGURES: [Figure; 8] = [
    ("decode, tokens a second of processor", "/language/decode_tokens_per_cpu_s", 1, Goal::AtLeast(0.97), DECODE),
    (
        "prefill, tokens a second of processor",
        "/language/prefill_tokens_per_cpu_s",
        1,
        Goal::AtLeast(0.97),
        SMALL_STEPS,
    ),
    ("decode, tokens a second", "/language/decode_tokens_per_s/p50", 1, Goal::AtLeast(0.97), CLOCK),
    ("prefill, tokens a second", "/language/prefill_tokens_per_s/p50", 1, Goal::AtLeast(0.97), SMALL_STEPS),
    ("time to first token", "/language/first_token_us/p50", 1, Goal::AtMost(1.05), SMALL_STEPS),
    ("8 streams, tokens a second of processor", "/language/all_tokens_per_cpu_s", 8, Goal::AtLeast(1.0), SMALL_STEPS),
    ("8 streams, tokens of answers a second", "/language/output_tokens_per_s", 8, Goal::AtLeast(1.0), SMALL_STEPS),
    (
        "memory",
        "/memory_bytes",
        8,
        Goal::AtMost(1.1),
        "the node beside the worker, with its store, its ledger and the mesh",
    ),
];

const DECODE: &str =
    "each token passes a worker's socket, the node and HTTP, some hundred microseconds of twenty thousand";

const CLOCK: &str = "other work ran on the machine's processors: see the same for a second of processor";

const SMALL_STEPS: &str = "a prompt is read in blocks of 64 tokens and its end in small steps, so that a stream which \
                           goes on at another node says the same there; llama-server reads up to 512 at once";

const ASKED: [&str; 8] = ["--streams", "1,8", "--requests", "1", "--prompt-tokens", "256", "--output-tokens", "48"];

/// The same server with two sets of kernels.
const KINDS: [(&str, Option<&str>); 2] =
    [("llama-server", None), ("llama-server with our kernels", Some("llama-avx2"))];

/// Rows for each kind of llama-server.
pub(super) fn rows(setting: &Setting) -> Vec<Row> {
    KINDS.iter().flat_map(|(name, kernels)| beside(setting, name, *kernels)).collect()
}

fn start(setting: &Setting, kernels: Option<&str>) -> Result<Server, String> {
    let port = port()?;
    // A file of its own: pages of a file that two programs map count half for each.
    let model = copy(setting)?;
    let program = setting.rivals.join("llama-native/bin/llama-server");
    if !program.is_file() {
        return Err(format!("{} is not there; scripts/rivals/setup builds it", program.display()));
    }
    let mut command = Command::new(program);
    command.arg("--model").arg(model).args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--threads", "1", "--threads-batch", "1", "--parallel", "8", "--ctx-size", "8192", "--kv-unified"]);
    if let Some(kernels) = kernels {
        command.env("LD_LIBRARY_PATH", setting.rivals.join(kernels).join("bin"));
    }
    let url = format!("http://127.0.0.1:{port}/v1/completions");
    let trial = ["--streams", "1", "--requests", "1", "--prompt-tokens", "4", "--output-tokens", "2"];
    Server::start(setting, &mut command, &setting.scratch.join("llama-server.log"), url, &trial)
}

fn copy(setting: &Setting) -> Result<PathBuf, String> {
    let (from, to) = (setting.cache.join("models").join(MODEL), setting.scratch.join(MODEL));
    std::fs::copy(&from, &to).map_err(|error| format!("{}: {error}; scripts/fetch-models", from.display()))?;
    Ok(to)
}

fn beside(setting: &Setting, name: &str, kernels: Option<&str>) -> Vec<Row> {
    let model = setting.cache.join("models").join(MODEL).display().to_string();
    let mut words = vec!["--model", model.as_str(), "--http"];
    words.extend(ASKED);
    let pairs = start(setting, kernels).and_then(|server| {
        // A round takes a minute or more: half of the pairs will do.
        (0..setting.rounds.div_ceil(2))
            .map(|_| Ok((bench(setting, &words)?, server.round(setting, &ASKED)?)))
            .collect::<Result<Vec<(Value, Value)>, String>>()
    });
    FIGURES.iter().map(|figure| row(name, figure, &pairs)).collect()
}

fn row(name: &str, (what, path, streams, goal, why): &Figure, pairs: &Result<Vec<(Value, Value)>, String>) -> Row {
    let of = |found: &Value| number(found, *streams, path);
    // Memory and microseconds in millions.
    let scale = if path.contains("bytes") || path.contains("_us") { 1e-6 } else { 1.0 };
    let unit = match *path {
        path if path.contains("bytes") => " MB",
        path if path.contains("_us") => " s",
        _ => "",
    };
    let middle = |numbers: Vec<f64>| match numbers.is_empty() {
        true => "–".to_owned(),
        false => format!("{}{unit}", short(median(&numbers) * scale)),
    };
    let all = pairs.as_deref().unwrap_or_default();
    Row {
        part: "A language model over HTTP: a node beside llama-server",
        what: format!("{what}, beside {name}"),
        goal: *goal,
        unit: "",
        figures: match pairs {
            Ok(pairs) => Ok(pairs.iter().filter_map(|(ours, theirs)| Some(of(ours)? / of(theirs)?)).collect()),
            Err(why) => Err(why.clone()),
        },
        ours: middle(all.iter().filter_map(|(ours, _)| of(ours)).collect()),
        theirs: middle(all.iter().filter_map(|(_, theirs)| of(theirs)).collect()),
        why,
    }
}
