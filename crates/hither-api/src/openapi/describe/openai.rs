//! The OpenAI API.

use serde_json::json;

use super::codes::{BODY, FIELDS, KEYED, LABEL, MESH, MODEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, PROMPTED, SERVED, said, text};
use crate::errors::Code;
use crate::openai::embeddings::ListForm;
use crate::openai::forms::WholeForm;
use crate::openai::responses::ResponseForm;
use crate::openai::{ModelForm, ModelList};
use crate::respond::Form;

const OPENAI: Place = Place("OpenAI", Form::OpenAi);

pub(super) fn all() -> Vec<Operation> {
    let kept = |operation: Operation| {
        operation
            .about("Responses are not kept, so none can be looked up, deleted or cancelled.")
            .parameter(json!({ "name": "id", "in": "path", "required": true, "schema": text(), "example": "resp_1" }))
            .errors(&[Code::NotKept])
    };
    vec![
        OPENAI.get("/v1/models", "models", "The models that speak.").gives::<ModelList>("The models."),
        OPENAI
            .get("/v1/models/{model}", "model", "One model that speaks.")
            .with(&["model"])
            .gives::<ModelForm>("The model.")
            .errors(&[Code::UnknownModel, Code::NotAllowed, Code::Malformed]),
        chat(),
        completions(),
        responses(),
        kept(OPENAI.get("/v1/responses/{id}", "keptResponse", "A response that was given before.")),
        kept(OPENAI.delete("/v1/responses/{id}", "deleteKeptResponse", "Forgets a response.")),
        kept(OPENAI.post("/v1/responses/{id}", "changeKeptResponse", "Cancels a response.")),
        embeddings(),
    ]
}

/// What asks a model.
fn asks(operation: Operation) -> Operation {
    operation
        .with(&ASKED)
        .with(&["Content-Encoding", "Idempotency-Key"])
        .errors(BODY)
        .errors(FIELDS)
        .errors(KEYED)
        .errors(LABEL)
        .errors(MODEL)
        .errors(MESH)
        .errors(&[Code::ContextOverflow])
}

fn events(of: &str) -> serde_json::Value {
    said(text(), format!("With stream: true, server-sent events: {of}"))
}

const CHUNKS: &str =
    "each has a chunk of the answer (CompletionChunk) or an error (OpenAiError) as its data, the last [DONE].";

fn chat() -> Operation {
    let example = json!({
        "model": "smollm2-135m", "messages": [{ "role": "user", "content": "Name a colour." }], "max_tokens": 8,
    });
    asks(OPENAI.post("/v1/chat/completions", "chat", "The next turn of a conversation."))
        .with(&["x-hither-tokens"])
        .body("ChatRequest", example)
        .gives::<WholeForm<'_>>("The answer.")
        .or_as("text/event-stream", events(CHUNKS))
        .headers(SERVED)
        .headers(PROMPTED)
}

fn completions() -> Operation {
    let example = json!({ "model": "smollm2-135m", "prompt": "The sky is", "max_tokens": 8 });
    asks(OPENAI.post("/v1/completions", "completions", "How a text goes on."))
        .with(&["x-hither-tokens"])
        .body("CompletionRequest", example)
        .gives::<WholeForm<'_>>("The answer.")
        .or_as("text/event-stream", events(CHUNKS))
        .headers(SERVED)
        .headers(PROMPTED)
}

fn responses() -> Operation {
    let example = json!({ "model": "smollm2-135m", "input": "Name a colour.", "max_output_tokens": 8 });
    asks(OPENAI.post("/v1/responses", "responses", "A response, without memory: the conversation comes whole."))
        .body("ResponseRequest", example)
        .gives::<ResponseForm<'_>>("The response.")
        .or_as("text/event-stream", events("they tell of the response as it grows, numbered without a gap."))
        .headers(SERVED)
        .headers(PROMPTED)
}

fn embeddings() -> Operation {
    let example = json!({ "model": "smollm2-135m", "input": "The sky is blue." });
    asks(OPENAI.post("/v1/embeddings", "embeddings", "A vector of each text."))
        .body("EmbeddingRequest", example)
        .gives::<ListForm<'_>>("The vectors.")
        .headers(SERVED)
        .headers(PROMPTED)
}
