//! When certificates are made anew.

use hither_types::id::{MeshId, NodeId, Operator, SiteName};
use hither_types::member::{Member, Roles};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::time::WallTime;
use hither_types::unit::Hours;

use super::{grows_old, is_due};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const MADE: u64 = 1_800_000_000_000;

fn member() -> Member {
    Member {
        node: NodeId([1; 32]),
        mesh: MeshId([9; 32]),
        site: SiteName::parse("munich").unwrap(),
        jurisdiction: Jurisdiction::parse("DE").unwrap(),
        control: None,
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(MADE + 30 * DAY),
        roles: Roles::ALL,
    }
}

/// Whether the certificate is due so many milliseconds after it was made, by a policy that wants it to be so new.
fn due(within: Option<u32>, age: u64) -> bool {
    is_due(&member(), within.map(Hours), WallTime(MADE + age))
}

#[test]
fn a_certificate_says_when_it_was_made() {
    assert_eq!(member().certified(), WallTime(MADE));
    assert_eq!(Member { expires: WallTime(DAY), ..member() }.certified(), WallTime(0));
}

#[test]
fn without_a_word_in_the_policy_it_is_due_when_less_than_20_days_are_left() {
    assert!(!due(None, 0) && !due(None, 10 * DAY) && due(None, 10 * DAY + 1));
}

#[test]
fn with_one_it_is_due_after_half_of_that_time_or_a_little_more_if_that_is_sooner() {
    let latest = |hours: u64| hours * HOUR / 4 * 3;
    for hours in [1, 24] {
        let within = Some(hours as u32);
        assert!(!due(within, hours * HOUR / 2) && due(within, latest(hours) + 1));
    }
    assert!(!due(Some(720), 10 * DAY) && due(Some(720), 10 * DAY + 1), "half would be 15 days");
}

#[test]
fn members_are_due_one_after_the_other() {
    let is_due_of = |key: u8, age| {
        let member = Member { node: NodeId([0, 0, 0, 0, 0, 0, 0, key].repeat(4).try_into().unwrap()), ..member() };
        is_due(&member, Some(Hours(24)), WallTime(MADE + age))
    };
    let due_at = |age| (0..=255).filter(|key| is_due_of(*key, age)).count();
    assert_eq!([12 * HOUR, 12 * HOUR + 1, 15 * HOUR + 1, 18 * HOUR].map(due_at), [0, 1, 129, 256]);
}

#[test]
fn only_what_the_policy_says_lets_a_member_ask_for_a_newer_one() {
    let asks = |within: Option<u32>, age| grows_old(&member(), within.map(Hours), WallTime(MADE + age));
    assert!(!asks(None, 29 * DAY) && !asks(Some(720), 15 * DAY) && asks(Some(720), 22 * DAY + DAY / 2 + 1));
}

#[test]
fn what_a_clock_that_was_ahead_made_gives_way_to_what_a_right_one_makes() {
    let now = WallTime(MADE - DAY);
    let (ahead, right) = (member(), Member { expires: WallTime(now.0 + 30 * DAY), ..member() });
    assert!(is_due(&ahead, None, now) && !is_due(&right, None, now));
    assert!(right.is_newer_than(&ahead, now) && !ahead.is_newer_than(&right, now));
    // Clocks may differ by ten minutes, and a day later it is the newer one.
    let close = WallTime(MADE - 600_000);
    assert!(!is_due(&ahead, None, close) && ahead.is_newer_than(&right, close));
    assert!(!right.is_newer_than(&right, now));
}
