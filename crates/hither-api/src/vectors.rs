//! Vectors of texts, whichever protocol asks for them.

use hither_engine::limits::MAX_EMBED;
use hither_engine::work::{EmbedWork, Piece, Prompt, Tensor, Work};
use hither_types::model::{Datatype, Manifest};
use serde::Deserialize;

use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, wrong};
use crate::labels::Asked;
use crate::routes::App;
use crate::serving::{Next, Serving};

/// One vector of each text, and where they came from.
pub(crate) struct Vectors {
    /// Single floats, little-endian.
    pub(crate) rows: Vec<Vec<u8>>,
    /// Who made them.
    pub(crate) serving: Serving,
    /// What it took.
    pub(crate) summary: Summary,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InputForm {
    Text(String),
    Texts(Vec<String>),
    Ids(Vec<u32>),
    Lists(Vec<Vec<u32>>),
}

/// The texts of a request: one or several, as text or as ids of the model's vocabulary.
pub(crate) fn inputs(fields: &Fields<'_>, name: &'static str) -> Result<Vec<Prompt>, Problem> {
    let inputs: Vec<Prompt> = match fields.need(name)? {
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
        return Err(wrong(name, format!("it takes 1 to {MAX_EMBED} texts, none of them empty")));
    }
    Ok(inputs)
}

/// Makes a vector of each text.
pub(crate) async fn make(app: &App, model: &Manifest, asked: Asked, inputs: Vec<Prompt>) -> Result<Vectors, Problem> {
    let count = inputs.len();
    let mut serving = Serving::begin(app, model, asked, &Work::Embed(EmbedWork { inputs }))?;
    let mut tensors = None;
    let summary = loop {
        match serving.next().await? {
            Next::Piece(Piece::Outputs(outputs)) => tensors = Some(outputs),
            Next::Piece(Piece::Tokens { .. } | Piece::End { .. }) => {
                return Err(
                    serving.name(Problem::new(Code::EngineFailed, "the engine gave text, and vectors were asked for"))
                );
            }
            Next::Done(summary) => break summary,
        }
    };
    let rows = tensors.and_then(|tensors| rows(&tensors, count));
    let rows =
        rows.ok_or_else(|| serving.name(Problem::new(Code::EngineFailed, "the engine gave no vector of each text")))?;
    app.metrics.answered(&serving);
    Ok(Vectors { rows, serving, summary })
}

/// The numbers of a vector.
pub(crate) fn numbers(row: &[u8]) -> Vec<f32> {
    row.chunks_exact(4).filter_map(|four| Some(f32::from_le_bytes(four.try_into().ok()?))).collect()
}

/// One vector of each text.
fn rows(tensors: &[Tensor], count: usize) -> Option<Vec<Vec<u8>>> {
    let [tensor] = tensors else { return None };
    let [rows, width] = tensor.shape[..] else { return None };
    let width = usize::try_from(width).ok()?.checked_mul(4).filter(|width| *width > 0)?;
    let fits =
        tensor.datatype == Datatype::Fp32 && rows == count as u64 && tensor.data.len() == width.checked_mul(count)?;
    fits.then(|| tensor.data.chunks_exact(width).map(<[u8]>::to_vec).collect())
}
