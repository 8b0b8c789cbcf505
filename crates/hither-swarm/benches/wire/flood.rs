//! Strangers at a node's door: handshakes of unknown keys, hellos of unknown members, and datagrams that are nothing.
//!
//! What must stay true: it does no more than it is told to in a second, and says how much of that it did.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hither_types::id::NodeId;
use hither_types::member::{MemberRecord, Signed};
use hither_types::message::Hello;
use hither_wire::versions::{encode_versions, spoken};
use iroh::{Endpoint, EndpointAddr, EndpointId, TransportAddr};
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Outcome;
use crate::plain::endpoint;

/// Unknown keys at once, each with a socket of its own.
const KEYS: u8 = 8;

/// Attempts under way at once: a client has memory, too.
const UNDER_WAY: usize = 128;

/// How long one attempt is waited for.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How often datagrams are sent, so many at once that the rate is right.
const BURST_EVERY: Duration = Duration::from_millis(5);

/// The least length of a datagram that begins a connection.
const INITIAL: usize = 1200;

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

pub(crate) async fn flood(kind: &str, address: &str, node: &str, rate: &str, seconds: &str) -> Outcome<()> {
    let address: SocketAddr = address.parse()?;
    let (rate, seconds): (u64, u64) = (rate.parse()?, seconds.parse()?);
    let until = Instant::now() + Duration::from_secs(seconds);
    let counts = Arc::new(Counts::default());
    println!("began");
    match kind {
        "handshakes" => knock(address, node, b"hither/talk/1", (rate, until), &counts).await?,
        "hellos" => knock(address, node, b"hither/hello/1", (rate, until), &counts).await?,
        "initials" => throw(address, Shape::Initial, (rate, until), &counts).await?,
        "garbage" => throw(address, Shape::Noise, (rate, until), &counts).await?,
        other => return Err(format!("there is no flood of {other:?}").into()),
    }
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{{\"sent\":{},\"refused\":{},\"failed\":{}}}",
        read(&counts.sent),
        read(&counts.refused),
        read(&counts.failed)
    );
    Ok(())
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let byte = |at: usize| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    bytes?.try_into().ok()
}

async fn knock(
    address: SocketAddr,
    node: &str,
    alpn: &'static [u8],
    (rate, until): (u64, Instant),
    counts: &Arc<Counts>,
) -> Outcome<()> {
    let node = EndpointId::from_bytes(&unhex(node).ok_or("a node is 64 hexadecimal digits")?)?;
    let target = EndpointAddr::from_parts(node, [TransportAddr::Ip(address)]);
    let mut endpoints = Vec::new();
    for key in 0..KEYS {
        endpoints.push(endpoint([100 + key; 32], ([0, 0, 0, 0], 0).into(), &[]).await?);
    }
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(rate.max(1))?);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut attempts = JoinSet::new();
    for at in 0.. {
        ticks.tick().await;
        if Instant::now() >= until {
            break;
        }
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let (from, target, counts) = (endpoints[at % endpoints.len()].clone(), target.clone(), Arc::clone(counts));
        counts.sent.fetch_add(1, Ordering::Relaxed);
        attempts.spawn(async move {
            let tried = timeout(ATTEMPT, attempt(from, target, alpn)).await;
            let count = if matches!(tried, Ok(Ok(()))) { &counts.refused } else { &counts.failed };
            count.fetch_add(1, Ordering::Relaxed);
            drop(place);
        });
        while attempts.try_join_next().is_some() {}
    }
    while attempts.join_next().await.is_some() {}
    for endpoint in endpoints {
        endpoint.close().await;
    }
    Ok(())
}

/// One stranger, until it is turned away.
async fn attempt(from: Endpoint, target: EndpointAddr, alpn: &[u8]) -> Outcome<()> {
    let connection = from.connect(target, alpn).await?;
    if alpn == b"hither/hello/1" {
        let (mut sender, mut receiver) = connection.open_bi().await?;
        let hello = hither_wire::encode_hello(&unknown(NodeId(*from.id().as_bytes())))?;
        let versions = encode_versions(&spoken("0.0.0").ok_or("a version")?);
        sender.write_all(&u32::try_from(versions.len())?.to_le_bytes()).await?;
        sender.write_all(&versions).await?;
        sender.write_all(&u32::try_from(hello.len())?.to_le_bytes()).await?;
        sender.write_all(&hello).await?;
        sender.finish()?;
        // A reply that says no, or a closed door.
        let _ = receiver.read_to_end(4 << 20).await;
        connection.close(0u32.into(), b"");
    }
    connection.closed().await;
    Ok(())
}

/// A certificate that nobody gave: whoever hears it has to look at its signature.
fn unknown(node: NodeId) -> Hello {
    let certificate = Signed { bytes: vec![1; 200], signer: node, signature: [7; 64] };
    Hello::Introduce(MemberRecord {
        certificate,
        addresses: vec![std::net::SocketAddr::from(([127, 0, 0, 1], 9)).into()],
    })
}

enum Shape {
    /// The head of a first packet of QUIC, and then noise.
    Initial,
    /// Noise.
    Noise,
}

async fn throw(address: SocketAddr, shape: Shape, (rate, until): (u64, Instant), counts: &Counts) -> Outcome<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    let mut random = 1_u64;
    let mut ticks = interval(BURST_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let began = Instant::now();
    let mut datagram = [0_u8; INITIAL];
    while Instant::now() < until {
        ticks.tick().await;
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        while counts.sent.load(Ordering::Relaxed) < due {
            for bytes in datagram.chunks_exact_mut(8) {
                bytes.copy_from_slice(&mix(&mut random).to_le_bytes());
            }
            if matches!(shape, Shape::Initial) {
                // A long header of version 1: ids of 8 bytes, no token, and the length of what follows.
                datagram[..7].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8, 0x11]);
                datagram[14] = 8;
                datagram[23] = 0;
                let left = u16::try_from(INITIAL - 26)?;
                datagram[24..26].copy_from_slice(&(0x4000 | left).to_be_bytes());
            }
            // A full buffer of the system drops it, which the flood does not mind.
            let _ = socket.try_send_to(&datagram, address);
            counts.sent.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// SplitMix64.
fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
