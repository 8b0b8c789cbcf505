//! The dashboard: three files inside the program, nothing from outside, nothing built.

use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use hyper::HeaderMap;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use crate::ollama;
use crate::respond;
use crate::routes::Routes;

#[cfg(test)]
mod tests;

const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Routes {
    Routes::new()
        .route("/", get(root))
        .route("/app.js", get(|| async { file("text/javascript; charset=utf-8", include_str!("../dashboard/app.js")) }))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", include_str!("../dashboard/style.css")) }))
}

/// A browser says that it takes HTML. Who does not say so looks for a server of Ollama here.
async fn root(headers: HeaderMap) -> Response {
    let takes_html = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("text/html"));
    if headers.get_all(ACCEPT).iter().any(takes_html) {
        return file("text/html; charset=utf-8", include_str!("../dashboard/index.html"));
    }
    respond::text("text/plain; charset=utf-8", ollama::RUNNING)
}

pub(crate) fn file(content_type: &'static str, text: impl Into<Body>) -> Response {
    let mut response = respond::text(content_type, text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
