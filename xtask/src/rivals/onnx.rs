//! Tensor models: a worker of ours beside the same library inside a Python program, which has no hop at all.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::Setting;
use super::page::{Goal, Row, median, short};
use super::run::{bench, number, object};

/// From here on a model counts as one whose own time matters, in microseconds; below, the hop does.
const LARGE_US: f64 = 1_000.0;

const RATIO_MAX: f64 = 1.15;
const HOP_MAX_US: f64 = 60.0;

const WHY_CLOCK: &str = "a worker sleeps between two requests and a Python program does not; on an idle machine it wakes on the other \
                         processor, which here, in a virtual machine, costs some 25 µs each way and its caches. With all of it \
                         on one processor (`taskset -c 0 hither bench engine`) the hop of the fraud model is 6 µs";

/// Seconds of a round.
const SECONDS: &str = "1.5";

struct Model {
    name: &'static str,
    file: PathBuf,
    inputs: Vec<(&'static str, &'static str, Vec<u64>)>,
}

fn models(setting: &Setting) -> Vec<Model> {
    let ours = |file: &str| crate::tidy::root().join("models").join(file);
    let theirs = |file: &str| setting.rivals.join("models").join(file);
    let model = |name, file, inputs| Model { name, file, inputs };
    vec![
        model("fraud, trees", ours("fraud.onnx"), vec![("input", "FP32", vec![1, 12])]),
        model("maintenance, trees", ours("maintenance.onnx"), vec![("input", "FP32", vec![1, 9])]),
        model(
            "speech or not (Silero)",
            theirs("silero_vad.onnx"),
            vec![("input", "FP32", vec![1, 576]), ("sr", "INT64", vec![]), ("state", "FP32", vec![2, 1, 128])],
        ),
        model("angle of a line (PP-OCR)", theirs("ppocr_cls.onnx"), vec![("x", "FP32", vec![1, 3, 48, 192])]),
        model("orientation (PP-LCNet)", theirs("pplcnet.onnx"), vec![("x", "FP32", vec![1, 3, 224, 224])]),
        model("kind of a file (Magika)", theirs("magika.onnx"), vec![("bytes", "INT32", vec![1, 2048])]),
        model(
            "vector of a text (MiniLM-L6)",
            theirs("minilm_l6.onnx"),
            ["input_ids", "attention_mask", "token_type_ids"].map(|name| (name, "INT64", vec![1, 64])).to_vec(),
        ),
    ]
}

/// A request: fractions where there may be some, else small whole numbers; 16 kHz for the one that asks for a rate.
fn body(model: &Model) -> Value {
    let tensor = |(name, kind, shape): &(&str, &str, Vec<u64>)| {
        let data: Vec<Value> = (0..shape.iter().product::<u64>())
            .map(|at| match *kind {
                "FP32" => json!((at.wrapping_mul(7919) % 1000) as f64 / 1000.0),
                _ if *name == "sr" => json!(16_000),
                _ => json!(1),
            })
            .collect();
        json!({"name": name, "datatype": kind, "shape": shape, "data": data})
    };
    json!({"inputs": model.inputs.iter().map(tensor).collect::<Vec<_>>()})
}

/// A row for each model.
pub(super) fn rows(setting: &Setting) -> Vec<Row> {
    let python = setting.rivals.join("onnx/bin/python");
    models(setting).iter().flat_map(|model| both(setting, &python, model)).collect()
}

fn both(setting: &Setting, python: &std::path::Path, model: &Model) -> Vec<Row> {
    let row = Row {
        part: "Tensors: a worker beside ONNX Runtime inside a Python program",
        what: model.name.to_owned(),
        goal: Goal::None,
        unit: "",
        figures: Ok(Vec::new()),
        ours: "–".to_owned(),
        theirs: "–".to_owned(),
        why: "",
    };
    let pairs = match pairs(setting, python, model) {
        Ok(pairs) => pairs,
        Err(why) => return vec![Row { figures: Err(why), ..row }],
    };
    let made = |what: &str, goal, of: fn(&Pair) -> [f64; 2], figure: fn([f64; 2]) -> f64| Row {
        what: format!("{}, {what}", model.name),
        goal,
        figures: Ok(pairs.iter().map(|pair| figure(of(pair))).collect()),
        ours: format!("{} µs", short(median(&pairs.iter().map(|pair| of(pair)[0]).collect::<Vec<_>>()))),
        theirs: format!("{} µs", short(median(&pairs.iter().map(|pair| of(pair)[1]).collect::<Vec<_>>()))),
        ..row.clone()
    };
    let cpu = |pair: &Pair| [pair.ours.1, pair.theirs.1];
    let p50 = |pair: &Pair| [pair.ours.0, pair.theirs.0];
    let ratio = |[ours, theirs]: [f64; 2]| ours / theirs;
    let added = |[ours, theirs]: [f64; 2]| ours - theirs;
    if median(&pairs.iter().map(|pair| pair.theirs.0).collect::<Vec<_>>()) < LARGE_US {
        return vec![Row { unit: "µs", why: WHY_CLOCK, ..made("added p50", Goal::AtMost(HOP_MAX_US), p50, added) }];
    }
    vec![
        Row { why: WHY_CLOCK, ..made("processor time", Goal::AtMost(RATIO_MAX), cpu, ratio) },
        Row { why: WHY_CLOCK, ..made("p50", Goal::AtMost(RATIO_MAX), p50, ratio) },
    ]
}

/// Median latency and processor time of a request, in microseconds.
struct Pair {
    ours: (f64, f64),
    theirs: (f64, f64),
}

fn pairs(setting: &Setting, python: &std::path::Path, model: &Model) -> Result<Vec<Pair>, String> {
    let path = setting.scratch.join("body.json");
    super::write(&path, &body(model).to_string())?;
    let (file, body) = (model.file.display().to_string(), path.display().to_string());
    let read = |found: Value| {
        let p50 = number(&found, 1, "/latency_us/p50");
        p50.zip(number(&found, 1, "/cpu_us_per_request")).ok_or(format!("no figures in {found}"))
    };
    (0..setting.rounds)
        .map(|_| {
            let words = ["--model", &file, "--body", &body, "--streams", "1", "--seconds", SECONDS];
            let ours = read(bench(setting, &words)?)?;
            let script = crate::tidy::root().join("scripts/rivals/onnx_round.py");
            let theirs = object(Command::new(python).arg(script).args([&file, &body, SECONDS, "1"]))?;
            Ok(Pair { ours, theirs: read(theirs)? })
        })
        .collect()
}
