//! Tools, formats and the numbers of a request for text. What changes the meaning and is not offered is refused.

use std::collections::BTreeMap;

use hither_engine::limits::{MAX_BIASES, MAX_CHANCES, MAX_TOOLS};
use hither_engine::work::{Format, GenerateWork, Overflow, Tool, ToolChoice};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Kind;
use super::parse::{Fields, unsupported};
use crate::errors::{Code, Problem};

#[cfg(test)]
mod tests;

/// Everything that is looked at, and what is known to change nothing: who asked, and where to keep a copy.
const KNOWN: [&str; 47] = [
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
    "metadata",
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
    "prompt_cache_retention",
    "reasoning_effort",
    "repetition_penalty",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "skip_special_tokens",
    "stop",
    "store",
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
    "user",
    "verbosity",
    "web_search_options",
];

#[derive(Deserialize)]
struct ToolForm<'a> {
    r#type: String,
    #[serde(default, borrow)]
    function: Option<FunctionForm<'a>>,
}

#[derive(Deserialize)]
struct FunctionForm<'a> {
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
    Named { r#type: String, function: NameForm },
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
}

#[derive(Deserialize)]
struct SchemaForm<'a> {
    #[serde(default, borrow)]
    schema: Option<&'a RawValue>,
}

fn wrong(name: &'static str, text: impl Into<String>) -> Problem {
    Problem::new(Code::OutOfRange, format!("{name}: {}", text.into())).param(name)
}

/// Reads what goes beyond a prompt and its sampling.
pub(super) fn read(fields: &Fields<'_>, kind: Kind, work: &mut GenerateWork) -> Result<(), Problem> {
    refuse_unsupported(fields)?;
    work.tools = tools(fields)?;
    work.tool_choice = tool_choice(fields, &work.tools)?;
    work.format = format(fields)?;
    work.chances = chances(fields, kind)?;
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
    Ok(())
}

fn tools(fields: &Fields<'_>) -> Result<Vec<Tool>, Problem> {
    let forms: Vec<ToolForm<'_>> = fields.get("tools")?.unwrap_or_default();
    if forms.len() > MAX_TOOLS {
        return Err(wrong("tools", format!("{} came, and at most {MAX_TOOLS} are taken", forms.len())));
    }
    let tool = |form: ToolForm<'_>| match (form.r#type.as_str(), form.function) {
        ("function", Some(function)) => {
            if !is_name(&function.name) {
                return Err(wrong("tools", "a name has 1 to 64 letters, digits, _, - and ."));
            }
            let parameters = function.parameters.map(RawValue::get).filter(|text| *text != "null").unwrap_or_default();
            if !parameters.is_empty() && !parameters.starts_with('{') {
                return Err(wrong("tools", format!("parameters of {} is no JSON schema", function.name)));
            }
            Ok(Tool {
                name: function.name,
                description: function.description.unwrap_or_default(),
                parameters: parameters.to_owned(),
            })
        }
        ("function", None) => Err(Problem::new(Code::Malformed, "a tool has no function").param("tools")),
        (other, _) => {
            let said: String = other.chars().take(40).collect();
            Err(unsupported("tools", format!("a tool is of type {said:?}, and only functions are offered")))
        }
    };
    forms.into_iter().map(tool).collect()
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

fn tool_choice(fields: &Fields<'_>, tools: &[Tool]) -> Result<ToolChoice, Problem> {
    let choice = match fields.get("tool_choice")? {
        None => ToolChoice::Auto,
        Some(ChoiceForm::Word(word)) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "required" => ToolChoice::Any,
            _ => return Err(wrong("tool_choice", "it is none, auto, required, or a function")),
        },
        Some(ChoiceForm::Named { r#type, function }) if r#type == "function" => ToolChoice::Named(function.name),
        Some(ChoiceForm::Named { .. }) => return Err(unsupported("tool_choice", "only functions are offered")),
    };
    let is_there = match &choice {
        ToolChoice::Named(name) => tools.iter().any(|tool| tool.name == *name),
        ToolChoice::Any => !tools.is_empty(),
        ToolChoice::Auto | ToolChoice::Never => true,
    };
    if !is_there {
        return Err(wrong("tool_choice", "the tool to call is not among tools"));
    }
    // A call that must be made is one call.
    if fields.get::<bool>("parallel_tool_calls")? == Some(false) && choice == ToolChoice::Auto && !tools.is_empty() {
        return Err(unsupported("parallel_tool_calls", "a model that may call tools may call several"));
    }
    Ok(choice)
}

fn format(fields: &Fields<'_>) -> Result<Format, Problem> {
    let name = "response_format";
    let Some(form) = fields.get::<FormatForm<'_>>(name)? else { return Ok(Format::Text) };
    match (form.r#type.as_str(), form.json_schema, form.pattern) {
        ("text", None, None) => Ok(Format::Text),
        ("json_object", None, None) => Ok(Format::Json),
        ("json_schema", Some(SchemaForm { schema: Some(schema) }), None) if schema.get().starts_with('{') => {
            Ok(Format::Schema(schema.get().to_owned()))
        }
        ("json_schema", ..) => Err(wrong(name, "json_schema.schema is a JSON schema")),
        ("pattern", None, Some(pattern)) => Ok(Format::Pattern(pattern)),
        ("pattern", ..) => Err(wrong(name, "pattern is a regular expression")),
        _ => Err(unsupported(name, "the types are text, json_object, json_schema and pattern")),
    }
}

/// A truth and a number in chat, a number in completions.
fn chances(fields: &Fields<'_>, kind: Kind) -> Result<Option<u8>, Problem> {
    let count = |name: &'static str, count: i64, most: i64| match u8::try_from(count) {
        Ok(number) if count <= most => Ok(number),
        _ => Err(wrong(name, format!("it is {count}, and takes 0 to {most}"))),
    };
    let top: Option<i64> = fields.get("top_logprobs")?;
    match kind {
        Kind::Chat => match (fields.get::<bool>("logprobs")?.unwrap_or(false), top) {
            (true, top) => count("top_logprobs", top.unwrap_or(0), MAX_CHANCES as i64).map(Some),
            (false, None | Some(0)) => Ok(None),
            (false, Some(_)) => Err(wrong("top_logprobs", "it came without logprobs: true")),
        },
        Kind::Text => match (top, fields.get::<i64>("logprobs")?) {
            (Some(_), _) => Err(wrong("top_logprobs", "it is for chats; logprobs is a number here")),
            (None, asked) => asked.map(|asked| count("logprobs", asked, 5)).transpose(),
        },
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
    fields.refuse_unknown(&KNOWN)?;
    if fields.get::<Vec<serde::de::IgnoredAny>>("functions")?.is_some_and(|functions| !functions.is_empty()) {
        return Err(unsupported("functions", "they are called tools now"));
    }
    for name in ["n", "best_of"] {
        if fields.get::<i64>(name)?.is_some_and(|count| count != 1) {
            return Err(unsupported(name, "one answer is given at a time"));
        }
    }
    if fields.get::<f64>("min_tokens")?.is_some_and(|value| value != 0.0) {
        return Err(unsupported("min_tokens", "only 0 is offered"));
    }
    if fields.get::<bool>("echo")?.unwrap_or(false) {
        return Err(unsupported("echo", "it is not offered"));
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
        if fields.get::<serde::de::IgnoredAny>(name)?.is_some() {
            return Err(unsupported(name, "it is not offered"));
        }
    }
    Ok(())
}
