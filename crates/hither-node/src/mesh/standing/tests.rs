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
fn with_one_it_is_due_after_half_of_that_time_if_that_is_sooner() {
    assert!(!due(Some(1), HOUR / 2) && due(Some(1), HOUR / 2 + 1));
    assert!(!due(Some(24), 12 * HOUR) && due(Some(24), 12 * HOUR + 1));
    assert!(!due(Some(720), 10 * DAY) && due(Some(720), 10 * DAY + 1), "half would be 15 days");
}

#[test]
fn only_what_the_policy_says_lets_a_member_ask_for_a_newer_one() {
    let asks = |within: Option<u32>, age| grows_old(&member(), within.map(Hours), WallTime(MADE + age));
    assert!(!asks(None, 29 * DAY) && !asks(Some(720), 15 * DAY) && asks(Some(720), 15 * DAY + 1));
    // What was made in the future is not made anew: a newer one would end sooner, and nobody would take it.
    assert!(!is_due(&member(), Some(Hours(1)), WallTime(MADE - DAY)));
}
