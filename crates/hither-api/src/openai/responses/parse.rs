//! Reads a request for a response: its input is a text, or items of a conversation.

use hither_engine::work::{ChatMessage, Format, GenerateWork, Prompt, Tool, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chorus::Wanted;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, quoted, unsupported, wrong};
use crate::limits::MESSAGES;
use crate::openai::generate_work;
use crate::openai::options::{self, FunctionForm, NEUTRAL};
use crate::openai::parse::{Content, role};

/// Fields of responses that are looked at. Those of `refuse_memory` and `refuse_unsupported` are taken with the value
/// that changes nothing.
pub(crate) const KNOWN: [&str; 35] = [
    "background",
    "cache_salt",
    "context_management",
    "conversation",
    "frequency_penalty",
    "ignore_eos",
    "include",
    "input",
    "instructions",
    "logit_bias",
    "max_output_tokens",
    "max_tool_calls",
    "min_p",
    "model",
    "moderation",
    "parallel_tool_calls",
    "presence_penalty",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "reasoning",
    "repetition_penalty",
    "seed",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
];

/// What may be asked for beside the answer. All but the first belong to tools, images and thoughts, of which there are
/// none, so that nothing is left out.
pub(crate) const INCLUDE: [&str; 7] = [
    "message.output_text.logprobs",
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
];

/// What a request asks for.
pub(super) struct Wish {
    pub(super) model: String,
    pub(super) wanted: Wanted,
    pub(super) stream: bool,
    /// Whether it is kept and answered later.
    pub(super) background: bool,
    pub(super) echo: Echo,
}

/// What a response repeats of its request.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseEcho"))]
pub(super) struct Echo {
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    metadata: Box<RawValue>,
    parallel_tool_calls: bool,
    temperature: f32,
    text: TextEcho,
    tool_choice: Box<RawValue>,
    tools: Box<RawValue>,
    top_logprobs: u8,
    top_p: f32,
    truncation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ResponseText"))]
struct TextEcho {
    format: Box<RawValue>,
}

#[derive(Deserialize)]
struct ItemForm {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    output: Option<Content>,
}

#[derive(Deserialize)]
struct TypeForm {
    r#type: String,
}

/// Reads the body of a request.
pub(super) fn wish(body: &[u8]) -> Result<Wish, Problem> {
    let fields = Fields::parse(body)?;
    let model = fields.need("model")?;
    fields.refuse_unknown(&[&KNOWN, &NEUTRAL])?;
    let background = fields.get::<bool>("background")?.unwrap_or(false);
    refuse_memory(&fields, background)?;
    refuse_unsupported(&fields)?;
    let instructions: Option<String> = fields.get("instructions")?;
    let mut work = generate_work(Prompt::Chat(turns(&fields, instructions.as_deref())?));
    work.tools = tools(&fields)?;
    work.tool_choice = options::tool_choice(&fields, &work.tools)?;
    let (format, format_echo) = format(&fields)?;
    work.format = format;
    work.chances = chances(&fields)?;
    work.max_tokens = options::max_tokens(&fields, &["max_output_tokens"])?;
    options::sampling(&fields, &mut work)?;
    let stream = fields.get::<bool>("stream")?.unwrap_or(false);
    stream_options(&fields, stream)?;
    let is_one_call = options::is_one_call(&fields)?;
    let echo = echo(&fields, &work, instructions, is_one_call, format_echo)?;
    let wanted = Wanted { works: vec![work], salts: options::salts(&fields)?, is_one_call };
    Ok(Wish { model, wanted, stream, background, echo })
}

/// What would need memory of earlier requests, or for later ones. A response in the background is kept until it is read,
/// and no other is.
fn refuse_memory(fields: &Fields<'_>, background: bool) -> Result<(), Problem> {
    let refused = |text: &str, help: &str| Err(Problem::new(Code::Unsupported, text).help(help).param("store"));
    match (background, fields.get::<bool>("store")?) {
        (false, Some(true)) => {
            return refused(
                "store: true asks the node to keep the response, and only those of background: true are kept here",
                "send store: false, or leave it out: without background it means false here",
            );
        }
        (true, Some(false)) => {
            return refused(
                "a response in the background is read later, so it has to be kept, and store: false says not to",
                "send store: true, or leave it out: with background it means true",
            );
        }
        _ => {}
    }
    for name in ["previous_response_id", "conversation", "prompt"] {
        if fields.raw(name).is_some() {
            let text = format!("{name} names something kept earlier, and nothing is kept here");
            return Err(Problem::new(Code::Unsupported, text)
                .help("send the whole conversation as items of input")
                .param(name));
        }
    }
    Ok(())
}

fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Problem> {
    for name in ["context_management", "moderation"] {
        if fields.raw(name).is_some() {
            return Err(unsupported(name, "it is not offered"));
        }
    }
    let reasoning = fields.inside("reasoning")?;
    if reasoning.names().into_iter().any(|name| reasoning.raw(name).is_some_and(|raw| raw.get() != "\"none\"")) {
        return Err(unsupported("reasoning", "answers come without it; its effort is none"));
    }
    Ok(())
}

fn stream_options(fields: &Fields<'_>, stream: bool) -> Result<(), Problem> {
    if fields.raw("stream_options").is_none() {
        return Ok(());
    }
    if !stream {
        return Err(wrong("stream_options", "it came without stream: true"));
    }
    // Padding against those who count bytes on the wire: here is no wire but this machine's own.
    let options = fields.inside("stream_options")?;
    match options.names().into_iter().find(|name| *name != "include_obfuscation") {
        Some(other) => Err(unsupported("stream_options", format!("{} is not offered", quoted(other)))),
        None => Ok(()),
    }
}

fn turns(fields: &Fields<'_>, instructions: Option<&str>) -> Result<Vec<ChatMessage>, Problem> {
    let mut turns: Vec<ChatMessage> = instructions.map(|text| ChatMessage::new("system", text)).into_iter().collect();
    if fields.raw("input").is_some_and(|raw| raw.get().starts_with('"')) {
        turns.push(ChatMessage::new("user", fields.need::<String>("input")?));
        return Ok(turns);
    }
    let items: Vec<&RawValue> = fields.need("input")?;
    if items.is_empty() || items.len() > MESSAGES {
        return Err(wrong("input", format!("it has {} items, and takes 1 to {MESSAGES}", items.len())));
    }
    for (at, item) in items.into_iter().enumerate() {
        let form: ItemForm = serde_json::from_str(item.get())
            .map_err(|error| Problem::new(Code::Malformed, format!("input: item {at}: {error}")).param("input"))?;
        take_turn(&mut turns, form, at)?;
    }
    Ok(turns)
}

/// Adds what an item says to the conversation.
fn take_turn(turns: &mut Vec<ChatMessage>, item: ItemForm, at: usize) -> Result<(), Problem> {
    let place = format!("item {at}");
    let lacks = |what: &str| Problem::new(Code::Malformed, format!("input: {place} has no {what}")).param("input");
    match item.r#type.as_deref().unwrap_or("message") {
        "message" => {
            let said = item.role.ok_or_else(|| lacks("role"))?;
            let Some(role) = role(&said) else {
                let text = format!(
                    "{place} has the role {}; the roles are system, developer, user and assistant",
                    quoted(&said)
                );
                return Err(wrong("input", text));
            };
            turns.push(ChatMessage::new(role, item.content.ok_or_else(|| lacks("content"))?.join("input", &place)?));
        }
        "function_call" => {
            let call = ToolCall {
                id: item.call_id.ok_or_else(|| lacks("call_id"))?,
                name: item.name.ok_or_else(|| lacks("name"))?,
                arguments: item.arguments.ok_or_else(|| lacks("arguments"))?,
            };
            // What the assistant said and what it called stand in one turn, as it made them.
            match turns.last_mut() {
                Some(turn) if turn.role == "assistant" => turn.calls.push(call),
                _ => turns.push(ChatMessage { calls: vec![call], ..ChatMessage::new("assistant", "") }),
            }
        }
        "function_call_output" => {
            let answers = Some(item.call_id.ok_or_else(|| lacks("call_id"))?);
            let output = item.output.ok_or_else(|| lacks("output"))?.join("input", &place)?;
            turns.push(ChatMessage { answers, ..ChatMessage::new("tool", output) });
        }
        "item_reference" => {
            let text = format!("{place} refers to something kept earlier, and nothing is kept here: send it whole");
            return Err(unsupported("input", text));
        }
        other => {
            let text = format!(
                "{place} is of type {}; the types are message, function_call and function_call_output",
                quoted(other)
            );
            return Err(unsupported("input", text));
        }
    }
    Ok(())
}

fn tools(fields: &Fields<'_>) -> Result<Vec<Tool>, Problem> {
    let forms: Vec<&RawValue> = fields.get("tools")?.unwrap_or_default();
    options::count_tools(forms.len())?;
    let malformed = |error: serde_json::Error| Problem::new(Code::Malformed, format!("tools: {error}")).param("tools");
    let tool = |raw: &RawValue| match serde_json::from_str::<TypeForm>(raw.get()).map_err(malformed)?.r#type.as_str() {
        "function" => serde_json::from_str::<FunctionForm<'_>>(raw.get()).map_err(malformed)?.read(),
        other => Err(options::no_such_tool(other)),
    };
    forms.into_iter().map(tool).collect()
}

/// The format, and how the response repeats it.
fn format(fields: &Fields<'_>) -> Result<(Format, Box<RawValue>), Problem> {
    let text = fields.inside("text")?;
    match text.names().into_iter().find(|name| !["format", "verbosity"].contains(name)) {
        Some(other) => return Err(unsupported("text", format!("{} is not offered", quoted(other)))),
        None if text.raw("verbosity").is_some_and(|raw| raw.get() != "\"medium\"") => {
            return Err(unsupported("text", "verbosity is medium"));
        }
        None => {}
    }
    let Some(raw) = text.raw("format") else { return Ok((Format::Text, raw_value(r#"{"type":"text"}"#))) };
    let form = text.inside("format").map_err(|problem| problem.param("text"))?;
    let format = match form.need::<String>("type").map_err(|problem| problem.param("text"))?.as_str() {
        "text" => Format::Text,
        "json_object" if form.raw("schema").is_none() => Format::Json,
        "json_schema" | "json_object" => match form.raw("schema").map(RawValue::get) {
            Some(schema) if schema.starts_with('{') => Format::Schema(schema.to_owned()),
            _ => return Err(wrong("text", "format.schema is a JSON schema")),
        },
        _ => return Err(unsupported("text", "the types of format are text, json_object and json_schema")),
    };
    Ok((format, raw.to_owned()))
}

/// The chances of tokens are told if they are asked for, and with how many others beside.
fn chances(fields: &Fields<'_>) -> Result<Option<u8>, Problem> {
    let include: Vec<String> = fields.get("include")?.unwrap_or_default();
    if let Some(other) = include.iter().find(|name| !INCLUDE.contains(&name.as_str())) {
        return Err(unsupported("include", format!("{} is not offered", quoted(other))));
    }
    if include.iter().any(|name| name == INCLUDE[0]) {
        return options::chances_beside(fields).map(|beside| Some(beside.unwrap_or(0)));
    }
    match options::chances_beside(fields)? {
        None | Some(0) => Ok(None),
        Some(_) => Err(wrong("top_logprobs", format!("it came without {} in include", INCLUDE[0]))),
    }
}

fn echo(
    fields: &Fields<'_>,
    work: &GenerateWork,
    instructions: Option<String>,
    is_one_call: bool,
    format: Box<RawValue>,
) -> Result<Echo, Problem> {
    let or = |name: &str, default: &str| fields.raw(name).map_or_else(|| raw_value(default), RawValue::to_owned);
    Ok(Echo {
        instructions,
        max_output_tokens: work.max_tokens,
        metadata: or("metadata", "{}"),
        parallel_tool_calls: !is_one_call,
        temperature: work.temperature,
        text: TextEcho { format },
        tool_choice: or("tool_choice", "\"auto\""),
        tools: or("tools", "[]"),
        top_logprobs: work.chances.unwrap_or(0),
        top_p: work.top_p,
        truncation: fields.get("truncation")?.unwrap_or_else(|| "disabled".to_owned()),
        user: fields.get("user")?,
    })
}

fn raw_value(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("what is written here is JSON")
}
