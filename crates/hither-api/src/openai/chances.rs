//! How likely tokens were, as each of the two endpoints writes it.

use std::collections::BTreeMap;

use hither_engine::work::{Chance, Chances};
use serde::Serialize;

use super::Kind;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Logprobs"))]
#[serde(untagged)]
pub(super) enum ChancesForm {
    Chat { content: Vec<PlaceForm>, refusal: () },
    Text(ColumnsForm),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TokenLogprobs"))]
pub(crate) struct PlaceForm {
    #[serde(flatten)]
    said: ChanceForm,
    top_logprobs: Vec<ChanceForm>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TokenLogprob"))]
struct ChanceForm {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LogprobColumns"))]
pub(super) struct ColumnsForm {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<BTreeMap<String, f32>>,
    text_offset: Vec<usize>,
}

/// The least that is written: JSON has no number for what cannot be.
const LEAST: f32 = -9999.0;

fn log(chance: &Chance) -> f32 {
    if chance.log.is_finite() { chance.log } else { LEAST }
}

fn token(chance: &Chance) -> String {
    String::from_utf8_lossy(&chance.bytes).into_owned()
}

impl From<&Chance> for ChanceForm {
    fn from(chance: &Chance) -> Self {
        Self { token: token(chance), logprob: log(chance), bytes: chance.bytes.clone() }
    }
}

/// The form of chats, responses and Ollama: one entry for each token.
pub(crate) fn places(chances: &[Chances]) -> Vec<PlaceForm> {
    let place = |at: &Chances| PlaceForm {
        said: (&at.said).into(),
        top_logprobs: at.likeliest.iter().map(ChanceForm::from).collect(),
    };
    chances.iter().map(place).collect()
}

/// The form, if there is anything to tell. `offset` counts the characters of the answer before, and moves on.
pub(super) fn form(chances: &[Chances], kind: Kind, offset: &mut usize) -> Option<ChancesForm> {
    if chances.is_empty() {
        return None;
    }
    Some(match kind {
        Kind::Chat => ChancesForm::Chat { content: places(chances), refusal: () },
        Kind::Text => {
            let tokens: Vec<String> = chances.iter().map(|at| token(&at.said)).collect();
            let starts = tokens.iter().map(|token| {
                let start = *offset;
                *offset += token.chars().count();
                start
            });
            let text_offset = starts.collect();
            ChancesForm::Text(ColumnsForm {
                token_logprobs: chances.iter().map(|at| log(&at.said)).collect(),
                top_logprobs: chances
                    .iter()
                    .map(|at| at.likeliest.iter().map(|chance| (token(chance), log(chance))).collect())
                    .collect(),
                text_offset,
                tokens,
            })
        }
    })
}
