//! A file that is on its way here, written and proved part by part.

use std::ops::Range;
use std::sync::Arc;

use hither_types::id::Digest;
use hither_types::unit::ByteCount;

use crate::blobs::fetch::{FetchError, check_room, free, join};
use crate::blobs::plan::cut;
use crate::blobs::store::{Fetching, Partial, ServeError, Store, StoreError, WriteError, is_full};
use crate::limits;
use crate::swarm::{Shared, Swarm};

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    partial: Partial,
    // Nobody else fetches the file as long as somebody writes to it.
    _claim: Fetching,
}

/// A file of which a part is here. Clones are handles to the same.
#[derive(Debug, Clone)]
pub struct Half(Arc<Inner>);

/// Why a part was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// It is not what the digest promises.
    #[error("the bytes are not those of the file")]
    BadBytes,
    /// The disk said no.
    #[error(transparent)]
    Disk(#[from] FetchError),
}

impl Swarm {
    /// Opens what there is of a file, and says which of its parts of `step` bytes, a multiple of 16 KiB, are missing;
    /// `None` if it is here in full.
    pub async fn begin(
        &self,
        digest: Digest,
        size: ByteCount,
        step: u64,
    ) -> Result<Option<(Half, Vec<Range<u64>>)>, FetchError> {
        begin(self.shared(), digest, size.0, step).await
    }

    /// A part of a file that is here in full, with its proof.
    pub async fn prove(&self, digest: Digest, part: Range<u64>) -> Result<Vec<u8>, ServeError> {
        prove(&self.shared().store, digest, part).await
    }
}

async fn begin(
    shared: &Arc<Shared>,
    digest: Digest,
    size: u64,
    step: u64,
) -> Result<Option<(Half, Vec<Range<u64>>)>, FetchError> {
    let claim = shared.store.claim(digest).ok_or(FetchError::Running(digest))?;
    if shared.store.has(digest) {
        return Ok(None);
    }
    check_possible(digest, size)?;
    let store = shared.store.clone();
    let opened = join(tokio::task::spawn_blocking(move || store.partial(digest, size, cut(size, step))).await);
    let (partial, missing) = opened?;
    check_room(shared, missing.iter().map(|part| part.end - part.start).sum())?;
    let half = Half(Arc::new(Inner { shared: shared.clone(), partial, _claim: claim }));
    Ok(Some((half, missing)))
}

/// Whether a file can have a digest and a size.
pub(super) fn check_possible(digest: Digest, size: u64) -> Result<(), FetchError> {
    let empty = *bao_tree::blake3::hash(b"").as_bytes() == digest.0;
    let possible = size <= limits::FILE_MAX && (size == 0) == empty;
    if possible { Ok(()) } else { Err(FetchError::Impossible { digest, size }) }
}

impl Half {
    /// Verifies a part and writes it.
    pub async fn write(&self, part: Range<u64>, encoded: Vec<u8>) -> Result<(), PartError> {
        let half = self.0.clone();
        let length = ByteCount(part.end - part.start);
        let written = join(tokio::task::spawn_blocking(move || half.partial.write(&part, &encoded)).await);
        written.map_err(|error| match error {
            WriteError::BadBytes => PartError::BadBytes,
            WriteError::Disk(error) if is_full(&error) => {
                PartError::Disk(FetchError::DiskFull { needed: length, free: free(&self.0.shared) })
            }
            WriteError::Disk(source) => {
                let path = self.0.shared.store.root().to_owned();
                PartError::Disk(FetchError::Store(StoreError::Io { path, source }))
            }
        })
    }

    /// A part with its proof.
    pub async fn prove(&self, part: Range<u64>) -> Result<Vec<u8>, ServeError> {
        let half = self.0.clone();
        join(tokio::task::spawn_blocking(move || half.partial.prove(&part)).await)
    }

    /// Makes the file whole: all its parts were written.
    pub async fn complete(&self) -> Result<(), FetchError> {
        let half = self.0.clone();
        Ok(join(tokio::task::spawn_blocking(move || half.shared.store.complete(&half.partial)).await)?)
    }
}

async fn prove(store: &Store, digest: Digest, part: Range<u64>) -> Result<Vec<u8>, ServeError> {
    let store = store.clone();
    join(tokio::task::spawn_blocking(move || store.prove(digest, &part)).await)
}
