//! HTTPS: with an authority that was made for the test, and against one that nobody believes.

use std::sync::Arc;

use hither_sources::{FetchError, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::rig::Rig;
use crate::server::{Reply, Server};

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn acceptor(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn believing(authority: &CertifiedIssuer<'static, KeyPair>) -> Rig {
    Rig::with(Settings { authorities: Some(authority.pem().into_bytes()), ..Settings::default() })
}

#[tokio::test]
async fn a_server_proves_who_it_is_or_is_not_asked() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let handler = |asked: &crate::server::Asked| Reply::file(asked, b"GGUF", "\"a\"");
    let good = Server::secure(acceptor(&ours, "127.0.0.1"), handler).await;
    believing(&ours).fetch(&good.url("/chat.gguf"), None).await.unwrap();
    assert_eq!(good.asked().len(), 1);
    let error = believing(&theirs).fetch(&good.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Certificate { .. }), "{error}");
    assert_eq!(good.asked().len(), 1);
    let misnamed = Server::secure(acceptor(&ours, "models.example"), handler).await;
    let error = believing(&ours).fetch(&misnamed.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Certificate { .. }), "{error}");
    assert!(misnamed.asked().is_empty());
}

#[tokio::test]
async fn https_does_not_become_http() {
    let ours = authority("ours");
    let plain = Server::start(|asked| Reply::file(asked, b"GGUF", "\"a\"")).await;
    let to = plain.url("/chat.gguf");
    let server = Server::secure(acceptor(&ours, "127.0.0.1"), move |_| Reply::to(302, &to)).await;
    let error = believing(&ours).fetch(&server.url("/chat.gguf"), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Downgrade { .. }) && error.to_string().contains("was not followed"), "{error}");
    assert!(plain.asked().is_empty());
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_said_to_be() {
    let mut rig =
        Rig::with(Settings { authorities: Some(b"-----BEGIN CERTIFICATE-----\nx\n".to_vec()), ..Settings::default() });
    let error = rig.fetch("https://127.0.0.1:1/chat.gguf", None).await.unwrap_err();
    assert!(matches!(error, FetchError::Tls(_)), "{error}");
}
