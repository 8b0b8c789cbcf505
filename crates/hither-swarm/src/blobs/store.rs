//! Files by their BLAKE3 digest: `complete/` holds whole ones, `partial/` what is being fetched, `temp/` copies in work.
//!
//! Beside each file lies its hash tree, so that any part can be proved to a peer. A whole file appears by one rename.
//! What of a half one is good is found by reading it, so no crash can make a note of it lie.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bao_tree::io::outboard::PreOrderOutboard;
use bao_tree::io::sync::{
    CreateOutboard, OutboardMut, ReadAt, WriteAt, decode_ranges, encode_ranges_validated, outboard,
};
use bao_tree::io::sync::{Outboard, valid_ranges};
use bao_tree::io::{DecodeError, EncodeError};
use bao_tree::{BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode, blake3};
use hither_types::id::Digest;
use hither_types::unit::ByteCount;

use crate::blobs::plan::Piece;

/// Hashes are kept per 16 KiB: a tree of 0.4 % of the file.
const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes read at once.
const READ: usize = 1 << 20;

/// What went wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is not here.
    #[error("the file {0} is not in the store")]
    Absent(Digest),
    /// The file was damaged on disk. It was removed, and can be fetched again.
    #[error("the file {0} was damaged on disk and has been removed; fetch it again")]
    Rotten(Digest),
    /// Another process has the store.
    #[error("{} is in use by another process; stop it, or choose another directory", .0.display())]
    InUse(PathBuf),
    /// The disk is full.
    #[error("no space left on the disk of {}", .0.display())]
    DiskFull(PathBuf),
    /// The system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// What was used.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    fn at(path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            return Self::DiskFull(path.to_owned());
        }
        Self::Io { path: path.to_owned(), source }
    }
}

/// Whether an error says that the disk, a quota or a limit of the process is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Why a part that came from a peer was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// It is not what the digest promises.
    BadBytes,
    /// The disk said no.
    Disk(io::Error),
}

/// Why a part cannot be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The file, or the part, is not here.
    #[error("it is not here")]
    Absent,
    /// What is on disk does not match the digest.
    #[error("the file is damaged on disk")]
    Rotten,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    lock: Mutex<Option<File>>,
    fetching: Mutex<HashSet<Digest>>,
    counter: AtomicU64,
}

/// The store of one node.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Inner>);

/// The right to fetch one file: one fetch per file at a time.
#[derive(Debug)]
pub(crate) struct Fetching {
    store: Store,
    digest: Digest,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.store.0.fetching.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going away; whoever waits for this goes with it.
            Err(_) => std::future::pending().await,
        },
    }
}

impl Store {
    /// Opens the store, alone.
    pub(crate) async fn open(root: PathBuf) -> Result<Self, StoreError> {
        blocking(move || {
            for part in ["complete", "partial", "temp"] {
                let path = root.join(part);
                fs::create_dir_all(&path).map_err(|error| StoreError::at(&path, error))?;
            }
            let path = root.join("lock");
            let options = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
            let lock = options.map_err(|error| StoreError::at(&path, error))?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(root)),
                Err(TryLockError::Error(error)) => return Err(StoreError::at(&path, error)),
            }
            // Copies that a crash left half-way.
            let temp = root.join("temp");
            for entry in fs::read_dir(&temp).map_err(|error| StoreError::at(&temp, error))?.flatten() {
                let path = entry.path();
                fs::remove_file(&path).map_err(|error| StoreError::at(&path, error))?;
            }
            let (lock, fetching, counter) = (Mutex::new(Some(lock)), Mutex::default(), AtomicU64::new(0));
            Ok(Self(Arc::new(Inner { root, lock, fetching, counter })))
        })
        .await
    }

    /// Lets another process open the store.
    pub(crate) fn close(&self) {
        drop(self.0.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    pub(crate) fn root(&self) -> &Path {
        &self.0.root
    }

    fn whole(&self, digest: Digest) -> Files {
        Files::of(&self.0.root.join("complete"), digest)
    }

    fn half(&self, digest: Digest) -> Files {
        Files::of(&self.0.root.join("partial"), digest)
    }

    fn temp(&self) -> Files {
        let number = self.0.counter.fetch_add(1, Ordering::Relaxed);
        let base = self.0.root.join("temp").join(format!("copy-{number}"));
        Files { data: base.with_extension("data"), tree: base.with_extension("tree") }
    }

    /// Whether the file is here in full.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.whole(digest).data.exists()
    }

    /// The right to fetch a file, unless somebody has it.
    pub(crate) fn claim(&self, digest: Digest) -> Option<Fetching> {
        let mut fetching = self.0.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.insert(digest).then(|| Fetching { store: self.clone(), digest })
    }

    pub(crate) async fn import(&self, path: PathBuf) -> Result<(Digest, ByteCount), StoreError> {
        let store = self.clone();
        blocking(move || {
            let temp = store.temp();
            let done = store.copy_in(&path, &temp);
            if done.is_err() {
                temp.discard();
            }
            done
        })
        .await
    }

    fn copy_in(&self, path: &Path, temp: &Files) -> Result<(Digest, ByteCount), StoreError> {
        let mut source = File::open(path).map_err(|error| StoreError::at(path, error))?;
        let write = |error| StoreError::at(&temp.data, error);
        let mut copy = File::create_new(&temp.data).map_err(write)?;
        // Hashed is the copy, which nobody else writes to, not the source, which may change meanwhile.
        let size = io::copy(&mut source, &mut copy).map_err(write)?;
        copy.sync_all().map_err(write)?;
        let root = grow_tree(temp, size).map_err(|error| StoreError::at(&temp.tree, error))?;
        let digest = Digest(*root.as_bytes());
        self.commit(temp, digest)?;
        Ok((digest, ByteCount(size)))
    }

    fn commit(&self, from: &Files, digest: Digest) -> Result<(), StoreError> {
        let to = self.whole(digest);
        let at = |error| StoreError::at(&to.data, error);
        let mut permissions = fs::metadata(&from.data).map_err(at)?.permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&from.data, permissions).map_err(at)?;
        fs::rename(&from.tree, &to.tree).map_err(at)?;
        fs::rename(&from.data, &to.data).map_err(at)?;
        File::open(self.0.root.join("complete")).and_then(|directory| directory.sync_all()).map_err(at)
    }

    pub(crate) async fn stored(&self) -> Result<Vec<(Digest, ByteCount)>, StoreError> {
        let path = self.0.root.join("complete");
        blocking(move || {
            let at = |error| StoreError::at(&path, error);
            let mut found = Vec::new();
            for entry in fs::read_dir(&path).map_err(at)? {
                let entry = entry.map_err(at)?;
                let name = entry.file_name();
                let digest = name.to_str().and_then(|name| name.strip_suffix(".data"));
                if let Some(digest) = digest.and_then(|text| Digest::parse(text).ok()) {
                    found.push((digest, ByteCount(entry.metadata().map_err(at)?.len())));
                }
            }
            found.sort();
            Ok(found)
        })
        .await
    }

    pub(crate) async fn checkout(&self, digest: Digest) -> Result<PathBuf, StoreError> {
        let store = self.clone();
        blocking(move || {
            let files = store.whole(digest);
            let at = |error| StoreError::at(&files.data, error);
            let size = match fs::metadata(&files.data) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Absent(digest)),
                Err(error) => return Err(at(error)),
            };
            let (root, tree_is_good) = scrub(&files, size).map_err(at)?;
            if root.as_bytes() != &digest.0 {
                files.remove().map_err(at)?;
                return Err(StoreError::Rotten(digest));
            }
            if !tree_is_good {
                tracing::warn!(%digest, "the hash tree of a file was damaged; made anew");
                store.regrow(&files, size).map_err(at)?;
            }
            Ok(files.data)
        })
        .await
    }

    fn regrow(&self, files: &Files, size: u64) -> io::Result<()> {
        let fresh = Files { data: files.data.clone(), tree: self.temp().tree };
        grow_tree(&fresh, size)?;
        fs::rename(&fresh.tree, &files.tree)
    }

    pub(crate) async fn remove(&self, digest: Digest) -> Result<(), StoreError> {
        let (whole, half) = (self.whole(digest), self.half(digest));
        blocking(move || {
            whole.remove().map_err(|error| StoreError::at(&whole.data, error))?;
            half.remove().map_err(|error| StoreError::at(&half.data, error))
        })
        .await
    }

    /// A part of a file with its proof. Blocks.
    pub(crate) fn prove(&self, digest: Digest, part: &Piece) -> Result<Vec<u8>, ServeError> {
        let files = self.whole(digest);
        let data = File::open(&files.data).map_err(|_| ServeError::Absent)?;
        let size = data.metadata().map_err(|_| ServeError::Absent)?.len();
        let tree = File::open(&files.tree).map_err(|_| ServeError::Rotten)?;
        proved(&data, PreOrderOutboard { root: root_of(digest), tree: BaoTree::new(size, BLOCK), data: tree }, part)
    }

    /// Opens what there is of a file, and finds out which of these pieces are missing. Blocks.
    pub(crate) fn partial(
        &self,
        digest: Digest,
        size: u64,
        pieces: impl Iterator<Item = Piece>,
    ) -> Result<(Partial, Vec<Piece>), StoreError> {
        let files = self.half(digest);
        let open = |path: &Path| {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            file.map_err(|error| StoreError::at(path, error))
        };
        let (data, tree) = (open(&files.data)?, open(&files.tree)?);
        let partial = Partial { digest, size, files, data, tree };
        let missing = partial.missing(pieces).map_err(|error| StoreError::at(&partial.files.data, error))?;
        Ok((partial, missing))
    }

    /// Makes a file whole. Blocks.
    pub(crate) fn complete(&self, partial: &Partial) -> Result<(), StoreError> {
        let at = |error| StoreError::at(&partial.files.data, error);
        partial.data.set_len(partial.size).map_err(at)?;
        partial.data.sync_all().map_err(at)?;
        partial.tree.sync_all().map_err(at)?;
        self.commit(&partial.files, partial.digest)
    }
}

/// A file and its hash tree.
#[derive(Debug)]
struct Files {
    data: PathBuf,
    tree: PathBuf,
}

impl Files {
    fn of(directory: &Path, digest: Digest) -> Self {
        Self { data: directory.join(format!("{digest}.data")), tree: directory.join(format!("{digest}.tree")) }
    }

    /// The file first: without it, the tree means nothing.
    fn remove(&self) -> io::Result<()> {
        for path in [&self.data, &self.tree] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn discard(&self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.data.display(), %error, "a copy could not be removed");
        }
    }
}

/// A file that is being fetched.
#[derive(Debug)]
pub(crate) struct Partial {
    digest: Digest,
    size: u64,
    files: Files,
    data: File,
    tree: File,
}

impl Partial {
    fn outboard(&self) -> PreOrderOutboard<Padded<'_>> {
        PreOrderOutboard { root: root_of(self.digest), tree: BaoTree::new(self.size, BLOCK), data: Padded(&self.tree) }
    }

    fn missing(&self, pieces: impl Iterator<Item = Piece>) -> io::Result<Vec<Piece>> {
        let everything = ChunkRanges::all();
        let mut good = ChunkRanges::empty();
        // An empty file has nothing that could be good; most fetches begin so.
        if self.data.metadata()?.len() > 0 {
            for range in valid_ranges(self.outboard(), Padded(&self.data), &everything) {
                good |= ChunkRanges::from(range?);
            }
        }
        Ok(pieces.filter(|piece| !(chunks(piece) - &good).is_empty()).collect())
    }

    /// A part with its proof, if all of it is here. Blocks.
    pub(crate) fn prove(&self, part: &Piece) -> Result<Vec<u8>, ServeError> {
        proved(&self.data, self.outboard(), part)
    }

    /// Verifies a part and writes what is good of it. Blocks.
    pub(crate) fn write(&self, part: &Piece, mut encoded: &[u8]) -> Result<(), WriteError> {
        match decode_ranges(&mut encoded, &chunks(part), Padded(&self.data), self.outboard()) {
            Ok(()) if encoded.is_empty() => Ok(()),
            Ok(()) => Err(WriteError::BadBytes),
            Err(DecodeError::Io(error)) => Err(WriteError::Disk(error)),
            Err(_) => Err(WriteError::BadBytes),
        }
    }
}

/// Reads a part with its proof, and checks it on the way.
fn proved(data: &File, outboard: impl Outboard, part: &Piece) -> Result<Vec<u8>, ServeError> {
    if part.start >= part.end || part.end > outboard.tree().size() {
        return Err(ServeError::Absent);
    }
    let mut encoded = Vec::with_capacity((part.end - part.start) as usize + (64 << 10));
    let root = outboard.root();
    match encode_ranges_validated(data, outboard, &chunks(part), &mut encoded) {
        Ok(()) => Ok(encoded),
        Err(error @ (EncodeError::Io(_) | EncodeError::SizeMismatch)) => {
            tracing::warn!(digest = %root, %error, "a stored file cannot be read");
            Err(ServeError::Rotten)
        }
        Err(_) => Err(ServeError::Rotten),
    }
}

/// A file that goes on with zeros after its end.
struct Padded<'a>(&'a File);

impl ReadAt for Padded<'_> {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match FileExt::read_at(self.0, buffer, position)? {
            0 => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            read => Ok(read),
        }
    }
}

impl WriteAt for Padded<'_> {
    fn write_at(&mut self, position: u64, buffer: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self.0, buffer, position)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An outboard that keeps nothing, and notes whether what it is told differs from what is on disk.
struct Compare<'a> {
    stored: PreOrderOutboard<Padded<'a>>,
    same: bool,
}

impl OutboardMut for Compare<'_> {
    fn save(&mut self, node: TreeNode, pair: &(blake3::Hash, blake3::Hash)) -> io::Result<()> {
        if let Some(stored) = self.stored.load(node)? {
            self.same &= stored == *pair;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes a file, and compares its tree on the way.
fn scrub(files: &Files, size: u64) -> io::Result<(blake3::Hash, bool)> {
    let data = BufReader::with_capacity(READ, File::open(&files.data)?).take(size);
    let tree = BaoTree::new(size, BLOCK);
    // A tree that is gone is made anew like one that is damaged.
    let stored = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&files.tree)?;
    let stored = PreOrderOutboard { root: blake3::Hash::from_bytes([0; 32]), tree, data: Padded(&stored) };
    let mut compare = Compare { stored, same: true };
    let root = outboard(data, tree, &mut compare)?;
    Ok((root, compare.same))
}

/// Hashes a file and writes its tree.
fn grow_tree(files: &Files, size: u64) -> io::Result<blake3::Hash> {
    let data = BufReader::with_capacity(READ, File::open(&files.data)?);
    let root = blake3::Hash::from_bytes([0; 32]);
    let target = File::create(&files.tree)?;
    let mut grown = PreOrderOutboard { root, tree: BaoTree::new(size, BLOCK), data: Padded(&target) };
    grown.init_from(data)?;
    target.sync_all()?;
    Ok(grown.root)
}

fn root_of(digest: Digest) -> blake3::Hash {
    blake3::Hash::from_bytes(digest.0)
}

/// The chunks of a part. Parts begin at multiples of a block, and end at one or at the end of the file.
fn chunks(part: &Range<u64>) -> ChunkRanges {
    ChunkRanges::from(ChunkNum::full_chunks(part.start)..ChunkNum::chunks(part.end))
}

/// Whether a part begins where parts may begin.
pub(crate) fn is_aligned(part: &Range<u64>) -> bool {
    part.start.is_multiple_of(BLOCK.bytes() as u64)
}
