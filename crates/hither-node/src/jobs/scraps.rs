//! What lies in the files of files and batches before it is encrypted, what they are called, and how a start puts them
//! together again.
//!
//! What must stay true: a part belongs to a file that is there, or is counted by a batch that has not ended; every other
//! part is a remainder of something that nobody was told of, and is removed.

use std::collections::BTreeSet;
use std::io;

use hither_api::batches::{
    Batch, BatchId, BatchStatus, FileHead, FileId, FilePurpose, LineFault, NewBatch, Progress, Written,
};
use hither_api::jobs::JobId;
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::time::WallTime;
use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::files::{Files, name};
use super::index::Index;
use super::record::class_number;
use super::seal::Kind;
use super::shelf::{load_of_batch, load_of_file};

/// What is known of a file.
#[derive(Serialize, Deserialize)]
pub(super) struct FileForm {
    app: String,
    class: u8,
    name: String,
    purpose: u8,
    bytes: u64,
    parts: u32,
    created: u64,
    expires: u64,
}

#[derive(Serialize, Deserialize)]
struct FaultForm {
    code: String,
    line: Option<u32>,
    message: String,
    param: Option<String>,
}

/// A batch.
#[derive(Serialize, Deserialize)]
pub(super) struct BatchForm {
    app: String,
    class: u8,
    input: u128,
    endpoint: String,
    window: String,
    created: u64,
    deadline: u64,
    headers: Vec<(String, String)>,
    metadata: Option<String>,
    keep_ms: u64,
    output: (u128, u32, u64),
    errors: (u128, u32, u64),
    marks: Vec<(u8, u64)>,
    total: u32,
    written: u32,
    completed: u32,
    failed: u32,
    expired: u32,
    faults: Vec<FaultForm>,
}

/// The name of a part.
pub(super) fn part_name(id: FileId, number: u32) -> String {
    format!("{:032x}.{number:08x}.{}", id.0, Kind::Part.as_str())
}

/// The name of a file's or a batch's own file.
pub(super) fn name_of(id: u128, kind: Kind) -> String {
    name(JobId(id), kind)
}

/// Reads the name of a part.
pub(super) fn parse_part(file: &str) -> Option<(u128, u32)> {
    let (id, rest) = file.split_once('.')?;
    let (number, _) = rest.split_once('.')?;
    let read = (u128::from_str_radix(id, 16).ok()?, u32::from_str_radix(number, 16).ok()?);
    (part_name(FileId(read.0), read.1) == file).then_some(read)
}

/// Reads the name of a file of a kind.
pub(super) fn parse(file: &str, kind: Kind) -> Option<u128> {
    let id = u128::from_str_radix(file.split_once('.')?.0, 16).ok()?;
    (name_of(id, kind) == file).then_some(id)
}

/// What was found of files and batches.
#[derive(Default)]
pub(super) struct Scraps {
    pub(super) parts: BTreeSet<(u128, u32)>,
    pub(super) files: Vec<(u128, FileForm)>,
    pub(super) batches: Vec<(u128, BatchForm)>,
}

impl Scraps {
    /// Puts together what belongs together, and removes what belongs to nothing.
    pub(super) fn put_back<D: Disk>(
        mut self,
        files: &Files<D>,
        index: &mut Index,
        warnings: &mut Vec<String>,
    ) -> io::Result<()> {
        for (id, form) in self.batches {
            match form.read(id) {
                Ok(batch) => {
                    if !batch.progress.status().is_end() {
                        for (file, written) in
                            [(batch.output, batch.progress.output), (batch.errors, batch.progress.errors)]
                        {
                            self.parts.retain(|(id, number)| *id != file.0 || *number >= written.parts);
                        }
                    }
                    index.charge(&batch.new.app, load_of_batch(&batch));
                    index.shelf.batches.insert(batch.id, batch);
                }
                Err(why) => warnings.push(format!("{} is left alone: {why}", BatchId(id))),
            }
        }
        for (id, form) in self.files {
            let head = match form.read(id) {
                Ok(head) => head,
                Err(why) => {
                    warnings.push(format!("{} is left alone: {why}", FileId(id)));
                    continue;
                }
            };
            let there = (0..head.parts).filter(|number| {
                let of_batch = index.shelf.reader(head.id).is_some();
                self.parts.remove(&(id, *number)) || of_batch
            });
            if there.count() < head.parts as usize {
                files.aside(&name_of(id, Kind::File));
                warnings.push(format!("{} is put aside: a part of it is not there", head.id));
                continue;
            }
            index.charge(&head.app, load_of_file(&head));
            index.shelf.files.insert(head.id, head);
        }
        for (id, number) in self.parts {
            files.remove(&part_name(FileId(id), number))?;
        }
        files.sync()
    }
}

fn words(app: &str, class: u8) -> Result<(AppName, DataClass), &'static str> {
    let app = AppName::parse(app).map_err(|_| "its app has no name")?;
    let class = DataClass::ALL.get(usize::from(class)).ok_or("its data have no class")?;
    Ok((app, *class))
}

impl FileForm {
    pub(super) fn of(head: &FileHead) -> Self {
        Self {
            app: head.app.to_string(),
            class: class_number(head.class),
            name: head.name.clone(),
            purpose: match head.purpose {
                FilePurpose::Batch => 0,
                FilePurpose::BatchOutput => 1,
                FilePurpose::FineTune => 2,
            },
            bytes: head.bytes,
            parts: head.parts,
            created: head.created.0,
            expires: head.expires.0,
        }
    }

    fn read(self, id: u128) -> Result<FileHead, &'static str> {
        let (app, class) = words(&self.app, self.class)?;
        Ok(FileHead {
            id: FileId(id),
            app,
            class,
            name: self.name,
            purpose: *FilePurpose::ALL.get(usize::from(self.purpose)).ok_or("it has no purpose that is known")?,
            bytes: self.bytes,
            parts: self.parts,
            created: WallTime(self.created),
            expires: WallTime(self.expires),
        })
    }
}

fn status_number(status: BatchStatus) -> u8 {
    BatchStatus::ALL.iter().position(|known| *known == status).unwrap_or_default() as u8
}

impl BatchForm {
    pub(super) fn of(batch: &Batch) -> Self {
        let (new, progress) = (&batch.new, &batch.progress);
        Self {
            app: new.app.to_string(),
            class: class_number(new.class),
            input: new.input.0,
            endpoint: new.endpoint.clone(),
            window: new.window.clone(),
            created: batch.created.0,
            deadline: new.deadline.0,
            headers: new.headers.clone(),
            metadata: new.metadata.clone(),
            keep_ms: new.keep_ms,
            output: (batch.output.0, progress.output.parts, progress.output.bytes),
            errors: (batch.errors.0, progress.errors.parts, progress.errors.bytes),
            marks: progress.marks.iter().map(|(status, at)| (status_number(*status), at.0)).collect(),
            total: progress.total,
            written: progress.written,
            completed: progress.completed,
            failed: progress.failed,
            expired: progress.expired,
            faults: progress
                .faults
                .iter()
                .map(|fault| FaultForm {
                    code: fault.code.clone(),
                    line: fault.line,
                    message: fault.message.clone(),
                    param: fault.param.clone(),
                })
                .collect(),
        }
    }

    fn read(self, id: u128) -> Result<Batch, &'static str> {
        let (app, class) = words(&self.app, self.class)?;
        let mark = |(number, at): (u8, u64)| Some((*BatchStatus::ALL.get(usize::from(number))?, WallTime(at)));
        let marks: Option<Vec<_>> = self.marks.into_iter().map(mark).collect();
        let marks = marks.filter(|marks| !marks.is_empty()).ok_or("it is in no state that is known")?;
        let fault =
            |form: FaultForm| LineFault { code: form.code, line: form.line, message: form.message, param: form.param };
        Ok(Batch {
            id: BatchId(id),
            new: NewBatch {
                app,
                input: FileId(self.input),
                endpoint: self.endpoint,
                window: self.window,
                deadline: WallTime(self.deadline),
                class,
                headers: self.headers,
                metadata: self.metadata,
                keep_ms: self.keep_ms,
            },
            created: WallTime(self.created),
            output: FileId(self.output.0),
            errors: FileId(self.errors.0),
            progress: Progress {
                marks,
                total: self.total,
                written: self.written,
                completed: self.completed,
                failed: self.failed,
                expired: self.expired,
                output: Written { parts: self.output.1, bytes: self.output.2 },
                errors: Written { parts: self.errors.1, bytes: self.errors.2 },
                faults: self.faults.into_iter().map(fault).collect(),
            },
            answered: 0,
            unanswered: 0,
        })
    }
}
