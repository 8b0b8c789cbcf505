//! What is served, for programs (`/openapi.json`) and for people (`/docs`): inside the program, nothing from outside.
//!
//! What must stay true: the description is made from the types that are written and the bounds that are checked, and a
//! test compares its paths with those that are served. It needs no key: it is the same at every node and holds nothing of
//! this one, and who is refused for want of a key must be able to read why.

use axum::response::Response;
use axum::routing::get;

use crate::dashboard::file;
use crate::respond;
use crate::routes::Routes;

#[cfg(test)]
mod describe;
mod errors;
#[cfg(test)]
mod tests;

/// The description, as `tests` makes it and holds it.
const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/openapi.json", get(description))
        .route("/docs", get(|| async { file(HTML, include_str!("../docs/index.html")) }))
        .route("/docs/docs.js", get(|| async { file(SCRIPT, include_str!("../docs/docs.js")) }))
        .route("/docs/docs.css", get(|| async { file(STYLE, include_str!("../docs/docs.css")) }))
        .route("/docs/errors", get(|| async { file(HTML, errors::page()) }))
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Whether a path says nothing but how this program is used.
pub(crate) fn is_manual(path: &str) -> bool {
    path == "/openapi.json" || path == "/docs" || path.starts_with("/docs/") || path == "/style.css"
}

async fn description() -> Response {
    respond::text("application/json", DESCRIPTION)
}
