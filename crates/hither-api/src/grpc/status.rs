//! A problem as gRPC says it: a code, a message, and the rest as metadata.

use axum::body::Body;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::errors::{self, Problem};

/// Whether a request is gRPC, whatever its path.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';']))
}

/// A whole answer that is an error.
pub(crate) fn response(problem: &Problem) -> Response {
    status(problem).into_http::<Body>()
}

/// The status of a problem.
pub(super) fn status(problem: &Problem) -> Status {
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: &str| {
        // What cannot be a header is in the message, too.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("x-hither-code"), &problem.code);
    if let Some(request) = &problem.request {
        set(HeaderName::from_static("x-hither-request"), request);
    }
    if let Some(rule) = &problem.rule {
        set(HeaderName::from_static("x-hither-rule"), rule);
    }
    if let Some(seconds) = problem.retry_after_s {
        set(RETRY_AFTER, &seconds.to_string());
    }
    // What is not there is a method here, not a thing.
    let code =
        if problem.code == errors::Code::UnknownRoute.as_str() { Code::Unimplemented } else { code(problem.status) };
    Status::with_metadata(code, problem.sentence(), MetadataMap::from_headers(headers))
}

/// The code that stands for an HTTP status.
fn code(status: u16) -> Code {
    match status {
        401 => Code::Unauthenticated,
        403 | 451 => Code::PermissionDenied,
        404 => Code::NotFound,
        410 => Code::FailedPrecondition,
        405 | 415 | 501 => Code::Unimplemented,
        408 | 504 => Code::DeadlineExceeded,
        413 => Code::ResourceExhausted,
        // Clients try again upon this code alone.
        429 | 503 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        _ => Code::Internal,
    }
}
