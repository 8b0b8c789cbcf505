//! The program that runs: whether it is the one that somebody reviewed.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use hither_types::id::Digest;

#[cfg(test)]
mod tests;

/// What runs, also where another file stands by its name now.
const RUNNING: &str = "/proc/self/exe";

/// How long the first record, and what may leave behind it, waits for a slow disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// Begins to read the file of this program, beside everything else that a start does.
pub(crate) fn reading() -> Receiver<Option<Digest>> {
    let (done, reading) = channel();
    let thread = std::thread::Builder::new().name("program".into());
    // It ends by itself, whoever waits for it; without a thread the other end hears that nobody reads.
    let begun = thread.spawn(move || done.send(digest()));
    if let Err(error) = begun {
        tracing::warn!(%error, "the program's file cannot be read beside the start");
    }
    reading
}

/// The digest of the file of this program; `None` if it cannot be read, or took too long.
pub(crate) fn read_by_now(reading: &Receiver<Option<Digest>>) -> Option<Digest> {
    let read = reading.recv_timeout(PATIENCE);
    if read.is_err() {
        tracing::warn!("the ledger does not name the program's file: reading it takes longer than {PATIENCE:?}");
    }
    read.ok().flatten()
}

/// Read once, however many nodes this program is.
fn digest() -> Option<Digest> {
    static FOUND: OnceLock<Option<Digest>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let read = read(RUNNING);
        if let Err(error) = &read {
            tracing::warn!(%error, path = RUNNING, "the ledger does not name the program's file: it cannot be read");
        }
        read.ok()
    })
}

fn read(path: &str) -> io::Result<Digest> {
    let mut hash = blake3::Hasher::new();
    hash.update_reader(File::open(path)?)?;
    Ok(Digest(*hash.finalize().as_bytes()))
}
