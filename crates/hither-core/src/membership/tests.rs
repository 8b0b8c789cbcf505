//! Signs in, deeds out. What holds in whole meshes is tested with the simulator's crowds.

use std::sync::Arc;

use hither_types::id::{Digest, NodeId, SiteName};
use hither_types::message::{PeerMessage, Presence, Pulse, Rumour};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};

use super::{Deed, Membership, Sign};
use crate::random::Random;

const ME: NodeId = NodeId([1; 32]);
const A: NodeId = NodeId([2; 32]);
const B: NodeId = NodeId([3; 32]);
const C: NodeId = NodeId([4; 32]);

fn presence(incarnation: u64, sequence: u64) -> Presence {
    let (power, cap) = (Milliwatts(20_000), Milliwatts(60_000));
    Presence { incarnation, sequence, models: Vec::new(), power, cap, policy: Digest([9; 32]), placing: None }
}

fn told(from: NodeId, incarnation: u64, sequence: u64) -> Sign {
    Sign::Told { from, presence: Arc::new(presence(incarnation, sequence)) }
}

fn said(node: NodeId, sequence: u64) -> Rumour {
    Rumour::Said { node, presence: Arc::new(presence(1, sequence)) }
}

fn gone(node: NodeId, sequence: u64) -> Rumour {
    Rumour::Gone { node, incarnation: 1, sequence }
}

fn doubt(node: NodeId, sequence: u64, by: NodeId) -> Rumour {
    Rumour::Doubt { node, incarnation: 1, sequence, by }
}

/// A membership, its clock, and what it did.
struct Play {
    membership: Membership,
    now: u64,
    deeds: Vec<Deed>,
    /// The others have heard nothing that this node has heard.
    deaf: bool,
}

impl Play {
    /// This node with three others of its site, all of them linked.
    fn new() -> Self {
        let site = SiteName::parse("paris").expect("a name");
        let membership = Membership::new(ME, &site, 1, Timestamp(0));
        let mut play = Self { membership, now: 0, deeds: Vec::new(), deaf: false };
        for node in [A, B, C] {
            play.sign(Sign::Added { node, site: site.clone() });
            play.sign(Sign::LinkUp(node));
        }
        play.sign(Sign::Own(presence(0, 0)));
        play
    }

    fn sign(&mut self, sign: Sign) -> &mut Self {
        self.deeds.extend(self.membership.handle(sign, Timestamp(self.now)));
        self
    }

    fn rumours(&mut self, from: NodeId, rumours: &[Rumour]) -> &mut Self {
        self.sign(Sign::Rumours { from, rumours: rumours.to_vec() })
    }

    /// Time goes by, in which neighbours but those who are named answer each call.
    fn pass(&mut self, micros: u64, but: &[NodeId]) -> &mut Self {
        let (end, mut number) = (self.now + micros, 1_000_000 + self.now as u32);
        while self.now < end {
            self.now = self.membership.deadline().0.clamp(self.now + 1, end);
            let from = self.deeds.len();
            self.sign(Sign::Tick);
            assert!(
                self.membership.deadline().0 > self.now,
                "a deadline that stays in the past keeps a node busy for ever"
            );
            let calls = self.deeds[from..].iter().filter_map(|deed| match deed {
                Deed::Say { to, message: PeerMessage::Pulse(pulse) } if !but.contains(to) => Some((*to, *pulse)),
                _ => None,
            });
            for (from, call) in calls.collect::<Vec<_>>() {
                number += 1;
                let words = if self.deaf { 0 } else { call.words };
                let pulse = Pulse { number, echo: call.number, watches: true, heads: 0, words };
                self.sign(Sign::Pulse { from, pulse });
            }
        }
        self
    }

    fn forget(&mut self) -> &mut Self {
        self.deeds.clear();
        self
    }

    fn said_to(&self, peer: NodeId) -> Vec<&PeerMessage> {
        let to_peer = |deed: &&Deed| matches!(deed, Deed::Say { to, .. } if *to == peer);
        let messages = self.deeds.iter().filter(to_peer).filter_map(|deed| match deed {
            Deed::Say { message: PeerMessage::Pulse(_), .. } => None,
            Deed::Say { message, .. } => Some(message),
            _ => None,
        });
        messages.collect()
    }
}

#[test]
fn neighbours_are_kept_and_told_of_this_node() {
    let mut play = Play::new();
    play.pass(200_000, &[]);
    assert_eq!(play.membership.neighbours().collect::<Vec<_>>(), [A, B, C]);
    for peer in [A, B, C] {
        let own = |message: &&PeerMessage| matches!(message, PeerMessage::Presence(own) if own.sequence == 1);
        assert!(play.said_to(peer).iter().any(own), "{:?}", play.said_to(peer));
    }
}

#[test]
fn what_is_no_news_is_not_told() {
    let mut play = Play::new();
    play.pass(1_000_000, &[]).forget();
    play.sign(Sign::Own(Presence { power: Milliwatts(21_000), sequence: 77, ..presence(0, 0) }));
    play.pass(5_000_000, &[]);
    assert_eq!(play.said_to(A), Vec::<&PeerMessage>::new());
    play.sign(Sign::Own(Presence { power: Milliwatts(40_000), ..presence(0, 0) }));
    assert_eq!(play.said_to(A).len(), 1);
}

#[test]
fn only_newer_words_count() {
    let mut play = Play::new();
    play.sign(told(A, 1, 5)).forget();
    play.sign(told(A, 1, 5)).sign(told(A, 1, 4)).rumours(B, &[said(A, 3), gone(A, 4)]);
    assert!(play.membership.is_there(A) && !play.deeds.contains(&Deed::Silent(A)), "{:?}", play.deeds);
    play.sign(told(A, 2, 1));
    assert!(
        play.deeds.iter().any(|deed| matches!(deed, Deed::There { node: A, presence } if presence.incarnation == 2))
    );
}

#[test]
fn who_could_not_be_reached_once_is_silent_for_a_while_only() {
    let mut play = Play::new();
    let others: Vec<NodeId> = (10..40).map(|number| NodeId([number; 32])).collect();
    for node in &others {
        play.sign(Sign::Added { node: *node, site: SiteName::parse("paris").expect("a name") });
        play.rumours(A, &[said(*node, 1)]);
    }
    play.pass(6_000_000, &[]);
    let neighbours: Vec<NodeId> = play.membership.neighbours().collect();
    let far = *others.iter().find(|node| !neighbours.contains(node)).expect("not everybody is a neighbour");
    play.forget().sign(Sign::Unreachable(far)).pass(5_000_000, &[]);
    let of_far = |deeds: &[Deed]| -> Vec<bool> {
        let said = deeds.iter().filter_map(|deed| match deed {
            Deed::There { node, .. } => Some((*node, true)),
            Deed::Silent(node) => Some((*node, false)),
            _ => None,
        });
        said.filter(|(node, _)| *node == far).map(|(_, there)| there).collect()
    };
    assert_eq!(of_far(&play.deeds), [false]);
    play.pass(6_000_000, &[]);
    assert_eq!(of_far(&play.deeds), [false, true], "it is there by all words, and nobody has tried again");
    // Whoever is started anew meanwhile is there at once, and a newer word of the same start changes nothing.
    play.forget().sign(Sign::Unreachable(far)).rumours(A, &[said(far, 2)]);
    assert_eq!(of_far(&play.deeds), [false]);
    play.rumours(A, &[Rumour::Said { node: far, presence: Arc::new(presence(2, 1)) }]);
    assert_eq!(of_far(&play.deeds), [false, true]);
}

#[test]
fn one_who_does_not_hear_is_not_enough() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).sign(told(C, 1, 1));
    play.rumours(B, &[doubt(A, 1, B)]).pass(3_000_000, &[]);
    assert!(play.membership.is_there(A));
    play.rumours(C, &[doubt(A, 1, C)]).pass(700_000, &[]);
    assert!(play.membership.is_there(A), "it has a moment to say that it is there");
    play.forget().pass(200_000, &[]);
    assert!(!play.membership.is_there(A));
    assert!(play.deeds.contains(&Deed::Silent(A)), "{:?}", play.deeds);
    assert_eq!(play.said_to(B), [&PeerMessage::Rumours(vec![gone(A, 1)])]);
}

#[test]
fn who_is_doubted_says_that_it_is_there_and_is_believed() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).sign(told(C, 1, 1));
    play.rumours(B, &[doubt(A, 1, B)]).rumours(C, &[doubt(A, 1, C)]).pass(400_000, &[]);
    play.rumours(C, &[said(A, 2)]).pass(3_000_000, &[]);
    assert!(play.membership.is_there(A) && !play.deeds.contains(&Deed::Silent(A)));
    // And it is believed after it was gone.
    play.rumours(B, &[doubt(A, 2, B)]).rumours(C, &[doubt(A, 2, C)]).pass(1_000_000, &[]);
    assert!(!play.membership.is_there(A));
    play.rumours(B, &[said(A, 3)]);
    assert!(play.membership.is_there(A));
}

#[test]
fn this_node_refutes_what_is_said_of_it() {
    for rumour in [doubt(ME, 9, A), gone(ME, 9)] {
        let mut play = Play::new();
        play.forget().rumours(A, &[rumour]);
        for peer in [A, B, C] {
            assert_eq!(play.said_to(peer), [&PeerMessage::Presence(presence(1, 10))]);
        }
    }
}

#[test]
fn a_silent_neighbour_is_not_used_and_is_doubted() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).sign(told(C, 1, 1)).pass(1_000_000, &[]).forget();
    play.pass(3_500_000, &[A]);
    assert!(play.deeds.contains(&Deed::Silent(A)) && !play.deeds.contains(&Deed::Silent(B)));
    assert!(play.said_to(B).contains(&&PeerMessage::Rumours(vec![doubt(A, 1, ME)])), "{:?}", play.said_to(B));
    assert!(play.membership.is_there(A), "the others hear it");
    play.forget().pass(3_000_000, &[]);
    assert!(play.deeds.iter().any(|deed| matches!(deed, Deed::There { node: A, .. })), "{:?}", play.deeds);
}

#[test]
fn who_was_started_anew_is_not_shown_as_it_was_before() {
    let mut play = Play::new();
    play.sign(told(A, 1, 5)).sign(told(B, 1, 1)).sign(told(C, 1, 1)).pass(1_000_000, &[]);
    play.sign(Sign::LinkDown(A)).forget().sign(Sign::LinkUp(A));
    let shown = |play: &Play| {
        let there = play.deeds.iter().filter_map(|deed| match deed {
            Deed::There { node: A, presence } => Some((presence.incarnation, presence.sequence)),
            _ => None,
        });
        there.collect::<Vec<_>>()
    };
    assert_eq!(shown(&play), [], "its old word is none of this start");
    play.sign(told(A, 2, 1));
    play.pass(1_500_000, &[]);
    assert_eq!(shown(&play), [(2, 1)]);
    // Where the link alone was cut, the old word holds from the first pulse on.
    play.sign(Sign::LinkDown(A)).forget().sign(Sign::LinkUp(A));
    assert_eq!(shown(&play), []);
    play.pass(1_500_000, &[]);
    assert_eq!(shown(&play), [(2, 1)]);
    // And one that never was away is there all the time.
    play.forget().sign(Sign::LinkUp(A)).pass(1_500_000, &[]);
    assert!(play.deeds.iter().all(|deed| !matches!(deed, Deed::Silent(_))), "{:?}", play.deeds);
}

#[test]
fn who_is_alone_judges_nobody_and_is_not_kept_busy() {
    let mut play = Play::new();
    play.sign(told(A, 1, 5)).pass(1_000_000, &[]).rumours(B, &[doubt(A, 5, B)]).rumours(C, &[doubt(A, 5, C)]);
    for peer in [A, B, C] {
        play.sign(Sign::LinkDown(peer));
    }
    play.pass(60_000_000, &[A, B, C]);
    assert!(play.membership.is_there(A), "who hears nobody has nothing to go by");
}

#[test]
fn who_stood_still_blames_nobody() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).sign(told(C, 1, 1)).pass(1_000_000, &[]).forget();
    play.now += 10_000_000;
    play.sign(Sign::Tick).pass(1_500_000, &[]);
    assert!(play.deeds.iter().all(|deed| !matches!(deed, Deed::Silent(_))), "{:?}", play.deeds);
}

#[test]
fn a_second_outage_is_noticed_as_soon_as_the_first() {
    let mut play = Play::new();
    let away = |millis| Sign::RoundTrip { node: A, rtt: Micros::from_millis(millis) };
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).sign(told(C, 1, 1)).sign(away(1)).pass(5_000_000, &[]);
    let mut noticed = Vec::new();
    for outage in 0..3 {
        let began = play.now;
        let sequence = 1 + 2 * outage;
        let doubted = doubt(A, sequence, ME);
        let says = |message: &&PeerMessage| matches!(message, PeerMessage::Rumours(said) if said.contains(&doubted));
        play.forget();
        while !play.said_to(B).iter().any(says) {
            assert!(play.now < began + 10_000_000, "it is not noticed");
            play.pass(50_000, &[A]);
        }
        noticed.push(play.now - began);
        play.rumours(B, &[doubt(A, sequence, B)]).pass(3_000_000, &[A]);
        assert!(!play.membership.is_there(A));
        // It comes back, and what lay unread makes the way look long.
        play.sign(told(A, 1, sequence + 2)).sign(away(900)).pass(3_000_000, &[]).sign(away(700)).pass(5_000_000, &[]);
        assert!(play.membership.is_there(A));
    }
    assert!(noticed.iter().all(|took| *took <= 2_500_000), "{noticed:?}");
}

#[test]
fn strangers_are_not_heard() {
    let stranger = NodeId([8; 32]);
    let mut play = Play::new();
    play.forget().rumours(A, &[said(stranger, 1), gone(stranger, 2), doubt(stranger, 1, A)]);
    play.sign(told(stranger, 1, 1)).sign(Sign::LinkUp(stranger));
    assert!(!play.membership.is_there(stranger));
    assert_eq!(play.deeds, Vec::new());
}

#[test]
fn who_does_not_belong_any_more_is_nobody() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(Sign::Removed(A)).forget();
    play.rumours(B, &[said(A, 2)]).pass(3_000_000, &[]);
    assert!(!play.membership.is_there(A) && !play.membership.neighbours().any(|node| node == A));
    assert_eq!(play.said_to(A), Vec::<&PeerMessage>::new());
}

#[test]
fn the_same_words_in_any_order_are_the_same_belief() {
    let words = [said(A, 1), said(A, 2), gone(A, 2), said(B, 1), gone(B, 1), said(B, 2), said(C, 4), gone(C, 3)];
    let mut random = Random::new(1);
    for _ in 0..200 {
        let mut play = Play::new();
        let mut words = words.to_vec();
        (1..words.len()).rev().for_each(|last| words.swap(last, random.below(last + 1)));
        // "Gone" of one that is there is a doubt of whoever tells: two tell it here.
        for word in &words {
            play.rumours(B, std::slice::from_ref(word)).rumours(C, std::slice::from_ref(word));
        }
        play.pass(2_000_000, &[]);
        let there: Vec<NodeId> = play.membership.there().collect();
        assert_eq!(there, [B, C], "{words:?}");
    }
}

#[test]
fn a_greater_start_is_told_at_once() {
    let mut play = Play::new();
    play.forget().sign(Sign::Reborn(7)).sign(Sign::Reborn(6));
    assert_eq!(play.said_to(A), [&PeerMessage::Presence(presence(7, 2))]);
}

#[test]
fn what_got_lost_on_a_link_is_said_again() {
    let mut play = Play::new();
    play.sign(told(A, 1, 1)).sign(told(B, 1, 1)).pass(1_000_000, &[]).forget();
    play.deaf = true;
    play.pass(4_500_000, &[]);
    assert!(play.said_to(A).contains(&&PeerMessage::Presence(presence(1, 1))), "{:?}", play.said_to(A));
    assert!(play.said_to(A).contains(&&PeerMessage::Rumours(vec![said(B, 1)])), "{:?}", play.said_to(A));
}

#[test]
fn what_one_sign_brings_is_told_in_one_message_and_not_by_everybody_who_doubts() {
    let mut play = Play::new();
    let site = SiteName::parse("paris").expect("a name");
    let others: Vec<NodeId> = (10..40).map(|number| NodeId([number; 32])).collect();
    for node in &others {
        play.sign(Sign::Added { node: *node, site: site.clone() }).sign(Sign::LinkUp(*node));
    }
    play.rumours(A, &others.iter().map(|node| said(*node, 1)).collect::<Vec<_>>());
    play.pass(2_000_000, &[]).forget();
    let unconcerned = |peer: &NodeId| *peer != A && !others[..20].contains(peer);
    let peer = play.membership.neighbours().find(unconcerned).expect("it watches some of the rest");
    let doubts: Vec<Rumour> = others[..20].iter().map(|node| doubt(*node, 1, A)).collect();
    play.rumours(A, &doubts);
    let rumours = |message: &&PeerMessage| matches!(message, PeerMessage::Rumours(_));
    let told: Vec<&PeerMessage> = play.said_to(peer).into_iter().filter(rumours).collect();
    assert_eq!(told, [&PeerMessage::Rumours(doubts)]);
    play.forget();
    for by in &others[1..20] {
        play.rumours(A, &[doubt(others[0], 1, *by)]);
    }
    let doubted = |message: &PeerMessage| matches!(message, PeerMessage::Rumours(all) if matches!(all[..], [Rumour::Doubt { .. }]));
    let told = play.said_to(peer).into_iter().filter(|message| doubted(message)).count();
    assert_eq!(told, crate::limits::DOUBTS_MAX - 1, "A's own doubt came first: {:?}", play.said_to(peer));
}

#[test]
fn when_many_fall_at_once_the_rest_gets_longer_to_say_that_it_is_there() {
    let mut play = Play::new();
    let site = SiteName::parse("paris").expect("a name");
    let others: Vec<NodeId> = (10..16).map(|number| NodeId([number; 32])).collect();
    for node in &others {
        play.sign(Sign::Added { node: *node, site: site.clone() });
    }
    play.rumours(A, &others.iter().map(|node| said(*node, 1)).collect::<Vec<_>>()).pass(1_000_000, &[]);
    let by = |by: NodeId| others.iter().map(|node| doubt(*node, 1, by)).collect::<Vec<_>>();
    play.rumours(B, &by(B)).rumours(C, &by(C)).pass(900_000, &[]);
    let there = |play: &Play| others.iter().filter(|node| play.membership.is_there(**node)).count();
    assert_eq!(there(&play), others.len() - crate::limits::FALLEN_MIN - 1);
    let last = *others.last().expect("there are some");
    play.rumours(B, &[said(last, 2)]).pass(900_000, &[]);
    assert_eq!((there(&play), play.membership.is_there(last)), (1, true));
}
