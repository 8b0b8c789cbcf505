//! Handshakes over real sockets, with certificates made here.

use std::net::SocketAddr;
use std::sync::Arc;

use hither_types::id::AppName;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as Shaken;

use super::*;
use crate::callers::{AppEntry, KeyId, KeyMark, Limits};
use crate::tests::fake::FakeDoor;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Every one has the same name: only its key tells it from others.
fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, as PEM.
fn signed(by: &Authority, names: Vec<SanType>) -> (String, String) {
    signed_until(by, names, 4096)
}

fn signed_until(by: &Authority, names: Vec<SanType>, year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.subject_alt_names = names;
    // The subject's own name is no name of an app.
    params.distinguished_name.push(DnType::CommonName, "common.example");
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

fn identity(by: &Authority, clients: Option<(&Authority, bool)>) -> Identity {
    let (certificates, key) = signed(by, vec![dns("localhost")]);
    let clients = clients.map(|(by, required)| ClientAuthorities { authorities: by.pem().into_bytes(), required });
    Identity { certificates: certificates.into_bytes(), key: key.into_bytes(), clients }
}

struct Served {
    address: SocketAddr,
    door: Arc<FakeDoor>,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

async fn serve(tls: &Tls) -> Served {
    let door = Arc::new(FakeDoor::new(|_| unreachable!("nothing here submits")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = watch::Sender::new(false);
    let server = tokio::spawn(crate::serve_tcp(listener, Arc::clone(&door) as _, Some(tls.clone()), stop.subscribe()));
    Served { address, door, stop, server }
}

fn link(served: &Served, certificate: &str) {
    let name = AppName::parse("till").unwrap();
    let app = AppEntry::new(name, KeyMark { id: KeyId(1), hash: [0; 32] }, Limits::default());
    served.door.callers.replace(&[AppEntry { certificate: Some(certificate.to_owned()), ..app }]);
}

async fn shake(
    stream: TcpStream,
    trusts: &Authority,
    shows: Option<&(String, String)>,
) -> io::Result<Shaken<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(certificates(certificate.as_bytes()).unwrap(), key).unwrap()
        }
    };
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn connect(to: &Served, trusts: &Authority, shows: Option<&(String, String)>) -> io::Result<Shaken<TcpStream>> {
    shake(TcpStream::connect(to.address).await?, trusts, shows).await
}

const ASKED: &[u8] = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What is answered; an error if the connection was ended instead, in the handshake or at the first word.
async fn ask(to: &Served, trusts: &Authority, shows: Option<&(String, String)>) -> io::Result<String> {
    ask_over(connect(to, trusts, shows).await?).await
}

async fn ask_over(mut stream: Shaken<TcpStream>) -> io::Result<String> {
    stream.write_all(ASKED).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    if said.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(said) }
}

fn is_let_in(said: &io::Result<String>) -> bool {
    said.as_ref().is_ok_and(|said| said.starts_with("HTTP/1.1 200 OK\r\n"))
}

#[tokio::test]
async fn a_certificate_is_let_in_as_its_app_and_one_of_no_app_is_nobody() {
    let (node, clients) = (authority(), authority());
    let served = serve(&Tls::new(&identity(&node, Some((&clients, false)))).unwrap()).await;
    let many = signed(&clients, vec![dns("a.example"), dns("till.example"), uri("spiffe://plant/press")]);
    assert!(is_let_in(&ask(&served, &node, None).await), "none is needed");
    for linked in ["till.example", "spiffe://plant/press"] {
        link(&served, linked);
        let said = ask(&served, &node, Some(&many)).await;
        assert!(is_let_in(&said), "{linked}: {said:?}");
    }
    // To the letter, and never by the common name.
    for linked in ["b.example", "till.exampl", "TILL.example", "*.example", "example", "common.example", "plant"] {
        link(&served, linked);
        let said = ask(&served, &node, Some(&many)).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("E0118"), "{linked}: {said}");
        assert!(said.contains("it is of a.example and 2 others"), "{linked}: {said}");
        assert!(said.contains("hither apps add APP --certificate a.example"), "{linked}: {said}");
    }
    let nameless = signed(&clients, Vec::new());
    let said = ask(&served, &node, Some(&nameless)).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("no DNS name or URI"), "{said}");
}

#[tokio::test]
async fn names_of_a_certificate_cannot_fill_an_answer_or_break_out_of_a_command() {
    let (node, clients) = (authority(), authority());
    let served = serve(&Tls::new(&identity(&node, Some((&clients, false)))).unwrap()).await;
    let long = format!("https://plant.example/{}", "a".repeat(4000));
    let said = ask(&served, &node, Some(&signed(&clients, vec![uri(&long)]))).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 401 ") && !said.contains("aaaa") && said.len() < 2000, "{said}");
    let many = (0..500).map(|number| dns(&format!("n{number}.example"))).collect();
    let said = ask(&served, &node, Some(&signed(&clients, many))).await.unwrap();
    assert!(said.contains("n0.example and 499 others") && !said.contains("n1.example"), "{said}");
    let sly = signed(&clients, vec![uri("spiffe://plant/a';rm$IFS-rf`~`;'")]);
    let said = ask(&served, &node, Some(&sly)).await.unwrap();
    let typed = r"--certificate 'spiffe://plant/a'\\'';rm$IFS-rf`~`;'\\'''";
    assert!(said.contains(typed), "{said}");
}

#[tokio::test]
async fn what_others_signed_or_what_has_expired_ends_the_handshake() {
    let (node, clients, others) = (authority(), authority(), authority());
    for required in [false, true] {
        let served = serve(&Tls::new(&identity(&node, Some((&clients, required)))).unwrap()).await;
        link(&served, "till.example");
        let name = || vec![dns("till.example")];
        assert!(is_let_in(&ask(&served, &node, Some(&signed(&clients, name()))).await));
        for wrong in [signed(&others, name()), signed(&node, name()), signed_until(&clients, name(), 2020)] {
            let said = ask(&served, &node, Some(&wrong)).await;
            assert!(said.is_err(), "required: {required}, {said:?}");
        }
        assert_eq!(is_let_in(&ask(&served, &node, None).await), !required);
    }
}

#[tokio::test]
async fn who_speaks_plain_http_is_told_and_who_says_nothing_keeps_nobody_waiting() {
    let node = authority();
    let served = serve(&Tls::new(&identity(&node, None)).unwrap()).await;
    let _silent = TcpStream::connect(served.address).await.unwrap();
    for sent in [ASKED, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut plain = TcpStream::connect(served.address).await.unwrap();
        plain.write_all(sent).await.unwrap();
        let mut said = String::new();
        plain.read_to_string(&mut said).await.unwrap();
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 ") && body.contains("https://"), "{said}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{said}");
    }
    assert!(is_let_in(&ask(&served, &node, None).await));
}

#[tokio::test]
async fn who_connected_before_the_end_and_shakes_hands_right_after_is_answered() {
    let node = authority();
    let served = serve(&Tls::new(&identity(&node, None)).unwrap()).await;
    let late = TcpStream::connect(served.address).await.unwrap();
    assert!(is_let_in(&ask(&served, &node, None).await));
    served.stop.send(true).unwrap();
    let said = ask_over(shake(late, &node, None).await.unwrap()).await;
    assert!(is_let_in(&said), "{said:?}");
    served.server.await.unwrap();
}

#[tokio::test]
async fn renewed_files_hold_from_the_next_handshake_and_broken_ones_never() {
    let (old, new) = (authority(), authority());
    let tls = Tls::new(&identity(&old, None)).unwrap();
    let served = serve(&tls).await;
    let mut open = connect(&served, &old, None).await.unwrap();
    let good = identity(&new, None);
    let other = identity(&new, None);
    for broken in [
        Identity { certificates: b"nothing".to_vec(), ..good.clone() },
        Identity { key: b"nothing".to_vec(), ..good.clone() },
        // The key of another certificate: half of a renewal.
        Identity { key: other.key, ..good.clone() },
        Identity {
            clients: Some(ClientAuthorities { authorities: b"nothing".to_vec(), required: true }),
            ..good.clone()
        },
    ] {
        tls.replace(&broken).unwrap_err();
        assert!(is_let_in(&ask(&served, &old, None).await));
    }
    tls.replace(&good).unwrap();
    assert!(ask(&served, &old, None).await.is_err(), "the old certificate is shown no more");
    assert!(is_let_in(&ask(&served, &new, None).await));
    open.write_all(ASKED).await.unwrap();
    let mut said = String::new();
    open.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 200 "), "what was open goes on: {said}");
}

#[tokio::test]
async fn a_session_is_never_taken_up_again_where_certificates_are_shown() {
    let (node, clients) = (authority(), authority());
    let served = serve(&Tls::new(&identity(&node, Some((&clients, true)))).unwrap()).await;
    link(&served, "till.example");
    let mut roots = RootCertStore::empty();
    roots.add(node.der().clone()).unwrap();
    let (certificate, key) = signed(&clients, vec![dns("till.example")]);
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    // One for all connections: it keeps what could be taken up.
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(certificate.as_bytes()).unwrap(), key)
        .unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    for _ in 0..3 {
        let stream = TcpStream::connect(served.address).await.unwrap();
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        stream.write_all(ASKED).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}
