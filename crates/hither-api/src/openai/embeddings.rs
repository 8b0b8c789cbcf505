//! Vectors of texts.

use axum::extract::{Request, State};
use axum::response::Response;
use data_encoding::BASE64;
use hither_engine::limits::MAX_EMBED;
use hither_engine::work::{EmbedWork, Piece, Prompt, Tensor, Work};
use hither_types::model::{Datatype, ModelIo};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::parse::{Fields, unsupported};
use super::wrong;
use crate::body::check_depth;
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::respond::{self, json};
use crate::routes::App;
use crate::serving::{Next, Serving, manifest};

const KNOWN: [&str; 5] = ["dimensions", "encoding_format", "input", "model", "user"];

#[derive(Deserialize)]
#[serde(untagged)]
enum InputForm {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    Lists(Vec<Vec<u32>>),
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Numbers,
    Base64,
}

#[derive(Serialize)]
struct ListForm<'a> {
    object: &'static str,
    data: Vec<VectorForm>,
    model: &'a str,
    usage: UsageForm,
}

#[derive(Serialize)]
struct VectorForm {
    object: &'static str,
    index: usize,
    embedding: NumbersForm,
}

#[derive(Serialize)]
#[serde(untagged)]
enum NumbersForm {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct UsageForm {
    prompt_tokens: u32,
    total_tokens: u32,
}

pub(super) async fn embeddings(State(app): State<App>, request: Request) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = answer(&app, request, &mut model).await;
    if let Some(model) = model {
        let status = result.as_ref().map_or_else(|problem| problem.status, |response| response.status().as_u16());
        app.metrics.inferred(&model, status, begun.elapsed());
    }
    result.unwrap_or_else(wrong)
}

async fn answer(app: &App, request: Request, named: &mut Option<String>) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    let body = app.bodies.read(&parts.headers, body).await?;
    check_depth(&body.bytes)?;
    let (model, encoding, inputs) = wish(&body.bytes)?;
    drop(body);
    let found = manifest(app, &model)?;
    *named = Some(found.name.to_string());
    if let ModelIo::Tensors { .. } = found.io {
        let text = format!("model {model} takes tensors, not text");
        return Err(Problem::new(Code::WrongKind, text).help(format!("POST /v2/models/{model}/infer")).param("model"));
    }
    let count = inputs.len();
    let mut serving = Serving::begin(app, &found, asked, &Work::Embed(EmbedWork { inputs }))?;
    let mut vectors = None;
    let summary = loop {
        match serving.next().await? {
            Next::Piece(Piece::Outputs(tensors)) => vectors = Some(tensors),
            Next::Piece(Piece::Tokens { .. } | Piece::End { .. }) => {
                return Err(
                    serving.name(Problem::new(Code::EngineFailed, "the engine gave text, and vectors were asked for"))
                );
            }
            Next::Done(summary) => break summary,
        }
    };
    let data = vectors.and_then(|tensors| rows(&tensors, count, encoding));
    let data =
        data.ok_or_else(|| serving.name(Problem::new(Code::EngineFailed, "the engine gave no vector of each text")))?;
    let prompt_tokens = summary.cost.prompt_tokens;
    let usage = UsageForm { prompt_tokens, total_tokens: prompt_tokens };
    let mut response = json(&ListForm { object: "list", data, model: serving.model().name.as_str(), usage });
    respond::set_route(response.headers_mut(), &serving);
    app.metrics.answered(&serving);
    respond::set_summary(response.headers_mut(), &summary);
    Ok(response)
}

fn wish(body: &[u8]) -> Result<(String, Encoding, Vec<Prompt>), Problem> {
    let fields = Fields::parse(body)?;
    let missing = |name: &'static str| Problem::new(Code::Malformed, format!("{name} is missing")).param(name);
    let model: String = fields.get("model")?.ok_or_else(|| missing("model"))?;
    fields.refuse_unknown(&KNOWN)?;
    if fields.get::<u32>("dimensions")?.is_some() {
        return Err(unsupported("dimensions", "vectors are as long as the model makes them"));
    }
    let wrong = |name: &'static str, text: String| Problem::new(Code::OutOfRange, text).param(name);
    let encoding = match fields.get::<String>("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Numbers,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(wrong("encoding_format", "encoding_format is float or base64".to_owned())),
    };
    let inputs: Vec<Prompt> = match fields.get("input")?.ok_or_else(|| missing("input"))? {
        InputForm::Text(text) => vec![Prompt::Text(text)],
        InputForm::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
        InputForm::Ids(ids) => vec![Prompt::Tokens(ids)],
        InputForm::Lists(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
    };
    let is_empty = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(ids) => ids.is_empty(),
        Prompt::Chat(_) => true,
    };
    if inputs.is_empty() || inputs.len() > MAX_EMBED || inputs.iter().any(is_empty) {
        return Err(wrong("input", format!("input takes 1 to {MAX_EMBED} texts, none of them empty")));
    }
    Ok((model, encoding, inputs))
}

/// One vector of each text.
fn rows(tensors: &[Tensor], count: usize, encoding: Encoding) -> Option<Vec<VectorForm>> {
    let [tensor] = tensors else { return None };
    let [rows, width] = tensor.shape[..] else { return None };
    let width = usize::try_from(width).ok()?.checked_mul(4).filter(|width| *width > 0)?;
    let fits =
        tensor.datatype == Datatype::Fp32 && rows == count as u64 && tensor.data.len() == width.checked_mul(count)?;
    let row = |(index, bytes): (usize, &[u8])| {
        let embedding = match encoding {
            Encoding::Base64 => NumbersForm::Base64(BASE64.encode(bytes)),
            Encoding::Numbers => NumbersForm::Numbers(
                bytes.chunks_exact(4).filter_map(|four| Some(f32::from_le_bytes(four.try_into().ok()?))).collect(),
            ),
        };
        VectorForm { object: "embedding", index, embedding }
    };
    fits.then(|| tensor.data.chunks_exact(width).enumerate().map(row).collect())
}
