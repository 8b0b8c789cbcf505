//! What the founder cannot do alone, nobody believes of it alone, in whatever order entries come.

use hither_types::authority::Range;
use hither_types::id::Digest;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

pub(super) fn quorum(needed: u8, approvers: &[u8]) -> Quorum {
    Quorum { needed, approvers: approvers.iter().map(|n| id(*n)).collect() }
}

/// A mesh whose founder needs two of three.
fn of_three() -> Authority {
    let mut authority = founded();
    authority.state(&key(1), Statement::Quorum(quorum(2, &[2, 3, 4])), NOW).unwrap();
    authority
}

/// Proposes something; the id of it.
pub(super) fn propose(authority: &mut Authority, change: Change) -> [u8; 32] {
    authority.state(&key(1), Statement::Propose(change), NOW).unwrap();
    authority.proposed().last().unwrap().id
}

pub(super) fn approve(authority: &mut Authority, n: u8, proposal: [u8; 32]) -> Result<(), EntryError> {
    authority.state(&key(n), Statement::Approve { proposal }, NOW)
}

/// Enacts what enough approve, as the founder does.
pub(super) fn enact(authority: &mut Authority) -> bool {
    let Some((_, statement)) = authority.ready() else { return false };
    authority.state(&key(1), statement, NOW).unwrap();
    true
}

#[test]
fn the_founder_alone_neither_appoints_nor_dismisses_nor_frees_itself() {
    let mut authority = founded();
    authority.state(&key(1), appoint(5, &[]), NOW).unwrap();
    authority.state(&key(1), Statement::Quorum(quorum(2, &[2, 3, 4])), NOW).unwrap();
    for statement in [
        appoint(6, &[]),
        Statement::Dismiss { node: id(5), keep: 0 },
        Statement::Quorum(quorum(0, &[])),
        Statement::Quorum(quorum(1, &[2])),
        // It would dismiss an issuer, or be rid of those who say no.
        revoke(5),
        revoke(2),
        Statement::Enact { proposal: 0, approvals: Vec::new() },
    ] {
        let refused = authority.state(&key(1), statement.clone(), NOW);
        assert_eq!(refused, Err(EntryError::Forbidden), "{statement:?}");
    }
    // Whoever is neither it still revokes, at once.
    authority.state(&key(1), revoke(9), NOW).unwrap();
    assert!(authority.is_revoked(id(9)));
    // An issuer gets rid of no approver either.
    authority.state(&key(5), revoke(3), NOW).unwrap();
    assert!(!authority.is_revoked(id(3)));
}

#[test]
fn a_proposal_is_in_force_once_enough_approve_it() {
    let mut authority = of_three();
    let proposal = propose(&mut authority, Change::Appoint(issuer(5, &["FR"])));
    assert!(!enact(&mut authority) && !authority.is_issuer(id(5)), "nobody approves");
    approve(&mut authority, 2, proposal).unwrap();
    assert_eq!(approve(&mut authority, 2, proposal), Err(EntryError::Forbidden), "once each");
    assert_eq!(approve(&mut authority, 6, proposal), Err(EntryError::Forbidden), "no approver");
    assert_eq!(approve(&mut authority, 3, [0; 32]), Err(EntryError::Forbidden), "no proposal");
    assert!(!enact(&mut authority), "one of two");
    assert_eq!(authority.proposed()[0].approved, [id(2)]);
    approve(&mut authority, 4, proposal).unwrap();
    assert!(enact(&mut authority) && authority.is_issuer(id(5)));
    assert!(authority.proposed().is_empty() && !enact(&mut authority));
    // The same way back, and out of the quorum.
    let proposal = propose(&mut authority, Change::Dismiss { node: id(5), keep: 0 });
    [2, 3].into_iter().for_each(|n| approve(&mut authority, n, proposal).unwrap());
    assert!(enact(&mut authority) && !authority.is_issuer(id(5)));
    let proposal = propose(&mut authority, Change::Quorum(quorum(0, &[])));
    [3, 4].into_iter().for_each(|n| approve(&mut authority, n, proposal).unwrap());
    assert!(enact(&mut authority));
    authority.state(&key(1), appoint(6, &[]), NOW).unwrap();
    assert!(authority.is_issuer(id(6)));
}

#[test]
fn approvals_that_are_forged_doubled_or_of_something_else_do_not_count() {
    let mut authority = of_three();
    let wanted = propose(&mut authority, Change::Appoint(issuer(5, &[])));
    let other = propose(&mut authority, Change::Appoint(issuer(6, &[])));
    approve(&mut authority, 2, wanted).unwrap();
    approve(&mut authority, 3, other).unwrap();
    let chain = |n: u8| authority.chains[&id(n)][0].signed.clone();
    let (good, of_other) = (chain(2), chain(3));
    let entry = |mesh| AuthorityEntry {
        mesh,
        number: 0,
        previous: [0; 32],
        at: NOW,
        statement: Statement::Approve { proposal: wanted },
    };
    let signed = |n: u8, mesh, seal| sign(&key(n), seal, hither_wire::encode_authority_entry(&entry(mesh)).unwrap());
    let forged = Signed { signer: id(4), ..good.clone() };
    let second = signed(4, authority.mesh, Seal::Authority);
    for (approvals, what) in [
        (vec![good.clone()], "one"),
        (vec![good.clone(), good.clone()], "one, twice"),
        (vec![good.clone(), of_other], "one is of another proposal"),
        (vec![good.clone(), forged], "one is forged"),
        (vec![good.clone(), signed(6, authority.mesh, Seal::Authority)], "one is of no approver"),
        (vec![good.clone(), signed(1, authority.mesh, Seal::Authority)], "one is the founder's"),
        (vec![good.clone(), signed(4, MeshId([0; 32]), Seal::Authority)], "one is of another mesh"),
        (vec![good.clone(), signed(4, authority.mesh, Seal::Certificate)], "one was signed for something else"),
    ] {
        let refused = authority.state(&key(1), Statement::Enact { proposal: 2, approvals }, NOW);
        assert_eq!(refused, Err(EntryError::Forbidden), "{what}");
    }
    let enacted = Statement::Enact { proposal: 2, approvals: vec![good, second] };
    authority.state(&key(1), enacted.clone(), NOW).unwrap();
    assert!(authority.is_issuer(id(5)) && !authority.is_issuer(id(6)));
    assert_eq!(authority.state(&key(1), enacted, NOW), Err(EntryError::Forbidden), "once");
}

#[test]
fn of_an_approver_that_was_replaced_nothing_is_left() {
    let mut authority = of_three();
    let old = propose(&mut authority, Change::Appoint(issuer(5, &[])));
    approve(&mut authority, 2, old).unwrap();
    let proposal = propose(&mut authority, Change::Quorum(quorum(2, &[3, 4, 6])));
    [3, 4].into_iter().for_each(|n| approve(&mut authority, n, proposal).unwrap());
    assert!(enact(&mut authority));
    // Its approval was given before, and that of another comes now: together they were two once.
    approve(&mut authority, 3, old).unwrap();
    assert!(!enact(&mut authority), "2 is no approver any more");
    approve(&mut authority, 6, old).unwrap();
    assert!(enact(&mut authority) && authority.is_issuer(id(5)));
}

#[test]
fn a_quorum_that_could_never_agree_is_refused() {
    let mut authority = founded();
    for (quorum, what) in [
        (quorum(3, &[2, 3]), "more than there are"),
        (quorum(2, &[2, 2]), "one named twice"),
        (quorum(1, &[1]), "the founder itself"),
        (quorum(0, &[2]), "nobody of somebody"),
        (quorum(9, &[2, 3, 4, 5, 6, 7, 8, 9, 10]), "more signatures than an entry holds"),
    ] {
        assert_eq!(authority.state(&key(1), Statement::Quorum(quorum), NOW), Err(EntryError::Forbidden), "{what}");
    }
    authority.state(&key(1), Statement::Quorum(quorum(8, &[2, 3, 4, 5, 6, 7, 8, 9])), NOW).unwrap();
    let proposal = propose(&mut authority, Change::Appoint(issuer(10, &[])));
    (2..=9).for_each(|n| approve(&mut authority, n, proposal).unwrap());
    assert!(enact(&mut authority), "eight signatures fit an entry");
}

#[test]
fn of_too_many_proposals_the_oldest_makes_way() {
    let mut authority = of_three();
    let most = crate::limits::PROPOSALS_MAX;
    let first = propose(&mut authority, Change::Appoint(issuer(5, &[])));
    let second = propose(&mut authority, Change::Appoint(issuer(6, &[])));
    (1..most).for_each(|_| _ = propose(&mut authority, Change::Appoint(issuer(7, &[]))));
    assert_eq!((authority.proposed().len(), authority.proposed()[0].id), (most, second));
    [2, 3].into_iter().for_each(|n| approve(&mut authority, n, first).unwrap());
    assert!(!enact(&mut authority), "it is over, whoever approves it");
    [2, 3].into_iter().for_each(|n| approve(&mut authority, n, second).unwrap());
    assert!(enact(&mut authority) && authority.is_issuer(id(6)) && !authority.is_issuer(id(5)));
}

/// A mesh in which much was proposed, approved, enacted, replaced and dismissed.
fn eventful() -> Authority {
    let mut authority = founded();
    authority.state(&key(1), appoint(2, &[]), NOW).unwrap();
    authority.state(&key(2), revoke(12), NOW).unwrap();
    authority.state(&key(1), Statement::Quorum(quorum(2, &[2, 3, 4])), NOW).unwrap();
    let mut carried = |change: Change, by: [u8; 2]| {
        let proposal = propose(&mut authority, change);
        by.into_iter().for_each(|n| approve(&mut authority, n, proposal).unwrap());
        assert!(enact(&mut authority));
    };
    carried(Change::Appoint(issuer(5, &["DE"])), [2, 3]);
    carried(Change::Dismiss { node: id(2), keep: 1 }, [2, 4]);
    let everywhere = PublishedPolicy { digest: Digest([9; 32]), version: 9 };
    carried(Change::Publish(Publication { policy: Some(everywhere), range: Range::default() }), [3, 4]);
    carried(Change::Quorum(quorum(1, &[3, 4])), [3, 4]);
    let waits = propose(&mut authority, Change::Appoint(issuer(8, &[])));
    // It was an approver when nobody had heard that it was replaced.
    approve(&mut authority, 2, waits).unwrap();
    authority.state(&key(5), revoke(3), NOW).unwrap();
    authority.state(&key(5), revoke(13), NOW).unwrap();
    authority.state(&key(1), revoke(11), NOW).unwrap();
    authority
}

#[test]
fn the_standing_is_the_same_in_whatever_order_entries_come() {
    let made = eventful();
    assert_eq!((made.is_issuer(id(5)), made.is_issuer(id(2)), made.is_issuer(id(8))), (true, false, false));
    let entries = made.entries();
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let orders = Just(entries.clone()).prop_shuffle();
    let told = runner.run(&(orders, 1..=entries.len()), |(shuffled, cut)| {
        let mut other = Authority::new(made.mesh, made.founder);
        // First a part, and all of them again and again, as members do.
        other.take_all(shuffled[..cut].to_vec());
        for _ in 0..entries.len() {
            other.take_all(shuffled.clone());
        }
        prop_assert_eq!(other.view(), made.view());
        prop_assert_eq!(other.entries(), made.entries());
        // What is known is not news.
        prop_assert_eq!(other.take_all(shuffled).0, 0);
        Ok(())
    });
    told.unwrap();
    let mut once = Authority::new(made.mesh, made.founder);
    let (new, wrong) = once.take_all(entries.clone());
    assert_eq!((new, wrong), (entries.len(), Vec::new()), "its own order needs one round, as from the disk");
}
