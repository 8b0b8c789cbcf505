//! The paths of jobs: handed in, looked at, taken back; for apps under `/v1/jobs`, and without content for operators.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_types::id::AppName;
use hyper::header::{CACHE_CONTROL, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::forms::problem_of;
use super::{Accepted, Head, Job, JobDto, JobError, JobId, JobStore, JobsDto, Status, Whose, submission};
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::limits::{JOBS_LISTED, JOBS_LISTED_MAX};
use crate::operator::socket_only;
use crate::respond::{self, Form, json, write};
use crate::routes::{App, Routes};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/v1/jobs", get(list).post(submit))
        .route("/v1/jobs/{id}", get(show).delete(remove))
        .route("/v1/jobs/{id}/result", get(result))
        .route("/v1/jobs/{id}/cancel", post(cancel))
        .route("/hither/v1/jobs", get(list_all))
        .route("/hither/v1/jobs/{id}", get(show_any))
        .route("/hither/v1/jobs/{id}/cancel", post(cancel_any))
}

type Id = Result<Path<String>, PathRejection>;
type Page = Result<Query<PageForm>, QueryRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageForm {
    limit: Option<usize>,
    after: Option<String>,
}

/// Whose jobs a request may see.
fn caller(request: &Request) -> AppName {
    Caller::of(request.extensions()).name().clone()
}

fn wrong(problem: &Problem) -> Response {
    respond::problem(Form::Own, problem)
}

fn answer<T>(result: Result<T, Problem>, render: impl FnOnce(T) -> Response) -> Response {
    result.map_or_else(|problem| wrong(&problem), render)
}

/// Asks the store on a thread that may wait for a disk.
pub(crate) async fn ask<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn JobStore) -> Result<T, JobError> + Send + 'static,
) -> Result<T, Problem> {
    let store: Arc<dyn JobStore> = app.door.jobs()?;
    match tokio::task::spawn_blocking(move || question(&*store)).await {
        Ok(answer) => answer.map_err(|error| Problem::from(&error)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(Code::Stopping, "this node is stopping")),
        },
    }
}

fn parse(id: Id) -> Result<JobId, Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    JobId::parse(&id).map_err(|error| Problem::new(Code::OutOfRange, error.to_string()).help("GET /v1/jobs"))
}

async fn submit(State(app): State<App>, request: Request) -> Response {
    answer(take(&app, request).await, |Accepted { job, joined }| {
        let dto = JobDto { joined: Some(joined), ..JobDto::whole(&job) };
        // Joined: nothing was accepted that was not before.
        let status = if joined { StatusCode::OK } else { StatusCode::ACCEPTED };
        let mut response = respond::response(status, "application/json", write(&dto));
        let location = format!("/v1/jobs/{}", job.head.id);
        response.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).expect("a UUID is visible ASCII"));
        response
    })
}

async fn take(app: &App, request: Request) -> Result<Accepted, Problem> {
    let (parts, body) = request.into_parts();
    // Before the body is read: what cannot be kept need not come.
    app.door.jobs()?;
    let body = app.bodies.read(&parts.headers, body).await?;
    let new = submission::read(Caller::of(&parts.extensions), &parts.headers, body.bytes.clone(), &*app.door)?;
    let accepted = ask(app, |store| store.submit(new)).await;
    // Held until here: the memory is lent for as long as the submission is in it.
    drop(body);
    accepted
}

fn page(app: &App, whose: &Whose, page: Page) -> Result<JobsDto, Problem> {
    let Query(page) = page.map_err(|error| Problem::new(Code::OutOfRange, format!("the query: {error}")))?;
    let most = page.limit.unwrap_or(JOBS_LISTED);
    if !(1..=JOBS_LISTED_MAX).contains(&most) {
        let text = format!("limit is {most}, and takes 1 to {JOBS_LISTED_MAX}");
        return Err(Problem::new(Code::OutOfRange, text).param("limit"));
    }
    let after = page.after.map(|id| parse(Ok(Path(id)))).transpose()?;
    let mut heads = app.door.jobs()?.list(whose, after, most + 1);
    let has_more = heads.len() > most;
    heads.truncate(most);
    Ok(JobsDto { object: "list".to_owned(), data: heads.iter().map(JobDto::from).collect(), has_more })
}

async fn list(State(app): State<App>, query: Page, request: Request) -> Response {
    answer(page(&app, &Whose::App(caller(&request)), query), |jobs| json(&jobs))
}

async fn list_all(State(app): State<App>, query: Page) -> Response {
    let jobs = socket_only(&app).and_then(|()| page(&app, &Whose::Everyone, query));
    answer(jobs, |jobs| json(&jobs))
}

async fn find(app: &App, whose: Whose, id: Id) -> Result<Job, Problem> {
    let id = parse(id)?;
    ask(app, move |store| store.show(&whose, id)).await
}

async fn show(State(app): State<App>, id: Id, request: Request) -> Response {
    let job = find(&app, Whose::App(caller(&request)), id).await;
    answer(job, |job| json(&JobDto::whole(&job)))
}

async fn show_any(State(app): State<App>, id: Id) -> Response {
    let job = match socket_only(&app) {
        Ok(()) => find(&app, Whose::Everyone, id).await,
        Err(problem) => Err(problem),
    };
    answer(job, |job| json(&JobDto::without_content(&job)))
}

async fn stop(app: &App, whose: Whose, id: Id) -> Result<Head, Problem> {
    let id = parse(id)?;
    ask(app, move |store| store.cancel(&whose, id)).await
}

async fn cancel(State(app): State<App>, id: Id, request: Request) -> Response {
    let head = stop(&app, Whose::App(caller(&request)), id).await;
    answer(head, |head| json(&JobDto::from(&head)))
}

async fn cancel_any(State(app): State<App>, id: Id) -> Response {
    let head = match socket_only(&app) {
        Ok(()) => stop(&app, Whose::Everyone, id).await,
        Err(problem) => Err(problem),
    };
    answer(head, |head| json(&JobDto::from(&head)))
}

async fn remove(State(app): State<App>, id: Id, request: Request) -> Response {
    let whose = Whose::App(caller(&request));
    let removed = match parse(id) {
        Ok(id) => ask(&app, move |store| store.remove(&whose, id)).await,
        Err(problem) => Err(problem),
    };
    answer(removed, |()| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        response
    })
}

/// What the path itself would have answered.
async fn result(State(app): State<App>, id: Id, request: Request) -> Response {
    let job = match find(&app, Whose::App(caller(&request)), id).await {
        Ok(job) => job,
        Err(problem) => return wrong(&problem),
    };
    let head = &job.head;
    match (head.status, &job.given) {
        (Status::Done | Status::Failed, Some(given)) => {
            let mut response = Response::new(given.body.clone().into());
            *response.status_mut() = StatusCode::from_u16(given.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            copy(&given.headers, response.headers_mut());
            response
        }
        _ => {
            let running = || Problem::from(&JobError::NotEnded { id: head.id, status: head.status });
            wrong(&problem_of(&job).unwrap_or_else(running))
        }
    }
}

/// Gives the headers of a kept answer to one that is sent.
pub(crate) fn copy(from: &[(String, String)], to: &mut HeaderMap) {
    for (name, value) in from {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            to.insert(name, value);
        }
    }
    to.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
