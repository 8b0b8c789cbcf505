//! Who is asked, and what becomes of the answers.

use std::collections::BTreeSet;
use std::time::Instant;

use hither_ledger::Checkpoint;
use hither_types::id::{MeshId, NodeId, Operator, SiteName};
use hither_types::member::{Member, Roles};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::time::WallTime;
use hither_types::unit::Days;
use hither_types::witness::WitnessWord;

use super::{Heard, Round, Witnesses, choose};
use crate::limits::WITNESS_WANTED;

fn member(number: u8, operator: &str, jurisdiction: &str) -> Member {
    Member {
        node: NodeId([number; 32]),
        mesh: MeshId([9; 32]),
        site: SiteName::parse("munich").unwrap(),
        jurisdiction: Jurisdiction::parse(jurisdiction).unwrap(),
        control: None,
        operator: Operator::parse(operator).unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    }
}

#[test]
fn one_witness_is_somebody_else_s_or_stands_abroad_wherever_there_is_one() {
    let me = member(0, "acme", "DE-BY");
    for stranger in 1..=20 {
        let peers: Vec<Member> =
            (1..=20).map(|number| member(number, if number == stranger { "other" } else { "acme" }, "DE-BE")).collect();
        let chosen = choose(&me, &peers, &BTreeSet::new());
        assert!(chosen.contains(&NodeId([stranger; 32])), "{chosen:?}");
        assert_eq!(chosen.len(), 3);
        let peers: Vec<Member> =
            (1..=20).map(|number| member(number, "acme", if number == stranger { "FR" } else { "DE-BY" })).collect();
        assert!(choose(&me, &peers, &BTreeSet::new()).contains(&NodeId([stranger; 32])));
    }
    assert_eq!(choose(&me, &[member(1, "acme", "DE")], &BTreeSet::new()), [NodeId([1; 32])]);
    assert_eq!(choose(&me, &[], &BTreeSet::new()), []);
}

#[test]
fn who_was_silent_is_asked_last() {
    let me = member(0, "acme", "DE");
    let peers: Vec<Member> = (1..=4).map(|number| member(number, "acme", "DE")).collect();
    let first = choose(&me, &peers, &BTreeSet::new());
    let silent: BTreeSet<NodeId> = first[..1].iter().copied().collect();
    assert!(!choose(&me, &peers, &silent).contains(&first[0]));
    let all: BTreeSet<NodeId> = peers.iter().map(|peer| peer.node).collect();
    assert_eq!(choose(&me, &peers, &all), first);
}

fn asking(size: u64, peers: &[u8]) -> Witnesses {
    let mut witnesses = Witnesses::new("ledger".into(), "witnessed".into(), NodeId([1; 32]), &[1; 32]);
    let checkpoint = Checkpoint { origin: "hither/a".to_owned(), size, root: [0; 32] };
    let asked = peers.iter().map(|number| NodeId([*number; 32])).collect();
    witnesses.round =
        Some(Round { note: String::new(), checkpoint, asked, lines: Default::default(), again: Default::default() });
    witnesses
}

#[test]
fn a_witness_that_knows_another_size_is_asked_once_more_and_no_third_time() {
    let mut witnesses = asking(10, &[2]);
    let peer = NodeId([2; 32]);
    assert_eq!(witnesses.heard(peer, WitnessWord::Known(4)), Heard::Again { from: 4 });
    assert_eq!(witnesses.heard(peer, WitnessWord::Known(4)), Heard::Nothing);
    assert_eq!(witnesses.heard(peer, WitnessWord::Known(5)), Heard::Nothing);
    assert_eq!(witnesses.heard(NodeId([3; 32]), WitnessWord::Known(4)), Heard::Nothing, "nobody asked it");
}

#[test]
fn who_knows_more_than_there_is_or_another_beginning_is_an_alarm() {
    let peer = NodeId([2; 32]);
    let shrunk = Heard::Shrunk { from: peer };
    assert_eq!(asking(10, &[2]).heard(peer, WitnessWord::Known(11)), shrunk);
    assert_eq!(asking(10, &[2]).heard(peer, WitnessWord::Refused(11)), shrunk);
}

#[test]
fn a_line_counts_if_it_is_right_and_is_kept_once_there_are_enough() {
    let key = |number: u8| ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
    let node = |number: u8| NodeId(key(number).verifying_key().to_bytes());
    let mut witnesses = asking(10, &[]);
    let round = witnesses.round.as_mut().unwrap();
    round.asked = [node(5), node(6)].into();
    let line = |number: u8| round.checkpoint.cosign(&hither_ledger::origin_of(node(number)), &key(number), 7);
    let (five, six) = (line(5), line(6));
    let misnamed = round.checkpoint.cosign(&hither_ledger::origin_of(node(6)), &key(5), 7);
    witnesses.kept = (2, 8);
    let signed = |size, line: &str| WitnessWord::Signed { size, line: line.to_owned() };
    assert_eq!(witnesses.heard(node(5), signed(10, &six)), Heard::Nothing, "another's line");
    assert_eq!(witnesses.heard(node(5), signed(10, &misnamed)), Heard::Nothing, "under another's name");
    assert_eq!(witnesses.heard(node(5), signed(9, &five)), Heard::Nothing, "another size");
    assert_eq!(witnesses.heard(node(5), signed(10, &five)), Heard::Nothing, "the one that is kept has two");
    assert_eq!(witnesses.heard(node(6), signed(10, &six)), Heard::Keep);
    assert_eq!(witnesses.known[&node(6)], 10);
}

#[test]
fn a_signature_is_new_enough_for_as_long_as_the_policy_says_and_not_by_a_clock_that_is_ahead() {
    let day = |days: u64| WallTime(1_000_000_000_000 + days * 86_400_000);
    let mut witnesses = asking(10, &[2]);
    assert!(witnesses.is_unsigned(Days(1), day(0)), "nobody ever signed");
    witnesses.signed_at = Some(day(3));
    let unsigned: Vec<bool> = [3, 4, 5, 1, 2].map(|now| witnesses.is_unsigned(Days(1), day(now))).into();
    assert_eq!(unsigned, [false, false, true, true, false]);
    assert!(!witnesses.is_unsigned(Days(2), day(5)));
}

#[test]
fn a_round_that_nobody_answers_is_begun_again_soon_and_one_that_was_answered_is_not() {
    let mut witnesses = asking(10, &[2]);
    (witnesses.began, witnesses.fruitless) = (true, 1);
    assert!(!witnesses.is_due(false), "it was begun a moment ago");
    witnesses.at = Instant::now().checked_sub(WITNESS_WANTED * 3).expect("this machine is up for a while");
    assert!(witnesses.is_due(false), "a word may have been lost");
    witnesses.heard(NodeId([2; 32]), WitnessWord::Refused(11));
    assert!(!witnesses.is_due(false), "no is an answer");
}
