//! Servers that show a key, and which of them are spoken to.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::endpoint::{Address, Endpoint, EndpointError, Protocol};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params
}

/// A root, an authority that it signed, and a server's certificate and key that this one signed.
struct Chain {
    root: Authority,
    between: Authority,
    server: CertificateDer<'static>,
    key: Vec<u8>,
}

fn chain() -> Chain {
    let root = Authority::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let between = Authority::signed_by(authority("between"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress([127, 0, 0, 1].into())];
    let server = params.signed_by(&key, &between).unwrap().der().clone();
    Chain { root, between, server, key: key.serialize_der() }
}

fn der(authority: &Authority) -> CertificateDer<'static> {
    authority.der().clone()
}

fn pin(certificate: &CertificateDer<'_>) -> Pin {
    Pin::of(certificate).unwrap()
}

/// Asks a server that shows the chain, and what else it likes.
async fn shows(
    chain: &Chain,
    more: Vec<CertificateDer<'static>>,
    root: &Authority,
    pins: &[Pin],
) -> Result<(), EndpointError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(chain.key.clone()));
    let shown = [chain.server.clone(), der(&chain.between)].into_iter().chain(more).collect();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(shown, key).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not believe the certificate leaves.
        let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
        let mut head = [0; 1024];
        if stream.read(&mut head).await.is_ok_and(|read| read > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        }
    });
    let authorities = Some(root.pem().into_bytes());
    let address =
        Address { base, key: None, authorities, probe: "/".into(), pins: pins.to_vec(), protocol: Protocol::OpenAi };
    let answer = Endpoint::new(&address).unwrap().probe(Duration::from_secs(20)).await;
    served.await.unwrap();
    answer
}

#[tokio::test]
async fn a_pinned_key_of_the_server_or_of_who_signed_it_is_believed_and_no_other() {
    let (chain, stranger) = (chain(), chain());
    let server = pin(&chain.server);
    for pins in
        [&[][..], &[server], &[pin(&der(&chain.between))], &[pin(&der(&chain.root))], &[pin(&stranger.server), server]]
    {
        assert_eq!(shows(&chain, Vec::new(), &chain.root, pins).await, Ok(()), "{pins:?}");
    }
    let refused = shows(&chain, Vec::new(), &chain.root, &[pin(&stranger.server)]).await;
    let expected = format!("the server shows another key than is pinned: {server}");
    assert_eq!(refused, Err(EndpointError::OtherKey(expected)));
}

#[tokio::test]
async fn a_certificate_of_others_that_is_shown_beside_proves_nothing() {
    let (chain, stranger) = (chain(), chain());
    for certificate in [der(&stranger.between), der(&stranger.root), stranger.server.clone()] {
        let answer = shows(&chain, vec![certificate.clone()], &chain.root, &[pin(&certificate)]).await;
        assert!(matches!(answer, Err(EndpointError::OtherKey(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn a_pin_is_no_reason_to_believe_what_nobody_believed_signed() {
    let (chain, stranger) = (chain(), chain());
    let answer = shows(&chain, Vec::new(), &stranger.root, &[pin(&chain.server)]).await;
    assert!(matches!(answer, Err(EndpointError::Unreachable(_))), "{answer:?}");
}

#[test]
fn a_pin_is_read_as_it_is_written_and_what_is_none_is_refused() {
    let text = "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    assert_eq!(Pin::parse(text).unwrap().to_string(), text);
    for wrong in
        ["", "sha256/", "sha1/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "sha256/abcd", &text[..50], &text[7..]]
    {
        assert_eq!(Pin::parse(wrong), Err(PinFault(wrong.to_owned())), "{wrong}");
    }
}
