//! Room on the disk.

use std::io;
use std::path::Path;

use hither_types::unit::ByteCount;

use crate::error::FetchError;
use crate::limits::DISK_RESERVE;

/// Bytes that a fetch may write to the disk of a directory. `None`: the system does not say.
pub(crate) fn free(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(DISK_RESERVE))
}

/// Refuses what does not fit, before it comes.
pub(crate) fn check(dir: &Path, needed: u64) -> Result<(), FetchError> {
    match free(dir) {
        Some(free) if needed > free => Err(FetchError::NoSpace {
            dir: dir.to_owned(),
            needed: ByteCount(needed),
            missing: ByteCount(needed - free),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Whether an error says that the disk, a quota or a limit of the process is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
