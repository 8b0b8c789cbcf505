//! Works at one batch: looks at its lines, makes jobs of them, and writes down what came of those.
//!
//! What must stay true: a turn can be broken off anywhere and begun anew. Lines become jobs in their order and under a key
//! that is theirs; what they came to is written in their order, counted with the next `advance`, and only then are their
//! jobs forgotten.

use serde::Serialize;
use serde_json::value::RawValue;

use super::lines::{self, Lines, Read};
use super::{Batch, BatchId, BatchStatus, BatchStore, FileId, KeptError, Line, LineFault, Written};
use crate::jobs::{Job, JobError, Status, Whose, json_of, raw};
use crate::limits::{BATCH_AHEAD, BATCH_PART_BYTES, BATCH_PART_LINES};
use crate::respond::write;

/// Where the work at a batch stands. It is in memory alone: without it, the input is read again from its first line.
#[derive(Default)]
pub struct Desk {
    input: Option<Lines>,
    /// The line that is read next, from 0; blank ones do not count.
    next: u32,
    /// A line that was read and could not be handed in yet.
    held: Option<bytes::Bytes>,
    /// The store had no room for it when that was tried last.
    full: bool,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// There is more to do at once.
    More,
    /// There is nothing to do until something changes.
    Waits,
    /// The batch has ended.
    Ended,
}

/// Does the next piece of work at a batch. It waits for a disk.
///
/// # Errors
/// The disk does not take or give what the batch needs; the next turn tries again.
pub fn turn(store: &dyn BatchStore, id: BatchId, desk: &mut Desk) -> Result<Moved, KeptError> {
    let (batch, mut jobs) = store.lines(id)?;
    let (status, now) = (batch.progress.status(), store.clock());
    if status.is_end() {
        return Ok(Moved::Ended);
    }
    let is_written = |line: &Line| line.number < batch.progress.written;
    if jobs.iter().any(|line| is_written(line) && line.status.is_end()) {
        store.forget(id)?;
        return Ok(Moved::More);
    }
    // One whose end was damaged on the disk runs again, and is written already.
    jobs.retain(|line| !is_written(line));
    if status == BatchStatus::Validating {
        return validate(store, &batch);
    }
    if status == BatchStatus::Cancelling {
        if batch.progress.total == 0 {
            // Taken back before its lines were counted: none of them was asked.
            store.advance(id, &|progress| progress.mark(BatchStatus::Cancelled, now))?;
            return Ok(Moved::Ended);
        }
        for line in jobs.iter().filter(|line| !line.status.is_end()) {
            match store.cancel(&Whose::Everyone, line.job) {
                // It ended meanwhile.
                Ok(_) | Err(JobError::Ended { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    if batch.progress.written == batch.progress.total {
        return finish(store, &batch);
    }
    let is_over = status == BatchStatus::Cancelling || now >= batch.new.deadline;
    if !is_over && hand_in(store, &batch, &jobs, desk)? {
        return Ok(Moved::More);
    }
    let (batch, mut jobs) = store.lines(id)?;
    jobs.retain(|line| line.number >= batch.progress.written);
    write_down(store, &batch, &jobs, desk, is_over)
}

fn validate(store: &dyn BatchStore, batch: &Batch) -> Result<Moved, KeptError> {
    let checked = match lines::check(store, batch) {
        Ok(checked) => checked,
        // What is gone, or damaged, does not come back.
        Err(KeptError::UnknownFile(_) | KeptError::Damaged { .. }) => Err(vec![LineFault {
            code: "unreadable_file".to_owned(),
            line: None,
            message: "the file of the batch cannot be read".to_owned(),
            param: Some("input_file_id".to_owned()),
        }]),
        Err(error) => return Err(error),
    };
    let now = store.clock();
    store.advance(batch.id, &|progress| {
        // It may have been taken back while its lines were looked at; then it ends as that.
        if progress.status() != BatchStatus::Validating {
            return;
        }
        match &checked {
            Ok(total) => {
                progress.total = *total;
                progress.mark(BatchStatus::InProgress, now);
            }
            Err(faults) => {
                progress.faults = faults.clone();
                progress.mark(BatchStatus::Failed, now);
            }
        }
    })?;
    Ok(if checked.is_ok() { Moved::More } else { Moved::Ended })
}

/// The input from the first line that lies in no file yet.
fn input<'a>(store: &dyn BatchStore, batch: &Batch, desk: &'a mut Desk) -> Result<&'a mut Lines, KeptError> {
    if desk.input.is_none() {
        let mut input = Lines::of(store.file(&batch.new.app, batch.new.input)?);
        for _ in 0..batch.progress.written {
            input.next(store)?;
        }
        (desk.next, desk.held) = (batch.progress.written, None);
        desk.input = Some(input);
    }
    Ok(desk.input.as_mut().expect("it was just put there"))
}

/// The line at `desk.next`, and keeps it until `taken`.
fn line(store: &dyn BatchStore, batch: &Batch, desk: &mut Desk) -> Result<bytes::Bytes, KeptError> {
    if let (Some(_), Some(held)) = (&desk.input, &desk.held) {
        return Ok(held.clone());
    }
    match input(store, batch, desk)?.next(store)? {
        Read::Line(line) => {
            desk.held = Some(line.clone());
            Ok(line)
        }
        Read::TooLong | Read::End => {
            let text = "it has fewer lines than were counted".to_owned();
            Err(KeptError::Damaged { id: batch.new.input, text })
        }
    }
}

fn taken(desk: &mut Desk) {
    desk.held = None;
    desk.next += 1;
}

/// Makes jobs of the next lines. Whether there are more that could become some at once.
fn hand_in(store: &dyn BatchStore, batch: &Batch, jobs: &[Line], desk: &mut Desk) -> Result<bool, KeptError> {
    desk.full = false;
    input(store, batch, desk)?;
    let most = batch.progress.total.min(batch.progress.written.saturating_add(BATCH_AHEAD));
    for _ in 0..BATCH_PART_LINES {
        if desk.next >= most {
            return Ok(false);
        }
        let text = line(store, batch, desk)?;
        let there = jobs.binary_search_by_key(&desk.next, |line| line.number).is_ok();
        if !there {
            let request = lines::read(&text, &batch.new.endpoint).map_err(|fault| KeptError::Damaged {
                id: batch.new.input,
                text: format!("line {} is not as it was: {}", desk.next, fault.message),
            })?;
            match store.hand_in(batch.id, desk.next, request.job(batch)) {
                Err(KeptError::Store(JobError::Full(_))) => {
                    desk.full = true;
                    return Ok(false);
                }
                handed => handed?,
            }
        }
        taken(desk);
    }
    Ok(desk.next < most)
}

#[derive(Serialize)]
struct OutputForm<'a> {
    id: String,
    custom_id: &'a RawValue,
    response: Option<ResponseForm>,
    error: Option<ErrorForm>,
}

#[derive(Serialize)]
struct ResponseForm {
    status_code: u16,
    request_id: String,
    body: Box<RawValue>,
}

#[derive(Serialize)]
struct ErrorForm {
    code: &'static str,
    message: String,
}

/// What is to be written of some lines.
#[derive(Default)]
struct Part {
    output: String,
    errors: String,
    lines: u32,
    completed: u32,
    expired: u32,
}

impl Part {
    fn is_full(&self) -> bool {
        self.lines >= BATCH_PART_LINES || self.output.len().max(self.errors.len()) >= BATCH_PART_BYTES
    }

    fn add(&mut self, form: &OutputForm<'_>, is_answer: bool) {
        let text = if is_answer { &mut self.output } else { &mut self.errors };
        text.push_str(&write(form));
        text.push('\n');
        self.lines += 1;
        self.completed += u32::from(is_answer);
    }

    /// What a job came to.
    fn ended(&mut self, job: &Job) {
        let custom_id = raw(job.metadata.as_deref().unwrap_or("null"));
        let id = format!("batch_req_{:032x}", job.head.id.0);
        let response = job.given.as_ref().map(|given| ResponseForm {
            status_code: given.status,
            request_id: given.header("x-hither-request").unwrap_or_default().to_owned(),
            body: on_one_line(given),
        });
        let error = match job.head.status {
            Status::Expired => {
                self.expired += 1;
                let last =
                    job.head.last.as_ref().map(|last| format!("; the last attempt: {} [{}]", last.message, last.code));
                Some(expired(&last.unwrap_or_else(|| "; it was never its turn".to_owned())))
            }
            Status::Cancelled => Some(cancelled()),
            Status::Done | Status::Failed | Status::Queued | Status::Running => None,
        };
        self.add(&OutputForm { id, custom_id: &custom_id, response, error }, job.head.status == Status::Done);
    }
}

fn expired(why: &str) -> ErrorForm {
    let message = format!("the batch expired before this line was answered{why}");
    ErrorForm { code: "batch_expired", message }
}

fn cancelled() -> ErrorForm {
    ErrorForm { code: "batch_cancelled", message: "the batch was cancelled before this line was answered".to_owned() }
}

/// The body of an answer as JSON without line breaks.
fn on_one_line(given: &crate::jobs::Given) -> Box<RawValue> {
    let plain = json_of(given.header("content-type"), &given.body);
    let plain = plain.unwrap_or_else(|| raw(&write(&String::from_utf8_lossy(&given.body))));
    if !plain.get().contains(['\n', '\r']) {
        return plain;
    }
    // In JSON, a line break is between tokens or nowhere.
    raw(&plain.get().replace(['\n', '\r'], " "))
}

/// Writes what the next lines came to, if enough of them have ended or nothing more is to come.
fn write_down(
    store: &dyn BatchStore,
    batch: &Batch,
    jobs: &[Line],
    desk: &mut Desk,
    is_over: bool,
) -> Result<Moved, KeptError> {
    let progress = &batch.progress;
    let ended = jobs.iter().zip(progress.written..).take_while(|(line, at)| line.number == *at && line.status.is_end());
    let ended = u32::try_from(ended.count()).unwrap_or(u32::MAX);
    let enough = ended >= BATCH_PART_LINES || progress.written + ended == progress.total || desk.full;
    if !enough && !is_over {
        return Ok(Moved::Waits);
    }
    let mut part = Part::default();
    for line in jobs.iter().take(ended as usize) {
        if part.is_full() {
            break;
        }
        part.ended(&store.show(&Whose::Everyone, line.job)?);
    }
    let all_jobs = jobs.len() == part.lines as usize;
    if is_over && all_jobs && !part.is_full() {
        never_asked(store, batch, desk, &mut part)?;
    }
    if part.lines == 0 {
        return Ok(Moved::Waits);
    }
    keep(store, batch, &part)?;
    store.forget(batch.id)?;
    Ok(Moved::More)
}

/// Lines that never became jobs, and never will.
fn never_asked(store: &dyn BatchStore, batch: &Batch, desk: &mut Desk, part: &mut Part) -> Result<(), KeptError> {
    input(store, batch, desk)?;
    while !part.is_full() && batch.progress.written + part.lines < batch.progress.total {
        let text = line(store, batch, desk)?;
        if desk.next >= batch.progress.written + part.lines {
            let request = lines::read(&text, &batch.new.endpoint).ok();
            let custom_id = raw(&write(&request.map(|request| request.custom_id)));
            let id = format!("batch_req_{:032x}", batch.id.0 ^ (u128::from(desk.next) + 1));
            let is_cancelled = batch.progress.status() == BatchStatus::Cancelling;
            let error = if is_cancelled { cancelled() } else { expired("; there was no room or no time to ask it") };
            part.expired += u32::from(!is_cancelled);
            part.add(&OutputForm { id, custom_id: &custom_id, response: None, error: Some(error) }, false);
        }
        taken(desk);
    }
    Ok(())
}

/// Puts what is to be written on the disk, and counts it.
fn keep(store: &dyn BatchStore, batch: &Batch, part: &Part) -> Result<(), KeptError> {
    let before = &batch.progress;
    let add = |file: FileId, written: Written, text: &str| -> Result<Written, KeptError> {
        if text.is_empty() {
            return Ok(written);
        }
        store.append(batch.id, file, written.parts, text.as_bytes())?;
        Ok(Written { parts: written.parts + 1, bytes: written.bytes + text.len() as u64 })
    };
    let output = add(batch.output, before.output, &part.output)?;
    let errors = add(batch.errors, before.errors, &part.errors)?;
    store.advance(batch.id, &|progress| {
        progress.written = before.written + part.lines;
        progress.completed = before.completed + part.completed;
        progress.failed = before.failed + part.lines - part.completed;
        progress.expired = before.expired + part.expired;
        (progress.output, progress.errors) = (output, errors);
    })
}

fn finish(store: &dyn BatchStore, batch: &Batch) -> Result<Moved, KeptError> {
    let now = store.clock();
    if batch.progress.status() == BatchStatus::InProgress {
        store.advance(batch.id, &|progress| {
            if progress.status() == BatchStatus::InProgress {
                progress.mark(BatchStatus::Finalizing, now);
            }
        })?;
        return Ok(Moved::More);
    }
    store.advance(batch.id, &|progress| {
        let end = match progress.status() {
            BatchStatus::Cancelling => BatchStatus::Cancelled,
            _ if progress.expired > 0 => BatchStatus::Expired,
            _ => BatchStatus::Completed,
        };
        progress.mark(end, now);
    })?;
    Ok(Moved::Ended)
}
