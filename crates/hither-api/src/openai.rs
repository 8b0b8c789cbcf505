//! The OpenAI API: models, chats, completions, responses and vectors, streamed or whole.
//!
//! What must stay true: what changes the meaning and is not supported is refused, never dropped; `null` is absent;
//! errors before the first token are real statuses.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_engine::work::{GenerateWork, Prompt};
use hither_types::model::{Manifest, ModelIo};
use hither_types::refusal::Refusal;
use serde::Serialize;
use tokio::time::Instant;

use crate::callers::Caller;
use crate::chorus::{Chorus, conclude, speaker, take_in};
use crate::errors::{Code, Problem};
use crate::labels;
use crate::respond::{self, Form, json};
use crate::routes::{App, Routes};
use crate::serving::manifest;

pub(crate) mod chances;
pub(crate) mod embeddings;
pub(crate) mod forms;
pub(crate) mod options;
mod parse;
pub(crate) mod responses;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use forms::Head;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*model}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/responses", post(responses::respond))
        .merge(responses::background::routes())
        .route("/v1/embeddings", post(embeddings::embeddings))
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ModelList"))]
pub(crate) struct ModelList {
    object: &'static str,
    data: Vec<ModelForm>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OpenAiModel"))]
pub(crate) struct ModelForm {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl From<&Manifest> for ModelForm {
    fn from(manifest: &Manifest) -> Self {
        // The catalog knows a model by its bytes, and bytes have no date.
        Self { id: manifest.name.to_string(), object: "model", created: 0, owned_by: "hither" }
    }
}

/// Those that this API can speak with.
async fn models(State(app): State<App>, Extension(caller): Extension<Caller>) -> Response {
    let view = app.door.view();
    let speaking =
        |manifest: &&Manifest| matches!(manifest.io, ModelIo::Language { .. }) && caller.sees(&manifest.name);
    let data = view.borrow().models.iter().filter(speaking).map(ModelForm::from).collect();
    json(&ModelList { object: "list", data })
}

async fn model(State(app): State<App>, name: Result<Path<String>, PathRejection>) -> Response {
    let found = name
        .map_err(|error| Problem::new(Code::Malformed, format!("the path: {error}")))
        .and_then(|Path(name)| manifest(&app, &name))
        .and_then(|found| match found.io {
            ModelIo::Language { .. } => Ok(found),
            ModelIo::Tensors { .. } => Err(Problem::from(&Refusal::UnknownModel(found.name.clone()))
                .help(format!("{} takes tensors: GET /v2/models/{}", found.name, found.name))),
        });
    match found {
        Ok(found) => json(&ModelForm::from(&found)),
        Err(problem) => respond::problem(Form::OpenAi, &problem),
    }
}

async fn chat(State(app): State<App>, request: Request) -> Response {
    generate(&app, request, Kind::Chat).await
}

async fn completions(State(app): State<App>, request: Request) -> Response {
    generate(&app, request, Kind::Text).await
}

/// Which of the two endpoints: they differ in what they read and in the names of what they write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Chat,
    Text,
}

async fn generate(app: &App, request: Request, kind: Kind) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = answer(app, request, kind, &mut model).await;
    conclude(app, Form::OpenAi, begun, model, result)
}

async fn answer(app: &App, request: Request, kind: Kind, named: &mut Option<String>) -> Result<Response, Problem> {
    let (headers, mut asked, body) = take_in(app, request).await?;
    let with_ids = labels::wants_ids(&headers)?;
    let parse::Wish { model, wanted, per_prompt, stream, counts, echoes } = parse::wish(&body.bytes, kind)?;
    asked.whole = !stream;
    drop(body);
    let found = speaker(app, &model, named)?;
    let mut chorus = Chorus::begin(app, &found, asked, wanted)?;
    let head = Head::new(kind, &chorus, with_ids, per_prompt, echoes);
    if stream {
        return chorus.tell("text/event-stream", stream::Events::new(head, counts)).await;
    }
    let texts = chorus.whole().await?;
    let mut response = json(&head.whole(&chorus, &texts));
    chorus.set_headers(response.headers_mut());
    Ok(response)
}

/// The id of the first request behind an answer: what the answer is called.
fn request_id(chorus: &Chorus) -> String {
    chorus.voices().first().map(|voice| voice.serving.request.to_string()).unwrap_or_default()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a request asks for, apart from what the engine must know.
fn generate_work(prompt: Prompt) -> GenerateWork {
    GenerateWork { temperature: 1.0, ..GenerateWork::new(prompt) }
}
