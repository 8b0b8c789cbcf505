//! What is told of a node.

use std::net::SocketAddr;

use hither_types::id::NodeId;
use hither_types::member::{Address, Relay};

use super::told;

#[test]
fn addresses_that_an_operator_named_come_first_and_all_fit_a_message() {
    let address = |n: usize| -> SocketAddr { format!("192.0.2.{n}:7843").parse().unwrap() };
    let direct = |n: usize| Address::Direct(address(n));
    let relay = Address::Relayed(Relay { node: NodeId([7; 32]), address: address(9) });
    let (named, found) = ([address(1), address(2)], [address(2), address(3)]);
    assert_eq!(told(&named, &[relay], &found), [direct(1), direct(2), relay, direct(3)]);
    let many: Vec<_> = (1..100).map(address).collect();
    let most: Vec<_> = (1..=hither_wire::limits::MAX_ADDRESSES).map(direct).collect();
    assert_eq!(told(&many, &[relay], &found), most);
    assert!(told(&[], &[], &[]).is_empty());
}
