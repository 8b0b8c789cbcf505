//! A real language model by the real library.
//!
//! Needs SmolLM2: `HITHER_SMOLLM2`, or what `scripts/fetch-models` puts into the cache. Without it the tests say so and
//! pass, since a plain checkout has none.

use std::path::{Path, PathBuf};

use hither_engine::engine::{Engine, JobFault, JobId, Output};
use hither_engine::gguf::{GgufFault, inspect};
use hither_engine::work::{Account, Chances, ChatMessage, FinishReason, GenerateWork, Piece, Prompt, ToolCall, Work};
use hither_llama::{LlamaEngine, OpenError, open};
use hither_types::model::ModelIo;
use hither_types::refusal::InputFault;
use hither_types::request::Cost;

#[path = "model/formats.rs"]
mod formats;
#[path = "model/sharing.rs"]
mod sharing;

fn model() -> Option<PathBuf> {
    let named = std::env::var_os("HITHER_SMOLLM2").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache/hither"));
    let cached = std::env::var_os("HITHER_CACHE").map(PathBuf::from).or(home);
    let cached = cached.map(|cache| cache.join("models/SmolLM2-135M-Instruct.Q4_1.gguf")).filter(|path| path.exists());
    let found = named.or(cached);
    if found.is_none() {
        assert!(std::env::var_os("HITHER_NEEDS_MODELS").is_none(), "no SmolLM2: run scripts/fetch-models");
        eprintln!("skipped: no SmolLM2; run scripts/fetch-models, or set HITHER_SMOLLM2");
    }
    found
}

fn engine(context_tokens: u32, slots: u16) -> Option<LlamaEngine> {
    Some(open(&model()?, 1, context_tokens, slots).unwrap())
}

fn chat(question: &str, max_tokens: u32) -> GenerateWork {
    // Without a system turn the template adds its own, and with that the model knows less.
    let prompt = Prompt::Chat(vec![ChatMessage::new("system", ""), ChatMessage::new("user", question)]);
    GenerateWork { max_tokens: Some(max_tokens), ..GenerateWork::new(prompt) }
}

#[derive(Debug, Default)]
struct Answer {
    ids: Vec<u32>,
    text: String,
    reason: Option<FinishReason>,
    chances: Vec<Chances>,
    calls: Vec<ToolCall>,
    account: Account,
    progress: u32,
    end: Option<Result<Cost, JobFault>>,
}

impl Answer {
    fn take(&mut self, output: Output, resumed: usize) {
        assert!(self.end.is_none(), "{output:?} after the end");
        match output {
            Output::Piece(Piece::Tokens { first, ids, text, chances, calls }) => {
                assert_eq!(first as usize, resumed + self.ids.len(), "a gap or a repetition");
                self.ids.extend(ids);
                self.text.push_str(&text);
                self.chances.extend(chances);
                self.calls.extend(calls);
            }
            Output::Piece(Piece::End { reason, text, calls, account }) => {
                self.reason = Some(reason);
                self.text.push_str(&text);
                self.calls.extend(calls);
                self.account = account;
            }
            Output::Progress => self.progress += 1,
            Output::Done(cost) => self.end = Some(Ok(cost)),
            Output::Failed(fault) => self.end = Some(Err(fault)),
            Output::Piece(Piece::Outputs(_)) => panic!("tensors from a language model"),
        }
    }
}

fn run(engine: &mut LlamaEngine, work: GenerateWork, resume: &[u32]) -> Answer {
    let mut answer = Answer::default();
    engine.admit(JobId(1), Work::Generate(work), resume.to_vec());
    while engine.step(&mut |_, output| answer.take(output, resume.len())) {}
    assert!(answer.end.is_some(), "no end");
    answer
}

#[test]
fn the_capital_of_france_is_paris() {
    let Some(mut engine) = engine(512, 1) else { return };
    assert_eq!(engine.loaded().io, ModelIo::Language { context_tokens: 512 });
    let answer = run(&mut engine, chat("What is the capital of France?", 32), &[]);
    assert!(answer.text.contains("Paris"), "{answer:?}");
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    let Some(Ok(cost)) = answer.end else { panic!("failed") };
    assert_eq!(cost.output_tokens as usize, answer.ids.len());
    assert!(cost.prompt_tokens > 10 && cost.prefill.0 > 0 && cost.decode.0 > 0, "{cost:?}");
}

/// Runs once whole, then from every few tokens on, and counts the streams that go on differently.
fn differing_resumes(work: &GenerateWork, splits: usize) -> Option<(usize, usize)> {
    let mut engine = engine(1024, 1)?;
    let whole = run(&mut engine, work.clone(), &[]);
    let every = (whole.ids.len() / splits).max(1);
    let (mut tried, mut differing) = (0, 0);
    for split in (every..whole.ids.len()).step_by(every) {
        let rest = run(&mut engine, work.clone(), &whole.ids[..split]);
        let joined = [&whole.ids[..split], &rest.ids].concat();
        tried += 1;
        if joined == whole.ids {
            assert!(whole.text.ends_with(&rest.text), "the same ids gave another text");
            assert_eq!(rest.reason, whole.reason);
        } else {
            let at = joined.iter().zip(&whole.ids).position(|(a, b)| a != b);
            eprintln!("resumed at {split} of {}, differs at {at:?}", whole.ids.len());
            differing += 1;
        }
    }
    eprintln!("{differing} of {tried} resumed streams differ");
    Some((differing, tried))
}

#[test]
fn a_greedy_stream_that_goes_on_elsewhere_says_the_same() {
    for question in
        ["What is the capital of France?", "Write a short story about a lighthouse.", "Count from one to ten."]
    {
        let Some((differing, tried)) = differing_resumes(&chat(question, 96), 8) else { return };
        assert!(tried >= 3);
        assert_eq!(differing, 0, "{question}");
    }
}

#[test]
fn a_stream_with_a_long_prompt_goes_on_the_same() {
    let question =
        format!("{}What is the capital of France? Explain.", "The sea was calm and the wind was low. ".repeat(60));
    let Some((differing, tried)) = differing_resumes(&GenerateWork { ignore_eos: true, ..chat(&question, 48) }, 3)
    else {
        return;
    };
    assert!(tried >= 2);
    assert_eq!(differing, 0);
}

#[test]
fn a_sampled_stream_that_goes_on_elsewhere_draws_the_same() {
    let work =
        GenerateWork { temperature: 0.8, top_p: 0.95, top_k: 40, seed: 42, ..chat("Tell me about the sea.", 64) };
    let Some((differing, tried)) = differing_resumes(&work, 8) else { return };
    assert!(tried >= 3);
    assert_eq!(differing, 0);
}

#[test]
fn seeds_change_what_is_said() {
    let Some(mut engine) = engine(512, 1) else { return };
    let with = |seed| GenerateWork { temperature: 1., seed, ..chat("Tell me about the sea.", 24) };
    let first = run(&mut engine, with(1), &[]);
    assert_eq!(first.ids, run(&mut engine, with(1), &[]).ids);
    assert_ne!(first.ids, run(&mut engine, with(2), &[]).ids);
}

#[test]
fn an_answer_ends_where_it_was_asked_to() {
    let Some(mut engine) = engine(512, 1) else { return };
    let answer = run(&mut engine, chat("What is the capital of France?", 3), &[]);
    assert_eq!((answer.ids.len(), answer.reason), (3, Some(FinishReason::Length)));
    let stop = GenerateWork { stop: vec!["Paris".into()], ..chat("What is the capital of France?", 32) };
    let answer = run(&mut engine, stop, &[]);
    assert!(!answer.text.contains("Paris") && answer.text.contains("capital"), "{answer:?}");
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    // Whoever resumes with all tokens asked for gets the end alone.
    let answer = run(&mut engine, chat("What is the capital of France?", 3), &[504, 3575, 282]);
    assert_eq!((answer.ids.len(), answer.reason), (0, Some(FinishReason::Length)));
}

#[test]
fn what_does_not_fit_is_refused_and_what_nearly_fits_is_cut() {
    let Some(mut engine) = engine(64, 1) else { return };
    let long = "word ".repeat(200);
    let answer = run(&mut engine, chat(&long, 8), &[]);
    let Some(Err(JobFault::Input(InputFault::ContextOverflow { prompt_tokens, context_tokens: 64 }))) = answer.end
    else {
        panic!("{answer:?}")
    };
    assert!(prompt_tokens > 200);
    let endless = GenerateWork { ignore_eos: true, ..chat("Hi", 1000) };
    let answer = run(&mut engine, endless, &[]);
    let Some(Ok(cost)) = answer.end else { panic!("failed") };
    assert_eq!((cost.prompt_tokens + cost.output_tokens, answer.reason), (64, Some(FinishReason::Length)));
    let wrong = GenerateWork { temperature: f32::NAN, ..chat("Hi", 8) };
    assert!(matches!(run(&mut engine, wrong, &[]).end, Some(Err(JobFault::Input(InputFault::Other(_))))));
    let unknown = run(&mut engine, chat("Hi", 8), &[u32::MAX]);
    assert!(matches!(unknown.end, Some(Err(JobFault::Input(InputFault::Other(_))))));
}

#[test]
fn conversations_advance_together_and_a_cancelled_one_makes_room() {
    let Some(mut engine) = engine(512, 2) else { return };
    let endless = GenerateWork { ignore_eos: true, ..chat("Write a long story.", 400) };
    engine.admit(JobId(1), Work::Generate(endless), Vec::new());
    engine.admit(JobId(2), Work::Generate(chat("What is the capital of France?", 32)), Vec::new());
    engine.admit(JobId(3), Work::Generate(chat("What is the capital of Italy?", 32)), Vec::new());
    let mut answers: [Answer; 4] = Default::default();
    let mut more = true;
    while more && answers[2].end.is_none() {
        more = engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0));
    }
    assert!(answers[2].text.contains("Paris"), "{:?}", answers[2]);
    assert!(answers[1].ids.len() >= answers[2].ids.len(), "the first did not advance beside the second");
    engine.cancel(JobId(1));
    let said = answers[1].ids.len();
    while engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0)) {}
    assert_eq!(answers[1].ids.len(), said, "a cancelled conversation went on");
    assert!(answers[3].text.contains("Rome"), "{:?}", answers[3]);
}

#[test]
fn reading_a_long_prompt_shows_progress_and_never_stops_another_conversation() {
    let Some(mut engine) = engine(1024, 2) else { return };
    let endless = GenerateWork { ignore_eos: true, ..chat("Hi", 900) };
    engine.admit(JobId(1), Work::Generate(endless), Vec::new());
    let mut answers: [Answer; 3] = Default::default();
    while answers[1].ids.is_empty() {
        engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0));
    }
    engine.admit(JobId(2), Work::Generate(chat(&"word ".repeat(300), 2)), Vec::new());
    let (mut said, mut silent) = (answers[1].ids.len(), 0);
    while answers[2].end.is_none() {
        engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0));
        silent = if answers[1].ids.len() > said { 0 } else { silent + 1 };
        said = answers[1].ids.len();
        assert!(silent <= 1, "two steps passed without a token for the first");
    }
    assert!(answers[2].progress >= 4, "{:?}", answers[2]);
}

#[test]
fn what_is_no_model_is_refused() {
    let refused = open(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml").as_path(), 1, 64, 1);
    assert!(matches!(refused.err(), Some(OpenError::Header(GgufFault::Magic))));
    let refused = open(Path::new("/nowhere/at/all.gguf"), 1, 64, 1);
    assert!(matches!(refused.err(), Some(OpenError::Model(text)) if text.contains("cannot be read")));
}

#[test]
fn the_header_of_a_real_model_passes_and_its_damaged_twins_do_not_harm() {
    let Some(path) = model() else { return };
    let file = std::fs::File::open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    let facts = inspect(&file, length).unwrap();
    assert_eq!((facts.architecture.as_str(), facts.vocabulary), ("llama", Some(49152)));
    let mut head = vec![0; facts.header_bytes as usize];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut head, 0).unwrap();
    for share in [0, 1, 2, 5, 9] {
        let cut = head.len() * share / 10;
        assert!(inspect(&head[..cut], cut as u64).is_err(), "cut at {cut}");
    }
    // The last byte of the last tensor is gone.
    assert!(matches!(inspect(head.as_slice(), length - 1), Err(GgufFault::Short { what: "a tensor", .. })));
    let mut passed = 0;
    for flip in 0..400 {
        let mut damaged = head.clone();
        let at = flip * 7919 % 4000;
        damaged[at] ^= 1 << (flip % 8);
        passed += u32::from(inspect(damaged.as_slice(), length).is_ok());
    }
    assert!(passed < 400, "no damage was seen");
}
