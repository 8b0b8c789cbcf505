//! A smaller model of the family, when there is no room and the caller allows it.

use hither_types::message::Signal;
use hither_types::request::{Envelope, Priority, Quality};
use hither_types::unit::Micros;

use crate::Event;
use crate::tests::{
    CHAT, FRAUD, PARIS, Play, cap, done, eea, envelope, name, no_fraud_in_germany, of, own, ready, recorded, submitted,
    told, until, with,
};

/// `chat` is the large one, `fraud` its smaller sibling.
fn family(priority: Priority) -> Envelope {
    Envelope { quality: Quality::Family, priority, ..envelope(CHAT) }
}

fn play(policy: hither_types::law::Policy) -> Play {
    Play::with_ladder(policy, vec![vec![name(CHAT), name(FRAUD)]])
}

#[test]
fn without_room_a_smaller_model_answers_and_says_so() {
    let mut script = vec![cap(0, 1000), ready(0, CHAT, 1), ready(0, FRAUD, 1)];
    script.extend((1..=11).map(|request| submitted(1, request, CHAT)));
    script.push(with(2, 12, family(Priority::Normal)));
    script.push(until(3));
    let play = play(eea()).then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 chat
        2: route 12/1 munich by local, fraud instead
        2: run 12/1 fraud
    ",
    );
    assert!(play.steps(12).contains("steps down to fraud"), "{}", play.steps(12));
}

#[test]
fn the_record_names_the_model_that_answered_and_not_only_what_was_asked_for() {
    let mut script = vec![cap(0, 1000), ready(0, CHAT, 1), ready(0, FRAUD, 1)];
    script.extend((1..=11).map(|request| submitted(1, request, CHAT)));
    script.push(with(2, 12, family(Priority::Normal)));
    script.push(done(202, own(12, 1)));
    let mut play = play(eea()).then(script);
    assert_eq!(play.only(&["record"]), ["202: record ended 12/0 as fraud Answered by munich after 1, 6000 mJ"]);
}

#[test]
fn a_node_that_answers_for_another_names_what_it_runs() {
    let (task, remaining) = (of(PARIS, 7), Micros::from_millis(10_000));
    let ask = Event::Asked { task, digest: FRAUD, envelope: family(Priority::Normal), remaining };
    let script = vec![cap(0, 1000), ready(0, FRAUD, 1), (1, ask), recorded(2, 1), done(202, task)];
    let mut there = play(eea()).then(script);
    assert_eq!(
        there.only(&["record"]),
        [
            "1: record#1 ingress 7/1 as fraud from paris by eea, 1000 B",
            "202: record answer 7/1 as fraud to paris: 50 B, Answered",
        ]
    );
}

#[test]
fn who_wants_the_model_itself_gets_it_or_nothing() {
    let mut script = vec![cap(0, 1000), ready(0, CHAT, 1), ready(0, FRAUD, 1)];
    script.extend((1..=12).map(|request| submitted(1, request, CHAT)));
    play(eea()).then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 chat
        1: refuse 12 Overloaded(200 ms)
        1: record ended 12/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn the_lowest_priority_steps_down_first() {
    // Three wait: 0.8 s is more than 5 % of ten seconds, and less than 10 %.
    let mut script = vec![cap(0, 1000), ready(0, CHAT, 1), ready(0, FRAUD, 1)];
    script.extend((1..=4).map(|request| submitted(1, request, CHAT)));
    script.push(with(2, 12, family(Priority::Normal)));
    script.push(with(2, 13, family(Priority::Low)));
    play(eea()).then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 chat
        2: route 13/1 munich by local, fraud instead
        2: run 13/1 fraud
    ",
    );
}

#[test]
fn a_smaller_model_that_the_law_forbids_is_no_way_down() {
    let mut script = vec![cap(0, 1000), ready(0, CHAT, 1), ready(0, FRAUD, 1)];
    script.extend((1..=11).map(|request| submitted(1, request, CHAT)));
    script.push(with(2, 12, family(Priority::Normal)));
    play(no_fraud_in_germany()).then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 chat
        2: refuse 12 Overloaded(200 ms)
        2: record ended 12/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn what_would_wait_steps_down_while_peers_that_did_find_no_room() {
    // Watts for one slot. One waits already, which alone is no reason: 0.4 s is less than 10 % of ten seconds.
    let script = vec![
        cap(0, 40),
        ready(0, CHAT, 1),
        ready(0, FRAUD, 1),
        submitted(1, 1, CHAT),
        with(2, 2, family(Priority::Normal)),
        told(3, PARIS, Signal::Probe { number: 7, digest: FRAUD, queued: 5 }),
        with(4, 3, family(Priority::Normal)),
        // What Paris said is not believed for ever.
        with(1100, 4, family(Priority::Normal)),
    ];
    let play = play(eea()).then(script).quietly();
    let stepped = [2, 3, 4].map(|request| play.steps(request).contains("steps down to fraud"));
    assert_eq!(stepped, [false, true, false]);
}
