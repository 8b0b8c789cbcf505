//! What such a server says, piece by piece: server-sent events, or one JSON text from servers that do not stream.

use bytes::{Buf, Bytes, BytesMut};
use hither_engine::work::{Account, Chance, Chances, FinishReason, Piece, Tensor, ToolCall};
use hither_types::model::Datatype;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;

use super::ask::Expects;
use super::{EndpointError, tensors};
use crate::limits::{ENDPOINT_ANSWER, ENDPOINT_CALLS, ENDPOINT_ERROR, ENDPOINT_EVENT};
use crate::oip::JSON_LENGTH;

/// An answer as it comes.
pub struct Answering {
    body: Incoming,
    buffer: BytesMut,
    expects: Expects,
    is_stream: bool,
    /// Where the JSON of tensors ends, if other bytes are behind it.
    json_length: Option<usize>,
    /// Up to where the buffer was searched for the end of a line.
    searched: usize,
    said: Said,
}

/// What was said so far.
#[derive(Default)]
struct Said {
    tokens: u32,
    totals: Totals,
    calls: Vec<ToolCall>,
    reason: Option<FinishReason>,
    is_over: bool,
}

/// What the server counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Tokens of the prompt that had been read before.
    pub cached_tokens: u32,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<ChoiceForm>,
    #[serde(default)]
    usage: Option<UsageForm>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ChoiceForm {
    #[serde(default, alias = "message")]
    delta: Option<Delta>,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    logprobs: Option<ChancesForm>,
}

#[derive(Default, Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallForm>>,
}

#[derive(Deserialize)]
struct CallForm {
    #[serde(default)]
    index: Option<usize>,
    #[serde(default)]
    function: Option<CalledForm>,
}

#[derive(Deserialize)]
struct CalledForm {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

#[derive(Default, Deserialize)]
struct ChancesForm {
    #[serde(default)]
    content: Option<Vec<ChanceForm>>,
}

#[derive(Deserialize)]
struct ChanceForm {
    #[serde(default)]
    token: String,
    logprob: f32,
    #[serde(default)]
    bytes: Option<Vec<u8>>,
    #[serde(default)]
    top_logprobs: Vec<ChanceForm>,
}

#[derive(Deserialize)]
struct UsageForm {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    #[serde(default)]
    prompt_tokens_details: Option<DetailsForm>,
}

#[derive(Deserialize)]
struct DetailsForm {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct VectorsForm {
    data: Vec<VectorForm>,
    #[serde(default)]
    usage: Option<UsageForm>,
}

#[derive(Deserialize)]
struct VectorForm {
    index: usize,
    embedding: Vec<f32>,
}

impl Answering {
    pub(super) fn new(response: Response<Incoming>, expects: Expects) -> Self {
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_stream = expects != Expects::Tensors && kind.trim_start().starts_with("text/event-stream");
        let length = response.headers().get(JSON_LENGTH);
        let json_length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let (body, buffer, said) = (response.into_body(), BytesMut::new(), Said::default());
        Self { body, buffer, expects, is_stream, json_length, searched: 0, said }
    }

    /// The next piece; `None` once the answer is whole. Every text ends with [`Piece::End`].
    pub async fn next(&mut self) -> Result<Option<Piece>, EndpointError> {
        if self.said.is_over {
            return Ok(None);
        }
        if !self.is_stream {
            return self.whole().await.map(Some);
        }
        loop {
            while let Some(line) = self.line() {
                if let Some(piece) = self.event(&line)? {
                    return Ok(Some(piece));
                }
            }
            if self.buffer.len() > ENDPOINT_EVENT {
                return Err(EndpointError::Failed(format!("one of its events has more than {ENDPOINT_EVENT} bytes")));
            }
            match self.read().await? {
                true => {}
                // Some servers end without [DONE]; a text that said why it ended is whole.
                false if self.said.reason.is_some() => return Ok(Some(self.end())),
                false => return Err(EndpointError::Unreachable("its answer broke off".to_owned())),
            }
        }
    }

    /// What the server counted; whole once the answer is.
    pub fn totals(&self) -> Totals {
        self.said.totals
    }

    /// Reads on; `false` at the end.
    async fn read(&mut self) -> Result<bool, EndpointError> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        let frame = frame.map_err(|error| EndpointError::Unreachable(error.to_string()))?;
        if let Ok(data) = frame.into_data() {
            self.buffer.extend_from_slice(&data);
        }
        Ok(true)
    }

    /// A line without its end, if a whole one is there.
    fn line(&mut self) -> Option<Bytes> {
        let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        Some(line)
    }

    /// Reads a line of a stream; `None` if it says nothing.
    fn event(&mut self, line: &[u8]) -> Result<Option<Piece>, EndpointError> {
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(None) };
        let data = data.trim_ascii();
        if data == b"[DONE]" {
            return match self.said.reason {
                Some(_) => Ok(Some(self.end())),
                None => Err(EndpointError::Unreachable("its answer ended without a reason".to_owned())),
            };
        }
        let chunk: Chunk = read_json(data)?;
        self.chunk(chunk)
    }

    fn chunk(&mut self, chunk: Chunk) -> Result<Option<Piece>, EndpointError> {
        if chunk.error.is_some() {
            return Err(EndpointError::Failed(error_value(chunk.error)));
        }
        if let Some(usage) = chunk.usage {
            self.count(&usage);
        }
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(None) };
        if let Some(reason) = choice.finish_reason.as_deref() {
            self.said.reason = Some(match reason {
                "length" | "max_tokens" => FinishReason::Length,
                "tool_calls" | "function_call" => FinishReason::ToolCalls,
                "content_filter" => {
                    return Err(EndpointError::Failed("its filter of content withheld the answer".to_owned()));
                }
                _ => FinishReason::Stop,
            });
        }
        let delta = choice.delta.unwrap_or_default();
        self.hear_calls(delta.tool_calls.unwrap_or_default())?;
        let text = delta.content.or(choice.text).unwrap_or_default();
        let chances = match self.expects {
            Expects::Text { chances: true } => chances(choice.logprobs.unwrap_or_default()),
            Expects::Text { chances: false } | Expects::Vectors(_) | Expects::Tensors => Vec::new(),
        };
        if text.is_empty() && chances.is_empty() {
            return Ok(None);
        }
        // One that is whole has as many tokens as the server counted, but no more than it has bytes.
        let counted = if self.is_stream { 1 } else { self.said.totals.output_tokens as usize };
        let count = chances.len().max(counted.min(text.len())).max(1);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Some(self.tokens(count, text, chances)))
    }

    /// Tokens whose ids nobody knows but the server.
    fn tokens(&mut self, count: u32, text: String, chances: Vec<Chances>) -> Piece {
        let first = self.said.tokens;
        self.said.tokens = first.saturating_add(count);
        let ids = vec![UNKNOWN_TOKEN; usize::try_from(count).unwrap_or(usize::MAX)];
        Piece::Tokens { first, ids, text, chances, calls: Vec::new() }
    }

    /// The arguments of a call come in parts, each with the number of its call.
    fn hear_calls(&mut self, forms: Vec<CallForm>) -> Result<(), EndpointError> {
        for form in forms {
            let at = form.index.unwrap_or(self.said.calls.len());
            if at > self.said.calls.len() || at >= ENDPOINT_CALLS {
                return Err(EndpointError::Failed(format!("it calls tool {at} after {}", self.said.calls.len())));
            }
            if at == self.said.calls.len() {
                self.said.calls.push(ToolCall { id: String::new(), name: String::new(), arguments: String::new() });
            }
            let Some(function) = form.function else { continue };
            let call = &mut self.said.calls[at];
            call.name.push_str(&function.name.unwrap_or_default());
            call.arguments.push_str(&function.arguments.unwrap_or_default());
            if call.name.len() + call.arguments.len() > ENDPOINT_EVENT {
                return Err(EndpointError::Failed("a call of a tool is too long".to_owned()));
            }
        }
        Ok(())
    }

    fn count(&mut self, usage: &UsageForm) {
        let cached = usage.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        self.said.totals = Totals {
            prompt_tokens: usage.prompt_tokens,
            output_tokens: usage.completion_tokens,
            cached_tokens: cached.unwrap_or(0),
        };
    }

    fn end(&mut self) -> Piece {
        self.said.is_over = true;
        self.said.totals.output_tokens = self.said.totals.output_tokens.max(self.said.tokens);
        Piece::End {
            reason: self.said.reason.unwrap_or(FinishReason::Stop),
            text: String::new(),
            calls: std::mem::take(&mut self.said.calls),
            account: Account { cached_tokens: self.said.totals.cached_tokens, dropped_tokens: 0 },
        }
    }

    /// An answer that is one JSON text: vectors, or a text from a server that does not stream.
    async fn whole(&mut self) -> Result<Piece, EndpointError> {
        while self.said.reason.is_none() && self.read().await? {
            if self.buffer.len() > ENDPOINT_ANSWER {
                return Err(EndpointError::Failed(format!("its answer has more than {ENDPOINT_ANSWER} bytes")));
            }
        }
        if self.said.reason.is_some() {
            return Ok(self.end());
        }
        let text = std::mem::take(&mut self.buffer);
        match self.expects {
            Expects::Vectors(count) => {
                let form: VectorsForm = read_json(&text)?;
                form.usage.iter().for_each(|usage| self.count(usage));
                self.said.is_over = true;
                vectors(form.data, count)
            }
            Expects::Tensors => {
                self.said.is_over = true;
                tensors::read(&text, self.json_length)
            }
            Expects::Text { .. } => {
                let piece = self.chunk(read_json(&text)?)?;
                if self.said.reason.is_none() {
                    return Err(EndpointError::Failed("its answer does not say why it ended".to_owned()));
                }
                Ok(piece.unwrap_or_else(|| self.end()))
            }
        }
    }
}

/// The id of a token that only the server knows. No place can go on from it.
pub const UNKNOWN_TOKEN: u32 = u32::MAX;

fn read_json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, EndpointError> {
    serde_json::from_slice(text).map_err(|error| {
        // Not the error's own text: it may hold a part of the answer.
        EndpointError::Failed(format!("its answer is not OpenAI's form, at byte {}", error.column()))
    })
}

fn chances(form: ChancesForm) -> Vec<Chances> {
    let chance = |form: &ChanceForm| Chance {
        id: UNKNOWN_TOKEN,
        log: form.logprob,
        bytes: form.bytes.clone().unwrap_or_else(|| form.token.clone().into_bytes()),
    };
    let each =
        |form: ChanceForm| Chances { said: chance(&form), likeliest: form.top_logprobs.iter().map(chance).collect() };
    form.content.unwrap_or_default().into_iter().map(each).collect()
}

fn vectors(mut rows: Vec<VectorForm>, count: usize) -> Result<Piece, EndpointError> {
    rows.sort_by_key(|row| row.index);
    let width = rows.first().map_or(0, |row| row.embedding.len());
    let whole = rows.len() == count
        && width > 0
        && rows.iter().enumerate().all(|(at, row)| row.index == at && row.embedding.len() == width);
    if !whole {
        return Err(EndpointError::Failed("it gave no vector of each text".to_owned()));
    }
    let data = rows.iter().flat_map(|row| &row.embedding).flat_map(|number| number.to_le_bytes()).collect();
    let shape = vec![count as u64, width as u64];
    Ok(Piece::Outputs(vec![Tensor { name: "embedding".to_owned(), datatype: Datatype::Fp32, shape, data }]))
}

/// What an error says, cut short.
pub(super) fn error_text(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct ErrorForm {
        #[serde(default)]
        error: Option<serde_json::Value>,
    }
    match serde_json::from_slice::<ErrorForm>(body) {
        Ok(form) => error_value(form.error),
        Err(_) => String::new(),
    }
}

fn error_value(error: Option<serde_json::Value>) -> String {
    let text = match &error {
        Some(serde_json::Value::String(text)) => text.as_str(),
        Some(value) => value.get("message").and_then(serde_json::Value::as_str).unwrap_or_default(),
        None => "",
    };
    text.chars().filter(|c| !c.is_control()).take(ENDPOINT_ERROR / 32).collect()
}
