//! An answer as lines of JSON, or as one object.

use std::time::Duration;

use hither_engine::work::{FinishReason, ToolCall};
use hither_types::request::Quality;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::parse::Kind;
use crate::chorus::{Chorus, End, Heard, Teller, Text, Tokens};
use crate::errors::{Code, Problem};
use crate::openai::chances::{PlaceForm, places};
use crate::respond::{Form, write};
use crate::tail::Tail;

/// What was asked, as far as the answer repeats it.
pub(super) struct Asking {
    /// The model, as written.
    pub(super) model: String,
    /// When the request came.
    pub(super) begun: Instant,
    /// Whether nothing is asked but to open the model.
    pub(super) is_load: bool,
}

/// One answer.
pub(super) struct Lines {
    kind: Kind,
    asking: Asking,
    reason: Option<FinishReason>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaAnswer"))]
pub(crate) struct Line<'a> {
    model: &'a str,
    created_at: String,
    #[serde(flatten)]
    said: Said<'a>,
    done: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logprobs: Vec<PlaceForm>,
    #[serde(flatten)]
    end: Option<EndForm>,
}

/// Chats have a message, texts a response.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaSaid"))]
#[serde(rename_all = "snake_case")]
enum Said<'a> {
    Message(MessageForm<'a>),
    Response(&'a str),
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaMessage"))]
struct MessageForm<'a> {
    role: &'static str,
    content: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallForm<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaToolCall"))]
struct CallForm<'a> {
    id: &'a str,
    function: FunctionForm<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaCalledFunction"))]
struct FunctionForm<'a> {
    name: &'a str,
    /// An object, where others have its text.
    arguments: &'a RawValue,
}

/// What is known at the end. Spans are in nanoseconds.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaEnd"))]
struct EndForm {
    done_reason: &'static str,
    total_duration: u64,
    /// What passed before the prompt was read: until a slot was free, or the model was open.
    load_duration: u64,
    prompt_eval_count: u32,
    prompt_eval_duration: u64,
    eval_count: usize,
    eval_duration: u64,
    hither: Option<Tail>,
}

/// A span in nanoseconds.
pub(super) fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn stamp() -> String {
    jiff::Timestamp::now().to_string()
}

impl Lines {
    pub(super) fn new(kind: Kind, asking: Asking) -> Self {
        Self { kind, asking, reason: None }
    }

    /// The whole answer.
    pub(super) fn whole(mut self, text: Text, chorus: &Chorus) -> Result<Box<RawValue>, Problem> {
        self.reason = text.reason;
        let said = if self.asking.is_load { "" } else { &text.text };
        let line = self.line(said, &text.calls, places(&text.chances), Some(self.end(chorus)), chorus)?;
        Ok(RawValue::from_string(line).expect("it was written as JSON"))
    }

    fn line(
        &self,
        text: &str,
        calls: &[ToolCall],
        logprobs: Vec<PlaceForm>,
        end: Option<EndForm>,
        chorus: &Chorus,
    ) -> Result<String, Problem> {
        let said = match self.kind {
            Kind::Chat => {
                let tool_calls = calls.iter().map(|call| form(call, chorus)).collect::<Result<_, _>>()?;
                Said::Message(MessageForm { role: "assistant", content: text, tool_calls })
            }
            Kind::Text => Said::Response(text),
        };
        // The model that answers, where it is not the one that was asked for.
        let serving = chorus.voices().first().map(|voice| &voice.serving);
        let smaller = serving.filter(|serving| serving.quality() == Quality::Family);
        let model = smaller.map_or(self.asking.model.as_str(), |serving| serving.model().name.as_str());
        Ok(write(&Line { model, created_at: stamp(), said, done: end.is_some(), logprobs, end }))
    }

    fn end(&self, chorus: &Chorus) -> EndForm {
        let voice = chorus.voices().first();
        let cost = voice.and_then(|voice| voice.summary.as_ref()).map(|summary| summary.cost).unwrap_or_default();
        EndForm {
            done_reason: match self.reason {
                _ if self.asking.is_load => "load",
                Some(FinishReason::Length) => "length",
                Some(FinishReason::Stop | FinishReason::ToolCalls) | None => "stop",
            },
            total_duration: nanos(self.asking.begun.elapsed()),
            load_duration: cost.queued.0.saturating_mul(1000),
            prompt_eval_count: cost.prompt_tokens,
            prompt_eval_duration: cost.prefill.0.saturating_mul(1000),
            eval_count: voice.map_or(0, |voice| voice.delivered),
            eval_duration: cost.decode.0.saturating_mul(1000),
            hither: voice.and_then(Tail::of),
        }
    }
}

fn form<'a>(call: &'a ToolCall, chorus: &Chorus) -> Result<CallForm<'a>, Problem> {
    let arguments = serde_json::from_str(&call.arguments).map_err(|error| {
        let text = format!("the model called {} with arguments that are not JSON: {error}", call.name);
        let problem = Problem::new(Code::EngineFailed, text);
        chorus.voices().first().map_or(problem.clone(), |voice| voice.serving.name(problem))
    })?;
    Ok(CallForm { id: &call.id, function: FunctionForm { name: &call.name, arguments } })
}

impl Teller for Lines {
    fn tell(&mut self, _index: usize, heard: Heard, chorus: &Chorus) -> Result<String, Problem> {
        let (text, calls, logprobs) = match heard {
            Heard::Tokens(Tokens { text, chances, calls, .. }) => (text, calls, places(&chances)),
            Heard::End(End { reason, text, calls }) => {
                self.reason = Some(reason);
                (text, calls, Vec::new())
            }
        };
        if text.is_empty() && calls.is_empty() && logprobs.is_empty() {
            return Ok(String::new());
        }
        Ok(self.line(&text, &calls, logprobs, None, chorus)? + "\n")
    }

    fn close(&mut self, chorus: &Chorus) -> String {
        let line = self.line("", &[], Vec::new(), Some(self.end(chorus)), chorus);
        line.unwrap_or_else(|problem| Form::Ollama.body(&problem)) + "\n"
    }

    fn fail(&mut self, problem: &Problem, _: &Chorus) -> String {
        Form::Ollama.body(problem) + "\n"
    }
}
