//! Trainings as OpenAI's API has them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Stage, Training};

/// A training that was handed over.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FineTuningJob"))]
pub(crate) struct TrainingDto {
    /// Its id at this node.
    id: String,
    /// Always `fine_tuning.job`.
    object: &'static str,
    /// When it was handed in, in seconds since 1970.
    created_at: u64,
    /// Why it failed.
    error: Option<FaultDto>,
    /// What the trained model is called at the server, once it is there.
    fine_tuned_model: Option<String>,
    /// When it ended, in seconds since 1970.
    finished_at: Option<u64>,
    /// What the server chose is asked there.
    hyperparameters: BTreeMap<String, String>,
    /// The model, by its name here.
    model: String,
    /// Always empty.
    organization_id: &'static str,
    /// Always empty: results are asked at the server.
    result_files: Vec<String>,
    /// `validating_files` while it is handed over; then the word of the server: `queued`, `running`, `succeeded`, `failed` or
    /// `cancelled`.
    status: String,
    /// Tokens that were read, once the server says.
    trained_tokens: Option<u64>,
    /// The file of this node.
    training_file: String,
    /// Always null.
    validation_file: Option<String>,
    /// What the name of the trained model is to have in it.
    user_provided_suffix: Option<String>,
    /// Where it went, and why it may.
    hither: WhereDto,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FineTuningError"))]
struct FaultDto {
    /// A word for it.
    code: &'static str,
    /// What happened.
    message: String,
    /// Always null.
    param: Option<String>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FineTuningPlace"))]
struct WhereDto {
    /// The server, by its name in hither.toml.
    endpoint: Option<String>,
    /// The id of the training there.
    training: Option<String>,
    /// The id of its file there.
    file: Option<String>,
    /// The rule that permits it.
    rule: Option<String>,
    /// What left, in bytes.
    bytes: Option<u64>,
    /// The class of the data.
    class: &'static str,
    /// How many examples.
    examples: u32,
    /// What lies where, in a sentence.
    whereabouts: Option<String>,
    /// Whether the same was handed over before, so that nothing was sent again.
    met: bool,
}

/// Several trainings.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FineTuningJobList"))]
pub(crate) struct TrainingsDto {
    /// Always `list`.
    pub(super) object: &'static str,
    /// The trainings, the newest first, as their servers told of them last.
    pub(super) data: Vec<TrainingDto>,
    /// Whether there are older ones: ask with `after`, the id of the last.
    pub(super) has_more: bool,
}

impl TrainingDto {
    /// One that was met.
    pub(super) fn met(training: &Training) -> Self {
        let mut dto = Self::from(training);
        dto.hither.met = true;
        dto
    }
}

impl From<&Training> for TrainingDto {
    fn from(training: &Training) -> Self {
        let new = &training.new;
        let (file, there) = match &training.stage {
            Stage::Handed { file, there, .. } => (Some(file.clone()), Some(there)),
            Stage::Lying { file, .. } => (Some(file.clone()), None),
            Stage::New | Stage::Leaving { .. } | Stage::Withdrawn { .. } => (None, None),
        };
        let fault = there.and_then(|there| there.error.clone().map(|message| ("server", message)));
        let fault = fault.or_else(|| training.trouble.clone().map(|message| ("not_handed_over", message)));
        Self {
            id: training.id.to_string(),
            object: "fine_tuning.job",
            created_at: training.created.0 / 1000,
            error: fault.map(|(code, message)| FaultDto { code, message, param: None }),
            fine_tuned_model: there.and_then(|there| there.made.clone()),
            finished_at: there.and_then(|there| there.finished),
            hyperparameters: BTreeMap::new(),
            model: new.model.to_string(),
            organization_id: "",
            result_files: Vec::new(),
            status: training.status().to_owned(),
            trained_tokens: there.and_then(|there| there.tokens),
            training_file: new.file.to_string(),
            validation_file: None,
            user_provided_suffix: new.suffix.clone(),
            hither: WhereDto {
                endpoint: training.site().map(ToString::to_string),
                training: there.map(|there| there.id.clone()),
                file,
                rule: training.left.as_ref().map(|left| left.rule.to_string()),
                bytes: training.left.as_ref().map(|left| left.bytes.0),
                class: new.class.as_str(),
                examples: new.examples,
                whereabouts: training.whereabouts(),
                met: false,
            },
        }
    }
}
