//! What may go over which relay.

use super::*;

fn relay(node: u8, address: &str) -> Relay {
    Relay { node: NodeId([node; 32]), address: address.parse().unwrap() }
}

fn known(relay: Relay, used_for: RelayUse, pass: Option<&str>) -> KnownRelay {
    KnownRelay { relay, used_for, pass: pass.map(str::to_owned) }
}

fn path(url: &str) -> TransportAddr {
    TransportAddr::Relay(url.parse().unwrap())
}

#[test]
fn nothing_goes_over_a_relay_that_is_not_in_the_table_and_hellos_alone_over_one_that_is_for_hellos() {
    let relays = Relays::new(NodeId([9; 32]), Arc::new(Pins::default()), None);
    let (first, second) = (relay(1, "192.0.2.1:443"), relay(2, "[2001:db8::1]:7844"));
    let (of_first, of_second) = (path("https://192.0.2.1"), path("https://[2001:db8::1]:7844/guest"));
    assert!(!relays.permits(&of_first, Kind::Hello));
    let list = vec![known(first, RelayUse::Everything, None), known(second, RelayUse::Hellos, Some("pass"))];
    assert!(relays.replace(list.clone()));
    assert!(!relays.replace(list), "the same again is no news");
    for kind in Kind::ALL {
        assert!(relays.permits(&of_first, kind));
        assert_eq!(relays.permits(&of_second, kind), kind == Kind::Hello);
        assert!(relays.permits(&TransportAddr::Ip(first.address), kind), "the table says nothing of direct paths");
    }
    assert_eq!(relays.urls(first.node, Kind::Ask).len(), 1);
    assert!(relays.urls(second.node, Kind::Ask).is_empty());
    assert_eq!(relays.named(&"https://192.0.2.1".parse().unwrap()), Some(first));
    assert!(relays.replace(Vec::new()));
    assert!(!relays.permits(&of_first, Kind::Ask));
}

#[test]
fn a_node_reaches_its_own_relay_on_its_own_machine() {
    let me = NodeId([1; 32]);
    let relays = Relays::new(me, Arc::new(Pins::default()), Some("127.0.0.1:7844".parse().unwrap()));
    relays.replace(vec![known(relay(1, "203.0.113.7:7844"), RelayUse::Everything, None)]);
    assert_eq!(relays.urls(me, Kind::Talk), ["https://127.0.0.1:7844".parse().unwrap()]);
}
