//! The dashboard: three files inside the program, nothing from outside, nothing built.

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};

use crate::respond;
use crate::routes::App;

#[cfg(test)]
mod tests;

const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(|| async { file("text/html; charset=utf-8", include_str!("../dashboard/index.html")) }))
        .route("/app.js", get(|| async { file("text/javascript; charset=utf-8", include_str!("../dashboard/app.js")) }))
        .route("/style.css", get(|| async { file("text/css; charset=utf-8", include_str!("../dashboard/style.css")) }))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let mut response = respond::text(content_type, text);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
