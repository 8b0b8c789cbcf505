//! Files and batches as OpenAI's API has them.

use hither_types::time::WallTime;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Batch, BatchStatus, FileHead};
use crate::jobs::raw;

/// A file.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "File"))]
pub(crate) struct FileDto {
    /// Its id.
    pub(crate) id: String,
    /// Always `file`.
    object: &'static str,
    /// How long it is.
    bytes: u64,
    /// When it came, in seconds since 1970.
    created_at: u64,
    /// Until when it is kept, in seconds since 1970.
    expires_at: u64,
    /// What its app calls it.
    filename: String,
    /// `batch`, `batch_output` or `fine-tune`.
    purpose: &'static str,
    /// Always `processed`: a file is there when it is whole.
    status: &'static str,
}

/// Several files.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileList"))]
pub(crate) struct FilesDto {
    /// Always `list`.
    pub(crate) object: &'static str,
    /// The files.
    pub(crate) data: Vec<FileDto>,
    /// The first of them.
    pub(crate) first_id: Option<String>,
    /// The last of them.
    pub(crate) last_id: Option<String>,
    /// Whether there are more: ask with `after`, the id of the last.
    pub(crate) has_more: bool,
}

/// A file that was there.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileDeleted"))]
pub(crate) struct FileDeletedDto {
    /// Its id.
    pub(crate) id: String,
    /// Always `file`.
    pub(crate) object: &'static str,
    /// Always true.
    pub(crate) deleted: bool,
}

/// A batch.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Batch"))]
pub(crate) struct BatchDto {
    /// Its id.
    pub(crate) id: String,
    /// Always `batch`.
    object: &'static str,
    /// The path that each line asks.
    endpoint: String,
    /// Why it failed.
    errors: Option<FaultsDto>,
    /// Its lines.
    input_file_id: String,
    /// How long it may take.
    completion_window: String,
    /// `validating`, `failed`, `in_progress`, `finalizing`, `completed`, `expired`, `cancelling` or `cancelled`.
    status: &'static str,
    /// The answers, once it has ended, if there are any.
    output_file_id: Option<String>,
    /// The lines without an answer, once it has ended, if there are any.
    error_file_id: Option<String>,
    /// When it was handed in, in seconds since 1970.
    created_at: u64,
    /// When its lines were found good.
    in_progress_at: Option<u64>,
    /// Its deadline.
    expires_at: u64,
    /// When all its lines had ended.
    finalizing_at: Option<u64>,
    /// When it was complete.
    completed_at: Option<u64>,
    /// When a line was found wrong.
    failed_at: Option<u64>,
    /// When it ended because of its deadline.
    expired_at: Option<u64>,
    /// When it was taken back.
    cancelling_at: Option<u64>,
    /// When nothing of it ran any more.
    cancelled_at: Option<u64>,
    /// Its lines.
    request_counts: CountsDto,
    /// What the app wants to find again with it.
    metadata: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchCounts"))]
struct CountsDto {
    /// All of them; 0 until they are counted.
    total: u32,
    /// Those that were answered.
    completed: u32,
    /// Those that ended without an answer.
    failed: u32,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchErrors"))]
struct FaultsDto {
    /// Always `list`.
    object: &'static str,
    /// What is wrong with which line.
    data: Vec<FaultDto>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchError"))]
struct FaultDto {
    /// A word for it.
    code: String,
    /// Which line of the file, from 1; null if it is the whole file.
    line: Option<u32>,
    /// What is wrong.
    message: String,
    /// Which field.
    param: Option<String>,
}

/// Several batches.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchList"))]
pub(crate) struct BatchesDto {
    /// Always `list`.
    pub(crate) object: &'static str,
    /// The batches, the newest first.
    pub(crate) data: Vec<BatchDto>,
    /// The first of them.
    pub(crate) first_id: Option<String>,
    /// The last of them.
    pub(crate) last_id: Option<String>,
    /// Whether there are older ones: ask with `after`, the id of the last.
    pub(crate) has_more: bool,
}

fn seconds(at: WallTime) -> u64 {
    at.0 / 1000
}

impl From<&FileHead> for FileDto {
    fn from(head: &FileHead) -> Self {
        Self {
            id: head.id.to_string(),
            object: "file",
            bytes: head.bytes,
            created_at: seconds(head.created),
            expires_at: seconds(head.expires),
            filename: head.name.clone(),
            purpose: head.purpose.as_str(),
            status: "processed",
        }
    }
}

impl From<&Batch> for BatchDto {
    fn from(batch: &Batch) -> Self {
        let progress = &batch.progress;
        let at = |status| progress.at(status).map(seconds);
        let has_files = progress.status().is_end();
        let faults = progress.faults.iter().map(|fault| FaultDto {
            code: fault.code.clone(),
            line: fault.line,
            message: fault.message.clone(),
            param: fault.param.clone(),
        });
        Self {
            id: batch.id.to_string(),
            object: "batch",
            endpoint: batch.new.endpoint.clone(),
            errors: (!progress.faults.is_empty()).then(|| FaultsDto { object: "list", data: faults.collect() }),
            input_file_id: batch.new.input.to_string(),
            completion_window: batch.new.window.clone(),
            status: progress.status().as_str(),
            output_file_id: (has_files && progress.output.parts > 0).then(|| batch.output.to_string()),
            error_file_id: (has_files && progress.errors.parts > 0).then(|| batch.errors.to_string()),
            created_at: seconds(batch.created),
            in_progress_at: at(BatchStatus::InProgress),
            expires_at: seconds(batch.new.deadline),
            finalizing_at: at(BatchStatus::Finalizing),
            completed_at: at(BatchStatus::Completed),
            failed_at: at(BatchStatus::Failed),
            expired_at: at(BatchStatus::Expired),
            cancelling_at: at(BatchStatus::Cancelling),
            cancelled_at: at(BatchStatus::Cancelled),
            request_counts: CountsDto {
                total: progress.total,
                completed: progress.completed + batch.answered,
                failed: progress.failed + batch.unanswered,
            },
            metadata: batch.new.metadata.as_deref().map(raw),
        }
    }
}
