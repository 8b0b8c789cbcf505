//! Conversations as chats and responses have them.

use serde_json::{Value, json};

use super::{CALLS, MAX_CHANCES, MAX_TOOLS, MESSAGES, Named, U32, kind, sampling};
use crate::openapi::describe::parts::{either, flag, list, object, said, schema, text, whole, word};

pub(super) fn all() -> Named {
    let part = either(&[
        object(&[("type", word(&["text", "input_text", "output_text"])), ("text", text())], &[], true),
        object(&[("type", kind("refusal")), ("refusal", text())], &[], true),
    ]);
    let parts = json!({ "type": "array", "items": part });
    vec![
        ("TextContent", either(&[text(), parts])),
        ("ChatMessage", message()),
        ("ResponseFormat", format()),
        ("ResponseItem", item()),
        ("ResponseRequest", response()),
    ]
}

fn message() -> Value {
    let called = object(&[("name", text()), ("arguments", said(text(), "JSON, as text."))], &[], true);
    let call = object(&[("id", text()), ("function", called)], &[], true);
    let none = json!({ "type": "array", "maxItems": 0 });
    let content = || schema("TextContent");
    let beside = [("tool_call_id", text()), ("tool_calls", none.clone()), ("function_call", json!({ "type": "null" }))];
    let said_by = object(&[("role", word(&["system", "developer", "user"])), ("content", content())], &beside, true);
    let mut by_assistant = beside.to_vec();
    by_assistant[1].1 = list(call.clone(), 0, CALLS);
    let assistant = object(&[("role", kind("assistant")), ("content", content())], &by_assistant, true);
    let calls = object(
        &[("role", kind("assistant")), ("tool_calls", list(call, 1, CALLS))],
        &[("content", content()), ("tool_call_id", text()), ("function_call", json!({ "type": "null" }))],
        true,
    );
    let tool = object(
        &[("role", kind("tool")), ("tool_call_id", text()), ("content", content())],
        &[("tool_calls", none), ("function_call", json!({ "type": "null" }))],
        true,
    );
    either(&[said_by, assistant, calls, tool])
}

fn format() -> Value {
    let any = json!({ "type": "object" });
    let inside = object(&[("schema", any.clone())], &[], true);
    let null = || json!({ "type": "null" });
    either(&[
        object(&[("type", kind("text"))], &[("schema", null()), ("json_schema", null()), ("pattern", null())], true),
        object(
            &[("type", kind("json_object"))],
            &[("schema", any), ("json_schema", null()), ("pattern", null())],
            true,
        ),
        object(
            &[("type", kind("json_schema")), ("json_schema", inside)],
            &[("schema", null()), ("pattern", null())],
            true,
        ),
        object(
            &[("type", kind("pattern")), ("pattern", said(text(), "A regular expression."))],
            &[("schema", null()), ("json_schema", null())],
            true,
        ),
    ])
}

fn item() -> Value {
    let content = || schema("TextContent");
    let role = word(&["system", "developer", "user", "assistant"]);
    let call = [("call_id", text()), ("name", text()), ("arguments", text())];
    either(&[
        object(&[("role", role), ("content", content())], &[("type", kind("message"))], true),
        object(&[&[("type", kind("function_call"))][..], &call[..]].concat(), &[], true),
        object(&[("type", kind("function_call_output")), ("call_id", text()), ("output", content())], &[], true),
    ])
}

fn response() -> Value {
    let mut options = sampling();
    options.retain(|(name, _)| *name != "model");
    let any = json!({ "type": "object" });
    let of_text =
        |name: &str, more: &[(&'static str, Value)]| object(&[&[("type", kind(name))][..], more].concat(), &[], true);
    let format =
        either(&[of_text("text", &[]), of_text("json_object", &[]), of_text("json_schema", &[("schema", any)])]);
    let included = word(&crate::openai::responses::parse::INCLUDE);
    options.extend([
        ("instructions", text()),
        ("max_output_tokens", whole(1, U32)),
        ("tools", list(schema("FlatTool"), 0, MAX_TOOLS)),
        ("tool_choice", schema("ToolChoice")),
        ("text", object(&[], &[("format", format), ("verbosity", kind("medium"))], false)),
        ("include", json!({ "type": "array", "items": included })),
        ("top_logprobs", said(whole(0, MAX_CHANCES as u64), "Only with message.output_text.logprobs in include.")),
        (
            "reasoning",
            said(json!({ "type": "object", "additionalProperties": { "enum": ["none", null] } }), "There is none."),
        ),
        ("stream_options", object(&[], &[("include_obfuscation", json!({}))], false)),
        ("store", said(flag(), "With background true or absent; without it false or absent.")),
        ("background", said(flag(), "Whether it is kept as a job, and answered when somebody can.")),
        ("max_tool_calls", said(json!({}), "Without effect.")),
        ("parallel_tool_calls", flag()),
    ]);
    // The later of two counts.
    let mut seen = std::collections::BTreeMap::new();
    seen.extend(options);
    let options: Vec<(&str, Value)> = seen.into_iter().collect();
    let input = either(&[text(), list(schema("ResponseItem"), 1, MESSAGES)]);
    object(&[("model", text()), ("input", input)], &options, false)
}
