//! The bodies that are read field by field, with the bounds that are checked where they are read.

use hither_engine::limits::{MAX_BIASES, MAX_CALLS, MAX_CHANCES, MAX_EMBED, MAX_TOOLS};
use hither_types::model::Datatype;
use serde_json::{Map, Value, json};

use super::parts::{either, flag, list, number, object, said, schema, text, whole, word};
use crate::limits::{
    CHOICES, FILE_KEEP_MAX_S, FILE_KEEP_MIN_S, JOB_SPAN_MAX_S, MESSAGES, SALT_BYTES, STOPS, TENSORS,
    TRAINING_SUFFIX_BYTES,
};
use crate::openai::options::NEUTRAL;

mod conversations;
mod ollama;

const U32: u64 = u32::MAX as u64;

/// All of them, by name.
pub(super) fn all() -> Map<String, Value> {
    let mut all = Map::new();
    let parts =
        [tensors(), repository(), jobs(), batches(), trainings(), openai(), conversations::all(), ollama::all()]
            .concat();
    for (name, schema) in parts {
        assert!(all.insert(name.to_owned(), schema).is_none(), "two bodies are called {name}");
    }
    all
}

type Named = Vec<(&'static str, Value)>;

fn tensors() -> Named {
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let parameters = json!({ "type": "object", "additionalProperties": scalar });
    let datatypes: Vec<&str> = Datatype::ALL.into_iter().map(Datatype::as_str).collect();
    let shape = list(json!({ "type": "integer", "minimum": 0 }), 0, 32);
    let input = object(
        &[("name", text()), ("datatype", word(&datatypes)), ("shape", shape.clone())],
        &[
            ("parameters", said(parameters.clone(), "binary_data_size: bytes of the tensor behind the JSON.")),
            (
                "data",
                said(
                    json!({ "type": "array" }),
                    "The elements, nested as the shape or flat. FP16 and BF16 come in binary form alone.",
                ),
            ),
        ],
        true,
    );
    let wanted = object(
        &[("name", text())],
        &[(
            "parameters",
            said(
                parameters.clone(),
                "binary_data: whether it is wanted in binary form; classification: how many of its best classes.",
            ),
        )],
        true,
    );
    let request = object(
        &[("inputs", list(schema("InferInput"), 0, TENSORS))],
        &[
            ("id", text()),
            (
                "parameters",
                said(
                    parameters,
                    "binary_data_output, priority (1 is the highest, 0 the usual), timeout in microseconds.",
                ),
            ),
            ("outputs", list(schema("InferRequestedOutput"), 0, TENSORS)),
        ],
        true,
    );
    let mut output = object(&[("name", text()), ("datatype", word(&datatypes)), ("shape", shape)], &[], true);
    output["properties"]["data"] = json!({ "type": "array" });
    output["properties"]["parameters"] =
        object(&[("binary_data_size", json!({ "type": "integer", "minimum": 0 }))], &[], false);
    let outputs = json!({ "type": "array", "items": schema("InferOutput") });
    let mut response = object(&[("model_name", text()), ("model_version", text()), ("outputs", outputs)], &[], true);
    response["properties"]["id"] = text();
    let any = |kind: &str| json!({ "type": kind });
    let config = object(
        &[
            ("name", text()),
            ("platform", text()),
            ("backend", text()),
            ("version_policy", any("object")),
            ("max_batch_size", any("integer")),
            ("input", any("array")),
            ("output", any("array")),
            ("instance_group", any("array")),
            ("default_model_filename", text()),
            ("parameters", any("object")),
            ("model_transaction_policy", any("object")),
        ],
        &[],
        true,
    );
    vec![
        ("InferInput", input),
        ("InferRequestedOutput", wanted),
        ("InferRequest", request),
        ("InferOutput", output),
        ("InferResponse", response),
        ("ModelConfig", config),
    ]
}

fn repository() -> Named {
    let mut index = object(&[], &[], true);
    index["properties"]["ready"] = said(flag(), "Only those that are open here.");
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    let parameters = json!({
        "type": "object", "additionalProperties": scalar,
        "description": "config and file: are refused: a model is what its file is.",
    });
    vec![("RepositoryIndexRequest", index), ("RepositoryChange", object(&[], &[("parameters", parameters)], true))]
}

fn jobs() -> Named {
    let request = object(
        &[
            (
                "url",
                said(
                    json!({ "type": "string" }),
                    "A path whose answers are whole: chat completions, completions, embeddings, or /v2/models/MODEL/infer.",
                ),
            ),
            ("body", said(json!({ "type": "object" }), "What that path takes, in JSON, without stream.")),
        ],
        &[("method", json!({ "type": "string", "const": "POST" }))],
        false,
    );
    let submission = object(
        &[("request", request)],
        &[
            (
                "deadline",
                said(
                    json!({ "type": "string", "format": "date-time" }),
                    "By when. One of deadline and deadline_s is needed.",
                ),
            ),
            ("deadline_s", said(whole(1, JOB_SPAN_MAX_S), "By when, in seconds from now.")),
            ("metadata", said(json!({ "type": "object" }), "What the app wants to find again with the job.")),
        ],
        false,
    );
    vec![("JobSubmission", submission)]
}

fn batches() -> Named {
    let expires = object(
        &[
            ("anchor", json!({ "type": "string", "const": "created_at" })),
            ("seconds", whole(FILE_KEEP_MIN_S as i64, FILE_KEEP_MAX_S)),
        ],
        &[],
        false,
    );
    let window = json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" });
    let submission = object(
        &[
            ("input_file_id", said(text(), "The lines.")),
            ("endpoint", said(word(&crate::jobs::PATHS), "The path that each line asks.")),
            ("completion_window", said(window, "How long it may take: 24h, or another whole number of s, m, h or d.")),
        ],
        &[
            ("metadata", said(json!({ "type": "object" }), "What the app wants to find again with the batch.")),
            ("output_expires_after", said(expires, "How long its output is kept.")),
        ],
        false,
    );
    vec![("BatchSubmission", submission)]
}

fn trainings() -> Named {
    let anything = || json!({ "type": "object" });
    let method = object(&[("type", json!({ "type": "string", "const": "supervised" }))], &[], true);
    let submission = object(
        &[
            ("model", said(text(), "The model to train, by its name here.")),
            ("training_file", said(text(), "The examples.")),
        ],
        &[
            (
                "suffix",
                said(
                    json!({ "type": "string", "minLength": 1, "maxLength": TRAINING_SUFFIX_BYTES / 4 }),
                    "A word for the name of the trained model.",
                ),
            ),
            ("seed", whole(0, U32)),
            ("hyperparameters", said(anything(), "For the server.")),
            ("method", said(method, "For the server.")),
            ("metadata", said(anything(), "For the server.")),
        ],
        false,
    );
    vec![("TrainingSubmission", submission)]
}

/// Ids of tokens.
fn ids() -> Value {
    json!({ "type": "array", "items": whole(0, U32) })
}

/// How tokens are chosen, and where a text ends, as all requests for text have it.
fn sampling() -> Vec<(&'static str, Value)> {
    let stop = json!({ "type": "string", "minLength": 1 });
    let bias = json!({
        "type": "object", "maxProperties": MAX_BIASES, "propertyNames": { "pattern": "^[0-9]{1,10}$" },
        "additionalProperties": number(-100.0, 100.0),
    });
    let salt = json!({ "type": "string", "maxLength": SALT_BYTES });
    let mut all = vec![
        ("model", text()),
        ("stream", flag()),
        ("temperature", number(0.0, 2.0)),
        ("top_p", number(0.0, 1.0)),
        ("top_k", said(whole(-1, U32), "-1 or 0: all.")),
        ("min_p", number(0.0, 1.0)),
        ("frequency_penalty", number(-2.0, 2.0)),
        ("presence_penalty", number(-2.0, 2.0)),
        ("repetition_penalty", number(0.01, 10.0)),
        ("logit_bias", bias),
        (
            "truncation",
            said(
                word(&["auto", "disabled"]),
                "auto: the oldest of a prompt that is too long is left out, and the answer says how much.",
            ),
        ),
        ("seed", whole(i64::MIN, i64::MAX as u64)),
        ("stop", either(&[stop.clone(), list(stop, 0, STOPS)])),
        ("ignore_eos", flag()),
        ("cache_salt", salt.clone()),
        (
            "prompt_cache_key",
            said(salt, "What was read of a prompt serves the next one that begins alike under the same key."),
        ),
        ("parallel_tool_calls", flag()),
        ("metadata", said(json!({}), "Without effect.")),
    ];
    let neutral = NEUTRAL.into_iter().filter(|name| *name != "metadata");
    all.extend(neutral.map(|name| (name, said(json!({}), "Without effect."))));
    all
}

fn stream_options() -> Value {
    let options = [("include_usage", flag()), ("continuous_usage_stats", flag()), ("include_obfuscation", flag())];
    said(object(&[], &options, false), "Only with stream: true.")
}

fn function() -> Value {
    object(
        &[("name", json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$" }))],
        &[("description", text()), ("parameters", said(json!({ "type": "object" }), "A JSON schema."))],
        true,
    )
}

fn kind(of: &str) -> Value {
    json!({ "type": "string", "const": of })
}

fn openai() -> Named {
    let tool = object(&[("type", kind("function")), ("function", function())], &[], true);
    let flat = {
        let mut flat = function();
        flat["properties"]["type"] = kind("function");
        flat["required"] = json!(["name", "type"]);
        flat
    };
    let named = object(&[("name", text())], &[], true);
    let choice = either(&[
        word(&["none", "auto", "required"]),
        object(&[("type", kind("function")), ("function", named)], &[], true),
        object(&[("type", kind("function")), ("name", text())], &[], true),
    ]);
    let inputs = either(&[
        json!({ "type": "string", "minLength": 1 }),
        list(json!({ "type": "string", "minLength": 1 }), 1, MAX_EMBED),
        list(whole(0, U32), 1, 1 << 20),
        list(json!({ "type": "array", "items": whole(0, U32), "minItems": 1 }), 1, MAX_EMBED),
    ]);
    let embedding = object(
        &[("model", text()), ("input", schema("EmbeddingInput"))],
        &[("encoding_format", word(&["float", "base64"])), ("user", said(json!({}), "Without effect."))],
        false,
    );
    vec![
        ("Tool", tool),
        ("FlatTool", flat),
        ("ToolChoice", choice),
        ("EmbeddingInput", inputs),
        ("EmbeddingRequest", embedding),
        ("ChatRequest", chat()),
        ("CompletionRequest", completion()),
    ]
}

/// What chats and completions share.
fn text_options() -> Vec<(&'static str, Value)> {
    let mut all = sampling();
    let tokens = || whole(1, U32);
    all.extend([
        ("max_completion_tokens", tokens()),
        ("max_tokens", said(tokens(), "max_completion_tokens comes first.")),
        ("min_tokens", said(whole(0, U32), "0, or as many as max_tokens where there is no stop.")),
        ("n", said(whole(1, CHOICES as u64), "Texts of each prompt.")),
        ("best_of", said(whole(1, CHOICES as u64), "Equals n.")),
        ("stream_options", stream_options()),
        ("response_format", schema("ResponseFormat")),
        ("tools", list(schema("Tool"), 0, MAX_TOOLS)),
        ("tool_choice", schema("ToolChoice")),
        ("skip_special_tokens", json!({ "type": "boolean", "const": true })),
        ("functions", json!({ "type": "array", "maxItems": 0 })),
        ("suffix", json!({ "type": "string", "maxLength": 0 })),
        ("modalities", list(kind("text"), 0, 16)),
    ]);
    all.retain(|(name, _)| *name != "model");
    all
}

fn chat() -> Value {
    let mut options = text_options();
    options.extend([
        ("logprobs", flag()),
        ("top_logprobs", said(whole(0, MAX_CHANCES as u64), "Only with logprobs: true.")),
        ("echo", json!({ "type": "boolean", "const": false })),
    ]);
    let messages = list(schema("ChatMessage"), 1, MESSAGES);
    object(&[("model", text()), ("messages", messages)], &options, false)
}

fn completion() -> Value {
    let mut options = text_options();
    options.extend([("logprobs", whole(0, 5)), ("echo", flag())]);
    let prompt = either(&[text(), ids(), list(text(), 1, CHOICES), list(ids(), 1, CHOICES)]);
    object(&[("model", text()), ("prompt", prompt)], &options, false)
}

/// How many calls one turn of a conversation may have.
const CALLS: usize = MAX_CALLS;
