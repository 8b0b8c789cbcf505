//! The OpenAI API.

use serde_json::json;

use super::codes::{BODY, FIELDS, KEYED, LABEL, MESH, MODEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, PROMPTED, SERVED, said, text};
use crate::errors::Code;
use crate::openai::embeddings::ListForm;
use crate::openai::forms::WholeForm;
use crate::openai::responses::ResponseForm;
use crate::openai::responses::background::DeletedForm;
use crate::openai::{ModelForm, ModelList};
use crate::respond::Form;

const OPENAI: Place = Place("OpenAI", Form::OpenAi);

pub(super) fn all() -> Vec<Operation> {
    let kept = |operation: Operation| {
        operation
            .about("Those that were asked for with background: true are kept, for their app alone.")
            .parameter(json!({ "name": "id", "in": "path", "required": true, "schema": text(), "example": "resp_1" }))
            .errors(&[Code::NotKept, Code::JobsOff])
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
        kept(OPENAI.get("/v1/responses/{id}", "keptResponse", "A response in the background as it stands."))
            .gives::<ResponseForm<'_>>("The response: queued, in_progress, completed, incomplete, failed or cancelled.")
            .errors(&[Code::OutOfRange]),
        kept(OPENAI.delete(
            "/v1/responses/{id}",
            "deleteKeptResponse",
            "Forgets a response, cancelled first if need be.",
        ))
        .gives::<DeletedForm>("It is gone.")
        .errors(&[Code::JobDiskFull]),
        kept(OPENAI.post(
            "/v1/responses/{id}/cancel",
            "cancelKeptResponse",
            "Cancels a response; one that ended stays.",
        ))
        .gives::<ResponseForm<'_>>("The response.")
        .errors(&[Code::JobDiskFull]),
        kept(OPENAI.get("/v1/responses/{id}/input_items", "keptInput", "The input of a response, which is not given.")),
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
        .about("With background: true it is kept as a job, and asked for at /v1/responses/{id}.")
        .with(&["x-hither-deadline"])
        .body("ResponseRequest", example)
        .errors(&[Code::JobsFull, Code::JobDiskFull, Code::JobsOff])
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
