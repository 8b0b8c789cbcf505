//! An answer as server-sent events. The first chunk is written when the first token exists, not before.

use hither_engine::work::ToolCall;
use serde::Serialize;

use super::Kind;
use super::chances::{self, ChancesForm};
use super::forms::{Beside, CallForm, Head, Usage, finish};
use super::parse::Counts;
use crate::chorus::{Chorus, End, Heard, Teller, Tokens};
use crate::errors::Problem;
use crate::respond::{Form, write};
use crate::tail::comments;

/// The chunks of chats and completions.
pub(super) struct Events {
    head: Head,
    counts: Counts,
    /// How far each text is.
    texts: Vec<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Calls of tools so far.
    called: usize,
    /// Characters so far of whose chances was told.
    offset: usize,
    begun: bool,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CompletionChunk"))]
pub(crate) struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hither: Option<Beside<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ChunkChoice"))]
struct Choice<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    logprobs: Option<ChancesForm>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Delta"))]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallForm<'a>>,
}

/// What one chunk says.
#[derive(Default)]
struct Saying<'a> {
    content: Option<&'a str>,
    calls: &'a [ToolCall],
    logprobs: Option<ChancesForm>,
    finish_reason: Option<&'static str>,
    hither: Option<Beside<'a>>,
}

impl Events {
    pub(super) fn new(head: Head, counts: Counts) -> Self {
        Self { head, counts, texts: Vec::new() }
    }

    fn tokens(&mut self, index: usize, tokens: &Tokens, chorus: &Chorus) -> String {
        let Tokens { first, ids, text, chances, calls } = tokens;
        let is_silent = text.is_empty() && calls.is_empty() && chances.is_empty();
        if is_silent && self.texts[index].begun && !self.head.with_ids {
            return String::new();
        }
        let hither = self.head.with_ids.then_some(Beside::ids(*first, ids));
        let logprobs = chances::form(chances, self.head.kind, &mut self.texts[index].offset);
        let content = (calls.is_empty() || !text.is_empty()).then_some(text.as_str());
        self.choice(index, Saying { content, calls, logprobs, hither, finish_reason: None }, chorus)
    }

    fn end(&mut self, index: usize, end: &End, chorus: &Chorus) -> String {
        let mut said = String::new();
        if !end.text.is_empty() || !end.calls.is_empty() {
            let content = (!end.text.is_empty()).then_some(end.text.as_str());
            said.push_str(&self.choice(index, Saying { content, calls: &end.calls, ..Saying::default() }, chorus));
        }
        let hither = chorus.voices().get(index).and_then(Beside::dropped);
        let finish_reason = Some(finish(end.reason));
        said.push_str(&self.choice(index, Saying { finish_reason, hither, ..Saying::default() }, chorus));
        said
    }

    fn choice(&mut self, index: usize, saying: Saying<'_>, chorus: &Chorus) -> String {
        let Saying { content, calls, logprobs, finish_reason, hither } = saying;
        let progress = &mut self.texts[index];
        let from = progress.called;
        progress.called += calls.len();
        let is_first = !std::mem::replace(&mut progress.begun, true);
        let numbered = (from..).zip(calls);
        let tool_calls = numbered.map(|(at, call)| CallForm::new(call, Some(at))).collect();
        let role = is_first.then_some("assistant");
        let (delta, text) = match self.head.kind {
            Kind::Chat => (Some(Delta { role, content, tool_calls }), None),
            Kind::Text => {
                let echo = if is_first { self.head.echo(index) } else { "" };
                (None, Some([echo, content.unwrap_or_default()].concat()))
            }
        };
        let usage = self.counts.at_the_end.then(|| self.counts.all_along.then(|| Usage::so_far(chorus)));
        self.chunk(&[Choice { index, delta, text, logprobs, finish_reason }], usage, hither, chorus)
    }

    fn chunk(
        &self,
        choices: &[Choice<'_>],
        usage: Option<Option<Usage>>,
        hither: Option<Beside<'_>>,
        chorus: &Chorus,
    ) -> String {
        let object = match self.head.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Text => "text_completion",
        };
        let Head { id, created, .. } = &self.head;
        let at = choices.first().map_or(0, |choice| choice.index);
        let model = chorus.voices().get(at).map_or("", |voice| voice.serving.model().name.as_str());
        let chunk = Chunk { id, object, created: *created, model, choices, usage, hither };
        format!("data: {}\n\n", write(&chunk))
    }
}

impl Teller for Events {
    fn tell(&mut self, index: usize, heard: Heard, chorus: &Chorus) -> Result<String, Problem> {
        if self.texts.len() <= index {
            self.texts.resize_with(index + 1, Progress::default);
        }
        Ok(match heard {
            Heard::Tokens(tokens) => self.tokens(index, &tokens, chorus),
            Heard::End(end) => self.end(index, &end, chorus),
        })
    }

    fn close(&mut self, chorus: &Chorus) -> String {
        let mut said = String::new();
        if self.counts.at_the_end {
            said.push_str(&self.chunk(&[], Some(Some(Usage::new(chorus, &self.head))), None, chorus));
        }
        said.push_str(&comments(chorus));
        said.push_str("data: [DONE]\n\n");
        said
    }

    fn fail(&mut self, problem: &Problem, _: &Chorus) -> String {
        format!("data: {}\n\n", Form::OpenAi.body(problem))
    }
}
