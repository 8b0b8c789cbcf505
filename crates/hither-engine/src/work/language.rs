//! The words of language models: what is asked of them, and what they say beside text.

use std::fmt;

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
    /// Keep tokens at least this share as likely as the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Taken off a token's logit for each time that the answer has said it; 0 is none.
    pub frequency_penalty: f32,
    /// Taken off a token's logit once if the answer has said it; 0 is none.
    pub presence_penalty: f32,
    /// Divides the logit of whatever prompt or answer hold if that is positive, multiplies it if not; 1 is none.
    pub repetition_penalty: f32,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// With one seed, one build and one prompt the text is the same, also when it goes on elsewhere.
    pub seed: u64,
    /// The text ends before any of these; at most 4.
    pub stop: Vec<String>,
    /// Whether the model's own end of text is passed over (for benchmarks).
    pub ignore_eos: bool,
    /// Whether the chances of the tokens said are wanted, and those of how many others beside, at most 20.
    pub chances: Option<u8>,
    /// What the answer must look like.
    pub format: Format,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, or must.
    pub tool_choice: ToolChoice,
    /// What happens to a prompt that is too long.
    pub overflow: Overflow,
    /// Who may share what was read for this prompt. Absent: nobody, and it is forgotten at once.
    pub cache: Option<CacheScope>,
}

impl GenerateWork {
    /// The likeliest tokens, free text, no tools, nothing shared.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            max_tokens: None,
            temperature: 0.,
            top_p: 1.,
            top_k: 0,
            min_p: 0.,
            frequency_penalty: 0.,
            presence_penalty: 0.,
            repetition_penalty: 1.,
            logit_bias: Vec::new(),
            seed: 0,
            stop: Vec::new(),
            ignore_eos: false,
            chances: None,
            format: Format::Text,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            overflow: Overflow::Refuse,
            cache: None,
        }
    }
}

/// What a language model reads.
#[derive(Clone, PartialEq)]
pub enum Prompt {
    /// A conversation, laid out by the model's own template.
    Chat(Vec<ChatMessage>),
    /// Text as it is.
    Text(String),
    /// Ids of the model's own vocabulary.
    Tokens(Vec<u32>),
}

/// One turn of a conversation.
#[derive(Clone, PartialEq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What was said.
    pub content: String,
    /// What the assistant called in this turn.
    pub calls: Vec<ToolCall>,
    /// Which call this turn of a tool answers.
    pub answers: Option<String>,
}

impl ChatMessage {
    /// A turn of text.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), calls: Vec::new(), answers: None }
    }
}

/// A call of a tool.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// What the answer of the tool will refer to. Empty as it comes from an engine: the node that the request entered
    /// knows how to make it unique.
    pub id: String,
    /// The tool.
    pub name: String,
    /// A JSON object, as text.
    pub arguments: String,
}

/// A tool that a model may call.
#[derive(Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name: letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// A JSON schema of its arguments, as text; empty takes any object.
    pub parameters: String,
}

/// Whether tools may or must be called.
#[derive(Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    Auto,
    /// It may not.
    Never,
    /// It must call one.
    Any,
    /// It must call this one.
    Named(String),
}

/// What an answer must look like. A format that cannot be is refused before the model reads anything.
#[derive(Clone, PartialEq, Eq)]
pub enum Format {
    /// Free text.
    Text,
    /// A JSON object.
    Json,
    /// JSON after a JSON schema, given as text.
    Schema(String),
    /// Text that a regular expression matches from its first to its last character.
    Pattern(String),
}

/// What happens to a prompt that leaves no room for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The request is refused.
    Refuse,
    /// The oldest part is left out, and the answer says how much: whole turns of a conversation, though never the
    /// system's first nor the last; else tokens.
    DropOldest,
}

/// Who may share what an engine has read of a prompt: requests with one scope, and none other. How fast an answer
/// begins tells whether its prompt was read before, so two apps never have one scope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheScope(pub [u8; 16]);

/// Texts to make vectors of.
#[derive(Clone, PartialEq)]
pub struct EmbedWork {
    /// The texts; [`Prompt::Chat`] is refused, and so is a text that is too long.
    pub inputs: Vec<Prompt>,
}

/// A token and how likely it was, before temperature, penalties or a format had their say.
#[derive(Clone, PartialEq)]
pub struct Chance {
    /// Its id.
    pub id: u32,
    /// The natural logarithm of its chance.
    pub log: f32,
    /// Its bytes; they may be a part of a character.
    pub bytes: Vec<u8>,
}

/// The chances at one place of an answer.
#[derive(Clone, PartialEq)]
pub struct Chances {
    /// What was said.
    pub said: Chance,
    /// The likeliest, whether said or not, likeliest first.
    pub likeliest: Vec<Chance>,
}

/// What became of a prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Tokens of the prompt that had been read before.
    pub cached_tokens: u32,
    /// Tokens of the prompt that were left out, because the request allowed it.
    pub dropped_tokens: u32,
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolCall({} bytes)", self.name.len() + self.arguments.len())
    }
}

/// What holds a payload says that it is there, and not what it is.
macro_rules! hide {
    ($($name:ident),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        })*
    };
}

hide!(GenerateWork, Prompt, ChatMessage, Tool, ToolChoice, Format, EmbedWork, Chance, Chances, CacheScope);
