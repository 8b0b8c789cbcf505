//! The API of Ollama, for programs that speak no other: chats, texts, vectors and what models there are.
//!
//! What must stay true: an answer is a line of JSON after another unless it is wanted whole; every error is an object
//! with `error`; what Ollama would drop without a word is named in the header `x-hither-ignored`.

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{delete, get, post};
use hither_types::model::Manifest;
use hyper::Uri;
use hyper::header::HeaderValue;
use serde::Serialize;
use tokio::time::Instant;

use crate::chorus::{Chorus, conclude, speaker, take_in};
use crate::errors::{Code, Problem};
use crate::fields::{Fields, unsupported};
use crate::respond::{self, Form, json};
use crate::routes::{App, Routes};
use crate::vectors::{self, numbers};

pub(crate) mod catalog;
pub(crate) mod lines;
mod parse;
#[cfg(test)]
mod tests;

use lines::{Asking, Lines};
use parse::{Kind, Wish};

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/api/chat", post(chat))
        .route("/api/generate", post(generate))
        .route("/api/embed", post(embed))
        .route("/api/embeddings", post(embed_one))
        .route("/api/tags", get(catalog::tags))
        .route("/api/ps", get(catalog::running))
        .route("/api/show", post(catalog::show))
        .route("/api/version", get(catalog::version))
        .route("/api/pull", post(command))
        .route("/api/push", post(command))
        .route("/api/create", post(command))
        .route("/api/copy", post(command))
        .route("/api/delete", delete(command))
}

/// What whoever asks for `/` and is no browser is told: clients of Ollama look for it.
pub(crate) const RUNNING: &str = "Ollama is running";

async fn chat(State(app): State<App>, request: Request) -> Response {
    speak(&app, request, Kind::Chat).await
}

async fn generate(State(app): State<App>, request: Request) -> Response {
    speak(&app, request, Kind::Text).await
}

async fn speak(app: &App, request: Request, kind: Kind) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = answer(app, request, kind, &mut model).await;
    conclude(app, Form::Ollama, begun, model, result)
}

async fn answer(app: &App, request: Request, kind: Kind, named: &mut Option<String>) -> Result<Response, Problem> {
    let begun = Instant::now();
    let (_, mut asked, body) = take_in(app, request).await?;
    let Wish { model, wanted, stream, is_load, context_tokens, ignored } = parse::wish(&body.bytes, kind)?;
    asked.whole = !stream;
    drop(body);
    let found = find(app, &model, named)?;
    parse::fits(&found, context_tokens)?;
    let mut chorus = Chorus::begin(app, &found, asked, wanted)?;
    let lines = Lines::new(kind, Asking { model, begun, is_load });
    let mut response = if stream && !is_load {
        chorus.tell("application/x-ndjson", lines).await?
    } else {
        let text = chorus.whole().await?.pop().unwrap_or_default();
        let mut response = json(&lines.whole(text, &chorus)?);
        chorus.set_headers(response.headers_mut());
        response
    };
    name_ignored(&mut response, &ignored);
    Ok(response)
}

/// A model by its name, with or without the tag that Ollama adds to names that have none.
fn find(app: &App, name: &str, named: &mut Option<String>) -> Result<Manifest, Problem> {
    match (speaker(app, name, named), name.strip_suffix(":latest")) {
        (Err(problem), Some(plain)) if problem.status == 404 => speaker(app, plain, named),
        (found, _) => found,
    }
}

/// Says what was asked for and has no effect.
fn name_ignored(response: &mut Response, ignored: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&ignored.join(", "))
        && !ignored.is_empty()
    {
        response.headers_mut().insert("x-hither-ignored", value);
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaEmbeddings"))]
pub(crate) struct VectorsForm<'a> {
    model: &'a str,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: u32,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaEmbedding"))]
pub(crate) struct VectorForm {
    embedding: Vec<f32>,
}

async fn embed(State(app): State<App>, request: Request) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = vectors_of(&app, request, "input", &mut model).await;
    conclude(&app, Form::Ollama, begun, model, result)
}

/// The older form: one text, one vector and nothing else.
async fn embed_one(State(app): State<App>, request: Request) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = vectors_of(&app, request, "prompt", &mut model).await;
    conclude(&app, Form::Ollama, begun, model, result)
}

async fn vectors_of(
    app: &App,
    request: Request,
    field: &'static str,
    named: &mut Option<String>,
) -> Result<Response, Problem> {
    let begun = Instant::now();
    let (_, asked, body) = take_in(app, request).await?;
    let fields = Fields::parse(&body.bytes)?;
    let model = parse::model(&fields)?;
    if fields.raw("dimensions").is_some() {
        return Err(unsupported("dimensions", "vectors are as long as the model makes them"));
    }
    // `truncate` cuts what is too long. Here that is refused, whatever it says: a cut text is another text.
    let ignored = parse::ignored(&fields, &["model", "name", field, "keep_alive", "truncate"])?;
    let inputs = match field {
        "prompt" => vec![hither_engine::work::Prompt::Text(fields.need("prompt")?)],
        _ => vectors::inputs(&fields, field)?,
    };
    drop(fields);
    drop(body);
    let found = find(app, &model, named)?;
    let made = vectors::make(app, &found, asked, inputs).await?;
    let mut rows: Vec<Vec<f32>> = made.rows.iter().map(|row| numbers(row)).collect();
    let mut response = match (field, rows.pop()) {
        ("prompt", Some(embedding)) => json(&VectorForm { embedding }),
        (_, last) => {
            rows.extend(last);
            json(&VectorsForm {
                model: &model,
                embeddings: rows,
                total_duration: lines::nanos(begun.elapsed()),
                load_duration: made.summary.cost.queued.0.saturating_mul(1000),
                prompt_eval_count: made.summary.cost.prompt_tokens,
            })
        }
    };
    respond::set_route(response.headers_mut(), &made.serving);
    respond::set_summary(response.headers_mut(), &made.summary);
    name_ignored(&mut response, &ignored);
    Ok(response)
}

/// What changes which models there are is for operators, who type it.
async fn command(State(app): State<App>, uri: Uri, request: Request) -> Response {
    let refused = match named(&app, request).await {
        Ok(name) => {
            let asked = uri.path().trim_start_matches("/api/");
            let text =
                format!("{asked} changes what models there are, which is the operator's to do at the command line");
            Problem::new(Code::SocketOnly, text).help(match asked {
                "pull" => format!("hither models pull {name}"),
                "create" => format!("hither models add FILE --name {name}"),
                _ => "hither models ls".to_owned(),
            })
        }
        Err(problem) => problem,
    };
    respond::problem(Form::Ollama, &refused)
}

async fn named(app: &App, request: Request) -> Result<String, Problem> {
    let (_, _, body) = take_in(app, request).await?;
    let fields = Fields::parse(&body.bytes)?;
    let name: Option<String> = fields.get("source")?;
    let name = name.map_or_else(|| parse::model(&fields), Ok)?;
    Ok(name.strip_suffix(":latest").unwrap_or(&name).chars().filter(|c| !c.is_control()).take(120).collect())
}
