//! A file in work: `NAME.part`, and beside it `NAME.part.note`, which says of what it is a part.
//!
//! What must stay true: bytes of two versions never stand in one file; after a power cut, no byte counts that may not have
//! reached the disk, unless a checksum will show it; two tasks never write to one file.

use std::fs::{OpenOptions, TryLockError};
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::Digest;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};
use tokio::time::Instant;

use crate::checksum::Sha256;
use crate::error::FetchError;
use crate::limits;
use crate::name::FileName;
use crate::progress::{Meter, Stage};

/// What the note says. A form that outlives a release: an unknown version is as good as no note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// The source and the file, hashed: an address may have a secret in it.
    source: String,
    etag: Option<String>,
    size: Option<u64>,
    /// Bytes that have certainly reached the disk.
    durable: u64,
}

const NOTE_VERSION: u32 = 1;

/// What a server says of a file before it sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// A strong validator (RFC 9110, 8.8.3), with its quotes.
    pub(crate) etag: Option<String>,
    pub(crate) size: Option<u64>,
}

/// Of what a file is a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) source: Sha256,
    /// Its checksum, where it is known beforehand.
    pub(crate) sha256: Option<Sha256>,
}

/// A file in work, held by this task alone.
#[derive(Debug)]
pub(crate) struct Partial {
    dir: PathBuf,
    name: FileName,
    identity: Identity,
    file: BufWriter<File>,
    hasher: sha2::Sha256,
    length: u64,
    about: About,
    durable: u64,
    /// Whether the bytes came in more than one piece.
    is_stitched: bool,
}

impl Partial {
    /// Takes up what an earlier attempt left, as far as it can be trusted; or begins.
    pub(crate) async fn open(
        dir: &Path,
        name: &FileName,
        identity: Identity,
        meter: &Meter<'_>,
    ) -> Result<Self, FetchError> {
        let disk = |error| FetchError::disk(dir, error);
        tokio::fs::create_dir_all(dir).await.map_err(disk)?;
        let path = part(dir, name);
        let file = hold(&path).await?;
        let there = file.metadata().await.map_err(disk)?.len();
        let note = read_note(&note(dir, name)).await.filter(|note| note.source == identity.source.to_string());
        let mut partial = Self {
            dir: dir.to_owned(),
            name: name.clone(),
            identity,
            file: BufWriter::with_capacity(limits::WRITE, file),
            hasher: sha2::Sha256::new(),
            length: 0,
            about: note.as_ref().map_or_else(About::default, |note| About { etag: note.etag.clone(), size: note.size }),
            durable: 0,
            is_stitched: false,
        };
        let trusted = note.map_or(0, |note| partial.trusted(there, note.durable));
        partial.read_again(trusted, meter).await?;
        Ok(partial)
    }

    /// How many of the bytes on the disk are worth keeping.
    fn trusted(&self, there: u64, durable: u64) -> u64 {
        let size = self.about.size.unwrap_or(u64::MAX);
        match (self.identity.sha256, &self.about.etag) {
            // The checksum shows at the end whether they were good.
            (Some(_), _) => there.min(size),
            // One byte less than all, so that there is something left to ask for, and the server says whether it is the same.
            (None, Some(_)) => there.min(durable).min(size.saturating_sub(1)),
            // Nothing could show that the rest belongs to them.
            (None, None) => 0,
        }
    }

    async fn read_again(&mut self, bytes: u64, meter: &Meter<'_>) -> Result<(), FetchError> {
        let path = part(&self.dir, &self.name);
        let disk = |error| FetchError::disk(&path, error);
        let file = self.file.get_mut();
        file.set_len(bytes).await.map_err(disk)?;
        file.seek(SeekFrom::Start(0)).await.map_err(disk)?;
        if bytes > 0 {
            meter.stage(Stage::Checking);
            meter.size(self.about.size);
        }
        let mut buffer = vec![0; limits::READ];
        while self.length < bytes {
            let want = usize::try_from(bytes - self.length).unwrap_or(usize::MAX).min(buffer.len());
            let read = file.read(&mut buffer[..want]).await.map_err(disk)?;
            if read == 0 {
                break;
            }
            self.hasher.update(&buffer[..read]);
            self.length += read as u64;
            meter.done(self.length);
        }
        self.is_stitched = self.length > 0;
        Ok(())
    }

    /// Bytes that are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What the server said of the file whose beginning is here.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Whether it came in more than one piece.
    pub(crate) fn is_stitched(&self) -> bool {
        self.is_stitched
    }

    /// From where the rest can be asked for. 0: from the start.
    pub(crate) fn resumes_at(&self) -> u64 {
        let is_told_apart = self.about.etag.is_some() || self.identity.sha256.is_some();
        if is_told_apart { self.length } else { 0 }
    }

    /// Notes that the next bytes come from another answer.
    pub(crate) fn stitch(&mut self) {
        self.is_stitched = self.length > 0;
    }

    /// Throws away what is there and begins anew.
    pub(crate) async fn restart(&mut self, about: About) -> Result<(), FetchError> {
        let path = part(&self.dir, &self.name);
        let disk = |error| FetchError::disk(&path, error);
        // The note goes first: without it, what is on the disk counts as nothing.
        self.about = About::default();
        self.durable = 0;
        remove(&note(&self.dir, &self.name)).await?;
        self.file.flush().await.map_err(disk)?;
        let file = self.file.get_mut();
        file.set_len(0).await.map_err(disk)?;
        file.seek(SeekFrom::Start(0)).await.map_err(disk)?;
        self.hasher = sha2::Sha256::new();
        (self.length, self.is_stitched, self.about) = (0, false, about);
        self.write_note().await
    }

    /// Adds bytes at the end.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| FetchError::disk(&part(&self.dir, &self.name), error))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        if self.length - self.durable >= limits::SYNC { self.settle().await } else { Ok(()) }
    }

    /// Makes durable what is there, so that whoever goes on may trust it.
    pub(crate) async fn settle(&mut self) -> Result<(), FetchError> {
        if self.length == self.durable {
            return Ok(());
        }
        let path = part(&self.dir, &self.name);
        let disk = |error| FetchError::disk(&path, error);
        self.file.flush().await.map_err(disk)?;
        self.file.get_ref().sync_data().await.map_err(disk)?;
        self.durable = self.length;
        self.write_note().await
    }

    async fn write_note(&self) -> Result<(), FetchError> {
        let note = Note {
            version: NOTE_VERSION,
            source: self.identity.source.to_string(),
            etag: self.about.etag.clone(),
            size: self.about.size,
            durable: self.durable,
        };
        let text = serde_json::to_vec(&note).expect("strings and numbers are JSON");
        let path = self::note(&self.dir, &self.name);
        let new = path.with_added_extension("new");
        let disk = |error| FetchError::disk(&path, error);
        tokio::fs::write(&new, text).await.map_err(disk)?;
        tokio::fs::rename(&new, &path).await.map_err(disk)
    }

    /// The checksum of what is there.
    pub(crate) fn sha256(&self) -> Sha256 {
        Sha256(self.hasher.clone().finalize().into())
    }

    /// Gives the file its name: durable, at once, and for good.
    pub(crate) async fn finish(mut self) -> Result<PathBuf, FetchError> {
        let path = part(&self.dir, &self.name);
        let whole = self.name.in_dir(&self.dir);
        let disk = |error| FetchError::disk(&path, error);
        self.file.flush().await.map_err(disk)?;
        self.file.get_ref().sync_all().await.map_err(disk)?;
        tokio::fs::rename(&path, &whole).await.map_err(disk)?;
        remove(&note(&self.dir, &self.name)).await?;
        let dir = File::open(&self.dir).await.map_err(disk)?;
        dir.sync_all().await.map_err(disk)?;
        Ok(whole)
    }

    /// Removes all of it.
    pub(crate) async fn discard(self) -> Result<(), FetchError> {
        remove(&note(&self.dir, &self.name)).await?;
        remove(&part(&self.dir, &self.name)).await
    }
}

fn part(dir: &Path, name: &FileName) -> PathBuf {
    name.in_dir(dir).with_added_extension("part")
}

fn note(dir: &Path, name: &FileName) -> PathBuf {
    part(dir, name).with_added_extension("note")
}

async fn remove(path: &Path) -> Result<(), FetchError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FetchError::disk(path, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

async fn read_note(path: &Path) -> Option<Note> {
    let file = File::open(path).await.ok()?;
    let mut text = Vec::new();
    file.take(limits::NOTE).read_to_end(&mut text).await.ok()?;
    serde_json::from_slice::<Note>(&text).ok().filter(|note| note.version == NOTE_VERSION)
}

/// Opens a file for this task alone. The hold ends with the last write, even of a task that is gone.
async fn hold(path: &Path) -> Result<File, FetchError> {
    let disk = |error| FetchError::disk(path, error);
    let deadline = Instant::now() + limits::HOLD;
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(disk)?;
        match file.try_lock() {
            // Whoever had it before may have given it its name meanwhile, and this would be the whole file.
            Ok(()) if is_at(&file, path) => return Ok(File::from_std(file)),
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
        if Instant::now() >= deadline {
            return Err(FetchError::InUse(path.to_owned()));
        }
        tokio::time::sleep(limits::HOLD / 20).await;
    }
}

fn is_at(file: &std::fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    file.metadata().is_ok_and(|held| std::fs::metadata(path).is_ok_and(|there| same(held, there)))
}
