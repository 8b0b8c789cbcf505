//! HTTPS at the TCP listener: the node's certificate, and whose certificates its clients may show.
//!
//! What must stay true: a certificate that was not signed by the named authorities ends the handshake, and is never
//! taken for none; who shows one is the app that is linked to one of its names, and nobody else.

use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use axum::{Extension, Router};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::limits::{DISCARD_BYTES, DISCARD_READ, HEAD_READ};

#[cfg(test)]
mod tests;

/// The first byte of every handshake (RFC 8446, section 5.1). No request of HTTP begins so.
const HANDSHAKE: u8 = 0x16;

/// What clients without TLS are told.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 72\r\n\
                     Connection: close\r\n\r\nThis port speaks HTTPS alone: begin the address with https://, not http\n";

/// What HTTPS needs.
#[derive(Clone)]
pub struct Identity {
    /// The node's certificate and those between it and its authority, as PEM.
    pub certificates: Vec<u8>,
    /// Its private key, as PEM.
    pub key: Vec<u8>,
    /// The authorities that sign the certificates of clients, as PEM; absent: clients show none.
    pub clients: Option<ClientAuthorities>,
}

/// Who signs the certificates of clients.
#[derive(Clone)]
pub struct ClientAuthorities {
    /// Their own certificates, as PEM.
    pub authorities: Vec<u8>,
    /// Whether a client without a certificate is turned away in the handshake.
    pub required: bool,
}

/// Why HTTPS cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate of the node.
    #[error("the certificate of the node cannot be used: {0}")]
    Certificate(String),
    /// Its key.
    #[error("the key of the node's certificate cannot be used: {0}")]
    Key(String),
    /// The authorities of clients.
    #[error("the authorities of clients cannot be used: {0}")]
    Authorities(String),
}

/// A listener's side of TLS. Clones share what [`Tls::replace`] renews.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<TlsAcceptor>>);

/// The names in a certificate that a client showed: DNS names and URIs of its subject alternative names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown(pub(crate) Arc<[String]>);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads certificates and keys.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(acceptor(identity)?))))
    }

    /// Reads renewed ones, which hold for every handshake from now on. Open connections go on.
    ///
    /// # Errors
    /// As [`Tls::new`]; then the old ones stay.
    pub fn replace(&self, identity: &Identity) -> Result<(), TlsError> {
        let renewed = acceptor(identity)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        Ok(())
    }

    /// Shakes hands. `None`: the client left, was too slow, speaks no TLS, or is not let in.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Option<Shown>)> {
        let acceptor = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let stream = match tokio::time::timeout(HEAD_READ, shake(acceptor, stream)).await {
            Ok(Ok(stream)) => stream?,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                return None;
            }
            Err(_) => {
                tracing::debug!("a handshake took too long");
                return None;
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(names);
        Some((stream, shown))
    }
}

/// The router for one connection: each request says which certificate was shown.
pub(crate) fn with_shown(router: &Router, shown: Option<Shown>) -> Router {
    match shown {
        Some(shown) => Router::new().fallback_service(router.clone()).layer(Extension(shown)),
        None => router.clone(),
    }
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(&identity.certificates).map_err(TlsError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| TlsError::Key(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    let builder = match &identity.clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let bad = |text: String| TlsError::Authorities(text);
            let mut roots = RootCertStore::empty();
            for authority in certificates(&clients.authorities).map_err(bad)? {
                roots.add(authority).map_err(|error| bad(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| bad(error.to_string()))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| TlsError::Certificate(error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    if identity.clients.is_some() {
        // A session that is taken up again shows the certificate of its first handshake, expired or not.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [HANDSHAKE];
    stream.peek(&mut first).await?;
    if first != [HANDSHAKE] {
        refuse(stream).await?;
        return Ok(None);
    }
    acceptor.accept(stream).await.map(Some)
}

/// Says to a client without TLS what is spoken here. What it sent is read: a connection that is closed over unread
/// bytes is reset, and the answer lost.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(PLAIN.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(DISCARD_BYTES as u64);
    let mut buffer = [0; 1024];
    let read = async {
        while rest.read(&mut buffer).await? > 0 {}
        Ok(())
    };
    tokio::time::timeout(DISCARD_READ, read).await.unwrap_or(Ok(()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    if all.is_empty() { Err("there is none in the file".to_owned()) } else { Ok(all) }
}

/// A certificate that was believed can be read; one without names names nobody.
fn names(certificate: &CertificateDer<'_>) -> Shown {
    let Ok(read) = webpki::EndEntityCert::try_from(certificate) else { return Shown::default() };
    let all = read.valid_dns_names().chain(read.valid_uri_names()).map(str::to_owned);
    Shown(all.collect())
}
