//! What Ollama's clients send. Fields that nobody knows are named in X-Hither-Ignored.

use serde_json::{Value, json};

use super::{CALLS, MAX_CHANCES, MAX_TOOLS, MESSAGES, Named, STOPS, U32};
use crate::openapi::describe::parts::{either, flag, list, number, object, said, schema, text, whole, word};

pub(super) fn all() -> Named {
    let mut chat = options();
    chat.extend([
        (
            "messages",
            said(list(schema("OllamaChatMessage"), 0, MESSAGES), "Without any, the model is opened and nothing said."),
        ),
        ("tools", list(schema("Tool"), 0, MAX_TOOLS)),
    ]);
    let mut generate = options();
    generate.extend([
        ("prompt", said(text(), "Without any, the model is opened and nothing said.")),
        ("system", text()),
        ("raw", said(flag(), "Whether the prompt is laid out already.")),
    ]);
    let by_name = || ("model", said(text(), "The name of the model, with or without a tag."));
    let keep = ("keep_alive", said(json!({}), "A model is closed when its memory is needed, not on request."));
    vec![
        ("OllamaOptions", numbers()),
        ("OllamaChatMessage", message()),
        ("OllamaChatRequest", object(&[by_name()], &chat, true)),
        ("OllamaGenerateRequest", object(&[by_name()], &generate, true)),
        (
            "OllamaEmbedRequest",
            object(&[by_name(), ("input", schema("EmbeddingInput"))], std::slice::from_ref(&keep), true),
        ),
        ("OllamaEmbeddingRequest", object(&[by_name(), ("prompt", text())], &[keep], true)),
        ("OllamaModelRequest", object(&[by_name()], &[], true)),
        ("OllamaCommand", object(&[by_name()], &[("source", text())], true)),
    ]
}

fn options() -> Vec<(&'static str, Value)> {
    let format = either(&[word(&["json", ""]), json!({ "type": "object" })]);
    vec![
        ("stream", said(flag(), "true if absent.")),
        ("format", said(format, "json, or a JSON schema that the answer keeps to.")),
        ("options", schema("OllamaOptions")),
        ("logprobs", flag()),
        ("top_logprobs", said(whole(0, MAX_CHANCES as u64), "Only with logprobs: true.")),
        ("keep_alive", said(json!({}), "A model is closed when its memory is needed, not on request.")),
        ("think", json!({ "type": "boolean", "const": false })),
    ]
}

fn numbers() -> Value {
    let stop = json!({ "type": "string", "minLength": 1 });
    let numbers = [
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("min_p", number(0.0, 1.0)),
        ("top_k", whole(i64::MIN, U32)),
        ("presence_penalty", number(-2.0, 2.0)),
        ("frequency_penalty", number(-2.0, 2.0)),
        ("repeat_penalty", number(0.01, 10.0)),
        ("num_predict", whole(-2, U32)),
        ("num_ctx", said(whole(0, U32), "Refused above what the model has.")),
        ("seed", whole(i64::MIN, i64::MAX as u64)),
        ("stop", either(&[stop.clone(), list(stop, 0, STOPS)])),
    ];
    object(&[], &numbers, true)
}

fn message() -> Value {
    let called = object(&[("name", text())], &[("arguments", json!({ "type": "object" }))], true);
    let call = object(&[("function", called)], &[], true);
    let beside = [
        ("content", text()),
        ("images", json!({ "type": "array", "maxItems": 0 })),
        ("tool_calls", said(list(call, 0, CALLS), "Of an assistant.")),
        ("tool_name", said(text(), "Of a tool: whose call it answers.")),
    ];
    object(&[("role", word(&["system", "user", "assistant", "tool"]))], &beside, true)
}
