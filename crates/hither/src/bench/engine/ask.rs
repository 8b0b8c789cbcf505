//! What is asked of a model, over and over: the same tensors, or a text of a given length that no request shares with
//! another, so that nobody answers from memory.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use hither_engine::work::{GenerateWork, InferWork, Prompt, Work};
use hither_types::model::TensorSpec;
use serde_json::{Value, json};

use super::EngineArgs;
use crate::output::{Exit, Trouble};

#[cfg(test)]
mod tests;

/// Words that vocabularies of language models hold whole.
const WORDS: [&str; 16] = [
    "river", "stone", "green", "house", "light", "water", "night", "paper", "train", "music", "small", "world",
    "north", "table", "glass", "field",
];

/// One kind of request.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    /// Tensors.
    Tensors {
        /// The request as the Open Inference Protocol has it.
        body: Bytes,
    },
    /// Text.
    Text {
        /// Words of the prompt, of about a token each.
        words: u32,
        /// Tokens of the answer, exactly.
        output_tokens: u32,
    },
}

/// When a round ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After this time no request begins.
    Over(Duration),
    /// Each stream has sent so many.
    Each(u32),
}

impl Ask {
    /// What the arguments say, for a model of language.
    pub(super) fn text(args: &EngineArgs) -> Self {
        Self::Text { words: args.prompt_tokens, output_tokens: args.output_tokens }
    }

    /// The request of a file.
    pub(super) fn file(path: &Path) -> Result<Self, Trouble> {
        let wrong = |what: String| Trouble::new("E0912", format!("{}: {what}", path.display())).exit(Exit::Usage);
        let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|error| {
            wrong(format!("it is no JSON: {error}"))
                .help(r#"{"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 2], "data": [0.5, 1.5]}]}"#)
        })?;
        Ok(Self::Tensors { body: Bytes::from(bytes) })
    }

    /// A request made up for a model: numbers below 1 where it takes numbers with a fraction, else ones.
    pub(super) fn made_for(inputs: &[TensorSpec], rows: u64) -> Result<Self, Trouble> {
        let tensor = |spec: &TensorSpec| {
            let open = |at: usize| if at == 0 { rows } else { 1 };
            let shape: Vec<u64> = spec.shape.iter().enumerate().map(|(at, dim)| dim.unwrap_or(open(at))).collect();
            let kind = spec.datatype.as_str();
            let data: Vec<Value> = (0..shape.iter().product::<u64>())
                .map(|at| match kind {
                    "FP32" | "FP64" => json!((at.wrapping_mul(0x9e37_79b9) % 1000) as f64 / 1000.0),
                    "BOOL" => json!(true),
                    "BYTES" => json!("text"),
                    _ => json!(1),
                })
                .collect();
            json!({"name": spec.name, "datatype": kind, "shape": shape, "data": data})
        };
        if let Some(spec) = inputs.iter().find(|spec| matches!(spec.datatype.as_str(), "FP16" | "BF16")) {
            let text = format!("input {:?} is {}, which JSON cannot say", spec.name, spec.datatype.as_str());
            return Err(Trouble::new("E0912", text).exit(Exit::Usage));
        }
        let inputs: Vec<Value> = inputs.iter().map(tensor).collect();
        Ok(Self::Tensors { body: Bytes::from(json!({"inputs": inputs}).to_string()) })
    }

    /// The request for a worker.
    pub(super) fn work(&self, number: u64) -> Result<Work, Trouble> {
        Ok(match self {
            Self::Tensors { body } => Work::Infer(tensors(body)?),
            Self::Text { words, output_tokens } => {
                let mut work = GenerateWork::new(Prompt::Text(prompt(*words, number)));
                work.max_tokens = Some(*output_tokens);
                work.ignore_eos = true;
                Work::Generate(work)
            }
        })
    }

    /// The request for a server.
    pub(super) fn body(&self, model: &str, number: u64) -> Bytes {
        match self {
            Self::Tensors { body } => body.clone(),
            Self::Text { words, output_tokens } => Bytes::from(
                json!({
                    "model": model, "prompt": prompt(*words, number), "max_tokens": output_tokens, "temperature": 0,
                    "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
                })
                .to_string(),
            ),
        }
    }
}

fn tensors(body: &[u8]) -> Result<InferWork, Trouble> {
    hither_api::infer_work(body).map_err(|problem| Trouble::new("E0912", problem.message).exit(Exit::Usage))
}

/// A text that no other number begins like.
fn prompt(words: u32, number: u64) -> String {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut text = String::new();
    for _ in 0..words {
        // The upper bits of a linear congruence are the good ones.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(WORDS[(state >> 60) as usize]);
    }
    text
}
