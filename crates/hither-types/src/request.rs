//! A request as the mind sees it: labels and sizes, never a payload.

use crate::id::{AppName, ModelName, RuleId, SiteName};
use crate::label::Label;
use crate::unit::{ByteCount, Micros, Millijoules};

/// What kind of work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKind {
    /// Tensors in, tensors out: a pure function, repeated freely.
    Infer,
    /// A stream of tokens, continued from the token ids already delivered.
    Generate,
    /// Examples to train a model with: handed over to a server outside the mesh, or nowhere. They are worked on there and rest
    /// there, so that the law is asked about both.
    Train,
}

/// What becomes of what an engine read of a request, once that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prefix {
    /// It may stay in the engine's memory, for the next request of the same app that begins alike.
    Stays,
    /// It goes with the request.
    Goes,
}

impl From<Option<&RuleId>> for Prefix {
    /// What a permit is there for, or is not.
    fn from(permit: Option<&RuleId>) -> Self {
        permit.map_or(Self::Goes, |_| Self::Stays)
    }
}

/// How much it matters when not everything can be served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// May wait.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Safety: never queued behind a chat.
    Critical,
}

/// What travels with a request from hop to hop, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Envelope {
    /// The app that asked.
    pub app: AppName,
    /// The model that it asked for.
    pub model: ModelName,
    /// What its data are.
    pub label: Label,
    /// What kind of work it is.
    pub kind: RequestKind,
    /// The size of the payload.
    pub size: ByteCount,
    /// How much it matters.
    pub priority: Priority,
    /// The site that the caller would like best; the law and failures still decide.
    pub prefer: Option<SiteName>,
    /// Whether a smaller model of the same family will do when there is no room.
    pub quality: Quality,
}

/// Whether a smaller model may answer. The answer says which one did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// The model that was asked for, or none.
    #[default]
    Exact,
    /// When there is no room, a smaller model of its family.
    Family,
}

/// What an answer took at the engine that gave it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cost {
    /// Waiting for the engine.
    pub queued: Micros,
    /// Reading the prompt, or the whole call of a tensor model.
    pub prefill: Micros,
    /// Producing tokens.
    pub decode: Micros,
    /// Tokens of the prompt, without those resumed.
    pub prompt_tokens: u32,
    /// Tokens produced by this attempt.
    pub output_tokens: u32,
    /// Bytes of the answer.
    pub answer: ByteCount,
    /// Energy, by the meter or the model of the node.
    pub energy: Millijoules,
}
