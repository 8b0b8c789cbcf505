//! Reads a request for text. Each field alone, so that an error names it.

use hither_engine::limits::MAX_CALLS;
use hither_engine::work::{ChatMessage, GenerateWork, Prompt, ToolCall};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Kind, generate_work, options};
use crate::chorus::Wanted;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, quoted, unsupported, wrong};
use crate::limits::{CHOICES, MESSAGES};

/// What a request asks for.
pub(super) struct Wish {
    /// The model, as written.
    pub(super) model: String,
    /// The texts: those of the first prompt, then those of the second.
    pub(super) wanted: Wanted,
    /// How many texts of each prompt.
    pub(super) per_prompt: usize,
    /// Whether tokens are wanted as they come.
    pub(super) stream: bool,
    /// What a stream says of the count of tokens.
    pub(super) counts: Counts,
    /// What each prompt said, if its texts begin with it.
    pub(super) echoes: Vec<String>,
}

/// What a stream says of the count of tokens.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    /// Said at the end.
    pub(super) at_the_end: bool,
    /// Said beside each part.
    pub(super) all_along: bool,
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

/// What was said: a text, or parts of one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
pub(super) struct Part {
    r#type: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
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
#[serde(deny_unknown_fields)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
    #[serde(default)]
    continuous_usage_stats: Option<bool>,
    /// Padding against those who count bytes on the wire: here is no wire but this machine's own.
    #[serde(default, rename = "include_obfuscation")]
    _padding: Option<bool>,
}

/// Reads the body of a request.
pub(super) fn wish(body: &[u8], kind: Kind) -> Result<Wish, Problem> {
    let fields = Fields::parse(body)?;
    let model = fields.need("model")?;
    let prompts = match kind {
        Kind::Chat => vec![Prompt::Chat(messages(fields.need("messages")?)?)],
        Kind::Text => prompts(&fields)?,
    };
    let stream = fields.get::<bool>("stream")?.unwrap_or(false);
    let counts = counts(&fields, stream)?;
    let mut work = generate_work(Prompt::Text(String::new()));
    options::read(&fields, kind, &mut work)?;
    let per_prompt = per_prompt(&fields, prompts.len())?;
    let echoes = echoes(&fields, kind, &prompts, &work)?;
    let each = |prompt: Prompt| {
        let seed = work.seed;
        let work = GenerateWork { prompt, ..work.clone() };
        // So that they differ, and that each can be had again alone.
        (0..per_prompt).map(move |nth| GenerateWork { seed: seed.wrapping_add(nth as u64), ..work.clone() })
    };
    let wanted = Wanted {
        works: prompts.into_iter().flat_map(each).collect(),
        salts: options::salts(&fields)?,
        is_one_call: options::is_one_call(&fields)?,
    };
    Ok(Wish { model, wanted, per_prompt, stream, counts, echoes })
}

fn counts(fields: &Fields<'_>, stream: bool) -> Result<Counts, Problem> {
    let Some(options) = fields.get::<StreamOptions>("stream_options")? else { return Ok(Counts::default()) };
    if !stream {
        return Err(wrong("stream_options", "it came without stream: true"));
    }
    let all_along = options.continuous_usage_stats.unwrap_or(false);
    let at_the_end = options.include_usage.unwrap_or(false);
    if all_along && !at_the_end {
        return Err(wrong("stream_options", "continuous_usage_stats came without include_usage: true"));
    }
    Ok(Counts { at_the_end, all_along })
}

fn per_prompt(fields: &Fields<'_>, prompts: usize) -> Result<usize, Problem> {
    let asked = fields.get::<i64>("n")?.unwrap_or(1);
    let count = usize::try_from(asked).ok().filter(|count| *count > 0 && count.saturating_mul(prompts) <= CHOICES);
    let Some(count) = count else {
        let each = if prompts == 1 { String::new() } else { format!(" times {prompts} prompts") };
        return Err(wrong("n", format!("it is {asked}{each}, and 1 to {CHOICES} texts are given at once")));
    };
    match fields.get::<i64>("best_of")? {
        Some(best) if best != asked => Err(unsupported("best_of", "all texts that are made are given: it equals n")),
        _ => Ok(count),
    }
}

fn echoes(fields: &Fields<'_>, kind: Kind, prompts: &[Prompt], work: &GenerateWork) -> Result<Vec<String>, Problem> {
    if !fields.get::<bool>("echo")?.unwrap_or(false) {
        return Ok(Vec::new());
    }
    if kind == Kind::Chat {
        return Err(unsupported("echo", "it is for completions"));
    }
    if work.chances.is_some() {
        return Err(unsupported("echo", "the chances of a prompt are not known, so it goes without logprobs"));
    }
    let said = |prompt: &Prompt| match prompt {
        Prompt::Text(text) => Ok(text.clone()),
        Prompt::Tokens(_) | Prompt::Chat(_) => Err(unsupported("echo", "it takes prompts of text, not ids of tokens")),
    };
    prompts.iter().map(said).collect()
}

fn prompts(fields: &Fields<'_>) -> Result<Vec<Prompt>, Problem> {
    let prompts: Vec<Prompt> = match fields.need("prompt")? {
        PromptForm::Text(text) => vec![Prompt::Text(text)],
        PromptForm::Ids(ids) => vec![Prompt::Tokens(ids)],
        PromptForm::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
        PromptForm::Lists(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
    };
    if prompts.len() > CHOICES {
        return Err(wrong("prompt", format!("{} came, and at most {CHOICES} are taken at once", prompts.len())));
    }
    Ok(prompts)
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
            "tool" if form.tool_call_id.is_none() => {
                return Err(wrong(format!("message {at} is of a tool, and has no tool_call_id")));
            }
            "tool" => "tool",
            other => role(other).ok_or_else(|| {
                wrong(format!(
                    "message {at} has the role {}; the roles are system, developer, user, assistant and tool",
                    quoted(other)
                ))
            })?,
        };
        let content = match form.content {
            None if !calls.is_empty() => String::new(),
            None => return Err(wrong(format!("message {at} has no content"))),
            Some(content) => content.join("messages", &format!("message {at}"))?,
        };
        let call =
            |form: CallForm| ToolCall { id: form.id, name: form.function.name, arguments: form.function.arguments };
        let answers = form.tool_call_id.filter(|_| role == "tool");
        let calls = calls.into_iter().map(call).collect();
        messages.push(ChatMessage { role: role.to_owned(), content, calls, answers });
    }
    Ok(messages)
}

/// The role of whoever speaks in words, as models know it.
pub(super) fn role(word: &str) -> Option<&'static str> {
    match word {
        "developer" | "system" => Some("system"),
        "user" => Some("user"),
        "assistant" => Some("assistant"),
        _ => None,
    }
}

impl Content {
    /// The whole text. `field` and `place` say in an error where it stands.
    pub(super) fn join(self, field: &'static str, place: &str) -> Result<String, Problem> {
        let parts = match self {
            Self::Text(text) => return Ok(text),
            Self::Parts(parts) => parts,
        };
        let mut content = String::new();
        for part in parts {
            match (part.r#type.as_str(), part.text, part.refusal) {
                ("text" | "input_text" | "output_text", Some(text), _) => content.push_str(&text),
                ("refusal", _, Some(text)) => content.push_str(&text),
                (kind @ ("text" | "input_text" | "output_text" | "refusal"), ..) => {
                    let text = format!("{place} has a part of type {kind} without its text");
                    return Err(Problem::new(Code::Malformed, text).param(field));
                }
                (other, ..) => {
                    let text = format!("{place} has a part of type {}, and only text is taken", quoted(other));
                    return Err(unsupported(field, text));
                }
            }
        }
        Ok(content)
    }
}
