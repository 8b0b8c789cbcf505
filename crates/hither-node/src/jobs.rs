//! Jobs: requests that are kept on the disk of this node, encrypted, until they can be answered.
//!
//! What must stay true: nobody is told that a job is kept, answered or cancelled before that is on disk; a job that was
//! acknowledged is never dropped; of the attempts at a job one ends it. What is written is written one after the other,
//! under `writer`; what is looked at needs `index` alone, which is never held over a disk.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hither_api::jobs::{
    Accepted, End, Given, Head, Job, JobError, JobId, JobStore, Leased, NewJob, Next, Pause, Status, Tried, Whose,
};
use hither_types::id::AppName;
use hither_types::time::WallTime;
use tokio::sync::watch;

mod batches;
mod bounds;
mod disk;
mod files;
mod index;
mod record;
mod scraps;
mod seal;
mod shelf;
#[cfg(test)]
mod tests;

pub use bounds::JobBounds;
pub(crate) use bounds::JobsSection;

use disk::{Disk, Folder};
use files::{Files, Found, is_full};
use index::{Entry, Index, Load};
use record::{EndForm, GivenForm, JobForm, Origin, RunForm, TriedForm};
use seal::{Kind, Seal};

use crate::limits::{
    JOB_HOLD_FIRST_MS, JOB_HOLD_MAX_MS, JOB_STRIKE_FIRST_MS, JOB_WAIT_NAMED_MAX_MS, JOBS_LOOK_AGAIN, JOBS_SWEPT_AT_ONCE,
};
use crate::trust::wall_now;

/// What time it is.
type WallClock = Box<dyn Fn() -> WallTime + Send + Sync>;

/// The jobs of a node.
pub(crate) struct Jobs<D = Folder> {
    files: Files<D>,
    bounds: JobBounds,
    clock: WallClock,
    writer: Mutex<()>,
    index: Mutex<Index>,
    changed: watch::Sender<u64>,
}

/// Opens the jobs of a data directory: all that are there, and what an operator should know of those that are not.
pub(crate) fn open(data_dir: &Path, bounds: JobBounds) -> io::Result<(Jobs, Vec<String>)> {
    let secret = secret(&data_dir.join("jobs.key"))?;
    let files = Files::new(Folder::open(&data_dir.join("jobs"))?, Seal::new(&secret));
    Jobs::load(files, bounds, Box::new(wall_now))
}

/// The key that jobs are encrypted under; made at the first start.
fn secret(path: &Path) -> io::Result<[u8; 32]> {
    if !path.exists() {
        let made = crate::home::random::<32>();
        crate::home::write_private(path, data_encoding::HEXLOWER.encode(&made).as_bytes())?;
        if let Some(parent) = path.parent() {
            // Before anything is encrypted under it: without it, what is kept is lost.
            std::fs::File::open(parent)?.sync_all()?;
        }
    }
    let text = std::fs::read_to_string(path)?;
    let bytes = data_encoding::HEXLOWER.decode(text.trim().as_bytes()).ok();
    let wrong = || io::Error::other(format!("{} is damaged: a key is 64 hexadecimal digits", path.display()));
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

impl<D: Disk> Jobs<D> {
    /// Reads what is there.
    fn load(files: Files<D>, bounds: JobBounds, clock: WallClock) -> io::Result<(Self, Vec<String>)> {
        let (found, scraps, mut warnings) = files.load()?;
        let mut index = Index::default();
        scraps.put_back(&files, &mut index, &mut warnings)?;
        for found in found {
            let (id, entry) = match found {
                Found::Open { id, job, epoch, run, bytes } => {
                    let entry = Self::entry(job.origin, Status::Queued, epoch, bytes);
                    (id, entry.map(|entry| Entry { strikes: run.strikes, last: run.last.map(Tried::from), ..entry }))
                }
                Found::Ended { id, epoch, end, bytes } => {
                    let entry = record::end_of(end.status)
                        .and_then(|status| Self::entry(end.origin, status, epoch, bytes))
                        .map(|entry| Entry {
                            ended: Some(WallTime(end.ended)),
                            last: end.last.map(Tried::from),
                            ..entry
                        });
                    (id, entry)
                }
            };
            match entry {
                Ok(entry) => index.insert(id, entry),
                Err(why) => warnings.push(format!("job {id} is left alone: {why}")),
            }
        }
        let jobs = Self {
            files,
            bounds,
            clock,
            writer: Mutex::default(),
            index: Mutex::new(index),
            changed: watch::Sender::new(0),
        };
        Ok((jobs, warnings))
    }

    fn entry(origin: Origin, status: Status, epoch: u32, bytes: u64) -> Result<Entry, &'static str> {
        let (app, class) = origin.words()?;
        Ok(Entry {
            origin: Arc::new(origin),
            app,
            class,
            status,
            epoch,
            strikes: 0,
            last: None,
            not_before: WallTime(0),
            ended: None,
            bytes,
        })
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // No step under this lock leaves the index half-changed.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn now(&self) -> WallTime {
        (self.clock)()
    }

    /// The job that a submission joins, if it joins one.
    fn joined(&self, app: &AppName, origin: &Origin) -> Result<Option<JobId>, JobError> {
        let index = self.index();
        let Some((id, entry)) = index.keyed(app, origin.key) else { return Ok(None) };
        if entry.origin.fingerprint != origin.fingerprint {
            return Err(JobError::KeyReused(id));
        }
        // Without a key of its own, a submission is the same as one that lives or was answered. One that ended without
        // an answer is asked again.
        let without_answer = matches!(entry.status, Status::Failed | Status::Expired | Status::Cancelled);
        Ok((origin.is_named || !without_answer).then_some(id))
    }

    /// Makes room, if there is some to be made. The caller holds the writer.
    fn make_room(&self, app: &AppName, more: Load) -> Result<(), JobError> {
        let going = self.index().room(&self.bounds, app, more)?;
        for id in going {
            self.files.forget(id).map_err(trouble)?;
            self.index().remove(id);
        }
        self.files.set_aside().map_err(trouble)
    }

    /// Puts a new job on disk, then in memory. The caller holds the writer.
    fn take_in(&self, id: JobId, origin: Origin, sealed: &[u8]) -> Result<(), JobError> {
        let bytes = sealed.len() as u64;
        let entry = Self::entry(origin, Status::Queued, 0, bytes).map_err(|why| damaged(id, why))?;
        self.make_room(&entry.app, Load { jobs: 1, bytes })?;
        self.files.put(id, Kind::Job, sealed).map_err(trouble)?;
        self.index().insert(id, entry);
        Ok(())
    }

    /// Ends a job on disk, then in memory. The caller holds the writer, and has seen that it has not ended.
    fn end(&self, id: JobId, status: Status, given: Option<Given>) -> Result<(), JobError> {
        let now = self.now();
        let (origin, epoch, last) = {
            let index = self.index();
            let entry = index.get(&Whose::Everyone, id)?;
            (Origin::clone(&entry.origin), entry.epoch, entry.last.as_ref().map(TriedForm::from))
        };
        let number = record::status_number(status);
        let form = EndForm { origin, status: number, ended: now.0, last, given: given.as_ref().map(GivenForm::of) };
        let body = given.as_ref().map_or(&[][..], |given| &given.body);
        let sealed = self.files.close(id, Kind::End, epoch, &record::write(&form, body));
        match self.files.put(id, Kind::End, &sealed) {
            Ok(()) => self.index().end(id, status, now, sealed.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // An end that could neither be synced nor removed: it is the one that counts.
                let (end, _) = self.read_end(id)?;
                let there = record::end_of(end.status).map_err(|why| damaged(id, why))?;
                self.index().end(id, there, WallTime(end.ended), sealed.len() as u64);
            }
            Err(error) => return Err(trouble(error)),
        }
        self.files.clear(id);
        self.tell();
        Ok(())
    }

    fn read_end(&self, id: JobId) -> Result<(EndForm, Bytes), JobError> {
        match self.files.end(id) {
            Ok(end) => end.map_err(|why| damaged(id, why)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(JobError::Unknown(id)),
            Err(error) => Err(trouble(error)),
        }
    }

    fn job(&self, id: JobId) -> Result<Job, JobError> {
        let (head, metadata) = {
            let index = self.index();
            let entry = index.get(&Whose::Everyone, id)?;
            (index.head(id, entry), entry.origin.metadata.clone())
        };
        let has_answer = matches!(head.status, Status::Done | Status::Failed);
        if !has_answer {
            return Ok(Job { head, metadata, given: None });
        }
        let (end, body) = self.read_end(id)?;
        Ok(Job { head, metadata, given: end.given.map(|given| given.into_given(body)) })
    }

    /// Ends what is overdue and forgets what was kept long enough. Whether there may be more of it.
    fn sweep(&self) -> bool {
        let (overdue, old) = self.index().due(self.now(), self.bounds.keep_ms, JOBS_SWEPT_AT_ONCE);
        let more = overdue.len().max(old.len()) == JOBS_SWEPT_AT_ONCE;
        let mut stuck = false;
        for id in overdue {
            if let Err(error) = self.end(id, Status::Expired, None) {
                tracing::warn!(job = %id, %error, "a deadline has passed, and that cannot be written yet");
                stuck = true;
            }
        }
        for id in old {
            match self.files.forget(id) {
                Ok(()) => self.index().remove(id),
                Err(error) => {
                    tracing::warn!(job = %id, %error, "a job that was kept long enough cannot be removed yet");
                    stuck = true;
                }
            }
        }
        self.sweep_shelf();
        more && !stuck
    }

    /// Writes how far a job is. It is not what the job hangs on: without it, what is lost is how often it was tried.
    fn note(&self, id: JobId) {
        let Some((epoch, form)) = self.index().get(&Whose::Everyone, id).ok().map(|entry| {
            (entry.epoch, RunForm { strikes: entry.strikes, last: entry.last.as_ref().map(TriedForm::from) })
        }) else {
            return;
        };
        let sealed = self.files.close(id, Kind::Run, epoch, &record::write(&form, &[]));
        if let Err(error) = self.files.put(id, Kind::Run, &sealed) {
            tracing::warn!(job = %id, %error, "how often a job was tried cannot be written");
        }
    }

    fn lease_one(&self) -> Option<Next> {
        let id = self.index().take(self.now())?;
        let (epoch, strikes, deadline, app) = {
            let index = self.index();
            let entry = index.get(&Whose::Everyone, id).ok()?;
            (entry.epoch, entry.strikes, WallTime(entry.origin.deadline), entry.app.clone())
        };
        let read = match self.files.job(id) {
            Ok(read) => read.map_err(|why| why.to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match read {
            Ok((job, body)) => {
                self.note(id);
                Some(Next::Run(Box::new(Leased { id, epoch, strikes, deadline, app, ask: job.into_ask(body) })))
            }
            Err(why) => {
                // The disk may give it back; until then its place in the queue is not in the way of others.
                tracing::error!(job = %id, why, "what was to be asked cannot be read from the disk");
                let later = WallTime(self.now().0 + JOB_HOLD_MAX_MS);
                self.index().put_back(id, |entry| entry.not_before = later);
                Some(Next::Wait(Duration::ZERO))
            }
        }
    }
}

fn damaged(id: JobId, why: &str) -> JobError {
    JobError::Damaged { id, text: why.to_owned() }
}

fn trouble(error: io::Error) -> JobError {
    if is_full(&error) { JobError::DiskFull(error) } else { JobError::Disk(error) }
}

/// One hash over several parts, none of which can be taken for another.
fn hash<'a>(context: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// What stays known of a new job.
fn origin(new: &NewJob, now: WallTime) -> Origin {
    let headers = || new.ask.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    let fingerprint = hash("hither job submission 1", std::iter::once(&*new.said).chain(headers()));
    let key = match &new.key {
        Some(key) => hash("hither job key 1", [key.as_bytes()]),
        None => hash("hither job without a key 1", [&fingerprint[..]]),
    };
    let model = new.model.as_deref().unwrap_or_default();
    Origin {
        app: new.app.to_string(),
        url: new.ask.url.clone(),
        model: new.model.clone(),
        class: record::class_number(new.class),
        created: now.0,
        deadline: new.deadline.0,
        key,
        is_named: new.key.is_some(),
        fingerprint,
        target: hash("hither job target 1", [model.as_bytes()].into_iter().chain(headers())),
        metadata: new.metadata.clone(),
    }
}

/// A time that doubles with each try.
fn doubled(first_ms: u64, tries: u32) -> u64 {
    first_ms.saturating_mul(1 << tries.min(16)).min(JOB_HOLD_MAX_MS)
}

impl<D: Disk> JobStore for Jobs<D> {
    fn submit(&self, new: NewJob) -> Result<Accepted, JobError> {
        let writer = self.write();
        let origin = origin(&new, self.now());
        if let Some(id) = self.joined(&new.app, &origin)? {
            return Ok(Accepted { job: self.job(id)?, joined: true });
        }
        let id = JobId(uuid::Uuid::now_v7().as_u128());
        let form = JobForm { origin, headers: new.ask.headers };
        let sealed = self.files.close(id, Kind::Job, 0, &record::write(&form, &new.ask.body));
        self.take_in(id, form.origin, &sealed)?;
        drop(writer);
        self.tell();
        Ok(Accepted { job: self.job(id)?, joined: false })
    }

    fn list(&self, whose: &Whose, after: Option<JobId>, most: usize) -> Vec<Head> {
        self.index().list(whose, after, most)
    }

    fn show(&self, whose: &Whose, id: JobId) -> Result<Job, JobError> {
        self.index().get(whose, id)?;
        self.job(id)
    }

    fn cancel(&self, whose: &Whose, id: JobId) -> Result<Head, JobError> {
        let _writer = self.write();
        let status = self.index().get(whose, id)?.status;
        if status.is_end() {
            return Err(JobError::Ended { id, status });
        }
        self.end(id, Status::Cancelled, None)?;
        let index = self.index();
        Ok(index.head(id, index.get(whose, id)?))
    }

    fn remove(&self, whose: &Whose, id: JobId) -> Result<(), JobError> {
        let _writer = self.write();
        let status = self.index().get(whose, id)?.status;
        if !status.is_end() {
            return Err(JobError::NotEnded { id, status });
        }
        self.files.forget(id).map_err(trouble)?;
        self.index().remove(id);
        self.tell();
        Ok(())
    }

    fn lease(&self) -> Next {
        let _writer = self.write();
        let more = self.sweep();
        if let Some(next) = self.lease_one() {
            return next;
        }
        if more {
            return Next::Wait(Duration::ZERO);
        }
        let until = self.index().next(self.bounds.keep_ms);
        let left = until.map_or(u64::MAX, |until| until.0.saturating_sub(self.now().0));
        // Whatever is due now and could not be done is not tried at once again.
        Next::Wait(Duration::from_millis(left).clamp(JOBS_LOOK_AGAIN.start, JOBS_LOOK_AGAIN.end))
    }

    fn settle(&self, id: JobId, epoch: u32, end: End) -> Result<(), JobError> {
        let _writer = self.write();
        self.index().running(id, epoch)?;
        let (status, given) = match end {
            End::Done(given) => (Status::Done, given),
            End::Failed(given) => (Status::Failed, given),
        };
        self.end(id, status, Some(given)).inspect_err(|_| {
            // It is tried again: the answer that could not be kept is told to nobody.
            let later = WallTime(self.now().0 + JOB_HOLD_MAX_MS);
            self.index().put_back(id, |entry| entry.not_before = later);
        })
    }

    fn release(&self, id: JobId, epoch: u32, tried: Tried, pause: Pause) {
        let _writer = self.write();
        if self.index().running(id, epoch).is_err() {
            return;
        }
        let now = self.now().0;
        {
            let mut index = self.index();
            if let Pause::Everyone(named) = pause {
                let named = named.map_or(0, |named| named.as_millis() as u64).min(JOB_WAIT_NAMED_MAX_MS);
                index.hold(id, |tries| WallTime(now + doubled(JOB_HOLD_FIRST_MS, tries).max(named)));
            }
            index.put_back(id, |entry| {
                entry.last = Some(tried);
                if pause == Pause::Strike {
                    entry.not_before = WallTime(now + doubled(JOB_STRIKE_FIRST_MS, entry.strikes));
                    entry.strikes += 1;
                }
            });
        }
        self.note(id);
        self.tell();
    }

    fn holds(&self, id: JobId, epoch: u32) -> bool {
        self.index().running(id, epoch).is_ok()
    }

    fn wake(&self) {
        self.index().wake();
        self.tell();
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
