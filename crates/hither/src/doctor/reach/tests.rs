//! What is made of how others see a node.

use hither_api::admin::{KnownRelayDto, MulticastDto};

use super::super::State;
use super::*;

fn reach(addresses: &[&str], outside: &[&str]) -> ReachDto {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let multicast = MulticastDto { state: MulticastStateDto::Alone, on: Vec::new(), reason: None };
    ReachDto { addresses: texts(addresses), outside: texts(outside), multicast, relays: Vec::new() }
}

fn pong(site: &str, path: PathDto, seen_as: Option<&str>) -> (String, Option<PongDto>) {
    let pong = PongDto {
        node: "01".repeat(32),
        round_trips_us: vec![1],
        p50_us: 1,
        path: Some(path),
        address: None,
        relay: None,
        seen_as: seen_as.map(str::to_owned),
    };
    (site.to_owned(), Some(pong))
}

#[test]
fn a_router_is_told_by_what_others_see() {
    let own = ["10.0.0.7:7000"];
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let seen =
        |seen: &[&str]| -> Vec<_> { seen.iter().map(|seen| pong("paris", PathDto::Direct, Some(seen))).collect() };
    let of = |outside: &[&str], by: &[&str]| between(&reach(&own, outside), &seen(by));
    assert_eq!(of(&[], &[]), Router::Unknown);
    assert_eq!(of(&[], &["10.0.0.7:7000"]), Router::Absent);
    assert_eq!(of(&[], &["10.0.0.7:7000", "192.0.2.1:9"]), Router::Seen(at("192.0.2.1:9")));
    assert_eq!(of(&[], &["192.0.2.1:9", "192.0.2.1:9"]), Router::Steady(at("192.0.2.1:9")));
    assert_eq!(of(&["192.0.2.1:9"], &["192.0.2.1:9"]), Router::Steady(at("192.0.2.1:9")));
    let two = [at("192.0.2.1:9"), at("192.0.2.1:10")].into();
    assert_eq!(of(&["192.0.2.1:10"], &["192.0.2.1:9"]), Router::Drawn(two));
    assert_eq!(of(&["[2001:db8::1]:9"], &["192.0.2.1:9"]), Router::Steady(at("192.0.2.1:9")));
}

#[test]
fn a_drawn_port_is_worth_a_look_and_a_steady_one_is_not() {
    let state = |seen: &[&str]| {
        let pongs: Vec<_> = seen.iter().map(|seen| pong("paris", PathDto::Direct, Some(seen))).collect();
        router(&reach(&["10.0.0.7:1"], &[]), &pongs).map(|check| check.state)
    };
    assert_eq!(state(&[]), None);
    assert_eq!(state(&["192.0.2.1:9", "192.0.2.1:9"]), Some(State::Ok));
    assert_eq!(state(&["192.0.2.1:9", "192.0.2.1:8"]), Some(State::Warn));
}

#[test]
fn peers_that_are_all_behind_a_relay_or_silent_are_worth_a_look() {
    let (direct, relayed) = (pong("paris", PathDto::Direct, None), pong("oslo", PathDto::Relayed, None));
    let silent = ("lyon".to_owned(), None);
    assert_eq!(udp(&[]), None);
    let mixed = udp(&[direct, relayed.clone(), silent.clone()]).unwrap();
    assert_eq!(mixed.state, State::Ok);
    assert!(mixed.found.contains("1 of 3") && mixed.found.contains("relay: oslo"), "{}", mixed.found);
    assert!(mixed.found.contains("no answer: lyon"), "{}", mixed.found);
    assert_eq!(udp(&[relayed, silent]).unwrap().state, State::Warn);
}

#[test]
fn a_relay_counts_as_lost_only_if_no_other_is_there() {
    let relay = |state, carries| KnownRelayDto {
        node: "02".repeat(32),
        address: "192.0.2.7:7844".to_owned(),
        site: Some("hub".to_owned()),
        jurisdiction: Some("DE".to_owned()),
        carries,
        state,
        reason: None,
    };
    let states = |relays: Vec<KnownRelayDto>| -> Vec<State> {
        super::relays(&ReachDto { relays, ..reach(&[], &[]) }).iter().map(|check| check.state).collect()
    };
    let (home, gone) = (RelayStateDto::Home, RelayStateDto::Unreachable);
    assert_eq!(states(vec![relay(gone, CarriesDto::Everything)]), [State::Warn]);
    assert_eq!(
        states(vec![relay(gone, CarriesDto::Everything), relay(home, CarriesDto::Everything)]),
        [State::Ok, State::Ok]
    );
    assert_eq!(states(vec![relay(home, CarriesDto::Hellos)]), [State::Warn]);
}

#[test]
fn peers_of_another_version_are_named() {
    let node = |site: &str, presence, program: Option<&str>| {
        let mut node = super::super::tests::node(site);
        (node.presence, node.program) = (presence, program.map(str::to_owned));
        node
    };
    let (here, there) = (PresenceDto::Here, PresenceDto::Present);
    assert!(versions("1.0", &[node("a", here, Some("1.0"))]).found.contains("no peers"));
    let alike = [node("a", here, Some("1.0")), node("b", there, Some("1.0"))];
    assert_eq!(versions("1.0", &alike), Check::ok(Area::Network, "versions", "all peers have 1.0"));
    let mixed = versions("1.0", &[node("b", there, Some("1.1")), node("c", there, None)]);
    assert_eq!(mixed.state, State::Warn);
    assert!(mixed.found.contains("b has 1.1, c did not say"), "{}", mixed.found);
    assert_eq!(versions("1.0", &[node("c", there, None)]).state, State::Ok, "it has not been linked yet");
}
