//! The map of paths, and what holds for all of them: who may knock, and errors in the protocol's own form.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use axum::{RequestExt, Router};
use hither_types::id::ModelName;
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Uri, Version};
use tokio::sync::watch;

use crate::body::{Bodies, lend};
use crate::callers::{Access, Callers, Peer};
use crate::door::Door;
use crate::errors::{Code, Problem};
use crate::idempotency::{self, Kept};
use crate::metrics::{self, Metrics};
use crate::respond::{Form, problem, text};
use crate::tls::Shown;
use crate::{batches, dashboard, grpc, jobs, oip, ollama, openai, openapi, operator, trainings};

mod table;
#[cfg(test)]
mod tests;

pub(crate) use table::Routes;

/// What a client calls its request, given back with the answer.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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
    pub(crate) callers: Arc<Callers>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) listener: Listener,
    pub(crate) stop: watch::Receiver<bool>,
}

/// Everything that is served.
pub(crate) fn router(door: Arc<dyn Door>, listener: Listener, stop: watch::Receiver<bool>) -> Router {
    let app = App::new(door, listener, stop);
    paths(&app).layer(middleware::from_fn_with_state(app.clone(), gate)).with_state(app)
}

/// The same without a gate: for what was let in when it was handed in, and is asked later. Whoever asks says whose it is.
pub(crate) fn inside(door: Arc<dyn Door>, stop: watch::Receiver<bool>) -> Router {
    let app = App::new(door, Listener::Unix, stop);
    paths(&app).with_state(app)
}

impl App {
    fn new(door: Arc<dyn Door>, listener: Listener, stop: watch::Receiver<bool>) -> Self {
        let ((metrics, kept), callers) = (Metrics::of(&door), door.callers());
        Self { door, bodies: Bodies::new(), callers, metrics, kept, listener, stop }
    }
}

/// Everything but gRPC, which describes itself by reflection.
pub(crate) fn described() -> Routes {
    Routes::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics::scrape))
        .merge(dashboard::routes())
        .merge(openapi::routes())
        .merge(oip::routes())
        .merge(openai::routes())
        .merge(ollama::routes())
        .merge(operator::routes())
        .merge(jobs::routes())
        .merge(batches::routes())
        .merge(trainings::routes())
}

fn paths(app: &App) -> Router<App> {
    described().into_router().merge(grpc::routes(app)).fallback(unknown_route).method_not_allowed_fallback(wrong_method)
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
    let form = Form::of(request.uri().path(), request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let named = request.headers().get(REQUEST_ID).cloned();
    // Who asks before sending is told without.
    let (asks_first, version) = (request.headers().contains_key(EXPECT), request.version());
    let (parts, body) = request.into_parts();
    let (body, rest) = lend(body);
    let mut request = Request::from_parts(parts, body);
    let entered = enter(&app, &mut request).await;
    // HTTP/2 ends streams one by one, and one that was let in may be kept open by its client on purpose.
    let breaks = version <= Version::HTTP_11 || entered.is_err();
    let mut response = match entered {
        Ok(()) => idempotency::once(&app, form, request, next).await,
        Err(refused) => {
            drop(request);
            problem(form, &refused)
        }
    };
    let headers = response.headers_mut();
    let is_read = if asks_first { rest.is_empty() } else { !breaks || rest.discard().await };
    if !is_read && version <= Version::HTTP_11 {
        // The connection ends with this answer, and the client must not send its next request over it.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // Who has no name for a request is given the node's.
    if let Some(name) = named.or_else(|| headers.get("x-hither-request").cloned()) {
        headers.insert(REQUEST_ID, name);
    }
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    app.metrics.responded(&method, route, &response, begun.elapsed());
    response
}

/// Finds out who calls and whether they may come in, and writes the caller into the request.
async fn enter(app: &App, request: &mut Request) -> Result<(), Problem> {
    if app.listener == Listener::Tcp {
        knock(app.callers.access(), request.uri(), request.headers())?;
    }
    let path = request.uri().path();
    if is_health(path) || openapi::is_manual(path) {
        request.extensions_mut().insert(app.callers.anonymous());
        return Ok(());
    }
    let peer = request.extensions().get::<Peer>().copied();
    if is_command(request.method(), path) {
        app.callers.may_command(peer)?;
    }
    let shown = request.extensions().get::<Shown>();
    let caller = app.callers.identify(app.listener, request.headers(), peer, shown)?;
    // Every path that names a model names it so; what is asked of it does not matter.
    if !caller.entry().limits.models.is_empty()
        && let Ok(params) = request.extract_parts::<RawPathParams>().await
        && let Some((_, model)) = params.iter().find(|(name, _)| *name == "model")
        && let Ok(model) = ModelName::parse(model)
    {
        caller.may_use(&model)?;
    }
    request.extensions_mut().insert(caller);
    Ok(())
}

/// What operators alone ask of a node, in whichever protocol.
fn is_command(method: &Method, path: &str) -> bool {
    let roots = [
        "/hither/v1/",
        "/v2/repository/models/",
        "/inference.GRPCInferenceService/RepositoryModel",
        "/api/pull",
        "/api/delete",
    ];
    !matches!(*method, Method::GET | Method::HEAD) && roots.iter().any(|root| path.starts_with(root))
}

/// What tells whether a node lives needs no key, ever: whoever asks has none.
fn is_health(path: &str) -> bool {
    path == "/health"
        || path.starts_with("/v2/health/")
        || path.starts_with("/grpc.health.v1.Health/")
        || matches!(path, "/inference.GRPCInferenceService/ServerLive" | "/inference.GRPCInferenceService/ServerReady")
}

/// A browser on this machine is led here by any page in the world: only names of this node are answered, and only
/// pages that came from here.
fn knock(access: &Access, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = uri.authority().map(|authority| authority.as_str()).or(named).unwrap_or_default();
    let foreign = |text: String| {
        Problem::new(Code::ForeignOrigin, text)
            .help("call it by http://127.0.0.1 or http://localhost, from this machine")
            .help("or name the host under [api] hosts in hither.toml")
    };
    if !is_ours(host, access) {
        return Err(foreign(format!(
            "the request is addressed to the host {host:?}, which is not a name of this node"
        )));
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    // https: whoever ends TLS in front of this node keeps the name.
    match origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")) {
        Some(from) if from == host => Ok(()),
        _ => Err(foreign(format!(
            "the request comes from a page of {origin:?}, and only this node's own pages may call"
        ))),
    }
}

/// Whether a host is this node: loopback, the address that is bound, or a name that the configuration gives.
fn is_ours(host: &str, access: &Access) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address: Option<IpAddr> = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(v6) => v6.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    };
    match address {
        // Bound to every address: whichever it came by is one of them. A page cannot make a browser send an address
        // that is not the page's own; what can be pointed anywhere is a name.
        Some(address) => {
            address.is_loopback()
                || access.bound == address
                || access.bound.is_unspecified()
                || access.hosts.iter().any(|host| host.parse() == Ok(address))
        }
        None => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name == "localhost" || (!name.is_empty() && access.hosts.contains(&name))
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
        .help("the paths are /v1 (OpenAI), /v2 (Open Inference Protocol), /api (Ollama), /hither/v1, /metrics, /docs and / (the dashboard)");
    problem(Form::of(path, request.headers()), &unknown)
}

async fn wrong_method(request: Request<Body>) -> Response {
    let path: String = request.uri().path().chars().take(120).collect();
    let wrong = Problem::new(Code::WrongMethod, format!("{path} does not take {}", request.method()))
        .help("the Allow header says what it takes");
    problem(Form::of(&path, request.headers()), &wrong)
}
