//! Keys that a server outside the mesh must show: pins of public keys, as RFC 7469 writes them.
//!
//! What must stay true: a pin is asked beside everything else, and never instead; the pinned certificate is one that the
//! server's own was signed by, for whoever stands between can show any certificate of others that he likes.

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

#[cfg(test)]
mod tests;

/// How a pin begins: there is one way to make them.
const PREFIX: &str = "sha256/";

/// The SHA-256 of a public key, as a certificate has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pin such as sha256/ and 44 letters of base64")]
pub struct PinFault(String);

impl Pin {
    /// Reads `sha256/BASE64`.
    pub fn parse(text: &str) -> Result<Self, PinFault> {
        let digest = text.strip_prefix(PREFIX).and_then(|letters| BASE64.decode(letters.as_bytes()).ok());
        let digest = digest.and_then(|digest| digest.try_into().ok());
        digest.map(Self).ok_or_else(|| PinFault(text.chars().take(80).collect()))
    }

    /// That of the key in a certificate; `None` if it cannot be read.
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let key = EndEntityCert::try_from(certificate).ok()?.subject_public_key_info();
        let digest = ring::digest::digest(&ring::digest::SHA256, &key);
        digest.as_ref().try_into().ok().map(Self)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64.encode(&self.0))
    }
}

/// A server shows a key that is not pinned.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the server shows another key than is pinned: {0}")]
pub(super) struct OtherKey(String);

impl OtherKey {
    /// Finds it among the causes of an error.
    pub(super) fn among(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        // An error of the system says what its content was caused by, and hides the content, which may be another such error.
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = held.and_then(|held| Self::among(held)) {
            return Some(found);
        }
        match error.downcast_ref::<rustls::Error>() {
            Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other)))) => {
                other.downcast_ref::<Self>().cloned()
            }
            _ => Self::among(error.source()?),
        }
    }
}

/// Verifies as another does, and then asks for a pinned key.
#[derive(Debug)]
pub(super) struct Pinned {
    inner: Arc<dyn ServerCertVerifier>,
    pins: Vec<Pin>,
    /// Authorities that are believed beside those of this machine: they may be pinned, though no server shows them.
    authorities: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Pinned {
    pub(super) fn new(
        inner: Arc<dyn ServerCertVerifier>,
        pins: Vec<Pin>,
        authorities: Vec<CertificateDer<'static>>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { inner, pins, authorities, algorithms }
    }

    fn is_pinned(&self, certificate: &CertificateDer<'_>) -> bool {
        Pin::of(certificate).is_some_and(|key| self.pins.contains(&key))
    }

    /// Whether the certificate of a server has a pinned key, or was signed by one.
    fn is_held(&self, server: &CertificateDer<'_>, between: &[CertificateDer<'_>], now: UnixTime) -> bool {
        if self.is_pinned(server) {
            return true;
        }
        let Ok(end) = EndEntityCert::try_from(server) else { return false };
        let signers = between.iter().chain(&self.authorities).filter(|certificate| self.is_pinned(certificate));
        signers.filter_map(|signer| anchor_from_trusted_cert(signer).ok()).any(|anchor| {
            let usage = KeyUsage::server_auth();
            end.verify_for_usage(self.algorithms.all, &[anchor], between, now, usage, None, None).is_ok()
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        if self.is_held(end_entity, intermediates, now) {
            return Ok(verified);
        }
        let shown = Pin::of(end_entity).map_or_else(|| "one that cannot be read".to_owned(), |pin| pin.to_string());
        Err(CertificateError::Other(OtherError(Arc::new(OtherKey(shown)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
