//! Counts are exact, also past the bound of batch sizes.

use std::time::Duration;

use hither_types::id::ModelName;
use hither_types::request::Cost;
use hither_types::unit::Micros;

use super::{Call, Statistics};
use crate::limits::BATCH_SIZES;

fn model() -> ModelName {
    ModelName::parse("fraud").unwrap()
}

fn call(rows: u64) -> Call {
    let cost = Cost { queued: Micros(100), prefill: Micros(200), decode: Micros(50), ..Cost::default() };
    Call { rows, input: Duration::from_micros(20), total: Duration::from_micros(500), cost }
}

#[test]
fn a_thousand_requests_are_a_thousand() {
    let statistics = Statistics::default();
    for at in 0..1000 {
        statistics.answered(&model(), call(1 + at % 4));
    }
    statistics.failed(&model(), Duration::from_micros(7));
    let counted = statistics.read(&model());
    assert_eq!((counted.success.count, counted.success.ns), (1000, 500_000_000));
    assert_eq!((counted.fail.count, counted.fail.ns), (1, 7_000));
    assert_eq!(counted.inferences, 250 * (1 + 2 + 3 + 4));
    let parts = [counted.queue, counted.input, counted.infer, counted.output];
    assert_eq!(parts.map(|part| part.ns / 1000), [100, 20, 250, 130].map(|each| each * 1000));
    assert_eq!(counted.batches.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(counted.batches.values().all(|batch| batch.infer.count == 250));
    assert!(counted.last_inference_ms > 1_700_000_000_000);
}

#[test]
fn many_batch_sizes_share_rows_and_none_is_lost() {
    let statistics = Statistics::default();
    let sizes = 3 * BATCH_SIZES as u64;
    for rows in 1..=sizes {
        statistics.answered(&model(), call(rows));
    }
    statistics.answered(&model(), call(u64::MAX));
    let counted = statistics.read(&model());
    assert!(counted.batches.len() <= BATCH_SIZES + 65, "{}", counted.batches.len());
    assert_eq!(counted.batches.values().map(|batch| batch.infer.count).sum::<u64>(), sizes + 1);
}

#[test]
fn a_model_that_was_never_asked_has_nothing() {
    assert_eq!(Statistics::default().read(&model()), super::Counted::default());
}
