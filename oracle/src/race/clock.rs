//! Processor time of the thread, which other work on the machine does not count into.

use rustix::time::{ClockId, clock_gettime};

/// A run is at least so long, so that the clock's grain is nothing.
const RUN_NS: u64 = 20_000_000;

/// The best of so many runs counts: the others were disturbed.
const RUNS: usize = 9;

fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of one call, in the best run.
pub(super) fn best_ns(mut call: impl FnMut()) -> f64 {
    let mut run = |times: u64| {
        let begun = now_ns();
        (0..times).for_each(|_| call());
        now_ns() - begun
    };
    let mut times = 1;
    while run(times) < RUN_NS {
        times *= 2;
    }
    let best = (0..RUNS).map(|_| run(times)).min().unwrap_or_default();
    best as f64 / times as f64
}
