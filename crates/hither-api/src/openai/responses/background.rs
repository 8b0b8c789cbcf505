//! Responses with `background: true`: each is a job that asks `/v1/responses`, and is looked up, cancelled and deleted
//! as OpenAI's clients do it.
//!
//! What must stay true: a response that was given an id is on disk; whoever asks for it is its app; what is kept in
//! memory of a request that waits has a bound, and what does not fit is left out rather than changed.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_types::id::{AppName, ModelName};
use hyper::HeaderMap;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::parse::Wish;
use super::{ErrorForm, kept};
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::fields::{unsupported, wrong};
use crate::idempotency;
use crate::jobs::{self, Ask, Job, JobError, JobId, JobStore, NewJob, Status, Whose};
use crate::limits::JOB_METADATA_BYTES;
use crate::respond::{self, Form, json, write};
use crate::routes::{App, Routes};

/// The path that such a job asks.
const PATH: &str = "/v1/responses";

/// Says by when the response has to be there.
const DEADLINE: &str = "x-hither-deadline";

/// The fields of a response, as JSON.
type Fields = BTreeMap<String, Box<RawValue>>;

type Id = Result<Path<String>, PathRejection>;

pub(in crate::openai) fn routes() -> Routes {
    Routes::new()
        .route("/v1/responses/{id}", get(show).delete(remove))
        .route("/v1/responses/{id}/cancel", post(cancel))
        .route("/v1/responses/{id}/input_items", get(kept))
}

/// What is left of a response that was deleted.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeletedResponse"))]
pub(crate) struct DeletedForm {
    id: String,
    object: &'static str,
    deleted: bool,
}

/// Keeps a request as a job, and answers with the response as it stands: queued.
pub(super) async fn keep(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    body: &[u8],
    wish: &Wish,
) -> Result<Response, Problem> {
    if wish.stream {
        return Err(unsupported("stream", "a response in the background is read when it is whole")
            .help("ask GET /v1/responses/ID until its status is completed"));
    }
    if let Ok(model) = ModelName::parse(&wish.model) {
        caller.may_use(&model)?;
    }
    let new = job(app, caller, headers, body, wish)?;
    let accepted = jobs::ask(app, move |store| store.submit(new)).await?;
    Ok(json(&form(&accepted.job)?))
}

fn job(app: &App, caller: &Caller, headers: &HeaderMap, body: &[u8], wish: &Wish) -> Result<NewJob, Problem> {
    // Two requests that say the same are two responses, unless their key says that they are one.
    let key = idempotency::key(headers)?.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let deadline = jobs::deadline(headers.get(DEADLINE))?;
    let (mut kept, label) = jobs::label(headers, caller, &*app.door)?;
    jobs::may_rest(&*app.door, caller.name(), ModelName::parse(&wish.model).ok().as_ref(), &label)?;
    kept.retain(|(name, _)| name != DEADLINE);
    // What the job asks is answered at once and kept by the job.
    let mut plain: Fields =
        serde_json::from_slice(body).map_err(|error| Problem::new(Code::Malformed, format!("the body: {error}")))?;
    plain.retain(|name, _| name != "background" && name != "store");
    Ok(NewJob {
        app: caller.name().clone(),
        key: Some(format!("{PATH} {key}")),
        said: body.to_vec().into(),
        model: Some(wish.model.clone()),
        class: label.class,
        deadline,
        ask: Ask { url: PATH.to_owned(), headers: kept, body: write(&plain).into() },
        metadata: Some(echo(wish)),
    })
}

/// What a response repeats of its request until it has its answer. The longest fields are left out if all of them are
/// more than a job may keep in memory; the answer has them.
fn echo(wish: &Wish) -> String {
    let mut fields: Fields = serde_json::from_str(&write_text(&wish.echo)).unwrap_or_default();
    loop {
        let text = write_text(&fields);
        let longest = fields.iter().max_by_key(|(_, value)| value.get().len()).map(|(name, _)| name.clone());
        match longest.filter(|_| text.len() > JOB_METADATA_BYTES) {
            Some(name) => fields.remove(&name),
            None => return text,
        };
    }
}

fn write_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}

fn set(fields: &mut Fields, name: &str, value: impl Serialize) {
    fields.insert(name.to_owned(), to_raw_value(&value).expect("strings and numbers are JSON"));
}

/// A job as the response that it is.
fn form(job: &Job) -> Result<Fields, Problem> {
    let head = &job.head;
    let mut fields = match (&job.given, head.status) {
        (Some(given), Status::Done) => serde_json::from_slice(&given.body).map_err(|_| {
            Problem::new(Code::JobsOff, format!("the answer of response resp_{} cannot be read", head.id))
        })?,
        _ => waits(job),
    };
    set(&mut fields, "id", format!("resp_{}", head.id));
    set(&mut fields, "created_at", head.created.0 / 1000);
    set(&mut fields, "background", true);
    set(&mut fields, "store", true);
    Ok(fields)
}

/// A response without an answer.
fn waits(job: &Job) -> Fields {
    let head = &job.head;
    let mut fields: Fields =
        job.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let status = match head.status {
        Status::Queued => "queued",
        Status::Running => "in_progress",
        Status::Done | Status::Failed | Status::Expired => "failed",
        Status::Cancelled => "cancelled",
    };
    let problem = jobs::problem_of(job).filter(|_| status == "failed");
    let error = problem.map(|problem| ErrorForm {
        code: match problem.status {
            429 => "rate_limit_exceeded",
            400..=499 => "invalid_prompt",
            _ => "server_error",
        },
        message: problem.sentence(),
    });
    set(&mut fields, "object", "response");
    set(&mut fields, "status", status);
    set(&mut fields, "error", error);
    set(&mut fields, "model", head.model.as_deref().unwrap_or_default());
    set(&mut fields, "output", [(); 0]);
    for name in ["completed_at", "incomplete_details", "max_tool_calls", "previous_response_id", "usage"] {
        set(&mut fields, name, ());
    }
    set(&mut fields, "reasoning", BTreeMap::from([("effort", ()), ("summary", ())]));
    fields
}

/// Which response of whom a request means.
fn named(id: Id, request: &Request) -> Result<(AppName, JobId), Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let job = id.strip_prefix("resp_").and_then(|id| JobId::parse(id).ok()).ok_or_else(unknown)?;
    Ok((Caller::of(request.extensions()).name().clone(), job))
}

fn unknown() -> Problem {
    Problem::new(
        Code::NotKept,
        "there is no response of this id: it was not asked for with background: true, was deleted, was kept long \
         enough, or belongs to another app",
    )
    .help("keep what POST /v1/responses answers without background: true")
}

/// Asks the store about a job that is a response.
async fn of_store<T: Send + 'static>(
    app: &App,
    (name, id): (AppName, JobId),
    question: impl FnOnce(&dyn JobStore, &Whose, Job) -> Result<T, JobError> + Send + 'static,
) -> Result<T, Problem> {
    let asked = jobs::ask(app, move |store| {
        let whose = Whose::App(name);
        let job = store.show(&whose, id)?;
        if job.head.url != PATH {
            return Err(JobError::Unknown(id));
        }
        question(store, &whose, job)
    });
    asked.await.map_err(|problem| if problem.code == Code::UnknownJob.as_str() { unknown() } else { problem })
}

/// Cancels a job; one that has ended stays as it is.
fn end(store: &dyn JobStore, whose: &Whose, id: JobId) -> Result<(), JobError> {
    match store.cancel(whose, id) {
        Ok(_) | Err(JobError::Ended { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn answer<T>(result: Result<T, Problem>, render: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|problem| respond::problem(Form::OpenAi, &problem), render)
}

/// The response, with the headers of its answer if it has one.
fn told(job: Result<Job, Problem>) -> Response {
    answer(job.and_then(|job| Ok((form(&job)?, job))), |(fields, job)| {
        let mut response = json(&fields);
        if let (Some(given), Status::Done) = (&job.given, job.head.status) {
            jobs::copy(&given.headers, response.headers_mut());
        }
        response
    })
}

async fn show(State(app): State<App>, id: Id, RawQuery(query): RawQuery, request: Request) -> Response {
    if query.is_some_and(|query| !query.is_empty() && query != "stream=false") {
        let text = "a response is given whole, as it was asked for";
        return respond::problem(Form::OpenAi, &wrong("query", text).help("leave the query out"));
    }
    let job = match named(id, &request) {
        Ok(named) => of_store(&app, named, |_, _, job| Ok(job)).await,
        Err(problem) => Err(problem),
    };
    told(job)
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Response {
    let cancelled = |store: &dyn JobStore, whose: &Whose, job: Job| {
        end(store, whose, job.head.id)?;
        store.show(whose, job.head.id)
    };
    let job = match named(id, &request) {
        Ok(named) => of_store(&app, named, cancelled).await,
        Err(problem) => Err(problem),
    };
    told(job)
}

async fn remove(State(app): State<App>, id: Id, request: Request) -> Response {
    let removed = |store: &dyn JobStore, whose: &Whose, job: Job| {
        end(store, whose, job.head.id)?;
        store.remove(whose, job.head.id)?;
        Ok(job.head.id)
    };
    let id = match named(id, &request) {
        Ok(named) => of_store(&app, named, removed).await,
        Err(problem) => Err(problem),
    };
    answer(id, |id| json(&DeletedForm { id: format!("resp_{id}"), object: "response", deleted: true }))
}
