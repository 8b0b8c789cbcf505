//! The stub itself.

use std::time::Duration;

use super::{OpenError, StubEngine, StubKind, StubModel, text_of, token};
use crate::engine::JobFault;
use crate::engine::{Engine, JobId, Output};
use crate::work::{FinishReason, GenerateWork, InferWork, Piece, Prompt, Tensor, Work};
use hither_types::model::Datatype;

fn work(prompt: &str, max_tokens: Option<u32>, stop: &[String]) -> Work {
    Work::Generate(GenerateWork {
        max_tokens,
        stop: stop.to_vec(),
        ..GenerateWork::new(Prompt::Text(prompt.to_owned()))
    })
}

/// What came out for a job, as text.
fn run(model: &str, work: Work, resume: Vec<u32>) -> (Vec<u32>, String, FinishReason) {
    let mut engine = StubEngine::new(StubModel::parse(&format!("hither-stub 1\n{model}")).unwrap());
    engine.admit(JobId(1), work, resume);
    let (mut all, mut words, mut why) = (Vec::new(), String::new(), None);
    let mut more = true;
    while more {
        more = engine.step(&mut |_, output| match output {
            Output::Piece(Piece::Tokens { ids, text, .. }) => {
                all.extend(ids);
                words.push_str(&text);
            }
            Output::Piece(Piece::End { reason, text, .. }) => {
                words.push_str(&text);
                why = Some(reason);
            }
            Output::Progress | Output::Done(_) => {}
            Output::Piece(Piece::Outputs(_)) | Output::Failed(_) => panic!("{output:?}"),
        });
    }
    (all, words, why.expect("an end"))
}

#[test]
fn tokens_follow_from_prompt_and_index() {
    let prompt = Prompt::Text("hello".into());
    let (ids, text, why) = run("token_us=0 length=5", work("hello", None, &[]), Vec::new());
    assert_eq!(ids, (0..5).map(|index| token(&prompt, index)).collect::<Vec<_>>());
    assert_eq!(text, ids.iter().map(|id| text_of(*id)).collect::<String>());
    assert_eq!(why, FinishReason::Stop);
    assert_ne!(ids, run("token_us=0 length=5", work("hullo", None, &[]), Vec::new()).0);
}

#[test]
fn an_answer_ends_at_its_length_or_before_a_stop_string() {
    let (ids, _, why) = run("token_us=0", work("hello", Some(3), &[]), Vec::new());
    assert_eq!((ids.len(), why), (3, FinishReason::Length));
    let stop = text_of(ids[1]);
    let (stopped, text, why) = run("token_us=0", work("hello", Some(3), &[stop]), Vec::new());
    assert_eq!((stopped.len(), text, why), (2, text_of(ids[0]), FinishReason::Stop));
    let (none, text, why) = run("token_us=0", work("hello", Some(3), &[]), ids);
    assert_eq!((none.len(), text.as_str(), why), (0, "", FinishReason::Length));
}

#[test]
fn reading_a_prompt_shows_progress() {
    let model = StubModel::parse("hither-stub 1\nprefill_us=120000 token_us=0 length=1").unwrap();
    let mut engine = StubEngine::new(model);
    engine.admit(JobId(1), work("hello", None, &[]), Vec::new());
    let mut progress = 0;
    while engine.step(&mut |_, output| progress += u32::from(output == Output::Progress)) {}
    assert_eq!(progress, 2);
}

fn lasting(micros: f32) -> Work {
    let data = micros.to_le_bytes().to_vec();
    let x = Tensor { name: "x".into(), datatype: Datatype::Fp32, shape: vec![1, 1], data };
    Work::Infer(InferWork { inputs: vec![x], outputs: Vec::new() })
}

/// The time at the engine of each job, in milliseconds, in the order of their ends.
fn slept(model: &str, works: &[f32]) -> Vec<(u64, u64)> {
    let mut engine = StubEngine::new(StubModel::parse(&format!("hither-stub 1\nkind=sleep {model}")).unwrap());
    for (job, micros) in (1..).zip(works) {
        engine.admit(JobId(job), lasting(*micros), Vec::new());
    }
    let mut ends = Vec::new();
    while engine.step(&mut |job, output| match output {
        Output::Done(cost) => ends.push((job.0, cost.prefill.0 / 1_000)),
        Output::Progress | Output::Piece(Piece::Outputs(_)) => {}
        other => panic!("{other:?}"),
    }) {
        std::thread::park_timeout(engine.rest());
    }
    ends
}

#[test]
fn each_request_to_a_sleep_brings_its_own_time() {
    let ends = slept("slots=2", &[60_000.0, 10_000.0, 20_000.0]);
    assert_eq!(ends.iter().map(|(job, _)| *job).collect::<Vec<_>>(), [2, 3, 1]);
    assert!(ends.iter().zip([10, 20, 60]).all(|((_, took), asked)| *took >= asked), "{ends:?}");
    let ends = slept("slots=2 percent=30", &[60_000.0]);
    assert!((18..60).contains(&ends[0].1), "{ends:?}");
}

#[test]
fn a_sleep_without_a_time_is_refused() {
    for micros in [f32::NAN, -1.0, f32::INFINITY, 4.0e9] {
        let mut engine = StubEngine::new(StubModel::parse("hither-stub 1\nkind=sleep").unwrap());
        engine.admit(JobId(1), lasting(micros), Vec::new());
        let mut faults = Vec::new();
        engine.step(&mut |_, output| faults.push(output));
        assert!(matches!(&faults[..], [Output::Failed(JobFault::Input(_))]), "{micros}: {faults:?}");
    }
}

#[test]
fn a_file_is_read_or_refused_by_name() {
    let model = StubModel::parse("hither-stub 1\nkind=infer slots=3\ntoken_us=5 crash_at=4").unwrap();
    assert_eq!((model.kind, model.slots, model.token), (StubKind::Infer, 3, Duration::from_micros(5)));
    assert_eq!((model.crash_at, model.hang_at), (Some(4), None));
    assert!(matches!(StubModel::parse("GGUF"), Err(OpenError::Header)));
    for wrong in ["slots=0", "slots=x", "speed=1", "kind=tree", "slots"] {
        let refused = StubModel::parse(&format!("hither-stub 1\n{wrong}"));
        assert!(matches!(refused, Err(OpenError::Value(text)) if text == wrong));
    }
}
