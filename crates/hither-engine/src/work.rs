//! Work and its results, with their encoding. The encoded form is the payload: it goes to a worker or to a peer
//! unchanged. The first byte is the version of the form.

use std::fmt;

use hither_types::model::Datatype;

pub(crate) mod form;
#[cfg(test)]
mod tests;

/// Bytes that were given as work, or came as a result, and are neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The version byte is one that this program does not know.
    #[error("the form has version {0}, and this program knows version 1")]
    Version(u8),
    /// The bytes are cut short or damaged.
    #[error("the bytes are not {0}")]
    Malformed(&'static str),
}

/// What an engine is asked to do.
#[derive(Clone, PartialEq)]
pub enum Work {
    /// Tensors in, tensors out.
    Infer(InferWork),
    /// Text in, text out.
    Generate(GenerateWork),
}

/// A call of a tensor model.
#[derive(Clone, PartialEq)]
pub struct InferWork {
    /// The inputs, in any order.
    pub inputs: Vec<Tensor>,
    /// The outputs wanted; all if empty.
    pub outputs: Vec<String>,
}

/// A tensor: row-major, little-endian.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    /// Its name in the model.
    pub name: String,
    /// Its element type.
    pub datatype: Datatype,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// `shape` product × element size bytes; for [`Datatype::Bytes`], length-prefixed elements.
    pub data: Vec<u8>,
}

/// A text to go on from.
#[derive(Clone, PartialEq)]
pub struct GenerateWork {
    /// What the model reads.
    pub prompt: Prompt,
    /// At most so many tokens; the rest of the context if absent.
    pub max_tokens: Option<u32>,
    /// 0 is greedy.
    pub temperature: f32,
    /// Keep the likeliest tokens whose chances add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keep the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// With one seed, one build and one prompt the text is the same, also when it goes on elsewhere.
    pub seed: u64,
    /// The text ends before any of these; at most 4.
    pub stop: Vec<String>,
    /// Whether the model's own end of text is passed over (for benchmarks).
    pub ignore_eos: bool,
}

/// What a language model reads.
#[derive(Clone, PartialEq)]
pub enum Prompt {
    /// A conversation, laid out by the model's own template.
    Chat(Vec<ChatMessage>),
    /// Text as it is.
    Text(String),
}

/// One turn of a conversation.
#[derive(Clone, PartialEq)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// A part of a result.
#[derive(Clone, PartialEq)]
pub enum Piece {
    /// The outputs of a tensor model: the whole answer.
    Outputs(Vec<Tensor>),
    /// Tokens of a stream.
    Tokens {
        /// The index of the first of them in the whole answer, across attempts.
        first: u32,
        /// Their ids in the model's vocabulary.
        ids: Vec<u32>,
        /// The text that they add; may be empty while a character is incomplete or a stop string may be forming.
        text: String,
    },
    /// The end of the answer.
    End {
        /// Why.
        reason: FinishReason,
        /// The text that was held back until now.
        text: String,
    },
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model or a stop string ended it; a tensor answer is complete.
    Stop,
    /// The tokens asked for are there.
    Length,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infer(work) => write!(f, "Infer({} tensors)", work.inputs.len()),
            Self::Generate(_) => f.write_str("Generate(..)"),
        }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:?} {}{:?})", self.name, self.datatype.as_str(), self.shape)
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outputs(tensors) => write!(f, "Outputs({tensors:?})"),
            Self::Tokens { first, ids, text } => write!(f, "Tokens({first}+{}, {} bytes)", ids.len(), text.len()),
            Self::End { reason, text } => write!(f, "End({reason:?}, {} bytes)", text.len()),
        }
    }
}
