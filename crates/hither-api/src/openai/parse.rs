//! Reads a request for text. Each field alone, so that an error names it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use hither_engine::work::{ChatMessage, GenerateWork, Prompt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Kind, generate_work};
use crate::errors::{Code, Problem};
use crate::limits::{MESSAGES, STOPS};

/// What a request asks for.
pub(super) struct Wish {
    /// The model, as written.
    pub(super) model: String,
    /// The work.
    pub(super) work: GenerateWork,
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
    tool_calls: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    function_call: Option<IgnoredAny>,
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
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Typed {
    r#type: String,
}

struct Fields<'a>(HashMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Problem> {
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|error| Problem::new(Code::Malformed, format!("the body is not a JSON object: {error}")))
    }

    /// A field, read as what it should be. `null` is absent.
    fn get<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.0.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get())
            .map_err(|error| Problem::new(Code::Malformed, format!("{name}: {error}")).param(name))
    }

    /// A number within bounds.
    fn number(&self, name: &'static str, least: f64, most: f64) -> Result<Option<f64>, Problem> {
        match self.get::<f64>(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                let text = format!("{name} is {number}, and takes {least} to {most}");
                Err(Problem::new(Code::OutOfRange, text).param(name))
            }
            number => Ok(number),
        }
    }
}

fn unsupported(name: &'static str, why: impl Into<String>) -> Problem {
    Problem::new(Code::Unsupported, format!("{name}: {}", why.into()))
        .help("leave it out; nothing that changes the meaning is dropped silently")
        .param(name)
}

/// Reads the body of a request.
pub(super) fn wish(body: &[u8], kind: Kind) -> Result<Wish, Problem> {
    let fields = Fields::parse(body)?;
    let missing = |name: &'static str| Problem::new(Code::Malformed, format!("{name} is missing")).param(name);
    let model: String = fields.get("model")?.ok_or_else(|| missing("model"))?;
    refuse_unsupported(&fields)?;
    let prompt = match kind {
        Kind::Chat => Prompt::Chat(messages(fields.get("messages")?.ok_or_else(|| missing("messages"))?)?),
        Kind::Text => Prompt::Text(prompt(&fields)?.ok_or_else(|| missing("prompt"))?),
    };
    let stream = fields.get::<bool>("stream")?.unwrap_or(false);
    let options: Option<StreamOptions> = fields.get("stream_options")?;
    if options.is_some() && !stream {
        let text = "stream_options came without stream: true";
        return Err(Problem::new(Code::OutOfRange, text).param("stream_options"));
    }
    let mut work = generate_work(prompt);
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
    Ok(Wish { model, work, stream, include_usage })
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

fn prompt(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    if fields
        .0
        .get("prompt")
        .is_some_and(|raw| raw.get().trim_start_matches(['[', ' ', '\n']).starts_with(|c: char| c.is_ascii_digit()))
    {
        return Err(unsupported("prompt", "token ids are not taken, send text"));
    }
    match fields.get("prompt")? {
        None => Ok(None),
        Some(OneOrMany::One(prompt)) => Ok(Some(prompt)),
        Some(OneOrMany::Many(mut prompts)) => match (prompts.pop(), prompts.is_empty()) {
            (Some(prompt), true) => Ok(Some(prompt)),
            _ => Err(unsupported("prompt", "one prompt is taken at a time")),
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
        if form.tool_calls.is_some_and(|calls| !calls.is_empty()) || form.function_call.is_some() {
            return Err(unsupported("messages", format!("message {at} calls a tool, and tools are not offered")));
        }
        let role = match form.role.as_str() {
            "developer" | "system" => "system",
            "user" => "user",
            "assistant" => "assistant",
            "tool" | "function" => {
                return Err(unsupported("messages", format!("message {at} is of a tool, and tools are not offered")));
            }
            other => {
                let said: String = other.chars().take(40).collect();
                return Err(wrong(format!(
                    "message {at} has the role {said:?}; the roles are system, developer, user and assistant"
                )));
            }
        };
        let content = match form.content {
            None => return Err(wrong(format!("message {at} has no content"))),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => join(parts, at)?,
        };
        messages.push(ChatMessage::new(role, content));
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

/// Fields that change the meaning of an answer, each with the value that does not.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Problem> {
    for name in ["tools", "functions"] {
        if fields.get::<Vec<IgnoredAny>>(name)?.is_some_and(|tools| !tools.is_empty()) {
            return Err(unsupported(name, "tools are not offered"));
        }
    }
    for name in ["n", "best_of"] {
        if fields.get::<i64>(name)?.is_some_and(|count| count != 1) {
            return Err(unsupported(name, "one answer is given at a time"));
        }
    }
    if fields.get::<Typed>("response_format")?.is_some_and(|format| format.r#type != "text") {
        return Err(unsupported("response_format", "answers are free text, other formats are not offered"));
    }
    for name in ["frequency_penalty", "presence_penalty", "min_p", "min_tokens"] {
        if fields.get::<f64>(name)?.is_some_and(|value| value != 0.0) {
            return Err(unsupported(name, "only 0 is offered"));
        }
    }
    if fields.get::<f64>("repetition_penalty")?.is_some_and(|value| value != 1.0) {
        return Err(unsupported("repetition_penalty", "only 1 is offered"));
    }
    if fields.get::<HashMap<String, IgnoredAny>>("logit_bias")?.is_some_and(|bias| !bias.is_empty()) {
        return Err(unsupported("logit_bias", "it is not offered"));
    }
    // A truth in chat, a number in completions.
    if fields.0.get("logprobs").is_some_and(|raw| !matches!(raw.get(), "false" | "null")) {
        return Err(unsupported("logprobs", "probabilities of tokens are not offered"));
    }
    if fields.get::<i64>("top_logprobs")?.is_some_and(|count| count != 0) {
        return Err(unsupported("top_logprobs", "probabilities of tokens are not offered"));
    }
    if fields.get::<bool>("echo")?.unwrap_or(false) {
        return Err(unsupported("echo", "it is not offered"));
    }
    if fields.get::<String>("suffix")?.is_some_and(|suffix| !suffix.is_empty()) {
        return Err(unsupported("suffix", "it is not offered"));
    }
    if fields.get::<Vec<String>>("modalities")?.is_some_and(|kinds| kinds.iter().any(|kind| kind != "text")) {
        return Err(unsupported("modalities", "answers are text"));
    }
    for name in ["audio", "prediction", "web_search_options"] {
        if fields.get::<IgnoredAny>(name)?.is_some() {
            return Err(unsupported(name, "it is not offered"));
        }
    }
    Ok(())
}
