//! What the samples say, in one object.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::replay::Sample;

#[cfg(test)]
mod tests;

/// The numbers. Latencies are of answered requests; what was refused is counted, and would only flatter them.
pub(super) fn report(samples: &[&Sample]) -> Value {
    let answered: Vec<&&Sample> = samples.iter().filter(|sample| sample.status == Some(200)).collect();
    // Overloaded, no room or no power, and the deadline passed: a "no" with its reason. The rest are failures.
    let refused = samples.iter().filter(|sample| matches!(sample.status, Some(429 | 503 | 504))).count();
    let mut statuses: BTreeMap<String, u64> = BTreeMap::new();
    for sample in samples {
        let status = sample.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        *statuses.entry(status).or_default() += 1;
    }
    let micros = |part: fn(&Sample) -> u128| Figures::of(answered.iter().map(|sample| part(sample) as f64).collect());
    let in_time = answered.iter().filter(|s| s.latency.as_micros() <= u128::from(s.arrival.deadline_us)).count();
    json!({
        "requests": samples.len(), "answered": answered.len(), "refused": refused,
        "failed": samples.len() - answered.len() - refused, "in_time": in_time,
        "elsewhere": answered.iter().filter(|sample| !sample.at_home).count(),
        "attempts": answered.iter().map(|sample| sample.attempts).sum::<u64>(),
        "statuses": statuses,
        "latency_us": micros(|sample| sample.latency.as_micros()).json(),
        "work_us": micros(|sample| u128::from(sample.arrival.work_us)).json(),
        "above_work_us": micros(|s| s.latency.as_micros().saturating_sub(u128::from(s.arrival.work_us))).json(),
        "late_us": Figures::of(samples.iter().map(|sample| sample.late.as_micros() as f64).collect()).json(),
    })
}

/// Mean and quantiles of some numbers.
pub(super) struct Figures {
    sorted: Vec<f64>,
}

impl Figures {
    /// Of these.
    pub(super) fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        Self { sorted: numbers }
    }

    /// The least number that so large a share is not above.
    fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.sorted.len() as f64 * share).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).copied()
    }

    /// The numbers that a report has.
    pub(super) fn json(&self) -> Value {
        let mean = self.sorted.iter().sum::<f64>() / self.sorted.len() as f64;
        json!({
            "mean": mean, "p50": self.quantile(0.5), "p90": self.quantile(0.9), "p99": self.quantile(0.99),
            "max": self.sorted.last(),
        })
    }
}
