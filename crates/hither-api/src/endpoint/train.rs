//! Examples handed over to a server that trains: a file there, then a training that reads it, by OpenAI's API; and asking
//! after it.
//!
//! What must stay true: ids that a server gives are plain before they become a part of a path; each part of a file that the
//! network took is told, for a long upload says nothing else.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hither_engine::work::{TrainWork, Work};
use hither_types::trace::TraceParent;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Cleared, Endpoint, EndpointError, refusal, unreachable};
use crate::limits::{ENDPOINT_EVENT, ENDPOINT_ID, TRAINING_PART_BYTES};

#[cfg(test)]
mod tests;

/// Told of each part that went.
type OnPart = Arc<dyn Fn(usize) + Send + Sync>;

/// What is sent: whole, or in parts that are told of as they go.
pub(super) struct Outgoing {
    parts: VecDeque<Bytes>,
    left: u64,
    on_part: Option<OnPart>,
}

impl Outgoing {
    pub(super) fn whole(bytes: Bytes) -> Self {
        let left = bytes.len() as u64;
        Self { parts: if bytes.is_empty() { VecDeque::new() } else { [bytes].into() }, left, on_part: None }
    }

    fn in_parts(mut bytes: Bytes, on_part: OnPart) -> Self {
        let left = bytes.len() as u64;
        let mut parts = VecDeque::new();
        while !bytes.is_empty() {
            parts.push_back(bytes.split_to(bytes.len().min(TRAINING_PART_BYTES)));
        }
        Self { parts, left, on_part: Some(on_part) }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(part) = self.parts.pop_front() else { return Poll::Ready(None) };
        self.left -= part.len() as u64;
        // It is asked for when there is room for it: what came before has gone.
        if let Some(on_part) = &self.on_part {
            on_part(part.len());
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A training at a server, as it tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingThere {
    /// Its id there.
    pub id: String,
    /// How far it is, in its own word.
    pub status: String,
    /// What the trained model is called there, once it is.
    pub made: Option<String>,
    /// Tokens that were read, once it says.
    pub tokens: Option<u64>,
    /// When it ended, in seconds since 1970.
    pub finished: Option<u64>,
    /// Why it failed, in its own words.
    pub error: Option<String>,
}

#[derive(Deserialize)]
struct FileForm {
    id: String,
}

#[derive(Deserialize)]
struct TrainingForm {
    id: String,
    status: String,
    #[serde(default)]
    fine_tuned_model: Option<String>,
    #[serde(default)]
    trained_tokens: Option<u64>,
    #[serde(default)]
    finished_at: Option<u64>,
    #[serde(default)]
    error: Option<FaultForm>,
}

#[derive(Deserialize)]
struct FaultForm {
    #[serde(default)]
    message: Option<String>,
}

impl Endpoint {
    /// Puts the examples of a training into a file there, and gives its id. `on_part` is told of each part that goes.
    ///
    /// # Errors
    /// It is no training, or the server does not take the file.
    pub async fn upload(
        &self,
        cleared: &Cleared,
        trace: Option<TraceParent>,
        on_part: impl Fn(usize) + Send + Sync + 'static,
    ) -> Result<String, EndpointError> {
        let (kind, body) = form(training(cleared)?);
        let mut request = self.request(Method::POST, self.path("/v1/files"), trace, Bytes::new());
        request.headers_mut().insert(CONTENT_TYPE, kind);
        *request.body_mut() = Outgoing::in_parts(body, Arc::new(on_part));
        let answer: FileForm = self.read(request).await?;
        plain(answer.id)
    }

    /// Begins a training that reads a file there. `model` is its name there.
    ///
    /// # Errors
    /// It is no training, or the server begins none.
    pub async fn begin_training(
        &self,
        model: &str,
        cleared: &Cleared,
        file: &str,
    ) -> Result<TrainingThere, EndpointError> {
        let wrong = || EndpointError::Cannot("what is said of the training is no object of JSON".to_owned());
        let mut said: Map<String, Value> = serde_json::from_str(&training(cleared)?.options).map_err(|_| wrong())?;
        said.insert("model".to_owned(), model.into());
        said.insert("training_file".to_owned(), file.into());
        let body = Value::Object(said).to_string();
        let request = self.request(Method::POST, self.path("/v1/fine_tuning/jobs"), None, body.into());
        self.read::<TrainingForm>(request).await?.try_into()
    }

    /// How far a training there is.
    ///
    /// # Errors
    /// The server does not say.
    pub async fn training(&self, id: &str) -> Result<TrainingThere, EndpointError> {
        let path = format!("/v1/fine_tuning/jobs/{}", plain(id.to_owned())?);
        let request = self.request(Method::GET, self.path(&path), None, Bytes::new());
        self.read::<TrainingForm>(request).await?.try_into()
    }

    /// Ends a training there.
    ///
    /// # Errors
    /// The server does not end it.
    pub async fn cancel_training(&self, id: &str) -> Result<TrainingThere, EndpointError> {
        let path = format!("/v1/fine_tuning/jobs/{}/cancel", plain(id.to_owned())?);
        let request = self.request(Method::POST, self.path(&path), None, Bytes::new());
        self.read::<TrainingForm>(request).await?.try_into()
    }

    /// Has a file there deleted. One that is not there is.
    ///
    /// # Errors
    /// The server does not say that it did.
    pub async fn delete_file(&self, id: &str) -> Result<(), EndpointError> {
        let path = format!("/v1/files/{}", plain(id.to_owned())?);
        let request = self.request(Method::DELETE, self.path(&path), None, Bytes::new());
        let response = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(no(response).await),
        }
    }

    fn path(&self, path: &str) -> Uri {
        format!("{}{path}", self.base).parse().expect("the base is an address, and ids are plain")
    }

    async fn read<T: for<'a> Deserialize<'a>>(&self, request: hyper::Request<Outgoing>) -> Result<T, EndpointError> {
        let response: Response<Incoming> = self.client.request(request).await.map_err(|error| unreachable(&error))?;
        if !response.status().is_success() {
            return Err(no(response).await);
        }
        let body = Limited::new(response.into_body(), ENDPOINT_EVENT).collect().await;
        let body = body.map_err(|error| EndpointError::Unreachable(format!("its answer broke off: {error}")))?;
        // Not the error's own text: it may hold a part of the answer.
        serde_json::from_slice(&body.to_bytes()).map_err(|error| {
            EndpointError::Failed(format!("its answer is not OpenAI's form, at byte {}", error.column()))
        })
    }
}

impl TryFrom<TrainingForm> for TrainingThere {
    type Error = EndpointError;

    fn try_from(form: TrainingForm) -> Result<Self, EndpointError> {
        let short = |text: String| -> String { text.chars().filter(|c| !c.is_control()).take(ENDPOINT_ID).collect() };
        Ok(Self {
            id: plain(form.id)?,
            status: short(form.status),
            made: form.fine_tuned_model.map(short),
            tokens: form.trained_tokens,
            finished: form.finished_at,
            error: form.error.and_then(|error| error.message).filter(|text| !text.is_empty()).map(short),
        })
    }
}

/// What a "no" means. One that is the client's fault, whichever, is a word of the server: it did not take what was sent.
async fn no(response: Response<Incoming>) -> EndpointError {
    let is_ours = response.status().is_client_error();
    match refusal(response).await {
        EndpointError::Failed(text) if is_ours => EndpointError::Wrong(text),
        other => other,
    }
}

fn training(cleared: &Cleared) -> Result<&TrainWork, EndpointError> {
    match cleared.work() {
        Work::Train(work) => Ok(work),
        Work::Infer(_) | Work::Generate(_) | Work::Embed(_) => {
            Err(EndpointError::Cannot("it is no training that was handed over".to_owned()))
        }
    }
}

/// An id that a server gave, if it can be a part of a path.
fn plain(id: String) -> Result<String, EndpointError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    let is_word = !id.is_empty() && id.len() <= ENDPOINT_ID && id.bytes().all(is_plain) && !id.starts_with('.');
    if is_word { Ok(id) } else { Err(EndpointError::Failed("the id that it gives is none".to_owned())) }
}

/// The form of several parts that has the examples, an object a line, and its Content-Type.
fn form(work: &TrainWork) -> (HeaderValue, Bytes) {
    let mut hasher = blake3::Hasher::new();
    work.examples.iter().for_each(|line| {
        hasher.update(line.as_bytes());
    });
    // No text has its own hash in it.
    let boundary = format!("hither-{}", hasher.finalize().to_hex());
    let length = work.examples.iter().map(|line| line.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(length + 512);
    body.extend_from_slice(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--{boundary}\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"training.jsonl\"\r\n\
             Content-Type: application/jsonl\r\n\r\n"
        )
        .as_bytes(),
    );
    for line in &work.examples {
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"));
    (kind.expect("letters and digits are a header"), body.into())
}
