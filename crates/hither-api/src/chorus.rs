//! One answer of several texts: each is a request of its own behind the door, and all are heard as one.
//!
//! What must stay true: no more of them run at once than one place has room for, and the first that fails ends all.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hither_engine::work::{Account, Chances, FinishReason, GenerateWork, Piece, ToolCall, Work};
use hither_types::model::{Manifest, ModelIo};
use hither_types::refusal::Refusal;
use hither_types::request::Quality;
use hither_types::unit::Micros;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use crate::body::{Whole, check_depth};
use crate::callers::Caller;
use crate::door::Summary;
use crate::errors::{Code, Problem};
use crate::idempotency::Broken;
use crate::labels::{self, Asked};
use crate::respond::{self, Form};
use crate::routes::App;
use crate::serving::{Next, Serving, cache_scope, manifest};

#[cfg(test)]
mod tests;

/// What is wanted of a model: each text, and what holds for all.
pub(crate) struct Wanted {
    /// One piece of work for each text.
    pub(crate) works: Vec<GenerateWork>,
    /// What tells apart those of one app who may share what was read of a prompt.
    pub(crate) salts: Option<[String; 2]>,
    /// Whether a text may call one tool alone.
    pub(crate) is_one_call: bool,
}

/// Several requests that make one answer. Dropping it cancels them all.
pub(crate) struct Chorus {
    app: App,
    model: Manifest,
    asked: Asked,
    begun: Instant,
    waiting: VecDeque<GenerateWork>,
    voices: Vec<Voice>,
    /// How many run at once.
    room: usize,
    /// Whom to listen to first, so that none is heard before the others each time.
    turn: usize,
    is_one_call: bool,
}

/// One text of the answer.
pub(crate) struct Voice {
    /// The request.
    pub(crate) serving: Serving,
    /// What is known once it is over.
    pub(crate) summary: Option<Summary>,
    /// Tokens delivered so far.
    pub(crate) delivered: usize,
    /// What became of the prompt, known at the end.
    pub(crate) account: Account,
    /// Calls of tools that were left out, because the request wants one at the most.
    pub(crate) dropped_calls: u32,
    calls: usize,
    ended: bool,
}

/// A part of one text.
pub(crate) enum Heard {
    /// Tokens.
    Tokens(Tokens),
    /// Its end.
    End(End),
}

/// Tokens and what they add.
#[derive(Default)]
pub(crate) struct Tokens {
    /// The index of the first of them in its text.
    pub(crate) first: u32,
    /// Their ids.
    pub(crate) ids: Vec<u32>,
    /// The text that they add.
    pub(crate) text: String,
    /// How likely they were.
    pub(crate) chances: Vec<Chances>,
    /// Calls of tools that are complete with them.
    pub(crate) calls: Vec<ToolCall>,
}

/// The end of one text.
pub(crate) struct End {
    /// Why.
    pub(crate) reason: FinishReason,
    /// The text that was held back until now.
    pub(crate) text: String,
    /// Calls of tools that were held back until now.
    pub(crate) calls: Vec<ToolCall>,
}

/// One text of the answer, complete.
#[derive(Default)]
pub(crate) struct Text {
    /// All of it.
    pub(crate) text: String,
    /// The tokens.
    pub(crate) ids: Vec<u32>,
    /// How likely they were.
    pub(crate) chances: Vec<Chances>,
    /// The tools it calls.
    pub(crate) calls: Vec<ToolCall>,
    /// Why it ended; known of every text once all are there.
    pub(crate) reason: Option<FinishReason>,
}

/// One protocol's way of writing an answer as it comes.
pub(crate) trait Teller: Send + 'static {
    /// What is written for a part of the text of this index.
    fn tell(&mut self, index: usize, heard: Heard, chorus: &Chorus) -> Result<String, Problem>;
    /// What is written when all has been said.
    fn close(&mut self, chorus: &Chorus) -> String;
    /// What is written when it breaks off.
    fn fail(&mut self, problem: &Problem, chorus: &Chorus) -> String;
}

/// Reads what every request for text has: its label and its body.
pub(crate) async fn take_in(app: &App, request: Request) -> Result<(HeaderMap, Asked, Whole), Problem> {
    let (parts, body) = request.into_parts();
    let mut asked = labels::read(&parts.headers, Caller::of(&parts.extensions), &*app.door)?;
    let body = app.bodies.read(&parts.headers, body).await?;
    check_depth(&body.bytes)?;
    asked.refer_to(&body.bytes, &*app.door).await;
    Ok((parts.headers, asked, body))
}

/// A model that takes text. `named` is set to its name once the catalog has it.
pub(crate) fn speaker(app: &App, name: &str, named: &mut Option<String>) -> Result<Manifest, Problem> {
    let found = manifest(app, name)?;
    *named = Some(found.name.to_string());
    match found.io {
        ModelIo::Language { .. } => Ok(found),
        ModelIo::Tensors { .. } => {
            let text = format!("model {} takes tensors, not text", found.name);
            Err(Problem::new(Code::WrongKind, text)
                .help(format!("POST /v2/models/{}/infer", found.name))
                .param("model"))
        }
    }
}

/// Counts a request whose model is known, and writes what went wrong in the form of its protocol.
pub(crate) fn conclude(
    app: &App,
    form: Form,
    begun: Instant,
    model: Option<String>,
    result: Result<Response, Problem>,
) -> Response {
    if let Some(model) = model {
        let status = result.as_ref().map_or_else(|problem| problem.status, |response| response.status().as_u16());
        app.metrics.inferred(&model, status, begun.elapsed());
    }
    result.unwrap_or_else(|problem| respond::problem(form, &problem))
}

impl Chorus {
    /// Hands in as many as there is room for; the others follow as these end.
    pub(crate) fn begin(app: &App, model: &Manifest, asked: Asked, wanted: Wanted) -> Result<Self, Problem> {
        let Wanted { mut works, salts, is_one_call } = wanted;
        if works.len() > 1 && asked.quality == Quality::Family {
            let text = "several texts are of one model: x-hither-quality: family takes one text at a time";
            return Err(Problem::new(Code::Unsupported, text).param("x-hither-quality"));
        }
        let scope = cache_scope(asked.app(), asked.label.class, salts.as_ref());
        works.iter_mut().for_each(|work| work.cache = scope);
        let mut chorus = Self {
            app: app.clone(),
            model: model.clone(),
            asked,
            begun: Instant::now(),
            waiting: works.into(),
            voices: Vec::new(),
            room: room(app, model),
            turn: 0,
            is_one_call,
        };
        chorus.fill()?;
        Ok(chorus)
    }

    /// The texts that have begun, in their order.
    pub(crate) fn voices(&self) -> &[Voice] {
        &self.voices
    }

    fn fill(&mut self) -> Result<(), Problem> {
        let running = self.voices.iter().filter(|voice| voice.summary.is_none()).count();
        for _ in running..self.room {
            let Some(work) = self.waiting.pop_front() else { break };
            let spent = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            let patience = match self.asked.patience.0.checked_sub(spent) {
                Some(left) if left > 0 => Micros(left),
                _ => return Err(Problem::from(&Refusal::DeadlinePassed)),
            };
            let asked = Asked { patience, ..self.asked.clone() };
            let serving = Serving::begin(&self.app, &self.model, asked, &Work::Generate(work))?;
            self.voices.push(Voice {
                serving,
                summary: None,
                delivered: 0,
                account: Account::default(),
                dropped_calls: 0,
                calls: 0,
                ended: false,
            });
        }
        Ok(())
    }

    /// Waits for the next part of any text. `None`: all are over.
    pub(crate) async fn next(&mut self) -> Option<Result<(usize, Heard), Problem>> {
        loop {
            if self.voices.iter().all(|voice| voice.summary.is_some()) {
                return None;
            }
            let (index, next) = poll_fn(|context| self.poll(context)).await;
            self.turn = index + 1;
            match next.and_then(|next| self.hear(index, next)) {
                Ok(Some(heard)) => return Some(Ok((index, heard))),
                Ok(None) => {}
                Err(problem) => return Some(Err(problem)),
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<(usize, Result<Next, Problem>)> {
        let count = self.voices.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let voice = &mut self.voices[index];
            if voice.summary.is_none()
                && let Poll::Ready(next) = voice.serving.poll_next(context)
            {
                return Poll::Ready((index, next));
            }
        }
        Poll::Pending
    }

    fn hear(&mut self, index: usize, next: Next) -> Result<Option<Heard>, Problem> {
        let is_one_call = self.is_one_call;
        let voice = &mut self.voices[index];
        match next {
            Next::Piece(Piece::Tokens { first, ids, text, chances, calls }) => {
                voice.delivered += ids.len();
                let calls = voice.calls(calls, is_one_call);
                Ok(Some(Heard::Tokens(Tokens { first, ids, text, chances, calls })))
            }
            Next::Piece(Piece::End { reason, text, calls, account }) => {
                voice.ended = true;
                voice.account = account;
                let calls = voice.calls(calls, is_one_call);
                Ok(Some(Heard::End(End { reason, text, calls })))
            }
            Next::Piece(Piece::Outputs(_)) => Err(voice
                .serving
                .name(Problem::new(Code::EngineFailed, "the engine gave tensors, and text was asked for"))),
            Next::Done(_) if !voice.ended => {
                Err(voice.serving.name(Problem::new(Code::EngineFailed, "the engine ended without an end")))
            }
            Next::Done(summary) => {
                voice.summary = Some(summary);
                self.fill().map(|()| None)
            }
        }
    }

    /// Waits for all of it.
    pub(crate) async fn whole(&mut self) -> Result<Vec<Text>, Problem> {
        let mut texts: Vec<Text> = Vec::new();
        while let Some((index, heard)) = self.next().await.transpose()? {
            texts.resize_with(self.voices.len().max(texts.len()), Text::default);
            let whole = &mut texts[index];
            match heard {
                Heard::Tokens(Tokens { first: _, ids, text, chances, calls }) => {
                    whole.text.push_str(&text);
                    whole.ids.extend(ids);
                    whole.chances.extend(chances);
                    whole.calls.extend(calls);
                }
                Heard::End(End { reason, text, calls }) => {
                    whole.text.push_str(&text);
                    whole.calls.extend(calls);
                    whole.reason = Some(reason);
                }
            }
        }
        Ok(texts)
    }

    /// What all texts took together. Of attempts, the most that one of them needed.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let mut all = self.voices.iter().filter_map(|voice| voice.summary.as_ref());
        let mut sum = all.next()?.clone();
        for Summary { cost, attempts, migrations, egress } in all {
            sum.cost.queued.0 += cost.queued.0;
            sum.cost.prefill.0 += cost.prefill.0;
            sum.cost.decode.0 += cost.decode.0;
            sum.cost.prompt_tokens += cost.prompt_tokens;
            sum.cost.output_tokens += cost.output_tokens;
            sum.cost.answer.0 += cost.answer.0;
            sum.cost.energy.0 += cost.energy.0;
            sum.attempts = sum.attempts.max(*attempts);
            sum.migrations = sum.migrations.saturating_add(*migrations);
            sum.egress.0 += egress.0;
        }
        Some(sum)
    }

    /// Says in the headers where the answer came from, and at what cost if that is known.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap) {
        let servings: Vec<&Serving> = self.voices.iter().map(|voice| &voice.serving).collect();
        respond::set_routes(headers, &servings);
        for serving in servings {
            self.app.metrics.answered(serving);
        }
        if self.waiting.is_empty()
            && self.voices.iter().all(|voice| voice.summary.is_some())
            && let Some(summary) = self.summary()
        {
            respond::set_summary(headers, &summary);
            respond::set_truncated(headers, self.voices.iter().map(|voice| voice.account.dropped_tokens).sum());
        }
    }

    /// The answer as it comes. Its head is written once the first token is there: what fails before that is a status.
    pub(crate) async fn tell(mut self, content_type: &'static str, teller: impl Teller) -> Result<Response, Problem> {
        let first = self.next().await.transpose()?;
        let mut response = respond::text(content_type, "");
        let headers = response.headers_mut();
        self.set_headers(headers);
        headers.insert("cache-control", HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let broken = Broken::default();
        response.extensions_mut().insert(broken.clone());
        *response.body_mut() = body(self, first, teller, broken);
        Ok(response)
    }
}

impl Voice {
    /// Gives calls their ids, which the engine cannot know, and keeps to the number that was wanted.
    fn calls(&mut self, mut calls: Vec<ToolCall>, is_one_call: bool) -> Vec<ToolCall> {
        if is_one_call {
            let kept = calls.len().min(1_usize.saturating_sub(self.calls));
            self.dropped_calls += u32::try_from(calls.len() - kept).unwrap_or(u32::MAX);
            calls.truncate(kept);
        }
        for call in &mut calls {
            call.id = format!("call_{}_{}", self.serving.request, self.calls);
            self.calls += 1;
        }
        calls
    }
}

/// How many streams of a model run at once at the place that has the most room for it; one if nobody says.
fn room(app: &App, model: &Manifest) -> usize {
    let view = app.door.view();
    let view = view.borrow();
    let held = view.nodes.iter().flat_map(|node| &node.models).filter(|held| held.digest == model.digest);
    held.map(|held| usize::from(held.slots)).max().unwrap_or(0).max(1)
}

/// The parts as a body. Dropping it cancels what still runs.
fn body<T: Teller>(chorus: Chorus, first: Option<(usize, Heard)>, teller: T, broken: Broken) -> Body {
    Body::from_stream(stream::unfold(Some((chorus, teller, first, broken)), |state| async move {
        let (mut chorus, mut teller, mut first, broken) = state?;
        loop {
            let next = match first.take() {
                Some(first) => Some(Ok(first)),
                None => chorus.next().await,
            };
            let told = match next {
                None => return Some((Ok::<_, Infallible>(Bytes::from(teller.close(&chorus))), None)),
                Some(next) => next.and_then(|(index, heard)| teller.tell(index, heard, &chorus)),
            };
            match told {
                Ok(said) if said.is_empty() => {}
                Ok(said) => return Some((Ok(Bytes::from(said)), Some((chorus, teller, None, broken)))),
                Err(problem) => {
                    broken.set();
                    return Some((Ok(Bytes::from(teller.fail(&problem, &chorus))), None));
                }
            }
        }
    }))
}
