//! The file of the record: a list of JSON, whole or not at all.

use hither_api::batches::FileId;
use hither_api::endpoint::TrainingThere;
use hither_api::trainings::{Left, NewTraining, Stage, Training, TrainingId};
use hither_types::id::{AppName, ModelName, RuleId, SiteName};
use hither_types::label::DataClass;
use hither_types::time::WallTime;
use hither_types::unit::ByteCount;
use serde::{Deserialize, Serialize};

/// What is said of one whose node ended while it was handed over.
const CUT_OFF: &str = "the node ended while it was handed over";

#[derive(Serialize, Deserialize)]
struct Form {
    id: String,
    app: String,
    class: String,
    model: String,
    file: String,
    examples: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suffix: Option<String>,
    fingerprint: String,
    created: u64,
    stage: StageForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<(String, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StageForm {
    Leaving { site: String },
    Lying { site: String, file: String },
    Handed { site: String, file: String, there: ThereForm },
    Withdrawn { site: String },
}

#[derive(Serialize, Deserialize)]
struct ThereForm {
    id: String,
    status: String,
    #[serde(default)]
    made: Option<String>,
    #[serde(default)]
    tokens: Option<u64>,
    #[serde(default)]
    finished: Option<u64>,
    #[serde(default)]
    error: Option<String>,
}

/// The file.
pub(super) fn write<'a>(trainings: impl Iterator<Item = &'a Training>) -> Vec<u8> {
    let forms: Vec<Form> = trainings.filter_map(of).collect();
    serde_json::to_vec(&forms).expect("texts and numbers are JSON")
}

/// What is in the file.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Training>, &'static str> {
    let forms: Vec<Form> = serde_json::from_slice(bytes).map_err(|_| "it is not what this program writes")?;
    forms.into_iter().map(|form| training(form).ok_or("a word in it is not what this program writes")).collect()
}

fn of(training: &Training) -> Option<Form> {
    let new = &training.new;
    Some(Form {
        id: training.id.to_string(),
        app: new.app.to_string(),
        class: new.class.as_str().to_owned(),
        model: new.model.to_string(),
        file: new.file.to_string(),
        examples: new.examples,
        suffix: new.suffix.clone(),
        fingerprint: data_encoding::HEXLOWER.encode(&new.fingerprint),
        created: training.created.0,
        stage: match &training.stage {
            Stage::New => return None,
            Stage::Leaving { site } => StageForm::Leaving { site: site.to_string() },
            Stage::Lying { site, file } => StageForm::Lying { site: site.to_string(), file: file.clone() },
            Stage::Handed { site, file, there } => {
                let TrainingThere { id, status, made, tokens, finished, error } = there.clone();
                let there = ThereForm { id, status, made, tokens, finished, error };
                StageForm::Handed { site: site.to_string(), file: file.clone(), there }
            }
            Stage::Withdrawn { site } => StageForm::Withdrawn { site: site.to_string() },
        },
        left: training.left.as_ref().map(|left| (left.rule.to_string(), left.bytes.0)),
        trouble: training.trouble.clone(),
    })
}

fn training(form: Form) -> Option<Training> {
    let site = |site: &str| SiteName::parse(site).ok();
    let stage = match form.stage {
        StageForm::Leaving { site: at } => Stage::Leaving { site: site(&at)? },
        StageForm::Lying { site: at, file } => Stage::Lying { site: site(&at)?, file },
        StageForm::Handed { site: at, file, there } => {
            let ThereForm { id, status, made, tokens, finished, error } = there;
            let there = TrainingThere { id, status, made, tokens, finished, error };
            Stage::Handed { site: site(&at)?, file, there }
        }
        StageForm::Withdrawn { site: at } => Stage::Withdrawn { site: site(&at)? },
    };
    let is_half = matches!(stage, Stage::Leaving { .. } | Stage::Lying { .. });
    let left = match form.left {
        Some((rule, bytes)) => Some(Left { rule: RuleId::parse(&rule).ok()?, bytes: ByteCount(bytes) }),
        None => None,
    };
    let fingerprint = data_encoding::HEXLOWER.decode(form.fingerprint.as_bytes()).ok()?;
    Some(Training {
        id: TrainingId::parse(&form.id)?,
        new: NewTraining {
            app: AppName::parse(&form.app).ok()?,
            class: DataClass::parse(&form.class).ok()?,
            model: ModelName::parse(&form.model).ok()?,
            file: FileId::parse(&form.file)?,
            examples: form.examples,
            suffix: form.suffix,
            fingerprint: fingerprint.try_into().ok()?,
        },
        created: WallTime(form.created),
        stage,
        is_open: false,
        left,
        trouble: form.trouble.or_else(|| is_half.then(|| CUT_OFF.to_owned())),
    })
}
