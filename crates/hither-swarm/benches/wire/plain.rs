//! One stream for each question on a plain connection: what anything on top of QUIC is measured against.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream, presets};
use iroh::{EndpointAddr, RelayMode, SecretKey, TransportAddr};
use noq::rustls::RootCertStore;
use noq::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{CLIENT, Outcome, PIECE, REQUEST_MAX, SERVER, until_told, wanted};

/// What plain iroh speaks here.
const ALPN: &[u8] = b"wire/plain";

/// A connection of plain QUIC.
pub(crate) struct Noq {
    pub(crate) endpoint: noq::Endpoint,
    pub(crate) connection: noq::Connection,
}

/// A connection of plain iroh.
pub(crate) struct Iroh {
    pub(crate) endpoint: iroh::Endpoint,
    pub(crate) connection: iroh::endpoint::Connection,
}

/// Sends a question and reads the answer.
pub(crate) async fn exchange((mut sender, mut receiver): (SendStream, RecvStream), question: &[u8]) -> Outcome<usize> {
    sender.write_all(question).await?;
    sender.finish()?;
    let mut heard = 0;
    while let Some(chunk) = receiver.read_chunk(PIECE).await? {
        heard += chunk.len();
    }
    Ok(heard)
}

/// Answers one question.
async fn answer((mut sender, mut receiver): (SendStream, RecvStream)) -> Outcome<()> {
    let mut left = wanted(&receiver.read_to_end(REQUEST_MAX).await?);
    let piece = Bytes::from(vec![0xa5; PIECE]);
    while left > 0 {
        let now = left.min(PIECE);
        sender.write_chunk(piece.slice(..now)).await?;
        left -= now;
    }
    sender.finish()?;
    // The asker ends the connection.
    sender.stopped().await?;
    Ok(())
}

/// What was asked of a server that broke off is the asker's to tell.
fn answer_apart(streams: (SendStream, RecvStream)) {
    tokio::spawn(async move {
        let _ = answer(streams).await;
    });
}

pub(crate) async fn serve_noq(address: SocketAddr) -> Outcome<()> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
    let config = noq::ServerConfig::with_single_cert(vec![certificate], key)?;
    let endpoint = noq::Endpoint::server(config, address)?;
    let accepting = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok(streams) = connection.accept_bi().await {
                    answer_apart(streams);
                }
            });
        }
    });
    until_told(&hex).await;
    accepting.abort();
    Ok(())
}

pub(crate) async fn dial_noq(address: SocketAddr, certificate: &str) -> Outcome<Noq> {
    let bytes: Result<Vec<u8>, _> =
        (0..certificate.len() / 2).map(|at| u8::from_str_radix(&certificate[2 * at..2 * at + 2], 16)).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(bytes?))?;
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let endpoint = noq::Endpoint::client(any)?;
    endpoint.set_default_client_config(noq::ClientConfig::with_root_certificates(Arc::new(roots))?);
    let connection = endpoint.connect(address, "localhost")?.await?;
    Ok(Noq { endpoint, connection })
}

/// An endpoint that contacts nobody by itself.
pub(crate) async fn endpoint(key: [u8; 32], bind: SocketAddr, alpns: &[&[u8]]) -> Outcome<iroh::Endpoint> {
    let builder = iroh::Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .secret_key(SecretKey::from_bytes(&key))
        .alpns(alpns.iter().map(|alpn| alpn.to_vec()).collect())
        .clear_ip_transports()
        .bind_addr(bind)?;
    Ok(builder.bind().await?)
}

pub(crate) async fn serve_iroh(address: SocketAddr) -> Outcome<()> {
    let endpoint = endpoint(SERVER, address, &[ALPN]).await?;
    let accepting = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok(streams) = connection.accept_bi().await {
                    answer_apart(streams);
                }
            });
        }
    });
    until_told("-").await;
    accepting.abort();
    Ok(())
}

pub(crate) async fn dial_iroh(address: SocketAddr) -> Outcome<Iroh> {
    let endpoint = endpoint(CLIENT, ([0, 0, 0, 0], 0).into(), &[ALPN]).await?;
    let server = SecretKey::from_bytes(&SERVER).public();
    let connection = endpoint.connect(EndpointAddr::from_parts(server, [TransportAddr::Ip(address)]), ALPN).await?;
    Ok(Iroh { endpoint, connection })
}
