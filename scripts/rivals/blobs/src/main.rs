//! One file over plain iroh-blobs, from one process to another: what `cargo xtask mesh --part spread` puts beside a fetch of
//! ours without lines.
//!
//! ```text
//! blobs serve ADDRESS FILE DIRECTORY    prints `ready HASH` when it listens; until its input ends
//! blobs get ADDRESS HASH DIRECTORY      prints the seconds from the dial until the file is whole in its store
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Instant;

use iroh::endpoint::presets;
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr};
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::{BlobsProtocol, Hash};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Nothing here is a secret.
const SERVER: [u8; 32] = [1; 32];
const CLIENT: [u8; 32] = [2; 32];

#[tokio::main]
async fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", address, file, directory] => serve(address.parse()?, file, directory).await,
        ["get", address, hash, directory] => get(address.parse()?, hash.parse()?, directory).await,
        _ => Err("blobs serve ADDRESS FILE DIRECTORY, or get ADDRESS HASH DIRECTORY".into()),
    }
}

async fn endpoint(key: [u8; 32], bind: SocketAddr) -> Outcome<Endpoint> {
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&key))
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr(bind)?;
    Ok(builder.bind().await?)
}

async fn serve(address: SocketAddr, file: &str, directory: &str) -> Outcome<()> {
    let store = FsStore::load(directory).await?;
    let tag = store.blobs().add_path(std::path::absolute(file)?).await?;
    let blobs = BlobsProtocol::new(&store, None);
    let router = Router::builder(endpoint(SERVER, address).await?).accept(iroh_blobs::ALPN, blobs).spawn();
    println!("ready {}", tag.hash);
    // Read elsewhere, for a read of the standard input cannot be given up.
    let _ = tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await;
    router.shutdown().await?;
    Ok(())
}

async fn get(address: SocketAddr, hash: Hash, directory: &str) -> Outcome<()> {
    let store = FsStore::load(directory).await?;
    let endpoint = endpoint(CLIENT, ([0, 0, 0, 0], 0).into()).await?;
    let server = EndpointAddr::from_parts(SecretKey::from_bytes(&SERVER).public(), [TransportAddr::Ip(address)]);
    let began = Instant::now();
    let connection = endpoint.connect(server, iroh_blobs::ALPN).await?;
    store.remote().fetch(connection, hash).await?;
    if !store.blobs().has(hash).await? {
        return Err("the file is not whole".into());
    }
    println!("{:.6}", began.elapsed().as_secs_f64());
    endpoint.close().await;
    store.shutdown().await?;
    Ok(())
}
