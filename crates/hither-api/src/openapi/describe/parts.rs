//! Schemas, parameters and headers that operations share.

use serde_json::{Map, Value, json};

use crate::limits::{KEY_BYTES, LABEL_ITEMS, PATIENCE_MAX_MS};

/// A part of the components, by name.
pub(super) fn reference(kind: &str, name: &str) -> Value {
    json!({ "$ref": format!("#/components/{kind}/{name}") })
}

/// A schema of the components.
pub(super) fn schema(name: &str) -> Value {
    reference("schemas", name)
}

/// Text of a kind that JSON does not have.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// Text, as a schema says what it is.
pub(super) fn said(schema: Value, description: impl Into<String>) -> Value {
    let mut schema = schema;
    schema["description"] = description.into().into();
    schema
}

/// One of these words.
pub(super) fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A whole number within bounds.
pub(super) fn whole(least: i64, most: u64) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most })
}

/// A number within bounds.
pub(super) fn number(least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

/// True or false.
pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A list of bounded length.
pub(super) fn list(item: Value, least: usize, most: usize) -> Value {
    json!({ "type": "array", "items": item, "minItems": least, "maxItems": most })
}

/// One of several schemas.
pub(super) fn either(schemas: &[Value]) -> Value {
    json!({ "anyOf": schemas })
}

/// An object with these fields. What is not needed may be null.
pub(super) fn object(needed: &[(&str, Value)], optional: &[(&str, Value)], others: bool) -> Value {
    let mut properties = Map::new();
    for (name, schema) in needed {
        properties.insert((*name).to_owned(), schema.clone());
    }
    for (name, schema) in optional {
        properties.insert((*name).to_owned(), or_null(schema.clone()));
    }
    let required: Vec<&str> = needed.iter().map(|(name, _)| *name).collect();
    let mut written = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        written["required"] = required.into();
    }
    if !others {
        written["additionalProperties"] = false.into();
    }
    written
}

/// `null` is as good as nothing.
pub(super) fn or_null(schema: Value) -> Value {
    let Value::Object(mut fields) = schema else { return schema };
    if fields.is_empty() || fields.get("type") == Some(&json!("null")) {
        return fields.into();
    }
    let description = fields.remove("description");
    let mut either = match fields.get("type") {
        Some(Value::String(kind)) if !fields.contains_key("enum") && !fields.contains_key("const") => {
            fields.insert("type".to_owned(), json!([kind, "null"]));
            Value::Object(fields)
        }
        _ => json!({ "anyOf": [fields, { "type": "null" }] }),
    };
    if let Some(description) = description {
        either["description"] = description;
    }
    either
}

/// What belongs to the label of a request, and what else its headers say.
pub(super) const ASKED: [&str; 10] = [
    "x-hither-class",
    "x-hither-tags",
    "x-hither-subjects",
    "x-hither-purpose",
    "x-hither-priority",
    "x-hither-prefer",
    "x-hither-quality",
    "x-hither-timeout-ms",
    "traceparent",
    "x-request-id",
];

fn header(name: &str, schema: Value, text: &str) -> (String, Value) {
    (name.to_owned(), json!({ "name": name, "in": "header", "schema": schema, "description": text }))
}

fn in_path(name: &str, schema: Value, text: &str, example: &str) -> (String, Value) {
    let written = json!({
        "name": name, "in": "path", "required": true, "schema": schema, "description": text, "example": example,
    });
    (name.to_owned(), written)
}

/// A name of letters, digits and a few more.
pub(super) fn name(most: usize, more: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^[A-Za-z0-9{more}]{{1,{most}}}$") })
}

/// Parameters, by name.
pub(super) fn parameters() -> Value {
    // Empty items are passed over, as in every list of a header.
    let csv = |item: &str| json!({ "type": "string", "pattern": format!("^({item})?( ?, ?({item})?){{0,{}}}$", LABEL_ITEMS - 1) });
    let all = [
        in_path("model", name(120, "._/:-"), "The name of a model; a slash in it is written %2F.", "fraud"),
        in_path("version", text(), "The version of the model: 1, for every model.", "1"),
        in_path("id", json!({ "type": "string", "format": "uuid" }), "A UUID.", "0190f000-0000-7000-8000-000000000000"),
        in_path("app", name(63, "._-"), "The name of an app.", "triage"),
        in_path(
            "node",
            json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" }),
            "The key of a node.",
            &"1f".repeat(32),
        ),
        in_path(
            "invite",
            json!({ "type": "string", "pattern": "^[0-9a-f]{32}$" }),
            "The name of an invite of this node.",
            &"ab".repeat(16),
        ),
        in_path(
            "proposal",
            json!({ "type": "string", "pattern": "^[0-9a-f]{6,64}$" }),
            "The beginning of the id of a proposal.",
            "cdcdcdcdcd",
        ),
        in_path(
            "digest",
            json!({ "type": "string", "pattern": "^[0-9a-f]{6,64}$" }),
            "The BLAKE3 digest of a policy's text, or the beginning of it.",
            "5a5a5a5a5a",
        ),
        in_path("region", text(), "The name of a region.", "r1"),
        header(
            "x-hither-class",
            word(&["public", "internal", "personal", "special", "secret"]),
            "What the data are. A label can only be tightened: not below what the node assumes without one.",
        ),
        header("x-hither-tags", csv("[A-Za-z0-9_.-]{1,31}"), "Tags for the law, with commas between them."),
        header(
            "x-hither-subjects",
            csv("[A-Z]{2}(-[A-Z0-9]{1,3})?"),
            "Whose data these are: ISO 3166 codes, with commas between them. The place of the node if absent.",
        ),
        header("x-hither-purpose", name(63, "._-"), "What the request is for."),
        header("x-hither-priority", word(&["low", "normal", "critical"]), "How much it matters; normal if absent."),
        header("x-hither-prefer", name(63, "._-"), "The site that the caller would like best."),
        header(
            "x-hither-quality",
            word(&["exact", "family"]),
            "Whether a smaller model of the family may answer; exact if absent.",
        ),
        header(
            "x-hither-timeout-ms",
            whole(1, PATIENCE_MAX_MS),
            "How long the caller waits, in milliseconds; 120000 if absent.",
        ),
        header(
            "x-hither-deadline",
            text(),
            "By when a response in the background has to be there: seconds from now, or a time of RFC 3339; thirty days \
                if absent.",
        ),
        header("x-hither-tokens", word(&["0", "1"]), "Whether the answer says the ids of its tokens."),
        header("traceparent", text(), "The trace that the request belongs to (W3C Trace Context)."),
        header("x-request-id", text(), "What the caller names its request; it comes back with the answer."),
        header(
            "Idempotency-Key",
            json!({ "type": "string", "minLength": 1, "maxLength": KEY_BYTES }),
            "The same key, app and request: the same answer, for ten minutes; of a job, as long as it is kept. A job \
                without a key has its submission as the key.",
        ),
        header(
            "Content-Encoding",
            word(&["identity", "gzip", "deflate"]),
            "How the body is compressed; deflate is zlib's form.",
        ),
        header(
            "Inference-Header-Content-Length",
            whole(0, 1 << 32),
            "How many bytes of the body are JSON; tensors in binary form follow. 0: the body is one tensor alone.",
        ),
    ];
    all.into_iter().collect::<Map<_, _>>().into()
}

/// What an answer to inference says of where it came from.
pub(super) const SERVED: &[&str] = &[
    "X-Hither-Request",
    "X-Hither-Model",
    "X-Hither-Digest",
    "X-Hither-Quality",
    "X-Hither-Served-By",
    "X-Hither-Jurisdiction",
    "X-Hither-Device",
    "X-Hither-Rule",
    "X-Hither-Attempts",
    "X-Hither-Migrations",
    "X-Hither-Egress-Bytes",
    "X-Hither-Joules",
    "X-Hither-Replayed",
    "X-Request-Id",
    "Server-Timing",
];

/// What was done to the prompt.
pub(super) const PROMPTED: &[&str] = &["X-Hither-Truncated"];

/// Headers of answers, by name.
pub(super) fn headers() -> Value {
    let named =
        |name: &str, schema: Value, text: &str| (name.to_owned(), json!({ "schema": schema, "description": text }));
    let all = [
        named(
            "X-Hither-Request",
            text(),
            "The request, for hither explain and GET /hither/v1/requests/{id}. Of several texts, all of them.",
        ),
        named("X-Hither-Model", text(), "The model that answered."),
        named("X-Hither-Digest", text(), "BLAKE3 of its file."),
        named("X-Hither-Quality", word(&["exact", "family"]), "Whether a smaller model of the family answered."),
        named("X-Hither-Served-By", text(), "The site that answered."),
        named("X-Hither-Jurisdiction", text(), "Where that is."),
        named("X-Hither-Device", text(), "What the model runs on there."),
        named("X-Hither-Rule", text(), "The rule of the law that allowed it."),
        named("X-Hither-Attempts", text(), "How many places were tried."),
        named("X-Hither-Migrations", text(), "How often the answer went on elsewhere."),
        named("X-Hither-Egress-Bytes", text(), "Payload bytes that left this node for it."),
        named("X-Hither-Joules", text(), "The energy that it took, in joules. Streams say it in their last comment."),
        named("X-Hither-Truncated", text(), "How many tokens of the prompt were left out."),
        named("X-Hither-Replayed", text(), "true: the answer was given before, for the same Idempotency-Key."),
        named("X-Hither-Code", text(), "The code of the error: /docs/errors."),
        named("X-Request-Id", text(), "As it came, or else X-Hither-Request."),
        named("X-Hither-Ignored", text(), "Fields of the request without effect."),
        named("Server-Timing", text(), "What it took: queue, prefill and decode, in milliseconds."),
        named(
            "Inference-Header-Content-Length",
            whole(1, 1 << 32),
            "How many bytes of the body are JSON; tensors in binary form follow.",
        ),
        named("Content-Encoding", word(&["gzip", "deflate"]), "How the body is compressed."),
        named("Vary", text(), "Accept-Encoding."),
        named("Location", text(), "Where the job is."),
        named("Retry-After", whole(0, u64::from(u32::MAX)), "When trying again makes sense, in seconds."),
        named("WWW-Authenticate", word(&["Bearer", "Bearer error=\"invalid_token\""]), "How a key is sent."),
        named("Accept-Encoding", text(), "The encodings that are taken."),
    ];
    all.into_iter().collect::<Map<_, _>>().into()
}
