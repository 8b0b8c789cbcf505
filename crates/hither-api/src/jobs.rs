//! Jobs: requests that are kept on the disk of this node until they can be answered. The words, and what the front door
//! needs from whoever keeps them; `hither-node` implements it.
//!
//! What must stay true: a job is acknowledged when it is on disk and not before; it runs at least once, has one result at
//! most, and ends at its deadline. It is asked through the same router as any request, so that the law, the power and the
//! limits of its app are weighed each time it is tried.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hither_types::id::{AppName, ParseIdError, RequestId};
use hither_types::label::DataClass;
use hither_types::time::WallTime;
use tokio::sync::watch;

use crate::errors::{Code, Problem};

mod forms;
mod run;
mod serve;
mod submission;
#[cfg(test)]
mod tests;

pub(crate) use forms::problem_of;
pub use forms::{JobDto, JobsDto, ProblemDto, ResponseDto, TriedDto};
pub use run::run_jobs;
pub(crate) use serve::{ask, copy, routes};
pub(crate) use submission::{PATHS, Peek, STREAMING, deadline_of as deadline, json_of, label, may_rest, raw};

/// A job, given by the node that keeps it: a UUIDv7, so that older ones sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u128);

impl JobId {
    /// Reads a UUID.
    pub fn parse(text: &str) -> Result<Self, ParseIdError> {
        RequestId::parse(text).map(|id| Self(id.0)).map_err(|_| ParseIdError::new("the id of a job (UUID)", text))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RequestId(self.0).fmt(f)
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for its turn, or for somebody who can serve it.
    Queued,
    /// Is being tried.
    Running,
    /// Has its answer.
    Done,
    /// Was refused for good.
    Failed,
    /// Its deadline passed first.
    Expired,
    /// Its app took it back.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Expired, Self::Cancelled];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to it.
    pub fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// What is to be asked: a request of this node's own API.
#[derive(Clone, PartialEq, Eq)]
pub struct Ask {
    /// The path.
    pub url: String,
    /// The headers that belong to the request: its label and what else it says to this node.
    pub headers: Vec<(String, String)>,
    /// The body, JSON.
    pub body: Bytes,
}

/// What came back, as the path would have given it.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// The HTTP status.
    pub status: u16,
    /// The type of the content, and who gave it by which rule.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Given {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ask({}, {} bytes)", self.url, self.body.len())
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Given({}, {} bytes)", self.status, self.body.len())
    }
}

/// A job on its way in.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Whose it is.
    pub app: AppName,
    /// What the app calls it, if it does: the same key is the same job.
    pub key: Option<String>,
    /// The submission as it was sent: with the headers, it decides whether two are the same.
    pub said: Bytes,
    /// The model that is asked, if the request names one.
    pub model: Option<String>,
    /// The class of its data.
    pub class: DataClass,
    /// By when.
    pub deadline: WallTime,
    /// What is to be asked.
    pub ask: Ask,
    /// What the app wants to find again with it, JSON.
    pub metadata: Option<String>,
}

/// How an attempt ended that was not the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// When.
    pub at: WallTime,
    /// The HTTP status.
    pub status: u16,
    /// The code, such as `E0503`.
    pub code: String,
    /// What happened, as the path said it. Never content.
    pub message: String,
    /// The request, for `hither explain`.
    pub request: Option<String>,
}

/// A job without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which.
    pub id: JobId,
    /// Whose.
    pub app: AppName,
    /// The path that is asked.
    pub url: String,
    /// The model that is asked, if the request names one.
    pub model: Option<String>,
    /// The class of its data.
    pub class: DataClass,
    /// When it was handed in.
    pub created: WallTime,
    /// By when.
    pub deadline: WallTime,
    /// How far it is.
    pub status: Status,
    /// How often it was tried.
    pub attempts: u32,
    /// When it ended.
    pub ended: Option<WallTime>,
    /// How the last attempt ended that gave no answer.
    pub last: Option<Tried>,
    /// When it is tried again, if it waits for that; sooner if the mesh or the law changes.
    pub next: Option<WallTime>,
}

/// A job with what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// What is known of it.
    pub head: Head,
    /// What the app wants to find again with it, JSON.
    pub metadata: Option<String>,
    /// What came back, if something did.
    pub given: Option<Given>,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The job.
    pub job: Job,
    /// Whether it was there before: the same key, or without a key the same submission.
    pub joined: bool,
}

/// A job that is to be tried now, and by nobody else.
#[derive(Debug, Clone)]
pub struct Leased {
    /// Which.
    pub id: JobId,
    /// Which try: a result counts only under the try that is the last.
    pub epoch: u32,
    /// How many tries ended in a way that is final when it repeats.
    pub strikes: u32,
    /// By when.
    pub deadline: WallTime,
    /// Whose.
    pub app: AppName,
    /// What is to be asked.
    pub ask: Ask,
}

/// What there is to do.
#[derive(Debug, Clone)]
pub enum Next {
    /// This.
    Run(Box<Leased>),
    /// Nothing before then, unless something changes.
    Wait(Duration),
}

/// How a job ends.
#[derive(Debug, Clone)]
pub enum End {
    /// With an answer.
    Done(Given),
    /// With a refusal that is final.
    Failed(Given),
}

/// What an attempt that failed says of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Nobody can serve it now: neither it nor others like it. Not before the time that was named, if one was.
    Everyone(Option<Duration>),
    /// Something is wrong with this one, and it is final when it repeats.
    Strike,
}

/// Whose jobs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Those of one app.
    App(AppName),
    /// Everyone's: for operators.
    Everyone,
}

/// Why a job is not taken, not found or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// There is none, or it belongs to another app.
    #[error("there is no job {0}: it was deleted, its result was kept long enough, or it belongs to another app")]
    Unknown(JobId),
    /// The key names another job.
    #[error("the Idempotency-Key was used for another submission, job {0}")]
    KeyReused(JobId),
    /// The store holds as much as it may.
    #[error("{0}")]
    Full(String),
    /// The disk is full.
    #[error("the disk of the node is full, so the job is not kept: {0}")]
    DiskFull(std::io::Error),
    /// The disk does not work.
    #[error("the disk of the node does not take or give the job: {0}")]
    Disk(std::io::Error),
    /// It is not in the store as it was written.
    #[error("job {id} cannot be read: {text}")]
    Damaged {
        /// Which.
        id: JobId,
        /// What is wrong.
        text: String,
    },
    /// It is over.
    #[error("job {id} is {} already", status.as_str())]
    Ended {
        /// Which.
        id: JobId,
        /// How it ended.
        status: Status,
    },
    /// It is not over.
    #[error("job {id} is {}", status.as_str())]
    NotEnded {
        /// Which.
        id: JobId,
        /// How far it is.
        status: Status,
    },
    /// The attempt was given up meanwhile.
    #[error("attempt {epoch} of job {id} is not the one that counts")]
    Late {
        /// Which.
        id: JobId,
        /// Which try.
        epoch: u32,
    },
}

impl From<&JobError> for Problem {
    fn from(error: &JobError) -> Self {
        let text = error.to_string();
        match error {
            JobError::Unknown(_) => Self::new(Code::UnknownJob, text).help("GET /v1/jobs"),
            JobError::KeyReused(id) => Self::new(Code::KeyReused, text)
                .help("send a new Idempotency-Key, or the submission that it was used for")
                .help(format!("GET /v1/jobs/{id}"))
                .param("Idempotency-Key"),
            JobError::Full(_) => Self::new(Code::JobsFull, text)
                .help("DELETE /v1/jobs/ID of those whose results you have")
                .help("or raise max, max_mb or app_share under [jobs] in hither.toml"),
            JobError::DiskFull(_) => {
                Self::new(Code::JobDiskFull, text).help("free some space for the data directory of the node: df -h")
            }
            JobError::Disk(_) | JobError::Damaged { .. } => {
                Self::new(Code::JobsOff, text).help("look into the log of the node for the fault of its disk")
            }
            JobError::Ended { id, .. } => Self::new(Code::JobEnded, text).help(format!("GET /v1/jobs/{id}")),
            JobError::NotEnded { id, .. } | JobError::Late { id, .. } => {
                let mut problem = Self::new(Code::JobNotEnded, text)
                    .help(format!("wait: GET /v1/jobs/{id} says how far it is"))
                    .help(format!("or give it up: POST /v1/jobs/{id}/cancel"));
                problem.retry_after_s = Some(RETRY_AFTER_S);
                problem
            }
        }
    }
}

/// How soon asking again for a result makes sense.
const RETRY_AFTER_S: u64 = 2;

/// Whoever keeps jobs. Every call but `list`, `holds`, `wake` and `changed` waits for a disk.
pub trait JobStore: Send + Sync + 'static {
    /// Takes a job. When this returns, it is on disk.
    fn submit(&self, new: NewJob) -> Result<Accepted, JobError>;
    /// The jobs after one of them, the newest first.
    fn list(&self, whose: &Whose, after: Option<JobId>, most: usize) -> Vec<Head>;
    /// One job, with what came of it.
    fn show(&self, whose: &Whose, id: JobId) -> Result<Job, JobError>;
    /// Ends a job that has not ended. When this returns, that is on disk.
    fn cancel(&self, whose: &Whose, id: JobId) -> Result<Head, JobError>;
    /// Forgets a job that has ended.
    fn remove(&self, whose: &Whose, id: JobId) -> Result<(), JobError>;
    /// Ends what is overdue, forgets what was kept long enough, and gives out what is to be tried next.
    fn lease(&self) -> Next;
    /// Ends a job, if the attempt still counts.
    fn settle(&self, id: JobId, epoch: u32, end: End) -> Result<(), JobError>;
    /// Puts a job back, to be tried again.
    fn release(&self, id: JobId, epoch: u32, tried: Tried, pause: Pause);
    /// Whether an attempt still counts.
    fn holds(&self, id: JobId, epoch: u32) -> bool;
    /// Something changed that may let those run that nobody could serve.
    fn wake(&self);
    /// Changes with every job that comes, ends or is taken back.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Milliseconds since 1970: a deadline must hold over a restart, and only the wall clock does.
pub(crate) fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
