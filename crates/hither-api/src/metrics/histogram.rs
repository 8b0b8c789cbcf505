//! Counts by size.

use super::page::{Label, Page};

/// From a local decision to a long answer, in seconds.
pub(super) const HEAD: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// OpenTelemetry's edges for `gen_ai.server.request.duration`, in seconds.
pub(super) const DURATION: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// OpenTelemetry's edges for `gen_ai.server.time_to_first_token`, in seconds.
pub(super) const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// OpenTelemetry's edges for `gen_ai.server.time_per_output_token`, in seconds.
pub(super) const PER_TOKEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// OpenTelemetry's edges for `gen_ai.client.token.usage`, in tokens.
pub(super) const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// One histogram. Its buckets are made once; to count is to find one of them and add.
pub(super) struct Histogram {
    edges: &'static [f64],
    /// One for each edge; what is beyond the last is in the count alone.
    buckets: Box<[u64]>,
    count: u64,
    sum: f64,
}

impl Histogram {
    /// Empty, with these upper edges.
    pub(super) fn new(edges: &'static [f64]) -> Self {
        Self { edges, buckets: vec![0; edges.len()].into(), count: 0, sum: 0.0 }
    }

    /// Counts a value.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if let Some(bucket) = self.buckets.get_mut(self.edges.partition_point(|edge| *edge < value)) {
            *bucket += 1;
        }
    }

    /// Writes its samples under the family that was begun.
    pub(super) fn write(&self, page: &mut Page, labels: &[Label<'_>]) {
        let mut below = 0;
        for (edge, count) in self.edges.iter().zip(&self.buckets) {
            below += count;
            // With a point, as OpenMetrics wants it: the value of `le` is part of the name of a series.
            let edge = format!("{edge:?}");
            page.named("_bucket", &with_edge(labels, &edge), below);
        }
        page.named("_bucket", &with_edge(labels, &"+Inf"), self.count);
        page.named("_sum", labels, self.sum);
        page.named("_count", labels, self.count);
    }
}

fn with_edge<'a>(labels: &[Label<'a>], edge: &'a dyn std::fmt::Display) -> Vec<Label<'a>> {
    labels.iter().copied().chain([("le", edge)]).collect()
}
