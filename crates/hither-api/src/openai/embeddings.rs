//! Vectors of texts, as numbers or as base64.

use axum::extract::{Request, State};
use axum::response::Response;
use data_encoding::BASE64;
use hither_engine::work::Prompt;
use serde::Serialize;
use tokio::time::Instant;

use crate::chorus::{conclude, speaker, take_in};
use crate::errors::Problem;
use crate::fields::{Fields, unsupported, wrong};
use crate::respond::{self, Form, json};
use crate::routes::App;
use crate::vectors::{self, numbers};

pub(crate) const KNOWN: [&str; 5] = ["dimensions", "encoding_format", "input", "model", "user"];

/// How a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Numbers,
    Base64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Embeddings"))]
pub(crate) struct ListForm<'a> {
    object: &'static str,
    data: Vec<VectorForm>,
    model: &'a str,
    usage: UsageForm,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Embedding"))]
struct VectorForm {
    object: &'static str,
    index: usize,
    embedding: NumbersForm,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "EmbeddingNumbers"))]
#[serde(untagged)]
enum NumbersForm {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "EmbeddingUsage"))]
struct UsageForm {
    prompt_tokens: u32,
    total_tokens: u32,
}

pub(super) async fn embeddings(State(app): State<App>, request: Request) -> Response {
    let begun = Instant::now();
    let mut model = None;
    let result = answer(&app, request, &mut model).await;
    conclude(&app, Form::OpenAi, begun, model, result)
}

async fn answer(app: &App, request: Request, named: &mut Option<String>) -> Result<Response, Problem> {
    let (_, asked, body) = take_in(app, request).await?;
    let (model, encoding, inputs) = wish(&body.bytes)?;
    drop(body);
    let found = speaker(app, &model, named)?;
    let made = vectors::make(app, &found, asked, inputs).await?;
    let write = |(index, row): (usize, &Vec<u8>)| {
        let embedding = match encoding {
            Encoding::Base64 => NumbersForm::Base64(BASE64.encode(row)),
            Encoding::Numbers => NumbersForm::Numbers(numbers(row)),
        };
        VectorForm { object: "embedding", index, embedding }
    };
    let data = made.rows.iter().enumerate().map(write).collect();
    let prompt_tokens = made.summary.cost.prompt_tokens;
    let usage = UsageForm { prompt_tokens, total_tokens: prompt_tokens };
    let mut response = json(&ListForm { object: "list", data, model: made.serving.model().name.as_str(), usage });
    respond::set_route(response.headers_mut(), &made.serving);
    respond::set_summary(response.headers_mut(), &made.summary);
    Ok(response)
}

fn wish(body: &[u8]) -> Result<(String, Encoding, Vec<Prompt>), Problem> {
    let fields = Fields::parse(body)?;
    let model: String = fields.need("model")?;
    fields.refuse_unknown(&[&KNOWN])?;
    if fields.get::<u32>("dimensions")?.is_some() {
        return Err(unsupported("dimensions", "vectors are as long as the model makes them"));
    }
    let encoding = match fields.get::<String>("encoding_format")?.as_deref() {
        None | Some("float") => Encoding::Numbers,
        Some("base64") => Encoding::Base64,
        Some(_) => return Err(wrong("encoding_format", "it is float or base64")),
    };
    Ok((model, encoding, vectors::inputs(&fields, "input")?))
}
