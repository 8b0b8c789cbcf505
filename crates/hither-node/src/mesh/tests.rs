//! What is told of a node.

use super::told;

#[test]
fn addresses_that_an_operator_named_come_first_and_all_fit_a_message() {
    let address = |n: usize| format!("192.0.2.{n}:7843").parse().unwrap();
    let (named, found) = ([address(1), address(2)], [address(2), address(3)]);
    assert_eq!(told(&named, &found), [address(1), address(2), address(3)]);
    let many: Vec<_> = (1..100).map(address).collect();
    assert_eq!(told(&many, &found), many[..hither_wire::limits::MAX_ADDRESSES]);
    assert!(told(&[], &[]).is_empty());
}
