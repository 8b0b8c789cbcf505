//! Where a relay says that it is.

use std::net::SocketAddr;

use hither_types::id::NodeId;

use super::offered;

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn check(named: &[&str], bound: &str, machine: &[&str], expected: &[&str]) {
    let offered = offered(NodeId([1; 32]), addresses(named), bound.parse().unwrap(), &addresses(machine));
    assert!(offered.iter().all(|relay| relay.node == NodeId([1; 32])));
    assert_eq!(offered.iter().map(|relay| relay.address).collect::<Vec<_>>(), addresses(expected));
}

#[test]
fn a_relay_says_what_its_operator_named_and_what_it_is_bound_to_and_else_what_the_machine_has() {
    let machine = ["192.0.2.7:40000", "[2001:db8::7]:40000"];
    check(&["203.0.113.7:443"], "0.0.0.0:7844", &machine, &["203.0.113.7:443"]);
    check(&["203.0.113.7:443"], "10.0.0.2:7844", &machine, &["203.0.113.7:443", "10.0.0.2:7844"]);
    check(&[], "0.0.0.0:7844", &machine, &["192.0.2.7:7844"]);
    check(&[], "[::]:7844", &machine, &["[2001:db8::7]:7844"]);
    check(&[], "192.0.2.7:7844", &machine, &["192.0.2.7:7844"]);
}
