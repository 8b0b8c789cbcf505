//! The rules as text; `tests/test_firewall.py` gives them to a kernel.

use super::{Members, rules};

fn members() -> Members {
    let set = |all: &[&str]| all.iter().map(|text| text.parse().unwrap()).collect();
    Members {
        own: set(&["10.0.0.1:4433"]),
        lawful: set(&["10.0.0.2:4433", "[2001:db8::2]:4433"]),
        others: set(&["10.9.0.3:4433"]),
    }
}

#[test]
fn a_machine_has_rules_for_the_user_of_its_node() {
    let text = rules("policy 3", &members(), Some(990));
    assert!(text.starts_with("# policy 3\n"), "{text}");
    for part in [
        "meta skuid 990 goto judge",
        "set lawful4 { type ipv4_addr . inet_service; elements = { 10.0.0.2 . 4433 }; }",
        "set lawful6 { type ipv6_addr . inet_service; elements = { 2001:db8::2 . 4433 }; }",
        "set others6 { type ipv6_addr . inet_service; }",
        "ip daddr . udp dport @others4 counter name talk accept",
        "counter name leak reject",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    assert!(!text.contains("forward"));
}

#[test]
fn a_gateway_has_rules_for_the_packets_of_the_node() {
    let text = rules("policy 3", &members(), None);
    assert!(
        text.contains("ip saddr . udp sport @own4 goto judge") && text.contains("counter name leak drop"),
        "{text}"
    );
    assert!(!text.contains("skuid"));
}
