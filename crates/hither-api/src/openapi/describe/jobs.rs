//! Jobs.

use serde_json::json;

use super::codes::{BODY, LABEL};
use super::operation::{Operation, Place};
use super::parts::{ASKED, whole};
use crate::errors::Code;
use crate::jobs::{JobDto, JobsDto};
use crate::limits::JOBS_LISTED_MAX;
use crate::respond::Form;

const JOBS: Place = Place("Jobs", Form::Own);

pub(super) fn all() -> Vec<Operation> {
    vec![
        listed(JOBS.get("/v1/jobs", "jobs", "The jobs of the app, the newest first.")),
        submit(),
        found(JOBS.get("/v1/jobs/{id}", "job", "One job, with its answer if it has one.")).gives::<JobDto>("The job."),
        found(JOBS.delete("/v1/jobs/{id}", "deleteJob", "Forgets a job that has ended."))
            .gives_nothing(204, "It is forgotten.")
            .errors(&[Code::JobNotEnded]),
        result(),
        found(JOBS.post("/v1/jobs/{id}/cancel", "cancelJob", "Ends a job that has not ended."))
            .gives::<JobDto>("It is ended.")
            .errors(&[Code::JobEnded]),
        command(listed(JOBS.get("/hither/v1/jobs", "allJobs", "The jobs of all apps, without content."))),
        command(found(JOBS.get("/hither/v1/jobs/{id}", "anyJob", "A job of any app, without content.")))
            .gives::<JobDto>("The job."),
        command(found(JOBS.post("/hither/v1/jobs/{id}/cancel", "cancelAnyJob", "Ends a job of any app.")))
            .gives::<JobDto>("It is ended.")
            .errors(&[Code::JobEnded, Code::NotAllowed]),
    ]
}

fn command(operation: Operation) -> Operation {
    operation.about("Over the Unix socket alone.").errors(&[Code::SocketOnly])
}

fn listed(operation: Operation) -> Operation {
    let uuid = json!({ "type": "string", "format": "uuid" });
    operation
        .parameter(json!({
            "name": "limit", "in": "query", "schema": whole(1, JOBS_LISTED_MAX as u64),
            "description": "How many at most; 100 if absent.",
        }))
        .parameter(json!({
            "name": "after", "in": "query", "schema": uuid,
            "description": "The last job that was seen; older ones follow.",
        }))
        .gives::<JobsDto>("The jobs.")
        .errors(&[Code::OutOfRange, Code::JobsOff])
}

fn found(operation: Operation) -> Operation {
    operation.with(&["id"]).errors(&[Code::OutOfRange, Code::UnknownJob, Code::JobsOff])
}

fn submit() -> Operation {
    let example = json!({
        "deadline_s": 3600,
        "request": { "url": "/v1/chat/completions", "body": {
            "model": "smollm2-135m", "messages": [{ "role": "user", "content": "Name a colour." }], "max_tokens": 8,
        } },
    });
    JOBS.post("/v1/jobs", "submitJob", "Hands in a request that is kept until it can be answered.")
        .about(
            "202 says that the job is on disk. Each try is asked as the request itself would be: the law, the power \
                and the limits of the app are weighed then.",
        )
        .with(&["Idempotency-Key", "Content-Encoding"])
        .with(&ASKED)
        .body("JobSubmission", example)
        .answers::<JobDto>(202, "The job is kept.")
        .headers(&["Location"])
        .answers::<JobDto>(200, "The job was there before.")
        .headers(&["Location"])
        .errors(BODY)
        .errors(LABEL)
        .errors(&[
            Code::Unsupported,
            Code::OutOfRange,
            Code::NotKeptByLaw,
            Code::KeyReused,
            Code::JobsFull,
            Code::JobDiskFull,
            Code::JobsOff,
        ])
}

/// The answer is that of the path that was asked, whichever it was.
fn result() -> Operation {
    let any = json!({ "description": "The answer as the path of the job gave it." });
    found(JOBS.get("/v1/jobs/{id}/result", "jobResult", "The answer, as the path itself would have given it."))
        .about(
            "The status, the type and the body are those of the path that the job asked; so a job that failed for good \
                answers with the refusal of that path, in its form.",
        )
        .gives_as(200, "The answer.", "application/json", any)
        .or_as("application/octet-stream", json!({ "type": "string", "format": "binary" }))
        .passes_on()
        .errors(&[Code::JobNotEnded, Code::JobEnded, Code::JobExpired])
}
