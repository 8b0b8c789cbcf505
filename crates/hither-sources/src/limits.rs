//! Every bound of this crate, each with the reason for its number.

use std::time::Duration;

/// Characters of a source. Longer than any address that a person types; signed addresses are below two thousand.
pub(crate) const SOURCE_LENGTH: usize = 4096;
/// Bytes of a file's name: file systems take 255, and `.part.note.new` has to fit behind it.
pub(crate) const NAME_LENGTH: usize = 200;
/// Parts of one split model. The largest published have below a hundred.
pub(crate) const PARTS: u32 = 512;
/// Files beside a model that it names. Exporters of old wrote one for each tensor, some hundreds.
pub(crate) const BESIDE: usize = 1024;
/// Files of a directory that are looked at. A model's directory has tens; one of thousands is not a model's.
pub(crate) const DIRECTORY_ENTRIES: usize = 10_000;
/// Names that an error lists: as many as a person reads.
pub(crate) const LISTED: usize = 12;

/// Redirects of one request. The hub takes two, a registry one.
pub(crate) const REDIRECTS: usize = 5;
/// Failures in a row, without progress, after which a fetch ends. With the pauses below they are two minutes.
pub(crate) const FAILURES: u32 = 7;
/// Bytes that count as progress. A server that breaks off each time after fewer wears the patience out.
pub(crate) const PROGRESS: u64 = 1 << 20;
/// The pause after the first failure; each further one doubles it.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause of one's own.
pub(crate) const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest pause that a server may ask for. Whoever asks for more is told to the person instead.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// To open a connection, with TLS. Far satellites take two seconds.
pub(crate) const CONNECT: Duration = Duration::from_secs(15);
/// To the head of an answer. Registries that fetch a file from elsewhere first take their time.
pub(crate) const HEAD: Duration = Duration::from_secs(60);
/// A window in which a body has to move.
pub(crate) const STALL: Duration = Duration::from_secs(30);
/// Bytes that have to come in such a window: 136 bytes a second. The slowest modem is faster, a slow loris is not.
pub(crate) const STALL_BYTES: u64 = 4096;
/// Connections that are kept for the next request, and how long.
pub(crate) const IDLE_MAX: usize = 2;
/// See [`IDLE_MAX`].
pub(crate) const IDLE: Duration = Duration::from_secs(20);

/// Bytes of a manifest, an index or a token's answer. The distribution specification lets registries refuse manifests above 4 MiB.
pub(crate) const DOCUMENT: usize = 4 << 20;
/// Layers of a manifest that are looked at.
pub(crate) const LAYERS: usize = 4096;
/// Times that a registry may ask for a fresh token during one file. Tokens live five minutes and more.
pub(crate) const TOKENS: u32 = 64;

/// Bytes of the note beside a partial file.
pub(crate) const NOTE: u64 = 64 << 10;
/// Bytes after which a partial file is made durable and the note says so: what a power cut costs at most.
pub(crate) const SYNC: u64 = 32 << 20;
/// Bytes that are written to the disk at once.
pub(crate) const WRITE: usize = 1 << 20;
/// Bytes that are read and hashed at once.
pub(crate) const READ: usize = 256 << 10;
/// Bytes that a fetch leaves free on the disk, for everything else that writes there.
pub(crate) const DISK_RESERVE: u64 = 64 << 20;
/// The longest wait for another task's hold on a partial file; a cancelled one lets go as soon as its last write ends.
pub(crate) const HOLD: Duration = Duration::from_secs(2);
