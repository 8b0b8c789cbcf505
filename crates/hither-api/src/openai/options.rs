//! Tools, formats and the numbers of a request for text.
//!
//! What must stay true: a field does what it says, or its value is the one that changes nothing, or it says nothing
//! about the answer (`NEUTRAL`), or it is refused by name. A field that nobody has heard of is refused: whether it
//! would change the answer cannot be known.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hither_engine::limits::{MAX_BIASES, MAX_CHANCES, MAX_TOOLS};
use hither_engine::work::{Format, GenerateWork, Overflow, Tool, ToolChoice};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Kind;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, quoted, unsupported, wrong};
use crate::limits::{SALT_BYTES, STOPS};

#[cfg(test)]
mod tests;

/// Fields of chats and completions that are looked at. Those of `refuse_unsupported` are taken with the value that
/// changes nothing.
pub(crate) const KNOWN: [&str; 41] = [
    "audio",
    "best_of",
    "cache_salt",
    "echo",
    "frequency_penalty",
    "function_call",
    "functions",
    "ignore_eos",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "min_p",
    "min_tokens",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt",
    "prompt_cache_key",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "seed",
    "skip_special_tokens",
    "stop",
    "stream",
    "stream_options",
    "suffix",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
    "truncation",
    "verbosity",
    "web_search_options",
];

/// Fields that say who asks, where to keep a copy, how long to remember or in which queue to stand, and nothing about
/// the answer. They are read past: this node keeps no copies and has one queue.
pub(crate) const NEUTRAL: [&str; 6] =
    ["metadata", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"];

#[derive(Deserialize)]
struct ToolForm<'a> {
    r#type: String,
    #[serde(default, borrow)]
    function: Option<FunctionForm<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FunctionForm<'a> {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ChoiceForm {
    Word(String),
    // Chats name the function inside, responses beside its type.
    Nested { r#type: String, function: NameForm },
    Flat { r#type: String, name: String },
    Other { r#type: String },
}

#[derive(Deserialize)]
struct NameForm {
    name: String,
}

#[derive(Deserialize)]
struct FormatForm<'a> {
    r#type: String,
    #[serde(default, borrow)]
    json_schema: Option<SchemaForm<'a>>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default, borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct SchemaForm<'a> {
    #[serde(default, borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads what goes beyond a prompt and its sampling, of chats and completions.
pub(super) fn read(fields: &Fields<'_>, kind: Kind, work: &mut GenerateWork) -> Result<(), Problem> {
    refuse_unsupported(fields)?;
    work.tools = tools(fields)?;
    work.tool_choice = tool_choice(fields, &work.tools)?;
    work.format = format(fields)?;
    work.chances = chances(fields, kind)?;
    work.max_tokens = max_tokens(fields, &["max_completion_tokens", "max_tokens"])?;
    sampling(fields, work)?;
    min_tokens(fields, work)
}

/// Reads how tokens are chosen, and where a text ends.
pub(super) fn sampling(fields: &Fields<'_>, work: &mut GenerateWork) -> Result<(), Problem> {
    if let Some(temperature) = fields.number("temperature", 0.0, 2.0)? {
        work.temperature = temperature as f32;
    }
    if let Some(top_p) = fields.number("top_p", 0.0, 1.0)? {
        work.top_p = top_p as f32;
    }
    // -1 is what some clients send for "all".
    if let Some(top_k) = fields.get::<i64>("top_k")? {
        let wrong = || wrong("top_k", format!("it is {top_k}, and takes -1 or more"));
        work.top_k = if top_k == -1 { 0 } else { u32::try_from(top_k).map_err(|_| wrong())? };
    }
    if let Some(min_p) = fields.number("min_p", 0.0, 1.0)? {
        work.min_p = min_p as f32;
    }
    if let Some(penalty) = fields.number("frequency_penalty", -2.0, 2.0)? {
        work.frequency_penalty = penalty as f32;
    }
    if let Some(penalty) = fields.number("presence_penalty", -2.0, 2.0)? {
        work.presence_penalty = penalty as f32;
    }
    if let Some(penalty) = fields.number("repetition_penalty", 0.01, 10.0)? {
        work.repetition_penalty = penalty as f32;
    }
    work.logit_bias = biases(fields)?;
    work.overflow = match fields.get::<String>("truncation")?.as_deref() {
        None | Some("disabled") => Overflow::Refuse,
        Some("auto") => Overflow::DropOldest,
        Some(_) => return Err(wrong("truncation", "it is auto or disabled")),
    };
    work.seed = fields.get::<i64>("seed")?.map_or_else(draw_seed, i64::cast_unsigned);
    work.stop = stops(fields)?;
    work.ignore_eos = fields.get::<bool>("ignore_eos")?.unwrap_or(false);
    Ok(())
}

/// A seed for a request that brings none. Drawn here and not in the engine: a stream that goes on elsewhere must go on
/// from the same seed.
pub(crate) fn draw_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The most tokens of an answer: the first of these names that is there.
pub(super) fn max_tokens(fields: &Fields<'_>, names: &[&'static str]) -> Result<Option<u32>, Problem> {
    for name in names {
        if let Some(tokens) = fields.get::<i64>(name)? {
            return match u32::try_from(tokens) {
                Ok(tokens) if tokens > 0 => Ok(Some(tokens)),
                _ => Err(wrong(name, format!("it is {tokens}, and takes 1 to {}", u32::MAX))),
            };
        }
    }
    Ok(None)
}

/// The least tokens of an answer: none, or as many as the most, which is a text whose end is passed over.
fn min_tokens(fields: &Fields<'_>, work: &mut GenerateWork) -> Result<(), Problem> {
    let Some(least) = fields.get::<u32>("min_tokens")? else { return Ok(()) };
    match work.max_tokens {
        _ if least == 0 => Ok(()),
        Some(most) if least > most => Err(wrong("min_tokens", format!("it is {least}, and at most {most} may come"))),
        Some(most) if least == most && work.stop.is_empty() => {
            work.ignore_eos = true;
            Ok(())
        }
        _ => Err(unsupported("min_tokens", "it is 0, or equals max_tokens where there is no stop")),
    }
}

/// What tells apart those of one app who may share what was read of a prompt.
pub(super) fn salts(fields: &Fields<'_>) -> Result<Option<[String; 2]>, Problem> {
    let salts = [fields.get::<String>("cache_salt")?, fields.get("prompt_cache_key")?];
    if salts.iter().flatten().any(|salt| salt.len() > SALT_BYTES) {
        return Err(wrong("prompt_cache_key", format!("it and cache_salt have at most {SALT_BYTES} bytes")));
    }
    Ok(salts.iter().any(Option::is_some).then(|| salts.map(Option::unwrap_or_default)))
}

fn stops(fields: &Fields<'_>) -> Result<Vec<String>, Problem> {
    let stops = match fields.get("stop")? {
        None => Vec::new(),
        Some(OneOrMany::One(stop)) => vec![stop],
        Some(OneOrMany::Many(stops)) => stops,
    };
    if stops.len() > STOPS || stops.iter().any(String::is_empty) {
        return Err(wrong("stop", format!("it takes at most {STOPS} strings, none of them empty")));
    }
    Ok(stops)
}

/// Tools as chats have them.
pub(crate) fn tools(fields: &Fields<'_>) -> Result<Vec<Tool>, Problem> {
    let forms: Vec<ToolForm<'_>> = fields.get("tools")?.unwrap_or_default();
    let tool = |form: ToolForm<'_>| match (form.r#type.as_str(), form.function) {
        ("function", Some(function)) => function.read(),
        ("function", None) => Err(Problem::new(Code::Malformed, "a tool has no function").param("tools")),
        (other, _) => Err(no_such_tool(other)),
    };
    count_tools(forms.len())?;
    forms.into_iter().map(tool).collect()
}

pub(super) fn count_tools(count: usize) -> Result<(), Problem> {
    if count > MAX_TOOLS {
        return Err(wrong("tools", format!("{count} came, and at most {MAX_TOOLS} are taken")));
    }
    Ok(())
}

pub(super) fn no_such_tool(kind: &str) -> Problem {
    unsupported("tools", format!("a tool is of type {}, and only functions are offered", quoted(kind)))
}

impl FunctionForm<'_> {
    pub(super) fn read(self) -> Result<Tool, Problem> {
        if !is_name(&self.name) {
            return Err(wrong("tools", "a name has 1 to 64 letters, digits, _, - and ."));
        }
        let parameters = self.parameters.map(RawValue::get).filter(|text| *text != "null").unwrap_or_default();
        if !parameters.is_empty() && !parameters.starts_with('{') {
            return Err(wrong("tools", format!("parameters of {} is no JSON schema", self.name)));
        }
        Ok(Tool {
            name: self.name,
            description: self.description.unwrap_or_default(),
            parameters: parameters.to_owned(),
        })
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// Whether tools may or must be called.
pub(super) fn tool_choice(fields: &Fields<'_>, tools: &[Tool]) -> Result<ToolChoice, Problem> {
    let choice = match fields.get("tool_choice")? {
        None => ToolChoice::Auto,
        Some(ChoiceForm::Word(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "required" => ToolChoice::Any,
            _ => return Err(wrong("tool_choice", "it is none, auto, required, or a function")),
        },
        Some(ChoiceForm::Nested { r#type, function: NameForm { name } } | ChoiceForm::Flat { r#type, name })
            if r#type == "function" =>
        {
            ToolChoice::Named(name)
        }
        Some(ChoiceForm::Nested { r#type, .. } | ChoiceForm::Flat { r#type, .. } | ChoiceForm::Other { r#type }) => {
            let text = format!("it is of type {}, and only functions are offered", quoted(&r#type));
            return Err(unsupported("tool_choice", text));
        }
    };
    let is_there = match &choice {
        ToolChoice::Named(name) => tools.iter().any(|tool| tool.name == *name),
        ToolChoice::Any => !tools.is_empty(),
        ToolChoice::Auto | ToolChoice::Never => true,
    };
    if !is_there {
        return Err(wrong("tool_choice", "the tool to call is not among tools"));
    }
    Ok(choice)
}

/// Whether one call is wanted at the most. A call that must be made is one call in any case.
pub(super) fn is_one_call(fields: &Fields<'_>) -> Result<bool, Problem> {
    Ok(fields.get::<bool>("parallel_tool_calls")? == Some(false))
}

fn format(fields: &Fields<'_>) -> Result<Format, Problem> {
    let name = "response_format";
    let Some(form) = fields.get::<FormatForm<'_>>(name)? else { return Ok(Format::Text) };
    let schema = form.schema.map(RawValue::get).filter(|schema| *schema != "null");
    match (form.r#type.as_str(), form.json_schema, form.pattern, schema) {
        ("text", None, None, None) => Ok(Format::Text),
        ("json_object", None, None, None) => Ok(Format::Json),
        // As other servers have it.
        ("json_object", None, None, Some(schema)) if schema.starts_with('{') => Ok(Format::Schema(schema.to_owned())),
        ("json_schema", Some(SchemaForm { schema: Some(schema) }), None, None) if schema.get().starts_with('{') => {
            Ok(Format::Schema(schema.get().to_owned()))
        }
        ("json_schema", ..) => Err(wrong(name, "json_schema.schema is a JSON schema")),
        ("pattern", None, Some(pattern), None) => Ok(Format::Pattern(pattern)),
        ("pattern", ..) => Err(wrong(name, "pattern is a regular expression")),
        ("json_object", None, None, Some(_)) => Err(wrong(name, "schema is a JSON schema")),
        _ => Err(unsupported(name, "the types are text, json_object, json_schema and pattern")),
    }
}

/// A truth and a number in chat, a number in completions.
fn chances(fields: &Fields<'_>, kind: Kind) -> Result<Option<u8>, Problem> {
    let beside = chances_beside(fields)?;
    match kind {
        Kind::Chat => match (fields.get::<bool>("logprobs")?.unwrap_or(false), beside) {
            (true, beside) => Ok(Some(beside.unwrap_or(0))),
            (false, None | Some(0)) => Ok(None),
            (false, Some(_)) => Err(wrong("top_logprobs", "it came without logprobs: true")),
        },
        Kind::Text => match (beside, fields.get::<i64>("logprobs")?) {
            (Some(_), _) => Err(wrong("top_logprobs", "it is for chats; logprobs is a number here")),
            (None, asked) => asked.map(|asked| count("logprobs", asked, 5)).transpose(),
        },
    }
}

/// Of how many tokens beside the one that was said the chances are wanted.
pub(crate) fn chances_beside(fields: &Fields<'_>) -> Result<Option<u8>, Problem> {
    let most = MAX_CHANCES as i64;
    fields.get::<i64>("top_logprobs")?.map(|asked| count("top_logprobs", asked, most)).transpose()
}

fn count(name: &'static str, asked: i64, most: i64) -> Result<u8, Problem> {
    match u8::try_from(asked) {
        Ok(number) if asked <= most => Ok(number),
        _ => Err(wrong(name, format!("it is {asked}, and takes 0 to {most}"))),
    }
}

fn biases(fields: &Fields<'_>) -> Result<Vec<(u32, f32)>, Problem> {
    let forms: BTreeMap<String, f64> = fields.get("logit_bias")?.unwrap_or_default();
    if forms.len() > MAX_BIASES {
        return Err(wrong("logit_bias", format!("{} came, and at most {MAX_BIASES} are taken", forms.len())));
    }
    let bias = |(id, bias): (String, f64)| match id.parse() {
        Ok(id) if (-100.0..=100.0).contains(&bias) => Ok((id, bias as f32)),
        _ => Err(wrong("logit_bias", "it takes ids of tokens, and numbers from -100 to 100")),
    };
    forms.into_iter().map(bias).collect()
}

/// Fields that change the meaning of an answer, each with the value that does not.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Problem> {
    fields.refuse_unknown(&[&KNOWN, &NEUTRAL])?;
    if fields.get::<Vec<IgnoredAny>>("functions")?.is_some_and(|functions| !functions.is_empty()) {
        return Err(unsupported("functions", "they are called tools now"));
    }
    if fields.get::<bool>("skip_special_tokens")? == Some(false) {
        return Err(unsupported("skip_special_tokens", "special tokens are no text"));
    }
    if fields.get::<String>("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(unsupported("suffix", "it is not offered"));
    }
    if fields.get::<Vec<String>>("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
        return Err(unsupported("modalities", "answers are text"));
    }
    for name in ["audio", "function_call", "prediction", "reasoning_effort", "verbosity", "web_search_options"] {
        if fields.raw(name).is_some() {
            return Err(unsupported(name, "it is not offered"));
        }
    }
    Ok(())
}
