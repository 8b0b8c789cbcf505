//! Requests for text and for vectors, as OpenTelemetry's conventions for generative AI count them at a server
//! (<https://github.com/open-telemetry/semantic-conventions-genai>), under the names that Prometheus gives those metrics.
//!
//! What must stay true: a request is counted once, with everything it took, when it ends or whoever asked leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hither_types::id::ModelName;
use hither_types::request::Cost;
use tokio::time::Instant;

use super::Metrics;
use super::histogram::{DURATION, FIRST_TOKEN, Histogram, PER_TOKEN, TOKENS};
use super::page::{Kind, Label, Page};
use crate::oip::statistics::Call;

/// Who speaks, in the words of the conventions.
const PROVIDER: &str = "hither";

/// `error.type` of a request whose client did not wait.
const CLIENT_GONE: &str = "ClientGone";

/// What was counted of one operation with one model.
pub(super) struct Operation {
    /// By what went wrong; of answers, by nothing.
    durations: BTreeMap<String, Histogram>,
    first_token: Histogram,
    per_token: Histogram,
    input_tokens: Histogram,
    output_tokens: Histogram,
}

impl Operation {
    pub(super) fn new() -> Self {
        Self {
            durations: BTreeMap::new(),
            first_token: Histogram::new(FIRST_TOKEN),
            per_token: Histogram::new(PER_TOKEN),
            input_tokens: Histogram::new(TOKENS),
            output_tokens: Histogram::new(TOKENS),
        }
    }

    fn ended(&mut self, error: &str, took: Duration) {
        if !self.durations.contains_key(error) {
            self.durations.insert(error.to_owned(), Histogram::new(DURATION));
        }
        if let Some(durations) = self.durations.get_mut(error) {
            durations.add(took.as_secs_f64());
        }
    }
}

/// One request on its way.
pub(crate) struct Course {
    metrics: Arc<Metrics>,
    operation: &'static str,
    /// Texts of it: the rows of a call, in the words of the Open Inference Protocol.
    rows: u64,
    begun: Instant,
    first: Option<Duration>,
    tokens: u64,
    counted: bool,
}

impl Course {
    /// Begins now.
    pub(crate) fn begin(metrics: Arc<Metrics>, operation: &'static str, rows: u64) -> Self {
        Self { metrics, operation, rows, begun: Instant::now(), first: None, tokens: 0, counted: false }
    }

    /// Tokens came.
    pub(crate) fn tokens(&mut self, count: usize) {
        if count > 0 {
            self.first.get_or_insert_with(|| self.begun.elapsed());
            self.tokens += count as u64;
        }
    }

    /// The answer is whole.
    pub(crate) fn answered(&mut self, model: &ModelName, cost: &Cost) {
        let total = self.begun.elapsed();
        self.counted = true;
        self.metrics.statistics().answered(model, Call { rows: self.rows, input: Duration::ZERO, total, cost: *cost });
        let (first, tokens) = (self.first, self.tokens);
        self.metrics.operation(model.as_str(), self.operation, |operation| {
            operation.ended("", total);
            operation.input_tokens.add(f64::from(cost.prompt_tokens));
            if let Some(first) = first {
                operation.first_token.add(first.as_secs_f64());
                operation.output_tokens.add(tokens as f64);
                if tokens > 1 {
                    operation.per_token.add(total.saturating_sub(first).as_secs_f64() / (tokens - 1) as f64);
                }
            }
        });
    }

    /// It was refused or failed, with this code.
    pub(crate) fn failed(&mut self, model: &ModelName, error: &str) {
        if !std::mem::replace(&mut self.counted, true) {
            let took = self.begun.elapsed();
            self.metrics.statistics().failed(model, took);
            self.metrics.operation(model.as_str(), self.operation, |operation| operation.ended(error, took));
        }
    }

    /// Nobody waits for it any more; nothing, if it has ended.
    pub(crate) fn left(&mut self, model: &ModelName) {
        self.failed(model, CLIENT_GONE);
    }
}

type Rows<'a> = Vec<(&'a str, &'static str, &'a Operation)>;

/// Writes the families of all models.
pub(super) fn write(page: &mut Page, rows: &Rows<'_>) {
    page.family(
        "gen_ai_server_request_duration_seconds",
        Kind::Histogram,
        "Time of a request for text or vectors until its last byte, by error_type if it was refused, failed or left.",
    );
    for (model, operation, counted) in rows {
        for (error, durations) in &counted.durations {
            let labels = labels(operation, model);
            match error.as_str() {
                "" => durations.write(page, &labels),
                _ => durations.write(page, &[labels.as_slice(), &[("error_type", error)]].concat()),
            }
        }
    }
    type Part = (&'static str, &'static str, fn(&Operation) -> &Histogram);
    let parts: [Part; 2] = [
        (
            "gen_ai_server_time_to_first_token_seconds",
            "Time until the first token, of answers with tokens.",
            |operation| &operation.first_token,
        ),
        (
            "gen_ai_server_time_per_output_token_seconds",
            "Time from the first token to the last, divided by the tokens after the first.",
            |operation| &operation.per_token,
        ),
    ];
    for (name, help, part) in parts {
        page.family(name, Kind::Histogram, help);
        for (model, operation, counted) in rows {
            part(counted).write(page, &labels(operation, model));
        }
    }
    page.family(
        "gen_ai_client_token_usage",
        Kind::Histogram,
        "Tokens of an answered request, by gen_ai_token_type: those of its prompt and those of its answer.",
    );
    for (model, operation, counted) in rows {
        for (kind, tokens) in [("input", &counted.input_tokens), ("output", &counted.output_tokens)] {
            let kind: Label<'_> = ("gen_ai_token_type", &kind);
            tokens.write(page, &[labels(operation, model).as_slice(), &[kind]].concat());
        }
    }
}

fn labels<'a>(operation: &'a &'static str, model: &'a &'a str) -> [Label<'a>; 3] {
    [("gen_ai_operation_name", operation), ("gen_ai_provider_name", &PROVIDER), ("gen_ai_request_model", model)]
}
