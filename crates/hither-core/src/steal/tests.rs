//! Work stealing: a free slot, and somebody who has work waiting.

use hither_types::id::NodeId;
use hither_types::message::Signal;

use crate::Event;
use crate::tests::{
    FRAUD, LYON, PARIS, Play, asked, cap, done, eea, heard, law, load, nothing, of, own, ready, recorded, submitted,
    told, until,
};

fn play() -> Play {
    Play::new(eea()).with_signals()
}

fn hungry(at: u64, from: NodeId, queued: u16) -> (u64, Event) {
    told(at, from, Signal::Probe { number: 7, digest: FRAUD, queued })
}

fn steal(at: u64, from: NodeId) -> (u64, Event) {
    told(at, from, Signal::Steal { number: 9, answers: 0, digest: FRAUD, load: load(3, 4) })
}

#[test]
fn a_free_slot_takes_what_waits_at_a_peer_that_asks_around() {
    let script = vec![cap(0, 1000), ready(0, FRAUD, 1), hungry(1, PARIS, 2), hungry(2, LYON, 9), until(3)];
    play().then(script).check(
        "
        1: tell paris steal fraud 1/1+0
        2: tell lyon state fraud 1/1+0
    ",
    );
}

#[test]
fn a_slot_that_gets_free_calls_the_hungriest() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        hungry(2, PARIS, 2),
        hungry(3, LYON, 9),
        done(200, own(1, 1)),
        told(210, LYON, Signal::Nothing { number: 1, digest: FRAUD }),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: tell paris state fraud 1/1+0
        3: tell lyon state fraud 1/1+0
        200: finish 1
        200: record ended 1/0 Answered by munich after 1, 5970 mJ
        200: tell lyon steal fraud 1/1+0
        210: tell paris steal fraud 1/1+0
    ",
    );
}

#[test]
fn own_work_comes_before_that_of_others() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        hungry(3, PARIS, 9),
        done(200, own(1, 1)),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: tell paris state fraud 1/1+1
        200: finish 1
        200: record ended 1/0 Answered by munich after 1, 5970 mJ
        200: route 2/1 munich by local
        200: run 2/1 fraud
    ",
    );
}

#[test]
fn what_was_asked_for_is_sent_without_an_offer_and_not_without_a_record() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 9),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        steal(5, PARIS),
        steal(6, PARIS),
        recorded(7, 1),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: tell paris probe fraud 1 queued
        5: record#1 intent 2/1 to paris by eea, 1000 B
        6: tell paris nothing fraud
        7: route 2/1 paris by eea
        7: forward 2/1 to paris, 9995 ms left
    ",
    );
}

#[test]
fn the_victim_asks_the_law_again() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 9),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        law(3, nothing()),
        steal(5, PARIS),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: tell paris probe fraud 1 queued
        5: tell paris nothing fraud
    ",
    );
}

#[test]
fn a_stolen_task_has_the_slot_that_was_kept_for_it() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        hungry(1, PARIS, 2),
        submitted(2, 1, FRAUD),
        asked(10, of(PARIS, 50), FRAUD),
        recorded(11, 1),
    ];
    play().then(script).check(
        "
        1: tell paris steal fraud 1/1+0
        10: record#1 ingress 50/1 from paris by eea, 1000 B
        11: accept paris:50/1
        11: run paris:50/1 fraud
    ",
    );
}

#[test]
fn a_slot_is_not_kept_for_ever_for_what_does_not_come() {
    let script = vec![cap(0, 1000), ready(0, FRAUD, 1), hungry(1, PARIS, 2), submitted(2, 1, FRAUD), until(400)];
    play().then(script).check(
        "
        1: tell paris steal fraud 1/1+0
        301: route 1/1 munich by local
        301: run 1/1 fraud
    ",
    );
}
