//! Work as a request of OpenAI's API. What changes nothing is not written: servers differ in what they know.

use std::borrow::Cow;

use hither_engine::work::{ChatMessage, EmbedWork, Format, GenerateWork, Prompt, ToolCall, ToolChoice, Work};
use serde::Serialize;
use serde_json::value::RawValue;

use super::EndpointError;

/// A request, and what its answer is read as.
pub(super) struct Asking {
    pub(super) path: Cow<'static, str>,
    pub(super) body: Vec<u8>,
    /// Where its JSON ends, if other bytes are behind it.
    pub(super) json_length: Option<usize>,
    pub(super) expects: Expects,
}

/// What an answer is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    /// Text, with the chances of its tokens or without.
    Text { chances: bool },
    /// So many vectors.
    Vectors(usize),
    /// Tensors.
    Tensors,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Message<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<PromptForm<'a>>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    temperature: f32,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<f32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    ignore_eos: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_logprobs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatForm<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    r#type: &'static str,
    function: Called<'a>,
}

#[derive(Serialize)]
struct Called<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum PromptForm<'a> {
    Text(&'a str),
    Ids(&'a [u32]),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FormatForm<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'static str,
    strict: bool,
    schema: &'a RawValue,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Word(&'static str),
    Named { r#type: &'static str, function: Name<'a> },
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Texts<'a> {
    model: &'a str,
    input: Vec<PromptForm<'a>>,
    encoding_format: &'static str,
}

/// Writes work as a request; what such a server cannot do is an error.
pub(super) fn render(model: &str, work: &Work, whole: bool) -> Result<Asking, EndpointError> {
    match work {
        Work::Generate(work) => generate(model, work, whole),
        Work::Embed(work) => embed(model, work),
        Work::Infer(_) => Err(cannot("it takes text, and tensors were sent")),
        Work::Train(_) => Err(cannot("examples to train with are handed over, and answered by nobody")),
    }
}

fn cannot(text: &str) -> EndpointError {
    EndpointError::Cannot(text.to_owned())
}

fn write(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("texts and numbers are JSON")
}

fn embed(model: &str, work: &EmbedWork) -> Result<Asking, EndpointError> {
    let input = work.inputs.iter().map(|input| match input {
        Prompt::Text(text) => Ok(PromptForm::Text(text)),
        Prompt::Tokens(ids) => Ok(PromptForm::Ids(ids)),
        Prompt::Chat(_) => Err(cannot("it makes vectors of texts, not of conversations")),
    });
    let input = input.collect::<Result<Vec<_>, _>>()?;
    let expects = Expects::Vectors(input.len());
    let body = write(&Texts { model, input, encoding_format: "float" });
    Ok(Asking { path: "/v1/embeddings".into(), body, json_length: None, expects })
}

fn generate(model: &str, work: &GenerateWork, whole: bool) -> Result<Asking, EndpointError> {
    let chat = matches!(work.prompt, Prompt::Chat(_));
    if !work.logit_bias.is_empty() {
        return Err(cannot("logit_bias names tokens of one model's vocabulary, and it has its own"));
    }
    if work.chances.is_some() && !chat {
        return Err(cannot("it tells the chances of tokens in chats alone"));
    }
    let (messages, prompt) = match &work.prompt {
        Prompt::Chat(messages) => (Some(messages.iter().map(message).collect()), None),
        Prompt::Text(text) => (None, Some(PromptForm::Text(text))),
        Prompt::Tokens(ids) => (None, Some(PromptForm::Ids(ids))),
    };
    let body = Body {
        model,
        messages,
        prompt,
        stream: !whole,
        stream_options: (!whole).then_some(StreamOptions { include_usage: true }),
        temperature: work.temperature,
        // As wide as the narrowest of such servers reads it.
        seed: work.seed & u64::from(i32::MAX.cast_unsigned()),
        max_tokens: work.max_tokens,
        top_p: unlike(work.top_p, 1.0),
        top_k: (work.top_k != 0).then_some(work.top_k),
        min_p: unlike(work.min_p, 0.0),
        frequency_penalty: unlike(work.frequency_penalty, 0.0),
        presence_penalty: unlike(work.presence_penalty, 0.0),
        repetition_penalty: unlike(work.repetition_penalty, 1.0),
        stop: &work.stop,
        ignore_eos: work.ignore_eos.then_some(true),
        logprobs: work.chances.map(|_| true),
        top_logprobs: work.chances.filter(|beside| *beside > 0),
        response_format: format(&work.format)?,
        tools: work.tools.iter().map(tool).collect::<Result<_, _>>()?,
        tool_choice: match &work.tool_choice {
            ToolChoice::Auto => None,
            ToolChoice::Never => (!work.tools.is_empty()).then_some(Choice::Word("none")),
            ToolChoice::Any => Some(Choice::Word("required")),
            ToolChoice::Named(name) => Some(Choice::Named { r#type: "function", function: Name { name } }),
        },
    };
    let path = if chat { "/v1/chat/completions" } else { "/v1/completions" };
    let expects = Expects::Text { chances: work.chances.is_some() };
    Ok(Asking { path: path.into(), body: write(&body), json_length: None, expects })
}

fn unlike(value: f32, neutral: f32) -> Option<f32> {
    (value != neutral).then_some(value)
}

fn message<'a>(message: &'a ChatMessage) -> Message<'a> {
    let call = |call: &'a ToolCall| {
        let function = Called { name: &call.name, arguments: &call.arguments };
        Call { id: &call.id, r#type: "function", function }
    };
    Message {
        role: &message.role,
        content: &message.content,
        tool_calls: message.calls.iter().map(call).collect(),
        tool_call_id: message.answers.as_deref(),
    }
}

fn raw<'a>(text: &'a str, what: &str) -> Result<&'a RawValue, EndpointError> {
    serde_json::from_str(text).map_err(|_| cannot(&format!("{what} is no JSON")))
}

fn format(format: &Format) -> Result<Option<FormatForm<'_>>, EndpointError> {
    match format {
        Format::Text => Ok(None),
        Format::Json => Ok(Some(FormatForm::JsonObject)),
        Format::Schema(schema) => {
            let schema = raw(schema, "the schema of the answer")?;
            Ok(Some(FormatForm::JsonSchema { json_schema: Schema { name: "answer", strict: true, schema } }))
        }
        Format::Pattern(_) => Err(cannot("it keeps to JSON schemas, not to regular expressions")),
    }
}

fn tool(tool: &hither_engine::work::Tool) -> Result<Tool<'_>, EndpointError> {
    let parameters = match tool.parameters.as_str() {
        "" => None,
        text => Some(raw(text, "the schema of a tool")?),
    };
    Ok(Tool { r#type: "function", function: Function { name: &tool.name, description: &tool.description, parameters } })
}
