//! The map of paths, and what holds for all of them: who may knock, and errors in the protocol's own form.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use hyper::header::{HOST, ORIGIN};
use hyper::{HeaderMap, Uri};
use tokio::sync::watch;

use crate::body::Bodies;
use crate::door::Door;
use crate::errors::{Code, Problem};
use crate::metrics::{self, Metrics};
use crate::respond::{Form, problem, text};
use crate::{dashboard, jobs, oip, openai, operator};

#[cfg(test)]
mod tests;

/// Which way a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Loopback TCP: any program and any browser on this machine.
    Tcp,
    /// The Unix socket: whoever may open the file.
    Unix,
}

/// What every handler has at hand.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) door: Arc<dyn Door>,
    pub(crate) bodies: Bodies,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) listener: Listener,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Everything that is served.
pub(crate) fn router(door: Arc<dyn Door>, listener: Listener, stop: watch::Receiver<bool>) -> Router {
    let app = App::new(door, listener, stop);
    paths().layer(middleware::from_fn_with_state(app.clone(), gate)).with_state(app)
}

/// The same without a gate: for what was let in when it was handed in, and is asked later.
pub(crate) fn inside(door: Arc<dyn Door>, stop: watch::Receiver<bool>) -> Router {
    paths().with_state(App::new(door, Listener::Unix, stop))
}

impl App {
    fn new(door: Arc<dyn Door>, listener: Listener, stop: watch::Receiver<bool>) -> Self {
        let metrics = Metrics::of(&door);
        Self { door, bodies: Bodies::new(), metrics, listener, stop }
    }
}

fn paths() -> Router<App> {
    Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics::scrape))
        .merge(dashboard::routes())
        .merge(oip::routes())
        .merge(openai::routes())
        .merge(operator::routes())
        .merge(jobs::routes())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
}

/// Serves `/v2/` like `/v2`.
pub(crate) fn normalize(mut request: Request) -> Request {
    let path = request.uri().path();
    let plain = path.trim_end_matches('/');
    if plain.len() == path.len() || plain.is_empty() {
        return request;
    }
    let target = match request.uri().query() {
        Some(query) => format!("{plain}?{query}"),
        None => plain.to_owned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

async fn gate(State(app): State<App>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let form = Form::of(request.uri().path());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let response = match knock(app.listener, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => problem(form, &refused),
    };
    app.metrics.responded(&method, route.as_deref().unwrap_or("other"), response.status(), begun.elapsed());
    response
}

/// A browser on this machine is led here by any page in the world: only names of this machine are answered, and only
/// pages that came from here.
fn knock(listener: Listener, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    if listener == Listener::Unix {
        return Ok(());
    }
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(named).unwrap_or_default();
    let foreign = |text: String| {
        Problem::new(Code::ForeignOrigin, text)
            .help("call it by http://127.0.0.1 or http://localhost, from this machine")
    };
    if !is_loopback(host) {
        return Err(foreign(format!(
            "the request is addressed to the host {host:?}, which is not a name of this machine"
        )));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    match origin.strip_prefix("http://") {
        Some(from) if from == host => Ok(()),
        _ => Err(foreign(format!(
            "the request comes from a page of {origin:?}, and only this node's own pages may call"
        ))),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

async fn health() -> Response {
    text("text/plain; charset=utf-8", "ok\n")
}

async fn unknown_route(request: Request<Body>) -> Response {
    let path = request.uri().path();
    let said: String = path.chars().take(120).collect();
    let unknown = Problem::new(Code::UnknownRoute, format!("there is nothing at {said}"))
        .help("the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /hither/v1, /metrics and / (the dashboard)");
    problem(Form::of(path), &unknown)
}

async fn wrong_method(request: Request<Body>) -> Response {
    let path: String = request.uri().path().chars().take(120).collect();
    let wrong = Problem::new(Code::WrongMethod, format!("{path} does not take {}", request.method()))
        .help("the Allow header says what it takes");
    problem(Form::of(&path), &wrong)
}
