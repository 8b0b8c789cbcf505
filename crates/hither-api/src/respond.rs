//! Responses: a problem in the form of its protocol, and the headers that say where an answer came from.

use axum::body::Body;
use axum::response::Response;
use hither_types::request::Quality;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::admin::ProblemDto;
use crate::door::Summary;
use crate::errors::{Code, Nearest, Problem};
use crate::grpc;
use crate::serving::Serving;

#[cfg(test)]
mod tests;

/// Whose form an error takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `{"error": "..."}`.
    Inference,
    /// `{"error": {"message": ...}}`.
    OpenAi,
    /// `{"error": "..."}` and nothing beside it.
    Ollama,
    /// `application/problem+json` (RFC 9457): what speaks no other protocol.
    Own,
    /// A status and metadata, and no body.
    Grpc,
}

impl Form {
    /// By the path, and by what gRPC alone says of itself, so that also what is not found is answered in the caller's
    /// protocol.
    pub(crate) fn of(path: &str, headers: &HeaderMap) -> Self {
        if grpc::is_grpc(headers) {
            return Self::Grpc;
        }
        let under = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if under("/v1/jobs") {
            Self::Own
        } else if under("/v1") {
            Self::OpenAi
        } else if under("/v2") {
            Self::Inference
        } else if under("/api") {
            Self::Ollama
        } else {
            Self::Own
        }
    }

    /// The status of an error, where the protocol has its own mind.
    pub(crate) fn status(self, code: &str, status: u16) -> u16 {
        match self {
            // This protocol has no quotas: too much at the moment is a server that cannot serve now.
            Self::Inference if code == Code::Overloaded.as_str() => 503,
            Self::Inference | Self::OpenAi | Self::Ollama | Self::Own | Self::Grpc => status,
        }
    }

    /// The body of an error.
    pub(crate) fn body(self, problem: &Problem) -> String {
        match self {
            Self::Inference => {
                write(&InferenceError { error: problem.sentence(), code: &problem.code, more: More::of(problem) })
            }
            Self::OpenAi => write(&OpenAiError {
                error: OpenAiErrorInside {
                    message: &problem.message,
                    r#type: openai_type(problem.status),
                    param: problem.param.as_deref(),
                    code: problem.openai_code.as_deref().unwrap_or(&problem.code),
                    hither_code: &problem.code,
                    more: More::of(problem),
                },
            }),
            Self::Ollama => write(&OllamaError { error: problem.sentence() }),
            Self::Own => write(&ProblemDto::from(problem)),
            Self::Grpc => String::new(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ErrorDetails"))]
struct More<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Nearest]>::is_empty")]
    nearest: &'a [Nearest],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    help: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
}

impl<'a> More<'a> {
    fn of(problem: &'a Problem) -> Self {
        Self {
            rule: problem.rule.as_deref(),
            nearest: &problem.nearest,
            help: &problem.help,
            request: problem.request.as_deref(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "InferenceError"))]
pub(crate) struct InferenceError<'a> {
    error: String,
    code: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OllamaError"))]
pub(crate) struct OllamaError {
    error: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OpenAiError"))]
pub(crate) struct OpenAiError<'a> {
    error: OpenAiErrorInside<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OpenAiErrorInside"))]
struct OpenAiErrorInside<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'a str>,
    code: &'a str,
    hither_code: &'a str,
    #[serde(flatten)]
    more: More<'a>,
}

fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        429 => "rate_limit_error",
        403 | 451 => "permission_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// JSON of what is made of text and numbers.
pub(crate) fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers under text keys are always JSON")
}

/// A response with a status and a body.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Names what went wrong, whichever form the body has.
pub(crate) const CODE: &str = "x-hither-code";

/// A 200 with text.
pub(crate) fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    response(StatusCode::OK, content_type, body)
}

/// A 200 with JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    text("application/json", write(value))
}

/// An error in the form of its protocol.
pub(crate) fn problem(form: Form, problem: &Problem) -> Response {
    if form == Form::Grpc {
        return grpc::response(problem);
    }
    let status = form.status(&problem.code, problem.status);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = match form {
        Form::Own => "application/problem+json",
        _ => "application/json",
    };
    let mut response = response(status, content_type, form.body(problem));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, CODE, &problem.code);
    if let Some(seconds) = problem.retry_after_s {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(request) = &problem.request {
        set(headers, "x-hither-request", request);
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6750, section 3.1: a client that refreshes its tokens does so upon this word.
        let is_token = problem.code == Code::WrongToken.as_str();
        let scheme = if is_token { "Bearer error=\"invalid_token\"" } else { "Bearer" };
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        headers.insert("accept-encoding", HeaderValue::from_static("gzip, deflate"));
    }
    response
}

/// Says where an answer came from and which model gave it, as far as it is known when it begins.
pub(crate) fn set_route(headers: &mut HeaderMap, serving: &Serving) {
    set(headers, "x-hither-request", &serving.request.to_string());
    let model = serving.model();
    set(headers, "x-hither-model", model.name.as_str());
    if let Some(digest) = model.digest {
        set(headers, "x-hither-digest", &digest.to_string());
    }
    set(headers, "x-hither-quality", quality(serving.quality()));
    let Some(route) = &serving.route else { return };
    set(headers, "x-hither-served-by", route.served_by.site.as_str());
    set(headers, "x-hither-jurisdiction", &route.served_by.jurisdiction.to_string());
    if let Some(device) = serving.device() {
        set(headers, "x-hither-device", device.as_str());
    }
    set(headers, "x-hither-rule", route.rule.as_str());
    if !route.masked.is_empty() {
        set(headers, "x-hither-masked", &route.masked.to_string());
    }
    set(headers, "x-hither-attempts", &route.attempt.0.to_string());
}

/// Says where each text of an answer came from: a header has what differs, in the order of the texts.
pub(crate) fn set_routes(headers: &mut HeaderMap, servings: &[&Serving]) {
    if let [serving] = servings {
        return set_route(headers, serving);
    }
    let mut all = HeaderMap::new();
    for serving in servings {
        let mut each = HeaderMap::new();
        set_route(&mut each, serving);
        for (name, value) in &each {
            if all.get_all(name).iter().all(|said| said != value) {
                all.append(name.clone(), value.clone());
            }
        }
    }
    for name in all.keys() {
        let values: Vec<&str> = all.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let joined = HeaderValue::from_str(&values.join(", ")).expect("what was a header, joined by commas, is one");
        headers.insert(name.clone(), joined);
    }
}

/// The word for a quality, on requests and on answers.
pub(crate) fn quality(quality: Quality) -> &'static str {
    match quality {
        Quality::Exact => "exact",
        Quality::Family => "family",
    }
}

/// The energy that an answer took.
pub(crate) fn joules(summary: &Summary) -> f64 {
    summary.cost.energy.0 as f64 / 1000.0
}

/// Says how many tokens of the prompt were left out, because the request allowed it.
pub(crate) fn set_truncated(headers: &mut HeaderMap, tokens: u32) {
    if tokens > 0 {
        set(headers, "x-hither-truncated", &tokens.to_string());
    }
}

/// Says what is known only at the end.
pub(crate) fn set_summary(headers: &mut HeaderMap, summary: &Summary) {
    set(headers, "x-hither-attempts", &summary.attempts.to_string());
    set(headers, "x-hither-migrations", &summary.migrations.to_string());
    set(headers, "x-hither-egress-bytes", &summary.egress.0.to_string());
    set(headers, "x-hither-joules", &format!("{:.3}", joules(summary)));
    let cost = &summary.cost;
    let timing = format!(
        "queue;dur={:.3}, prefill;dur={:.3}, decode;dur={:.3}",
        cost.queued.millis(),
        cost.prefill.millis(),
        cost.decode.millis()
    );
    set(headers, "server-timing", &timing);
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let value = HeaderValue::from_str(value).expect("names, numbers and digests are visible ASCII");
    headers.insert(HeaderName::from_static(name), value);
}
