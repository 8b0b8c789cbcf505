//! How a relay proves that it is the node that it is said to be: by that node's own key, without any certificate.
//!
//! TLS 1.3 with a raw public key (RFC 7250): the relay signs the handshake with its node's Ed25519 key, and whoever
//! connects knows from the list of members, a ticket or the configuration which key it has to be. No name is looked up,
//! no authority is asked, and nothing ends that somebody would have to renew.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hither_types::id::NodeId;
use iroh_relay::tls::CaTlsConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::{CertifiedKey, public_key_to_spki};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

#[cfg(test)]
mod tests;

/// What comes before an Ed25519 secret in PKCS #8 (RFC 8410).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Which keys are expected at which address. An empty table means none.
#[derive(Debug, Default)]
pub(crate) struct Pins(RwLock<HashMap<IpAddr, HashSet<NodeId>>>);

impl Pins {
    /// Puts a new list in the place of the old one.
    pub(crate) fn replace(&self, pins: impl IntoIterator<Item = (IpAddr, NodeId)>) {
        let mut table: HashMap<IpAddr, HashSet<NodeId>> = HashMap::new();
        for (address, node) in pins {
            table.entry(address).or_default().insert(node);
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = table;
    }

    fn hold(&self, address: IpAddr, key: &[u8]) -> bool {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&address).is_some_and(|nodes| nodes.iter().any(|node| spki(&node.0).as_ref() == key))
    }
}

fn spki(key: &[u8; 32]) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ED25519, key)
}

/// The TLS of whoever connects to a relay.
pub(crate) fn of_client(pins: Arc<Pins>) -> CaTlsConfig {
    CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider: Arc<CryptoProvider>| {
        let verifier: Arc<dyn ServerCertVerifier> = Arc::new(Verifier { pins: pins.clone(), provider });
        io::Result::Ok(verifier)
    }))
}

/// The TLS of a relay.
pub(crate) fn of_server(secret: &[u8; 32], node: NodeId) -> Result<rustls::ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pkcs8 = [PKCS8_HEAD.as_slice(), secret].concat();
    let key = rustls::crypto::ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(pkcs8))?;
    let certified = CertifiedKey::new(vec![CertificateDer::from(spki(&node.0).to_vec())], key);
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::new(certified));
    Ok(rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver)))
}

/// Believes a relay that has one of the keys that are expected at its address.
#[derive(Debug)]
struct Verifier {
    pins: Arc<Pins>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let ServerName::IpAddress(address) = server_name else {
            return Err(rustls::Error::UnsupportedNameType);
        };
        match self.pins.hold(IpAddr::from(*address), end_entity.as_ref()) {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let key = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
