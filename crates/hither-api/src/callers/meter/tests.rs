//! Budgets of time: never more than was granted, and a refusal that says the truth about when.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn limits(requests_per_s: u32, concurrent: u32, tokens_per_min: u32) -> Limits {
    Limits {
        requests_per_s: NonZeroU32::new(requests_per_s),
        concurrent: NonZeroU32::new(concurrent),
        tokens_per_min: NonZeroU32::new(tokens_per_min),
        ..Limits::default()
    }
}

fn micros(count: u64) -> Duration {
    Duration::from_micros(count)
}

#[test]
fn a_second_of_requests_is_let_in_at_once_and_then_one_at_its_time() {
    let start = Instant::now();
    let meter = Meter::new(&limits(4, 0, 0), start);
    for _ in 0..4 {
        assert_eq!(meter.enter(start), Ok(()));
    }
    assert_eq!(meter.enter(start), Err(Excess::Requests(Micros(250_000))));
    assert_eq!(meter.enter(start + micros(249_999)), Err(Excess::Requests(Micros(1))));
    assert_eq!(meter.enter(start + micros(250_000)), Ok(()));
    assert_eq!(meter.counts(), Counts { requests: 5, limited: 2, tokens: 0, running: 5 });
}

#[test]
fn room_comes_back_when_a_request_ends_and_not_before() {
    let start = Instant::now();
    let meter = Meter::new(&limits(0, 2, 0), start);
    assert_eq!((meter.enter(start), meter.enter(start)), (Ok(()), Ok(())));
    assert_eq!(meter.enter(start + micros(60_000_000)), Err(Excess::Concurrent));
    meter.leave();
    assert_eq!(meter.enter(start), Ok(()));
}

#[test]
fn an_answer_that_goes_over_is_paid_for_before_the_next() {
    let start = Instant::now();
    let meter = Meter::new(&limits(0, 0, 60), start);
    assert_eq!(meter.enter(start), Ok(()));
    meter.charge(90, start);
    // Thirty beyond the sixty, and one for the next: a second each.
    assert_eq!(meter.enter(start), Err(Excess::Tokens(Micros(31_000_000))));
    assert_eq!(meter.enter(start + micros(31_000_000)), Ok(()));
    assert_eq!(meter.counts().tokens, 90);
}

#[test]
fn of_two_waits_the_longer_is_told() {
    let start = Instant::now();
    let meter = Meter::new(&limits(1, 1, 60), start);
    meter.enter(start).unwrap();
    assert_eq!(meter.enter(start), Err(Excess::Requests(Micros(1_000_000))));
    meter.charge(100, start);
    assert_eq!(meter.enter(start), Err(Excess::Tokens(Micros(41_000_000))));
    assert_eq!(meter.enter(start + micros(41_000_000)), Err(Excess::Concurrent));
}

#[test]
fn a_changed_limit_holds_at_once_and_forgets_nobody_who_is_inside() {
    let start = Instant::now();
    let meter = Meter::new(&limits(1, 0, 0), start);
    meter.enter(start).unwrap();
    meter.limit(&limits(2, 2, 0), start);
    assert_eq!((meter.enter(start), meter.enter(start)), (Ok(()), Err(Excess::Concurrent)));
    meter.leave();
    meter.leave();
    assert_eq!(meter.counts(), Counts { requests: 2, limited: 1, tokens: 0, running: 0 });
}

proptest! {
    #[test]
    fn no_span_of_time_lets_in_more_than_its_share_and_what_was_saved(
        amount in 1u32..50,
        gaps in prop::collection::vec(0u64..400_000, 1..400),
    ) {
        let start = Instant::now();
        let meter = Meter::new(&limits(amount, 0, 0), start);
        let mut now = start;
        let mut entered = Vec::new();
        for gap in gaps {
            now += micros(gap);
            if meter.enter(now).is_ok() {
                entered.push(now);
            }
        }
        for (at, first) in entered.iter().enumerate() {
            for (count, last) in entered[at..].iter().enumerate() {
                let span = last.duration_since(*first).as_micros();
                // A full bucket, and what flowed in since.
                let most = u128::from(amount) + span * u128::from(amount) / 1_000_000;
                prop_assert!((count as u128) < most, "{} within {span} µs at {amount} a second", count + 1);
            }
        }
    }

    #[test]
    fn the_wait_that_is_told_is_the_least_that_helps(
        amount in 1u32..5_000,
        charges in prop::collection::vec((0u64..3_000, 0u64..20_000_000), 1..50),
    ) {
        let start = Instant::now();
        let mut bucket = Bucket::new(NonZeroU32::new(amount).unwrap(), MINUTE, start);
        let mut now = start;
        for (count, gap) in charges {
            now += micros(gap);
            bucket.draw(count, now);
            if let Some(wait) = bucket.wait(now) {
                prop_assert!(bucket.clone().wait(now + micros(wait.0)).is_none());
                prop_assert!(bucket.clone().wait(now + micros(wait.0 - 1)).is_some());
            }
        }
    }

    #[test]
    fn however_often_it_is_asked_nothing_is_lost_to_rounding(
        amount in 1u32..1_000_000,
        nanos in prop::collection::vec(1u64..5_000, 1..300),
    ) {
        let start = Instant::now();
        let amount = NonZeroU32::new(amount).unwrap();
        let (mut asked, mut left_alone) = (Bucket::new(amount, SECOND, start), Bucket::new(amount, SECOND, start));
        asked.draw(2_000_000, start);
        left_alone.draw(2_000_000, start);
        let mut now = start;
        for nano in nanos {
            now += Duration::from_nanos(nano);
            asked.fill(now);
        }
        left_alone.fill(now);
        prop_assert_eq!(asked.level, left_alone.level);
    }

    #[test]
    fn no_sum_of_charges_leaves_the_range_of_numbers(charges in prop::collection::vec(any::<u64>(), 1..20)) {
        let start = Instant::now();
        let mut bucket = Bucket::new(NonZeroU32::MIN, MINUTE, start);
        for charge in charges {
            bucket.draw(charge, start);
            prop_assert!(bucket.wait(start).is_none_or(|wait| wait.0 > 0));
        }
    }
}
