//! Answers that keep to a form, calls of tools, and chances.

use hither_engine::engine::JobFault;
use hither_engine::work::{ChatMessage, FinishReason, Format, GenerateWork, Prompt, Tool, ToolCall, ToolChoice};
use hither_types::refusal::InputFault;

use super::{Answer, chat, engine, run};

const PERSON: &str = r#"{"type":"object","properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer",
    "minimum":0,"maximum":150},"mood":{"enum":["calm","angry"]}},"required":["name","age","mood"],"additionalProperties":false}"#;

fn refusal(answer: &Answer) -> &str {
    match &answer.end {
        Some(Err(JobFault::Input(InputFault::Other(text)))) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_keeps_to_its_schema_at_every_temperature() {
    let Some(mut engine) = engine(512, 1) else { return };
    for seed in 0..4 {
        let question = "Tell me about John, who is 45, as JSON with name, age and mood.";
        let work = GenerateWork {
            format: Format::Schema(PERSON.into()),
            temperature: if seed == 0 { 0. } else { 1.5 },
            seed,
            // A form ends when it is complete, whoever wants it longer.
            ignore_eos: seed % 2 == 1,
            ..chat(question, 120)
        };
        let answer = run(&mut engine, work, &[]);
        let value: serde_json::Value = serde_json::from_str(&answer.text).unwrap_or_else(|_| panic!("{answer:?}"));
        assert!(value["age"].as_u64().unwrap() <= 150 && value["name"].is_string(), "{value}");
        assert!(["calm", "angry"].contains(&value["mood"].as_str().unwrap()), "{value}");
        assert_eq!((answer.reason, value.as_object().unwrap().len()), (Some(FinishReason::Stop), 3));
    }
}

#[test]
fn json_and_patterns_are_kept_to() {
    let Some(mut engine) = engine(512, 1) else { return };
    let pattern = GenerateWork {
        format: Format::Pattern("(Paris|Rome), [0-9]{4}".into()),
        ..chat("What is the capital of France, and a year?", 32)
    };
    let answer = run(&mut engine, pattern, &[]);
    assert!(answer.text.starts_with("Paris, ") && answer.text.len() == 11, "{answer:?}");
    let json = GenerateWork { format: Format::Json, ..chat("Give me a JSON object with a key a and the value 1.", 64) };
    let answer = run(&mut engine, json, &[]);
    if answer.reason == Some(FinishReason::Stop) {
        assert!(serde_json::from_str::<serde_json::Value>(&answer.text).unwrap().is_object(), "{answer:?}");
    }
    assert!(answer.text.starts_with('{'), "{answer:?}");
}

#[test]
fn a_form_goes_on_elsewhere_at_any_token() {
    let Some(mut engine) = engine(512, 1) else { return };
    let work = GenerateWork { format: Format::Schema(PERSON.into()), temperature: 0.9, seed: 3, ..chat("John?", 100) };
    let whole = run(&mut engine, work.clone(), &[]);
    for split in (0..=whole.ids.len()).step_by(5).chain([whole.ids.len()]) {
        let rest = run(&mut engine, work.clone(), &whole.ids[..split]);
        assert_eq!([&whole.ids[..split], &rest.ids].concat(), whole.ids, "at {split}");
        assert!(whole.text.ends_with(&rest.text), "at {split}: {rest:?}");
        assert_eq!(rest.reason, whole.reason);
    }
    // Tokens that cannot be of this form are no beginning of it.
    let wrong = run(&mut engine, work, &[504, 3575]);
    assert_eq!(refusal(&wrong), "the answer so far does not keep to its format");
}

#[test]
fn a_form_that_cannot_be_is_a_fault_of_the_request_and_harms_nobody() {
    let Some(mut engine) = engine(512, 1) else { return };
    for format in [
        Format::Schema("{\"type\":\"banana\"}".into()),
        Format::Schema("[[[[".into()),
        Format::Schema(r#"{"$ref":"https://example.org/x"}"#.into()),
        Format::Pattern("(".into()),
    ] {
        let answer = run(&mut engine, GenerateWork { format, ..chat("Hi", 8) }, &[]);
        assert!(refusal(&answer).contains("JSON") || refusal(&answer).contains("pattern"), "{answer:?}");
    }
    // One that has a billion places is kept to, and not built.
    let format = Format::Pattern("((a{1000}){1000}){1000}".into());
    let answer = run(&mut engine, GenerateWork { format, ..chat("Hi", 8) }, &[]);
    assert!(!answer.text.is_empty() && answer.text.bytes().all(|byte| byte == b'a'), "{answer:?}");
    let answer = run(&mut engine, chat("What is the capital of France?", 32), &[]);
    assert!(answer.text.contains("Paris"));
}

fn weather() -> Tool {
    let parameters = r##"{"type":"object","properties":{"city":{"$ref":"#/$defs/city"}},"required":["city"],
        "additionalProperties":false,"$defs":{"city":{"enum":["Paris","Rome"]}}}"##;
    Tool { name: "get_weather".into(), description: "The weather in a city".into(), parameters: parameters.into() }
}

#[test]
fn a_tool_that_must_be_called_is_called_as_its_schema_has_it() {
    let Some(mut engine) = engine(1024, 1) else { return };
    let clock = Tool { name: "clock".into(), description: "The time".into(), parameters: String::new() };
    for tool_choice in [ToolChoice::Named("get_weather".into()), ToolChoice::Any] {
        let work = GenerateWork {
            tools: vec![weather(), clock.clone()],
            tool_choice: tool_choice.clone(),
            ..chat("How is the weather in Paris? Call get_weather.", 96)
        };
        let answer = run(&mut engine, work.clone(), &[]);
        let [ToolCall { name, arguments, .. }] = &answer.calls[..] else { panic!("{answer:?}") };
        assert_eq!((answer.text.as_str(), answer.reason), ("", Some(FinishReason::ToolCalls)), "{answer:?}");
        let arguments: serde_json::Value = serde_json::from_str(arguments).unwrap();
        if name == "get_weather" {
            assert!(["Paris", "Rome"].contains(&arguments["city"].as_str().unwrap()), "{arguments}");
        }
        // Elsewhere, in the midst of the call.
        let split = answer.ids.len() / 2;
        let rest = run(&mut engine, work, &answer.ids[..split]);
        assert_eq!((&rest.calls, rest.reason), (&answer.calls, answer.reason));
    }
    let with = |tool_choice, format| GenerateWork { tools: vec![weather()], tool_choice, format, ..chat("Hi", 8) };
    let unknown = run(&mut engine, with(ToolChoice::Named("nothing".into()), Format::Text), &[]);
    assert_eq!(refusal(&unknown), "the tool \"nothing\" must be called, and was not given");
    let both = run(&mut engine, with(ToolChoice::Any, Format::Json), &[]);
    assert!(refusal(&both).contains("cannot have another format"));
}

#[test]
fn tools_that_may_be_called_leave_text_as_it_is() {
    let Some(mut engine) = engine(1024, 1) else { return };
    let question = "What is the capital of France?";
    let plain = run(&mut engine, chat(question, 24), &[]);
    let never = GenerateWork { tools: vec![weather()], tool_choice: ToolChoice::Never, ..chat(question, 24) };
    assert_eq!(run(&mut engine, never, &[]).ids, plain.ids);
    let turns = vec![
        ChatMessage::new("user", "How is the weather in Paris?"),
        ChatMessage {
            calls: vec![ToolCall {
                id: "1".into(),
                name: "get_weather".into(),
                arguments: r#"{"city":"Paris"}"#.into(),
            }],
            ..ChatMessage::new("assistant", "")
        },
        ChatMessage { answers: Some("1".into()), ..ChatMessage::new("tool", "It rains in Paris.") },
    ];
    let work = GenerateWork { tools: vec![weather()], max_tokens: Some(32), ..GenerateWork::new(Prompt::Chat(turns)) };
    let answer = run(&mut engine, work, &[]);
    assert!(matches!(answer.end, Some(Ok(_))) && !answer.ids.is_empty(), "{answer:?}");
    assert!(!answer.text.is_empty() || !answer.calls.is_empty());
}

#[test]
fn chances_are_told_of_and_change_nothing() {
    let Some(mut engine) = engine(512, 1) else { return };
    let plain = run(&mut engine, chat("What is the capital of France?", 12), &[]);
    let with = GenerateWork { chances: Some(3), ..chat("What is the capital of France?", 12) };
    let answer = run(&mut engine, with, &[]);
    assert_eq!(answer.ids, plain.ids);
    assert_eq!(answer.chances.len(), answer.ids.len());
    for (id, at) in answer.ids.iter().zip(&answer.chances) {
        // Greedy: what was said is the likeliest.
        assert_eq!((at.said.id, at.likeliest.len(), at.likeliest[0].id), (*id, 3, *id));
        assert!(at.said.log <= 0. && at.said.log == at.likeliest[0].log);
        assert!(at.likeliest.is_sorted_by(|a, b| a.log >= b.log));
    }
    let text: Vec<u8> = answer.chances.iter().flat_map(|at| at.said.bytes.clone()).collect();
    assert_eq!(String::from_utf8(text).unwrap(), plain.text);
    let none = run(&mut engine, GenerateWork { chances: Some(0), ..chat("Hi", 3) }, &[]);
    assert!(none.chances.len() == none.ids.len() && none.chances.iter().all(|at| at.likeliest.is_empty()));
}

#[test]
fn penalties_and_biases_move_what_is_said() {
    let Some(mut engine) = engine(512, 1) else { return };
    let question = "Repeat the word sea again and again.";
    let endless = || GenerateWork { ignore_eos: true, ..chat(question, 60) };
    let distinct = |ids: &[u32]| ids.iter().collect::<std::collections::BTreeSet<_>>().len();
    let plain = run(&mut engine, endless(), &[]);
    let work = GenerateWork { frequency_penalty: 2., presence_penalty: 1., ..endless() };
    let varied = run(&mut engine, work.clone(), &[]);
    assert!(distinct(&varied.ids) > distinct(&plain.ids), "{} {}", varied.text, plain.text);
    let rest = run(&mut engine, work, &varied.ids[..20]);
    assert_eq!([&varied.ids[..20], &rest.ids].concat(), varied.ids, "penalties count what was said elsewhere");
    let first = plain.ids[0];
    let biased = run(&mut engine, GenerateWork { logit_bias: vec![(first, -100.)], ..endless() }, &[]);
    assert_ne!(biased.ids[0], first);
    let min_p = GenerateWork { temperature: 2., min_p: 1., seed: 5, ..endless() };
    assert_eq!(run(&mut engine, min_p, &[]).ids, plain.ids, "only the likeliest is as likely as the likeliest");
}

#[test]
fn stop_strings_across_tokens_end_an_answer_before_them() {
    let Some(mut engine) = engine(512, 1) else { return };
    let plain = run(&mut engine, chat("What is the capital of France?", 24), &[]);
    let at = plain.text.find("of France").unwrap();
    // From the middle of one word into the middle of the next.
    let stop = &plain.text[at - 3..at + 5];
    let work = GenerateWork { stop: vec![stop.to_owned()], ..chat("What is the capital of France?", 24) };
    let answer = run(&mut engine, work, &[]);
    assert_eq!((answer.text.as_str(), answer.reason), (&plain.text[..at - 3], Some(FinishReason::Stop)));
}
