//! The middle of what was measured, and the path in words.

use hither_types::id::NodeId;
use hither_types::member::Relay;

use super::*;

fn pinged(took: &[u64], path: Option<PathTaken>) -> PongDto {
    let took = took.iter().map(|took| Micros(*took)).collect();
    PongDto::from(&Pinged { node: NodeId([1; 32]), took, path, seen_as: Some("192.0.2.1:2".parse().unwrap()) })
}

#[test]
fn the_middle_is_that_of_the_sorted_round_trips() {
    for (took, middle) in [(&[][..], 0), (&[7], 7), (&[9, 1], 1), (&[9, 1, 5], 5), (&[4, 3, 2, 1], 2)] {
        assert_eq!(pinged(took, None).p50_us, middle, "{took:?}");
    }
}

#[test]
fn a_relay_that_is_no_member_has_a_key_and_no_place() {
    let relay = Relay { node: NodeId([2; 32]), address: "192.0.2.7:443".parse().unwrap() };
    let said = pinged(&[1], Some(PathTaken::Relayed { relay, by: None }));
    assert_eq!((said.path, said.address.as_deref()), (Some(PathDto::Relayed), Some("192.0.2.7:443")));
    assert_eq!(said.relay, Some(RelayDto { node: "02".repeat(32), site: None, jurisdiction: None }));
    let direct = pinged(&[1], Some(PathTaken::Direct("192.0.2.9:1".parse().unwrap())));
    assert_eq!((direct.path, direct.relay), (Some(PathDto::Direct), None));
    assert_eq!(direct.seen_as.as_deref(), Some("192.0.2.1:2"));
}
