//! Trainings that are handed over.

use serde_json::json;

use super::codes::{BODY, FIELDS, LABEL, MESH};
use super::operation::{Operation, Place};
use super::parts::{ASKED, SERVED, text, whole};
use crate::errors::Code;
use crate::limits::JOBS_LISTED_MAX;
use crate::respond::Form;
use crate::trainings::{TrainingDto, TrainingsDto};

const TRAININGS: Place = Place("Training", Form::OpenAi);

/// An id of each, for examples.
const TRAINING: &str = "ftjob-0190f000000070008000000000000000";
const FILE: &str = "file-0190f000000070008000000000000000";

pub(super) fn all() -> Vec<Operation> {
    vec![
        TRAININGS
            .get("/v1/fine_tuning/jobs", "trainings", "What the app has handed over to train with, the newest first.")
            .about("As the servers told of it last: one alone is asked of its server.")
            .parameter(json!({
                "name": "limit", "in": "query", "schema": whole(1, JOBS_LISTED_MAX as u64),
                "description": "How many at most; 100 if absent.",
            }))
            .parameter(json!({
                "name": "after", "in": "query", "schema": text(), "example": TRAINING,
                "description": "The last one that was seen.",
            }))
            .gives::<TrainingsDto>("The trainings.")
            .errors(&[Code::OutOfRange, Code::UnknownTraining, Code::NotOffered]),
        create(),
        one(TRAININGS.get("/v1/fine_tuning/jobs/{id}", "training", "How far one training is."))
            .about("The server is asked.")
            .gives::<TrainingDto>("The training."),
        one(TRAININGS.post("/v1/fine_tuning/jobs/{id}/cancel", "cancelTraining", "Takes a training back."))
            .about("The server is asked to end it. If it came to none there, the file there is deleted.")
            .gives::<TrainingDto>("It is taken back.")
            .errors(&[Code::TrainingEnded, Code::JobsOff]),
    ]
}

fn one(operation: Operation) -> Operation {
    operation
        .parameter(json!({ "name": "id", "in": "path", "required": true, "schema": text(), "example": TRAINING }))
        .errors(&[Code::UnknownTraining, Code::EngineFailed, Code::PlacesLost, Code::JobsOff, Code::NotOffered])
}

fn create() -> Operation {
    let example = json!({ "model": "smollm2-135m", "training_file": FILE });
    TRAININGS
        .post("/v1/fine_tuning/jobs", "createTraining", "Hands a file of chats over to a server that trains a model.")
        .about(
            "Each line is looked at first. The law has to permit both that the data are worked on there (infer) and that \
                they rest there (enqueue); filter, budgets and the ledger are those of any request that leaves. The same \
                once more is met, and not sent again, as long as it has not ended.",
        )
        .with(&["Content-Encoding"])
        .with(&ASKED)
        .body("TrainingSubmission", example)
        .gives::<TrainingDto>("It is handed over.")
        .headers(SERVED)
        .errors(BODY)
        .errors(LABEL)
        .errors(FIELDS)
        .errors(MESH)
        .errors(&[
            Code::UnknownModel,
            Code::UnknownFile,
            Code::NotTrained,
            Code::NotKeptByLaw,
            Code::TrainingThere,
            Code::JobsOff,
            Code::NotOffered,
        ])
}
