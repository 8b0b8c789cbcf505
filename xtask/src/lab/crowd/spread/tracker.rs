//! A file as a torrent, and the tracker of its swarm: what programs of BitTorrent need before they can be compared with.
//!
//! The tracker tells everybody of everybody at once and lets them ask again after seconds, as no public one does: a rival
//! shall not wait for it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Seconds after which a program may ask again.
const AGAIN: u32 = 3;

/// How often the tracker looks for whoever comes.
const LOOK: Duration = Duration::from_millis(2);

/// The longest that a question may take to come.
const PATIENCE: Duration = Duration::from_secs(2);

/// The torrent of a file, which is called `model` in it, in pieces of so many bytes.
pub(super) fn torrent(file: &Path, announce: &str, piece: u64) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?.len();
    // Of coreutils: nothing else here needs SHA-1.
    let done = Command::new("split").arg("--bytes").arg(piece.to_string()).arg("--filter=sha1sum").arg(file).output();
    let done = done.map_err(|error| format!("split: {error}"))?;
    let said = String::from_utf8_lossy(&done.stdout);
    let hashes: Option<Vec<Vec<u8>>> =
        said.lines().map(|line| line.get(..40).and_then(bytes_of).filter(|hash| hash.len() == 20)).collect();
    let hashes = hashes.filter(|hashes| hashes.len() as u64 == length.div_ceil(piece));
    let hashes = hashes.ok_or_else(|| format!("split --filter=sha1sum said {said:?}"))?;
    Ok(metainfo(announce, length, piece, &hashes.concat()))
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()).collect()
}

/// The bytes of a torrent (BEP 3).
pub(super) fn metainfo(announce: &str, length: u64, piece: u64, hashes: &[u8]) -> Vec<u8> {
    let head = format!(
        "d8:announce{}:{announce}4:infod6:lengthi{length}e4:name5:model12:piece lengthi{piece}e6:pieces{}:",
        announce.len(),
        hashes.len()
    );
    [head.as_bytes(), hashes, b"ee"].concat()
}

/// Who is in the swarm.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Where each is reached, and whether it has all of the file.
    peers: Mutex<BTreeMap<(Ipv4Addr, u16), bool>>,
    over: AtomicBool,
}

impl Tracker {
    /// Answers whoever asks, until it is over.
    pub(super) fn serve(&self, listener: &TcpListener) {
        while !self.over.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((mut stream, from)) => {
                    // Whoever does not ask properly is not answered.
                    let _ = self.answer(&mut stream, from);
                }
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Ends [`Tracker::serve`].
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has all of the file.
    pub(super) fn has_seed(&self) -> bool {
        self.peers.lock().expect("nothing panics with it").values().any(|whole| *whole)
    }

    fn answer(&self, stream: &mut TcpStream, from: SocketAddr) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (mut question, mut some) = (Vec::new(), [0; 2048]);
        while !question.windows(4).any(|end| end == b"\r\n\r\n") && question.len() < 16 << 10 {
            match stream.read(&mut some)? {
                0 => break,
                count => question.extend_from_slice(&some[..count]),
            }
        }
        let IpAddr::V4(host) = from.ip() else { return Ok(()) };
        let body = self.told(host, &String::from_utf8_lossy(&question));
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.into_bytes(), body].concat())
    }

    /// Takes in what a program says of itself, and tells it of all others.
    pub(super) fn told(&self, host: Ipv4Addr, question: &str) -> Vec<u8> {
        let line = question.lines().next().unwrap_or_default();
        let words = line.split([' ', '?', '&']);
        let value = |name: &str| words.clone().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let mut peers = self.peers.lock().expect("nothing panics with it");
        let me = value("port").and_then(|port| port.parse().ok()).map(|port| (host, port));
        if let Some(me) = me {
            match value("event") {
                Some("stopped") => peers.remove(&me),
                _ => peers.insert(me, value("left") == Some("0")),
            };
        }
        let others = peers.keys().filter(|peer| Some(**peer) != me);
        let list: Vec<u8> =
            others.flat_map(|(host, port)| [&host.octets()[..], &port.to_be_bytes()].concat()).collect();
        let head = format!("d8:intervali{AGAIN}e12:min intervali{AGAIN}e5:peers{}:", list.len());
        [head.as_bytes(), &list, b"e"].concat()
    }
}
