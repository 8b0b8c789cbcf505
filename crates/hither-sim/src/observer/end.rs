//! What must be true at the end of a run, and the figures that are not sums.

use super::Observer;

/// Attempts for a hundred requests when nothing goes wrong: 5 more for hedges and 10 more for what was declined.
const MOST_ATTEMPTS_PERCENT: u64 = 115;

impl Observer {
    /// The end of the run: few attempts were needed, whatever is still open is lost, and each intent of an unharmed ledger
    /// was settled.
    pub(crate) fn close(&mut self, at: u64) {
        let open: Vec<_> = self.requests.keys().copied().collect();
        open.into_iter().for_each(|request| self.overdue(at, request));
        let requests = self.counts.of("requests");
        if self.whole && self.attempts * 100 > requests * MOST_ATTEMPTS_PERCENT + 300 {
            let what = format!("{} attempts for {requests} requests, and nothing went wrong", self.attempts);
            self.breach("I5", at, 0, what);
        }
        for node in 0..self.nodes.len() {
            let watched = &self.nodes[node];
            if watched.torn {
                continue;
            }
            if let Some((request, attempt, _)) =
                watched.egresses.iter().find(|(_, open)| **open > 0).map(|(egress, _)| egress)
            {
                let what = format!("the egress of attempt {} of {request} was never settled", attempt.0);
                self.breach("P2", at, node, what);
            }
        }
    }

    /// Figures that are not sums.
    pub(crate) fn figures(&mut self, at: u64) {
        for node in 0..self.nodes.len() {
            let running = std::mem::take(&mut self.nodes[node].running);
            running.into_values().for_each(|(_, since)| self.measure.ran(since, at));
        }
        self.gaps.sort_unstable();
        let gap = |share: usize| self.gaps.get(self.gaps.len().saturating_sub(1) * share / 100).copied().unwrap_or(0);
        let gaps = [gap(99), gap(100)];
        let latencies = [self.measure.latency(500), self.measure.latency(990)];
        let critical = self.measure.critical(990);
        let named =
            ["gap_p99_ms", "gap_max_ms", "latency_p50_ms", "latency_p99_ms", "critical_p99_ms", "refusal_max_ms"];
        let values = [gaps[0], gaps[1], latencies[0], latencies[1], critical, self.slowest_refusal];
        for (name, value) in named.iter().zip(values) {
            self.counts.add(name, value.div_ceil(1000));
        }
        self.measure.count_into(&mut self.counts);
    }
}
