//! Clocks that jump, and clocks that differ.

use std::time::{Duration, Instant};

use hither_types::id::NodeId;
use hither_types::time::WallTime;

use super::{Change, Clocks, Jump, Look, warning};

const DAY: u64 = 86_400_000;

#[test]
fn a_clock_that_is_set_jumps_and_one_that_drifts_does_not() {
    let begun = Instant::now();
    let at = |seconds, wall| Look { wall: WallTime(wall), steady: begun + Duration::from_secs(seconds) };
    let first = at(0, 10 * DAY);
    assert_eq!(first.jump_until(at(1, 10 * DAY + 1_000)), None);
    // A second in a minute, and a leap second.
    assert_eq!(first.jump_until(at(60, 10 * DAY + 61_000)), None);
    assert_eq!(first.jump_until(at(1, 10 * DAY)), None);
    let expected = WallTime(10 * DAY + 1_000);
    let ahead = Jump { expected, found: WallTime(12 * DAY + 1_000) };
    assert_eq!(first.jump_until(at(1, ahead.found.0)), Some(ahead));
    assert!(warning(ahead).contains("forward by 2 days"), "{}", warning(ahead));
    let behind = Jump { expected, found: WallTime(10 * DAY - 4_000) };
    assert_eq!(first.jump_until(at(1, behind.found.0)), Some(behind));
    assert!(warning(behind).contains("back by 5 s"), "{}", warning(behind));
}

#[test]
fn a_clock_is_judged_by_the_middle_of_the_others() {
    let node = |number| NodeId([number; 32]);
    let mut clocks = Clocks::default();
    assert_eq!(clocks.told(node(1), 30_000), Change::default());
    assert_eq!(clocks.told(node(2), -20_000), Change::default());
    // One other that is wrong.
    assert_eq!(clocks.told(node(3), 2 * DAY as i64), Change::default());
    let change = clocks.told(node(2), 2 * DAY as i64);
    assert!(change.new.as_ref().is_some_and(|text| text.contains("2 days behind")), "{change:?}");
    assert_eq!(clocks.told(node(2), 2 * DAY as i64 + 10), Change::default(), "once");
    let mended = clocks.told(node(2), 5);
    assert_eq!(mended, Change { over: change.new, new: None });
}
