//! The choice among lawful places.

use std::sync::Arc;

use hither_types::place::PlaceKind;
use hither_types::request::Priority;
use hither_types::unit::Micros;

use super::{Choice, Gate, Here, Offer, choose};
use crate::policy::Law;
use crate::random::Random;
use crate::tests::{LYON, MUNICH, PARIS, eea, envelope, member};

fn lawful(node: hither_types::id::NodeId) -> super::Lawful {
    let (law, origin) = (Law::new(Arc::new(eea())), member(MUNICH));
    let (gate, envelope) = (Gate { law: &law, origin: &origin }, envelope(crate::tests::FRAUD));
    gate.request(&envelope, &envelope.model).at(&member(node), PlaceKind::Peer).ok().unwrap()
}

fn offer(node: hither_types::id::NodeId, rtt_ms: u64, load: u64) -> Offer {
    let (rtt, service) = (Micros::from_millis(rtt_ms), Micros::from_millis(100));
    let (free, crowd) = (load < 4, Micros::from_millis(25 * load.min(4)));
    let wait = Micros::from_millis(25 * (load + 1).saturating_sub(4));
    let lawful = lawful(node);
    Offer { lawful, preferred: false, rtt, service, free, wait, age: None, crowd, saved: Micros(0) }
}

fn here(wait_ms: u64) -> Option<Here> {
    let (wait, service) = (Micros::from_millis(wait_ms), Micros::from_millis(100));
    Some(Here { lawful: lawful(MUNICH), preferred: false, free: wait_ms == 0, wait: Some(wait), service, hold: None })
}

fn check(here: Option<Here>, offers: &[Offer], expected: &str) {
    let chosen = choose(here, offers, Micros::from_millis(10_000), Priority::Normal, &mut Random::new(1));
    let chosen = match chosen {
        Choice::Here(_) => "here".to_owned(),
        Choice::Peer(offer) => member(offer.lawful.node()).site.to_string(),
        Choice::Queue(_) => "queue".to_owned(),
        Choice::Hold(span) => format!("hold {} ms", span.millis()),
        Choice::Nowhere => "nowhere".to_owned(),
    };
    assert_eq!(chosen, expected);
}

#[test]
fn a_free_slot_here_beats_every_peer() {
    check(here(0), &[offer(PARIS, 0, 0)], "here");
}

#[test]
fn the_nearer_of_two_free_peers_is_taken() {
    check(None, &[offer(PARIS, 40, 0), offer(LYON, 10, 0)], "lyon");
}

#[test]
fn the_emptier_of_two_peers_as_near_is_taken() {
    check(None, &[offer(PARIS, 10, 3), offer(LYON, 10, 1)], "lyon");
}

#[test]
fn a_short_queue_here_beats_a_far_peer_and_not_a_near_one() {
    check(here(30), &[offer(PARIS, 40, 0)], "queue");
    check(here(30), &[offer(PARIS, 20, 0)], "paris");
}

#[test]
fn a_free_peer_beats_a_full_one_that_is_nearer() {
    check(None, &[offer(PARIS, 1, 9), offer(LYON, 50, 0)], "lyon");
}

#[test]
fn a_queue_that_takes_more_than_a_fifth_of_the_time_is_no_place() {
    check(here(2_000), &[], "queue");
    check(here(2_001), &[], "nowhere");
}

#[test]
fn a_peer_that_would_let_it_wait_for_more_than_a_second_is_no_place() {
    check(None, &[offer(PARIS, 1, 43)], "paris");
    check(None, &[offer(PARIS, 1, 44)], "nowhere");
}

#[test]
fn chance_spreads_what_would_herd() {
    // Ten peers as good as each other: over a hundred choices each is taken.
    let nodes = (10..20).map(|n| hither_types::id::NodeId([n; 32]));
    let offers: Vec<Offer> = nodes.map(|node| offer(node, 10, 0)).collect();
    let mut random = Random::new(1);
    let taken =
        (0..100).map(|_| match choose(None, &offers, Micros::from_millis(10_000), Priority::Normal, &mut random) {
            Choice::Peer(offer) => offer.lawful.node(),
            other => panic!("a peer is free, and {other:?} was chosen"),
        });
    assert_eq!(taken.collect::<std::collections::BTreeSet<_>>().len(), 10);
}
