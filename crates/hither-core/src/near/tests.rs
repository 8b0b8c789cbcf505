//! How well it is known where members stand, events in and actions out.

use hither_types::id::{NodeId, RequestId};
use hither_types::law::Policy;
use hither_types::member::Member;
use hither_types::near::{NearSample, Weight};
use hither_types::place::Assurance;
use hither_types::refusal::Refusal;
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;
use hither_types::view::Step;

use super::draw;
use crate::random::Random;
use crate::tests::{
    FRAUD, JAKARTA, LYON, MUNICH, PARIS, Play, beat, eea, heard, member, own, place, ready, recorded, restarted,
    submitted,
};
use crate::{Action, Event, limits};

mod fresh;

/// Two more in France, who measure.
const LILLE: NodeId = NodeId([21; 32]);
const NICE: NodeId = NodeId([22; 32]);

const NOON: u64 = 1_800_000_000_000;
const HOUR: u64 = 3_600_000;

/// The clock of the machine shows this many milliseconds after noon.
fn day(at: u64, after_noon: u64) -> (u64, Event) {
    (at, Event::TimeOfDay(WallTime(NOON + after_noon)))
}

/// Lyon in its first start, so many milliseconds away, measured at noon.
fn lyon(rtt_ms: u64) -> NearSample {
    NearSample { node: LYON, incarnation: 1, rtt: Micros::from_millis(rtt_ms), at: WallTime(NOON), before: None }
}

/// Lyon, which answered within 8 ms before and now does within so many.
fn moved(rtt_ms: u64) -> NearSample {
    NearSample { before: Some(Micros::from_millis(8)), ..lyon(rtt_ms) }
}

fn measured(at: u64, by: NodeId, samples: &[NearSample]) -> (u64, Event) {
    (at, Event::Near { by, samples: samples.to_vec() })
}

fn belongs(at: u64, node: NodeId, change: impl FnOnce(&mut Member)) -> (u64, Event) {
    let mut member = member(node);
    change(&mut member);
    (at, Event::MemberAdded(member))
}

/// Requests go where it was measured that a member is near, and nowhere else.
fn wants_near() -> Policy {
    let mut policy = eea();
    policy.permits[0].assurance = Some(Assurance::Near);
    policy
}

/// Munich, with paris, lyon, lille and nice in France; lyon holds the model.
fn stage() -> Play {
    let script = vec![belongs(0, LILLE, |_| {}), belongs(0, NICE, |_| {}), day(0, 0), heard(0, LYON, FRAUD, 0)];
    Play::new(wants_near()).then(script).quietly()
}

fn assurance(play: &Play, node: NodeId) -> Assurance {
    let view = play.core.view(Timestamp(0));
    view.nodes.iter().find(|known| known.member.node == node).unwrap().member.assurance
}

/// How well it is known where lyon stands after a script.
fn after(script: Vec<(u64, Event)>) -> Assurance {
    assurance(&stage().then(script).quietly(), LYON)
}

fn weights(play: &Play) -> Vec<Weight> {
    let view = play.core.view(Timestamp(0));
    let lyon = view.nodes.iter().find(|known| known.member.node == LYON).unwrap();
    lyon.evidence.as_ref().unwrap().samples.iter().map(|sample| sample.weight).collect()
}

#[test]
fn two_anchors_make_a_member_near_and_one_does_not() {
    assert_eq!(after(vec![measured(1, PARIS, &[lyon(8)])]), Assurance::Vouched);
    assert_eq!(after(vec![measured(1, PARIS, &[lyon(8)]), measured(2, PARIS, &[lyon(7)])]), Assurance::Vouched);
    assert_eq!(after(vec![measured(1, PARIS, &[lyon(8)]), measured(2, LILLE, &[lyon(25)])]), Assurance::Near);
    assert_eq!(after(vec![measured(1, PARIS, &[lyon(8)]), measured(2, LILLE, &[lyon(26)])]), Assurance::Vouched);
    assert_eq!(after(vec![measured(1, PARIS, &[lyon(90)]), measured(2, LILLE, &[lyon(95)])]), Assurance::Vouched);
}

#[test]
fn nobody_is_an_anchor_of_itself_or_from_another_country_or_without_somebody_who_vouched_for_it() {
    let with = |by| vec![measured(1, PARIS, &[lyon(8)]), measured(2, by, &[lyon(8)])];
    for by in [LYON, MUNICH, JAKARTA, NodeId([77; 32])] {
        assert_eq!(after(with(by)), Assurance::Vouched, "{by:?}");
    }
    let claims = |member: &mut Member| member.assurance = Assurance::Claimed;
    let mut script = with(LILLE);
    script.push(belongs(3, LILLE, claims));
    assert_eq!(after(script.clone()), Assurance::Vouched, "lille is vouched for no more");
    script.push(belongs(4, LILLE, |_| {}));
    assert_eq!(after(script.clone()), Assurance::Near, "and is again");
    script.push((5, Event::MemberRemoved(LILLE)));
    assert_eq!(after(script.clone()), Assurance::Vouched, "its membership has ended");
    // What it measured before does not come back with it.
    script.push(belongs(6, LILLE, |_| {}));
    assert_eq!(after(script), Assurance::Vouched);
    // Whom nobody vouched for is not near either, wherever it is.
    let mut script = with(LILLE);
    script.push(belongs(3, LYON, claims));
    assert_eq!(after(script), Assurance::Claimed);
    let abroad = |member: &mut Member| member.jurisdiction = place("ID");
    let mut script = with(LILLE);
    script.push(belongs(3, LYON, abroad));
    assert_eq!(after(script), Assurance::Vouched, "its anchors are in another country than it says now");
}

#[test]
fn this_node_is_an_anchor_of_others_and_has_anchors_itself() {
    let french = |member: &mut Member| member.jurisdiction = place("FR");
    let of_munich = NearSample { node: MUNICH, ..lyon(3) };
    let script = vec![
        belongs(1, MUNICH, french),
        measured(2, MUNICH, &[lyon(8)]),
        measured(2, PARIS, &[lyon(8), of_munich]),
        measured(2, LILLE, &[of_munich]),
    ];
    let play = stage().then(script).quietly();
    assert_eq!((assurance(&play, LYON), assurance(&play, MUNICH)), (Assurance::Near, Assurance::Near));
    assert_eq!(play.core.me().assurance, Assurance::Near);
}

#[test]
fn samples_count_for_two_hours_and_not_before_somebody_told_what_time_it_is() {
    let both = || vec![measured(1, PARIS, &[lyon(8)]), measured(1, LILLE, &[lyon(8)])];
    let with = |more: Vec<(u64, Event)>| after(both().into_iter().chain(more).collect());
    assert_eq!(with(vec![day(2, 2 * HOUR)]), Assurance::Near);
    assert_eq!(with(vec![day(2, 2 * HOUR + 1)]), Assurance::Vouched);
    // The clock of the mind goes on from the last time of day that it was told.
    assert_eq!(with(vec![day(2, HOUR), day(3 + 2 * HOUR, 3 * HOUR)]), Assurance::Vouched);
    // One of them signs anew: that is one.
    let later = |by| measured(3, by, &[NearSample { at: WallTime(NOON + 2 * HOUR), ..lyon(8) }]);
    assert_eq!(with(vec![day(2, 2 * HOUR + 1), later(PARIS)]), Assurance::Vouched);
    assert_eq!(with(vec![day(2, 2 * HOUR + 1), later(PARIS), later(LILLE)]), Assurance::Near);
    // Whose clock is ahead by more than clocks differ says nothing yet.
    assert_eq!(with(vec![day(2, 0), later(PARIS), later(LILLE)]), Assurance::Vouched);
    let timeless = Play::new(wants_near()).then(vec![belongs(0, LILLE, |_| {}), heard(0, LYON, FRAUD, 0)]);
    assert_eq!(assurance(&timeless.then(both()).quietly(), LYON), Assurance::Vouched);
}

#[test]
fn a_new_start_is_near_once_it_was_measured() {
    let both = vec![measured(1, PARIS, &[lyon(8)]), measured(1, LILLE, &[lyon(8)]), restarted(2, LYON, FRAUD)];
    let play = stage().then(both.clone()).quietly();
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
    assert_eq!(weights(&play), [Weight::Old, Weight::Old]);
    let anew = NearSample { incarnation: 256, ..lyon(8) };
    let again = vec![measured(3, PARIS, &[anew]), measured(3, LILLE, &[anew])];
    assert_eq!(after(both.into_iter().chain(again).collect()), Assurance::Near);
}

#[test]
fn a_report_takes_the_place_of_the_one_before() {
    let both = vec![measured(1, PARIS, &[lyon(8)]), measured(1, LILLE, &[lyon(8)])];
    let with = |samples: &[NearSample]| after(both.clone().into_iter().chain([measured(2, LILLE, samples)]).collect());
    assert_eq!(with(&[lyon(20)]), Assurance::Near);
    assert_eq!(with(&[]), Assurance::Vouched, "lille says nothing of it any more");
    let many: Vec<NearSample> =
        (30..70).map(|byte| NearSample { node: NodeId([byte; 32]), ..lyon(8) }).chain([lyon(8)]).collect();
    assert_eq!(with(&many), Assurance::Vouched, "more than a report may hold are not read");
}

#[test]
fn a_member_that_two_anchors_find_far_from_where_it_was_is_named_and_on_the_record_once() {
    let near = vec![measured(1, PARIS, &[lyon(8)]), measured(1, LILLE, &[lyon(8)]), measured(1, NICE, &[lyon(8)])];
    let mut play = stage().then(near).quietly().then(vec![measured(2, PARIS, &[moved(130)])]);
    assert_eq!(play.only(&["record"]), [""; 0], "one alone may have moved itself, or lie");
    assert_eq!(assurance(&play, LYON), Assurance::Near);
    let mut play = play.then(vec![measured(3, NICE, &[moved(125)]), measured(4, NICE, &[moved(120)]), day(5, 1)]);
    assert_eq!(play.only(&["record"]), ["3: record moved lyon by nowhere: 125000 us, 8000 us before"]);
    assert_eq!(assurance(&play, LYON), Assurance::Vouched, "whoever else finds it near");
    let warnings = play.core.view(Timestamp(0)).warnings;
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    for part in ["lyon (FR, ", "120.0 ms", "8.0 ms", "12000 km", "hither member revoke 0303030303"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    // Back where it was, it is near again.
    let back = NearSample { at: WallTime(NOON + 1), ..lyon(8) };
    let mut play = play.then(vec![measured(6, PARIS, &[back]), measured(6, NICE, &[back])]);
    assert_eq!(play.only(&["record"]), [""; 0]);
    assert_eq!(assurance(&play, LYON), Assurance::Near);
    assert_eq!(play.core.view(Timestamp(0)).warnings, [""; 0]);
    // It comes and goes: each time it is warned of, and it is on the record once a day.
    let again = |at: u64, wall: u64| {
        let sample = NearSample { at: WallTime(NOON + wall), ..moved(98) };
        vec![day(at, wall), measured(at, PARIS, &[sample]), measured(at, NICE, &[sample])]
    };
    let mut play = play.then(again(7, 2));
    assert_eq!(play.only(&["record"]), [""; 0]);
    assert_eq!(play.core.view(Timestamp(0)).warnings.len(), 1);
    let back = NearSample { at: WallTime(NOON + 3), ..lyon(8) };
    let play = play.then(vec![measured(8, PARIS, &[back]), measured(8, NICE, &[back])]).quietly();
    assert_eq!(play.core.view(Timestamp(0)).warnings, [""; 0]);
    let mut play = play.then(again(25 * HOUR, 25 * HOUR));
    assert_eq!(play.only(&["record moved"]).len(), 1);
}

#[test]
fn a_thief_who_goes_when_it_was_found_does_not_take_the_warning_along() {
    let near = |by| measured(1, by, &[lyon(8)]);
    let later = |wall: u64, sample: NearSample| [NearSample { at: WallTime(NOON + wall), ..sample }];
    let script = vec![
        near(PARIS),
        near(LILLE),
        near(NICE),
        day(2, 1),
        measured(2, PARIS, &later(1, moved(130))),
        measured(2, LILLE, &later(1, moved(125))),
        measured(3, LILLE, &[]),
        measured(3, PARIS, &[lyon(8)]),
    ];
    let play = stage().then(script).quietly();
    let warnings = |play: &Play| play.core.view(Timestamp(0)).warnings.len();
    assert_eq!(warnings(&play), 1, "nobody measures it any more, and those who find it near did so before");
    assert_eq!(assurance(&play, LYON), Assurance::Vouched, "what is warned of is not near");
    let play = play.then(vec![measured(4, LILLE, &later(2, lyon(8)))]).quietly();
    assert_eq!((assurance(&play, LYON), warnings(&play)), (Assurance::Vouched, 1), "one alone found it there since");
    let play = play.then(vec![measured(5, NICE, &later(2, lyon(8)))]).quietly();
    assert_eq!((assurance(&play, LYON), warnings(&play)), (Assurance::Near, 0), "the right machine is there again");
}

#[test]
fn what_was_measured_before_a_move_never_makes_a_member_near_again() {
    let french = |member: &mut Member| member.jurisdiction = place("FR");
    let later = |wall: u64, sample: NearSample| [NearSample { at: WallTime(NOON + wall), ..sample }];
    let before = vec![
        belongs(1, MUNICH, french),
        measured(1, MUNICH, &[lyon(8)]),
        measured(1, NICE, &[lyon(8)]),
        day(2, 10),
        measured(2, PARIS, &later(5, moved(130))),
        measured(2, LILLE, &later(6, moved(125))),
        measured(3, LILLE, &[]),
    ];
    let play = stage().then(before).quietly();
    let old = weights(&play).into_iter().filter(|weight| *weight == Weight::Old).count();
    assert_eq!((assurance(&play, LYON), old), (Assurance::Vouched, 2));
    // It stays where it is now, which ends the warning, and does not make those count that speak of where it was.
    let far = vec![measured(4, PARIS, &later(7, lyon(130))), measured(4, LILLE, &later(7, lyon(125)))];
    let play = play.then(far).quietly();
    assert_eq!(play.core.view(Timestamp(0)).warnings, [""; 0]);
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
    let since = vec![measured(5, MUNICH, &later(7, lyon(8))), measured(5, NICE, &later(7, lyon(8)))];
    assert_eq!(assurance(&play.then(since).quietly(), LYON), Assurance::Near);
}

#[test]
fn an_older_finding_that_comes_later_makes_no_older_samples_count() {
    let later = |wall: u64, sample: NearSample| [NearSample { at: WallTime(NOON + wall), ..sample }];
    let script = vec![
        day(1, 10),
        measured(2, PARIS, &later(5, moved(130))),
        measured(2, LILLE, &later(6, moved(125))),
        measured(3, NICE, &later(3, moved(120))),
        measured(4, LILLE, &later(6, lyon(8))),
        measured(5, PARIS, &later(6, lyon(8))),
    ];
    assert_eq!(after(script.clone()), Assurance::Vouched);
    let since = [measured(6, LILLE, &later(7, lyon(8))), measured(6, PARIS, &later(7, lyon(8)))];
    assert_eq!(after(script.into_iter().chain(since).collect()), Assurance::Near);
}

#[test]
fn a_move_that_nobody_measures_any_more_is_warned_of_for_a_day() {
    let found = vec![measured(1, PARIS, &[moved(130)]), measured(1, LILLE, &[moved(125)])];
    let gone = vec![measured(2, PARIS, &[]), measured(2, LILLE, &[])];
    let play = stage().then(found).quietly().then(gone).quietly();
    let play = play.then(vec![day(24 * HOUR, 24 * HOUR)]).quietly();
    assert_eq!(play.core.view(Timestamp(0)).warnings.len(), 1);
    let play = play.then(vec![day(24 * HOUR + 2, 24 * HOUR + 2)]).quietly();
    assert_eq!(play.core.view(Timestamp(0)).warnings, [""; 0]);
}

#[test]
fn a_start_goes_on_from_what_was_warned_of_before_it() {
    let later = |wall: u64, sample: NearSample| [NearSample { at: WallTime(NOON + wall), ..sample }];
    let found = vec![day(1, 5), measured(1, PARIS, &later(5, moved(130))), measured(1, LILLE, &later(5, moved(125)))];
    let mut moves = stage().then(found).quietly().core.moves().clone();
    moves.extend(moves.get(&LYON).map(|known| (NodeId([77; 32]), *known)));
    // An hour later, after a start: those who found it have said something else since, others did not measure it again.
    let start = vec![
        day(1, HOUR),
        (1, Event::MovedBefore(moves)),
        measured(2, NICE, &[lyon(8)]),
        measured(2, PARIS, &[lyon(8)]),
    ];
    let play = stage().then(start).quietly();
    let warnings = |play: &Play| play.core.view(Timestamp(0)).warnings;
    assert!(matches!(warnings(&play).as_slice(), [one] if one.contains("125.0 ms")), "{:?}", warnings(&play));
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
    assert_eq!(play.core.moves().len(), 1, "who is no member is forgotten");
    // It is on the record of that day already.
    let again = vec![measured(3, PARIS, &later(HOUR, moved(140))), measured(3, LILLE, &later(HOUR, moved(141)))];
    let mut play = play.then(again);
    assert_eq!(play.only(&["record"]), [""; 0]);
    let back = vec![measured(4, PARIS, &later(HOUR + 1, lyon(8))), measured(4, NICE, &later(HOUR + 1, lyon(8)))];
    let play = play.then(back).quietly();
    assert_eq!((assurance(&play, LYON), warnings(&play).len()), (Assurance::Near, 0));
    // A day after it was found, nobody is warned any more.
    let kept = play.core.moves().clone();
    let play = stage().then(vec![day(1, 30 * HOUR), (1, Event::MovedBefore(kept))]).quietly();
    assert_eq!(warnings(&play), [""; 0]);
}

#[test]
fn who_answers_sooner_than_before_has_not_moved_and_no_number_is_too_large_for_a_record() {
    let sooner = NearSample { before: Some(Micros::from_millis(9)), ..lyon(8) };
    let script = vec![measured(1, PARIS, &[sooner]), measured(1, LILLE, &[sooner])];
    let mut play = stage().then(script);
    assert_eq!(play.only(&["record"]), [""; 0]);
    assert_eq!(weights(&play), [Weight::Near, Weight::Near]);
    let absurd = NearSample { rtt: Micros(u64::MAX), before: Some(Micros(u64::MAX - 1)), ..lyon(8) };
    let mut play = play.then(vec![measured(2, PARIS, &[absurd]), measured(2, LILLE, &[absurd])]);
    let told = play.only(&["record"]);
    assert!(matches!(told.as_slice(), [one] if one.ends_with(": 60000000 us, 60000000 us before")), "{told:?}");
}

#[test]
fn a_new_start_does_not_make_forgotten_that_a_key_moved() {
    let script = vec![measured(1, PARIS, &[moved(130)]), measured(1, LILLE, &[moved(125)]), restarted(2, LYON, FRAUD)];
    let mut play = stage().then(script);
    assert_eq!(play.only(&["record"]).len(), 1);
    assert_eq!(weights(&play), [Weight::Moved, Weight::Moved]);
    assert_eq!(play.core.view(Timestamp(0)).warnings.len(), 1);
    let play = play.then(vec![(3, Event::MemberRemoved(LYON))]).quietly();
    assert_eq!(play.core.view(Timestamp(0)).warnings, [""; 0], "it was revoked");
}

#[test]
fn work_goes_to_a_near_member_and_leaves_it_when_it_is_near_no_more() {
    let script = vec![
        submitted(1, 1, FRAUD),
        measured(2, PARIS, &[lyon(8)]),
        measured(2, LILLE, &[lyon(8)]),
        submitted(3, 2, FRAUD),
        recorded(4, 1),
        beat(5, own(2, 1), 1),
        day(6, 2 * HOUR + 1),
    ];
    let play = stage().then(script).check(
        "
        1: record denied 1/0, rule -, 1 considered
        1: refuse 1 Unlawful(lyon)
        1: record ended 1/0 Refused by nobody after 0
        3: record#1 intent 2/1 to lyon by eea, 1000 B
        4: route 2/1 lyon by eea
        4: forward 2/1 to lyon, 9999 ms left
        6: abandon 2/1 at lyon
        6: record settled 2/1 to lyon: 1000 B, 0 B back, Refused
        6: record denied 2/0, rule -, 1 considered
        6: refuse 2 Unlawful(lyon)
        6: record ended 2/0 Refused by nobody after 1
    ",
    );
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
}

#[test]
fn a_node_that_is_not_near_itself_takes_no_work_that_wants_it() {
    let french = |member: &mut Member| member.jurisdiction = place("FR");
    let of_here = NearSample { node: MUNICH, ..lyon(3) };
    let asks = |request: u128| Event::Asked {
        task: crate::tests::of(PARIS, request),
        digest: FRAUD,
        envelope: crate::tests::envelope(FRAUD),
        remaining: Micros::from_millis(10_000),
    };
    let refuses = |more: Vec<(u64, Event)>| {
        let script = vec![belongs(1, MUNICH, french), ready(1, FRAUD, 1)];
        let mut play = stage().then(script).quietly().then(more).quietly();
        let actions: Vec<Action> = play.core.handle(asks(2), Timestamp(4_000)).collect();
        assert!(!actions.is_empty());
        actions.iter().any(|action| matches!(action, Action::DeclineAsk { refusal: Refusal::UnlawfulThere(_), .. }))
    };
    assert!(refuses(vec![measured(3, PARIS, &[of_here])]));
    assert!(!refuses(vec![measured(3, PARIS, &[of_here]), measured(3, LILLE, &[of_here])]));
}

#[test]
fn who_asks_why_is_told_how_many_measured_it() {
    let script = vec![measured(0, PARIS, &[lyon(8)]), submitted(1, 1, FRAUD)];
    let mut play = stage().then(script);
    play.only(&[]);
    let steps = play.core.explain(RequestId(1)).unwrap().steps;
    let told: Vec<String> = steps
        .into_iter()
        .filter_map(|(_, step)| match step {
            Step::Denied { what_ifs, .. } => Some(what_ifs),
            _ => None,
        })
        .flatten()
        .filter(|what_if| what_if.fact == "assurance")
        .map(|what_if| format!("{} instead of {}", what_if.instead.join(" or "), what_if.now))
        .collect();
    let now = "1 (vouched); members in FR that measured it within 25 ms: 1, where 2 (near) takes 2";
    assert_eq!(told, [format!("2 (near) or 3 (hardware) instead of {now}")]);
}

#[test]
fn each_member_is_measured_by_a_few_and_all_agree_by_whom() {
    let nodes: Vec<NodeId> = (1..=40_u8).map(|seed| NodeId(scattered(seed))).collect();
    let mut measured = vec![0_usize; nodes.len()];
    for me in &nodes {
        let mut play = Play::new(eea()).then(vec![belongs(0, MUNICH, |_| {})]).quietly();
        let own = Member { node: *me, jurisdiction: place("FR"), ..member(MUNICH) };
        play.core.me = own.clone();
        play.core.distances = super::Distances::new(limits::NEAR_RTT, &own);
        let others: Vec<_> = nodes.iter().filter(|other| *other != me).collect();
        let known = others.iter().flat_map(|other| [belongs(1, **other, |_| {}), heard(2, **other, FRAUD, 0)]);
        let play = play.then(known.collect()).quietly();
        let subjects = play.core.to_measure();
        assert!(subjects.len() <= limits::NEAR_SAMPLES_MAX);
        for (node, incarnation) in subjects {
            assert_eq!(incarnation, 1);
            measured[nodes.iter().position(|known| *known == node).unwrap()] += 1;
        }
    }
    assert_eq!(measured, vec![limits::NEAR_ANCHORS; nodes.len()]);
}

/// Keys are spread evenly, as hashes are.
fn scattered(seed: u8) -> [u8; 32] {
    let mut random = Random::new(seed.into());
    std::array::from_fn(|_| (random.next() >> 56) as u8)
}

#[test]
fn only_members_of_the_own_country_that_are_there_are_measured() {
    let french = |member: &mut Member| member.jurisdiction = place("FR");
    let play = stage().then(vec![belongs(1, MUNICH, french), heard(1, JAKARTA, FRAUD, 0), heard(1, PARIS, FRAUD, 0)]);
    let play = play.quietly();
    assert_eq!(play.core.to_measure(), [(PARIS, 1), (LYON, 1)], "lille was not heard");
    let claimed = |member: &mut Member| (member.jurisdiction, member.assurance) = (place("FR"), Assurance::Claimed);
    let play = play.then(vec![belongs(2, MUNICH, claimed)]).quietly();
    assert_eq!(play.core.to_measure(), [], "who is not vouched for measures nobody");
    let unknown = |member: &mut Member| member.jurisdiction = place("ZZ");
    let everywhere = vec![belongs(3, MUNICH, unknown), belongs(3, PARIS, unknown), belongs(3, LYON, unknown)];
    assert_eq!(play.then(everywhere).quietly().core.to_measure(), [], "an unknown place is no country");
}

/// Whatever was measured, in whatever order: if each answer had been later, nobody would be known better.
#[test]
fn a_liar_who_adds_delay_never_gains() {
    let anchors = [PARIS, LILLE, NICE, JAKARTA, MUNICH, LYON];
    let (mut gained, mut lost) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let (mut honest, mut late) = (vec![], vec![]);
        for at in 1..=6 {
            let by = anchors[random.below(anchors.len())];
            let sample =
                NearSample { at: WallTime(NOON - random.below(3) as u64 * HOUR), ..lyon(random.below(60) as u64) };
            let delayed = sample.rtt.0 + random.below(40_000) as u64;
            honest.push(measured(at, by, &[sample]));
            late.push(measured(at, by, &[NearSample { rtt: Micros(delayed), ..sample }]));
        }
        let (honest, late) = (after(honest), after(late));
        assert!(late <= honest, "seed {seed}: {late:?} by adding delay, {honest:?} without");
        gained += u32::from(honest == Assurance::Near);
        lost += u32::from(late < honest);
    }
    assert!(gained > 20 && lost > 10, "{gained} were near, {lost} were not any more");
}

#[test]
fn draws_of_keys_that_are_alike_are_not() {
    let draws: std::collections::BTreeSet<u64> =
        (0..16).flat_map(|a| (0..16).map(move |b| draw(NodeId([a; 32]), NodeId([b; 32])))).collect();
    assert!(draws.len() > 250, "{}", draws.len());
}
