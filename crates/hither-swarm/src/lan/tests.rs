//! What an announcement may lead to.

use std::net::IpAddr;

use hither_types::id::{MeshId, NodeId};

use super::{is_near, name, node, service};

#[test]
fn a_key_is_a_name_and_a_name_is_a_key() {
    let key = NodeId([0xab; 32]);
    assert!(name(key).len() <= 63, "the name of a host has at most 63 letters");
    assert_eq!(node(&name(key)), Some(key));
    assert_eq!(node(&name(key).to_uppercase()), Some(key), "names are the same in capitals");
    for wrong in ["", "a", "router", &"a".repeat(51), &"1".repeat(52)] {
        assert_eq!(node(wrong), None, "{wrong}");
    }
}

#[test]
fn each_mesh_has_a_name_of_its_own_that_does_not_show_its_id() {
    let (one, other) = (service(MeshId([1; 32])), service(MeshId([2; 32])));
    assert_ne!(one, other);
    assert!(one.starts_with("hither-") && one.len() < 30, "{one}");
    let id = data_encoding::BASE32_NOPAD.encode(&[1; 32]).to_lowercase();
    assert!(!one.contains(&id[..6]), "{one}");
}

#[test]
fn an_announcement_leads_into_this_machine_s_networks_alone() {
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let own = [ip("198.51.100.7"), ip("2001:db8:1:2::7"), ip("10.0.0.7")];
    for near in ["198.51.100.200", "10.9.9.9", "192.168.1.2", "169.254.1.1", "fd00::1", "2001:db8:1:2::99"] {
        assert!(is_near(ip(near), &own), "{near}");
    }
    let far = ["198.51.101.1", "8.8.8.8", "2001:db8:1:3::1", "2a00::1", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.251"];
    for far in far.iter().chain(&["255.255.255.255", "ff02::fb", "::"]) {
        assert!(!is_near(ip(far), &own), "{far}");
    }
}
