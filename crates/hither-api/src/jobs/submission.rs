//! Reads a submission: what is to be asked, by when, and under which label.
//!
//! What must stay true: what cannot be kept or run is refused here, before anything is on disk; the label is fixed here,
//! and later changes of what is assumed without a label change nothing.

use bytes::Bytes;
use hither_types::id::{AppName, ModelName};
use hither_types::label::Label;
use hither_types::law::Verdict;
use hither_types::time::WallTime;
use hither_types::unit::Micros;
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Ask, NewJob, wall_now};
use crate::body::check_depth;
use crate::callers::Caller;
use crate::door::Door;
use crate::errors::{Code, Problem};
use crate::idempotency;
use crate::labels;
use crate::limits::{JOB_METADATA_BYTES, JOB_SPAN_MAX_S};
use crate::respond;

/// Paths whose answers are whole and depend on nothing but the request.
pub(crate) const PATHS: [&str; 7] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/api/chat",
    "/api/generate",
    "/api/embed",
];

/// Those of them that stream unless they are told not to.
pub(crate) const STREAMING: [&str; 2] = ["/api/chat", "/api/generate"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission<'a> {
    deadline: Option<String>,
    deadline_s: Option<u64>,
    #[serde(borrow)]
    request: RequestForm<'a>,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestForm<'a> {
    method: Option<String>,
    url: String,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// What is looked at in the body of the request; the rest is the path's own business.
#[derive(Deserialize)]
pub(crate) struct Peek {
    /// The model that is asked.
    pub(crate) model: Option<String>,
    /// Whether the answer is to come in pieces.
    pub(crate) stream: Option<bool>,
    /// Whether the answer is to be kept and read later.
    pub(crate) background: Option<bool>,
}

/// Reads it.
pub(super) fn read(caller: &Caller, headers: &HeaderMap, said: Bytes, door: &dyn Door) -> Result<NewJob, Problem> {
    let key = idempotency::key(headers)?;
    let (headers, said_to_be) = label(headers, caller, door)?;
    check_depth(&said)?;
    let form: Submission<'_> = serde_json::from_slice(&said)
        .map_err(|error| Problem::new(Code::Malformed, format!("the job: {error}")).help(FORM))?;
    let deadline = deadline(&form, wall_now())?;
    if form.request.method.as_deref().is_some_and(|method| method != "POST") {
        return Err(wrong("request.method", "a job sends POST requests alone").help("leave request.method out"));
    }
    let body = form.request.body.get();
    let peek: Peek = serde_json::from_str(body).ok().filter(|_| body.starts_with('{')).ok_or_else(|| {
        Problem::new(Code::Malformed, "request.body is not the object that its path takes").param("request.body")
    })?;
    let streams = STREAMING.contains(&form.request.url.as_str());
    if peek.stream.unwrap_or(streams) {
        let text = "the answer of a job is read when it is whole, so it cannot be streamed";
        let help = if streams { "add \"stream\": false" } else { "leave stream out" };
        return Err(Problem::new(Code::Unsupported, text).help(help).param("request.body.stream"));
    }
    if peek.background.unwrap_or(false) {
        let text = "a job is answered in the background already, and what it asks cannot be once more";
        return Err(Problem::new(Code::Unsupported, text)
            .help("leave background out")
            .param("request.body.background"));
    }
    let model = target(&form.request.url, peek.model)?;
    let named = model.as_deref().and_then(|model| ModelName::parse(model).ok());
    if let Some(model) = &named {
        caller.may_use(model)?;
    }
    may_rest(door, caller.name(), named.as_ref(), &said_to_be)?;
    let metadata = match form.metadata.map(RawValue::get) {
        Some(text) if !text.starts_with('{') => return Err(wrong("metadata", "metadata is an object")),
        Some(text) if text.len() > JOB_METADATA_BYTES => {
            return Err(wrong("metadata", format!("metadata has {} bytes, at most {JOB_METADATA_BYTES}", text.len())));
        }
        metadata => metadata.map(str::to_owned),
    };
    let ask = Ask { url: form.request.url, headers, body: Bytes::copy_from_slice(body.as_bytes()) };
    let app = caller.name().clone();
    Ok(NewJob { app, key, said, model, class: said_to_be.class, deadline, ask, metadata })
}

const FORM: &str = "a job is {\"deadline_s\": 3600, \"request\": {\"url\": \"/v1/chat/completions\", \"body\": {…}}}";

fn wrong(param: &str, text: impl Into<String>) -> Problem {
    Problem::new(Code::OutOfRange, text).param(param)
}

/// The headers that are kept with the job: everything that is said to this node, and the label as it is understood now.
pub(crate) fn label(
    headers: &HeaderMap,
    caller: &Caller,
    door: &dyn Door,
) -> Result<(Vec<(String, String)>, Label), Problem> {
    let label = labels::read(headers, caller, door)?.label;
    let mut kept: Vec<(String, String)> = Vec::new();
    for (name, value) in headers {
        let text = value.to_str().ok().filter(|_| name.as_str().starts_with("x-hither-"));
        if let Some(text) = text {
            kept.push((name.as_str().to_owned(), text.to_owned()));
        }
    }
    kept.retain(|(name, _)| name != "x-hither-class" && name != "x-hither-subjects");
    let subjects: Vec<String> = label.subjects.iter().map(ToString::to_string).collect();
    kept.push(("x-hither-class".to_owned(), label.class.as_str().to_owned()));
    kept.push(("x-hither-subjects".to_owned(), subjects.join(",")));
    if !kept.iter().any(|(name, _)| name == "x-hither-priority") {
        // Whoever hands in a job does not wait for it; somebody else does.
        kept.push(("x-hither-priority".to_owned(), "low".to_owned()));
    }
    kept.sort();
    Ok((kept, label))
}

/// Refuses what the law does not let this node keep on its disk.
pub(crate) fn may_rest(
    door: &dyn Door,
    app: &AppName,
    model: Option<&ModelName>,
    label: &Label,
) -> Result<(), Problem> {
    match door.may_keep(app, model, label) {
        Verdict::Permitted(_) => Ok(()),
        Verdict::Denied(denial) => Err(Problem::not_kept(label.class, &denial)),
    }
}

/// The deadline that a header says, as seconds from now or as a time; without one, the farthest that a job may have.
pub(crate) fn deadline_of(header: Option<&HeaderValue>) -> Result<WallTime, Problem> {
    let now = wall_now();
    let Some(header) = header else { return Ok(WallTime(now.0 + JOB_SPAN_MAX_S * 1000)) };
    let text = header.to_str().map(str::trim).unwrap_or_default();
    let (deadline, deadline_s) = match text.parse() {
        Ok(seconds) => (None, Some(seconds)),
        Err(_) => (Some(text.to_owned()), None),
    };
    by(deadline.as_deref(), deadline_s, now).map_err(|problem| {
        problem.help("x-hither-deadline takes both: 3600, or 2026-12-01T18:00:00Z").param("x-hither-deadline")
    })
}

fn deadline(form: &Submission<'_>, now: WallTime) -> Result<WallTime, Problem> {
    by(form.deadline.as_deref(), form.deadline_s, now)
}

fn by(deadline: Option<&str>, deadline_s: Option<u64>, now: WallTime) -> Result<WallTime, Problem> {
    let help = "give deadline_s: seconds from now, or deadline: a time such as 2026-12-01T18:00:00Z";
    let deadline = match (deadline, deadline_s) {
        (None, None) => return Err(wrong("deadline", "a job needs a deadline, and this one has none").help(help)),
        (Some(_), Some(_)) => {
            return Err(wrong("deadline", "the job has both deadline and deadline_s").help("leave one of them out"));
        }
        (None, Some(seconds)) => WallTime(now.0.saturating_add(seconds.saturating_mul(1000))),
        (Some(text), None) => {
            let at: jiff::Timestamp = text.parse().map_err(|_| {
                let said: String = text.chars().take(80).collect();
                wrong("deadline", format!("the deadline {said:?} is not a time of RFC 3339")).help(help)
            })?;
            WallTime(u64::try_from(at.as_millisecond()).unwrap_or(0))
        }
    };
    if deadline <= now {
        let text = format!("the deadline {} has passed", super::forms::time(deadline));
        return Err(wrong("deadline", text).help(help));
    }
    let most = Micros(JOB_SPAN_MAX_S * 1_000_000);
    if deadline.0 - now.0 > JOB_SPAN_MAX_S * 1000 {
        let text = format!("the deadline is more than {} days away", most.0 / 86_400_000_000);
        return Err(wrong("deadline", text).help("give an earlier one, and hand the job in again if need be"));
    }
    Ok(deadline)
}

/// Holds the path against those that a job may ask, and says which model it asks.
fn target(url: &str, named: Option<String>) -> Result<Option<String>, Problem> {
    if PATHS.contains(&url) {
        return Ok(named);
    }
    let inside = url.strip_prefix("/v2/models/").and_then(|rest| rest.strip_suffix("/infer"));
    let model = inside.map(|inside| inside.split_once("/versions/").map_or(inside, |(model, _)| model));
    let plain = model.filter(|model| !model.contains(['/', '?', '#']) && ModelName::parse(&decoded(model)).is_ok());
    match plain {
        Some(model) => Ok(Some(decoded(model))),
        None => {
            let said: String = url.chars().take(120).collect();
            Err(wrong("request.url", format!("a job cannot ask {said:?}"))
                .help(format!("it can ask {} and /v2/models/MODEL/infer", PATHS.join(", "))))
        }
    }
}

/// The model that a job asks, as it is kept.
pub(super) fn model_of(ask: &Ask) -> Option<ModelName> {
    let peek: Option<Peek> = serde_json::from_slice(&ask.body).ok();
    ModelName::parse(&target(&ask.url, peek?.model).ok()??).ok()
}

/// Names have no other character that a path would have to escape.
fn decoded(model: &str) -> String {
    model.replace("%2F", "/").replace("%2f", "/").replace("%3A", ":").replace("%3a", ":")
}

/// The JSON of an answer, if it is some.
pub(crate) fn json_of(content_type: Option<&str>, body: &[u8]) -> Option<Box<RawValue>> {
    let is_json = content_type.is_some_and(|kind| kind.starts_with("application/json"));
    let text = std::str::from_utf8(body).ok().filter(|_| is_json)?;
    RawValue::from_string(text.trim().to_owned()).ok()
}

/// Text as JSON, for what was JSON when it was taken in.
pub(crate) fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned())
        .or_else(|_| RawValue::from_string(respond::write(&text)))
        .expect("a JSON string is JSON")
}
