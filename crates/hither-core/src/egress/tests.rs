//! An attempt elsewhere: recorded, sent, watched, and left.

use std::sync::Arc;

use hither_types::id::{RequestId, Ticket};
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::model::Device;
use hither_types::refusal::Failure;
use hither_types::unit::Micros;

use crate::Event;
use crate::tests::{
    FRAUD, LYON, PARIS, Play, beat, check, done, eea, failed, heard, law, member, no_fraud_in_germany, nothing, own,
    ready, recorded, restarted, said, submitted, until,
};

#[test]
fn nothing_leaves_before_it_is_on_the_record() {
    check(
        vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), until(2)],
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_recorded_request_leaves_and_comes_back() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        beat(250, own(1, 1), 1),
        beat(500, own(1, 1), 2),
        done(600, own(1, 1)),
        beat(700, own(1, 1), 3),
        done(701, own(1, 1)),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        600: record settled 1/1 to paris: 1000 B, 50 B back, Answered
        600: finish 1
        600: record ended 1/0 Answered by paris after 1
    ",
    );
}

#[test]
fn what_leaves_by_a_newer_law_than_its_intent_names_says_by_which() {
    for (newer, left_by) in [(no_fraud_in_germany(), ", left by eea of 3"), (eea(), "")] {
        let script = vec![
            heard(0, PARIS, FRAUD, 0),
            submitted(1, 1, FRAUD),
            law(2, newer),
            recorded(3, 1),
            done(203, own(1, 1)),
        ];
        let said = Play::new(eea()).then(script).only(&["record settled"]);
        assert_eq!(said, [format!("203: record settled 1/1 to paris: 1000 B, 50 B back, Answered{left_by}")]);
    }
}

#[test]
fn the_law_is_asked_again_before_the_first_byte() {
    let script = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), law(2, nothing()), recorded(3, 1)];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        3: record settled 1/1 to paris: 0 B, 0 B back, Refused
        3: record denied 1/0, rule -, 1 considered
        3: refuse 1 Unlawful(paris)
        3: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_peer_that_left_before_the_first_byte_gets_nothing() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        (2, Event::MemberRemoved(PARIS)),
        recorded(3, 1),
        submitted(4, 2, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: record settled 1/1 to paris: 0 B, 0 B back, Refused
        2: fail 1 Unreachable
        2: record ended 1/0 Refused by nobody after 0
        4: refuse 2 NoCapacity { tried: 0 }
        4: record ended 2/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_deadline_before_the_first_byte_sends_nothing() {
    check(
        vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), until(10_001), recorded(10_002, 1)],
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        10001: record settled 1/1 to paris: 0 B, 0 B back, Refused
        10001: refuse 1 DeadlinePassed
        10001: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_ledger_that_cannot_record_keeps_the_request_here() {
    let script = vec![
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        (3, Event::RecordFailed(Ticket(1))),
        done(201, own(1, 1)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: record#1 intent 2/1 to paris by eea, 1000 B
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
        201: route 2/1 munich by local
        201: run 2/1 fraud
    ",
    );
}

#[test]
fn a_ledger_that_cannot_record_refuses_what_cannot_stay() {
    check(
        vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), (3, Event::RecordFailed(Ticket(1)))],
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        3: refuse 1 LedgerUnavailable
        3: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_ledger_that_cannot_record_keeps_no_slot_of_a_peer() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        (3, Event::RecordFailed(Ticket(1))),
        submitted(4, 2, FRAUD),
        (5, Event::RecordFailed(Ticket(2))),
        submitted(6, 3, FRAUD),
        recorded(7, 3),
    ];
    let offers = Play::new(eea()).with_signals().then(script).only(&["tell paris offer"]);
    assert_eq!(offers, ["1: tell paris offer 1/1", "7: tell paris offer 3/1"]);
}

#[test]
fn the_law_is_asked_again_before_an_offer_behind_its_record() {
    let script = |newer| {
        vec![
            heard(0, PARIS, FRAUD, 0),
            submitted(1, 1, FRAUD),
            (3, Event::RecordFailed(Ticket(1))),
            submitted(4, 2, FRAUD),
            law(5, newer),
            recorded(6, 2),
        ]
    };
    let offers = |newer| Play::new(eea()).with_signals().then(script(newer)).only(&["tell paris offer"]);
    assert_eq!(offers(eea()), ["1: tell paris offer 1/1", "6: tell paris offer 2/1"]);
    assert_eq!(offers(nothing()), ["1: tell paris offer 1/1"], "what is offered has its label");
}

#[test]
fn what_is_offered_behind_its_record_leaves_at_once() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        (3, Event::RecordFailed(Ticket(1))),
        submitted(4, 2, FRAUD),
        recorded(6, 2),
        done(206, own(2, 1)),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        3: refuse 1 LedgerUnavailable
        3: record ended 1/0 Refused by nobody after 0
        4: record#2 intent 2/1 to paris by eea, 1000 B
        6: route 2/1 paris by eea
        6: forward 2/1 to paris, 9998 ms left
        206: record settled 2/1 to paris: 1000 B, 50 B back, Answered
        206: finish 2
        206: record ended 2/0 Answered by paris after 1
    ",
    );
}

#[test]
fn a_silent_peer_costs_three_beats_and_the_next_one_goes_on() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        beat(250, own(1, 1), 1),
        until(999),
        until(1001),
        recorded(1002, 2),
        beat(1003, own(1, 1), 5),
        done(1004, own(1, 1)),
        done(1200, own(1, 2)),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        1000: abandon 1/1 at paris
        1000: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        1000: record#2 intent 1/2 to lyon by eea, 1000 B
        1002: route 1/2 lyon by eea
        1002: forward 1/2 to lyon, 8999 ms left
        1200: record settled 1/2 to lyon: 1000 B, 50 B back, Answered
        1200: finish 1
        1200: record ended 1/0 Answered by lyon after 2
    ",
    );
}

#[test]
fn a_far_peer_is_given_its_round_trip_before_the_first_beat() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        (0, Event::RoundTrip { peer: PARIS, rtt: Micros::from_millis(200) }),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        until(951),
        until(953),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        927: abandon 1/1 at paris
        927: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        927: fail 1 Silent
        927: record ended 1/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn beats_without_progress_are_a_stuck_engine() {
    let mut script = vec![heard(0, PARIS, FRAUD, 0), heard(0, LYON, FRAUD, 4), submitted(1, 1, FRAUD), recorded(2, 1)];
    script.extend((1..=9).map(|n| beat(n * 250, own(1, 1), 7)));
    script.push(heard(2000, LYON, FRAUD, 0));
    script.push(until(2300));
    script.sort_by_key(|(at, _)| *at);
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        2250: abandon 1/1 at paris
        2250: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        2250: record#2 intent 1/2 to lyon by eea, 1000 B
    ",
    );
}

#[test]
fn a_client_that_leaves_is_settled_as_cancelled() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        submitted(3, 2, FRAUD),
        (4, Event::ClientGone(RequestId(1))),
        (5, Event::ClientGone(RequestId(2))),
        recorded(6, 2),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        3: record#2 intent 2/1 to paris by eea, 1000 B
        4: abandon 1/1 at paris
        4: record settled 1/1 to paris: 1000 B, 0 B back, Cancelled
        4: record ended 1/0 Cancelled by nobody after 1
        5: record settled 2/1 to paris: 0 B, 0 B back, Cancelled
        5: record ended 2/0 Cancelled by nobody after 0
    ",
    );
}

#[test]
fn a_member_that_is_removed_is_left_at_once() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        (4, Event::MemberRemoved(PARIS)),
        (5, Event::MemberAdded(member(PARIS))),
        recorded(6, 2),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        4: abandon 1/1 at paris
        4: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        4: record#2 intent 1/2 to lyon by eea, 1000 B
        6: route 1/2 lyon by eea
        6: forward 1/2 to lyon, 9995 ms left
    ",
    );
}

#[test]
fn a_node_that_was_itself_held_up_hears_a_living_peer_out() {
    // No tick came in time: the peer's beats wait behind this one.
    let mut script = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1)];
    script.extend([until(2000), beat(2001, own(1, 1), 1), until(2251), done(2300, own(1, 1))]);
    Play::new(eea()).held_up().then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        2300: record settled 1/1 to paris: 1000 B, 50 B back, Answered
        2300: finish 1
        2300: record ended 1/0 Answered by paris after 1
    ",
    );
}

#[test]
fn a_node_that_was_itself_held_up_gives_a_dead_peer_one_more_beat_only() {
    let script = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1), until(2000), until(2600)];
    Play::new(eea()).held_up().then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        2600: abandon 1/1 at paris
        2600: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        2600: fail 1 Silent
        2600: record ended 1/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn a_peer_that_fell_silent_while_the_record_was_written_gets_nothing() {
    check(
        vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2600, 1)],
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2600: record settled 1/1 to paris: 0 B, 0 B back, Refused
        2600: fail 1 Unreachable
        2600: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn beats_of_an_older_attempt_do_not_keep_the_next_place_alive() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        failed(4, own(1, 1), Failure::EngineLost),
        recorded(5, 2),
        beat(500, own(1, 1), 1),
        until(800),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        4: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        4: record#2 intent 1/2 to lyon by eea, 1000 B
        5: route 1/2 lyon by eea
        5: forward 1/2 to lyon, 9996 ms left
        755: abandon 1/2 at lyon
        755: record settled 1/2 to lyon: 1000 B, 0 B back, Refused
        755: fail 1 Silent
        755: record ended 1/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn an_attempt_at_a_peer_that_was_started_anew_is_over_at_once_and_the_new_start_is_not_blamed() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        beat(250, own(1, 1), 1),
        // No place is tried twice: it may be the request itself that ended the other program.
        restarted(300, PARIS, FRAUD),
        // The end of the old connection says nothing of the new start.
        failed(302, own(1, 1), Failure::Unreachable),
        submitted(401, 2, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        300: abandon 1/1 at paris
        300: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        300: fail 1 Unreachable
        300: record ended 1/0 Refused by nobody after 1
        401: record#2 intent 2/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_peer_that_rises_above_another_of_its_key_goes_on_with_what_it_was_asked() {
    let (at, mut risen) = heard(300, PARIS, FRAUD, 0);
    if let Event::Presence { presence, .. } = &mut risen {
        let presence = Arc::make_mut(presence);
        (presence.incarnation, presence.sequence) = (presence.incarnation + 1, 1);
    }
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        beat(250, own(1, 1), 1),
        (at, risen),
        done(400, own(1, 1)),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        400: record settled 1/1 to paris: 1000 B, 50 B back, Answered
        400: finish 1
        400: record ended 1/0 Answered by paris after 1
    ",
    );
}

#[test]
fn a_stream_whose_engine_hangs_is_left_after_two_seconds_however_long_whole_answers_take() {
    let slow = ModelPresence {
        digest: FRAUD,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 4,
        busy: 0,
        queued: 0,
        service: Micros::from_millis(3_000),
    };
    let mut script = vec![said(0, PARIS, slow), submitted(1, 1, FRAUD), recorded(2, 1)];
    // A word every 50 ms for a second, then beats alone.
    script.extend((1..=20).map(|word| beat(50 * word, own(1, 1), word)));
    script.extend((5..=40).map(|quarter| beat(250 * quarter, own(1, 1), 20)));
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        3000: abandon 1/1 at paris
        3000: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        3000: fail 1 Stuck
        3000: record ended 1/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn a_stream_of_slow_words_is_given_three_times_its_longest_pause() {
    let mut script = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1)];
    // A word every second, with beats between them.
    for quarter in 1..=20 {
        script.push(beat(250 * quarter, own(1, 1), quarter / 4));
    }
    // The next one takes almost three.
    script.extend((21..=31).map(|quarter| beat(250 * quarter, own(1, 1), 5)));
    script.push(beat(7_900, own(1, 1), 6));
    script.push(done(8_000, own(1, 1)));
    assert!(Play::new(eea()).then(script).says("finish 1"));
}
