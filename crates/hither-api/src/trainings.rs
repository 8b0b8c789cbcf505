//! Training that is handed over to a server outside the mesh: the words, and what the front door needs from whoever keeps a
//! record of it; `hither-node` implements it.
//!
//! What must stay true: the same examples are not handed over twice unless somebody said so: what lies at a server, or may, is
//! on record here before a byte of it leaves.

use std::fmt;
use std::sync::Arc;

use hither_types::id::{AppName, ModelName, RuleId, SiteName};
use hither_types::label::DataClass;
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;

use crate::batches::FileId;
use crate::door::Reply;
use crate::endpoint::{EndpointError, TrainingThere};
use crate::errors::{Code, Problem};

mod examples;
mod forms;
mod serve;
#[cfg(test)]
mod tests;

pub(crate) use forms::{TrainingDto, TrainingsDto};
pub(crate) use serve::routes;

/// A hand-over, given by the node that keeps it: a UUIDv7, so that older ones sort first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrainingId(pub u128);

impl fmt::Display for TrainingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ftjob-{:032x}", self.0)
    }
}

impl TrainingId {
    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("ftjob-")?;
        let plain = digits.len() == 32 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(digits, 16).ok().map(Self))?
    }
}

/// What is to be handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTraining {
    /// Whose it is.
    pub app: AppName,
    /// The class of its data.
    pub class: DataClass,
    /// The model, by its name here.
    pub model: ModelName,
    /// The file of this node that it was read from.
    pub file: FileId,
    /// How many examples.
    pub examples: u32,
    /// What the name of the trained model is to have in it.
    pub suffix: Option<String>,
    /// Of all that is handed over, and where to: two that have the same are the same.
    pub fingerprint: [u8; 32],
}

/// How far a hand-over is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing of it left.
    New,
    /// It is on its way to a server, or was: whether a file lies there is not known.
    Leaving {
        /// The server.
        site: SiteName,
    },
    /// A file lies there, and no training is known to read it.
    Lying {
        /// The server.
        site: SiteName,
        /// Its id there.
        file: String,
    },
    /// A training there reads it.
    Handed {
        /// The server.
        site: SiteName,
        /// The id of the file there.
        file: String,
        /// The training, as the server told of it last.
        there: TrainingThere,
    },
    /// Nothing lies there any more that this node knows of.
    Withdrawn {
        /// The server.
        site: SiteName,
    },
}

/// What let it leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The rule that permits it.
    pub rule: RuleId,
    /// What left, in bytes.
    pub bytes: ByteCount,
}

/// A hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Training {
    /// Which.
    pub id: TrainingId,
    /// What was handed in.
    pub new: NewTraining,
    /// When.
    pub created: WallTime,
    /// How far it is.
    pub stage: Stage,
    /// Whether somebody is at it now.
    pub is_open: bool,
    /// What let it leave, once it is answered.
    pub left: Option<Left>,
    /// Why it did not come to a training. Never content.
    pub trouble: Option<String>,
}

/// Words of OpenAI's for trainings to which nothing more happens.
const ENDS: [&str; 3] = ["succeeded", "failed", "cancelled"];

impl Training {
    /// How far it is, in OpenAI's word.
    pub fn status(&self) -> &str {
        match &self.stage {
            _ if self.is_open => "validating_files",
            Stage::Handed { there, .. } => &there.status,
            Stage::Withdrawn { .. } if self.trouble.is_none() => "cancelled",
            Stage::New | Stage::Leaving { .. } | Stage::Lying { .. } | Stage::Withdrawn { .. } => "failed",
        }
    }

    /// Where it went.
    pub fn site(&self) -> Option<&SiteName> {
        match &self.stage {
            Stage::New => None,
            Stage::Leaving { site }
            | Stage::Lying { site, .. }
            | Stage::Handed { site, .. }
            | Stage::Withdrawn { site } => Some(site),
        }
    }

    /// Whether handing the same over once more would double it.
    pub fn is_there(&self) -> bool {
        match &self.stage {
            Stage::Leaving { .. } | Stage::Lying { .. } => true,
            Stage::Handed { there, .. } => !ENDS.contains(&there.status.as_str()),
            Stage::New | Stage::Withdrawn { .. } => self.is_open,
        }
    }

    /// What lies where, as a sentence; nothing if nothing left.
    pub fn whereabouts(&self) -> Option<String> {
        match &self.stage {
            Stage::New => None,
            Stage::Leaving { site } => Some(format!(
                "it was on its way to endpoint {site}, and whether a file of it lies there is not known: look there"
            )),
            Stage::Lying { site, file } => {
                Some(format!("it lies at endpoint {site} as file {file}, and no training there is known"))
            }
            Stage::Handed { site, file, there } => {
                Some(format!("endpoint {site} has it as training {}, its file is {file} there", there.id))
            }
            Stage::Withdrawn { site } => Some(format!("nothing of it is kept at endpoint {site}")),
        }
    }
}

/// What became of a new hand-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It may be handed over now.
    New(TrainingId),
    /// The same was handed over before, and is trained with.
    Known(Box<Training>),
}

/// Why a hand-over is not taken, not found or not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// There is none, or it belongs to another app.
    #[error("there is no training {0}: it was kept long enough, or it belongs to another app")]
    Unknown(TrainingId),
    /// The same is under way, or may lie at a server.
    #[error("the same examples were handed over before, as {}: {}", .0.id, .0.whereabouts().unwrap_or_else(|| "it is under way".to_owned()))]
    There(Box<Training>),
    /// It cannot be changed as it is.
    #[error("training {} is {}", .0.id, .0.status())]
    Ended(Box<Training>),
    /// No more are kept.
    #[error("this node keeps a record of {0} trainings that have not ended, and of no more")]
    Full(usize),
    /// The record does not come to the disk.
    #[error("the record of trainings cannot be written, so nothing is handed over: {0}")]
    Disk(std::io::Error),
    /// The server is not in the configuration any more.
    #[error("endpoint {0} is not in hither.toml any more, so that it cannot be asked")]
    Gone(SiteName),
    /// The server does not say.
    #[error("endpoint {site} does not answer for the training: {source}")]
    Server {
        /// The server.
        site: SiteName,
        /// Why.
        source: EndpointError,
    },
}

impl From<&TrainingError> for Problem {
    fn from(error: &TrainingError) -> Self {
        let text = error.to_string();
        match error {
            TrainingError::Unknown(_) => Self::new(Code::UnknownTraining, text).help("GET /v1/fine_tuning/jobs"),
            TrainingError::There(training) => {
                Self::new(Code::TrainingThere, text).help(format!("hither jobs show {}", training.id)).help(format!(
                    "hither jobs cancel {}  (gives it up; then the same can be handed over again)",
                    training.id
                ))
            }
            TrainingError::Ended(training) => {
                Self::new(Code::TrainingEnded, text).help(format!("hither jobs show {}", training.id))
            }
            TrainingError::Full(_) => {
                Self::new(Code::LimitReached, text).help("hither jobs trainings  (cancel those that are given up)")
            }
            TrainingError::Disk(_) => Self::new(Code::JobsOff, text).help("df -h, and the log of the node"),
            TrainingError::Gone(site) => {
                Self::new(Code::EngineFailed, text).help(format!("name [endpoint.{site}] in hither.toml again"))
            }
            TrainingError::Server { source: EndpointError::Unreachable(_), .. } => {
                Self::new(Code::PlacesLost, text).help("hither status")
            }
            TrainingError::Server { .. } => Self::new(Code::EngineFailed, text).help("look into the account there"),
        }
    }
}

/// Whoever keeps a record of hand-overs. Every call but `list`, `show` and `let_go` may wait for a disk.
pub trait TrainingStore: Send + Sync + 'static {
    /// Takes a hand-over in, unless the same is there already.
    fn begin(&self, new: NewTraining) -> Result<Begun, TrainingError>;
    /// The hand-overs of an app after one of them, the newest first.
    fn list(&self, app: &AppName, after: Option<TrainingId>, most: usize) -> Vec<Training>;
    /// One hand-over, as it is known here.
    fn show(&self, app: &AppName, id: TrainingId) -> Result<Training, TrainingError>;
    /// It was answered.
    fn answered(&self, id: TrainingId, left: Left) -> Result<(), TrainingError>;
    /// Nobody is at it any more; if it did not come to a training, why. One that never left is forgotten.
    fn let_go(&self, id: TrainingId, trouble: &str);
    /// Asks the server how far it is.
    fn ask(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>>;
    /// Ends the training there; of one that came to none, has the file there deleted.
    fn cancel(self: Arc<Self>, app: AppName, id: TrainingId) -> Reply<Result<Training, TrainingError>>;
}
