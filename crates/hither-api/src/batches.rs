//! Files of lines, and batches that ask each line as a job: the words, and what the front door needs from whoever keeps
//! them; `hither-node` implements it beside its jobs.
//!
//! What must stay true: a file is acknowledged when it is on disk and not before; each line of a batch is in its output or
//! in its errors, once, also when the node is killed in the middle. A line waits, runs and ends as a job does, so that the
//! law, the power and the limits of the app are weighed each time it is tried.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hither_types::id::AppName;
use hither_types::label::DataClass;
use hither_types::time::WallTime;

use crate::errors::{Code, Problem};
use crate::jobs::{JobError, JobId, JobStore, NewJob, Status};

mod desk;
mod files;
mod forms;
mod lines;
mod run;
mod serve;
#[cfg(test)]
mod tests;

pub use desk::{Desk, Moved, turn};
pub(crate) use files::parse as file_id;
pub(crate) use forms::{BatchDto, BatchesDto, FileDeletedDto, FileDto, FilesDto};
pub(crate) use lines::{Lines, Read};
pub use run::run_batches;
pub(crate) use serve::{Id, Page, answer, ask, caller, on_disk_thread, page};

use crate::routes::Routes;

/// The paths of files and batches.
pub(crate) fn routes() -> Routes {
    files::routes().merge(serve::routes())
}

/// A file, given by the node that keeps it: a UUIDv7, so that older ones sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u128);

/// A batch, given by the node that keeps it: a UUIDv7, so that older ones sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u128);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file-{:032x}", self.0)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch_{:032x}", self.0)
    }
}

impl FileId {
    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        number(text.strip_prefix("file-")?).map(Self)
    }
}

impl BatchId {
    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        number(text.strip_prefix("batch_")?).map(Self)
    }
}

fn number(text: &str) -> Option<u128> {
    let plain = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    plain.then(|| u128::from_str_radix(text, 16).ok())?
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePurpose {
    /// The lines of a batch.
    Batch,
    /// What came of them.
    BatchOutput,
    /// Examples to train a model with.
    FineTune,
}

impl FilePurpose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Batch, Self::BatchOutput, Self::FineTune];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::FineTune => "fine-tune",
        }
    }
}

/// A file on its way in.
#[derive(Clone)]
pub struct NewFile {
    /// Whose it is.
    pub app: AppName,
    /// The class of its data.
    pub class: DataClass,
}

/// What is known of a file whose content has come.
#[derive(Clone)]
pub struct FileEnd {
    /// What its app calls it.
    pub name: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// How long it is kept, in milliseconds.
    pub keep_ms: u64,
}

/// A file without its content.
#[derive(Clone, PartialEq, Eq)]
pub struct FileHead {
    /// Which.
    pub id: FileId,
    /// Whose.
    pub app: AppName,
    /// The class of its data.
    pub class: DataClass,
    /// What its app calls it.
    pub name: String,
    /// What it is for.
    pub purpose: FilePurpose,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// In how many parts it lies on the disk.
    pub parts: u32,
    /// When it came.
    pub created: WallTime,
    /// Until when it is kept.
    pub expires: WallTime,
}

impl fmt::Debug for FileHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names are the app's own words.
        write!(f, "FileHead({}, {} bytes, {})", self.id, self.bytes, self.class)
    }
}

/// A file that is being written. Dropped before it is finished, it is as if it had never been.
pub trait Upload: Send {
    /// Puts the next part on the disk.
    fn part(&mut self, bytes: &[u8]) -> Result<(), KeptError>;
    /// Ends the file. When this returns, it is on disk.
    fn finish(self: Box<Self>, end: FileEnd) -> Result<FileHead, KeptError>;
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchStatus {
    /// Its lines are looked at, and none of them is asked yet.
    Validating,
    /// A line is wrong, so that none is asked.
    Failed,
    /// Its lines are asked.
    InProgress,
    /// All its lines have ended, and its files are written.
    Finalizing,
    /// All its lines have ended before its deadline.
    Completed,
    /// Its deadline passed first.
    Expired,
    /// Its app took it back, and what runs of it is ended.
    Cancelling,
    /// Its app took it back.
    Cancelled,
}

impl BatchStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Validating,
        Self::Failed,
        Self::InProgress,
        Self::Finalizing,
        Self::Completed,
        Self::Expired,
        Self::Cancelling,
        Self::Cancelled,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// Why a line cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// A word for it.
    pub code: String,
    /// Which line of the file, from 1; none if it is the whole file.
    pub line: Option<u32>,
    /// What is wrong. Never content.
    pub message: String,
    /// Which field.
    pub param: Option<String>,
}

/// A batch on its way in.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Whose it is.
    pub app: AppName,
    /// The lines.
    pub input: FileId,
    /// The path that each line asks.
    pub endpoint: String,
    /// How long it may take, as its app said it.
    pub window: String,
    /// By when.
    pub deadline: WallTime,
    /// The class of its data.
    pub class: DataClass,
    /// The headers that each line is asked with.
    pub headers: Vec<(String, String)>,
    /// What the app wants to find again with it, JSON.
    pub metadata: Option<String>,
    /// How long its output is kept, in milliseconds.
    pub keep_ms: u64,
}

/// What is written of a file that grows with its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Parts.
    pub parts: u32,
    /// Bytes.
    pub bytes: u64,
}

/// How far a batch is. What is on the disk is one of these after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Which statuses it came through, and when; the last is how far it is.
    pub marks: Vec<(BatchStatus, WallTime)>,
    /// Its lines, once they are counted.
    pub total: u32,
    /// Lines from the first that lie in one of its files.
    pub written: u32,
    /// How many of those were answered.
    pub completed: u32,
    /// How many of those were not.
    pub failed: u32,
    /// How many of those were not because the deadline passed.
    pub expired: u32,
    /// The answers.
    pub output: Written,
    /// What has none.
    pub errors: Written,
    /// Why it failed.
    pub faults: Vec<LineFault>,
}

impl Progress {
    /// A batch that was just handed in.
    pub fn new(now: WallTime) -> Self {
        Self {
            marks: vec![(BatchStatus::Validating, now)],
            total: 0,
            written: 0,
            completed: 0,
            failed: 0,
            expired: 0,
            output: Written::default(),
            errors: Written::default(),
            faults: Vec::new(),
        }
    }

    /// How far it is.
    pub fn status(&self) -> BatchStatus {
        self.marks.last().map_or(BatchStatus::Validating, |(status, _)| *status)
    }

    /// When a status began, if it did.
    pub fn at(&self, status: BatchStatus) -> Option<WallTime> {
        self.marks.iter().find(|(mark, _)| *mark == status).map(|(_, at)| *at)
    }

    /// Begins a status.
    pub fn mark(&mut self, status: BatchStatus, now: WallTime) {
        if self.status() != status {
            self.marks.push((status, now));
        }
    }
}

/// A batch.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Which.
    pub id: BatchId,
    /// What was handed in.
    pub new: NewBatch,
    /// When.
    pub created: WallTime,
    /// The file of the answers, if it comes to be.
    pub output: FileId,
    /// The file of what has none, if it comes to be.
    pub errors: FileId,
    /// How far it is.
    pub progress: Progress,
    /// Lines that were answered and lie in no file yet.
    pub answered: u32,
    /// Lines that have ended without an answer and lie in no file yet.
    pub unanswered: u32,
}

/// A line that is a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Which line, from 0; blank ones do not count.
    pub number: u32,
    /// Its job.
    pub job: JobId,
    /// How far that is.
    pub status: Status,
}

/// Why a file or a batch is not taken, not found or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeptError {
    /// There is none, or it belongs to another app.
    #[error("there is no file {0}: it was deleted, it has expired, or it belongs to another app")]
    UnknownFile(FileId),
    /// There is none, or it belongs to another app.
    #[error("there is no batch {0}: it was kept long enough, or it belongs to another app")]
    UnknownBatch(BatchId),
    /// A batch that has not ended reads it.
    #[error("batch {batch} reads file {file} and has not ended")]
    InUse {
        /// Which file.
        file: FileId,
        /// Which batch.
        batch: BatchId,
    },
    /// It is over.
    #[error("batch {id} is {} already", status.as_str())]
    Ended {
        /// Which.
        id: BatchId,
        /// How it ended.
        status: BatchStatus,
    },
    /// The app has as many as it may that have not ended.
    #[error("app {app} has {most} batches that have not ended, and may have no more")]
    TooMany {
        /// Whose.
        app: AppName,
        /// How many it may have.
        most: usize,
    },
    /// A part is not on the disk as it was written.
    #[error("file {id} cannot be read: {text}")]
    Damaged {
        /// Which.
        id: FileId,
        /// What is wrong.
        text: String,
    },
    /// The store of jobs says no.
    #[error(transparent)]
    Store(#[from] JobError),
}

impl From<&KeptError> for Problem {
    fn from(error: &KeptError) -> Self {
        let text = error.to_string();
        match error {
            KeptError::UnknownFile(_) => Self::new(Code::UnknownFile, text).help("GET /v1/files"),
            KeptError::UnknownBatch(_) => Self::new(Code::UnknownBatch, text).help("GET /v1/batches"),
            KeptError::InUse { batch, .. } => Self::new(Code::FileInUse, text)
                .help(format!("wait: GET /v1/batches/{batch} says how far it is"))
                .help(format!("or give it up: POST /v1/batches/{batch}/cancel")),
            KeptError::Ended { id, .. } => Self::new(Code::BatchEnded, text).help(format!("GET /v1/batches/{id}")),
            KeptError::TooMany { .. } => {
                let mut problem = Self::new(Code::LimitReached, text).help("wait until one of them has ended");
                problem.retry_after_s = Some(RETRY_AFTER_S);
                problem
            }
            KeptError::Damaged { .. } => {
                Self::new(Code::JobsOff, text).help("look into the log of the node for the fault of its disk")
            }
            KeptError::Store(JobError::Full(_)) => Self::new(Code::JobsFull, text)
                .help("DELETE /v1/files/ID of those that you need no more")
                .help("or raise max, max_mb or app_share under [jobs] in hither.toml"),
            KeptError::Store(error) => Self::from(error),
        }
    }
}

/// How soon asking again makes sense when too many batches are open.
const RETRY_AFTER_S: u64 = 60;

/// Whoever keeps files and batches, beside jobs. Every call but the lists waits for a disk.
pub trait BatchStore: JobStore {
    /// Begins a file.
    fn create(self: Arc<Self>, new: NewFile) -> Result<Box<dyn Upload>, KeptError>;
    /// The files of an app after one of them, the newest first.
    fn files(&self, app: &AppName, after: Option<FileId>, most: usize) -> Vec<FileHead>;
    /// One file.
    fn file(&self, app: &AppName, id: FileId) -> Result<FileHead, KeptError>;
    /// A part of a file, from 0.
    fn part(&self, id: FileId, number: u32) -> Result<Bytes, KeptError>;
    /// Forgets a file.
    fn delete(&self, app: &AppName, id: FileId) -> Result<(), KeptError>;
    /// Takes a batch. When this returns, it is on disk.
    fn begin(&self, new: NewBatch) -> Result<Batch, KeptError>;
    /// The batches of an app after one of them, the newest first.
    fn batches(&self, app: &AppName, after: Option<BatchId>, most: usize) -> Vec<Batch>;
    /// One batch.
    fn batch(&self, app: &AppName, id: BatchId) -> Result<Batch, KeptError>;
    /// Takes a batch back. When this returns, that is on disk.
    fn take_back(&self, app: &AppName, id: BatchId) -> Result<Batch, KeptError>;
    /// The batches of all apps that have not ended.
    fn open(&self) -> Vec<BatchId>;
    /// A batch of any app, with those of its lines that are jobs, in their order.
    fn lines(&self, id: BatchId) -> Result<(Batch, Vec<Line>), KeptError>;
    /// Makes a line a job, unless it is one. When this returns, that is on disk.
    fn hand_in(&self, id: BatchId, number: u32, job: NewJob) -> Result<(), KeptError>;
    /// Writes the next part of a file of a batch. It counts once `advance` says so.
    fn append(&self, id: BatchId, file: FileId, number: u32, bytes: &[u8]) -> Result<(), KeptError>;
    /// Changes how far a batch is. When this returns, that is on disk; an end puts its files where its app finds them.
    fn advance(&self, id: BatchId, change: &dyn Fn(&mut Progress)) -> Result<(), KeptError>;
    /// Forgets the jobs of lines that lie in one of the files.
    fn forget(&self, id: BatchId) -> Result<(), KeptError>;
    /// What time it is.
    fn clock(&self) -> WallTime;
}
