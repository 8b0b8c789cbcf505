//! The paths of files: sent as a form of several parts, looked at, read and forgotten.
//!
//! What must stay true: a file is in memory a part at a time, on its way in and on its way out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use multer::{Constraints, Field, Multipart, SizeLimit};
use tokio::time::timeout;

use super::serve::{Id, Listed, Page, answer, ask, caller, listed, on_disk_thread, page};
use super::{BatchStore, FileDeletedDto, FileDto, FileEnd, FileHead, FileId, FilePurpose, FilesDto, NewFile, Upload};
use crate::callers::Caller;
use crate::errors::{Code, Problem};
use crate::jobs;
use crate::limits::{
    BODY_READ, FILE_BYTES, FILE_FIELD_BYTES, FILE_KEEP_MAX_S, FILE_KEEP_MIN_S, FILE_NAME_BYTES, FILE_PART_BYTES,
};
use crate::respond::json;
use crate::routes::{App, Routes};

pub(super) fn routes() -> Routes {
    Routes::new()
        .route("/v1/files", get(list).post(create))
        .route("/v1/files/{id}", get(show).delete(remove))
        .route("/v1/files/{id}/content", get(content))
}

pub(crate) fn parse(text: &str) -> Result<FileId, Problem> {
    FileId::parse(text).ok_or_else(|| {
        Problem::new(Code::UnknownFile, "there is no file of this id: ids are file- and 32 hexadecimal digits")
            .help("GET /v1/files")
    })
}

fn id_of(id: Id) -> Result<FileId, Problem> {
    parse(&id.map(|Path(id)| id).unwrap_or_default())
}

async fn list(State(app): State<App>, query: Page, request: Request) -> Response {
    let name = caller(&request);
    answer(files(&app, &name, query), |files| json(&files))
}

fn files(app: &App, name: &hither_types::id::AppName, query: Page) -> Result<FilesDto, Problem> {
    let page = page(query)?;
    let after = page.after.as_deref().map(parse).transpose()?;
    let wanted = page.purpose.as_deref();
    // The purpose is looked for in all there are: they are few.
    let all = app.door.batches()?.files(name, after, usize::MAX).into_iter();
    let mut heads: Vec<FileHead> =
        all.filter(|head| wanted.is_none_or(|wanted| head.purpose.as_str() == wanted)).collect();
    if page.is_ascending {
        heads.reverse();
    }
    let Listed { data, first_id, last_id, has_more } =
        listed(&heads, page.limit, |head| FileDto::from(head), |head| head.id.to_string());
    Ok(FilesDto { object: "list", data, first_id, last_id, has_more })
}

async fn show(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let head = match id_of(id) {
        Ok(id) => ask(&app, move |store| store.file(&name, id)).await,
        Err(problem) => Err(problem),
    };
    answer(head, |head| json(&FileDto::from(&head)))
}

async fn remove(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let removed = match id_of(id) {
        Ok(id) => ask(&app, move |store| store.delete(&name, id).map(|()| id)).await,
        Err(problem) => Err(problem),
    };
    answer(removed, |id| json(&FileDeletedDto { id: id.to_string(), object: "file", deleted: true }))
}

async fn content(State(app): State<App>, id: Id, request: Request) -> Response {
    let name = caller(&request);
    let found = match (id_of(id), app.door.batches()) {
        (Ok(id), Ok(store)) => ask(&app, move |store| store.file(&name, id)).await.map(|head| (store, head)),
        (Err(problem), _) | (_, Err(problem)) => Err(problem),
    };
    answer(found, |(store, head)| {
        let length = head.bytes;
        let mut response = Response::new(parts(store, head));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    })
}

/// The content, a part after the other. What cannot be read breaks the answer off: its length is known.
fn parts(store: Arc<dyn BatchStore>, head: FileHead) -> Body {
    Body::from_stream(stream::try_unfold(0, move |number| {
        let (store, id) = (Arc::clone(&store), head.id);
        let parts = head.parts;
        async move {
            if number == parts {
                return Ok::<_, std::io::Error>(None);
            }
            let part = tokio::task::spawn_blocking(move || store.part(id, number)).await;
            match part.map_err(std::io::Error::other)? {
                Ok(bytes) => Ok(Some((bytes, number + 1))),
                Err(error) => {
                    tracing::warn!(file = %id, %error, "a file cannot be given whole, and its answer breaks off");
                    Err(std::io::Error::other(error))
                }
            }
        }
    }))
}

async fn create(State(app): State<App>, request: Request) -> Response {
    answer(take(&app, request).await, |head| json(&FileDto::from(&head)))
}

fn malformed(error: &multer::Error) -> Problem {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            Problem::new(Code::TooLarge, format!("the file or a field beside it is too large: {error}"))
                .help(format!("a file has at most {FILE_BYTES} bytes, each other field {FILE_FIELD_BYTES}"))
        }
        // Its text may have words of the form in it.
        _ => Problem::new(Code::Malformed, "the body is not a form of several parts, or it broke off").help(FORM),
    }
}

const FORM: &str = "curl -F purpose=batch -F file=@lines.jsonl http://127.0.0.1:8080/v1/files";

async fn take(app: &App, request: Request) -> Result<FileHead, Problem> {
    let (parts, body) = request.into_parts();
    let store = app.door.batches()?;
    let caller = Caller::of(&parts.extensions);
    // What may not be kept for later need not come.
    let (_, label) = jobs::label(&parts.headers, caller, &*app.door)?;
    jobs::may_rest(&*app.door, caller.name(), None, &label)?;
    let class = label.class;
    if parts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Problem::new(Code::WrongEncoding, "a file is taken as it is").help("leave Content-Encoding out"));
    }
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind).map_err(|_| {
        let text = "the Content-Type is not multipart/form-data with a boundary";
        Problem::new(Code::Malformed, text).help(FORM).param("Content-Type")
    })?;
    let limits = SizeLimit::new().whole_stream(FILE_BYTES + FILE_PART_BYTES as u64).for_field("file", FILE_BYTES);
    let form = Multipart::with_constraints(body.into_data_stream(), boundary, Constraints::new().size_limit(limits));
    let new = NewFile { app: caller.name().clone(), class };
    let (upload, end) = fields(store, form, new).await?;
    on_disk_thread(move || upload.finish(end)).await
}

/// What takes too long is given up.
async fn in_time<T>(read: impl Future<Output = Result<T, multer::Error>>) -> Result<T, Problem> {
    match timeout(BODY_READ, read).await {
        Ok(read) => read.map_err(|error| malformed(&error)),
        Err(_) => Err(Problem::new(Code::TooSlow, format!("nothing of the body came for {BODY_READ:?}"))),
    }
}

async fn fields(
    store: Arc<dyn BatchStore>,
    mut form: Multipart<'static>,
    new: NewFile,
) -> Result<(Box<dyn Upload>, FileEnd), Problem> {
    let (mut upload, mut end, mut purpose) =
        (None, FileEnd { name: String::new(), purpose: FilePurpose::Batch, keep_ms: FILE_KEEP_MAX_S * 1000 }, None);
    while let Some(mut field) = in_time(form.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" if upload.is_some() => return Err(wrong("file", "the form has more than one file")),
            "file" => {
                end.name = file_name(&field);
                upload = Some(content_of(Arc::clone(&store), new.clone(), &mut field).await?);
            }
            "purpose" => purpose = Some(text(&mut field, "purpose").await?),
            "expires_after[anchor]" => {
                if text(&mut field, "expires_after[anchor]").await? != "created_at" {
                    return Err(wrong(
                        "expires_after[anchor]",
                        "a file expires after its created_at, and nothing else",
                    ));
                }
            }
            "expires_after[seconds]" => {
                let said = text(&mut field, "expires_after[seconds]").await?;
                end.keep_ms = keep_ms(said.parse().ok(), "expires_after[seconds]")?;
            }
            _ => {
                return Err(Problem::new(Code::Unsupported, "the form has a field that is not known")
                    .help("the fields are file, purpose, expires_after[anchor] and expires_after[seconds]"));
            }
        }
    }
    match purpose.as_deref() {
        Some("batch") => end.purpose = FilePurpose::Batch,
        Some("fine-tune") => end.purpose = FilePurpose::FineTune,
        Some(_) => return Err(wrong("purpose", "the purpose of a file is batch or fine-tune: nothing else is kept")),
        None => return Err(wrong("purpose", "the form has no purpose").help(FORM)),
    }
    Ok((upload.ok_or_else(|| wrong("file", "the form has no file").help(FORM))?, end))
}

fn wrong(param: &str, text: &str) -> Problem {
    Problem::new(Code::OutOfRange, text).param(param)
}

/// How long a file is kept, from the seconds that were asked for.
pub(super) fn keep_ms(seconds: Option<u64>, param: &str) -> Result<u64, Problem> {
    let span = FILE_KEEP_MIN_S..=FILE_KEEP_MAX_S;
    let seconds = seconds.filter(|seconds| span.contains(seconds)).ok_or_else(|| {
        let text = format!("a file is kept for {FILE_KEEP_MIN_S} to {FILE_KEEP_MAX_S} seconds");
        Problem::new(Code::OutOfRange, text).param(param)
    })?;
    Ok(seconds * 1000)
}

/// What the app calls it, without control characters.
fn file_name(field: &Field<'_>) -> String {
    let mut name: String =
        field.file_name().unwrap_or_default().chars().filter(|letter| !letter.is_control()).collect();
    while name.len() > FILE_NAME_BYTES {
        name.pop();
    }
    if name.is_empty() { "file".to_owned() } else { name }
}

async fn text(field: &mut Field<'_>, param: &'static str) -> Result<String, Problem> {
    let mut text = BytesMut::new();
    while let Some(chunk) = in_time(field.chunk()).await? {
        if text.len() + chunk.len() > FILE_FIELD_BYTES {
            return Err(wrong(param, &format!("the field has more than {FILE_FIELD_BYTES} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    String::from_utf8(text.into()).map_err(|_| wrong(param, "the field is not text"))
}

async fn content_of(
    store: Arc<dyn BatchStore>,
    new: NewFile,
    field: &mut Field<'_>,
) -> Result<Box<dyn Upload>, Problem> {
    let mut upload = on_disk_thread(move || store.create(new)).await?;
    let mut waiting = BytesMut::new();
    while let Some(chunk) = in_time(field.chunk()).await? {
        waiting.extend_from_slice(&chunk);
        while waiting.len() >= FILE_PART_BYTES {
            upload = put(upload, waiting.split_to(FILE_PART_BYTES).freeze()).await?;
        }
    }
    if waiting.is_empty() { Ok(upload) } else { put(upload, waiting.freeze()).await }
}

async fn put(mut upload: Box<dyn Upload>, bytes: Bytes) -> Result<Box<dyn Upload>, Problem> {
    // Whoever leaves meanwhile leaves the upload to that thread, which drops it.
    on_disk_thread(move || upload.part(&bytes).map(|()| upload)).await
}
