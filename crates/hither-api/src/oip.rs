//! The Open Inference Protocol, version 2, over HTTP.
//!
//! What must stay true: success paths as the reference server gives them, a clean 4xx for what is wrong, and every
//! error an object with `error`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_engine::work::{InferWork, Tensor};
use hither_types::id::ModelName;
use hither_types::message::ModelStage;
use hither_types::model::{Manifest, ModelFormat, ModelIo};
use hither_types::refusal::Refusal;
use hither_types::view::PresenceView;
use hyper::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::admin::TensorDto;
use crate::body::check_depth;
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::respond::{self, Form, json};
use crate::routes::{App, Routes};
use crate::serving::manifest;

pub(crate) mod classify;
mod coding;
pub(crate) mod config;
pub(crate) mod elements;
pub(crate) mod infer;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod render;
pub(crate) mod repository;
pub(crate) mod settings;
pub(crate) mod statistics;
#[cfg(test)]
mod tests;

use coding::Coding;
use infer::Answered;
use parse::Call;

/// The header that says where the JSON ends and the binary tensors begin.
pub(crate) const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The version of a model whose name says none.
pub(crate) const VERSION: &str = "1";

#[derive(Deserialize)]
struct Target {
    model: String,
    version: Option<String>,
}

type TargetPath = Result<Path<Target>, PathRejection>;

/// Reads a list of tensors as a request has them, JSON alone.
pub(crate) fn tensors(list: &serde_json::Value) -> Result<Vec<Tensor>, Problem> {
    let request = serde_json::json!({ "inputs": list }).to_string();
    Ok(Call::parse(request.as_bytes(), None)?.work.inputs)
}

pub(crate) fn routes() -> Routes {
    let shared = ["system", "cuda"].into_iter().fold(Routes::new(), |router, kind| {
        let at = format!("/v2/{kind}sharedmemory");
        router
            .route(&format!("{at}/status"), get(settings::no_regions))
            .route(&format!("{at}/unregister"), post(settings::share))
            .route(&format!("{at}/region/{{region}}/status"), get(settings::no_regions))
            .route(&format!("{at}/region/{{region}}/register"), post(settings::share))
            .route(&format!("{at}/region/{{region}}/unregister"), post(settings::share))
    });
    let of_model = ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"].into_iter();
    of_model
        .fold(shared, |router, at| {
            router
                .route(at, get(model))
                .route(&format!("{at}/ready"), get(model_ready))
                .route(&format!("{at}/infer"), post(infer))
                .route(&format!("{at}/config"), get(config::of_model))
                .route(&format!("{at}/stats"), get(statistics::of_model))
        })
        .route("/v2", get(server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/stats", get(statistics::all))
        .route("/v2/repository/index", post(repository::index_route))
        .route("/v2/repository/models/{model}/load", post(repository::load_route))
        .route("/v2/repository/models/{model}/unload", post(repository::unload_route))
        .route("/v2/trace/setting", get(settings::trace).post(settings::change))
        .route("/v2/models/{model}/trace/setting", get(settings::trace_of_model).post(settings::change))
        .route("/v2/logging", get(settings::logging).post(settings::change))
}

/// Reads the body of an inference request, in JSON alone, as work for an engine.
///
/// # Errors
/// What is wrong with it, as a client would be told.
pub fn infer_work(json: &[u8]) -> Result<InferWork, Problem> {
    check_depth(json)?;
    Ok(Call::parse(json, None)?.work)
}

fn wrong(problem: Problem) -> Response {
    respond::problem(Form::Inference, &problem)
}

/// What of the protocol's extensions is served.
pub(crate) const EXTENSIONS: [&str; 6] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "schedule_policy",
    "statistics",
];

/// What this server calls itself.
pub(crate) const NAME: &str = "hither";

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ServerMetadata"))]
pub(crate) struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; EXTENSIONS.len()],
}

async fn server() -> Response {
    json(&Server { name: NAME, version: env!("CARGO_PKG_VERSION"), extensions: EXTENSIONS })
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Live"))]
pub(crate) struct Live {
    live: bool,
}

async fn live() -> Response {
    json(&Live { live: true })
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Ready"))]
pub(crate) struct Ready<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    ready: bool,
}

async fn ready(State(app): State<App>) -> Response {
    if *app.stop.borrow() {
        return wrong(Problem::from(&Refusal::Stopping));
    }
    json(&Ready { name: None, ready: true })
}

fn find(app: &App, target: TargetPath) -> Result<Manifest, Problem> {
    let Path(target) = target.map_err(|error| Problem::new(Code::Malformed, format!("the path: {error}")))?;
    versioned(app, &target.model, target.version.as_deref())
}

/// A model of the catalog, in the version that was asked for.
pub(crate) fn versioned(app: &App, name: &str, version: Option<&str>) -> Result<Manifest, Problem> {
    let found = manifest(app, name)?;
    let Some(version) = version else { return Ok(found) };
    if let Some(name) = found.name.version(version)
        && let Ok(versioned) = manifest(app, name.as_str())
    {
        return Ok(versioned);
    }
    if version == VERSION {
        return Ok(found);
    }
    let said: String = version.chars().take(40).collect();
    let versions = versions(app, &found.name).join(", ");
    let text = format!("model {} has no version {said:?}; it has {versions}", found.name);
    Err(Problem::new(Code::UnknownVersion, text))
}

/// The versions that a model has: its own, and those whose names are its own, a colon and more.
pub(crate) fn versions(app: &App, name: &ModelName) -> Vec<String> {
    let view = app.door.view();
    let view = view.borrow();
    let later =
        view.models.iter().filter_map(|model| model.name.as_str().strip_prefix(name.as_str())?.strip_prefix(':'));
    let mut versions: Vec<String> = std::iter::once(VERSION).chain(later).map(str::to_owned).collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

/// How an answer names a model: by the name that was asked for and the version, if it is one of that name.
pub(crate) fn named<'a>(answered: &'a ModelName, asked: &'a str) -> (&'a str, &'a str) {
    let version = answered.as_str().strip_prefix(asked).and_then(|rest| rest.strip_prefix(':'));
    version.map_or((answered.as_str(), VERSION), |version| (asked, version))
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ModelMetadata"))]
pub(crate) struct Metadata<'a> {
    name: &'a str,
    versions: Vec<String>,
    platform: &'static str,
    inputs: Vec<TensorDto>,
    outputs: Vec<TensorDto>,
}

async fn model(State(app): State<App>, target: TargetPath) -> Response {
    let found = match find(&app, target) {
        Ok(found) => found,
        Err(problem) => return wrong(problem),
    };
    let (inputs, outputs) = match &found.io {
        ModelIo::Tensors { inputs, outputs } => (inputs.as_slice(), outputs.as_slice()),
        ModelIo::Language { .. } => Default::default(),
    };
    json(&Metadata {
        name: found.name.as_str(),
        versions: versions(&app, &found.name),
        platform: platform(found.format),
        inputs: inputs.iter().map(TensorDto::from).collect(),
        outputs: outputs.iter().map(TensorDto::from).collect(),
    })
}

/// The engine and the form of its models.
pub(crate) fn platform(format: ModelFormat) -> &'static str {
    match format {
        ModelFormat::Onnx => "onnxruntime_onnx",
        ModelFormat::Gguf => "llamacpp_gguf",
        ModelFormat::Stub => "hither_stub",
        ModelFormat::Outside => "hither_endpoint",
    }
}

async fn model_ready(State(app): State<App>, target: TargetPath) -> Response {
    let checked = find(&app, target).and_then(|found| readiness(&app, &found).map(|()| found));
    match checked {
        Ok(found) => json(&Ready { name: Some(found.name.as_str()), ready: true }),
        Err(problem) => wrong(problem),
    }
}

/// Ready where a node that is there has the file: an engine loads it with the first request.
pub(crate) fn readiness(app: &App, found: &Manifest) -> Result<(), Problem> {
    let view = app.door.view();
    let view = view.borrow();
    if view.expired.binary_search(&found.digest).is_ok()
        && let Some(ended) = found.expires
    {
        return Err(Problem::from(&Refusal::ModelExpired { model: found.name.clone(), ended }));
    }
    let there = view.nodes.iter().filter(|node| !matches!(node.presence, PresenceView::Gone(_)));
    let held = there.flat_map(|node| &node.models).filter(|model| model.digest == found.digest);
    let stages: Vec<ModelStage> = held.map(|model| model.stage).collect();
    if stages.iter().any(|stage| matches!(stage, ModelStage::Stored | ModelStage::Ready)) {
        Ok(())
    } else if stages.contains(&ModelStage::Quarantined) {
        let text = format!("model {} crashed too often where it is held, and is left alone for a while", found.name);
        let again = format!("hither models pull {}  (tries at once)", found.name);
        Err(Problem::new(Code::NoCapacity, text).help("hither status").help(again))
    } else {
        let text = format!("no node that is there holds model {}", found.name);
        Err(Problem::new(Code::NoCapacity, text).help("hither status"))
    }
}

async fn infer(State(app): State<App>, target: TargetPath, request: Request) -> Response {
    let begun = Instant::now();
    let name = target.as_ref().map(|Path(target)| target.model.clone()).unwrap_or_default();
    match find(&app, target) {
        Ok(found) => {
            let answer = answer(&app, (&name, &found), request, begun);
            infer::counted(&app, &found, begun, answer).await.unwrap_or_else(wrong)
        }
        Err(problem) => wrong(problem),
    }
}

async fn answer(
    app: &App,
    (name, model): (&str, &Manifest),
    request: Request,
    begun: Instant,
) -> Result<Response, Problem> {
    let ModelIo::Tensors { inputs, .. } = &model.io else { return Err(infer::takes_text(model)) };
    let (parts, body) = request.into_parts();
    let mut asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    let body = app.bodies.read(&parts.headers, body).await?;
    asked.refer_to(&body.bytes, &*app.door).await;
    let mut call = match json_length(&parts.headers)? {
        Some(0) => Call::raw(&body.bytes, inputs)?,
        Some(length) => {
            let Some((json, blobs)) = body.bytes.split_at_checked(length) else {
                let text = format!("{JSON_LENGTH} says {length}, and the body has {} bytes", body.bytes.len());
                return Err(Problem::new(Code::Malformed, text));
            };
            check_depth(json)?;
            Call::parse(json, Some(blobs))?
        }
        None => {
            check_depth(&body.bytes)?;
            Call::parse(&body.bytes, None)?
        }
    };
    drop(body);
    call.options.apply(&parts.headers, &mut asked, None)?;
    let Answered { tensors, serving, summary } = infer::serve(app, model, asked, &mut call, begun).await?;
    let (answered, version) = named(&serving.model().name, name);
    let rendered = render::response(answered, version, call.id.as_deref(), &tensors, &call.binary)
        .map_err(|problem| serving.name(problem))?;
    let content_type = match rendered.json_length {
        None => "application/json",
        Some(_) => "application/octet-stream",
    };
    let mut response = coding::respond(Coding::accepted(&parts.headers), content_type, rendered.bytes).await;
    if let Some(length) = rendered.json_length {
        response.headers_mut().insert(JSON_LENGTH, HeaderValue::from(length));
    }
    respond::set_route(response.headers_mut(), &serving);
    app.metrics.answered(&serving);
    respond::set_summary(response.headers_mut(), &summary);
    Ok(response)
}

fn json_length(headers: &hyper::HeaderMap) -> Result<Option<usize>, Problem> {
    let Some(value) = headers.get(&JSON_LENGTH) else { return Ok(None) };
    let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(length) => Ok(Some(length)),
        None => {
            Err(Problem::new(Code::Malformed, format!("{JSON_LENGTH} is {value:?}, which is not a length in bytes")))
        }
    }
}
