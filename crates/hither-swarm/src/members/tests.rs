//! The table of members fails closed.

use std::net::SocketAddr;

use hither_types::id::NodeId;
use hither_types::member::Address;

use super::{Isolation, Members, Standing};

const NODE: NodeId = NodeId([7; 32]);

fn address(port: u16) -> Address {
    Address::Direct(SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn an_empty_table_means_nobody() {
    assert_eq!(Members::default().standing(NODE), Standing::Stranger);
}

#[test]
fn newest_addresses_come_first_and_admitting_twice_changes_nothing() {
    let members = Members::default();
    members.admit(NODE, vec![address(1), address(2)]);
    members.admit(NODE, vec![address(3), address(1)]);
    members.admit(NODE, vec![]);
    assert_eq!(members.addresses(NODE), [address(3), address(1), address(2)]);
}

#[test]
fn an_announcement_counts_for_members_alone_and_displaces_nothing_that_was_told() {
    let members = Members::default();
    let there = SocketAddr::from(([10, 0, 0, 1], 9));
    assert!(!members.announce(NODE, vec![there]), "of a stranger");
    assert_eq!(members.announced(NODE), []);
    members.admit(NODE, vec![address(1)]);
    assert!(members.announce(NODE, vec![there]));
    assert!(!members.announce(NODE, vec![there]), "no news");
    assert!(!members.announce(NODE, vec![]), "nothing was said");
    assert_eq!((members.addresses(NODE), members.announced(NODE)), (vec![address(1)], vec![Address::Direct(there)]));
    members.expel(NODE);
    members.admit(NODE, vec![]);
    assert_eq!(members.announced(NODE), [], "what was announced of it ends with its membership");
}

#[test]
fn isolation_stands_above_membership_and_heals() {
    let members = Members::default();
    members.admit(NODE, vec![]);
    members.isolate(Isolation::Isolated);
    assert_eq!(members.standing(NODE), Standing::Isolated);
    members.isolate(Isolation::Connected);
    assert_eq!(members.standing(NODE), Standing::Member);
    members.expel(NODE);
    assert_eq!(members.standing(NODE), Standing::Stranger);
}
