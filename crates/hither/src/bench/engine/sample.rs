//! What became of the requests of one round, as numbers.

use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::report::Figures;

#[cfg(test)]
mod tests;

/// One request that was answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sample {
    /// From its first byte out to the last of its answer.
    pub(super) latency: Duration,
    /// … to the first text of its answer; of language models alone.
    pub(super) first: Duration,
    /// Tokens that were read.
    pub(super) prompt_tokens: u32,
    /// Tokens that were said.
    pub(super) output_tokens: u32,
    /// Processor time of the servers until the first text, in microseconds; only where one request runs at a time.
    pub(super) first_cpu_us: Option<u64>,
}

/// One round: the same load for a while.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    /// Requests at once.
    pub(super) streams: u16,
    /// What was answered.
    pub(super) samples: Vec<Sample>,
    /// How long it took.
    pub(super) took: Duration,
    /// Processor time of the servers, in microseconds; absent if nobody said which processes they are.
    pub(super) cpu_us: Option<u64>,
    /// … of this program.
    pub(super) client_cpu_us: u64,
    /// Memory of the servers at the end, in bytes.
    pub(super) memory: Option<u64>,
}

impl Round {
    /// The numbers. Rates of a language model are in tokens a second.
    pub(super) fn json(&self) -> Value {
        let requests = self.samples.len();
        let each = |micros: u64| micros as f64 / requests as f64;
        let figures = |of: fn(&Sample) -> f64| Figures::of(self.samples.iter().map(of).collect()).json();
        let mut object = json!({
            "streams": self.streams,
            "requests": requests,
            "seconds": self.took.as_secs_f64(),
            "requests_per_s": requests as f64 / self.took.as_secs_f64(),
            "latency_us": figures(|sample| micros(sample.latency)),
            "cpu_us_per_request": self.cpu_us.map(each),
            "client_cpu_us_per_request": each(self.client_cpu_us),
            "memory_bytes": self.memory,
        });
        if self.samples.iter().any(|sample| sample.output_tokens > 0) {
            object["language"] = self.language();
        }
        object
    }

    fn language(&self) -> Value {
        let figures = |of: fn(&Sample) -> f64| Figures::of(self.samples.iter().map(of).collect()).json();
        let sum = |of: fn(&Sample) -> u32| self.samples.iter().map(|sample| u64::from(of(sample))).sum::<u64>();
        let (prompt, output) = (sum(|sample| sample.prompt_tokens), sum(|sample| sample.output_tokens));
        let per_cpu_second = |tokens: u64, cpu_us: u64| tokens as f64 / cpu_us.max(1) as f64 * 1e6;
        let first_cpu_us = self.samples.iter().map(|sample| sample.first_cpu_us).sum::<Option<u64>>();
        let prefill = first_cpu_us.map(|cpu_us| per_cpu_second(prompt, cpu_us));
        // The first token is of the prefill.
        let decode = first_cpu_us.zip(self.cpu_us).map(|(first, all)| {
            per_cpu_second(output.saturating_sub(self.samples.len() as u64), all.saturating_sub(first))
        });
        json!({
            "prompt_tokens": prompt,
            "output_tokens": output,
            "first_token_us": figures(|sample| micros(sample.first)),
            "prefill_tokens_per_s": figures(|sample| f64::from(sample.prompt_tokens) / sample.first.as_secs_f64()),
            "decode_tokens_per_s": figures(decode_rate),
            "output_tokens_per_s": output as f64 / self.took.as_secs_f64(),
            "output_tokens_per_cpu_s": self.cpu_us.map(|cpu_us| per_cpu_second(output, cpu_us)),
            "all_tokens_per_cpu_s": self.cpu_us.map(|cpu_us| per_cpu_second(prompt + output, cpu_us)),
            "prefill_tokens_per_cpu_s": prefill,
            "decode_tokens_per_cpu_s": decode,
        })
    }

    /// The same for a person, in a line or two.
    pub(super) fn text(&self) -> String {
        let object = self.json();
        let number = |path: &str| object.pointer(path).and_then(Value::as_f64);
        let say = |path: &str, scale: f64, digits: usize| match number(path) {
            Some(number) => format!("{:.digits$}", number * scale),
            None => "unknown".to_owned(),
        };
        let memory = say("/memory_bytes", 1e-6, 0);
        let head = format!("{:>3} at once: {} requests", self.streams, self.samples.len());
        if object.get("language").is_none() {
            return format!(
                "{head}, {}/s; p50 {} ms, p90 {} ms, p99 {} ms; processor {} µs a request; memory {memory} MB",
                say("/requests_per_s", 1.0, 0),
                say("/latency_us/p50", 1e-3, 3),
                say("/latency_us/p90", 1e-3, 3),
                say("/latency_us/p99", 1e-3, 3),
                say("/cpu_us_per_request", 1.0, 1),
            );
        }
        format!(
            "{head}; first token p50 {} ms, p90 {} ms; prefill {} tokens/s, decode {} tokens/s a stream, {} tokens/s in \
             all; tokens a second of processor: prefill {}, decode {}, all {}; memory {memory} MB",
            say("/language/first_token_us/p50", 1e-3, 0),
            say("/language/first_token_us/p90", 1e-3, 0),
            say("/language/prefill_tokens_per_s/p50", 1.0, 0),
            say("/language/decode_tokens_per_s/p50", 1.0, 1),
            say("/language/output_tokens_per_s", 1.0, 1),
            say("/language/prefill_tokens_per_cpu_s", 1.0, 0),
            say("/language/decode_tokens_per_cpu_s", 1.0, 1),
            say("/language/all_tokens_per_cpu_s", 1.0, 0),
        )
    }
}

/// Tokens a second after the first.
fn decode_rate(sample: &Sample) -> f64 {
    let span = sample.latency.saturating_sub(sample.first).as_secs_f64();
    f64::from(sample.output_tokens.saturating_sub(1)) / span.max(f64::MIN_POSITIVE)
}

fn micros(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1e3
}
