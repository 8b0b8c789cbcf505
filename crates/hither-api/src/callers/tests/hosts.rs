//! By which names a node may be called.

use std::net::IpAddr;

use crate::callers::Access;
use crate::routes::Listener;
use crate::tests::fake::FakeDoor;
use crate::tests::lab::Lab;

async fn check(bound: &str, hosts: &[&str], headers: &str, status: u16) {
    let access = Access {
        bound: bound.parse::<IpAddr>().unwrap(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        ..Access::default()
    };
    let door = FakeDoor::new(|_| unreachable!("nothing here submits")).guarded(access);
    let came = Lab::behind(door, Listener::Tcp).send(&format!("GET /v2\n{headers}"), "").await;
    assert_eq!(came.status, status, "bound to {bound}, {headers}: {}", came.text());
    assert!(came.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn a_node_answers_to_the_address_that_it_is_bound_to_and_to_the_names_it_was_given() {
    for (bound, headers, status) in [
        ("10.0.0.5", "host: 10.0.0.5:8080", 200),
        ("10.0.0.5", "host: 10.0.0.6:8080", 403),
        ("10.0.0.5", "host: ai.klinik.example", 200),
        ("10.0.0.5", "host: AI.Klinik.example:8080", 200),
        ("10.0.0.5", "host: ai.klinik.example.evil.example", 403),
        ("10.0.0.5", "host: klinik.example", 403),
        ("10.0.0.5", "host: evil.example:8080", 403),
        ("10.0.0.5", "host: :8080", 403),
        ("fd00::5", "host: [fd00::5]:8080", 200),
        ("fd00::5", "host: [fd00::6]:8080", 403),
        // Every address of the machine, and still no name that can be pointed here.
        ("0.0.0.0", "host: 192.168.1.7:8080", 200),
        ("::", "host: [fd00::5]:8080", 200),
        ("0.0.0.0", "host: evil.example:8080", 403),
        ("127.0.0.1", "host: 192.168.1.7:8080", 403),
        ("127.0.0.1", "host: ai.klinik.example", 200),
        ("10.0.0.5", "host: 203.0.113.7:443", 200),
        ("10.0.0.5", "host: 203.0.113.8:443", 403),
    ] {
        check(bound, &["ai.klinik.example", "203.0.113.7"], headers, status).await;
    }
}

#[tokio::test]
async fn pages_from_elsewhere_may_not_call_wherever_it_is_bound() {
    for (headers, status) in [
        ("host: 10.0.0.5:8080\norigin: http://10.0.0.5:8080", 200),
        ("host: 10.0.0.5:8080\norigin: http://10.0.0.6:8080", 403),
        ("host: ai.klinik.example\norigin: https://ai.klinik.example", 200),
        ("host: ai.klinik.example\norigin: https://evil.example", 403),
        ("host: 10.0.0.5:8080\norigin: null", 403),
        ("host: 10.0.0.5:8080\norigin: ftp://10.0.0.5:8080", 403),
    ] {
        check("10.0.0.5", &["ai.klinik.example"], headers, status).await;
    }
}
