//! What waits for a peer, and what gives way to what.

use hither_types::id::Digest;
use hither_types::message::{Presence, Signal};
use hither_types::unit::Milliwatts;

use super::*;

fn presence(sequence: u64) -> PeerMessage {
    PeerMessage::Presence(Presence {
        incarnation: 1,
        sequence,
        models: Vec::new(),
        power: Milliwatts(0),
        cap: Milliwatts(0),
        policy: Digest([0; 32]),
        placing: None,
    })
}

fn signal(number: u32) -> Signal {
    Signal::Nothing { number, digest: Digest([1; 32]) }
}

fn linked() -> Peer {
    let peer = Peer::default();
    peer.lock().comes_up(Instant::now());
    peer
}

#[test]
fn a_start_elsewhere_comes_again_a_few_times_and_then_is_heard_as_it_comes() {
    let peer = linked();
    assert!(!peer.comes_again(1), "nothing was heard of it before");
    peer.lock().epoch = Some(1);
    assert!(!peer.comes_again(1));
    let refused = (0..5).map(|_| peer.comes_again(2)).collect::<Vec<_>>();
    assert_eq!(refused, [true, true, false, false, false]);
    // That the start before shows itself in between changes nothing; a third start begins at the beginning.
    assert!(!peer.comes_again(1) && !peer.comes_again(2) && peer.comes_again(3));
}

#[test]
fn of_two_links_the_newer_carries_what_is_said_and_a_late_one_takes_the_place_of_the_first() {
    let (peer, now) = (Peer::default(), Instant::now());
    let comes_up = |at: Instant| peer.lock().comes_up(at);
    let says = |link: u64| {
        peer.push(presence(1));
        peer.push_signal(signal(1));
        let said = (peer.next_message(link).is_some(), peer.next_signal(link).is_some());
        assert_eq!(said.0, said.1);
        said.0
    };
    // Both ends dialled at once: nothing said over the first was lost.
    assert_eq!([comes_up(now), comes_up(now + limits::LINK_HELD / 2)], [(0, true), (1, false)]);
    assert_eq!(comes_up(now + limits::LINK_HELD * 2), (2, true));
    assert_eq!([0, 1, 2].map(says), [false, false, true]);
    assert!(!peer.lock().goes_down(1) && peer.lock().goes_down(2), "only what was said over the newest is told anew");
    assert!(says(0) && !says(2));
}

#[test]
fn a_program_of_an_earlier_version_is_not_told_what_it_would_end_the_link_over() {
    for (speaks, waiting) in [(0, 1), (1, 1), (2, 2)] {
        let peer = linked();
        peer.lock().speaks = speaks;
        peer.push(PeerMessage::Rollouts(Vec::new()));
        peer.push(PeerMessage::Members(Vec::new()));
        assert_eq!(peer.lock().outbox.len(), waiting, "one that speaks version {speaks}");
    }
}

#[test]
fn a_burst_of_signals_pushes_nothing_else_out_and_keeps_its_newest() {
    let peer = linked();
    for message in [PeerMessage::Members(Vec::new()), PeerMessage::Catalog(Vec::new()), presence(1)] {
        peer.push(message);
    }
    for number in 0..5_000 {
        peer.push(PeerMessage::Signal(signal(number)));
    }
    peer.push(presence(2));
    let state = peer.lock();
    let waiting = [PeerMessage::Members(Vec::new()), PeerMessage::Catalog(Vec::new()), presence(2)];
    assert!(state.outbox.iter().eq(&waiting), "{:?}", state.outbox);
    assert_eq!(state.signals.len(), limits::SIGNALS);
    let newest = 5_000 - limits::SIGNALS as u32..5_000;
    assert!(state.signals.iter().map(|(_, signal)| signal.clone()).eq(newest.map(signal)));
}

#[test]
fn small_talk_pushes_no_signal_out() {
    let peer = linked();
    peer.push(PeerMessage::Signal(signal(7)));
    for _ in 0..1_000 {
        peer.push(PeerMessage::Catalog(Vec::new()));
    }
    let state = peer.lock();
    assert_eq!((state.outbox.len(), state.signals.len()), (limits::OUTBOX, 1));
}

#[test]
fn without_a_link_a_signal_wants_one_and_all_else_is_for_later() {
    let peer = Peer::default();
    peer.push(presence(1));
    assert!(!peer.is_wanted());
    peer.push(PeerMessage::Signal(signal(7)));
    assert!(peer.is_wanted());
    let state = peer.lock();
    assert_eq!((state.outbox.len(), state.signals.len()), (0, 1));
}

#[test]
fn links_stand_to_everybody_until_the_driver_says_to_whom() {
    let talk = Talk::default();
    let (kept, other) = (NodeId([1; 32]), NodeId([2; 32]));
    for node in [kept, other] {
        let peer = Arc::new(Peer::default());
        peer.lock().standing = true;
        talk.lock().known.insert(node, peer);
    }
    talk.keep([kept].into());
    let stands = |node| talk.peer(node).expect("it is known").is_wanted();
    assert!(stands(kept) && !stands(other));
}

#[tokio::test]
async fn a_link_to_an_earlier_start_of_the_program_ends_when_a_later_one_is_up() {
    let peer = linked();
    peer.lock().epoch = Some(1);
    let mut old = std::pin::pin!(outlived(&peer, 1));
    let goes_on = async || {
        tokio::select! {
            biased;
            _ = outlived(&peer, 2) => false,
            () = std::future::ready(()) => true,
        }
    };
    tokio::select! {
        biased;
        end = &mut old => panic!("it is the only one, and ended: {end:?}"),
        () = std::future::ready(()) => {}
    }
    peer.lock().epoch = Some(2);
    peer.restarted.notify_waiters();
    tokio::select! {
        biased;
        (code, _) = &mut old => assert_eq!(code, Code::Stale),
        () = std::future::ready(()) => panic!("a later one is up, and it goes on"),
    }
    assert!(goes_on().await, "the later one stays");
}
