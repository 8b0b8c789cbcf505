//! The OpenAI API: models and chat, streamed or whole.
//!
//! What must stay true: what changes the meaning and is not supported is refused, never dropped; `null` is absent;
//! errors before the first token are real statuses.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Extension, Router};
use hither_engine::work::{Account, Chances, FinishReason, GenerateWork, Piece, Prompt, ToolCall, Work};
use hither_types::id::RequestId;
use hither_types::model::{Manifest, ModelIo};
use hither_types::refusal::Refusal;
use serde::Serialize;
use tokio::time::Instant;

use crate::body::check_depth;
use crate::callers::Caller;
use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::respond::{self, Form, json};
use crate::routes::App;
use crate::serving::{Next, Serving, cache_scope, manifest};

mod chances;
mod embeddings;
mod options;
mod parse;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/models/{*model}", get(model))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completions))
        .route("/v1/embeddings", post(embeddings::embeddings))
}

fn wrong(problem: Problem) -> Response {
    respond::problem(Form::OpenAi, &problem)
}

#[derive(Serialize)]
struct ModelList {
    object: &'static str,
    data: Vec<ModelForm>,
}

#[derive(Serialize)]
struct ModelForm {
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
        Err(problem) => wrong(problem),
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
    if let Some(model) = model {
        let status = result.as_ref().map_or_else(|problem| problem.status, |response| response.status().as_u16());
        app.metrics.inferred(&model, status, begun.elapsed());
    }
    result.unwrap_or_else(wrong)
}

async fn answer(app: &App, request: Request, kind: Kind, named: &mut Option<String>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    let with_ids = parts.headers.get("x-hither-tokens").is_some_and(|value| value == "1");
    let body = app.bodies.read(&parts.headers, body).await?;
    check_depth(&body.bytes)?;
    let parse::Wish { model, mut work, salts, stream, include_usage } = parse::wish(&body.bytes, kind)?;
    work.cache = cache_scope(asked.app(), salts.as_ref());
    drop(body);
    let found = manifest(app, &model)?;
    *named = Some(found.name.to_string());
    if let ModelIo::Tensors { .. } = found.io {
        let text = format!("model {model} takes tensors, not text");
        return Err(Problem::new(Code::WrongKind, text).help(format!("POST /v2/models/{model}/infer")).param("model"));
    }
    let mut serving = Serving::begin(app, &found, asked, &Work::Generate(work))?;
    let head = Head { kind, request: serving.request, id: completion_id(kind, serving.request), created: now() };
    if stream {
        let first = serving.next().await?;
        let mut response = respond::text("text/event-stream", "");
        let headers = response.headers_mut();
        respond::set_route(headers, &serving);
        app.metrics.answered(&serving);
        headers.insert("cache-control", hyper::header::HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", hyper::header::HeaderValue::from_static("no"));
        *response.body_mut() = stream::body(serving, first, head, stream::Wishes { include_usage, with_ids });
        return Ok(response);
    }
    let (whole, reason, summary) = whole(&mut serving).await?;
    let usage = Usage::new(&summary, whole.account, whole.ids.len());
    let mut response = json(&head.whole(&whole, reason, usage, serving.model().name.as_str(), with_ids));
    respond::set_route(response.headers_mut(), &serving);
    app.metrics.answered(&serving);
    respond::set_summary(response.headers_mut(), &summary);
    Ok(response)
}

/// What all chunks of one answer have in common.
struct Head {
    kind: Kind,
    request: RequestId,
    id: String,
    created: u64,
}

fn completion_id(kind: Kind, request: RequestId) -> String {
    match kind {
        Kind::Chat => format!("chatcmpl-{request}"),
        Kind::Text => format!("cmpl-{request}"),
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[derive(Default)]
struct Whole {
    text: String,
    ids: Vec<u32>,
    chances: Vec<Chances>,
    calls: Vec<ToolCall>,
    account: Account,
}

async fn whole(serving: &mut Serving) -> Result<(Whole, FinishReason, Summary), Problem> {
    let mut whole = Whole::default();
    let mut reason = None;
    loop {
        match serving.next().await? {
            Next::Piece(Piece::Tokens { first: _, ids, text, chances, calls }) => {
                whole.text.push_str(&text);
                whole.ids.extend(ids);
                whole.chances.extend(chances);
                whole.calls.extend(calls);
            }
            Next::Piece(Piece::End { reason: ended, text, calls, account }) => {
                whole.text.push_str(&text);
                whole.calls.extend(calls);
                whole.account = account;
                reason = Some(ended);
            }
            Next::Piece(Piece::Outputs(_)) => return Err(serving.name(tensors_came())),
            Next::Done(summary) => {
                let Some(reason) = reason else {
                    return Err(serving.name(Problem::new(Code::EngineFailed, "the engine ended without an end")));
                };
                return Ok((whole, reason, summary));
            }
        }
    }
}

fn tensors_came() -> Problem {
    Problem::new(Code::EngineFailed, "the engine gave tensors, and text was asked for")
}

fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u32,
}

impl Usage {
    /// The tokens delivered are counted here: the cost speaks of the last attempt alone.
    fn new(summary: &Summary, account: Account, delivered: usize) -> Self {
        let (prompt, delivered) = (u64::from(summary.cost.prompt_tokens), delivered as u64);
        let prompt_tokens_details = PromptDetails { cached_tokens: account.cached_tokens };
        Self {
            prompt_tokens: prompt,
            completion_tokens: delivered,
            total_tokens: prompt + delivered,
            prompt_tokens_details,
        }
    }
}

/// A call of a tool. In a stream it has an index, and comes whole.
#[derive(Serialize)]
struct CallForm<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: String,
    r#type: &'static str,
    function: FunctionForm<'a>,
}

#[derive(Serialize)]
struct FunctionForm<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct WholeForm<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: [WholeChoice<'a>; 1],
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    hither: Option<Beside<'a>>,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    logprobs: Option<chances::ChancesForm>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct MessageForm<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallForm<'a>>,
}

/// What OpenAI's form has no place for.
#[derive(Default, Serialize)]
struct Beside<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [u32]>,
    /// Tokens of the prompt that were left out, because the request allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_prompt_tokens: Option<u32>,
}

impl<'a> Beside<'a> {
    fn ids(first: u32, ids: &'a [u32]) -> Self {
        Self { first: Some(first), ids: Some(ids), dropped_prompt_tokens: None }
    }

    fn dropped(account: Account) -> Option<Self> {
        let dropped_prompt_tokens = (account.dropped_tokens > 0).then_some(account.dropped_tokens);
        dropped_prompt_tokens.map(|_| Self { dropped_prompt_tokens, ..Self::default() })
    }
}

impl Head {
    fn call<'a>(&self, index: usize, call: &'a ToolCall) -> CallForm<'a> {
        let function = FunctionForm { name: &call.name, arguments: &call.arguments };
        CallForm { index: None, id: format!("call_{}_{index}", self.request), r#type: "function", function }
    }

    fn whole<'a>(
        &'a self,
        whole: &'a Whole,
        reason: FinishReason,
        usage: Usage,
        model: &'a str,
        with_ids: bool,
    ) -> WholeForm<'a> {
        let text = whole.text.as_str();
        let tool_calls: Vec<CallForm<'a>> =
            whole.calls.iter().enumerate().map(|(at, call)| self.call(at, call)).collect();
        let content = (tool_calls.is_empty() || !text.trim().is_empty()).then_some(text);
        let logprobs = chances::form(&whole.chances, self.kind, &mut 0);
        let mut hither = Beside::dropped(whole.account);
        if with_ids {
            let ids = Beside::ids(0, &whole.ids);
            hither =
                Some(Beside { dropped_prompt_tokens: hither.and_then(|beside| beside.dropped_prompt_tokens), ..ids });
        }
        let (object, message, text) = match self.kind {
            Kind::Chat => {
                let message = MessageForm { role: "assistant", content, refusal: (), tool_calls };
                ("chat.completion", Some(message), None)
            }
            Kind::Text => ("text_completion", None, Some(text)),
        };
        WholeForm {
            id: &self.id,
            object,
            created: self.created,
            model,
            choices: [WholeChoice { index: 0, message, text, logprobs, finish_reason: finish(reason) }],
            usage,
            hither,
        }
    }
}

/// What a request asks for, apart from what the engine must know.
fn generate_work(prompt: Prompt) -> GenerateWork {
    GenerateWork { temperature: 1.0, ..GenerateWork::new(prompt) }
}
