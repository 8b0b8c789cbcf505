//! Reads a request of Ollama's clients.

use hither_engine::limits::MAX_CALLS;
use hither_engine::work::{ChatMessage, Format, GenerateWork, Overflow, Prompt, ToolCall};
use hither_types::model::{Manifest, ModelIo};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::chorus::Wanted;
use crate::errors::{Code, Problem};
use crate::fields::{Fields, quoted, unsupported, wrong};
use crate::limits::{IGNORED_NAMES, MESSAGES, STOPS};
use crate::openai::options::{chances_beside, draw_seed, tools};

/// Which of the two endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Chat,
    Text,
}

/// Fields that are looked at.
const KNOWN: [&str; 18] = [
    "context",
    "format",
    "images",
    "keep_alive",
    "logprobs",
    "messages",
    "model",
    "name",
    "options",
    "prompt",
    "raw",
    "stream",
    "suffix",
    "system",
    "template",
    "think",
    "tools",
    "top_logprobs",
];

/// What a client that does not choose gets from Ollama, and so from here. Its penalty on repetitions is left out: there
/// it weighs the last 64 tokens, here the whole text, and so it is applied only where it is asked for.
const TEMPERATURE: f32 = 0.8;
const TOP_K: u32 = 40;
const TOP_P: f32 = 0.9;

/// What a request asks for.
pub(super) struct Wish {
    /// The model, as written.
    pub(super) model: String,
    pub(super) wanted: Wanted,
    pub(super) stream: bool,
    /// Whether nothing is asked but to open the model.
    pub(super) is_load: bool,
    /// How long a context is wanted.
    pub(super) context_tokens: Option<u32>,
    /// Fields and options that have no effect.
    pub(super) ignored: Vec<String>,
}

#[derive(Deserialize)]
struct MessageForm<'a> {
    role: String,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    images: Option<Vec<IgnoredAny>>,
    #[serde(default, borrow)]
    tool_calls: Option<Vec<CallForm<'a>>>,
    #[serde(default)]
    tool_name: Option<String>,
}

#[derive(Deserialize)]
struct CallForm<'a> {
    #[serde(borrow)]
    function: CalledForm<'a>,
}

#[derive(Deserialize)]
struct CalledForm<'a> {
    name: String,
    #[serde(default, borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stops {
    One(String),
    Many(Vec<String>),
}

/// The name of the model. Older clients call the field `name`.
pub(super) fn model(fields: &Fields<'_>) -> Result<String, Problem> {
    match fields.get("model")? {
        Some(model) => Ok(model),
        None => fields.get("name")?.ok_or_else(|| Problem::new(Code::Malformed, "model is missing").param("model")),
    }
}

/// Reads the body of a request.
pub(super) fn wish(body: &[u8], kind: Kind) -> Result<Wish, Problem> {
    let fields = Fields::parse(body)?;
    let model = model(&fields)?;
    refuse_unsupported(&fields)?;
    let prompt = match kind {
        Kind::Chat => chat(&fields)?,
        Kind::Text => text(&fields)?,
    };
    let options = fields.inside("options")?;
    let mut work = GenerateWork::new(prompt.clone().unwrap_or_else(|| Prompt::Text(" ".to_owned())));
    let context_tokens = sampling(&options, &mut work)?;
    work.format = format(&fields)?;
    if kind == Kind::Chat {
        work.tools = tools(&fields)?;
    }
    work.chances = match (fields.get::<bool>("logprobs")?.unwrap_or(false), chances_beside(&fields)?) {
        (true, beside) => Some(beside.unwrap_or(0)),
        (false, None | Some(0)) => None,
        (false, Some(_)) => return Err(wrong("top_logprobs", "it came without logprobs: true")),
    };
    let is_load = prompt.is_none();
    if is_load {
        keep(&fields)?;
        // To read and say one token is how a model is opened.
        work = GenerateWork { max_tokens: Some(1), ..GenerateWork::new(work.prompt) };
    }
    Ok(Wish {
        model,
        wanted: Wanted { works: vec![work], salts: None, is_one_call: false },
        stream: fields.get::<bool>("stream")?.unwrap_or(true),
        is_load,
        context_tokens,
        ignored: ignored(&fields, &KNOWN)?,
    })
}

/// What changes the meaning of an answer and is not offered.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), Problem> {
    let is_set = |name| fields.raw(name).is_some_and(|raw| !["false", "\"\"", "[]"].contains(&raw.get()));
    for (name, why) in [
        ("think", "models answer without thinking aloud"),
        ("images", "only text is taken"),
        ("suffix", "it is not offered"),
        ("template", "a model has its own; raw: true takes a text that is laid out already"),
        ("context", "nothing is kept here: send the conversation to /api/chat"),
    ] {
        if is_set(name) {
            return Err(unsupported(name, why));
        }
    }
    Ok(())
}

/// A model is opened by a request without a text. It is closed when its memory is needed, not on request.
fn keep(fields: &Fields<'_>) -> Result<(), Problem> {
    match fields.raw("keep_alive").map(RawValue::get) {
        Some("0" | "\"0\"" | "\"0s\"" | "\"0m\"") => Err(Problem::new(
            Code::Unsupported,
            "keep_alive: a model is closed when its memory is needed for another, and not on request",
        )
        .help("hither ps")
        .param("keep_alive")),
        _ => Ok(()),
    }
}

/// The names of what has no effect, as far as they can stand in a header.
pub(super) fn ignored(fields: &Fields<'_>, known: &[&str]) -> Result<Vec<String>, Problem> {
    let options = fields.inside("options")?;
    let of_fields = fields.names().into_iter().filter(|name| !known.contains(name) && *name != "options");
    let of_options = options.names().into_iter().filter(|name| !OPTIONS.contains(name));
    let said = of_fields.map(str::to_owned).chain(of_options.map(|name| format!("options.{name}")));
    let plain = |name: String| name.chars().filter(|c| c.is_ascii_graphic() && *c != ',').take(40).collect::<String>();
    Ok(said.map(plain).take(IGNORED_NAMES).collect())
}

/// Options that have an effect.
const OPTIONS: [&str; 11] = [
    "frequency_penalty",
    "min_p",
    "num_ctx",
    "num_predict",
    "presence_penalty",
    "repeat_penalty",
    "seed",
    "stop",
    "temperature",
    "top_k",
    "top_p",
];

/// Reads how tokens are chosen. Gives the context that is wanted.
fn sampling(options: &Fields<'_>, work: &mut GenerateWork) -> Result<Option<u32>, Problem> {
    let of = |number: Option<f64>, default: f32| number.map_or(default, |number| number as f32);
    work.temperature = of(options.number("temperature", 0.0, 2.0)?, TEMPERATURE);
    work.top_p = of(options.number("top_p", 0.0, 1.0)?, TOP_P);
    work.min_p = of(options.number("min_p", 0.0, 1.0)?, 0.0);
    work.presence_penalty = of(options.number("presence_penalty", -2.0, 2.0)?, 0.0);
    work.frequency_penalty = of(options.number("frequency_penalty", -2.0, 2.0)?, 0.0);
    work.repetition_penalty = of(options.number("repeat_penalty", 0.01, 10.0)?, 1.0);
    work.top_k = match options.get::<i64>("top_k")? {
        None => TOP_K,
        Some(count) if count <= 0 => 0,
        Some(count) => u32::try_from(count).map_err(|_| wrong("top_k", format!("it is {count}")))?,
    };
    work.max_tokens = match options.get::<i64>("num_predict")? {
        // Without end, or to the end of the context: the context ends both.
        None | Some(-2..=0) => None,
        Some(count) => Some(u32::try_from(count).map_err(|_| wrong("num_predict", format!("it is {count}")))?),
    };
    work.seed = match options.get::<i64>("seed")? {
        None | Some(-1) => draw_seed(),
        Some(seed) => seed.cast_unsigned(),
    };
    work.stop = match options.get("stop")? {
        None => Vec::new(),
        Some(Stops::One(stop)) => vec![stop],
        Some(Stops::Many(stops)) => stops,
    };
    if work.stop.len() > STOPS || work.stop.iter().any(String::is_empty) {
        return Err(wrong("stop", format!("it takes at most {STOPS} strings, none of them empty")));
    }
    work.overflow = Overflow::Refuse;
    options.get("num_ctx")
}

/// Refuses a context that the model does not have.
pub(super) fn fits(model: &Manifest, wanted: Option<u32>) -> Result<(), Problem> {
    match (&model.io, wanted) {
        (ModelIo::Language { context_tokens }, Some(wanted)) if wanted > *context_tokens => {
            let text = format!("it is {wanted}, and {} takes {context_tokens} tokens", model.name);
            Err(wrong("num_ctx", text))
        }
        _ => Ok(()),
    }
}

fn format(fields: &Fields<'_>) -> Result<Format, Problem> {
    match fields.raw("format").map(RawValue::get) {
        None | Some("\"\"") => Ok(Format::Text),
        Some("\"json\"") => Ok(Format::Json),
        Some(schema) if schema.starts_with('{') => Ok(Format::Schema(schema.to_owned())),
        Some(_) => Err(wrong("format", "it is json, or a JSON schema")),
    }
}

/// A text to go on from; `None` if there is none, and the model is to be opened.
fn text(fields: &Fields<'_>) -> Result<Option<Prompt>, Problem> {
    let prompt = fields.get::<String>("prompt")?.unwrap_or_default();
    let system = fields.get::<String>("system")?.unwrap_or_default();
    if prompt.is_empty() && system.is_empty() {
        return Ok(None);
    }
    if fields.get::<bool>("raw")?.unwrap_or(false) {
        if !system.is_empty() {
            return Err(wrong("system", "raw: true takes a text that is laid out already, and system would change it"));
        }
        return Ok(Some(Prompt::Text(prompt)));
    }
    let system = (!system.is_empty()).then(|| ChatMessage::new("system", system));
    Ok(Some(Prompt::Chat(system.into_iter().chain([ChatMessage::new("user", prompt)]).collect())))
}

/// A conversation; `None` if there is none, and the model is to be opened.
fn chat(fields: &Fields<'_>) -> Result<Option<Prompt>, Problem> {
    let forms: Vec<MessageForm<'_>> = fields.get("messages")?.unwrap_or_default();
    if forms.is_empty() {
        return Ok(None);
    }
    if forms.len() > MESSAGES {
        return Err(wrong("messages", format!("it has {} turns, and takes at most {MESSAGES}", forms.len())));
    }
    let mut turns: Vec<ChatMessage> = Vec::with_capacity(forms.len());
    // Calls here have no ids: an answer belongs to the first open call of its tool.
    let mut open: Vec<(String, String)> = Vec::new();
    for (at, form) in forms.into_iter().enumerate() {
        if form.images.is_some_and(|images| !images.is_empty()) {
            return Err(unsupported("messages", format!("message {at} has images, and only text is taken")));
        }
        let mut turn = ChatMessage::new(form.role, form.content.unwrap_or_default());
        match turn.role.as_str() {
            "system" | "user" => {}
            "assistant" => {
                let calls = form.tool_calls.unwrap_or_default();
                if calls.len() > MAX_CALLS {
                    return Err(wrong("messages", format!("message {at} calls more than {MAX_CALLS} tools")));
                }
                for CallForm { function } in calls {
                    let id = format!("call_{at}_{}", turn.calls.len());
                    open.push((function.name.clone(), id.clone()));
                    let arguments = function.arguments.map_or("{}", RawValue::get).to_owned();
                    turn.calls.push(ToolCall { id, name: function.name, arguments });
                }
            }
            "tool" => {
                let found = match &form.tool_name {
                    Some(name) => open.iter().position(|(called, _)| called == name),
                    None => (!open.is_empty()).then_some(0),
                };
                let Some(found) = found else {
                    let text = format!("message {at} is of a tool, and no call before it is without an answer");
                    return Err(wrong("messages", text));
                };
                turn.answers = Some(open.remove(found).1);
            }
            other => {
                let text = format!(
                    "message {at} has the role {}; the roles are system, user, assistant and tool",
                    quoted(other)
                );
                return Err(wrong("messages", text));
            }
        }
        turns.push(turn);
    }
    Ok(Some(Prompt::Chat(turns)))
}
