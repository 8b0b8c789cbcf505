//! Which policy the founder published for whom, and that nobody else publishes any.

use hither_types::authority::Range;
use hither_types::id::Digest;
use hither_wire::versions::WITH_POLICIES;

use super::quorum::{approve, enact, propose, quorum};
use super::*;
use crate::limits::PUBLICATIONS_MAX;

fn publication(policy: Option<u8>, within: &[&str], operators: &[&str]) -> Publication {
    let range = Range {
        within: within.iter().map(|code| place(code)).collect(),
        operators: operators.iter().map(|name| Operator::parse(name).unwrap()).collect(),
    };
    let policy = policy.map(|n| PublishedPolicy { digest: Digest([n; 32]), version: u32::from(n) });
    Publication { policy, range }
}

fn publish(
    authority: &mut Authority,
    policy: Option<u8>,
    within: &[&str],
    operators: &[&str],
) -> Result<(), EntryError> {
    authority.state(&key(1), Statement::Publish(publication(policy, within, operators)), NOW)
}

/// The version that is published for a member of acme at a place.
fn version_at(authority: &Authority, code: &str) -> Option<u32> {
    let there = Member { jurisdiction: place(code), ..member(authority, 2) };
    authority.policy_for(&there).map(|policy| policy.version)
}

#[test]
fn the_latest_whose_range_a_node_is_in_holds_for_it() {
    let mut authority = founded();
    assert_eq!(version_at(&authority, "FR"), None);
    publish(&mut authority, Some(1), &[], &[]).unwrap();
    publish(&mut authority, Some(2), &["DE"], &[]).unwrap();
    publish(&mut authority, Some(3), &["DE", "FR"], &["zwei"]).unwrap();
    let at = |authority: &Authority| ["DE-BY", "FR"].map(|code| version_at(authority, code));
    assert_eq!(at(&authority), [Some(2), Some(1)], "what is for another operator is for nobody of this one");
    publish(&mut authority, Some(4), &["DE"], &[]).unwrap();
    assert_eq!(
        (at(&authority), authority.publications().len()),
        ([Some(4), Some(1)], 3),
        "in the place of the same range"
    );
    publish(&mut authority, None, &["DE"], &[]).unwrap();
    assert_eq!(at(&authority), [Some(1), Some(1)], "what is for all holds there again");
    publish(&mut authority, Some(4), &["DE"], &[]).unwrap();
    publish(&mut authority, None, &[], &[]).unwrap();
    assert_eq!(at(&authority), [Some(4), None], "what is for some is not taken back with what is for all");
    publish(&mut authority, Some(5), &[], &[]).unwrap();
    assert_eq!((at(&authority), authority.publications().len()), ([Some(5), Some(5)], 1), "in the place of all");
    publish(&mut authority, None, &[], &[]).unwrap();
    assert_eq!(at(&authority), [None, None]);
    assert_eq!(publish(&mut authority, None, &[], &[]), Err(EntryError::Forbidden), "it would change nothing");
}

#[test]
fn nobody_but_the_founder_publishes_a_policy() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    for n in [2, 3] {
        let stated = authority.state(&key(n), Statement::Publish(publication(Some(1), &[], &[])), NOW);
        assert_eq!(stated, Err(EntryError::Forbidden), "{n}");
    }
    assert_eq!(authority.publications(), []);
}

#[test]
fn where_the_founder_needs_others_it_needs_them_for_policies() {
    let mut authority = founded();
    authority.state(&key(1), Statement::Quorum(quorum(2, &[2, 3, 4])), NOW).unwrap();
    assert_eq!(publish(&mut authority, Some(1), &[], &[]), Err(EntryError::Forbidden));
    let proposal = propose(&mut authority, Change::Publish(publication(Some(1), &[], &[])));
    approve(&mut authority, 2, proposal).unwrap();
    assert!(!enact(&mut authority) && version_at(&authority, "DE").is_none(), "one of two");
    approve(&mut authority, 4, proposal).unwrap();
    assert!(enact(&mut authority) && version_at(&authority, "DE") == Some(1));
}

#[test]
fn there_are_only_so_many_ranges() {
    let mut authority = founded();
    let name = |n: usize| format!("operator-{n}");
    for n in 0..PUBLICATIONS_MAX {
        publish(&mut authority, Some(1), &[], &[&name(n)]).unwrap();
    }
    assert_eq!(publish(&mut authority, Some(1), &["DE"], &[]), Err(EntryError::Forbidden));
    publish(&mut authority, Some(2), &[], &[&name(7)]).unwrap();
    publish(&mut authority, Some(3), &[], &[]).unwrap();
    assert_eq!(authority.publications().len(), 1, "one for all takes the place of all");
}

#[test]
fn a_proposal_that_waited_longer_than_the_next_is_not_enacted_over_it() {
    let mut authority = founded();
    authority.state(&key(1), Statement::Quorum(quorum(1, &[2])), NOW).unwrap();
    let older = propose(&mut authority, Change::Publish(publication(Some(5), &[], &[])));
    let newer = propose(&mut authority, Change::Publish(publication(Some(6), &[], &[])));
    approve(&mut authority, 2, newer).unwrap();
    assert!(enact(&mut authority) && version_at(&authority, "DE") == Some(6));
    approve(&mut authority, 2, older).unwrap();
    assert!(!enact(&mut authority) && version_at(&authority, "DE") == Some(6));
}

#[test]
fn programs_that_read_no_policy_are_told_all_that_they_read() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    authority.state(&key(2), revoke(8), NOW).unwrap();
    let older = WITH_POLICIES - 1;
    assert_eq!((authority.entries_for(older), authority.has_published()), (authority.entries(), false));
    publish(&mut authority, Some(1), &[], &[]).unwrap();
    authority.state(&key(1), revoke(9), NOW).unwrap();
    authority.state(&key(2), revoke(7), NOW).unwrap();
    let told = authority.entries_for(older);
    assert_eq!((told.len(), authority.has_published()), (4, true));
    assert_eq!(authority.entries_for(0), told, "one that did not say yet what it speaks");
    assert_eq!(authority.entries_for(WITH_POLICIES), authority.entries());
    let mut rest = authority.entries();
    rest.retain(|entry| !told.contains(entry));
    assert_eq!(authority.entries_since_policies(), rest);
    let mut guest = Authority::new(authority.mesh, authority.founder);
    assert_eq!(guest.take_all(told), (4, Vec::new()));
    assert!(guest.is_revoked(id(7)) && guest.is_revoked(id(8)) && !guest.is_revoked(id(9)));
}

#[test]
fn nobody_but_the_founder_says_who_runs_the_founder() {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    let founder = Member { operator: Operator::parse("zwei").unwrap(), ..member(&authority, 1) };
    assert!(refused(&authority, &certify(&key(2), &founder)).contains("may not let in"));
    assert!(authority.check_certificate(&certify(&key(1), &founder), NOW).is_ok());
}

#[test]
fn the_last_quarter_of_the_log_is_kept_for_revocations() {
    let mut authority = founded();
    while authority.has_room_for_policies() {
        publish(&mut authority, Some(1), &["DE"], &[]).unwrap();
    }
    let entries = authority.view().entries;
    assert_eq!(entries, hither_wire::limits::MAX_AUTHORITY / 4 * 3);
    // The bound is the publisher's own: whoever takes entries takes them, and what was published can be taken back.
    publish(&mut authority, None, &["DE"], &[]).unwrap();
    authority.state(&key(1), revoke(9), NOW).unwrap();
    assert!(authority.is_revoked(id(9)) && authority.publications().is_empty());
}
