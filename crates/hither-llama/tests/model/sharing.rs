//! Many conversations at once, what they share, what does not fit, and vectors.

use std::collections::BTreeMap;

use hither_engine::engine::{Engine, JobFault, JobId, Output};
use hither_engine::work::{CacheScope, ChatMessage, EmbedWork, GenerateWork, Overflow, Piece, Prompt, Work};
use hither_llama::LlamaEngine;
use hither_types::refusal::InputFault;

use super::{Answer, chat, engine, run};

const A: Option<CacheScope> = Some(CacheScope([1; 16]));
const B: Option<CacheScope> = Some(CacheScope([2; 16]));

fn long(words: usize) -> String {
    "The sea was calm and the wind was low. ".repeat(words.div_ceil(9))
}

/// Whether two answers are the same, or part where the model itself was undecided: cells of others between those of a
/// conversation change in which order sums are rounded.
fn agree(one: &Answer, other: &Answer) -> bool {
    let Some(at) = one.ids.iter().zip(&other.ids).position(|(a, b)| a != b) else { return true };
    let likeliest = &one.chances[at].likeliest;
    let second = likeliest.iter().find(|chance| chance.id == other.ids[at]);
    eprintln!("they part at {at}: {} and {:?}", likeliest[0].log, second.map(|chance| chance.log));
    second.is_some_and(|second| likeliest[0].log - second.log < 0.15)
}

#[test]
fn eight_conversations_at_once_each_say_what_they_say_alone() {
    let questions = [
        "What is the capital of France?",
        "What is the capital of Italy?",
        "Count from one to ten.",
        "Name a colour.",
        "Write a line about the sea.",
        "What is two plus two?",
        "Say hello in French.",
        "Who wrote Hamlet?",
    ];
    let Some(mut alone) = engine(256, 1) else { return };
    let Some(mut together) = engine(256, 8) else { return };
    let mut answers: BTreeMap<JobId, Answer> = BTreeMap::new();
    let chat = |question| GenerateWork { chances: Some(5), ..chat(question, 16) };
    for (job, question) in (0..).zip(questions) {
        together.admit(JobId(job), Work::Generate(chat(question)), Vec::new());
    }
    let mut steps = 0;
    while together.step(&mut |job, output| answers.entry(job).or_default().take(output, 0)) {
        steps += 1;
    }
    let mut said = 0;
    for (job, question) in (0..).zip(questions) {
        let one = run(&mut alone, chat(question), &[]);
        let answer = &answers[&JobId(job)];
        assert!(matches!(answer.end, Some(Ok(_))), "{answer:?}");
        said += answer.ids.len();
        assert!(agree(&one, answer), "what others say changed {question:?}: {} {}", one.text, answer.text);
    }
    assert!(steps * 3 < said, "{steps} steps for {said} tokens: they did not advance together");
}

#[test]
fn a_long_prompt_holds_up_neither_those_that_speak_nor_short_ones() {
    let Some(mut engine) = engine(1024, 8) else { return };
    let endless = GenerateWork { ignore_eos: true, ..chat("Hi", 500) };
    engine.admit(JobId(1), Work::Generate(endless), Vec::new());
    let mut answers: BTreeMap<JobId, Answer> = (1..=3).map(|job| (JobId(job), Answer::default())).collect();
    let step = |engine: &mut LlamaEngine, answers: &mut BTreeMap<JobId, Answer>| {
        engine.step(&mut |job, output| answers.get_mut(&job).unwrap().take(output, 0))
    };
    while answers[&JobId(1)].ids.is_empty() {
        step(&mut engine, &mut answers);
    }
    engine.admit(JobId(2), Work::Generate(chat(&long(800), 2)), Vec::new());
    step(&mut engine, &mut answers);
    engine.admit(JobId(3), Work::Generate(chat("Hi", 2)), Vec::new());
    let (before, mut steps) = (answers[&JobId(1)].ids.len(), 0);
    // One step in two reads a block of the long prompt.
    while answers[&JobId(3)].end.is_none() {
        step(&mut engine, &mut answers);
        steps += 1;
    }
    assert!(steps <= 6, "a short prompt waited {steps} steps");
    assert!(answers[&JobId(2)].ids.is_empty() && answers[&JobId(2)].progress > 1, "both were read together");
    let said = answers[&JobId(1)].ids.len() - before;
    assert!(2 * said + 1 >= steps, "{said} tokens of the first in {steps} steps");
}

#[test]
fn what_was_read_serves_its_own_app_and_no_other() {
    let Some(mut engine) = engine(1024, 3) else { return };
    let system = long(200);
    let ask = |question: &str, cache| {
        let prompt = Prompt::Chat(vec![ChatMessage::new("system", &*system), ChatMessage::new("user", question)]);
        GenerateWork { max_tokens: Some(8), cache, ..GenerateWork::new(prompt) }
    };
    let one = run(&mut engine, ask("What is the capital of France?", A), &[]);
    assert_eq!(one.account.cached_tokens, 0);
    let tokens = |answer: &Answer| answer.end.clone().unwrap().unwrap().prompt_tokens;
    // The same question again: all but the last token, and the same answer.
    let again = run(&mut engine, ask("What is the capital of France?", A), &[]);
    assert_eq!((again.account.cached_tokens, &again.ids), (tokens(&again) - 1, &one.ids));
    // Another question after the same beginning.
    let other = run(&mut engine, ask("Name a colour.", A), &[]);
    assert!(other.account.cached_tokens > 190 && other.account.cached_tokens < tokens(&other), "{other:?}");
    for stranger in [B, None, None] {
        let answer = run(&mut engine, ask("What is the capital of France?", stranger), &[]);
        assert_eq!((answer.account.cached_tokens, &answer.ids), (0, &one.ids), "{stranger:?}");
        assert!(answer.progress >= again.progress + 3, "it was not read anew");
    }
    // A stream that goes on elsewhere takes what it can, too.
    let rest = run(&mut engine, ask("What is the capital of France?", A), &one.ids[..4]);
    assert_eq!([&one.ids[..4], &rest.ids].concat(), one.ids);
    assert!(rest.account.cached_tokens > 190);
}

#[test]
fn what_was_read_is_forgotten_when_room_is_needed() {
    let Some(mut engine) = engine(256, 2) else { return };
    let ask = |app: u8| {
        let prompt = Prompt::Text(format!("{} {app}", long(60)));
        GenerateWork { max_tokens: Some(2), cache: Some(CacheScope([app; 16])), ..GenerateWork::new(prompt) }
    };
    let mut cached = |app| run(&mut engine, ask(app), &[]).account.cached_tokens > 0;
    assert!(!cached(1) && !cached(2));
    assert!(cached(2) && cached(1));
    // The app that was there longest ago makes room: 2.
    assert!(!cached(3));
    assert!(cached(1) && !cached(2));
    for app in 4..40 {
        assert!(!cached(app));
    }
}

#[test]
fn a_running_conversation_is_shared_from_and_both_go_on() {
    let Some(mut engine) = engine(512, 2) else { return };
    let ask = |question: &str, most| {
        let prompt = Prompt::Text(format!("{}{question}", long(150)));
        GenerateWork { max_tokens: Some(most), ignore_eos: true, cache: A, ..GenerateWork::new(prompt) }
    };
    let mut answers: [Answer; 3] = Default::default();
    engine.admit(JobId(1), Work::Generate(ask("Then", 40)), Vec::new());
    while answers[1].ids.len() < 5 {
        engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0));
    }
    engine.admit(JobId(2), Work::Generate(ask("But", 20)), Vec::new());
    while engine.step(&mut |job, output| answers[job.0 as usize].take(output, 0)) {}
    assert!(answers[2].account.cached_tokens > 140, "{:?}", answers[2]);
    let Some(mut fresh) = super::engine(512, 1) else { return };
    assert_eq!(run(&mut fresh, ask("Then", 40), &[]).ids, answers[1].ids);
    assert_eq!(run(&mut fresh, GenerateWork { cache: None, ..ask("But", 20) }, &[]).ids, answers[2].ids);
}

#[test]
fn a_conversation_that_is_too_long_loses_its_oldest_turns_only_if_asked() {
    let Some(mut engine) = engine(256, 1) else { return };
    let mut turns = vec![ChatMessage::new("system", "Be brief.")];
    for _ in 0..6 {
        turns.push(ChatMessage::new("user", long(40)));
        turns.push(ChatMessage::new("assistant", "Yes."));
    }
    turns.push(ChatMessage::new("user", "What is the capital of France?"));
    let work = GenerateWork { max_tokens: Some(20), ..GenerateWork::new(Prompt::Chat(turns)) };
    let refused = run(&mut engine, work.clone(), &[]);
    let Some(Err(JobFault::Input(InputFault::ContextOverflow { prompt_tokens, context_tokens: 256 }))) = refused.end
    else {
        panic!("{refused:?}")
    };
    let answer = run(&mut engine, GenerateWork { overflow: Overflow::DropOldest, ..work.clone() }, &[]);
    let Some(Ok(cost)) = &answer.end else { panic!("{answer:?}") };
    assert_eq!(cost.prompt_tokens + answer.account.dropped_tokens, prompt_tokens);
    assert!(cost.prompt_tokens > 100 && cost.prompt_tokens <= 236 && !answer.ids.is_empty(), "{cost:?}");
    // One turn that does not fit by itself is refused all the same; a text is cut from its beginning.
    let chat = GenerateWork { overflow: Overflow::DropOldest, ..chat(&long(400), 8) };
    assert!(matches!(run(&mut engine, chat, &[]).end, Some(Err(JobFault::Input(InputFault::ContextOverflow { .. })))));
    let text = GenerateWork { prompt: Prompt::Text(long(400)), ..work };
    let text = GenerateWork { overflow: Overflow::DropOldest, ..text };
    let answer = run(&mut engine, text, &[]);
    let Some(Ok(cost)) = &answer.end else { panic!("{answer:?}") };
    assert_eq!((cost.prompt_tokens, answer.account.dropped_tokens > 100), (236, true));
}

#[test]
fn token_ids_are_a_prompt_and_unknown_ones_are_refused() {
    let Some(mut engine) = engine(256, 1) else { return };
    let with = |prompt| GenerateWork { max_tokens: Some(4), ..GenerateWork::new(prompt) };
    let answer = run(&mut engine, with(Prompt::Tokens(vec![504, 3575, 282])), &[]);
    assert!(matches!(answer.end, Some(Ok(cost)) if cost.prompt_tokens == 3), "{answer:?}");
    for prompt in [Prompt::Tokens(vec![49_152]), Prompt::Tokens(vec![u32::MAX]), Prompt::Tokens(Vec::new())] {
        assert!(matches!(run(&mut engine, with(prompt), &[]).end, Some(Err(JobFault::Input(_)))));
    }
}

/// The vectors of texts, or the fault; and how many steps it took.
fn embed(engine: &mut LlamaEngine, inputs: Vec<Prompt>) -> (Result<Vec<Vec<f32>>, JobFault>, u32) {
    engine.admit(JobId(1), Work::Embed(EmbedWork { inputs }), Vec::new());
    let mut result = None;
    let mut vectors = Vec::new();
    let mut steps = 0;
    let mut more = true;
    while more {
        more = engine.step(&mut |_, output| match output {
            Output::Piece(Piece::Outputs(tensors)) => {
                let width = tensors[0].shape[1] as usize;
                let numbers: Vec<f32> =
                    tensors[0].data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
                vectors = numbers.chunks_exact(width).map(<[f32]>::to_vec).collect();
                assert_eq!(vectors.len() as u64, tensors[0].shape[0]);
            }
            Output::Done(cost) => {
                assert!(cost.prompt_tokens > 0 && cost.output_tokens == 0);
                result = Some(Ok(()));
            }
            Output::Failed(fault) => result = Some(Err(fault)),
            Output::Progress => {}
            Output::Piece(other) => panic!("{other:?}"),
        });
        steps += 1;
    }
    (result.expect("an end").map(|()| vectors), steps)
}

fn likeness(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn texts_become_vectors_that_tell_likeness() {
    let Some(mut engine) = engine(512, 1) else { return };
    let text = |text: &str| Prompt::Text(text.to_owned());
    let inputs =
        vec![text("The cat sat on the mat."), text("A cat is sitting on a mat."), text("int main(void) { return 0; }")];
    let vectors = embed(&mut engine, inputs).0.unwrap();
    assert_eq!(vectors.iter().map(Vec::len).collect::<Vec<_>>(), [576; 3]);
    assert!(vectors.iter().all(|vector| (likeness(vector, vector) - 1.).abs() < 1e-3));
    let (near, far) = (likeness(&vectors[0], &vectors[1]), likeness(&vectors[0], &vectors[2]));
    assert!(near > far + 0.1, "{near} {far}");
    // Alone, or read in many chunks, a text has the same vector.
    let alone = embed(&mut engine, vec![text("A cat is sitting on a mat.")]).0.unwrap();
    assert!(likeness(&alone[0], &vectors[1]) > 0.9999);
    let (vectors, steps) = embed(&mut engine, vec![text(&long(300))]);
    assert!(vectors.is_ok() && steps > 4, "{steps}");
    for wrong in [Vec::new(), vec![text("")], vec![Prompt::Chat(Vec::new())], vec![text(&long(900))]] {
        assert!(matches!(embed(&mut engine, wrong).0, Err(JobFault::Input(_))));
    }
}

#[test]
fn vectors_and_conversations_take_turns_and_a_cancelled_call_ends_at_once() {
    let Some(mut engine) = engine(512, 1) else { return };
    engine.admit(JobId(1), Work::Generate(GenerateWork { ignore_eos: true, ..chat("Hi", 200) }), Vec::new());
    let mut answer = Answer::default();
    while answer.ids.is_empty() {
        engine.step(&mut |_, output| answer.take(output, 0));
    }
    let inputs = vec![Prompt::Text(long(300)); 4];
    engine.admit(JobId(2), Work::Embed(EmbedWork { inputs }), Vec::new());
    let before = answer.ids.len();
    for _ in 0..8 {
        engine.step(&mut |job, output| {
            if job == JobId(1) {
                answer.take(output, 0)
            }
        });
    }
    assert_eq!(answer.ids.len() - before, 4);
    engine.cancel(JobId(2));
    engine.cancel(JobId(1));
    assert!(!engine.step(&mut |_, output| panic!("{output:?}")), "a cancelled job went on");
}
