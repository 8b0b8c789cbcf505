//! The files of a ledger, and the few things that are done to them. A seam, so that tests can fill the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The records.
pub(crate) const LEDGER: &str = "ledger.jsonl";
/// The signed root.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The key that signs.
pub(crate) const VERIFIER_KEY: &str = "node.vkey";
/// Locked by the one process that writes.
const LOCK: &str = "lock";

/// What the writer does to its files.
pub(crate) trait Storage: Send {
    /// Puts bytes at an offset, ends the file behind them, and waits until that is on the disk.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the records.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Replaces the checkpoint in one step.
    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()>;
}

/// Why a folder cannot be opened for writing.
pub(crate) enum FolderError {
    /// Another process writes here.
    Locked,
    /// The system said no.
    Io(io::Error),
}

impl From<io::Error> for FolderError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The right to write in a folder, for as long as it is kept.
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

impl Lock {
    /// Makes the folder if it is not there, and takes the lock.
    pub(crate) fn take(dir: &Path) -> Result<Self, FolderError> {
        std::fs::create_dir_all(dir)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(FolderError::Locked),
            Err(TryLockError::Error(error)) => Err(FolderError::Io(error)),
        }
    }
}

/// The files in a folder.
pub(crate) struct Folder {
    dir: PathBuf,
    records: File,
    _lock: Lock,
}

impl Folder {
    /// Opens the records of a folder; makes the file if it is not there.
    pub(crate) fn open(dir: &Path, lock: Lock) -> io::Result<Self> {
        let path = dir.join(LEDGER);
        let fresh = !path.exists();
        let records = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        if fresh {
            // The names of new files must survive a power cut, too.
            sync_dir(dir)?;
        }
        Ok(Self { dir: dir.to_owned(), records, _lock: lock })
    }
}

impl Storage for Folder {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.records.seek(SeekFrom::Start(offset))?;
        self.records.write_all(bytes)?;
        let end = offset + bytes.len() as u64;
        if self.records.metadata()?.len() > end {
            self.records.set_len(end)?;
        }
        self.records.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.records.set_len(len)?;
        self.records.sync_data()
    }

    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()> {
        replace(&self.dir, CHECKPOINT, note)
    }
}

/// Replaces a small file in one step: a reader sees the old one or the new one, and so does who comes after a power cut.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = dir.join(format!("{name}.new"));
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    std::fs::rename(fresh, dir.join(name))
}

/// Makes new names in a folder durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
