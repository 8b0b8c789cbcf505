//! The paths of batches: handed in, looked at, taken back.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_types::id::AppName;
use hither_types::time::WallTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::files::{keep_ms, parse as file_id};
use super::{Batch, BatchDto, BatchId, BatchStore, BatchesDto, KeptError, NewBatch};
use crate::body::check_depth;
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::jobs::{self, PATHS};
use crate::limits::{FILE_KEEP_MAX_S, JOB_METADATA_BYTES, JOB_SPAN_MAX_S, JOBS_LISTED, JOBS_LISTED_MAX};
use crate::respond::{self, Form, json};
use crate::routes::{App, Routes};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/v1/batches", get(list).post(create))
        .route("/v1/batches/{id}", get(show))
        .route("/v1/batches/{id}/cancel", post(cancel))
}

pub(crate) type Id = Result<Path<String>, PathRejection>;
pub(crate) type Page = Result<Query<PageForm>, QueryRejection>;

/// What the query of a list says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageForm {
    limit: Option<usize>,
    after: Option<String>,
    order: Option<String>,
    purpose: Option<String>,
}

/// The same, read.
pub(crate) struct Asked {
    pub(crate) limit: usize,
    pub(crate) after: Option<String>,
    pub(crate) purpose: Option<String>,
    pub(crate) is_ascending: bool,
}

/// A page of a list.
pub(super) struct Listed<T> {
    pub(super) data: Vec<T>,
    pub(super) first_id: Option<String>,
    pub(super) last_id: Option<String>,
    pub(super) has_more: bool,
}

/// Whose files and batches a request may see.
pub(crate) fn caller(request: &Request) -> AppName {
    Caller::of(request.extensions()).name().clone()
}

pub(crate) fn answer<T>(result: Result<T, Problem>, render: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|problem| respond::problem(Form::OpenAi, &problem), render)
}

/// On a thread that may wait for a disk.
pub(crate) async fn on_disk_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeptError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| Problem::from(&error)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::Stopping, "this node is stopping")),
        },
    }
}

/// Asks the store.
pub(crate) async fn ask<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn BatchStore) -> Result<T, KeptError> + Send + 'static,
) -> Result<T, Problem> {
    let store: Arc<dyn BatchStore> = app.door.batches()?;
    on_disk_thread(move || question(&*store)).await
}

/// Reads the query of a list.
pub(crate) fn page(page: Page) -> Result<Asked, Problem> {
    let Query(page) = page.map_err(|error| Problem::new(Code::OutOfRange, format!("the query: {error}")))?;
    let limit = page.limit.unwrap_or(JOBS_LISTED);
    if !(1..=JOBS_LISTED_MAX).contains(&limit) {
        let text = format!("limit is {limit}, and takes 1 to {JOBS_LISTED_MAX}");
        return Err(Problem::new(Code::OutOfRange, text).param("limit"));
    }
    let is_ascending = match page.order.as_deref() {
        None | Some("desc") => false,
        Some("asc") => true,
        Some(_) => return Err(Problem::new(Code::OutOfRange, "order takes asc or desc").param("order")),
    };
    Ok(Asked { limit, after: page.after, purpose: page.purpose, is_ascending })
}

/// The first of what there is, as a page.
pub(super) fn listed<T, D>(all: &[T], limit: usize, dto: impl Fn(&T) -> D, id: impl Fn(&T) -> String) -> Listed<D> {
    let shown = &all[..all.len().min(limit)];
    Listed {
        data: shown.iter().map(dto).collect(),
        first_id: shown.first().map(&id),
        last_id: shown.last().map(&id),
        has_more: all.len() > limit,
    }
}

fn parse(id: &str) -> Result<BatchId, Problem> {
    BatchId::parse(id).ok_or_else(|| {
        Problem::new(Code::UnknownBatch, "there is no batch of this id: ids are batch_ and 32 hexadecimal digits")
            .help("GET /v1/batches")
    })
}

fn id_of(id: Id) -> Result<BatchId, Problem> {
    parse(&id.map(|Path(id)| id).unwrap_or_default())
}

async fn list(State(app): State<App>, query: Page, request: Request) -> Response {
    let name = caller(&request);
    let asked = page(query).and_then(|page| {
        let unknown =
            |param: &str| Err(Problem::new(Code::OutOfRange, format!("the query has no {param}")).param(param));
        if page.is_ascending {
            return unknown("order");
        }
        if page.purpose.is_some() {
            return unknown("purpose");
        }
        Ok((page.after.as_deref().map(parse).transpose()?, page.limit))
    });
    let batches = match asked {
        Ok((after, limit)) => {
            ask(&app, move |store| Ok(store.batches(&name, after, limit + 1))).await.map(|all| (all, limit))
        }
        Err(problem) => Err(problem),
    };
    answer(batches, |(batches, limit)| {
        let Listed { data, first_id, last_id, has_more } =
            listed(&batches, limit, |batch| BatchDto::from(batch), |batch| batch.id.to_string());
        json(&BatchesDto { object: "list", data, first_id, last_id, has_more })
    })
}

async fn show(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let batch = match id_of(id) {
        Ok(id) => ask(&app, move |store| store.batch(&name, id)).await,
        Err(problem) => Err(problem),
    };
    answer(batch, |batch| json(&BatchDto::from(&batch)))
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let batch = match id_of(id) {
        Ok(id) => ask(&app, move |store| store.take_back(&name, id)).await,
        Err(problem) => Err(problem),
    };
    answer(batch, |batch| json(&BatchDto::from(&batch)))
}

async fn create(State(app): State<App>, request: Request) -> Response {
    answer(take(&app, request).await, |batch| json(&BatchDto::from(&batch)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchForm<'a> {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
    output_expires_after: Option<ExpiresForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresForm {
    anchor: String,
    seconds: u64,
}

const FORM: &str = "a batch is {\"input_file_id\": \"file-…\", \"endpoint\": \"/v1/chat/completions\", \"completion_window\": \"24h\"}";

async fn take(app: &App, request: Request) -> Result<Batch, Problem> {
    let (parts, body) = request.into_parts();
    app.door.batches()?;
    let body = app.bodies.read(&parts.headers, body).await?;
    let caller = Caller::of(&parts.extensions);
    let (headers, label) = jobs::label(&parts.headers, caller, &*app.door)?;
    jobs::may_rest(&*app.door, caller.name(), None, &label)?;
    let class = label.class;
    check_depth(&body.bytes)?;
    let form: BatchForm<'_> = serde_json::from_slice(&body.bytes)
        .map_err(|error| Problem::new(Code::Malformed, format!("the batch: {error}")).help(FORM))?;
    if !PATHS.contains(&form.endpoint.as_str()) {
        return Err(Problem::new(Code::OutOfRange, "a batch cannot ask this endpoint")
            .help(format!("it can ask {}", PATHS.join(", ")))
            .param("endpoint"));
    }
    let now = jobs::wall_now();
    let keep_ms = match &form.output_expires_after {
        None => FILE_KEEP_MAX_S * 1000,
        Some(after) if after.anchor == "created_at" => keep_ms(Some(after.seconds), "output_expires_after.seconds")?,
        Some(_) => {
            let text = "the output expires after its created_at, and nothing else";
            return Err(Problem::new(Code::OutOfRange, text).param("output_expires_after.anchor"));
        }
    };
    let new = NewBatch {
        app: caller.name().clone(),
        input: file_id(&form.input_file_id).map_err(|problem| problem.param("input_file_id"))?,
        endpoint: form.endpoint,
        deadline: WallTime(now.0 + window_s(&form.completion_window)? * 1000),
        window: form.completion_window,
        class,
        headers,
        metadata: metadata(form.metadata)?,
        keep_ms,
    };
    drop(body);
    ask(app, move |store| {
        let file = store.file(&new.app, new.input)?;
        if new.class < file.class {
            return Ok(Err(file.class));
        }
        store.begin(new).map(Ok)
    })
    .await?
    .map_err(|least| {
        let text = format!("a label can only be tightened: the file was sent as {least}, and the batch is {class}");
        Problem::new(Code::LabelLoosened, text)
            .help(format!("send x-hither-class: {least} or a higher class"))
            .param("x-hither-class")
    })
}

fn metadata(said: Option<&RawValue>) -> Result<Option<String>, Problem> {
    let wrong = |text: String| Err(Problem::new(Code::OutOfRange, text).param("metadata"));
    match said.map(RawValue::get) {
        None | Some("null") => Ok(None),
        Some(text) if !text.starts_with('{') => wrong("metadata is an object".to_owned()),
        Some(text) if text.len() > JOB_METADATA_BYTES => {
            wrong(format!("metadata has {} bytes, at most {JOB_METADATA_BYTES}", text.len()))
        }
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// The seconds of a window: `24h`, as OpenAI has it, and any other whole number of s, m, h or d.
fn window_s(text: &str) -> Result<u64, Problem> {
    let read = |text: &str| -> Option<u64> {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let each = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| number.parse::<u64>().ok()?.checked_mul(each))?
    };
    read(text).filter(|seconds| (1..=JOB_SPAN_MAX_S).contains(seconds)).ok_or_else(|| {
        Problem::new(Code::OutOfRange, "completion_window is no length of time that a batch may have")
            .help(format!("24h, or another whole number of s, m, h or d, at most {} days", JOB_SPAN_MAX_S / 86_400))
            .param("completion_window")
    })
}
