//! What chats and completions write: whole answers, and what streams share with them.

use hither_engine::work::{FinishReason, ToolCall};
use serde::Serialize;

use super::{Kind, chances, now, request_id};
use crate::chorus::{Chorus, Text, Voice};

/// What all parts of one answer have in common.
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) created: u64,
    /// Whether the token ids of each text are wanted.
    pub(super) with_ids: bool,
    /// How many texts of each prompt there are.
    per_prompt: usize,
    /// What each prompt said, if its texts begin with it.
    echoes: Vec<String>,
}

pub(super) fn finish(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
    }
}

/// Tokens of prompts and of answers. A prompt counts once, however many texts were made of it; its length is known at
/// the end, and `null` until then.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Usage"))]
pub(super) struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: u64,
    total_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PromptTokensDetails"))]
struct PromptDetails {
    cached_tokens: u32,
}

/// A call of a tool. In a stream it has an index, and comes whole.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ToolCall"))]
pub(super) struct CallForm<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: &'a str,
    r#type: &'static str,
    function: FunctionForm<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CalledFunction"))]
struct FunctionForm<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Completion"))]
pub(crate) struct WholeForm<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: Vec<WholeChoice<'a>>,
    usage: Usage,
    #[serde(skip_serializing_if = "Option::is_none")]
    hither: Option<Beside<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Choice"))]
struct WholeChoice<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    logprobs: Option<chances::ChancesForm>,
    finish_reason: Option<&'static str>,
    /// Where an answer has several texts, each says what OpenAI's form has no place for.
    #[serde(skip_serializing_if = "Option::is_none")]
    hither: Option<Beside<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AssistantMessage"))]
struct MessageForm<'a> {
    role: &'static str,
    content: Option<&'a str>,
    refusal: (),
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallForm<'a>>,
}

/// What OpenAI's form has no place for.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Beside"))]
pub(super) struct Beside<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ids: Option<&'a [u32]>,
    /// Tokens of the prompt that were left out, because the request allowed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_prompt_tokens: Option<u32>,
    /// Calls of tools after the first, left out because the request wants one at the most.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped_tool_calls: Option<u32>,
}

impl Usage {
    /// Of an answer that is complete. The tokens delivered are counted here: the cost speaks of the last attempt alone.
    pub(super) fn new(chorus: &Chorus, head: &Head) -> Self {
        let firsts = || chorus.voices().iter().step_by(head.per_prompt);
        let prompt: u64 =
            firsts().filter_map(|voice| voice.summary.as_ref()).map(|said| u64::from(said.cost.prompt_tokens)).sum();
        let cached_tokens = firsts().map(|voice| voice.account.cached_tokens).sum();
        let delivered = Self::delivered(chorus);
        Self {
            prompt_tokens: Some(prompt),
            completion_tokens: delivered,
            total_tokens: Some(prompt + delivered),
            prompt_tokens_details: Some(PromptDetails { cached_tokens }),
        }
    }

    /// Of an answer that goes on.
    pub(super) fn so_far(chorus: &Chorus) -> Self {
        let completion_tokens = Self::delivered(chorus);
        Self { prompt_tokens: None, completion_tokens, total_tokens: None, prompt_tokens_details: None }
    }

    fn delivered(chorus: &Chorus) -> u64 {
        chorus.voices().iter().map(|voice| voice.delivered as u64).sum()
    }
}

impl<'a> Beside<'a> {
    pub(super) fn ids(first: u32, ids: &'a [u32]) -> Self {
        Self { first: Some(first), ids: Some(ids), ..Self::default() }
    }

    /// What was left out of a text, if anything was.
    pub(super) fn dropped(voice: &Voice) -> Option<Self> {
        let some = |count: u32| (count > 0).then_some(count);
        let tokens = some(voice.account.dropped_tokens);
        let calls = some(voice.dropped_calls);
        (tokens.is_some() || calls.is_some()).then(|| Self {
            dropped_prompt_tokens: tokens,
            dropped_tool_calls: calls,
            ..Self::default()
        })
    }
}

impl<'a> CallForm<'a> {
    pub(super) fn new(call: &'a ToolCall, index: Option<usize>) -> Self {
        let function = FunctionForm { name: &call.name, arguments: &call.arguments };
        Self { index, id: &call.id, r#type: "function", function }
    }
}

impl Head {
    pub(super) fn new(kind: Kind, chorus: &Chorus, with_ids: bool, per_prompt: usize, echoes: Vec<String>) -> Self {
        let id = match kind {
            Kind::Chat => format!("chatcmpl-{}", request_id(chorus)),
            Kind::Text => format!("cmpl-{}", request_id(chorus)),
        };
        Self { kind, id, created: now(), with_ids, per_prompt, echoes }
    }

    /// What the text of this index begins with.
    pub(super) fn echo(&self, index: usize) -> &str {
        self.echoes.get(index / self.per_prompt).map_or("", String::as_str)
    }

    /// The whole answer.
    pub(super) fn whole<'a>(&'a self, chorus: &'a Chorus, texts: &'a [Text]) -> WholeForm<'a> {
        let mut choices: Vec<WholeChoice<'a>> = texts
            .iter()
            .zip(chorus.voices())
            .enumerate()
            .map(|(index, (text, voice))| self.choice(index, text, voice))
            .collect();
        // Beside a lone text it has its place of old.
        let hither = if let [lone] = &mut choices[..] { lone.hither.take() } else { None };
        WholeForm {
            id: &self.id,
            object: match self.kind {
                Kind::Chat => "chat.completion",
                Kind::Text => "text_completion",
            },
            created: self.created,
            model: chorus.voices().first().map_or("", |voice| voice.serving.model().name.as_str()),
            choices,
            usage: Usage::new(chorus, self),
            hither,
        }
    }

    fn choice<'a>(&'a self, index: usize, whole: &'a Text, voice: &'a Voice) -> WholeChoice<'a> {
        let said = whole.text.as_str();
        let logprobs = chances::form(&whole.chances, self.kind, &mut 0);
        let mut hither = Beside::dropped(voice);
        if self.with_ids {
            hither = Some(Beside { first: Some(0), ids: Some(&whole.ids), ..hither.unwrap_or_default() });
        }
        let (message, text) = match self.kind {
            Kind::Chat => {
                let tool_calls: Vec<CallForm<'a>> = whole.calls.iter().map(|call| CallForm::new(call, None)).collect();
                let content = (tool_calls.is_empty() || !said.trim().is_empty()).then_some(said);
                (Some(MessageForm { role: "assistant", content, refusal: (), tool_calls }), None)
            }
            Kind::Text => (None, Some([self.echo(index), said].concat())),
        };
        WholeChoice { index, message, text, logprobs, finish_reason: whole.reason.map(finish), hither }
    }
}
