//! The files of a ledger, and the few things that are done to them. A seam, so that tests can fill the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::segments::{closed_name, hashes_name};

/// The records.
pub(crate) const LEDGER: &str = "ledger.jsonl";
/// The signed root.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// The key that signs.
pub(crate) const VERIFIER_KEY: &str = "node.vkey";
/// What was lost and is not on the record yet.
pub(crate) const LOST: &str = "lost";
/// How long that is, always: one page, so that writing over it needs no room.
pub(crate) const LOST_BYTES: usize = 4096;
/// Locked by the one process that writes.
const LOCK: &str = "lock";

/// What the writer does to its files.
pub(crate) trait Storage: Send {
    /// Puts bytes at an offset, ends the file behind them, and waits until that is on the disk.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the records, and puts behind them as many bytes that are none as a crash had left there.
    fn truncate(&mut self, len: u64, torn: u64) -> io::Result<()>;
    /// Replaces the checkpoint in one step.
    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()>;
    /// Ends the records behind so many bytes and gives their file the name of a closed segment; the next write begins
    /// another. It can be asked again if it failed.
    fn close(&mut self, first: u64, len: u64) -> io::Result<()>;
    /// Puts hashes beside a closed segment, in one step, and waits until they are on the disk.
    fn write_hashes(&mut self, first: u64, hashes: &[u8]) -> io::Result<()>;
    /// Removes a closed segment. It can be asked again.
    fn remove(&mut self, first: u64) -> io::Result<()>;
    /// Puts what was lost where there is room for it even on a full disk.
    fn keep_lost(&mut self, page: &[u8; LOST_BYTES]) -> io::Result<()>;
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

/// Whether a node writes a ledger now: its lock is taken. What cannot be looked at counts as written by nobody.
pub fn is_being_written(dir: &Path) -> bool {
    // Not made if it is not there: a copy has none.
    let file = OpenOptions::new().write(true).open(dir.join(LOCK));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

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
    /// The open segment; none between the end of one and the first write to the next.
    records: Option<File>,
    /// Room that is there before it is needed. Without it nothing is kept of what a full disk lost.
    lost: Option<File>,
    _lock: Lock,
}

impl Folder {
    /// Opens the records of a folder; makes the file if it is not there.
    pub(crate) fn open(dir: &Path, lock: Lock) -> io::Result<Self> {
        let records = Some(open_records(dir)?);
        // A disk without room for it is no reason not to run: it is made when there is some.
        let lost = open_lost(dir).ok();
        Ok(Self { dir: dir.to_owned(), records, lost, _lock: lock })
    }

    fn records(&mut self) -> io::Result<&mut File> {
        let file = match self.records.take() {
            Some(file) => file,
            None => open_records(&self.dir)?,
        };
        Ok(self.records.insert(file))
    }
}

fn open_records(dir: &Path) -> io::Result<File> {
    let path = dir.join(LEDGER);
    let fresh = !path.exists();
    let records = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if fresh {
        // The names of new files must survive a power cut, too.
        sync_dir(dir)?;
    }
    Ok(records)
}

/// Opens the page for what was lost. Its bytes are written once before they are needed: a hole would need room later.
fn open_lost(dir: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(LOST))?;
    if file.metadata()?.len() != LOST_BYTES as u64 {
        file.write_all(&[b'\n'; LOST_BYTES])?;
        file.set_len(LOST_BYTES as u64)?;
        file.sync_all()?;
    }
    Ok(file)
}

impl Storage for Folder {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let records = self.records()?;
        records.seek(SeekFrom::Start(offset))?;
        records.write_all(bytes)?;
        let end = offset + bytes.len() as u64;
        if records.metadata()?.len() > end {
            records.set_len(end)?;
        }
        records.sync_data()
    }

    fn truncate(&mut self, len: u64, torn: u64) -> io::Result<()> {
        let records = self.records()?;
        records.set_len(len)?;
        if torn > 0 {
            // A hole, which needs no room.
            records.set_len(len + torn)?;
        }
        records.sync_data()
    }

    fn replace_checkpoint(&mut self, note: &[u8]) -> io::Result<()> {
        replace(&self.dir, CHECKPOINT, note)
    }

    fn close(&mut self, first: u64, len: u64) -> io::Result<()> {
        if let Some(records) = &self.records {
            if records.metadata()?.len() > len {
                records.set_len(len)?;
                records.sync_data()?;
            }
            std::fs::rename(self.dir.join(LEDGER), self.dir.join(closed_name(first)))?;
            self.records = None;
        }
        sync_dir(&self.dir)
    }

    fn write_hashes(&mut self, first: u64, hashes: &[u8]) -> io::Result<()> {
        replace(&self.dir, &hashes_name(first), hashes)?;
        sync_dir(&self.dir)
    }

    fn remove(&mut self, first: u64) -> io::Result<()> {
        match std::fs::remove_file(self.dir.join(closed_name(first))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => sync_dir(&self.dir),
        }
    }

    fn keep_lost(&mut self, page: &[u8; LOST_BYTES]) -> io::Result<()> {
        let mut file = match self.lost.take() {
            Some(file) => file,
            None => open_lost(&self.dir)?,
        };
        file.seek(SeekFrom::Start(0))?;
        file.write_all(page)?;
        file.sync_data()?;
        self.lost = Some(file);
        Ok(())
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
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
