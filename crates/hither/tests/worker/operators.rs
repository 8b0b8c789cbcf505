//! The operator tests that ONNX publishes, each through a worker of its own: the newest set, and the one of the
//! operator set 17 that deployed models use. `cargo xtask operators` writes what comes out as a page.
//!
//! A wrong answer that is not on the list below fails the test; an operator that the library does not have is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hither_engine::engine::JobFault;
use hither_engine::protocol::Report;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::model::Datatype;
use serde_json::Value;

use crate::node::{Node, cached};
use crate::onnx::LIBRARY;

/// Answers that differ from what the set wants, and why that is no fault: names begin so.
const DIFFERENT: &[(&str, &str)] = &[
    ("test_bernoulli", "random: the set has one draw of many"),
    ("test_training_dropout", "random: the set has one draw of many"),
    ("test_cast_FLOAT_to_BFLOAT16", "the old set cuts the last bits off, the library rounds"),
    ("test_cast_FLOAT_to_STRING", "the standard leaves open how many digits a number is written with"),
    ("test_castlike_FLOAT_to_STRING", "the standard leaves open how many digits a number is written with"),
    ("test_dft", "rounding: a zero within 1e-7 is wanted, between values of up to some hundred"),
    ("test_stft", "rounding: a zero within 1e-7 is wanted, between values of up to some hundred"),
    ("test_attention_4d_causal_fp16", "rounding: by one unit of half precision"),
    (
        "test_maxunpool_export_with_output_shape",
        "the library counts places in the shape that is asked for, the set in the one that follows from the kernel",
    ),
    (
        "test_resize_downsample_scales_cubic_align_corners",
        "the library scales by the whole length of the output, the set by a fraction of it",
    ),
    (
        "test_resize_downsample_scales_linear_align_corners",
        "the library scales by the whole length of the output, the set by a fraction of it",
    ),
];

/// Of how many tests one is run when no page is wanted: all of them take minutes on a small machine.
const SAMPLE: usize = 5;

/// What the two sets are called, and the least that must pass of each, in percent.
const SETS: [(&str, &str, f64); 2] = [
    ("opset17", "operator set 17 (Debian's libonnx-testdata 1.12.0)", 93.0),
    ("latest", "the newest operator set (onnx 1.23.2)", 91.0),
];

/// What came of one test.
enum Outcome {
    Passed,
    /// The library does not open the model.
    Refused(String),
    /// The call failed.
    Failed(String),
    /// Another answer.
    Different(String),
    /// The worker ended without a word.
    Died,
}

struct Case {
    name: String,
    operators: Vec<String>,
    outcome: Outcome,
}

fn tensors(side: &Value, data: &mut &[u8]) -> Vec<Tensor> {
    let tensor = |value: &Value| {
        let length = value["bytes"].as_u64().unwrap() as usize;
        let (own, rest) = data.split_at(length);
        *data = rest;
        Tensor {
            name: value["name"].as_str().unwrap().to_owned(),
            datatype: Datatype::parse(value["datatype"].as_str().unwrap()).unwrap(),
            shape: value["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap()).collect(),
            data: own.to_vec(),
        }
    };
    side.as_array().unwrap().iter().map(tensor).collect()
}

fn run(library: &str, dir: &Path, name: &str, case: &Value) -> Outcome {
    let path = dir.join(format!("{name}.onnx"));
    let arguments = ["--format", "onnx", "--model", path.to_str().unwrap(), "--library", library, "--device", "cpu"];
    let mut node = Node::quiet(&arguments);
    match node.report() {
        Some(Report::Ready(_)) => {}
        Some(Report::LoadFailed(reason)) => return Outcome::Refused(reason),
        _ => return Outcome::Died,
    }
    let data = std::fs::read(dir.join(format!("{name}.bin"))).unwrap();
    let mut data = data.as_slice();
    let close = (case["rtol"].as_f64().unwrap(), case["atol"].as_f64().unwrap());
    for (number, set) in case["sets"].as_array().unwrap().iter().enumerate() {
        let inputs = tensors(&set["inputs"], &mut data);
        let wanted = tensors(&set["outputs"], &mut data);
        let outputs = wanted.iter().map(|tensor| tensor.name.clone()).collect();
        node.run(number as u64, &Work::Infer(InferWork { inputs, outputs }), &[]);
        let found = match node.report() {
            Some(Report::Piece { bytes, .. }) => match Piece::decode(&bytes).unwrap() {
                Piece::Outputs(tensors) => tensors,
                other => return Outcome::Failed(format!("{other:?}")),
            },
            Some(Report::Failed { fault: JobFault::Engine(reason), .. }) => return Outcome::Failed(reason),
            Some(Report::Failed { fault: JobFault::Input(fault), .. }) => return Outcome::Failed(fault.to_string()),
            _ => return Outcome::Died,
        };
        if !matches!(node.report(), Some(Report::Done { .. })) {
            return Outcome::Died;
        }
        if let Some(difference) = found.iter().zip(&wanted).find_map(|(found, wanted)| differ(found, wanted, close)) {
            return Outcome::Different(difference);
        }
    }
    Outcome::Passed
}

/// What differs, if anything does: as close as the set wants, and what is not a number must be none.
fn differ(found: &Tensor, wanted: &Tensor, (rtol, atol): (f64, f64)) -> Option<String> {
    if (found.datatype, &found.shape) != (wanted.datatype, &wanted.shape) {
        return Some(format!("{found:?} instead of {wanted:?}"));
    }
    if wanted.datatype == Datatype::Bytes {
        return (found.data != wanted.data).then(|| "other texts".to_owned());
    }
    let far = |(a, b): (f64, f64)| !(a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= atol + rtol * b.abs());
    let pairs: Vec<(f64, f64)> = numbers(found).zip(numbers(wanted)).filter(|pair| far(*pair)).collect();
    let worst = pairs.first()?;
    Some(format!("{} of {} elements, {} instead of {}", pairs.len(), numbers(wanted).count(), worst.0, worst.1))
}

fn numbers(tensor: &Tensor) -> impl Iterator<Item = f64> {
    let datatype = tensor.datatype;
    tensor.data.chunks_exact(datatype.size().unwrap()).map(move |bytes| {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let whole = u64::from_le_bytes(wide);
        match datatype {
            Datatype::Fp32 => f32::from_bits(whole as u32).into(),
            Datatype::Fp64 => f64::from_bits(whole),
            Datatype::Bf16 => f32::from_bits((whole as u32) << 16).into(),
            Datatype::Fp16 => half(whole as u16),
            Datatype::Int8 => (whole as i8).into(),
            Datatype::Int16 => (whole as i16).into(),
            Datatype::Int32 => (whole as i32).into(),
            Datatype::Int64 => whole as i64 as f64,
            _ => whole as f64,
        }
    })
}

fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff) / 1024.0);
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    if bits >> 15 == 0 { size } else { -size }
}

/// The tests of a set, or one of so many, on as many workers at once as there are processors.
fn run_set(library: &str, dir: &Path, every: usize) -> Vec<Case> {
    let entries = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let models = entries.filter(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    let mut names: Vec<String> = models.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    let names: Vec<String> = names.into_iter().step_by(every).collect();
    let (next, cases) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let text = std::fs::read_to_string(dir.join(format!("{name}.json"))).unwrap();
                    let case: Value = serde_json::from_str(&text).unwrap();
                    let operators = case["operators"].as_array().unwrap();
                    let operators = operators.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
                    let outcome = run(library, dir, name, &case);
                    cases.lock().unwrap().push(Case { name: name.clone(), operators, outcome });
                }
            });
        }
    });
    let mut cases = cases.into_inner().unwrap();
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases
}

/// A set as a part of the page.
fn part(called: &str, cases: &[Case], left_out: &BTreeMap<String, u64>) -> String {
    let count = |is: fn(&Outcome) -> bool| cases.iter().filter(|case| is(&case.outcome)).count();
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    let operators = |passed: bool| {
        let counted = cases.iter().filter(|case| !passed || matches!(case.outcome, Outcome::Passed));
        counted.flat_map(|case| &case.operators).collect::<BTreeSet<_>>().len()
    };
    let mut text = format!(
        "## {called}\n\n{passed} of {} tests pass: **{:.1} %**; {} of {} operators have at least one that passes. \
         ONNX Runtime does not open the model of {}, the call of {} fails, {} answer differently, {} workers died.\n\n",
        cases.len(),
        100.0 * passed as f64 / cases.len() as f64,
        operators(true),
        operators(false),
        count(|outcome| matches!(outcome, Outcome::Refused(_))),
        count(|outcome| matches!(outcome, Outcome::Failed(_))),
        count(|outcome| matches!(outcome, Outcome::Different(_))),
        count(|outcome| matches!(outcome, Outcome::Died)),
    );
    let sum: u64 = left_out.values().sum();
    let reasons: Vec<String> = left_out.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    writeln!(text, "Left out, since the protocol has no word for them: {sum} ({}).\n", reasons.join(", ")).unwrap();
    text.push_str("| test | what differs | why |\n| --- | --- | --- |\n");
    for case in cases {
        if let Outcome::Different(what) = &case.outcome {
            writeln!(text, "| {} | {what} | {} |", case.name, reason(&case.name).unwrap_or("**not known**")).unwrap();
        }
    }
    text.push_str("\n| without an answer | tests | the library's word on the first |\n| --- | --- | --- |\n");
    let mut refused: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for case in cases {
        if let Outcome::Refused(why) | Outcome::Failed(why) = &case.outcome {
            // Not where the file lay, nor where the library was built.
            let short = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
            let words = |why: &str| why.split_whitespace().map(short).collect::<Vec<_>>().join(" ");
            let brief = || words(&why.replace('|', " ")).chars().take(160).collect();
            refused.entry(case.operators.join(", ")).or_insert_with(|| (0, brief())).0 += 1;
        }
    }
    for (operators, (count, why)) in refused {
        writeln!(text, "| {operators} | {count} | {why} |").unwrap();
    }
    text.push('\n');
    text
}

fn reason(name: &str) -> Option<&'static str> {
    DIFFERENT.iter().find(|(begin, _)| name.starts_with(begin)).map(|(_, why)| *why)
}

#[test]
fn operators_answer_as_onnx_says_or_not_at_all() {
    let Some(library) = cached(LIBRARY) else { return };
    let Some(root) = cached("operators") else { return };
    let mut page = String::from(
        "# Operators\n\nWritten by `cargo xtask operators`; do not edit by hand.\n\nThe tests of single operators that \
         ONNX publishes, each through a worker of its own with ONNX Runtime 1.32.0 on the CPU, as close as each test \
         wants it. A test passes if every element of every output does.\n\n",
    );
    let mut faults = Vec::new();
    let target = std::env::var_os("HITHER_OPERATORS_PAGE");
    let every = if target.is_some() { 1 } else { SAMPLE };
    for (set, called, least) in SETS {
        let dir = PathBuf::from(&root).join(set);
        let cases = run_set(&library, &dir, every);
        let left_out = std::fs::read_to_string(dir.join("left-out.json")).unwrap();
        page.push_str(&part(called, &cases, &serde_json::from_str(&left_out).unwrap()));
        let passed = cases.iter().filter(|case| matches!(case.outcome, Outcome::Passed)).count();
        let percent = 100.0 * passed as f64 / cases.len() as f64;
        eprintln!("{set}: {passed} of {} tests pass, {percent:.1} %", cases.len());
        // A sample has a few percent of chance in it.
        let least = if every == 1 { least } else { least - 5.0 };
        if percent < least {
            faults.push(format!("{set}: {percent:.1} % pass, and at least {least} % must"));
        }
        for case in &cases {
            match &case.outcome {
                Outcome::Died => faults.push(format!("{}: the worker died", case.name)),
                Outcome::Different(what) if reason(&case.name).is_none() => {
                    faults.push(format!("{}: {what}", case.name))
                }
                _ => {}
            }
        }
    }
    if let Some(path) = target {
        std::fs::write(path, page.trim_end().to_owned() + "\n").unwrap();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
