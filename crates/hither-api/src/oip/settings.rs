//! What clients of the protocol look at and this node does not let them change: tracing, logging, shared memory.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::{TargetPath, find, wrong};
use crate::errors::{Code, Problem};
use crate::respond;
use crate::routes::App;

/// Tracing as the protocol names it: it is off.
pub(crate) const TRACE: [(&str, &str); 5] =
    [("trace_rate", "0"), ("trace_count", "0"), ("log_frequency", "0"), ("trace_file", ""), ("trace_mode", "triton")];

/// Which lines of the log the protocol's names stand for; all go to standard error.
pub(crate) const LOG: [(&str, bool); 3] = [("log_info", true), ("log_warning", true), ("log_error", true)];

/// `GET /v2/trace/setting`.
pub(super) async fn trace() -> Response {
    let mut settings = serde_json::Map::from_iter(TRACE.map(|(name, value)| (name.to_owned(), json!(value))));
    settings.insert("trace_level".to_owned(), json!(["OFF"]));
    respond::json(&settings)
}

/// `GET /v2/models/{model}/trace/setting`.
pub(super) async fn trace_of_model(State(app): State<App>, target: TargetPath) -> Response {
    match find(&app, target) {
        Ok(_) => trace().await,
        Err(problem) => wrong(problem),
    }
}

/// `GET /v2/logging`.
pub(super) async fn logging() -> Response {
    let mut settings = serde_json::Map::from_iter(LOG.map(|(name, value)| (name.to_owned(), json!(value))));
    settings.insert("log_file".to_owned(), json!(""));
    settings.insert("log_verbose_level".to_owned(), json!(0));
    settings.insert("log_format".to_owned(), json!("default"));
    respond::json(&settings)
}

/// A setting that is asked to change.
pub(crate) fn fixed(what: &str) -> Problem {
    Problem::new(Code::NotOffered, format!("{what} cannot be changed by a request"))
        .help("the log of the node is set by the environment that it is started in: RUST_LOG=debug hither up")
}

/// Shared memory that a client wants to bring.
pub(crate) fn no_sharing() -> Problem {
    Problem::new(Code::NotOffered, "this node shares no memory with its clients: models run in processes of their own")
        .help("send the elements in the request itself")
}

/// `POST` to a setting.
pub(super) async fn change() -> Response {
    wrong(fixed("this setting"))
}

/// `GET` of the regions that are shared: there are none.
pub(super) async fn no_regions() -> Response {
    respond::json(&json!([]))
}

/// `POST` of a region to share, or not to share any more.
pub(super) async fn share() -> Response {
    wrong(no_sharing())
}
