//! Reads a request for text. Each field alone, so that an error names it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hither_engine::limits::MAX_CALLS;
use hither_engine::work::{ChatMessage, GenerateWork, Prompt, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Kind, generate_work, options};
use crate::errors::{Code, Problem};
use crate::limits::{MESSAGES, SALT_BYTES, STOPS};

/// What a request asks for.
pub(super) struct Wish {
    /// The model, as written.
    pub(super) model: String,
    /// The work.
    pub(super) work: GenerateWork,
    /// What tells apart those of one app who may share what was read of a prompt.
    pub(super) salts: Option<[String; 2]>,
    /// Whether tokens are wanted as they come.
    pub(super) stream: bool,
    /// Whether a stream ends with the count of tokens.
    pub(super) include_usage: bool,
}

#[derive(Deserialize)]
struct MessageForm {
    role: String,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    tool_calls: Option<Vec<CallForm>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct CallForm {
    id: String,
    function: CalledForm,
}

#[derive(Deserialize)]
struct CalledForm {
    name: String,
    arguments: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PromptForm {
    Text(String),
    // Before the texts: an empty list is a prompt of no tokens, and refused as such.
    Ids(Vec<u32>),
    Texts(Vec<String>),
    Lists(Vec<Vec<u32>>),
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

/// The fields of a body, not yet read.
pub(super) struct Fields<'a>(HashMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| Problem::new(Code::Malformed, format!("the body is not a JSON object: {error}")))
    }

    /// A field, read as what it should be. `null` is absent.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get())
            .map_err(|error| Problem::new(Code::Malformed, format!("{name}: {error}")).param(name))
    }

    /// Refuses fields that nobody looks at.
    pub(super) fn refuse_unknown(&self, known: &[&str]) -> Result<(), Problem> {
        let unknown = self.0.keys().map(String::as_str).filter(|name| !known.contains(name)).min();
        let Some(unknown) = unknown else { return Ok(()) };
        let said: String = unknown.chars().take(40).collect();
        Err(Problem::new(Code::Unsupported, format!("{said}: there is no such field"))
            .help("leave it out; nothing that changes the meaning is dropped silently")
            .param(said))
    }

    /// A number within bounds.
    pub(super) fn number(&self, name: &'static str, least: f64, most: f64) -> Result<Option<f64>, Problem> {
        match self.get::<f64>(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                let text = format!("{name} is {number}, and takes {least} to {most}");
                Err(Problem::new(Code::OutOfRange, text).param(name))
            }
            number => Ok(number),
        }
    }
}

pub(super) fn unsupported(name: &'static str, why: impl Into<String>) -> Problem {
    Problem::new(Code::Unsupported, format!("{name}: {}", why.into()))
        .help("leave it out; nothing that changes the meaning is dropped silently")
        .param(name)
}

/// Reads the body of a request.
pub(super) fn wish(body: &[u8], kind: Kind) -> Result<Wish, Problem> {
    let fields = Fields::parse(body)?;
    let missing = |name: &'static str| Problem::new(Code::Malformed, format!("{name} is missing")).param(name);
    let model: String = fields.get("model")?.ok_or_else(|| missing("model"))?;
    let prompt = match kind {
        Kind::Chat => Prompt::Chat(messages(fields.get("messages")?.ok_or_else(|| missing("messages"))?)?),
        Kind::Text => prompt(&fields)?.ok_or_else(|| missing("prompt"))?,
    };
    let stream = fields.get::<bool>("stream")?.unwrap_or(false);
    let options: Option<StreamOptions> = fields.get("stream_options")?;
    if options.is_some() && !stream {
        let text = "stream_options came without stream: true";
        return Err(Problem::new(Code::OutOfRange, text).param("stream_options"));
    }
    let mut work = generate_work(prompt);
    options::read(&fields, kind, &mut work)?;
    let salts = [fields.get::<String>("cache_salt")?, fields.get("prompt_cache_key")?];
    if salts.iter().flatten().any(|salt| salt.len() > SALT_BYTES) {
        let text = format!("cache_salt and prompt_cache_key have at most {SALT_BYTES} bytes");
        return Err(Problem::new(Code::OutOfRange, text).param("prompt_cache_key"));
    }
    work.max_tokens = max_tokens(&fields)?;
    if let Some(temperature) = fields.number("temperature", 0.0, 2.0)? {
        work.temperature = temperature as f32;
    }
    if let Some(top_p) = fields.number("top_p", 0.0, 1.0)? {
        work.top_p = top_p as f32;
    }
    // -1 is what some clients send for "all".
    if let Some(top_k) = fields.get::<i64>("top_k")? {
        let wrong = || Problem::new(Code::OutOfRange, format!("top_k is {top_k}, and takes -1 or more")).param("top_k");
        work.top_k = if top_k == -1 { 0 } else { u32::try_from(top_k).map_err(|_| wrong())? };
    }
    // Drawn here and not in the engine: a stream that goes on elsewhere must go on from the same seed.
    work.seed = match fields.get::<i64>("seed")? {
        Some(seed) => seed.cast_unsigned(),
        None => RandomState::new().build_hasher().finish(),
    };
    work.stop = stops(&fields)?;
    work.ignore_eos = fields.get::<bool>("ignore_eos")?.unwrap_or(false);
    let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
    let salts = salts.iter().any(Option::is_some).then(|| salts.map(Option::unwrap_or_default));
    Ok(Wish { model, work, salts, stream, include_usage })
}

fn max_tokens(fields: &Fields<'_>) -> Result<Option<u32>, Problem> {
    let newer: Option<i64> = fields.get("max_completion_tokens")?;
    let older: Option<i64> = fields.get("max_tokens")?;
    let (name, asked) = match newer {
        Some(_) => ("max_completion_tokens", newer),
        None => ("max_tokens", older),
    };
    match asked {
        None => Ok(None),
        Some(tokens) => match u32::try_from(tokens) {
            Ok(tokens) if tokens > 0 => Ok(Some(tokens)),
            _ => {
                let text = format!("{name} is {tokens}, and takes 1 to {}", u32::MAX);
                Err(Problem::new(Code::OutOfRange, text).param(name))
            }
        },
    }
}

fn stops(fields: &Fields<'_>) -> Result<Vec<String>, Problem> {
    let stops = match fields.get("stop")? {
        None => Vec::new(),
        Some(OneOrMany::One(stop)) => vec![stop],
        Some(OneOrMany::Many(stops)) => stops,
    };
    if stops.len() > STOPS || stops.iter().any(String::is_empty) {
        let text = format!("stop takes at most {STOPS} strings, none of them empty");
        return Err(Problem::new(Code::OutOfRange, text).param("stop"));
    }
    Ok(stops)
}

fn prompt(fields: &Fields<'_>) -> Result<Option<Prompt>, Problem> {
    let many = || unsupported("prompt", "one prompt is taken at a time");
    match fields.get("prompt")? {
        None => Ok(None),
        Some(PromptForm::Text(text)) => Ok(Some(Prompt::Text(text))),
        Some(PromptForm::Ids(ids)) => Ok(Some(Prompt::Tokens(ids))),
        Some(PromptForm::Texts(texts)) => match <[String; 1]>::try_from(texts) {
            Ok([text]) => Ok(Some(Prompt::Text(text))),
            Err(_) => Err(many()),
        },
        Some(PromptForm::Lists(lists)) => match <[Vec<u32>; 1]>::try_from(lists) {
            Ok([ids]) => Ok(Some(Prompt::Tokens(ids))),
            Err(_) => Err(many()),
        },
    }
}

fn messages(forms: Vec<MessageForm>) -> Result<Vec<ChatMessage>, Problem> {
    let wrong = |text: String| Problem::new(Code::OutOfRange, text).param("messages");
    if forms.is_empty() || forms.len() > MESSAGES {
        return Err(wrong(format!("messages has {} turns, and takes 1 to {MESSAGES}", forms.len())));
    }
    let mut messages = Vec::with_capacity(forms.len());
    for (at, form) in forms.into_iter().enumerate() {
        if form.function_call.is_some() {
            return Err(unsupported("messages", format!("message {at} has a function_call: they are tool_calls now")));
        }
        let calls = form.tool_calls.unwrap_or_default();
        if calls.len() > MAX_CALLS || (!calls.is_empty() && form.role != "assistant") {
            return Err(wrong(format!("message {at} calls tools: an assistant may, and at most {MAX_CALLS}")));
        }
        let role = match form.role.as_str() {
            "developer" | "system" => "system",
            "user" => "user",
            "assistant" => "assistant",
            "tool" if form.tool_call_id.is_none() => {
                return Err(wrong(format!("message {at} is of a tool, and has no tool_call_id")));
            }
            "tool" => "tool",
            other => {
                let said: String = other.chars().take(40).collect();
                return Err(wrong(format!(
                    "message {at} has the role {said:?}; the roles are system, developer, user, assistant and tool"
                )));
            }
        };
        let content = match form.content {
            None if !calls.is_empty() => String::new(),
            None => return Err(wrong(format!("message {at} has no content"))),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => join(parts, at)?,
        };
        let call =
            |form: CallForm| ToolCall { id: form.id, name: form.function.name, arguments: form.function.arguments };
        let answers = form.tool_call_id.filter(|_| role == "tool");
        let calls = calls.into_iter().map(call).collect();
        messages.push(ChatMessage { role: role.to_owned(), content, calls, answers });
    }
    Ok(messages)
}

fn join(parts: Vec<Part>, at: usize) -> Result<String, Problem> {
    let mut content = String::new();
    for part in parts {
        match (part.r#type.as_str(), part.text) {
            ("text", Some(text)) => content.push_str(&text),
            ("text", None) => {
                let text = format!("message {at} has a part of text without text");
                return Err(Problem::new(Code::Malformed, text).param("messages"));
            }
            (other, _) => {
                let said: String = other.chars().take(40).collect();
                return Err(unsupported(
                    "messages",
                    format!("message {at} has a part of type {said:?}, and only text is taken"),
                ));
            }
        }
    }
    Ok(content)
}
