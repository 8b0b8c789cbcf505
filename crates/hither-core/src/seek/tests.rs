//! Probes, offers and their answers.

use hither_types::id::{Attempt, NodeId, RequestId};
use hither_types::message::{ModelPresence, ModelStage, Signal};
use hither_types::model::Device;
use hither_types::refusal::Refusal;
use hither_types::unit::Micros;

use crate::Event;
use crate::tests::{
    FRAUD, JAKARTA, LYON, PARIS, Play, cap, done, eea, heard, law, load, member, nothing, offered, own, ready,
    recorded, said, submitted, told, until,
};

fn play() -> Play {
    Play::new(eea()).with_signals()
}

fn accept(at: u64, from: NodeId, request: u128) -> (u64, Event) {
    told(at, from, Signal::Accept { request: RequestId(request), attempt: Attempt(1), load: load(1, 4) })
}

fn reject(at: u64, from: NodeId, request: u128) -> (u64, Event) {
    let refusal = Refusal::Overloaded { retry_after: Micros::from_millis(100) };
    told(at, from, Signal::Reject { request: RequestId(request), attempt: Attempt(1), refusal, load: load(4, 4) })
}

#[test]
fn nothing_leaves_before_the_peer_said_yes_and_the_record_is_on_disk() {
    let yes_first = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), accept(2, PARIS, 1), recorded(3, 1)];
    let disk_first = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1), accept(3, PARIS, 1)];
    for script in [yes_first, disk_first] {
        play().then(script).check(
            "
            1: record#1 intent 1/1 to paris by eea, 1000 B
            1: tell paris offer 1/1
            3: route 1/1 paris by eea
            3: forward 1/1 to paris, 9998 ms left
        ",
        );
    }
}

#[test]
fn a_refused_offer_costs_no_payload_and_no_try() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        reject(4, PARIS, 1),
        recorded(5, 2),
        accept(6, LYON, 1),
    ];
    play().then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        1: tell paris offer 1/1
        4: record settled 1/1 to paris: 0 B, 0 B back, Refused
        4: record#2 intent 1/1 to lyon by eea, 1000 B
        4: tell lyon offer 1/1
        6: route 1/1 lyon by eea
        6: forward 1/1 to lyon, 9995 ms left
    ",
    );
}

#[test]
fn an_offer_that_is_not_answered_goes_elsewhere_within_a_blink() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        (4, Event::MemberRemoved(JAKARTA)),
        until(151),
    ];
    play().then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        1: tell paris offer 1/1
        151: record settled 1/1 to paris: 0 B, 0 B back, Refused
        151: record#2 intent 1/1 to lyon by eea, 1000 B
        151: tell lyon offer 1/1
    ",
    );
}

#[test]
fn the_only_place_that_could_serve_is_given_time_to_answer() {
    let offers = vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1)];
    let mut late = offers.clone();
    late.extend([recorded(152, 2), recorded(302, 3), accept(900, PARIS, 1)]);
    play().then(late).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        1: tell paris offer 1/1
        151: record settled 1/1 to paris: 0 B, 0 B back, Refused
        151: record#2 intent 1/1 to paris by eea, 1000 B
        151: tell paris offer 1/1
        301: record settled 1/1 to paris: 0 B, 0 B back, Refused
        301: record#3 intent 1/1 to paris by eea, 1000 B
        301: tell paris offer 1/1
        900: route 1/1 paris by eea
        900: forward 1/1 to paris, 9101 ms left
    ",
    );
    // Where another is there, it is asked after the second.
    let mut another = offers.clone();
    another.extend([recorded(152, 2), heard(200, LYON, FRAUD, 0), until(400)]);
    assert!(play().then(another).says("301: tell lyon offer 1/1"));
    // And silence has an end.
    let mut silent = offers;
    silent.extend([recorded(152, 2), recorded(302, 3), until(1_100)]);
    assert!(play().then(silent).says("1051: fail 1 Silent"));
}

#[test]
fn a_yes_that_comes_after_the_law_changed_sends_nothing() {
    let script =
        vec![heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), recorded(2, 1), law(3, nothing()), accept(4, PARIS, 1)];
    play().then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        1: tell paris offer 1/1
        4: record settled 1/1 to paris: 0 B, 0 B back, Refused
        4: record denied 1/0, rule -, 1 considered
        4: refuse 1 Unlawful(paris)
        4: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn who_waits_asks_around_and_goes_where_a_slot_is_free() {
    let state = |at, number| told(at, PARIS, Signal::State { number, digest: FRAUD, load: load(0, 4) });
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 9),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        state(10, 1),
        accept(20, PARIS, 2),
        recorded(21, 1),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: tell paris probe fraud 1 queued
        10: record#1 intent 2/1 to paris by eea, 1000 B
        10: tell paris offer 2/1
        21: route 2/1 paris by eea
        21: forward 2/1 to paris, 9981 ms left
    ",
    );
}

#[test]
fn a_probe_is_answered_with_what_is_free() {
    let probe = |at, queued| told(at, PARIS, Signal::Probe { number: 7, digest: FRAUD, queued });
    let script = vec![cap(0, 1000), ready(0, FRAUD, 1), probe(1, 0), submitted(2, 1, FRAUD), probe(3, 5), until(4)];
    play().then(script).check(
        "
        1: tell paris state fraud 0/1+0
        2: route 1/1 munich by local
        2: run 1/1 fraud
        3: tell paris state fraud 1/1+0
    ",
    );
}

#[test]
fn an_accepted_offer_keeps_its_slot_from_everybody_else_for_a_moment() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        offered(1, PARIS, FRAUD, 0),
        told(2, LYON, Signal::Probe { number: 8, digest: FRAUD, queued: 0 }),
        submitted(3, 1, FRAUD),
        until(1001),
    ];
    play().then(script).check(
        "
        1: tell paris accept 50/1 1/1+0
        2: tell lyon state fraud 1/1+0
        1001: route 1/1 munich by local
        1001: run 1/1 fraud
    ",
    );
}

#[test]
fn an_offer_is_refused_if_the_wait_is_not_what_the_peer_was_promised() {
    let script = vec![
        cap(0, 1000),
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        done(201, own(1, 1)),
        submitted(202, 2, FRAUD),
        offered(203, PARIS, FRAUD, 0),
        offered(204, LYON, FRAUD, 200),
        offered(205, JAKARTA, FRAUD, 200),
    ];
    play().then(script).check(
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
        202: route 2/1 munich by local
        202: run 2/1 fraud
        203: tell paris reject 50/1 Overloaded(200 ms)
        204: tell lyon accept 50/1 1/1+0
        205: record ingress refused 50/1 from jakarta, rule -
        205: tell jakarta reject 50/1 UnlawfulThere
    ",
    );
}

#[test]
fn where_nearly_all_of_a_circle_are_silent_others_are_asked_before_silence_is_proved() {
    // Eighty near members that died with all they knew, and Paris, which is too far for the circle that was drawn first.
    let near = (100..180).map(|byte| NodeId([byte; 32]));
    let mut script = vec![ready(0, FRAUD, 1), (0, Event::RoundTrip { peer: PARIS, rtt: Micros::from_millis(50) })];
    script.push((0, Event::RoundTrip { peer: LYON, rtt: Micros::from_millis(60) }));
    let (stage, service) = (ModelStage::Ready, Micros::from_millis(200));
    let busy = |node| {
        said(
            0,
            node,
            ModelPresence { digest: FRAUD, stage, device: Device::Cpu, slots: 4, busy: 4, queued: 0, service },
        )
    };
    script.extend([busy(PARIS), busy(LYON)]);
    for node in near {
        script.extend([(0, Event::MemberAdded(member(node))), busy(node)]);
    }
    script.extend((1..=10).map(|request| submitted(1, request, FRAUD)));
    let asks_paris =
        |script: &[(u64, Event)], by| play().then(script.to_vec()).then(vec![until(by)]).says("tell paris probe");
    assert!(!asks_paris(&script, 100), "Paris is not of the first circle");
    assert!(asks_paris(&script, 2_400));
}
