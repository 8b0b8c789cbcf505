//! Reads a file of lines one by one, a part in memory at a time, and holds each line against what a batch can ask.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Batch, BatchStore, FileHead, KeptError, LineFault};
use crate::body::check_depth;
use crate::jobs::{Ask, NewJob, Peek, STREAMING};
use crate::limits::{BATCH_FAULTS, BATCH_ID_BYTES, BATCH_LINE_BYTES, BATCH_LINES};

/// A line as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    custom_id: Option<String>,
    method: Option<String>,
    url: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

/// A line that can be asked.
pub(super) struct Request {
    /// What its app calls it.
    pub(super) custom_id: String,
    model: Option<String>,
    body: Bytes,
}

/// The lines of a file, in their order.
pub(crate) struct Lines {
    file: FileHead,
    part: u32,
    rest: Bytes,
    /// The last line that was read, from 1, blank ones too.
    pub(crate) line: u32,
}

/// One line.
pub(crate) enum Read {
    /// This.
    Line(Bytes),
    /// One that is too long; nothing behind it is read.
    TooLong,
    /// There is none.
    End,
}

impl Lines {
    pub(crate) fn of(file: FileHead) -> Self {
        Self { file, part: 0, rest: Bytes::new(), line: 0 }
    }

    /// The next line that is not blank.
    pub(crate) fn next(&mut self, store: &dyn BatchStore) -> Result<Read, KeptError> {
        loop {
            let line = match self.raw(store)? {
                Read::Line(line) => line,
                other => return Ok(other),
            };
            self.line += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Read::Line(line));
            }
        }
    }

    fn raw(&mut self, store: &dyn BatchStore) -> Result<Read, KeptError> {
        let mut begun: Vec<u8> = Vec::new();
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                if begun.len() + line.len() > BATCH_LINE_BYTES {
                    return Ok(Read::TooLong);
                }
                if begun.is_empty() {
                    return Ok(Read::Line(line));
                }
                begun.extend_from_slice(&line);
                return Ok(Read::Line(begun.into()));
            }
            begun.extend_from_slice(&self.rest);
            self.rest = Bytes::new();
            if begun.len() > BATCH_LINE_BYTES {
                return Ok(Read::TooLong);
            }
            if self.part == self.file.parts {
                return Ok(if begun.is_empty() { Read::End } else { Read::Line(begun.into()) });
            }
            self.rest = store.part(self.file.id, self.part)?;
            self.part += 1;
        }
    }
}

fn fault(code: &str, param: Option<&str>, message: impl Into<String>) -> LineFault {
    LineFault { code: code.to_owned(), line: None, message: message.into(), param: param.map(str::to_owned) }
}

/// Reads a line, or says what is wrong with it. The words of the app are not repeated.
pub(super) fn read(line: &[u8], endpoint: &str) -> Result<Request, LineFault> {
    check_depth(line).map_err(|problem| fault("invalid_json_line", None, problem.message))?;
    let form: Form<'_> = serde_json::from_slice(line).map_err(|error| {
        // What the parser says of a field may have the field's name in it; where it is has not.
        let text =
            format!("the line is not an object with custom_id, method, url and body (column {})", error.column());
        fault("invalid_json_line", None, text)
    })?;
    let missing = |name: &str| fault("missing_required_parameter", Some(name), format!("the line has no {name}"));
    let custom_id = form.custom_id.ok_or_else(|| missing("custom_id"))?;
    if custom_id.is_empty() || custom_id.len() > BATCH_ID_BYTES {
        let text = format!("custom_id has {} bytes, and takes 1 to {BATCH_ID_BYTES}", custom_id.len());
        return Err(fault("invalid_custom_id", Some("custom_id"), text));
    }
    match form.method.as_deref() {
        None => return Err(missing("method")),
        Some("POST") => {}
        Some(_) => return Err(fault("invalid_method", Some("method"), "a line sends POST requests alone")),
    }
    match form.url.as_deref() {
        None => return Err(missing("url")),
        Some(url) if url == endpoint => {}
        Some(_) => {
            let text = format!("the url of the line is not the endpoint of its batch, {endpoint}");
            return Err(fault("mismatched_url", Some("url"), text));
        }
    }
    let body = form.body.ok_or_else(|| missing("body"))?.get();
    let peek: Peek = serde_json::from_str(body)
        .ok()
        .filter(|_| body.starts_with('{'))
        .ok_or_else(|| fault("invalid_body", Some("body"), "body is not the object that its path takes"))?;
    if peek.stream.unwrap_or(STREAMING.contains(&endpoint)) {
        let text = "the answer to a line is kept whole, so it cannot be streamed: \"stream\" must be false";
        return Err(fault("unsupported_stream", Some("body.stream"), text));
    }
    if peek.background.unwrap_or(false) {
        let text = "a line is answered in the background already: \"background\" must be false";
        return Err(fault("unsupported_background", Some("body.background"), text));
    }
    Ok(Request { custom_id, model: peek.model, body: Bytes::copy_from_slice(body.as_bytes()) })
}

/// Counts the lines of a batch, if all of them can be asked.
pub(super) fn check(store: &dyn BatchStore, batch: &Batch) -> Result<Result<u32, Vec<LineFault>>, KeptError> {
    let mut lines = Lines::of(store.file(&batch.new.app, batch.new.input)?);
    let mut seen: HashSet<blake3::Hash> = HashSet::new();
    let (mut total, mut faults) = (0, Vec::new());
    loop {
        let found = match lines.next(store)? {
            Read::End => break,
            Read::TooLong => {
                let text = format!("the line has more than {BATCH_LINE_BYTES} bytes");
                faults.push(LineFault { line: Some(lines.line + 1), ..fault("line_too_long", None, text) });
                break;
            }
            Read::Line(line) => read(&line, &batch.new.endpoint),
        };
        total += 1;
        let found = found.and_then(|request| match seen.insert(blake3::hash(request.custom_id.as_bytes())) {
            true => Ok(()),
            false => Err(fault("duplicate_custom_id", Some("custom_id"), "an earlier line has this custom_id")),
        });
        if let Err(fault) = found {
            faults.push(LineFault { line: Some(lines.line), ..fault });
        }
        if total > BATCH_LINES {
            faults.push(fault("too_many_lines", None, format!("a batch takes at most {BATCH_LINES} lines")));
        }
        if total > BATCH_LINES || faults.len() >= BATCH_FAULTS {
            break;
        }
    }
    if total == 0 && faults.is_empty() {
        faults.push(fault("empty_file", None, "the file has no line"));
    }
    Ok(if faults.is_empty() { Ok(total) } else { Err(faults) })
}

impl Request {
    /// As the job that the line becomes.
    pub(super) fn job(self, batch: &Batch) -> NewJob {
        let new = &batch.new;
        NewJob {
            app: new.app.clone(),
            key: None,
            said: self.body.clone(),
            model: self.model,
            class: new.class,
            deadline: new.deadline,
            ask: Ask { url: new.endpoint.clone(), headers: new.headers.clone(), body: self.body },
            metadata: Some(crate::respond::write(&self.custom_id)),
        }
    }
}
