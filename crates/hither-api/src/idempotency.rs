//! `Idempotency-Key` on requests that are answered at once: the same key, from the same app, has the same answer for ten
//! minutes (draft-ietf-httpapi-idempotency-key-header). Jobs have keys of their own, which hold as long as the job.
//!
//! What must stay true: a request runs once under its key, or is refused; what is kept is bounded, in memory alone, and
//! of no class above personal; a key is its app's, and opens no other app's answer.
//!
//! What is kept is what was answered with a 2xx and to its end, streams too: they are given again whole. Whatever was
//! refused, failed or broke off frees its key, for trying again is what the key is for.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::unit::Micros;
use hyper::body::{Frame, SizeHint};
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::labels;
use crate::limits::{KEPT_ANSWER_BYTES, KEPT_BYTES, KEPT_FOR, KEPT_KEYS, KEPT_KEYS_OF_APP, KEPT_SWEEP, KEY_BYTES};
use crate::respond::{self, Form};
use crate::routes::App;
use crate::serve::stopped;

#[cfg(test)]
mod tests;

/// The header.
const NAME: &str = "Idempotency-Key";

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("x-hither-replayed");

/// What a key holds for: everything that a model answers over HTTP.
const ROUTES: [&str; 10] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v2/models/{model}/infer",
    "/v2/models/{model}/versions/{version}/infer",
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
];

/// The key of a request: any visible text, quoted as a structured field or not.
///
/// # Errors
/// The header came twice, or is empty or too long.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let wrong = |text: String| Problem::new(Code::OutOfRange, text).param(NAME);
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(wrong(format!("the header {NAME} came more than once")));
    }
    let text = value.to_str().map(str::trim).unwrap_or_default();
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if bare.is_empty() || bare.len() > KEY_BYTES {
        let text = format!("the header {NAME} takes 1 to {KEY_BYTES} bytes of plain text");
        return Err(wrong(text).help("a UUID is a good key"));
    }
    Ok(Some(bare.to_owned()))
}

/// Serves a request once for each key that it brings; one without a key as ever.
pub(crate) async fn once(app: &App, form: Form, request: Request, next: Next) -> Response {
    let is_ours = |path: &MatchedPath| request.method() == Method::POST && ROUTES.contains(&path.as_str());
    if !request.headers().contains_key(NAME) || !request.extensions().get().is_some_and(is_ours) {
        return next.run(request).await;
    }
    match keyed(app, request).await {
        Ok((Begun::New(ticket), request)) => keep(next.run(request).await, ticket),
        Ok((Begun::Before(answer), _)) => answer.response(),
        Err(problem) => respond::problem(form, &problem),
    }
}

async fn keyed(app: &App, request: Request) -> Result<(Begun, Request), Problem> {
    let (mut parts, body) = request.into_parts();
    let Some(key) = key(&parts.headers)? else { return Err(Problem::new(Code::OutOfRange, "no key")) };
    let class = labels::class(&parts.headers, app.door.unlabelled())?;
    if class > DataClass::Personal {
        let text = format!("answers to data of class {class} are not kept, and a key would need that");
        return Err(Problem::new(Code::NotKeptByLaw, text).help(format!("leave {NAME} out")).param(NAME));
    }
    let whole = app.bodies.read(&parts.headers, body).await?;
    // It is plain from here on, and so is what is kept: who asks again may take other encodings.
    parts.headers.remove(CONTENT_ENCODING);
    parts.headers.remove(ACCEPT_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.bytes.len()));
    let name = Caller::of(&parts.extensions).name().clone();
    let begun = Kept::begin(&app.kept, (name, key), fingerprint(&parts, &whole.bytes), Instant::now())?;
    let body = Body::from(whole.bytes.clone());
    Ok((begun, Request::from_parts(parts, body)))
}

/// What makes two requests the same: where they go, what they say to this node, and the body.
fn fingerprint(parts: &Parts, body: &[u8]) -> blake3::Hash {
    let is_said = |name: &str| name.starts_with("x-hither-") || name == "inference-header-content-length";
    let mut said: Vec<_> = parts.headers.iter().filter(|(name, _)| is_said(name.as_str())).collect();
    said.sort_by_key(|(name, value)| (name.as_str(), value.as_bytes()));
    let mut hasher = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    field(parts.uri.path().as_bytes());
    field(parts.uri.query().unwrap_or_default().as_bytes());
    for (name, value) in said {
        field(name.as_str().as_bytes());
        field(value.as_bytes());
    }
    // Nothing comes after it, so that it cannot be taken for a header.
    field(b"");
    field(body);
    hasher.finalize()
}

type Id = (AppName, String);

/// The answers that are kept.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Table>);

#[derive(Default)]
struct Table {
    apps: BTreeMap<AppName, BTreeMap<String, Entry>>,
    /// What has ended, the oldest first.
    ended: VecDeque<(Instant, Id)>,
    keys: usize,
    bytes: usize,
}

struct Entry {
    request: blake3::Hash,
    state: State,
}

enum State {
    Running,
    Ended(Answer),
    /// It was answered, and there is no room for the answer.
    NoRoom,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    parts: Vec<Bytes>,
}

enum Begun {
    New(Ticket),
    Before(Answer),
}

/// The right to answer under a key. Dropped before the end, the key is free again.
struct Ticket {
    kept: Arc<Kept>,
    id: Option<Id>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            self.kept.table().remove(id);
        }
    }
}

impl Ticket {
    fn end(mut self, state: State) {
        if let Some(id) = self.id.take() {
            self.kept.table().end(id, state, Instant::now());
        }
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        self.parts.iter().map(Bytes::len).sum()
    }

    fn response(self) -> Response {
        let mut response = Response::new(Body::from(self.parts.concat()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl Kept {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(kept: &Arc<Self>, id: Id, request: blake3::Hash, now: Instant) -> Result<Begun, Problem> {
        let mut table = kept.table();
        table.forget(now);
        let found = table.apps.get(&id.0).and_then(|app| app.get(&id.1));
        let Some(Entry { request: before, state }) = found else {
            table.take_in(&id, request, now)?;
            return Ok(Begun::New(Ticket { kept: Arc::clone(kept), id: Some(id) }));
        };
        if *before != request {
            let text = format!("the {NAME} was sent before with another request: another body, path or label");
            return Err(Problem::new(Code::KeyReused, text).help("send a new key with a new request").param(NAME));
        }
        match state {
            State::Ended(answer) => Ok(Begun::Before(answer.clone())),
            State::Running => {
                let text = format!("the first request with this {NAME} is still under way");
                Err(Problem::new(Code::KeyBusy, text)
                    .retry_after(Micros::from_millis(1000))
                    .help("ask again with the same key"))
            }
            State::NoRoom => {
                let text = format!(
                    "the request with this {NAME} was answered, and its answer was too large to be kept (one may have \
                     {KEPT_ANSWER_BYTES} bytes, all together {KEPT_BYTES})"
                );
                Err(Problem::new(Code::AnswerNotKept, text).help("send a new key to have it answered again"))
            }
        }
    }

    /// Forgets what is old. What is left is never given, so this is for the memory alone.
    fn sweep(&self) {
        self.table().forget(Instant::now());
    }
}

impl Table {
    fn take_in(&mut self, (app, key): &Id, request: blake3::Hash, now: Instant) -> Result<(), Problem> {
        let of_app = self.apps.get(app).map_or(0, BTreeMap::len);
        if self.keys >= KEPT_KEYS || of_app >= KEPT_KEYS_OF_APP {
            let text = format!(
                "{of_app} answers are kept for app {app} and {} in all: for {NAME}, {KEPT_KEYS_OF_APP} and {KEPT_KEYS} \
                 at most",
                self.keys
            );
            let oldest = self.ended.front().map_or(KEPT_FOR, |(at, _)| KEPT_FOR.saturating_sub(now - *at));
            let wait = Micros(u64::try_from(oldest.as_micros()).unwrap_or(u64::MAX));
            return Err(Problem::new(Code::Overloaded, text).retry_after(wait).help(format!("leave {NAME} out")));
        }
        self.keys += 1;
        self.apps.entry(app.clone()).or_default().insert(key.clone(), Entry { request, state: State::Running });
        Ok(())
    }

    fn end(&mut self, id: Id, mut state: State, now: Instant) {
        if let State::Ended(answer) = &state {
            let bytes = answer.bytes();
            if bytes > KEPT_ANSWER_BYTES || self.bytes + bytes > KEPT_BYTES {
                state = State::NoRoom;
            } else {
                self.bytes += bytes;
            }
        }
        if let Some(entry) = self.apps.get_mut(&id.0).and_then(|app| app.get_mut(&id.1)) {
            entry.state = state;
            self.ended.push_back((now, id));
        }
    }

    fn remove(&mut self, (app, key): &Id) {
        let Some(of_app) = self.apps.get_mut(app) else { return };
        if let Some(entry) = of_app.remove(key) {
            self.keys -= 1;
            if let State::Ended(answer) = entry.state {
                self.bytes -= answer.bytes();
            }
        }
        if of_app.is_empty() {
            self.apps.remove(app);
        }
    }

    fn forget(&mut self, now: Instant) {
        while let Some((_, id)) = self.ended.pop_front_if(|(at, _)| now.saturating_duration_since(*at) >= KEPT_FOR) {
            self.remove(&id);
        }
    }
}

/// Forgets old answers until the server stops: a node that nobody asks must not keep them.
pub(crate) async fn sweep(kept: Arc<Kept>, mut stop: watch::Receiver<bool>) {
    let mut tick = interval(KEPT_SWEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => return,
            _ = tick.tick() => kept.sweep(),
        }
    }
}

/// Whether a stream broke off after its head, which said that all was well. It travels with the response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Broken(Arc<AtomicBool>);

impl Broken {
    /// It did.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn keep(response: Response, ticket: Ticket) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let answer = Answer { status: parts.status, headers: parts.headers.clone(), parts: Vec::new() };
    let broken = parts.extensions.get::<Broken>().cloned().unwrap_or_default();
    let mut copying = Copying { body, ticket: Some(ticket), answer, bytes: 0, broken };
    copying.end_if_over();
    Response::from_parts(parts, Body::new(copying))
}

/// A body that keeps a copy of what it gave, once it has given all.
struct Copying {
    body: Body,
    ticket: Option<Ticket>,
    answer: Answer,
    bytes: usize,
    broken: Broken,
}

impl Copying {
    fn copy(&mut self, data: &Bytes) {
        self.bytes += data.len();
        if self.bytes <= KEPT_ANSWER_BYTES {
            self.answer.parts.push(data.clone());
        } else {
            self.answer.parts.clear();
        }
    }

    fn end(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        if self.broken.0.load(Ordering::Relaxed) {
            return;
        }
        let Answer { status, headers, parts } = &mut self.answer;
        let answer = Answer { status: *status, headers: std::mem::take(headers), parts: std::mem::take(parts) };
        ticket.end(if self.bytes <= KEPT_ANSWER_BYTES { State::Ended(answer) } else { State::NoRoom });
    }

    /// A server does not ask on once it knows that nothing more comes.
    fn end_if_over(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

impl HttpBody for Copying {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.copy(data);
                }
                self.end_if_over();
            }
            Poll::Ready(None) => self.end(),
            // It broke off, and its key is free.
            Poll::Ready(Some(Err(_))) => self.ticket = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
