//! Which requests share a number.

use hither_engine::work::{ChatMessage, GenerateWork, InferWork};
use hither_types::id::{AppName, ModelName};
use hither_types::label::{DataClass, Label};
use hither_types::request::{Priority, Quality};
use hither_types::unit::ByteCount;

use super::*;

fn envelope(app: &str, model: &str, kind: RequestKind) -> Envelope {
    Envelope {
        app: AppName::parse(app).unwrap(),
        model: ModelName::parse(model).unwrap(),
        label: Label { class: DataClass::Internal, tags: Vec::new(), subjects: Vec::new(), purpose: None },
        kind,
        size: ByteCount(0),
        priority: Priority::Normal,
        prefer: None,
        quality: Quality::Exact,
    }
}

fn payload(prompt: Prompt, seed: u64) -> Vec<u8> {
    let work = GenerateWork { temperature: 1.0, seed, ..GenerateWork::new(prompt) };
    Work::Generate(work).encode()
}

fn chat(turns: &[(&str, &str)]) -> Prompt {
    let message = |(role, content): &(&str, &str)| ChatMessage::new(*role, *content);
    Prompt::Chat(turns.iter().map(message).collect())
}

/// The number of a chat of app `a` with model `m`.
fn of(salt: &Salt, prompt: Prompt) -> u64 {
    salt.affinity(&envelope("a", "m", RequestKind::Generate), &payload(prompt, 1)).unwrap()
}

#[test]
fn a_conversation_keeps_its_number_as_it_grows() {
    let salt = Salt::new();
    let begun = of(&salt, chat(&[("system", "be brief"), ("user", "hello")]));
    let grown = [("system", "be brief"), ("user", "hello"), ("assistant", "hi"), ("user", "and now?")];
    assert_eq!(of(&salt, chat(&grown)), begun);
    let envelope = envelope("a", "m", RequestKind::Generate);
    assert_eq!(salt.affinity(&envelope, &payload(chat(&grown), 2)), Some(begun), "the seed makes no difference");
    for other in [
        chat(&[("system", "be long"), ("user", "hello")]),
        chat(&[("system", "be brief"), ("user", "goodbye")]),
        chat(&[("user", "hello")]),
        chat(&[("system", "be briefuser"), ("hello", "")]),
        Prompt::Text("be brief".into()),
    ] {
        assert_ne!(of(&salt, other), begun);
    }
}

#[test]
fn a_beginning_as_long_as_the_bound_is_all_that_counts() {
    let salt = Salt::new();
    let long = "é".repeat(BEGINNING_MAX);
    let one = of(&salt, chat(&[("system", &long), ("user", "one")]));
    assert_eq!(of(&salt, chat(&[("system", &format!("{long}!")), ("user", "another")])), one);
    assert_eq!(of(&salt, Prompt::Text(long.clone())), of(&salt, Prompt::Text(format!("{long} and more"))));
    assert_ne!(of(&salt, Prompt::Text(long)), one);
}

#[test]
fn apps_models_and_starts_of_the_program_share_nothing() {
    let salt = Salt::new();
    let bytes = payload(chat(&[("user", "hello")]), 1);
    let number = |salt: &Salt, app, model| salt.affinity(&envelope(app, model, RequestKind::Generate), &bytes);
    let one = number(&salt, "a", "m");
    assert!(one.is_some());
    assert_ne!(number(&salt, "b", "m"), one);
    assert_ne!(number(&salt, "a", "n"), one);
    assert_ne!(number(&Salt::new(), "a", "m"), one);
}

#[test]
fn tensors_and_what_cannot_be_read_have_none() {
    let salt = Salt::new();
    let tensors = Work::Infer(InferWork { inputs: Vec::new(), outputs: Vec::new() }).encode();
    assert_eq!(salt.affinity(&envelope("a", "m", RequestKind::Infer), &tensors), None);
    assert_eq!(salt.affinity(&envelope("a", "m", RequestKind::Generate), &tensors), None);
    assert_eq!(salt.affinity(&envelope("a", "m", RequestKind::Generate), b"?"), None);
}
