//! The client's side: a server outside the mesh that speaks OpenAI's API or the Open Inference Protocol, asked with work in
//! this program's own words.
//!
//! What must stay true: the key appears in no error, log or `Debug`; what the server says is bounded in memory; an answer
//! that did not end is told from one that did; only what was cleared is sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hither_types::trace::TraceParent;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::limits::{ENDPOINT_ERROR, ENDPOINT_IDLE, ENDPOINT_IDLE_MAX};
use crate::oip::JSON_LENGTH;

mod answer;
mod ask;
mod clear;
mod pin;
mod reader;
mod tensors;
#[cfg(test)]
mod tests;
mod train;

use pin::{OtherKey, Pinned};

pub use answer::{Answering, Totals, UNKNOWN_TOKEN};
pub use clear::{Cleared, Filter, OnFinding, OnUnreadable};
pub use pin::{Pin, PinFault};
pub use reader::Reader;
use train::Outgoing;
pub use train::TrainingThere;

/// Keeps connections for the next request.
type HttpClient = Client<HttpsConnector<HttpConnector>, Outgoing>;

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OpenAI's API: text.
    OpenAi,
    /// The Open Inference Protocol, version 2: tensors.
    Inference,
}

/// Where a server is, and what it wants to see.
#[derive(Clone)]
pub struct Address {
    /// The address before `/v1` or `/v2`, without a slash at its end.
    pub base: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Sent as a bearer token.
    pub key: Option<String>,
    /// Certificates of authorities that are believed beside those of this machine, as PEM.
    pub authorities: Option<Vec<u8>>,
    /// The path that shows whether it lives.
    pub probe: String,
    /// Keys of which it must show one; none if any will do.
    pub pins: Vec<Pin>,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is no address of HTTP.
    #[error("{0:?} is not an address such as https://models.example:8000")]
    Form(String),
    /// The key cannot be sent.
    #[error("the key has characters that no header can carry")]
    Key,
    /// The certificates cannot be read, or none is there.
    #[error("the certificates of authorities cannot be used: {0}")]
    Authorities(String),
}

/// Why a server did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It cannot ever do this work; the text says what it does not do.
    #[error("{0}")]
    Cannot(String),
    /// It says that the request is wrong.
    #[error("it says: {0}")]
    Wrong(String),
    /// It has no room at the moment, for so long if it said.
    #[error("it has no room at the moment")]
    Full(Option<Duration>),
    /// It does not let this node in.
    #[error("it refuses the key (HTTP {0})")]
    Forbidden(u16),
    /// It has no such model, or nothing at all at this address; the text is its own, cut short.
    #[error("it has no such model: {0}")]
    Absent(String),
    /// It shows a key that is not pinned: nothing was sent.
    #[error("{0}")]
    OtherKey(String),
    /// It failed; the text is its own, cut short.
    #[error("it failed: {0}")]
    Failed(String),
    /// There was no way to it, or the connection broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
}

/// A server outside the mesh.
#[derive(Clone)]
pub struct Endpoint {
    client: HttpClient,
    base: String,
    protocol: Protocol,
    /// It takes tensors behind the JSON, as it said.
    binary: Arc<AtomicBool>,
    probe: Uri,
    key: Option<HeaderValue>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}, {})", self.base, if self.key.is_some() { "with a key" } else { "without a key" })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({}, {})", self.base, if self.key.is_some() { "with a key" } else { "without a key" })
    }
}

impl Endpoint {
    /// A server at an address. Nothing is sent yet.
    pub fn new(address: &Address) -> Result<Self, AddressError> {
        let wrong = || AddressError::Form(address.base.clone());
        let base: Uri = address.base.parse().map_err(|_| wrong())?;
        if base.host().is_none_or(str::is_empty) || !matches!(base.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        let probe = format!("{}{}", address.base, address.probe).parse().map_err(|_| wrong())?;
        let key = address.key.as_deref().map(bearer).transpose()?;
        let client = client(address.authorities.as_deref(), &address.pins)?;
        let (base, protocol) = (address.base.clone(), address.protocol);
        Ok(Self { client, base, protocol, binary: Arc::default(), probe, key })
    }

    /// The same server with another key; `None` if that is the one it has. Connections are kept.
    pub fn with_key(&self, key: &str) -> Result<Option<Self>, AddressError> {
        let key = Some(bearer(key)?);
        Ok((key != self.key).then(|| Self { key, ..self.clone() }))
    }

    /// Whether it lives: any answer but an inner error of its gateway will do.
    pub async fn probe(&self, within: Duration) -> Result<(), EndpointError> {
        let request = self.request(Method::GET, self.probe.clone(), None, Bytes::new());
        let silent = || EndpointError::Unreachable(format!("no answer within {} ms", within.as_millis()));
        let response = tokio::time::timeout(within, self.client.request(request)).await.map_err(|_| silent())?;
        let status = response.map_err(|error| unreachable(&error))?.status();
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                Err(EndpointError::Unreachable(format!("HTTP {}", status.as_u16())))
            }
            _ => Ok(()),
        }
    }

    /// Sends work and waits for the head of the answer. `model` is its name there.
    /// `whole`: its pieces need not come one by one.
    pub async fn ask(
        &self,
        model: &str,
        work: &Cleared,
        whole: bool,
        trace: Option<TraceParent>,
    ) -> Result<Answering, EndpointError> {
        let asked = match self.protocol {
            Protocol::OpenAi => ask::render(model, work.work(), whole)?,
            Protocol::Inference => tensors::render(model, work.work(), self.binary.load(Ordering::Relaxed))?,
        };
        let target = format!("{}{}", self.base, asked.path);
        let target = target.parse().map_err(|_| EndpointError::Cannot(format!("{target:?} is no address")))?;
        let mut request = self.request(Method::POST, target, trace, asked.body.into());
        if let Some(length) = asked.json_length {
            request.headers_mut().insert(JSON_LENGTH, length.into());
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        }
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refusal(response).await);
        }
        Ok(Answering::new(response, asked.expects))
    }

    fn request(&self, method: Method, target: Uri, trace: Option<TraceParent>, body: Bytes) -> Request<Outgoing> {
        let mut request = Request::new(Outgoing::whole(body));
        (*request.method_mut(), *request.uri_mut()) = (method, target);
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &self.key {
            headers.insert(AUTHORIZATION, key.clone());
        }
        if let Some(value) = trace.and_then(|trace| HeaderValue::try_from(trace.to_string()).ok()) {
            headers.insert("traceparent", value);
        }
        request
    }
}

fn bearer(key: &str) -> Result<HeaderValue, AddressError> {
    let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| AddressError::Key)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What speaks HTTP and HTTPS. `authorities`: PEM of those that are believed beside those of this machine. `pins`: keys of
/// which each server must show one, if there are any.
fn client(authorities: Option<&[u8]>, pins: &[Pin]) -> Result<HttpClient, AddressError> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(crate::limits::ENDPOINT_CONNECT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(authorities, pins)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(ENDPOINT_IDLE)
        .pool_max_idle_per_host(ENDPOINT_IDLE_MAX)
        .build(connector))
}

fn tls(authorities: Option<&[u8]>, pins: &[Pin]) -> Result<rustls::ClientConfig, AddressError> {
    let bad = |text: String| AddressError::Authorities(text);
    let extra = CertificateDer::pem_slice_iter(authorities.unwrap_or_default())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(error.to_string()))?;
    if authorities.is_some() && extra.is_empty() {
        return Err(bad("there is none in the file".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let own = extra.clone();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|error| bad(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match pins {
        [] => Arc::new(verifier),
        pins => {
            let algorithms = provider.signature_verification_algorithms;
            Arc::new(Pinned::new(Arc::new(verifier), pins.to_vec(), own, algorithms))
        }
    };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn unreachable(error: &hyper_util::client::legacy::Error) -> EndpointError {
    use std::error::Error;
    if let Some(other) = OtherKey::among(error) {
        return EndpointError::OtherKey(other.to_string());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    EndpointError::Unreachable(text)
}

/// What a status other than 200 means to whoever asked.
async fn refusal(response: Response<Incoming>) -> EndpointError {
    let status = response.status();
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), ENDPOINT_ERROR).collect().await;
    let said = body.map(|body| answer::error_text(&body.to_bytes())).unwrap_or_default();
    let said = if said.is_empty() { format!("HTTP {}", status.as_u16()) } else { said };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => EndpointError::Forbidden(status.as_u16()),
        StatusCode::NOT_FOUND => EndpointError::Absent(said),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            EndpointError::Full(seconds.map(Duration::from_secs))
        }
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            EndpointError::Wrong(said)
        }
        _ => EndpointError::Failed(format!("HTTP {}: {said}", status.as_u16())),
    }
}
