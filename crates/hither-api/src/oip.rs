//! The Open Inference Protocol, version 2, over HTTP.
//!
//! What must stay true: success paths as the reference server gives them, a clean 4xx for what is wrong, and every
//! error an object with `error`.

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use hither_engine::validate;
use hither_engine::work::{InferWork, Piece, Tensor, Work};
use hither_types::message::ModelStage;
use hither_types::model::{Manifest, ModelFormat, ModelIo};
use hither_types::refusal::{Failure, Refusal};
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
use crate::routes::App;
use crate::serving::{Next, Serving, manifest};

mod elements;
mod parse;
mod render;
#[cfg(test)]
mod tests;

use parse::Call;

/// The header that says where the JSON ends and the binary tensors begin.
const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The version of every model: a digest, not a number, tells builds apart.
const VERSION: &str = "1";

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

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(model))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(model))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
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

#[derive(Serialize)]
struct Server {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

async fn server() -> Response {
    json(&Server { name: "hither", version: env!("CARGO_PKG_VERSION"), extensions: ["binary_tensor_data"] })
}

#[derive(Serialize)]
struct Live {
    live: bool,
}

async fn live() -> Response {
    json(&Live { live: true })
}

#[derive(Serialize)]
struct Ready<'a> {
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
    let found = manifest(app, &target.model)?;
    match target.version {
        Some(version) if version != VERSION => {
            let said: String = version.chars().take(40).collect();
            let text = format!("model {} has no version {said:?}; every model has version {VERSION} alone", found.name);
            Err(Problem::new(Code::UnknownVersion, text))
        }
        _ => Ok(found),
    }
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    versions: [&'static str; 1],
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
        versions: [VERSION],
        platform: match found.format {
            ModelFormat::Onnx => "onnxruntime_onnx",
            ModelFormat::Gguf => "llamacpp_gguf",
            ModelFormat::Stub => "hither_stub",
        },
        inputs: inputs.iter().map(TensorDto::from).collect(),
        outputs: outputs.iter().map(TensorDto::from).collect(),
    })
}

/// Ready where a node that is there has the file: an engine loads it with the first request.
async fn model_ready(State(app): State<App>, target: TargetPath) -> Response {
    let found = match find(&app, target) {
        Ok(found) => found,
        Err(problem) => return wrong(problem),
    };
    let view = app.door.view();
    let view = view.borrow();
    let there = view.nodes.iter().filter(|node| !matches!(node.presence, PresenceView::Gone(_)));
    let held = there.flat_map(|node| &node.models).filter(|model| model.digest == found.digest);
    let stages: Vec<ModelStage> = held.map(|model| model.stage).collect();
    if stages.iter().any(|stage| matches!(stage, ModelStage::Stored | ModelStage::Ready)) {
        json(&Ready { name: Some(found.name.as_str()), ready: true })
    } else if stages.contains(&ModelStage::Quarantined) {
        let text = format!("model {} crashed too often where it is held, and is left alone for a while", found.name);
        let again = format!("hither models pull {}  (tries at once)", found.name);
        wrong(Problem::new(Code::NoCapacity, text).help("hither status").help(again))
    } else {
        let text = format!("no node that is there holds model {}", found.name);
        wrong(Problem::new(Code::NoCapacity, text).help("hither status"))
    }
}

async fn infer(State(app): State<App>, target: TargetPath, request: Request) -> Response {
    let begun = Instant::now();
    let found = match find(&app, target) {
        Ok(found) => found,
        Err(problem) => return wrong(problem),
    };
    let result = answer(&app, &found, request).await;
    let status = result.as_ref().map_or_else(|problem| problem.status, |response| response.status().as_u16());
    app.metrics.inferred(found.name.as_str(), status, begun.elapsed());
    result.unwrap_or_else(wrong)
}

async fn answer(app: &App, model: &Manifest, request: Request) -> Result<Response, Problem> {
    let ModelIo::Tensors { inputs, outputs } = &model.io else {
        let text = format!("model {} takes text, not tensors", model.name);
        return Err(Problem::new(Code::WrongKind, text).help("POST /v1/chat/completions"));
    };
    let (parts, body) = request.into_parts();
    let asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    let body = app.bodies.read(&parts.headers, body).await?;
    let call = match json_length(&parts.headers)? {
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
    let Call { id, work, binary } = call;
    validate(&work, inputs, outputs).map_err(|fault| {
        let mut problem = Problem::from(&Failure::BadInput(fault));
        problem.message = format!("model {}: {}", model.name, problem.message);
        problem
    })?;
    let wanted = work.outputs.clone();
    let work = Work::Infer(work);
    let mut serving = Serving::begin(app, model, asked, &work)?;
    drop(work);
    let (tensors, summary) = whole(&mut serving).await?;
    let tensors = in_order(tensors, &wanted);
    let answered = serving.model().name.as_str();
    let rendered = render::response(answered, VERSION, id.as_deref(), &tensors, &binary)
        .map_err(|problem| serving.name(problem))?;
    let mut response = match rendered.json_length {
        None => respond::text("application/json", rendered.bytes),
        Some(length) => {
            let mut response = respond::text("application/octet-stream", rendered.bytes);
            response.headers_mut().insert(JSON_LENGTH, HeaderValue::from(length));
            response
        }
    };
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

async fn whole(serving: &mut Serving) -> Result<(Vec<Tensor>, crate::door::Summary), Problem> {
    let mut outputs = None;
    loop {
        match serving.next().await? {
            Next::Piece(Piece::Outputs(tensors)) => outputs = Some(tensors),
            Next::Piece(Piece::End { .. }) => {}
            Next::Piece(Piece::Tokens { .. }) => {
                let text = "the engine gave tokens, and tensors were asked for";
                return Err(serving.name(Problem::new(Code::EngineFailed, text)));
            }
            Next::Done(summary) => {
                let missing = || Problem::new(Code::EngineFailed, "the engine ended without outputs");
                return Ok((outputs.ok_or_else(|| serving.name(missing()))?, summary));
            }
        }
    }
}

/// The outputs as they were asked for, or as the model gives them.
fn in_order(mut tensors: Vec<Tensor>, wanted: &[String]) -> Vec<Tensor> {
    if !wanted.is_empty() {
        tensors.retain(|tensor| wanted.contains(&tensor.name));
        tensors.sort_by_key(|tensor| wanted.iter().position(|name| *name == tensor.name));
    }
    tensors
}
