//! Files and batches, kept beside the jobs: under the same key, in the same folder and within the same bounds.
//!
//! What must stay true: a file is there if and only if its `ID.file` is, which is written after its parts and removed
//! before them; a part of a batch's output counts once `ID.batch` says so, and the same part may be written again until
//! then.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hither_api::batches::{
    Batch, BatchId, BatchStatus, BatchStore, FileEnd, FileHead, FileId, FilePurpose, KeptError, Line, NewBatch,
    NewFile, Progress, Upload, Written,
};
use hither_api::jobs::{JobId, NewJob, Status};
use hither_types::id::AppName;
use hither_types::time::WallTime;

use super::disk::Disk;
use super::files::How;
use super::index::{Index, Load};
use super::record::{JobForm, Origin};
use super::scraps::{BatchForm, FileForm, name_of, part_name};
use super::seal::{Kind, PART_OVERHEAD};
use super::shelf::{load_of_batch, load_of_file};
use super::{Jobs, origin, record, trouble};
use crate::limits::BATCHES_OPEN;

/// A file on its way in.
struct Arriving<D: Disk> {
    jobs: Arc<Jobs<D>>,
    id: FileId,
    new: NewFile,
    written: Written,
    is_there: bool,
}

impl<D: Disk> Arriving<D> {
    fn load(&self) -> Load {
        Load { jobs: 1, bytes: self.written.bytes + u64::from(self.written.parts) * PART_OVERHEAD }
    }
}

impl<D: Disk> Upload for Arriving<D> {
    fn part(&mut self, bytes: &[u8]) -> Result<(), KeptError> {
        let jobs = &*self.jobs;
        let _writer = jobs.write();
        let more = Load { jobs: 0, bytes: bytes.len() as u64 + PART_OVERHEAD };
        jobs.make_room(&self.new.app, more)?;
        jobs.put_part(self.id, self.written.parts, bytes)?;
        jobs.index().charge(&self.new.app, more);
        self.written.parts += 1;
        self.written.bytes += bytes.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>, end: FileEnd) -> Result<FileHead, KeptError> {
        let now = self.jobs.now();
        let head = FileHead {
            id: self.id,
            app: self.new.app.clone(),
            class: self.new.class,
            name: end.name,
            purpose: end.purpose,
            bytes: self.written.bytes,
            parts: self.written.parts,
            created: now,
            expires: WallTime(now.0.saturating_add(end.keep_ms)),
        };
        let jobs = Arc::clone(&self.jobs);
        let _writer = jobs.write();
        jobs.put_head(&head).map_err(trouble)?;
        // It was counted as it came.
        jobs.index().shelf.files.insert(head.id, head.clone());
        self.is_there = true;
        Ok(head)
    }
}

impl<D: Disk> Drop for Arriving<D> {
    fn drop(&mut self) {
        if self.is_there {
            return;
        }
        for number in 0..self.written.parts {
            if let Err(error) = self.jobs.files.remove(&part_name(self.id, number)) {
                tracing::warn!(file = %self.id, %error, "a part of a file that did not come is removed with the next start");
            }
        }
        self.jobs.index().discharge(&self.new.app, self.load());
    }
}

impl<D: Disk> Jobs<D> {
    fn put_part(&self, id: FileId, number: u32, bytes: &[u8]) -> Result<(), KeptError> {
        let sealed = self.files.close(JobId(id.0), Kind::Part, number, bytes);
        Ok(self.files.put_as(&part_name(id, number), How::Over, &sealed).map_err(trouble)?)
    }

    fn put_head(&self, head: &FileHead) -> io::Result<()> {
        let form = record::write(&FileForm::of(head), &[]);
        let sealed = self.files.close(JobId(head.id.0), Kind::File, 0, &form);
        self.files.put_as(&name_of(head.id.0, Kind::File), How::New, &sealed)
    }

    fn put_batch(&self, batch: &Batch, how: How) -> io::Result<()> {
        let form = record::write(&BatchForm::of(batch), &[]);
        let sealed = self.files.close(JobId(batch.id.0), Kind::Batch, 0, &form);
        self.files.put_as(&name_of(batch.id.0, Kind::Batch), how, &sealed)
    }

    /// A batch as it is now, with what came of its lines.
    fn counted(index: &Index, batch: &Batch, lines: &[Line]) -> Batch {
        let mut batch = batch.clone();
        let fresh = || lines.iter().filter(|line| line.number >= batch.progress.written && line.status.is_end());
        let answered = fresh().filter(|line| line.status == Status::Done).count() as u32;
        let ended = fresh().count() as u32;
        debug_assert!(index.shelf.batches.contains_key(&batch.id), "it comes from there");
        (batch.answered, batch.unanswered) = (answered, ended - answered);
        batch
    }

    fn seen(index: &Index, batch: &Batch) -> Batch {
        let lines = match batch.progress.status().is_end() {
            true => Vec::new(),
            false => index.lines(&batch.new.app, batch.id),
        };
        Self::counted(index, batch, &lines)
    }

    /// Forgets files and batches whose time is over.
    pub(super) fn sweep_shelf(&self) {
        let (files, batches) = self.index().shelf.due(self.now());
        for head in files {
            if let Err(error) = self.drop_file(&head) {
                tracing::warn!(file = %head.id, %error, "a file that has expired cannot be removed yet");
            }
        }
        for id in batches {
            let removed = self.files.remove(&name_of(id.0, Kind::Batch)).and_then(|()| self.files.sync());
            if let Err(error) = removed {
                tracing::warn!(batch = %id, %error, "a batch that was kept long enough cannot be removed yet");
                continue;
            }
            let mut index = self.index();
            if let Some(batch) = index.shelf.batches.remove(&id) {
                index.discharge(&batch.new.app, load_of_batch(&batch));
            }
        }
    }

    /// Removes a file: first what says that it is there. The caller holds the writer.
    fn drop_file(&self, head: &FileHead) -> io::Result<()> {
        self.files.remove(&name_of(head.id.0, Kind::File)).and_then(|()| self.files.sync())?;
        {
            let mut index = self.index();
            if index.shelf.files.remove(&head.id).is_some() {
                index.discharge(&head.app, load_of_file(head));
            }
        }
        for number in 0..head.parts {
            if let Err(error) = self.files.remove(&part_name(head.id, number)) {
                tracing::warn!(file = %head.id, %error, "a part of a deleted file is removed with the next start");
            }
        }
        Ok(())
    }

    /// Puts what a batch has written where its app finds it.
    fn publish(&self, batch: &Batch, now: WallTime) -> Result<(), KeptError> {
        let progress = &batch.progress;
        for (id, written, name) in [(batch.output, progress.output, "output"), (batch.errors, progress.errors, "error")]
        {
            if written.parts == 0 {
                continue;
            }
            let head = FileHead {
                id,
                app: batch.new.app.clone(),
                class: batch.new.class,
                name: format!("{}_{name}.jsonl", batch.id),
                purpose: FilePurpose::BatchOutput,
                bytes: written.bytes,
                parts: written.parts,
                created: now,
                expires: WallTime(now.0.saturating_add(batch.new.keep_ms)),
            };
            match self.put_head(&head) {
                // An earlier try got so far.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                put => put.map_err(trouble)?,
            }
            let mut index = self.index();
            index.charge(&head.app, load_of_file(&head));
            if let Some(before) = index.shelf.files.insert(id, head) {
                index.discharge(&before.app, load_of_file(&before));
            }
        }
        Ok(())
    }

    /// Changes a batch on disk, then in memory. The caller holds the writer.
    fn change(&self, id: BatchId, change: &dyn Fn(&mut Progress)) -> Result<Batch, KeptError> {
        let mut batch = self.index().shelf.batches.get(&id).cloned().ok_or(KeptError::UnknownBatch(id))?;
        let before = load_of_batch(&batch);
        let was_open = !batch.progress.status().is_end();
        change(&mut batch.progress);
        if was_open && batch.progress.status().is_end() {
            self.publish(&batch, self.now())?;
        }
        self.put_batch(&batch, How::Over).map_err(trouble)?;
        {
            let mut index = self.index();
            index.charge(&batch.new.app, load_of_batch(&batch));
            index.discharge(&batch.new.app, before);
            index.shelf.batches.insert(id, batch.clone());
        }
        self.tell();
        Ok(batch)
    }
}

impl<D: Disk> BatchStore for Jobs<D> {
    fn create(self: Arc<Self>, new: NewFile) -> Result<Box<dyn Upload>, KeptError> {
        {
            let _writer = self.write();
            let one = Load { jobs: 1, bytes: 0 };
            self.make_room(&new.app, one)?;
            self.index().charge(&new.app, one);
        }
        let id = FileId(uuid::Uuid::now_v7().as_u128());
        Ok(Box::new(Arriving { jobs: self, id, new, written: Written::default(), is_there: false }))
    }

    fn files(&self, app: &AppName, after: Option<FileId>, most: usize) -> Vec<FileHead> {
        let index = self.index();
        let older = index.shelf.files.range(..after.unwrap_or(FileId(u128::MAX))).rev();
        older.map(|(_, head)| head).filter(|head| head.app == *app).take(most).cloned().collect()
    }

    fn file(&self, app: &AppName, id: FileId) -> Result<FileHead, KeptError> {
        self.index().shelf.file(app, id).cloned()
    }

    fn part(&self, id: FileId, number: u32) -> Result<Bytes, KeptError> {
        let file = match self.files.read(&part_name(id, number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeptError::UnknownFile(id)),
            Err(error) => return Err(trouble(error).into()),
        };
        let damaged = |text: &str| KeptError::Damaged { id, text: text.to_owned() };
        match self.files.unseal(JobId(id.0), Kind::Part, &file) {
            Ok((epoch, plain)) if epoch == number => Ok(plain.into()),
            Ok(_) => Err(damaged("one part is in the place of another")),
            Err(why) => Err(damaged(why)),
        }
    }

    fn delete(&self, app: &AppName, id: FileId) -> Result<(), KeptError> {
        let _writer = self.write();
        let head = {
            let index = self.index();
            let head = index.shelf.file(app, id)?.clone();
            if let Some(batch) = index.shelf.reader(id) {
                return Err(KeptError::InUse { file: id, batch });
            }
            head
        };
        self.drop_file(&head).map_err(trouble)?;
        self.tell();
        Ok(())
    }

    fn begin(&self, new: NewBatch) -> Result<Batch, KeptError> {
        let _writer = self.write();
        {
            let index = self.index();
            index.shelf.file(&new.app, new.input)?;
            if index.shelf.open_of(&new.app) >= BATCHES_OPEN {
                return Err(KeptError::TooMany { app: new.app, most: BATCHES_OPEN });
            }
        }
        let now = self.now();
        let id = || uuid::Uuid::now_v7().as_u128();
        let batch = Batch {
            id: BatchId(id()),
            created: now,
            output: FileId(id()),
            errors: FileId(id()),
            progress: Progress::new(now),
            answered: 0,
            unanswered: 0,
            new,
        };
        self.make_room(&batch.new.app, load_of_batch(&batch))?;
        self.put_batch(&batch, How::New).map_err(trouble)?;
        {
            let mut index = self.index();
            index.charge(&batch.new.app, load_of_batch(&batch));
            index.shelf.batches.insert(batch.id, batch.clone());
        }
        self.tell();
        Ok(batch)
    }

    fn batches(&self, app: &AppName, after: Option<BatchId>, most: usize) -> Vec<Batch> {
        let index = self.index();
        let older = index.shelf.batches.range(..after.unwrap_or(BatchId(u128::MAX))).rev();
        let theirs = older.map(|(_, batch)| batch).filter(|batch| batch.new.app == *app);
        theirs.take(most).map(|batch| Self::seen(&index, batch)).collect()
    }

    fn batch(&self, app: &AppName, id: BatchId) -> Result<Batch, KeptError> {
        let index = self.index();
        Ok(Self::seen(&index, index.shelf.batch(app, id)?))
    }

    fn take_back(&self, app: &AppName, id: BatchId) -> Result<Batch, KeptError> {
        let _writer = self.write();
        let status = self.index().shelf.batch(app, id)?.progress.status();
        if status.is_end() {
            return Err(KeptError::Ended { id, status });
        }
        let now = self.now();
        self.change(id, &|progress| progress.mark(BatchStatus::Cancelling, now))?;
        let index = self.index();
        Ok(Self::seen(&index, index.shelf.batch(app, id)?))
    }

    fn open(&self) -> Vec<BatchId> {
        let index = self.index();
        index.shelf.batches.keys().copied().filter(|id| index.shelf.is_open(*id)).collect()
    }

    fn lines(&self, id: BatchId) -> Result<(Batch, Vec<Line>), KeptError> {
        let index = self.index();
        let batch = index.shelf.batches.get(&id).ok_or(KeptError::UnknownBatch(id))?;
        let lines = index.lines(&batch.new.app, id);
        Ok((Self::counted(&index, batch, &lines), lines))
    }

    fn hand_in(&self, id: BatchId, number: u32, job: NewJob) -> Result<(), KeptError> {
        let _writer = self.write();
        let key = Origin::line_key(id, number);
        if self.index().keyed(&job.app, key).is_some() {
            return Ok(());
        }
        let origin = Origin { key, is_named: true, ..origin(&job, self.now()) };
        let form = JobForm { origin, headers: job.ask.headers };
        let job_id = JobId(uuid::Uuid::now_v7().as_u128());
        let sealed = self.files.close(job_id, Kind::Job, 0, &record::write(&form, &job.ask.body));
        self.take_in(job_id, form.origin, &sealed)?;
        self.tell();
        Ok(())
    }

    fn append(&self, id: BatchId, file: FileId, number: u32, bytes: &[u8]) -> Result<(), KeptError> {
        let _writer = self.write();
        let is_its =
            self.index().shelf.batches.get(&id).is_some_and(|batch| [batch.output, batch.errors].contains(&file));
        if !is_its {
            return Err(KeptError::UnknownFile(file));
        }
        self.put_part(file, number, bytes)
    }

    fn advance(&self, id: BatchId, change: &dyn Fn(&mut Progress)) -> Result<(), KeptError> {
        let _writer = self.write();
        self.change(id, change).map(drop)
    }

    fn forget(&self, id: BatchId) -> Result<(), KeptError> {
        let _writer = self.write();
        let (batch, lines) = self.lines(id)?;
        let needless = lines.iter().filter(|line| line.number < batch.progress.written && line.status.is_end());
        let ids: Vec<JobId> = needless.map(|line| line.job).collect();
        self.files.forget_all(&ids).map_err(trouble)?;
        let mut index = self.index();
        ids.into_iter().for_each(|id| index.remove(id));
        drop(index);
        self.tell();
        Ok(())
    }

    fn clock(&self) -> WallTime {
        self.now()
    }
}
