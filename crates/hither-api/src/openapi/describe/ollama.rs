//! The API of Ollama.

use serde_json::json;

use super::codes::{BODY, FIELDS, KEYED, LABEL, MESH, MODEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, PROMPTED, SERVED, said, text};
use crate::errors::Code;
use crate::ollama::catalog::{List, RunningForm, ShowForm, TagForm, VersionForm};
use crate::ollama::lines::Line;
use crate::ollama::{VectorForm, VectorsForm};
use crate::respond::Form;

const OLLAMA: Place = Place("Ollama", Form::Ollama);

pub(super) fn all() -> Vec<Operation> {
    let chat = json!({
        "model": "smollm2-135m", "messages": [{ "role": "user", "content": "Name a colour." }], "stream": false,
        "options": { "num_predict": 8 },
    });
    let generate =
        json!({ "model": "smollm2-135m", "prompt": "The sky is", "stream": false, "options": { "num_predict": 8 } });
    let vector = json!({ "model": "smollm2-135m", "prompt": "The sky is blue." });
    let lines = said(
        text(),
        "Unless stream is false, an object (OllamaAnswer) a line; the last has done: true. An error that \
                              comes late is a line, too (OllamaError).",
    );
    let speaks = |path, id, summary, schema, example| {
        asks(OLLAMA.post(path, id, summary))
            .body(schema, example)
            .gives::<Line<'_>>("The answer.")
            .or_as("application/x-ndjson", lines.clone())
            .headers(SERVED)
            .headers(PROMPTED)
            .headers(&["X-Hither-Ignored"])
            .errors(&[Code::ContextOverflow])
    };
    let embeds = |path, id, summary| asks(OLLAMA.post(path, id, summary)).errors(&[Code::ContextOverflow]);
    let mut all = vec![
        speaks("/api/chat", "ollamaChat", "The next turn of a conversation.", "OllamaChatRequest", chat),
        speaks("/api/generate", "ollamaGenerate", "How a text goes on.", "OllamaGenerateRequest", generate),
        embeds("/api/embed", "ollamaEmbed", "A vector of each text.")
            .body("OllamaEmbedRequest", json!({ "model": "smollm2-135m", "input": ["The sky is blue."] }))
            .gives::<VectorsForm<'_>>("The vectors.")
            .headers(SERVED)
            .headers(PROMPTED)
            .headers(&["X-Hither-Ignored"]),
        embeds("/api/embeddings", "ollamaEmbeddings", "The vector of a text, in the older form.")
            .body("OllamaEmbeddingRequest", vector)
            .gives::<VectorForm>("The vector.")
            .headers(SERVED)
            .headers(PROMPTED)
            .headers(&["X-Hither-Ignored"]),
        OLLAMA.get("/api/tags", "ollamaTags", "The models that speak.").gives::<List<TagForm>>("The models."),
        OLLAMA.get("/api/ps", "ollamaRunning", "Those that are open here.").gives::<List<RunningForm>>("The models."),
        OLLAMA
            .get("/api/version", "ollamaVersion", "Which version of Ollama's API is spoken.")
            .gives::<VersionForm>("The version."),
        taken(OLLAMA.post("/api/show", "ollamaShow", "What is known of a model."))
            .body("OllamaModelRequest", json!({ "model": "smollm2-135m" }))
            .gives::<ShowForm>("The model.")
            .errors(MODEL),
    ];
    for command in ["pull", "push", "create", "copy"] {
        let post = OLLAMA.post(&format!("/api/{command}"), &format!("ollama{command}"), COMMAND);
        all.push(commands(post));
    }
    all.push(commands(OLLAMA.delete("/api/delete", "ollamadelete", COMMAND)));
    all
}

const COMMAND: &str = "Refused with what to type: which models there are is the operator's to say.";

/// What has a label and a body.
fn taken(operation: Operation) -> Operation {
    let headed = operation.with(&ASKED).with(&["Content-Encoding"]);
    headed.errors(BODY).errors(LABEL)
}

/// What asks a model.
fn asks(operation: Operation) -> Operation {
    taken(operation).with(&["Idempotency-Key"]).errors(FIELDS).errors(KEYED).errors(MODEL).errors(MESH)
}

fn commands(operation: Operation) -> Operation {
    taken(operation).body("OllamaCommand", json!({ "model": "smollm2-135m" })).errors(&[Code::SocketOnly])
}
