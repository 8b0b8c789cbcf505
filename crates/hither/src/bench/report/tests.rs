//! Each sample is counted once, and where it belongs.

use std::time::Duration;

use super::*;
use crate::bench::arrivals::Arrival;

fn sample(status: Option<u16>, latency_us: u64) -> Sample {
    Sample {
        arrival: Arrival { at_us: 0, node: 0, work_us: 100, deadline_us: 1_000 },
        status,
        latency: Duration::from_micros(latency_us),
        late: Duration::from_micros(3),
        served_by: None,
        at_home: latency_us < 500,
        attempts: 1,
    }
}

#[test]
fn what_was_answered_is_timed_and_what_was_not_is_counted() {
    let mut samples: Vec<Sample> = (1..=100).map(|step| sample(Some(200), step * 20)).collect();
    samples.extend([429, 503, 504, 500].map(|status| sample(Some(status), 7)));
    samples.push(sample(None, 7));
    let object = report(&samples.iter().collect::<Vec<_>>());
    for (key, wanted) in
        [("requests", 105), ("answered", 100), ("refused", 3), ("failed", 2), ("in_time", 50), ("elsewhere", 76)]
    {
        assert_eq!(object[key], wanted, "{key}");
    }
    let latency = &object["latency_us"];
    assert_eq!(
        [&latency["mean"], &latency["p50"], &latency["p99"], &latency["max"]],
        [1010.0, 1000.0, 1980.0, 2000.0].map(Value::from).each_ref()
    );
    assert_eq!((&object["statuses"]["none"], &object["above_work_us"]["p50"]), (&json!(1), &json!(900.0)));
}

#[test]
fn nothing_has_no_figures() {
    let object = report(&[]);
    assert_eq!((&object["requests"], &object["latency_us"]["p50"]), (&json!(0), &Value::Null));
}
