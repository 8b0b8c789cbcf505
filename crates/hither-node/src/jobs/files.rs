//! The files of jobs: `ID.job` what is to be asked, `ID.run` how far it is, `ID.end` how it ended. Beside them those of
//! files and batches: `ID.NUMBER.part`, `ID.file` and `ID.batch`.
//!
//! What must stay true: a file is written whole under a name that nobody reads, synced, renamed, and the directory is
//! synced, before anybody is told. A job has ended if and only if its `ID.end` is there: it is put there once, never in
//! the place of another, and what was to be asked is removed after that. Some space is set aside, so that on a full disk
//! a job can still end; while it is not there, no job is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use hither_api::jobs::JobId;

use super::disk::Disk;
use super::record::{self, EndForm, JobForm, RunForm};
use super::scraps::{self, Scraps};
use super::seal::{Kind, Seal};
use crate::limits::JOB_RESERVE_BYTES;

/// A file on its way to its name.
const NEW: &str = ".new";
/// A file that could not be read, put aside.
const DAMAGED: &str = ".damaged";
/// The space that is set aside.
pub(super) const RESERVE: &str = "reserve";

/// The files.
pub(super) struct Files<D> {
    disk: D,
    seal: Seal,
    has_reserve: AtomicBool,
}

/// How a file comes to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// There must be none of that name.
    New,
    /// In the place of one that may be there.
    Over,
}

/// A job as it was found.
pub(super) enum Found {
    /// It has not ended.
    Open { id: JobId, job: JobForm, epoch: u32, run: RunForm, bytes: u64 },
    /// It has.
    Ended { id: JobId, epoch: u32, end: EndForm, bytes: u64 },
}

/// Whether an error says that there is no space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

pub(super) fn name(id: JobId, kind: Kind) -> String {
    format!("{:032x}.{}", id.0, kind.as_str())
}

fn parse(name: &str) -> Option<(JobId, Kind)> {
    let (id, kind) = name.split_once('.')?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let id = (id.len() == 32).then(|| u128::from_str_radix(id, 16).ok())??;
    Some((JobId(id), kind))
}

impl<D: Disk> Files<D> {
    pub(super) fn new(disk: D, seal: Seal) -> Self {
        Self { disk, seal, has_reserve: AtomicBool::new(false) }
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &D {
        &self.disk
    }

    /// Encrypts, so that the size is known before there is a file.
    pub(super) fn close(&self, id: JobId, kind: Kind, epoch: u32, plain: &[u8]) -> Vec<u8> {
        self.seal.close(id, kind, epoch, plain)
    }

    /// Writes a file. When this returns well, it survives a loss of power; when not, it is as if nothing had been done.
    /// An end may take the space that was set aside.
    pub(super) fn put(&self, id: JobId, kind: Kind, sealed: &[u8]) -> io::Result<()> {
        match self.place(id, kind, sealed) {
            Err(error) if kind == Kind::End && is_full(&error) && self.has_reserve.swap(false, Ordering::SeqCst) => {
                self.disk.remove(RESERVE)?;
                self.place(id, kind, sealed)
            }
            placed => placed,
        }
    }

    fn place(&self, id: JobId, kind: Kind, sealed: &[u8]) -> io::Result<()> {
        let how = if kind == Kind::Run { How::Over } else { How::New };
        self.put_as(&name(id, kind), how, sealed)
    }

    /// Writes a file under a name. When this returns well, it survives a loss of power; when not, a new one is not there,
    /// and of one that is put in the place of another either is.
    pub(super) fn put_as(&self, name: &str, how: How, sealed: &[u8]) -> io::Result<()> {
        let new = format!("{name}{NEW}");
        let renamed = self.disk.write(&new, sealed).and_then(|()| match how {
            How::Over => self.disk.rename(&new, name),
            How::New => self.disk.rename_new(&new, name),
        });
        if let Err(error) = renamed {
            // What was begun is in nobody's way, and removed at the next start if not now.
            let _ = self.disk.remove(&new);
            return Err(error);
        }
        self.disk.sync().inspect_err(|_| {
            if how == How::New {
                // Nobody was told of it, so it must not be there.
                let _ = self.disk.remove(name);
            }
        })
    }

    /// Sets space aside, if it is not. While that fails, no job may be taken.
    pub(super) fn set_aside(&self) -> io::Result<()> {
        if self.has_reserve.load(Ordering::SeqCst) {
            return Ok(());
        }
        // Not zeros: a file system that compresses would set nothing aside.
        let mut filling = vec![0; JOB_RESERVE_BYTES];
        blake3::Hasher::new().finalize_xof().fill(&mut filling);
        match self.disk.write(RESERVE, &filling).and_then(|()| self.disk.sync()) {
            Ok(()) => {
                self.has_reserve.store(true, Ordering::SeqCst);
                Ok(())
            }
            Err(error) => {
                // Half of it is of no use.
                let _ = self.disk.remove(RESERVE);
                Err(error)
            }
        }
    }

    /// What is to be asked.
    pub(super) fn job(&self, id: JobId) -> io::Result<Result<(JobForm, Bytes), &'static str>> {
        let file = self.disk.read(&name(id, Kind::Job))?;
        Ok(self.seal.open(id, Kind::Job, &file).and_then(|(_, plain)| record::read(plain)))
    }

    /// How it ended.
    pub(super) fn end(&self, id: JobId) -> io::Result<Result<(EndForm, Bytes), &'static str>> {
        let file = self.disk.read(&name(id, Kind::End))?;
        Ok(self.seal.open(id, Kind::End, &file).and_then(|(_, plain)| record::read(plain)))
    }

    /// Removes what an end has made needless.
    pub(super) fn clear(&self, id: JobId) {
        for kind in [Kind::Job, Kind::Run] {
            match self.disk.remove(&name(id, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(job = %id, %error, "the content of an ended job is not removed yet");
                }
                _ => {}
            }
        }
    }

    /// Removes everything of a job.
    pub(super) fn forget(&self, id: JobId) -> io::Result<()> {
        self.clear(id);
        match self.disk.remove(&name(id, Kind::End)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.disk.sync()
    }

    /// Removes everything of several jobs that have ended.
    pub(super) fn forget_all(&self, ids: &[JobId]) -> io::Result<()> {
        for id in ids {
            self.clear(*id);
            self.remove(&name(*id, Kind::End))?;
        }
        self.disk.sync()
    }

    /// Reads what was written under a name.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(name)
    }

    /// Decrypts.
    pub(super) fn unseal(&self, id: JobId, kind: Kind, file: &[u8]) -> Result<(u32, Vec<u8>), &'static str> {
        self.seal.open(id, kind, file)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self.disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// From here on, what was removed stays so.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }

    /// Puts a file aside.
    pub(super) fn aside(&self, name: &str) {
        if let Err(error) = self.disk.rename(name, &format!("{name}{DAMAGED}")) {
            tracing::warn!(file = name, %error, "a damaged file of a job cannot be put aside");
        }
    }

    /// Reads everything that is there, and puts aside what cannot be read: each with a sentence that names it.
    pub(super) fn load(&self) -> io::Result<(Vec<Found>, Scraps, Vec<String>)> {
        let mut by_job: BTreeMap<JobId, BTreeSet<Kind>> = BTreeMap::new();
        let (mut scraps, mut warnings) = (Scraps::default(), Vec::new());
        for file in self.disk.names()? {
            if file.ends_with(NEW) {
                // Nobody was told of it.
                self.disk.remove(&file)?;
            } else if file == RESERVE {
                // Written anew, for who knows how much of it is there.
            } else if let Some((id, kind)) = parse(&file) {
                by_job.entry(id).or_default().insert(kind);
            } else if let Some((id, number)) = scraps::parse_part(&file) {
                scraps.parts.insert((id, number));
            } else if let Some(id) = scraps::parse(&file, Kind::File) {
                let form = self.open(JobId(id), Kind::File, &mut warnings);
                scraps.files.extend(form.map(|(_, form, _)| (id, form)));
            } else if let Some(id) = scraps::parse(&file, Kind::Batch) {
                let form = self.open(JobId(id), Kind::Batch, &mut warnings);
                scraps.batches.extend(form.map(|(_, form, _)| (id, form)));
            } else if file.ends_with(DAMAGED) {
                warnings.push(format!("{file} in jobs/ was damaged and put aside; remove it when you have seen to it"));
            } else {
                warnings.push(format!("{file} in jobs/ is not a file of a job, and is left alone"));
            }
        }
        let found = by_job.into_iter().filter_map(|(id, kinds)| self.one(id, &kinds, &mut warnings)).collect();
        self.disk.sync()?;
        if let Err(error) = self.set_aside() {
            warnings.push(format!("no space can be set aside for jobs, so none is taken: {error}"));
        }
        Ok((found, scraps, warnings))
    }

    fn one(&self, id: JobId, kinds: &BTreeSet<Kind>, warnings: &mut Vec<String>) -> Option<Found> {
        if kinds.contains(&Kind::End)
            && let Some((epoch, end, bytes)) = self.open(id, Kind::End, warnings)
        {
            self.clear(id);
            return Some(Found::Ended { id, epoch, end, bytes });
        }
        let run = if kinds.contains(&Kind::Run) { self.open(id, Kind::Run, warnings) } else { None };
        let (epoch, run, _) = run.unwrap_or_default();
        if !kinds.contains(&Kind::Job) {
            self.clear(id);
            return None;
        }
        let (_, job, bytes) = self.open(id, Kind::Job, warnings)?;
        Some(Found::Open { id, job, epoch, run, bytes })
    }

    fn open<T: serde::de::DeserializeOwned>(
        &self,
        id: JobId,
        kind: Kind,
        warnings: &mut Vec<String>,
    ) -> Option<(u32, T, u64)> {
        let name = name(id, kind);
        let file = match self.disk.read(&name) {
            Ok(file) => file,
            Err(error) => {
                warnings.push(format!("{name} in jobs/ cannot be read: {error}"));
                return None;
            }
        };
        let opened = self.seal.open(id, kind, &file);
        let read = opened.and_then(|(epoch, plain)| Ok((epoch, record::read(plain)?.0, file.len() as u64)));
        read.map_err(|why| {
            self.aside(&name);
            let lost = match kind {
                Kind::Job => "what was to be asked is lost",
                Kind::Run => "the job goes on, and how often it was tried is lost",
                Kind::End => "its result is lost, and the job is tried again if it is still there",
                Kind::Part | Kind::File => "the file is lost",
                Kind::Batch => "the batch is lost; those of its lines that are jobs go on",
            };
            warnings.push(format!("{name} in jobs/ is damaged and put aside as {name}{DAMAGED}: {why}; {lost}"));
        })
        .ok()
    }
}
