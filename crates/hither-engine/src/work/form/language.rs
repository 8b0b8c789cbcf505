//! How the words of language models look as bytes.

use serde::{Deserialize, Serialize};

use super::{Blob, bounded};
use crate::limits::{MAX_BIASES, MAX_CALLS, MAX_CHANCES, MAX_EMBED, MAX_MESSAGES, MAX_STOPS, MAX_TOKEN_IDS, MAX_TOOLS};
use crate::work::{
    CacheScope, Chance, Chances, ChatMessage, EmbedWork, Format, GenerateWork, Overflow, Prompt, Tool, ToolCall,
    ToolChoice,
};

/// Text that version 1 can ask for.
#[derive(Serialize, Deserialize)]
pub(super) struct FirstForm<'a> {
    #[serde(borrow)]
    prompt: FirstPromptForm<'a>,
    max_tokens: Option<u32>,
    temperature: f32,
    top_p: f32,
    top_k: u32,
    seed: u64,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_STOPS>")]
    stop: Vec<&'a str>,
    ignore_eos: bool,
}

#[derive(Serialize, Deserialize)]
enum FirstPromptForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_MESSAGES>")]
    Chat(Vec<(&'a str, &'a str)>),
    Text(&'a str),
}

#[derive(Serialize, Deserialize)]
pub(super) struct GenerateForm<'a> {
    #[serde(borrow)]
    prompt: PromptForm<'a>,
    max_tokens: Option<u32>,
    temperature: f32,
    top_p: f32,
    top_k: u32,
    min_p: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    repetition_penalty: f32,
    #[serde(deserialize_with = "bounded::<_, _, MAX_BIASES>")]
    logit_bias: Vec<(u32, f32)>,
    seed: u64,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_STOPS>")]
    stop: Vec<&'a str>,
    ignore_eos: bool,
    chances: Option<u8>,
    #[serde(borrow)]
    format: FormatForm<'a>,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TOOLS>")]
    tools: Vec<(&'a str, &'a str, &'a str)>,
    #[serde(borrow)]
    tool_choice: ChoiceForm<'a>,
    overflow: OverflowForm,
    cache: Option<[u8; 16]>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EmbedForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_EMBED>")]
    inputs: Vec<PromptForm<'a>>,
}

#[derive(Serialize, Deserialize)]
enum PromptForm<'a> {
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_MESSAGES>")]
    Chat(Vec<MessageForm<'a>>),
    Text(&'a str),
    #[serde(deserialize_with = "bounded::<_, _, MAX_TOKEN_IDS>")]
    Tokens(Vec<u32>),
}

#[derive(Serialize, Deserialize)]
struct MessageForm<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(borrow)]
    calls: CallsForm<'a>,
    answers: Option<&'a str>,
}

#[derive(Serialize, Deserialize)]
enum FormatForm<'a> {
    Text,
    Json,
    Schema(&'a str),
    Pattern(&'a str),
}

#[derive(Serialize, Deserialize)]
enum ChoiceForm<'a> {
    Auto,
    Never,
    Any,
    Named(&'a str),
}

#[derive(Serialize, Deserialize)]
enum OverflowForm {
    Refuse,
    DropOldest,
}

/// Calls: id, name, arguments.
#[derive(Serialize, Deserialize)]
pub(super) struct CallsForm<'a>(
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_CALLS>")] Vec<(&'a str, &'a str, &'a str)>,
);

#[derive(Serialize, Deserialize)]
pub(super) struct ChancesForm<'a>(
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_TOKEN_IDS>")] Vec<PlaceForm<'a>>,
);

#[derive(Serialize, Deserialize)]
struct PlaceForm<'a>(
    #[serde(borrow)] ChanceForm<'a>,
    #[serde(borrow, deserialize_with = "bounded::<_, _, MAX_CHANCES>")] Vec<ChanceForm<'a>>,
);

#[derive(Serialize, Deserialize)]
struct ChanceForm<'a>(u32, f32, #[serde(borrow)] Blob<'a>);

impl<'a> FirstForm<'a> {
    /// The form, if version 1 can say all of it.
    pub(super) fn of(work: &'a GenerateWork) -> Option<Self> {
        let GenerateWork {
            prompt,
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            frequency_penalty,
            presence_penalty,
            repetition_penalty,
            logit_bias,
            seed,
            stop,
            ignore_eos,
            chances,
            format,
            tools,
            tool_choice,
            overflow,
            cache,
        } = work;
        let is_plain = [*min_p, *frequency_penalty, *presence_penalty, *repetition_penalty] == [0., 0., 0., 1.]
            && (logit_bias.is_empty() && chances.is_none() && tools.is_empty() && cache.is_none())
            && (*format == Format::Text && *tool_choice == ToolChoice::Auto && *overflow == Overflow::Refuse);
        if !is_plain {
            return None;
        }
        let prompt = match prompt {
            Prompt::Text(text) => FirstPromptForm::Text(text),
            Prompt::Chat(turns) if turns.iter().all(|turn| turn.calls.is_empty() && turn.answers.is_none()) => {
                FirstPromptForm::Chat(turns.iter().map(|turn| (turn.role.as_str(), turn.content.as_str())).collect())
            }
            Prompt::Chat(_) | Prompt::Tokens(_) => return None,
        };
        Some(Self {
            prompt,
            max_tokens: *max_tokens,
            temperature: *temperature,
            top_p: *top_p,
            top_k: *top_k,
            seed: *seed,
            stop: strs(stop),
            ignore_eos: *ignore_eos,
        })
    }
}

impl From<FirstForm<'_>> for GenerateWork {
    fn from(form: FirstForm<'_>) -> Self {
        let prompt = match form.prompt {
            FirstPromptForm::Chat(turns) => {
                Prompt::Chat(turns.into_iter().map(|(role, content)| ChatMessage::new(role, content)).collect())
            }
            FirstPromptForm::Text(text) => Prompt::Text(text.to_owned()),
        };
        Self {
            max_tokens: form.max_tokens,
            temperature: form.temperature,
            top_p: form.top_p,
            top_k: form.top_k,
            seed: form.seed,
            stop: strings(form.stop),
            ignore_eos: form.ignore_eos,
            ..Self::new(prompt)
        }
    }
}

impl<'a> From<&'a GenerateWork> for GenerateForm<'a> {
    fn from(work: &'a GenerateWork) -> Self {
        Self {
            prompt: (&work.prompt).into(),
            max_tokens: work.max_tokens,
            temperature: work.temperature,
            top_p: work.top_p,
            top_k: work.top_k,
            min_p: work.min_p,
            frequency_penalty: work.frequency_penalty,
            presence_penalty: work.presence_penalty,
            repetition_penalty: work.repetition_penalty,
            logit_bias: work.logit_bias.clone(),
            seed: work.seed,
            stop: strs(&work.stop),
            ignore_eos: work.ignore_eos,
            chances: work.chances,
            format: match &work.format {
                Format::Text => FormatForm::Text,
                Format::Json => FormatForm::Json,
                Format::Schema(schema) => FormatForm::Schema(schema),
                Format::Pattern(pattern) => FormatForm::Pattern(pattern),
            },
            tools: work
                .tools
                .iter()
                .map(|tool| (tool.name.as_str(), tool.description.as_str(), tool.parameters.as_str()))
                .collect(),
            tool_choice: match &work.tool_choice {
                ToolChoice::Auto => ChoiceForm::Auto,
                ToolChoice::Never => ChoiceForm::Never,
                ToolChoice::Any => ChoiceForm::Any,
                ToolChoice::Named(name) => ChoiceForm::Named(name),
            },
            overflow: work.overflow.into(),
            cache: work.cache.map(|scope| scope.0),
        }
    }
}

impl From<GenerateForm<'_>> for GenerateWork {
    fn from(form: GenerateForm<'_>) -> Self {
        let tool = |(name, description, parameters): (&str, &str, &str)| Tool {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters: parameters.to_owned(),
        };
        Self {
            prompt: form.prompt.into(),
            max_tokens: form.max_tokens,
            temperature: form.temperature,
            top_p: form.top_p,
            top_k: form.top_k,
            min_p: form.min_p,
            frequency_penalty: form.frequency_penalty,
            presence_penalty: form.presence_penalty,
            repetition_penalty: form.repetition_penalty,
            logit_bias: form.logit_bias,
            seed: form.seed,
            stop: strings(form.stop),
            ignore_eos: form.ignore_eos,
            chances: form.chances,
            format: match form.format {
                FormatForm::Text => Format::Text,
                FormatForm::Json => Format::Json,
                FormatForm::Schema(schema) => Format::Schema(schema.to_owned()),
                FormatForm::Pattern(pattern) => Format::Pattern(pattern.to_owned()),
            },
            tools: form.tools.into_iter().map(tool).collect(),
            tool_choice: match form.tool_choice {
                ChoiceForm::Auto => ToolChoice::Auto,
                ChoiceForm::Never => ToolChoice::Never,
                ChoiceForm::Any => ToolChoice::Any,
                ChoiceForm::Named(name) => ToolChoice::Named(name.to_owned()),
            },
            overflow: form.overflow.into(),
            cache: form.cache.map(CacheScope),
        }
    }
}

impl<'a> From<&'a EmbedWork> for EmbedForm<'a> {
    fn from(work: &'a EmbedWork) -> Self {
        Self { inputs: work.inputs.iter().map(PromptForm::from).collect() }
    }
}

impl From<EmbedForm<'_>> for EmbedWork {
    fn from(form: EmbedForm<'_>) -> Self {
        Self { inputs: form.inputs.into_iter().map(Prompt::from).collect() }
    }
}

impl<'a> From<&'a Prompt> for PromptForm<'a> {
    fn from(prompt: &'a Prompt) -> Self {
        match prompt {
            Prompt::Chat(turns) => Self::Chat(
                turns
                    .iter()
                    .map(|turn| MessageForm {
                        role: &turn.role,
                        content: &turn.content,
                        calls: turn.calls.as_slice().into(),
                        answers: turn.answers.as_deref(),
                    })
                    .collect(),
            ),
            Prompt::Text(text) => Self::Text(text),
            Prompt::Tokens(ids) => Self::Tokens(ids.clone()),
        }
    }
}

impl From<PromptForm<'_>> for Prompt {
    fn from(form: PromptForm<'_>) -> Self {
        match form {
            PromptForm::Chat(turns) => Self::Chat(
                turns
                    .into_iter()
                    .map(|turn| ChatMessage {
                        role: turn.role.to_owned(),
                        content: turn.content.to_owned(),
                        calls: turn.calls.into(),
                        answers: turn.answers.map(str::to_owned),
                    })
                    .collect(),
            ),
            PromptForm::Text(text) => Self::Text(text.to_owned()),
            PromptForm::Tokens(ids) => Self::Tokens(ids),
        }
    }
}

impl From<Overflow> for OverflowForm {
    fn from(overflow: Overflow) -> Self {
        match overflow {
            Overflow::Refuse => Self::Refuse,
            Overflow::DropOldest => Self::DropOldest,
        }
    }
}

impl From<OverflowForm> for Overflow {
    fn from(form: OverflowForm) -> Self {
        match form {
            OverflowForm::Refuse => Self::Refuse,
            OverflowForm::DropOldest => Self::DropOldest,
        }
    }
}

impl<'a> From<&'a [ToolCall]> for CallsForm<'a> {
    fn from(calls: &'a [ToolCall]) -> Self {
        Self(calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str())).collect())
    }
}

impl From<CallsForm<'_>> for Vec<ToolCall> {
    fn from(form: CallsForm<'_>) -> Self {
        let call = |(id, name, arguments): (&str, &str, &str)| ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        form.0.into_iter().map(call).collect()
    }
}

impl<'a> From<&'a [Chances]> for ChancesForm<'a> {
    fn from(chances: &'a [Chances]) -> Self {
        let form = |chance: &'a Chance| ChanceForm(chance.id, chance.log, Blob(&chance.bytes));
        Self(chances.iter().map(|at| PlaceForm(form(&at.said), at.likeliest.iter().map(form).collect())).collect())
    }
}

impl From<ChancesForm<'_>> for Vec<Chances> {
    fn from(form: ChancesForm<'_>) -> Self {
        let chance = |ChanceForm(id, log, bytes): ChanceForm<'_>| Chance { id, log, bytes: bytes.0.to_owned() };
        let place = |PlaceForm(said, likeliest): PlaceForm<'_>| Chances {
            said: chance(said),
            likeliest: likeliest.into_iter().map(chance).collect(),
        };
        form.0.into_iter().map(place).collect()
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

fn strings(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}
