//! One stream of a language model, chunk by chunk, with the time of each.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use super::site::Site;
use super::{LANGUAGE_MODEL, ensure, failed};
use crate::client::Stream;
use crate::client::sse::SseEvent;
use crate::output::{Trouble, plain};

/// A stream that says nothing for this long has been lost, whatever was claimed.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What is asked.
pub(super) struct Question<'a> {
    /// The words.
    pub(super) prompt: &'a str,
    /// At most so many tokens; exactly so many, because the end of text is passed over.
    pub(super) tokens: u32,
    /// The site that the client would like best.
    pub(super) prefer: Option<&'a str>,
}

/// A stream under way.
pub(super) struct Talk {
    stream: Stream,
    began: Instant,
    /// The indices of the tokens, as they came.
    pub(super) indices: Vec<u64>,
    /// Their ids.
    pub(super) ids: Vec<u64>,
    /// The text.
    pub(super) text: String,
    /// When each chunk with tokens came.
    pub(super) at: Vec<Instant>,
    /// Why it ended; empty until then.
    pub(super) finish: String,
    /// What the node said at the end.
    pub(super) end: Value,
}

impl Talk {
    /// Asks at a site, as an application does.
    pub(super) async fn begin(site: &Site, question: &Question<'_>) -> Result<Self, Trouble> {
        let body = json!({
            "model": LANGUAGE_MODEL, "stream": true, "temperature": 0, "seed": 1, "max_tokens": question.tokens,
            "ignore_eos": true, "messages": [
                // Without one, the model's own template puts a system prompt in, and this small model answers worse.
                {"role": "system", "content": ""},
                {"role": "user", "content": question.prompt},
            ],
        });
        let mut headers = vec![("x-hither-tokens", "1")];
        headers.extend(question.prefer.map(|site| ("x-hither-prefer", site)));
        let began = Instant::now();
        let stream = site.app()?.stream(Method::POST, "/v1/chat/completions", &headers, Some(&body)).await?;
        if stream.status != 200 {
            return Err(stream.trouble().await);
        }
        Ok(Self {
            stream,
            began,
            indices: Vec::new(),
            ids: Vec::new(),
            text: String::new(),
            at: Vec::new(),
            finish: String::new(),
            end: Value::Null,
        })
    }

    /// A header of the answer.
    pub(super) fn header(&self, name: &str) -> String {
        plain(self.stream.header(name).unwrap_or("?"))
    }

    /// Reads on until so many tokens have come.
    pub(super) async fn until(&mut self, tokens: usize) -> Result<(), Trouble> {
        while self.ids.len() < tokens {
            if !self.step().await? {
                return Err(failed(format!("the stream ended after {} of {tokens} tokens", self.ids.len())));
            }
        }
        Ok(())
    }

    /// Reads on to the end.
    pub(super) async fn read_out(&mut self) -> Result<(), Trouble> {
        while self.step().await? {}
        Ok(())
    }

    /// Reads one event; says whether there may be more.
    async fn step(&mut self) -> Result<bool, Trouble> {
        let event = tokio::time::timeout(SILENCE_MAX, self.stream.events.next()).await.map_err(|_| {
            failed(format!("the stream is silent for {} s after {} tokens", SILENCE_MAX.as_secs(), self.ids.len()))
        })??;
        match event {
            None => Err(failed(format!("the stream broke off after {} tokens", self.ids.len()))),
            Some(SseEvent::Data { text, .. }) if text == "[DONE]" => Ok(false),
            Some(SseEvent::Comment(text)) => {
                if let Some(json) = text.strip_prefix("hither ") {
                    self.end = serde_json::from_str(json).unwrap_or(Value::Null);
                }
                Ok(true)
            }
            Some(SseEvent::Data { text, .. }) => self.chunk(&text).map(|()| true),
        }
    }

    fn chunk(&mut self, text: &str) -> Result<(), Trouble> {
        let chunk: Value =
            serde_json::from_str(text).map_err(|error| failed(format!("a chunk is no JSON: {error}")))?;
        if chunk["error"].is_object() {
            let why = plain(chunk["error"]["message"].as_str().unwrap_or("it does not say why"));
            return Err(failed(format!("the stream ended with an error after {} tokens: {why}", self.ids.len())));
        }
        let choice = &chunk["choices"][0];
        if let Some(delta) = choice["delta"]["content"].as_str() {
            self.text.push_str(delta);
        }
        if let Some(reason) = choice["finish_reason"].as_str() {
            reason.clone_into(&mut self.finish);
        }
        if let Some((first, ids)) = tokens(&chunk) {
            self.at.push(Instant::now());
            self.indices.extend((first..).take(ids.len()));
            self.ids.extend(ids);
        }
        Ok(())
    }

    /// From the question to the first token.
    pub(super) fn first_token_ms(&self) -> f64 {
        self.at.first().map_or(f64::NAN, |at| at.duration_since(self.began).as_secs_f64() * 1000.0)
    }

    /// The largest pause between two chunks after an instant, counting the one under way then.
    pub(super) fn largest_pause_around(&self, instant: Instant) -> Duration {
        let from = self.at.iter().rposition(|at| *at <= instant).unwrap_or(0);
        self.at[from..].windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap_or_default()
    }

    /// Holds that every token came once, in order, and that all came.
    pub(super) fn hold_complete(&self, tokens: u32) -> Result<(), Trouble> {
        let contiguous = self.indices.iter().copied().eq(0..u64::from(tokens));
        ensure(contiguous, || {
            let wrong = self.indices.iter().zip(0..).position(|(index, wanted)| *index != wanted);
            format!(
                "tokens 0 to {} were to come once each, in order; {} came, the first that is out of place is at {:?}",
                tokens - 1,
                self.indices.len(),
                wrong
            )
        })
    }
}

/// The index of a chunk's first token, and the ids of its tokens.
fn tokens(chunk: &Value) -> Option<(u64, Vec<u64>)> {
    let hither = &chunk["hither"];
    let first = hither["first"].as_u64()?;
    let ids: Vec<u64> = hither["ids"].as_array()?.iter().filter_map(Value::as_u64).collect();
    (!ids.is_empty()).then_some((first, ids))
}
