//! The models of the repository, by the real library, against the answers that were recorded beside them.
//!
//! Needs the library: `HITHER_ONNXRUNTIME`, or what `scripts/fetch-models` puts into the cache. Without it the tests
//! say so and pass, since a plain checkout has none.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use hither_engine::engine::{Engine, JobFault, JobId, Output};
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_onnx::{Batching, OnnxEngine, OpenError, Runtime, Settings};
use hither_types::model::{Datatype, ModelIo, TensorSpec};
use hither_types::refusal::InputFault;
use hither_types::request::Cost;
use proptest::collection::vec;
use proptest::prelude::*;

fn library() -> Option<PathBuf> {
    let named = std::env::var_os("HITHER_ONNXRUNTIME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/hither"));
    let cached = std::env::var_os("HITHER_CACHE").map(PathBuf::from).or(home);
    let cached = cached.map(|cache| cache.join("lib/libonnxruntime.so.1.32.0")).filter(|path| path.exists());
    let found = named.or(cached);
    if found.is_none() {
        assert!(std::env::var_os("HITHER_NEEDS_MODELS").is_none(), "no ONNX Runtime: run scripts/fetch-models");
        eprintln!("skipped: no ONNX Runtime; run scripts/fetch-models, or set HITHER_ONNXRUNTIME");
    }
    found
}

/// The library, loaded once: a process has one environment of ONNX Runtime.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    RUNTIME.get_or_init(|| Some(Runtime::load(&library()?).unwrap())).as_ref()
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// The model, and what the recorded rows gave.
struct Golden {
    engine: OnnxEngine,
    rows: Vec<Vec<f32>>,
    labels: Vec<i64>,
    probabilities: Vec<f32>,
}

impl Golden {
    fn new(name: &str) -> Option<Self> {
        let engine = runtime()?.open(&models().join(format!("{name}.onnx")), &Settings::default()).unwrap();
        let text = std::fs::read_to_string(models().join(format!("{name}.golden.json"))).unwrap();
        let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
        let floats = |row: &serde_json::Value| -> Vec<f32> {
            row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
        };
        let rows: Vec<Vec<f32>> = golden["input"].as_array().unwrap().iter().map(floats).collect();
        let labels = golden["label"].as_array().unwrap().iter().map(|label| label.as_i64().unwrap()).collect();
        let probabilities = golden["probabilities"].as_array().unwrap().iter().flat_map(floats).collect();
        assert!(rows.len() >= 100, "few rows prove little");
        Some(Self { engine, rows, labels, probabilities })
    }

    fn input(&self) -> Tensor {
        let columns = self.rows[0].len() as u64;
        let data = self.rows.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        Tensor { name: "input".into(), datatype: Datatype::Fp32, shape: vec![self.rows.len() as u64, columns], data }
    }
}

fn run(engine: &mut OnnxEngine, inputs: Vec<Tensor>, outputs: &[&str]) -> Result<(Vec<Tensor>, Cost), JobFault> {
    let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
    engine.admit(JobId(1), Work::Infer(InferWork { inputs, outputs }), Vec::new());
    let (mut tensors, mut end) = (Vec::new(), None);
    while engine.step(&mut |job, output| {
        assert_eq!(job, JobId(1));
        match output {
            Output::Piece(Piece::Outputs(found)) => tensors = found,
            Output::Done(cost) => end = Some(Ok(cost)),
            Output::Failed(fault) => end = Some(Err(fault)),
            other => panic!("{other:?}"),
        }
    }) {}
    end.expect("an end").map(|cost| (tensors, cost))
}

fn check(name: &str, columns: u64) {
    let Some(mut golden) = Golden::new(name) else { return };
    let ModelIo::Tensors { inputs, outputs } = golden.engine.loaded().io else { panic!("tensors") };
    let spec = TensorSpec { name: "input".into(), datatype: Datatype::Fp32, shape: vec![None, Some(columns)] };
    assert_eq!(inputs, [spec]);
    assert_eq!(outputs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>(), ["label", "probabilities"]);

    let input = golden.input();
    let (tensors, cost) = run(&mut golden.engine, vec![input], &[]).unwrap();
    let rows = golden.rows.len() as u64;
    assert_eq!((&tensors[0].shape, tensors[0].datatype), (&vec![rows], Datatype::Int64));
    assert_eq!((&tensors[1].shape, tensors[1].datatype), (&vec![rows, 2], Datatype::Fp32));
    let labels: Vec<i64> = tensors[0].data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    assert_eq!(labels, golden.labels);
    let found = tensors[1].data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
    let worst = found.zip(&golden.probabilities).map(|(found, wanted)| (found - wanted).abs()).fold(0., f32::max);
    assert!(worst <= 1e-5, "{name}: the worst probability is {worst} off");
    assert!(cost.prefill.0 > 0, "{cost:?}");
    eprintln!("{name}: {rows} rows, worst difference {worst:e}, {} us in the library", cost.prefill.0);
}

#[test]
fn fraud_answers_as_recorded() {
    check("fraud", 12);
}

#[test]
fn maintenance_answers_as_recorded() {
    check("maintenance", 9);
}

#[test]
fn only_the_outputs_asked_for_come_back() {
    let Some(mut golden) = Golden::new("fraud") else { return };
    let input = golden.input();
    let (tensors, _) = run(&mut golden.engine, vec![input], &["probabilities"]).unwrap();
    assert_eq!(tensors.iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["probabilities"]);
}

#[test]
fn an_input_that_does_not_fit_fails_the_job_and_not_the_engine() {
    let Some(mut golden) = Golden::new("fraud") else { return };
    let wrong = Tensor { shape: vec![1, 3], data: vec![0; 12], ..golden.input() };
    let Err(JobFault::Input(InputFault::Tensor(text))) = run(&mut golden.engine, vec![wrong], &[]) else {
        panic!("accepted")
    };
    assert_eq!(text, "input \"input\" expects the shape [any, 12], and [1, 3] came");
    let none = Tensor { shape: vec![0, 12], data: Vec::new(), ..golden.input() };
    // No rows at all are the library's to judge; it must not end the process.
    let _ = run(&mut golden.engine, vec![none], &[]);
    let right = golden.input();
    assert!(run(&mut golden.engine, vec![right], &[]).is_ok());
}

#[test]
fn what_is_no_model_is_refused() {
    let Some(runtime) = runtime() else { return };
    let refused = runtime.open(&models().join("README.md"), &Settings::default()).err().expect("refused");
    assert!(matches!(refused, OpenError::Model(_)), "{refused}");
}

/// Runs all jobs that are there, and gives the outputs of each.
fn run_all(engine: &mut OnnxEngine, jobs: &[InferWork]) -> Vec<Vec<Tensor>> {
    for (job, work) in jobs.iter().enumerate() {
        engine.admit(JobId(job as u64), Work::Infer(work.clone()), Vec::new());
    }
    let mut answers = vec![Vec::new(); jobs.len()];
    while engine.step(&mut |job, output| match output {
        Output::Piece(Piece::Outputs(tensors)) => answers[job.0 as usize] = tensors,
        Output::Done(_) => {}
        other => panic!("{other:?}"),
    }) {}
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn however_jobs_fall_into_batches_each_gets_its_own_answer(
        parts in vec((0usize..150, 1u64..6, any::<bool>()), 1..12),
        most in 2u16..20,
    ) {
        let Some(mut golden) = Golden::new("fraud") else { return Ok(()) };
        let batching = Batching { rows: most, delay: Duration::ZERO };
        let settings = Settings { batching, ..Settings::default() };
        let mut batched = runtime().unwrap().open(&models().join("fraud.onnx"), &settings).unwrap();
        prop_assert_eq!(batched.loaded().slots, most);
        let all = golden.input();
        let columns = all.shape[1] as usize;
        let job = |(start, rows, one_output): &(usize, u64, bool)| {
            let start = start % (golden.rows.len() - 6) * columns * 4;
            let data = all.data[start..start + *rows as usize * columns * 4].to_vec();
            let input = Tensor { shape: vec![*rows, all.shape[1]], data, ..all.clone() };
            let outputs = if *one_output { vec!["probabilities".to_owned()] } else { Vec::new() };
            InferWork { inputs: vec![input], outputs }
        };
        let jobs: Vec<InferWork> = parts.iter().map(job).collect();
        let together = run_all(&mut batched, &jobs);
        for (job, together) in jobs.into_iter().zip(together) {
            let alone = run_all(&mut golden.engine, &[job]);
            prop_assert!(alone[0] == together);
        }
    }
}
