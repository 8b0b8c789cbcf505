//! An answer as server-sent events. The first chunk is written when the first token exists, not before.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use hither_engine::work::{Account, FinishReason, Piece, ToolCall};
use serde::Serialize;

use super::chances::{self, ChancesForm};
use super::{Beside, CallForm, Head, Kind, Usage, finish, tensors_came};
use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::respond::{Form, quality, write};
use crate::serving::{Next, Serving};

/// What the client wants beside the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wishes {
    /// A chunk with the count of tokens at the end.
    pub(super) include_usage: bool,
    /// The token ids of each piece.
    pub(super) with_ids: bool,
}

/// The events of one answer. Dropping the body cancels the request.
pub(super) fn body(serving: Serving, first: Next, head: Head, wishes: Wishes) -> Body {
    let account = Account::default();
    let teller =
        Teller { serving, head, wishes, delivered: 0, called: 0, offset: 0, account, begun: false, ended: false };
    Body::from_stream(stream::unfold(Some((teller, Some(first))), |state| async move {
        let (mut teller, mut first) = state?;
        loop {
            let next = match first.take() {
                Some(next) => Ok(next),
                None => teller.serving.next().await,
            };
            match teller.tell(next) {
                Told::More(said) if said.is_empty() => {}
                Told::More(said) => return Some((Ok::<_, Infallible>(Bytes::from(said)), Some((teller, None)))),
                Told::Last(said) => return Some((Ok(Bytes::from(said)), None)),
            }
        }
    }))
}

enum Told {
    More(String),
    Last(String),
}

struct Teller {
    serving: Serving,
    head: Head,
    wishes: Wishes,
    delivered: usize,
    /// Calls of tools so far.
    called: usize,
    /// Characters so far of whose chances was told.
    offset: usize,
    account: Account,
    begun: bool,
    ended: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
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
struct Choice<'a> {
    index: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<Delta<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    logprobs: Option<ChancesForm>,
    finish_reason: Option<&'static str>,
}

#[derive(Serialize)]
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

#[derive(Serialize)]
struct Tail<'a> {
    request: String,
    served_by: Option<&'a str>,
    jurisdiction: Option<String>,
    rule: Option<&'a str>,
    model: &'a str,
    digest: Option<String>,
    quality: &'static str,
    attempts: u8,
    migrations: u8,
    egress_bytes: u64,
    queue_us: u64,
    prefill_us: u64,
    decode_us: u64,
    prompt_tokens: u32,
    output_tokens: usize,
    energy_mj: u64,
}

impl Teller {
    fn tell(&mut self, next: Result<Next, Problem>) -> Told {
        match next {
            Ok(Next::Piece(Piece::Tokens { first, ids, text, chances, calls })) => {
                self.delivered += ids.len();
                let is_silent = text.is_empty() && calls.is_empty() && chances.is_empty();
                if is_silent && self.begun && !self.wishes.with_ids {
                    return Told::More(String::new());
                }
                let hither = self.wishes.with_ids.then_some(Beside::ids(first, &ids));
                let logprobs = chances::form(&chances, self.head.kind, &mut self.offset);
                let content = (calls.is_empty() || !text.is_empty()).then_some(text.as_str());
                Told::More(self.choice(Saying { content, calls: &calls, logprobs, hither, finish_reason: None }))
            }
            Ok(Next::Piece(Piece::End { reason, text, calls, account })) => {
                self.account = account;
                Told::More(self.end(reason, &text, &calls))
            }
            Ok(Next::Piece(Piece::Outputs(_))) => Told::Last(failed(&self.serving.name(tensors_came()))),
            Ok(Next::Done(summary)) if self.ended => Told::Last(self.close(&summary)),
            Ok(Next::Done(_)) => {
                let endless = Problem::new(Code::EngineFailed, "the engine ended without an end");
                Told::Last(failed(&self.serving.name(endless)))
            }
            Err(problem) => Told::Last(failed(&problem)),
        }
    }

    fn end(&mut self, reason: FinishReason, text: &str, calls: &[ToolCall]) -> String {
        self.ended = true;
        let mut said = String::new();
        if !text.is_empty() || !calls.is_empty() {
            let content = (!text.is_empty()).then_some(text);
            said.push_str(&self.choice(Saying { content, calls, ..Saying::default() }));
        }
        let hither = Beside::dropped(self.account);
        said.push_str(&self.choice(Saying { finish_reason: Some(finish(reason)), hither, ..Saying::default() }));
        said
    }

    fn choice(&mut self, saying: Saying<'_>) -> String {
        let Saying { content, calls, logprobs, finish_reason, hither } = saying;
        let from = self.called;
        self.called += calls.len();
        let numbered = (from..).zip(calls);
        let tool_calls = numbered.map(|(at, call)| CallForm { index: Some(at), ..self.head.call(at, call) }).collect();
        let role = (!self.begun).then_some("assistant");
        self.begun = true;
        let (delta, text) = match self.head.kind {
            Kind::Chat => (Some(Delta { role, content, tool_calls }), None),
            Kind::Text => (None, Some(content.unwrap_or_default())),
        };
        let usage = self.wishes.include_usage.then_some(None);
        self.chunk(&[Choice { index: 0, delta, text, logprobs, finish_reason }], usage, hither)
    }

    fn chunk(&self, choices: &[Choice<'_>], usage: Option<Option<Usage>>, hither: Option<Beside<'_>>) -> String {
        let object = match self.head.kind {
            Kind::Chat => "chat.completion.chunk",
            Kind::Text => "text_completion",
        };
        let Head { id, created, .. } = &self.head;
        let model = self.serving.model().name.as_str();
        let chunk = Chunk { id, object, created: *created, model, choices, usage, hither };
        format!("data: {}\n\n", write(&chunk))
    }

    fn close(&self, summary: &Summary) -> String {
        let mut said = String::new();
        if self.wishes.include_usage {
            let usage = Usage::new(summary, self.account, self.delivered);
            said.push_str(&self.chunk(&[], Some(Some(usage)), None));
        }
        let route = self.serving.route.as_ref();
        let model = self.serving.model();
        let tail = Tail {
            request: self.serving.request.to_string(),
            served_by: route.map(|route| route.served_by.site.as_str()),
            jurisdiction: route.map(|route| route.served_by.jurisdiction.to_string()),
            rule: route.map(|route| route.rule.as_str()),
            model: model.name.as_str(),
            digest: model.digest.map(|digest| digest.to_string()),
            quality: quality(self.serving.quality()),
            attempts: summary.attempts,
            migrations: summary.migrations,
            egress_bytes: summary.egress.0,
            queue_us: summary.cost.queued.0,
            prefill_us: summary.cost.prefill.0,
            decode_us: summary.cost.decode.0,
            prompt_tokens: summary.cost.prompt_tokens,
            output_tokens: self.delivered,
            energy_mj: summary.cost.energy.0,
        };
        said.push_str(&format!(": hither {}\n\ndata: [DONE]\n\n", write(&tail)));
        said
    }
}

fn failed(problem: &Problem) -> String {
    format!("data: {}\n\n", Form::OpenAi.body(problem))
}
