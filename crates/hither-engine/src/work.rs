//! Work and its results, with their encoding. The encoded form is the payload: it goes to a worker or to a peer
//! unchanged. The first byte is the version of the form: the lowest that can say it, so that members that were not
//! updated yet understand what they can.

use std::fmt;

use hither_types::model::Datatype;

pub(crate) mod form;
mod language;
#[cfg(test)]
mod tests;

pub use language::{
    Account, CacheScope, Chance, Chances, ChatMessage, EmbedWork, Format, GenerateWork, Overflow, Prompt, Tool,
    ToolCall, ToolChoice,
};

/// Bytes that were given as work, or came as a result, and are neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The version byte is one that this program does not know.
    #[error("the form has version {0}, and this program knows versions 1 to 3")]
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
    /// Texts in, a vector of each out: [`Piece::Outputs`] with one FP32 tensor of shape `[texts, dimensions]`.
    Embed(EmbedWork),
    /// Examples in, to train a model with: for servers outside the mesh. No engine can do it. Nothing comes out:
    /// [`Piece::Outputs`] without a tensor says that the training is theirs from now on.
    Train(TrainWork),
}

/// Examples to train a model with.
#[derive(Clone, PartialEq)]
pub struct TrainWork {
    /// Which hand-over it is, by the node's own number.
    pub training: u128,
    /// The examples, each an object of JSON.
    pub examples: Vec<String>,
    /// What else is said of the training, an object of JSON.
    pub options: String,
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
        /// How likely they were, one entry per id, if that was asked for; else empty.
        chances: Vec<Chances>,
        /// Calls of tools that are complete with them.
        calls: Vec<ToolCall>,
    },
    /// The end of the answer.
    End {
        /// Why.
        reason: FinishReason,
        /// The text that was held back until now.
        text: String,
        /// Calls of tools that were held back until now.
        calls: Vec<ToolCall>,
        /// What became of the prompt.
        account: Account,
    },
}

impl Piece {
    /// Tokens with their text and nothing else.
    pub fn tokens(first: u32, ids: Vec<u32>, text: String) -> Self {
        Self::Tokens { first, ids, text, chances: Vec::new(), calls: Vec::new() }
    }

    /// An end with its text and nothing else.
    pub fn end(reason: FinishReason, text: String) -> Self {
        Self::End { reason, text, calls: Vec::new(), account: Account::default() }
    }
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model or a stop string ended it; a tensor answer is complete.
    Stop,
    /// The tokens asked for are there, or the context is full.
    Length,
    /// The model ended, and has called tools.
    ToolCalls,
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infer(work) => write!(f, "Infer({} tensors)", work.inputs.len()),
            Self::Generate(_) => f.write_str("Generate(..)"),
            Self::Embed(work) => write!(f, "Embed({} texts)", work.inputs.len()),
            Self::Train(work) => write!(f, "Train({} examples)", work.examples.len()),
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
            Self::Tokens { first, ids, text, .. } => write!(f, "Tokens({first}+{}, {} bytes)", ids.len(), text.len()),
            Self::End { reason, text, .. } => write!(f, "End({reason:?}, {} bytes)", text.len()),
        }
    }
}
