//! What is measured of members, and what is signed of it. Times are given, none is waited for.

use ed25519_dalek::SigningKey;
use hither_types::id::{MeshId, NodeId};
use hither_types::member::Signed;
use hither_types::near::{NearReport, NearSample};
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use super::{Distances, Measured, Window};
use crate::limits::{NEAR_AT_ONCE, NEAR_GAP_MS, NEAR_TRIES};
use crate::trust::{Seal, node_id, sign};

const PARIS: NodeId = NodeId([1; 32]);
const LYON: NodeId = NodeId([2; 32]);
const NICE: NodeId = NodeId([3; 32]);
const MINUTE: u64 = 60_000_000;

/// So many minutes after the start.
fn at(minutes: u64) -> Timestamp {
    Timestamp(minutes * MINUTE)
}

/// By the wall clock.
fn wall(minutes: u64) -> WallTime {
    WallTime(1_800_000_000_000 + minutes * 60_000)
}

/// Measures a member in its start at a minute, if it is due then.
fn measure(distances: &mut Distances, (node, incarnation): (NodeId, u64), rtt_ms: u64, minute: u64) -> bool {
    let due = distances.due(&[(node, incarnation)], at(minute));
    let rtt = Some(Micros::from_millis(rtt_ms));
    due.into_iter().for_each(|(node, incarnation)| {
        distances.measured(Measured { node, incarnation, rtt }, at(minute), wall(minute));
    });
    distances.windows[&node].due > at(minute)
}

/// Measures a member as often as it is looked at in one minute.
fn measure_again(distances: &mut Distances, subject: (NodeId, u64), rtt_ms: u64, minute: u64) {
    for _ in 0..NEAR_TRIES {
        distances.relinked(subject.0, at(minute));
        measure(distances, subject, rtt_ms, minute);
    }
}

/// What is signed of some members at a minute: round trips in milliseconds, and what they were before.
fn signed(
    distances: &mut Distances,
    subjects: &[(NodeId, u64)],
    minute: u64,
) -> Option<Vec<(NodeId, u64, Option<u64>)>> {
    let samples = distances.unsigned(subjects, at(minute))?;
    let millis = |rtt: Micros| rtt.0 / 1000;
    Some(samples.into_iter().map(|sample| (sample.node, millis(sample.rtt), sample.before.map(millis))).collect())
}

#[test]
fn the_smallest_of_an_hour_is_signed_at_once_and_then_each_hour() {
    let mut distances = Distances::default();
    let all = [(PARIS, 256)];
    assert_eq!(signed(&mut distances, &all, 0), None, "nothing was measured");
    assert!(measure(&mut distances, (PARIS, 256), 9, 0));
    assert_eq!(signed(&mut distances, &all, 0), Some(vec![(PARIS, 9, None)]));
    assert!(distances.due(&all, at(9)).is_empty(), "it is measured each ten minutes");
    for (minute, rtt) in [(10, 30), (20, 12), (30, 40), (40, 11)] {
        measure(&mut distances, (PARIS, 256), rtt, minute);
        assert_eq!(signed(&mut distances, &all, minute), None, "a busy line is no news");
    }
    measure(&mut distances, (PARIS, 256), 7, 50);
    assert_eq!(signed(&mut distances, &all, 50), Some(vec![(PARIS, 7, None)]), "it is nearer than was known");
    measure(&mut distances, (PARIS, 256), 20, 109);
    assert_eq!(signed(&mut distances, &all, 109), None);
    assert_eq!(signed(&mut distances, &all, 110), Some(vec![(PARIS, 7, None)]), "an hour is over");
    measure(&mut distances, (PARIS, 256), 20, 119);
    assert_eq!(signed(&mut distances, &all, 170), Some(vec![(PARIS, 20, None)]), "those of before are over, too");
    assert_eq!(signed(&mut distances, &all, 240), Some(vec![]), "it is not measured any more");
    assert_eq!(signed(&mut distances, &all, 240), None, "which is said once");
}

#[test]
fn what_is_far_longer_than_before_is_measured_again_and_then_said() {
    let mut distances = Distances::default();
    let (all, paris) = ([(PARIS, 256), (LYON, 256)], (PARIS, 256));
    measure(&mut distances, (LYON, 256), 5, 0);
    measure(&mut distances, paris, 9, 0);
    signed(&mut distances, &all, 0);
    // Once is a busy line: until that is sure, nothing is said of it.
    measure(&mut distances, paris, 70, 10);
    assert_eq!(signed(&mut distances, &all, 10), Some(vec![(LYON, 5, None)]));
    assert_eq!(signed(&mut distances, &all, 10), None);
    distances.relinked(PARIS, at(10));
    measure(&mut distances, paris, 30, 10);
    assert_eq!(signed(&mut distances, &all, 10), Some(vec![(PARIS, 9, None), (LYON, 5, None)]));
    // Each time, it is somewhere else.
    measure_again(&mut distances, paris, 130, 20);
    assert_eq!(signed(&mut distances, &all, 20), Some(vec![(PARIS, 130, Some(9)), (LYON, 5, None)]));
    measure_again(&mut distances, paris, 125, 30);
    assert_eq!(signed(&mut distances, &all, 30), Some(vec![(PARIS, 125, Some(9)), (LYON, 5, None)]));
    // Back where it was.
    distances.relinked(PARIS, at(35));
    measure(&mut distances, paris, 10, 35);
    assert_eq!(signed(&mut distances, &all, 35), Some(vec![(PARIS, 10, None), (LYON, 5, None)]));
}

#[test]
fn another_start_is_measured_at_once_and_compared_with_the_one_before() {
    let mut distances = Distances::default();
    measure(&mut distances, (PARIS, 256), 9, 0);
    signed(&mut distances, &[(PARIS, 256)], 0);
    assert!(measure(&mut distances, (PARIS, 512), 140, 1), "at once, and again soon");
    assert_eq!(signed(&mut distances, &[(PARIS, 512)], 1), Some(vec![]), "what was signed before is not so any more");
    measure_again(&mut distances, (PARIS, 512), 131, 1);
    assert_eq!(signed(&mut distances, &[(PARIS, 512)], 1), Some(vec![(PARIS, 131, Some(9))]));
    // Nor does one more start make that forgotten.
    measure(&mut distances, (PARIS, 768), 133, 2);
    assert_eq!(signed(&mut distances, &[(PARIS, 768)], 2), Some(vec![(PARIS, 133, Some(9))]));
    // An honest restart is what it was.
    let mut distances = Distances::default();
    measure(&mut distances, (PARIS, 256), 9, 0);
    measure(&mut distances, (PARIS, 512), 12, 1);
    assert_eq!(signed(&mut distances, &[(PARIS, 512)], 1), Some(vec![(PARIS, 12, None)]));
}

#[test]
fn an_answer_that_may_be_of_the_start_before_counts_for_neither() {
    let mut distances = Distances::default();
    assert_eq!(distances.due(&[(PARIS, 256)], at(0)), [(PARIS, 256)]);
    assert_eq!(distances.due(&[(PARIS, 512)], at(0)), [], "one is under way");
    let late = Measured { node: PARIS, incarnation: 256, rtt: Some(Micros(900)) };
    distances.measured(late, at(0), wall(0));
    assert_eq!(signed(&mut distances, &[(PARIS, 512)], 0), None);
    assert_eq!(distances.due(&[(PARIS, 512)], at(0)), [(PARIS, 512)]);
}

#[test]
fn who_finds_most_others_far_from_where_they_were_has_moved_itself() {
    let mut distances = Distances::default();
    let all = [(PARIS, 256), (LYON, 256), (NICE, 256)];
    for subject in all {
        measure(&mut distances, subject, 9, 0);
    }
    signed(&mut distances, &all, 0);
    for subject in &all[..2] {
        measure_again(&mut distances, *subject, 130, 20);
    }
    assert_eq!(
        signed(&mut distances, &all, 20),
        Some(vec![(PARIS, 130, None), (LYON, 130, None), (NICE, 9, None)]),
        "two of three"
    );
    measure_again(&mut distances, (NICE, 256), 135, 30);
    let then = signed(&mut distances, &all, 30).unwrap();
    assert_eq!(then[2], (NICE, 135, Some(9)), "and one alone is said");
}

#[test]
fn if_this_node_has_a_slow_line_the_first_that_is_found_far_is_not_said_to_have_moved() {
    let mut distances = Distances::default();
    let all = [(PARIS, 256), (LYON, 256), (NICE, 256)];
    for subject in all {
        measure(&mut distances, subject, 9, 0);
    }
    signed(&mut distances, &all, 0);
    for subject in &all[1..] {
        distances.relinked(subject.0, at(20));
        measure(&mut distances, *subject, 120, 20);
    }
    measure_again(&mut distances, all[0], 130, 20);
    assert_eq!(signed(&mut distances, &all, 20), Some(vec![(PARIS, 130, None)]), "the others are in doubt");
    for subject in &all[1..] {
        measure_again(&mut distances, *subject, 121, 21);
    }
    let then = signed(&mut distances, &all, 21);
    assert_eq!(then, Some(vec![(PARIS, 130, None), (LYON, 121, None), (NICE, 121, None)]), "and nobody has moved");
}

#[test]
fn where_a_member_was_is_forgotten_after_a_day() {
    let mut distances = Distances::default();
    measure(&mut distances, (PARIS, 256), 9, 0);
    measure_again(&mut distances, (PARIS, 256), 130, 20);
    let day = 24 * 60;
    measure(&mut distances, (PARIS, 256), 129, day);
    assert_eq!(signed(&mut distances, &[(PARIS, 256)], day), Some(vec![(PARIS, 129, Some(9))]));
    measure(&mut distances, (PARIS, 256), 131, day + 25);
    assert_eq!(signed(&mut distances, &[(PARIS, 256)], day + 25), Some(vec![(PARIS, 129, None)]));
}

#[test]
fn a_node_that_was_started_again_learns_from_others_where_members_were() {
    let mut distances = Distances::default();
    let sample = NearSample { node: PARIS, incarnation: 256, rtt: Micros(9_000), at: wall(0), before: None };
    distances.recall(&[sample]);
    measure_again(&mut distances, (PARIS, 512), 130, 1);
    assert_eq!(signed(&mut distances, &[(PARIS, 512)], 1), Some(vec![(PARIS, 130, Some(9))]));
}

#[test]
fn who_does_not_answer_is_asked_again_soon_and_only_so_many_are_at_a_time() {
    let mut distances = Distances::default();
    let all: Vec<(NodeId, u64)> = (1..=9_u8).map(|byte| (NodeId([byte; 32]), 256)).collect();
    let first = distances.due(&all, at(0));
    assert_eq!(first, all[..NEAR_AT_ONCE]);
    assert_eq!(distances.due(&all, at(0)), []);
    distances.measured(Measured { node: first[0].0, incarnation: 256, rtt: None }, at(0), wall(0));
    assert_eq!(distances.due(&all, at(0)), [all[NEAR_AT_ONCE]], "another one");
    distances.measured(Measured { node: first[1].0, incarnation: 256, rtt: None }, at(0), wall(0));
    assert_eq!(distances.due(&all, at(1)), [all[NEAR_AT_ONCE + 1]], "those that wait longest come first");
    for (node, incarnation) in &all[2..=NEAR_AT_ONCE + 1] {
        distances.measured(Measured { node: *node, incarnation: *incarnation, rtt: None }, at(1), wall(1));
    }
    assert_eq!(distances.due(&all, at(1)), [all[6], all[7], all[8], all[0]], "and then the first again");
    assert_eq!(signed(&mut distances, &all, 1), None);
}

/// A member is asked so often in one minute, and does not answer.
fn is_asked_in_vain(distances: &mut Distances, subject: (NodeId, u64), times: u32, minute: u64) {
    for _ in 0..times {
        distances.relinked(subject.0, at(minute));
        for (node, incarnation) in distances.due(&[subject], at(minute)) {
            distances.measured(Measured { node, incarnation, rtt: None }, at(minute), wall(minute));
        }
    }
}

#[test]
fn what_was_signed_of_a_member_that_falls_silent_is_taken_back() {
    let mut distances = Distances::default();
    let (all, paris) = ([(PARIS, 256), (LYON, 256)], (PARIS, 256));
    measure(&mut distances, (LYON, 256), 5, 0);
    measure(&mut distances, paris, 9, 0);
    signed(&mut distances, &all, 0);
    is_asked_in_vain(&mut distances, paris, NEAR_TRIES - 1, 1);
    assert_eq!(signed(&mut distances, &all, 1), None, "some packets were lost");
    is_asked_in_vain(&mut distances, paris, 1, 1);
    assert_eq!(signed(&mut distances, &all, 1), Some(vec![(LYON, 5, None)]));
    assert_eq!(signed(&mut distances, &all, 1), None, "which is said once");
    distances.relinked(PARIS, at(2));
    measure(&mut distances, paris, 8, 2);
    assert_eq!(signed(&mut distances, &all, 2), Some(vec![(PARIS, 8, None), (LYON, 5, None)]));
    // That it moved is not taken back because it is silent.
    measure_again(&mut distances, paris, 130, 3);
    signed(&mut distances, &all, 3);
    is_asked_in_vain(&mut distances, paris, 2 * NEAR_TRIES, 4);
    assert_eq!(signed(&mut distances, &all, 4), None);
}

#[test]
fn whoever_starts_again_and_again_is_found_all_the_same() {
    let mut distances = Distances::default();
    measure(&mut distances, (PARIS, 256), 9, 0);
    let mut said = signed(&mut distances, &[(PARIS, 256)], 0);
    for start in 2..=6 {
        let minute = start;
        measure(&mut distances, (PARIS, 256 * start), 130 + start, minute);
        said = signed(&mut distances, &[(PARIS, 256 * start)], minute).or(said);
    }
    assert_eq!(said, Some(vec![(PARIS, 136, Some(9))]));
}

#[test]
fn a_far_answer_counts_though_a_start_came_while_it_was_under_way() {
    let mut distances = Distances::default();
    measure(&mut distances, (PARIS, 256), 9, 0);
    signed(&mut distances, &[(PARIS, 256)], 0);
    for start in 2..=u64::from(NEAR_TRIES) + 1 {
        assert_eq!(distances.due(&[(PARIS, 256 * start)], at(start)).len(), 1);
        assert!(distances.due(&[(PARIS, 256 * (start + 1))], at(start)).is_empty());
        let crossing = Measured { node: PARIS, incarnation: 256 * start, rtt: Some(Micros::from_millis(140)) };
        distances.measured(crossing, at(start), wall(start));
    }
    let last = (PARIS, 256 * (u64::from(NEAR_TRIES) + 2));
    assert_eq!(signed(&mut distances, &[last], 6), Some(vec![(PARIS, 140, Some(9))]));
}

#[test]
fn no_more_windows_are_kept_than_there_is_room_for() {
    let mut distances = Distances::default();
    for number in 0..2_000_u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        distances.due(&[(NodeId(key), 256)], at(0));
    }
    assert_eq!(distances.windows.len(), 2 * hither_core::limits::NEAR_SAMPLES_MAX);
}

fn report(key: &SigningKey, minute: u64) -> (Signed, NearReport) {
    let report = NearReport { mesh: MeshId([7; 32]), at: wall(minute), samples: Vec::new() };
    (sign(key, Seal::Near, hither_wire::encode_near_report(&report).unwrap()), report)
}

#[test]
fn a_report_of_a_clock_that_was_ahead_does_not_silence_this_node() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let (me, mut distances) = (node_id(&key), Distances::default());
    assert_eq!(distances.may_sign(me, at(0), wall(0)), Some(wall(0)));
    let keep = |distances: &mut Distances, minute| {
        let (signed, said) = report(&key, minute);
        distances.keep(me, &said, &signed);
    };
    keep(&mut distances, 1);
    assert_eq!(distances.may_sign(me, at(0), wall(1)), None, "too soon");
    assert_eq!(distances.may_sign(me, at(0), wall(2)), Some(wall(2)));
    assert_eq!(distances.may_sign(me, at(0), wall(0)), Some(WallTime(wall(1).0 + NEAR_GAP_MS)), "right after it");
    keep(&mut distances, 600);
    assert_eq!(distances.may_sign(me, at(0), wall(0)), Some(wall(0)), "no other node took that one");
    distances.signed = Some(at(0));
    assert_eq!(distances.may_sign(me, at(0), wall(0)), None, "nor is it signed each moment then");
    assert_eq!(distances.may_sign(me, at(1), wall(1)), Some(wall(1)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever delay a liar adds to each answer, and however often it starts anew: what is signed is never less than how far the
    /// present start was lately.
    #[test]
    fn a_liar_who_adds_delay_never_seems_nearer(
        steps in vec((1_000_u64..60_000, 0_u64..200_000, 0_u64..15, 0_u64..6), 1..30),
    ) {
        let mut liar = Window::default();
        let (mut true_ones, mut minute) = (Vec::new(), 0);
        for (rtt, added, pause, starts) in steps {
            minute += pause;
            if starts == 0 {
                liar.starts_anew(liar.incarnation + 256, at(minute));
                true_ones.clear();
            }
            true_ones.push((minute, rtt));
            liar.take(Micros(rtt + added), at(minute), wall(minute));
            if let Some(said) = liar.sample(PARIS) {
                let lately = true_ones.iter().filter(|(then, _)| minute - then <= 120);
                let least = lately.map(|(_, rtt)| *rtt).min().unwrap_or(0);
                prop_assert!(said.rtt.0 >= least, "{said:?}, and it was {least} us away");
            }
        }
    }
}
