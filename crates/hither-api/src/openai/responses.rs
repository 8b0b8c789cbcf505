//! `POST /v1/responses`, without memory: a conversation comes whole with each request, and nothing is kept but what was
//! asked for with `background: true`.
//!
//! What must stay true: what would need other memory (`store: true`, `previous_response_id`, …) is refused, and so is
//! every tool that is not a function.

use axum::extract::{Request, State};
use axum::response::Response;
use hither_engine::work::ToolCall;
use serde::Serialize;
use tokio::time::Instant;

use super::chances::PlaceForm;
use super::{now, request_id};
use crate::callers::Caller;
use crate::chorus::{Chorus, Teller, conclude, speaker, take_in};
use crate::errors::{Code, Problem};
use crate::respond::{self, Form, json};
use crate::routes::App;

pub(crate) mod background;
mod events;
pub(crate) mod parse;
#[cfg(test)]
mod tests;

use events::Growth;
use parse::Echo;

pub(super) async fn respond(State(app): State<App>, request: Request) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = answer(&app, request, &mut model).await;
    conclude(&app, Form::OpenAi, begun, model, result)
}

/// What is asked of the input of a response that was given before.
async fn kept() -> Response {
    let none =
        Problem::new(Code::NotKept, "the input of a response is not given back: whoever asks for it has sent it")
            .help("GET /v1/responses/ID says what became of it");
    respond::problem(Form::OpenAi, &none)
}

async fn answer(app: &App, request: Request, named: &mut Option<String>) -> Result<Response, Problem> {
    let caller = Caller::of(request.extensions()).clone();
    let (headers, mut asked, body) = take_in(app, request).await?;
    let wish = parse::wish(&body.bytes)?;
    if wish.background {
        return background::keep(app, &caller, &headers, &body.bytes, &wish).await;
    }
    let parse::Wish { model, wanted, stream, echo, .. } = wish;
    asked.whole = !stream;
    drop(body);
    let found = speaker(app, &model, named)?;
    let mut chorus = Chorus::begin(app, &found, asked, wanted)?;
    let head = Head { id: request_id(&chorus), created_at: now(), echo };
    let mut growth = Growth::new(head);
    if stream {
        return chorus.tell("text/event-stream", growth).await;
    }
    while let Some((index, heard)) = chorus.next().await.transpose()? {
        growth.tell(index, heard, &chorus)?;
    }
    let mut response = json(&growth.form(&chorus, growth.standing()));
    chorus.set_headers(response.headers_mut());
    Ok(response)
}

/// What all events of one response have in common.
struct Head {
    id: String,
    created_at: u64,
    echo: Echo,
}

/// How a response stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Response"))]
pub(crate) struct ResponseForm<'a> {
    id: String,
    object: &'static str,
    created_at: u64,
    completed_at: Option<u64>,
    status: &'static str,
    background: bool,
    error: Option<ErrorForm>,
    incomplete_details: Option<DetailsForm>,
    max_tool_calls: (),
    model: &'a str,
    output: Vec<Item<'a>>,
    previous_response_id: (),
    reasoning: ReasoningForm,
    store: bool,
    usage: Option<UsageForm>,
    #[serde(flatten)]
    echo: &'a Echo,
    #[serde(skip_serializing_if = "Option::is_none")]
    hither: Option<BesideForm>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseError"))]
struct ErrorForm {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "IncompleteDetails"))]
struct DetailsForm {
    reason: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseReasoning"))]
struct ReasoningForm {
    effort: (),
    summary: (),
}

/// What OpenAI's form has no place for.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseBeside"))]
struct BesideForm {
    dropped_prompt_tokens: u32,
    dropped_tool_calls: u32,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseUsage"))]
struct UsageForm {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InputTokensDetails"))]
struct InputDetails {
    cached_tokens: u32,
    /// What the request was the first to read is kept only for those that may share it, and nobody counts it.
    cache_write_tokens: u32,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OutputTokensDetails"))]
struct OutputDetails {
    reasoning_tokens: u32,
}

/// One thing that came out.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OutputItem"))]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Message { id: String, status: &'static str, role: &'static str, content: Vec<PartForm<'a>> },
    FunctionCall { id: String, status: &'static str, call_id: &'a str, name: &'a str, arguments: &'a str },
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OutputText"))]
struct PartForm<'a> {
    r#type: &'static str,
    text: &'a str,
    annotations: [(); 0],
    logprobs: &'a [PlaceForm],
}

impl<'a> PartForm<'a> {
    fn new(text: &'a str, logprobs: &'a [PlaceForm]) -> Self {
        Self { r#type: "output_text", text, annotations: [], logprobs }
    }
}

impl ResponseForm<'_> {
    /// The same, broken off.
    fn failed(mut self, problem: &Problem) -> Self {
        let code = if problem.status == 429 { "rate_limit_exceeded" } else { "server_error" };
        self.error = Some(ErrorForm { code, message: problem.sentence() });
        self
    }
}

impl Head {
    fn message<'a>(&self, at: usize, standing: Standing, content: Vec<PartForm<'a>>) -> Item<'a> {
        Item::Message { id: self.message_id(at), status: standing.as_str(), role: "assistant", content }
    }

    fn message_id(&self, at: usize) -> String {
        format!("msg_{}_{at}", self.id)
    }

    fn call<'a>(&self, at: usize, call: &'a ToolCall, standing: Standing) -> Item<'a> {
        let ToolCall { id, name, arguments } = call;
        // A call that has only begun has no arguments yet.
        let arguments = if standing == Standing::InProgress { "" } else { arguments };
        Item::FunctionCall { id: self.call_id(at), status: standing.as_str(), call_id: id, name, arguments }
    }

    fn call_id(&self, at: usize) -> String {
        format!("fc_{}_{at}", self.id)
    }

    fn form<'a>(&'a self, chorus: &'a Chorus, standing: Standing, output: Vec<Item<'a>>) -> ResponseForm<'a> {
        let voice = chorus.voices().first();
        let beside = voice.filter(|voice| voice.account.dropped_tokens > 0 || voice.dropped_calls > 0);
        ResponseForm {
            id: format!("resp_{}", self.id),
            object: "response",
            created_at: self.created_at,
            completed_at: (standing == Standing::Completed).then(now),
            status: standing.as_str(),
            background: false,
            error: None,
            incomplete_details: (standing == Standing::Incomplete)
                .then_some(DetailsForm { reason: "max_output_tokens" }),
            max_tool_calls: (),
            model: voice.map_or("", |voice| voice.serving.model().name.as_str()),
            output,
            previous_response_id: (),
            reasoning: ReasoningForm { effort: (), summary: () },
            store: false,
            usage: usage(chorus),
            echo: &self.echo,
            hither: beside.map(|voice| BesideForm {
                dropped_prompt_tokens: voice.account.dropped_tokens,
                dropped_tool_calls: voice.dropped_calls,
            }),
        }
    }
}

/// Once all is over.
fn usage(chorus: &Chorus) -> Option<UsageForm> {
    let voice = chorus.voices().first()?;
    let input = u64::from(voice.summary.as_ref()?.cost.prompt_tokens);
    let output = voice.delivered as u64;
    Some(UsageForm {
        input_tokens: input,
        input_tokens_details: InputDetails { cached_tokens: voice.account.cached_tokens, cache_write_tokens: 0 },
        output_tokens: output,
        output_tokens_details: OutputDetails { reasoning_tokens: 0 },
        total_tokens: input + output,
    })
}
