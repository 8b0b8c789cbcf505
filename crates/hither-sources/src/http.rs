//! One request over HTTP or HTTPS, with its redirects; and the patience for several.
//!
//! What must stay true: a redirect never leaves its scheme, and takes no secret to another origin; waiting is bounded at
//! every step. Redirects are RFC 9110, 15.4; `Retry-After` is 10.2.3 there, in seconds, as hubs and registries send it.

use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use url::{Position, Url};

use crate::error::FetchError;
use crate::limits;
use crate::progress::{Meter, Stage};
use crate::secret::Credential;
use crate::source::{is_allowed, place_of};

mod body;

pub(crate) use body::Reader;

type HttpClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// What speaks HTTP. Until something is asked, nothing is read or opened for it.
#[derive(Debug)]
pub(crate) struct Web {
    authorities: Option<Vec<u8>>,
    client: OnceLock<HttpClient>,
}

/// How far redirects are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To wherever they lead.
    Anywhere,
    /// Only on the same origin; one that leads away is the answer.
    Origin,
}

/// A request without a body.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) credential: Option<Credential>,
    pub(crate) reach: Reach,
}

impl Ask {
    /// A GET that follows redirects.
    pub(crate) fn get(url: Url, credential: Option<Credential>) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), credential, reach: Reach::Anywhere }
    }
}

/// The head of an answer, and from where it came at last.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Incoming,
    pub(crate) place: String,
}

impl Answer {
    /// A short body, in full.
    pub(crate) async fn document(self) -> Result<Bytes, FetchError> {
        let broken = |text: String| FetchError::Unreachable { place: self.place.clone(), text };
        let body = Limited::new(self.body, limits::DOCUMENT).collect();
        let collected =
            tokio::time::timeout(limits::HEAD, body).await.map_err(|_| silent(&self.place, limits::HEAD))?;
        match collected {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let text = format!("a description of more than {} MiB came", limits::DOCUMENT >> 20);
                Err(FetchError::Answer { place: self.place.clone(), text })
            }
            Err(error) => Err(broken(error.to_string())),
        }
    }
}

impl Web {
    pub(crate) fn new(authorities: Option<Vec<u8>>) -> Self {
        Self { authorities, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&HttpClient, FetchError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = client(self.authorities.as_deref()).map_err(FetchError::Tls)?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Asks once, and follows redirects. A status is for the caller to judge, but those that pass are errors already.
    pub(crate) async fn ask(&self, ask: &Ask) -> Result<Answer, FetchError> {
        let client = self.client()?;
        let mut url = ask.url.clone();
        for _ in 0..=limits::REDIRECTS {
            let place = place_of(&url);
            let request = client.request(request(ask, &url)?);
            let response = tokio::time::timeout(limits::HEAD, request).await;
            let response = response.map_err(|_| silent(&place, limits::HEAD))?;
            let response = response.map_err(|error| unreachable(&place, &error))?;
            let Some(next) = next(&url, &response)? else { return answer(place, response) };
            if ask.reach == Reach::Origin && next.origin() != url.origin() {
                return answer(place, response);
            }
            url = next;
        }
        Err(FetchError::Redirects(place_of(&ask.url)))
    }

    /// Asks until there is an answer, or the patience is at its end.
    pub(crate) async fn ask_patiently(&self, ask: &Ask, meter: &Meter<'_>) -> Result<Answer, FetchError> {
        let mut patience = Patience::default();
        loop {
            match self.ask(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => patience.wait(error, meter).await?,
            }
        }
    }
}

fn request(ask: &Ask, url: &Url) -> Result<Request<Empty<Bytes>>, FetchError> {
    let text = &url[..Position::AfterQuery];
    let wrong = |_| FetchError::Answer { place: place_of(url), text: "it redirects to what is no address".to_owned() };
    let mut request = Request::new(Empty::new());
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = text.parse::<Uri>().map_err(wrong)?;
    let headers = request.headers_mut();
    headers.extend(ask.headers.clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hither/", env!("CARGO_PKG_VERSION"))));
    // A compressed body has other lengths and other checksums than the file.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(value) = ask.credential.as_ref().and_then(|credential| credential.header_for(url)) {
        headers.insert(AUTHORIZATION, value.clone());
    }
    Ok(request)
}

/// Where an answer redirects to, if it does and that is allowed.
fn next(url: &Url, response: &Response<Incoming>) -> Result<Option<Url>, FetchError> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let place = place_of(url);
    let wrong = || FetchError::Answer { place: place.clone(), text: "it redirects to what is no address".to_owned() };
    let next = location.to_str().ok().and_then(|text| url.join(text).ok()).ok_or_else(wrong)?;
    if next.scheme() != url.scheme() || !is_allowed(&next) {
        let to = format!("{}://{}", next.scheme(), place_of(&next));
        return Err(FetchError::Downgrade { from: place, to });
    }
    if !next.username().is_empty() || next.password().is_some() {
        return Err(wrong());
    }
    Ok(Some(next))
}

fn answer(place: String, response: Response<Incoming>) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    if matches!(head.status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504) {
        let seconds = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let after = seconds.map(Duration::from_secs);
        return Err(FetchError::Busy { place, status: head.status.as_u16(), after });
    }
    Ok(Answer { status: head.status, headers: head.headers, body, place })
}

fn silent(place: &str, within: Duration) -> FetchError {
    FetchError::Silent { place: place.to_owned(), bytes: 1, within }
}

fn unreachable(place: &str, error: &hyper_util::client::legacy::Error) -> FetchError {
    if let Some(rustls::Error::InvalidCertificate(why)) = tls_fault(error) {
        return FetchError::Certificate { place: place.to_owned(), text: why.to_string() };
    }
    let mut inner: &dyn Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    FetchError::Unreachable { place: place.to_owned(), text: inner.to_string() }
}

/// What TLS says, however deep it lies. An error of input and output hides the one inside it from `source`.
fn tls_fault<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let hidden = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.downcast_ref().or_else(|| tls_fault(hidden?)).or_else(|| tls_fault(error.source()?))
}

fn client(authorities: Option<&[u8]>) -> Result<HttpClient, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(limits::CONNECT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls(authorities)?)
        // Which addresses may be plain is held by `is_allowed`, at the door and at each redirect.
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(limits::IDLE)
        .pool_max_idle_per_host(limits::IDLE_MAX)
        .build(connector))
}

/// TLS with the authorities of this machine, and with those that are given as PEM.
fn tls(authorities: Option<&[u8]>) -> Result<rustls::ClientConfig, String> {
    let extra = CertificateDer::pem_slice_iter(authorities.unwrap_or_default())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra, Arc::clone(&provider))
        .map_err(|error| error.to_string())?;
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// Counts failures in a row, and pauses after each.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    failures: u32,
}

impl Patience {
    /// Forgets what failed, after progress.
    pub(crate) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Pauses after an error that may pass, twice as long each time, or as long as the server asks.
    ///
    /// # Errors
    ///
    /// The error itself, if it does not pass or came too often.
    pub(crate) async fn wait(&mut self, error: FetchError, meter: &Meter<'_>) -> Result<(), FetchError> {
        let doublings = self.failures;
        self.failures += 1;
        if !error.passes() || self.failures >= limits::FAILURES {
            return Err(error);
        }
        let own = limits::PAUSE.saturating_mul(1 << doublings).min(limits::PAUSE_MAX);
        let pause = match &error {
            FetchError::Busy { place, after: Some(after), .. } if *after > limits::RETRY_AFTER_MAX => {
                return Err(FetchError::Later { place: place.clone(), after: *after });
            }
            FetchError::Busy { after: Some(after), .. } => own.max(*after),
            _ => own,
        };
        tracing::debug!(%error, ?pause, "a fetch waits");
        meter.stage(Stage::Waiting);
        tokio::time::sleep(pause).await;
        meter.stage(Stage::Asking);
        Ok(())
    }
}
