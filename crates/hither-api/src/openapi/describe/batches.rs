//! Files and batches.

use serde_json::{Value, json};

use super::codes::{BODY, LABEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, said, text, whole, word};
use crate::batches::{BatchDto, BatchesDto, FileDeletedDto, FileDto, FilesDto};
use crate::errors::Code;
use crate::limits::{FILE_KEEP_MAX_S, FILE_KEEP_MIN_S, JOBS_LISTED_MAX};
use crate::respond::Form;

const BATCHES: Place = Place("Batches", Form::OpenAi);

/// An id of each, for examples.
const FILE: &str = "file-0190f000000070008000000000000000";
const BATCH: &str = "batch_0190f000000070008000000000000000";

pub(super) fn all() -> Vec<Operation> {
    vec![
        listed(BATCHES.get("/v1/files", "files", "The files of the app, the newest first."), FILE)
            .parameter(json!({
                "name": "order", "in": "query", "schema": word(&["asc", "desc"]),
                "description": "asc: the oldest first.",
            }))
            .parameter(json!({
                "name": "purpose", "in": "query", "schema": text(),
                "description": "Those of one purpose alone: batch, batch_output or fine-tune.",
            }))
            .gives::<FilesDto>("The files.")
            .errors(&[Code::UnknownFile]),
        create_file(),
        file(BATCHES.get("/v1/files/{id}", "file", "One file.")).gives::<FileDto>("The file."),
        file(BATCHES.delete("/v1/files/{id}", "deleteFile", "Forgets a file."))
            .gives::<FileDeletedDto>("It is forgotten.")
            .errors(&[Code::FileInUse]),
        file(BATCHES.get("/v1/files/{id}/content", "fileContent", "What is in a file.")).gives_as(
            200,
            "The bytes.",
            "application/octet-stream",
            json!({ "type": "string", "format": "binary" }),
        ),
        listed(BATCHES.get("/v1/batches", "batches", "The batches of the app, the newest first."), BATCH)
            .gives::<BatchesDto>("The batches.")
            .errors(&[Code::UnknownBatch]),
        create_batch(),
        batch(BATCHES.get("/v1/batches/{id}", "batch", "One batch.")).gives::<BatchDto>("The batch."),
        batch(BATCHES.post("/v1/batches/{id}/cancel", "cancelBatch", "Takes a batch back."))
            .about("Lines that have an answer keep it: they are in the output when the batch is cancelled.")
            .gives::<BatchDto>("It is being cancelled.")
            .errors(&[Code::BatchEnded, Code::JobDiskFull]),
    ]
}

fn named(operation: Operation, example: &str) -> Operation {
    operation
        .parameter(json!({ "name": "id", "in": "path", "required": true, "schema": text(), "example": example }))
        .errors(&[Code::JobsOff])
}

fn file(operation: Operation) -> Operation {
    named(operation, FILE).errors(&[Code::UnknownFile])
}

fn batch(operation: Operation) -> Operation {
    named(operation, BATCH).errors(&[Code::UnknownBatch])
}

fn listed(operation: Operation, example: &str) -> Operation {
    operation
        .parameter(json!({
            "name": "limit", "in": "query", "schema": whole(1, JOBS_LISTED_MAX as u64),
            "description": "How many at most; 100 if absent.",
        }))
        .parameter(json!({
            "name": "after", "in": "query", "schema": text(), "example": example,
            "description": "The last one that was seen.",
        }))
        .errors(&[Code::OutOfRange, Code::JobsOff])
}

fn create_file() -> Operation {
    let keep = said(whole(FILE_KEEP_MIN_S as i64, FILE_KEEP_MAX_S), "How long it is kept; thirty days if absent.");
    let form: Value = json!({
        "type": "object",
        "required": ["file", "purpose"],
        "properties": {
            "file": { "type": "string", "format": "binary", "description": "A request in each line, or a chat to train with (JSON Lines)." },
            "purpose": word(&["batch", "fine-tune"]),
            "expires_after[anchor]": { "type": "string", "const": "created_at" },
            "expires_after[seconds]": keep,
        },
        "additionalProperties": false,
    });
    BATCHES
        .post("/v1/files", "createFile", "Sends a file of requests, or of chats to train with, one in each line.")
        .about("The answer says that the file is on disk, encrypted. It is kept for its app alone.")
        .with(&ASKED)
        .body_of(json!({ "required": true, "content": { "multipart/form-data": { "schema": form } } }))
        .gives::<FileDto>("The file is kept.")
        .errors(BODY)
        .errors(LABEL)
        .errors(&[
            Code::Unsupported,
            Code::OutOfRange,
            Code::NotKeptByLaw,
            Code::JobsFull,
            Code::JobDiskFull,
            Code::JobsOff,
        ])
}

fn create_batch() -> Operation {
    let example = json!({ "input_file_id": FILE, "endpoint": "/v1/chat/completions", "completion_window": "24h" });
    BATCHES
        .post("/v1/batches", "createBatch", "Asks each line of a file as a job.")
        .about(
            "The lines are looked at first; if one of them is wrong, the batch fails and none is asked. Each line is \
                in the output or among the errors when the batch has ended, once.",
        )
        .with(&["Content-Encoding"])
        .with(&ASKED)
        .body("BatchSubmission", example)
        .gives::<BatchDto>("The batch is kept.")
        .errors(BODY)
        .errors(LABEL)
        .errors(&[
            Code::OutOfRange,
            Code::LabelLoosened,
            Code::UnknownFile,
            Code::NotKeptByLaw,
            Code::LimitReached,
            Code::JobsFull,
            Code::JobDiskFull,
            Code::JobsOff,
        ])
}
