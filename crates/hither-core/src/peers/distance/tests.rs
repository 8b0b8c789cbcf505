//! Distances: what is measured of one member counts for its site, and the nearest is found by asking around.

use std::collections::BTreeMap;
use std::sync::Arc;

use hither_types::id::{NodeId, RequestId, SiteName};
use hither_types::member::Member;
use hither_types::message::{Load, Signal};
use hither_types::request::Cost;
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::limits;
use crate::peers::Peers;
use crate::tests::{FRAUD, Play, eea, envelope, heard, member};
use crate::{Action, Event};

fn of_site(key: u8, site: u8) -> Member {
    let site = SiteName::parse(&format!("site-{site}")).unwrap();
    Member { node: NodeId([key; 32]), site, ..member(NodeId([key; 32])) }
}

fn standing(members: &[(u8, u8)]) -> Peers {
    let mut peers = Peers::new(Micros::from_millis(500), Timestamp(0));
    for (key, site) in members {
        peers.add(of_site(*key, *site));
        peers.stands(NodeId([*key; 32]), true);
    }
    peers
}

fn far(peers: &Peers, key: u8) -> Micros {
    peers.get(NodeId([key; 32])).unwrap().far()
}

#[test]
fn a_site_is_as_far_as_one_of_its_members_was_found_to_be() {
    let mut peers = standing(&[(10, 1), (11, 1), (12, 2)]);
    assert_eq!([far(&peers, 10), far(&peers, 12)], [limits::FAR_GUESS; 2], "nothing was measured");
    peers.measured(NodeId([10; 32]), Micros(8_000));
    assert_eq!(far(&peers, 11), Micros(8_000), "its neighbour is as far");
    assert_eq!(far(&peers, 12), limits::FAR_GUESS, "another site is not");

    peers.add(of_site(13, 1));
    peers.stands(NodeId([13; 32]), true);
    assert_eq!(far(&peers, 13), Micros(8_000), "who comes later, too");

    peers.measured(NodeId([10; 32]), Micros(8_100));
    peers.measured(NodeId([11; 32]), Micros(9_000));
    assert_eq!(far(&peers, 11), Micros(9_000), "its own measure is better");
    [10, 11, 13].into_iter().for_each(|key| assert!(peers.remove(NodeId([key; 32]))));
    peers.add(of_site(14, 1));
    peers.stands(NodeId([14; 32]), true);
    assert_eq!(far(&peers, 14), limits::FAR_GUESS, "nobody of those measured is left");
}

#[test]
fn what_the_transport_says_replaces_what_answers_took() {
    let mut peers = standing(&[(10, 1)]);
    let node = NodeId([10; 32]);
    peers.timed(node, Micros(60_000));
    peers.measured(node, Micros(15_000));
    assert_eq!(far(&peers, 10), Micros(15_000), "the first answer had waited for a link");
    peers.timed(node, Micros(95_000));
    assert_eq!(far(&peers, 10), Micros(25_000), "one slow answer changes little");
}

/// Sites, each with one member that has the model, and how far they are.
const SITES: u8 = 100;

fn away(node: NodeId) -> u64 {
    // 4 to 202 ms, in no order of keys.
    4_000 + 2_000 * (u64::from(node.0[0]) * 37 % u64::from(SITES))
}

/// Asks every 250 ms among a hundred sites of which nothing is known; who served each request.
fn served(requests: u64) -> Vec<NodeId> {
    let mut core = Play::new(eea()).core;
    let mut happens = BTreeMap::new();
    for key in 10..10 + SITES {
        let node = NodeId([key; 32]);
        core.handle(Event::MemberAdded(of_site(key, key)), Timestamp(0)).for_each(drop);
        let (_, said) = heard(0, node, FRAUD, 0);
        let Event::Presence { presence, .. } = said else { unreachable!("a presence is a presence") };
        happens.insert((Timestamp(0), u64::from(key)), Event::There { node, presence: Arc::clone(&presence) });
    }
    for number in 0..requests {
        let at = Timestamp(1_000_000 + 250_000 * number);
        let deadline = at.after(Micros::from_millis(10_000));
        let request = RequestId(u128::from(number) + 1);
        let event = Event::Submitted { request, envelope: envelope(FRAUD), deadline, affinity: None };
        happens.insert((at, 1_000 + number), event);
    }
    let (mut served, mut count, mut linked) = (Vec::new(), 1_000_000, Vec::new());
    let free =
        Load { slots: 4, busy: 0, queued: 0, wait: Micros(0), urgent: Micros(0), service: Micros::from_millis(2) };
    while let Some(((at, _), event)) = happens.pop_first() {
        let actions: Vec<Action> = core.handle(event, at).collect();
        let mut later = |span: u64, event| {
            count += 1;
            happens.insert((at.after(Micros(span)), count), event);
        };
        for action in actions {
            match action {
                Action::Tell { peer, signal } => {
                    // The first word waits for a link: QUIC's handshake, and the greeting of both.
                    let trips = if linked.contains(&peer) { 1 } else { 3 };
                    if trips > 1 {
                        linked.push(peer);
                        later(2 * away(peer), Event::RoundTrip { peer, rtt: Micros(away(peer)) });
                    }
                    let signal = match signal {
                        Signal::Probe { number, digest, .. } => Signal::State { number, digest, load: free },
                        Signal::Offer { request, attempt, .. } => Signal::Accept { request, attempt, load: free },
                        _ => continue,
                    };
                    later(trips * away(peer), Event::Told { from: peer, signal });
                }
                Action::Record { ticket: Some(ticket), .. } => later(500, Event::Recorded(ticket)),
                Action::Forward { task, peer, .. } => {
                    served.push(peer);
                    later(away(peer) + 2_000, Event::Done { task, cost: Cost::default() });
                }
                _ => {}
            }
        }
        // Its own clock is wound until the next thing happens.
        let next = happens.first_key_value().map(|((next, _), _)| *next);
        if let Some(due) = core.deadline().filter(|due| next.is_some_and(|next| *due < next)) {
            happens.insert((due, 0), Event::Tick);
        }
    }
    served
}

#[test]
fn among_a_hundred_sites_the_near_ones_are_found_without_a_word_about_distances() {
    let served = served(340);
    assert_eq!(served.len(), 340, "each request is served once");
    let nearest = (10..10 + SITES).map(|key| away(NodeId([key; 32]))).min().unwrap();
    // A minute after the first request: 1.02 times the nearest in the middle, 1.10 times for nine of ten.
    let mut spans: Vec<u64> = served[240..].iter().map(|node| away(*node)).collect();
    spans.sort_unstable();
    assert!(spans[50] * 100 <= nearest * 102, "{spans:?}");
    assert!(spans[90] * 100 <= nearest * 110, "{spans:?}");
}
