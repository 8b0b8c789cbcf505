//! Cold models, and models whose engine is wrong.

use hither_types::id::{Attempt, Digest, RequestId};
use hither_types::message::{Load, ModelPresence, ModelStage, Signal};
use hither_types::model::Device;
use hither_types::refusal::Refusal;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::tests::{
    CHAT, FRAUD, LYON, PARIS, Play, done, load, offered, own, ready, recorded, said, submitted, told, until,
};
use crate::{Event, LocalModel, limits};

const MODELS: &[&str] = &["load", "unload", "prove"];

fn stored(at: u64, digest: Digest) -> (u64, Event) {
    (at, Event::ModelStored(digest))
}

/// A peer has only the file of a model.
fn cold_at(at: u64, from: hither_types::id::NodeId, digest: Digest) -> (u64, Event) {
    said(
        at,
        from,
        ModelPresence {
            digest,
            stage: ModelStage::Stored,
            device: Device::Cpu,
            slots: 0,
            busy: 0,
            queued: 0,
            service: Micros(0),
        },
    )
}

/// Both files are here, and one of them is open: there is no room for both.
fn one_open() -> Vec<(u64, Event)> {
    vec![stored(0, FRAUD), stored(0, CHAT), ready(400, FRAUD, 2)]
}

fn note(play: &Play, at: u64, digest: Digest) -> String {
    let view = play.core.view(Timestamp(at * 1000));
    view.nodes[0].models.iter().find(|model| model.digest == digest).unwrap().note.clone()
}

#[test]
fn what_does_not_fit_stays_cold_until_somebody_asks() {
    let mut play = Play::cramped().then(one_open());
    assert_eq!(play.only(MODELS), ["0: load fraud"]);
    assert_eq!(note(&play, 500, CHAT), "not in memory, loaded when it is asked for");
    assert_eq!(note(&play, 500, FRAUD), "loaded in 0.4 s");
    let mut play = play.then(vec![submitted(1000, 1, CHAT), ready(1500, CHAT, 2)]);
    assert_eq!(play.only(&["load", "unload", "run"]), ["1000: unload fraud", "1000: load chat", "1500: run 1/1 chat"]);
    assert_eq!(note(&play, 1600, FRAUD), "not in memory, loaded when it is asked for");
}

#[test]
fn nothing_is_closed_under_work_and_what_waits_gets_its_turn() {
    let script = vec![submitted(500, 1, FRAUD), submitted(600, 2, CHAT), done(900, own(1, 1)), ready(1200, CHAT, 2)];
    let mut play = Play::cramped().then(one_open()).then(script);
    let said = play.only(&["load", "unload", "run", "refuse"]);
    let expected = ["0: load fraud", "500: run 1/1 fraud", "900: unload fraud", "900: load chat", "1200: run 2/1 chat"];
    assert_eq!(said, expected);
}

#[test]
fn what_waits_for_memory_ends_at_its_deadline_at_the_latest() {
    let script = vec![submitted(500, 1, FRAUD), submitted(600, 2, CHAT), until(10_600)];
    let mut play = Play::cramped().then(one_open()).then(script);
    assert!(play.only(&["refuse"]).contains(&"10600: refuse 2 DeadlinePassed".to_owned()));
}

#[test]
fn what_can_never_fit_is_refused_with_a_warning_that_says_what_to_do() {
    let large = LocalModel {
        digest: FRAUD,
        slots: 2,
        slot_power: hither_types::unit::Milliwatts(0),
        memory: Some(ByteCount(120 << 20)),
        device: Device::Cpu,
    };
    let script = vec![
        stored(0, FRAUD),
        (400, Event::ModelReady(large)),
        (500, Event::ModelLost(FRAUD)),
        until(1000),
        submitted(1100, 1, FRAUD),
    ];
    let mut play = Play::cramped().then(script);
    assert_eq!(play.only(&["load", "refuse"]), ["0: load fraud", "1100: refuse 1 NoCapacity { tried: 0 }"]);
    assert_eq!(note(&play, 1200, FRAUD), "too large for the memory that models may use");
    let warnings = play.core.view(Timestamp(1_200_000)).warnings;
    assert!(warnings[0].contains("needs 125.8 MB of memory, and models may use 104.9 MB"), "{warnings:?}");
    assert!(warnings[0].contains("raise memory_mb under [models]"), "{warnings:?}");
}

#[test]
fn an_operator_who_asks_for_a_model_gets_it_opened() {
    let mut play = Play::cramped().then(one_open()).then(vec![(500, Event::PullWanted(CHAT))]);
    assert_eq!(play.only(MODELS), ["0: load fraud", "500: unload fraud", "500: load chat"]);
}

#[test]
fn what_somebody_wants_closed_is_closed_when_nobody_uses_it_and_opened_by_the_next_who_asks() {
    let script = vec![
        submitted(500, 1, FRAUD),
        (600, Event::CloseWanted(FRAUD)),
        done(900, own(1, 1)),
        submitted(1000, 2, FRAUD),
        ready(1400, FRAUD, 2),
    ];
    let mut play = Play::cramped().then(vec![stored(0, FRAUD), ready(400, FRAUD, 2)]).then(script);
    let said = play.only(&["load", "unload", "run"]);
    let expected =
        ["0: load fraud", "500: run 1/1 fraud", "900: unload fraud", "1000: load fraud", "1400: run 2/1 fraud"];
    assert_eq!(said, expected);
}

#[test]
fn closing_what_is_idle_is_at_once_and_what_is_not_open_stays_as_it_is() {
    let script =
        vec![(500, Event::CloseWanted(FRAUD)), (600, Event::CloseWanted(FRAUD)), (700, Event::CloseWanted(CHAT))];
    let mut play = Play::cramped().then(one_open()).then(script);
    assert_eq!(play.only(MODELS), ["0: load fraud", "500: unload fraud"]);
    assert_eq!(note(&play, 800, FRAUD), "not in memory, loaded when it is asked for");
}

#[test]
fn whoever_wants_a_model_here_takes_back_that_it_shall_be_closed() {
    let script = vec![
        submitted(500, 1, FRAUD),
        (600, Event::CloseWanted(FRAUD)),
        (700, Event::PullWanted(FRAUD)),
        done(900, own(1, 1)),
    ];
    let mut play = Play::cramped().then(one_open()).then(script);
    assert_eq!(play.only(MODELS), ["0: load fraud"]);
}

#[test]
fn a_peer_that_has_only_the_file_is_asked_and_the_request_waits_until_it_is_open() {
    let loading = Refusal::Overloaded { retry_after: Micros::from_millis(2000) };
    let reject = Signal::Reject { request: RequestId(1), attempt: Attempt(1), refusal: loading, load: load(0, 0) };
    let ready_at = ModelPresence {
        digest: CHAT,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 2,
        busy: 0,
        queued: 0,
        service: Micros(0),
    };
    let script = vec![
        cold_at(0, PARIS, CHAT),
        submitted(100, 1, CHAT),
        told(120, PARIS, reject),
        until(1000),
        said(1100, PARIS, ready_at),
        recorded(1110, 2),
        told(1130, PARIS, Signal::Accept { request: RequestId(1), attempt: Attempt(1), load: load(1, 2) }),
    ];
    let mut play = Play::cramped().with_signals().then(script);
    let said = play.only(&["tell paris offer", "refuse", "forward"]);
    let expected =
        ["100: tell paris offer 1/1", "1100: tell paris offer 1/1", "1130: forward 1/1 to paris, 8970 ms left"];
    assert_eq!(said, expected);
}

#[test]
fn what_a_peer_said_before_it_opened_the_model_is_forgotten_when_it_has() {
    let loading = Refusal::Overloaded { retry_after: Micros::from_millis(2000) };
    // What a node without an engine says: nothing can start there as things are.
    let never = limits::RETRY_AFTER_MAX;
    let load = Load { slots: 0, busy: 0, queued: 0, wait: never, urgent: never, service: Micros(0) };
    let reject = Signal::Reject { request: RequestId(1), attempt: Attempt(1), refusal: loading, load };
    let is_ready = ModelPresence {
        digest: CHAT,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 2,
        busy: 0,
        queued: 0,
        service: Micros(0),
    };
    // Its "no" and its word that no slot is free are a few milliseconds old, and count no more.
    let script =
        vec![cold_at(0, PARIS, CHAT), submitted(100, 1, CHAT), told(120, PARIS, reject), said(140, PARIS, is_ready)];
    let mut play = Play::cramped().with_signals().then(script);
    assert_eq!(play.only(&["tell paris offer", "refuse"]), ["100: tell paris offer 1/1", "140: tell paris offer 1/1"]);
}

#[test]
fn a_peer_that_cannot_open_it_is_left_for_the_next_one_and_then_there_is_none() {
    let reject = |at, from| {
        let refusal = Refusal::NoCapacity { tried: 0 };
        told(at, from, Signal::Reject { request: RequestId(1), attempt: Attempt(1), refusal, load: load(0, 0) })
    };
    let script = vec![
        cold_at(0, PARIS, CHAT),
        cold_at(1, LYON, CHAT),
        submitted(100, 1, CHAT),
        reject(120, PARIS),
        reject(140, LYON),
        until(200),
    ];
    let mut play = Play::cramped().with_signals().then(script);
    let said = play.only(&["tell paris offer", "tell lyon offer", "refuse"]);
    let expected = ["100: tell paris offer 1/1", "120: tell lyon offer 1/1", "140: refuse 1 NoCapacity { tried: 0 }"];
    assert_eq!(said, expected);
}

#[test]
fn a_peers_offer_opens_a_cold_model_here_and_is_told_to_come_again() {
    let script = vec![offered(1000, PARIS, CHAT, 0), ready(1500, CHAT, 2), offered(1600, PARIS, CHAT, 0)];
    let mut play = Play::cramped().with_signals().then(one_open()).then(script);
    let said = play.only(&["load", "unload", "tell paris reject", "tell paris accept"]);
    let expected = [
        "0: load fraud",
        "1000: unload fraud",
        "1000: load chat",
        "1000: tell paris reject 50/1 Overloaded(2000 ms)",
        "1600: tell paris accept 50/1 1/2+0",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_known_of_a_model_is_asked_again_every_hour() {
    let mut play = Play::cramped().then(vec![stored(0, FRAUD), ready(400, FRAUD, 2), until(7_300_000)]);
    assert_eq!(play.only(MODELS), ["0: load fraud", "3600400: prove fraud", "7200400: prove fraud"]);
    let mut play = Play::cramped().then(vec![stored(0, CHAT), ready(400, CHAT, 2), until(7_300_000)]);
    assert_eq!(play.only(MODELS), ["0: load chat"], "nothing is known of chat");
}

#[test]
fn a_model_that_gives_wrong_answers_is_not_offered_and_its_work_goes_on_elsewhere() {
    let script = vec![
        stored(0, FRAUD),
        ready(400, FRAUD, 2),
        submitted(500, 1, FRAUD),
        (600, Event::ModelRefuted(FRAUD)),
        submitted(700, 2, FRAUD),
    ];
    let mut play = Play::cramped().then(script);
    let said = play.only(&["load", "unload", "stop", "refuse", "fail"]);
    let expected = [
        "0: load fraud",
        "600: stop 1/1",
        "600: unload fraud",
        "600: fail 1 EngineLost",
        "700: refuse 2 ModelBroken(\"fraud\")",
    ];
    assert_eq!(said, expected);
    assert_eq!(note(&play, 700, FRAUD), "gave wrong answers, tried again in 3599.9 s");
    let warnings = play.core.view(Timestamp(700_000)).warnings;
    assert_eq!(
        warnings,
        ["model fraud gave other answers here than its publisher's engine, and is not offered: \
             hither models pull fraud tries it again"]
    );
    let mut play = play.then(vec![(800, Event::PullWanted(FRAUD)), ready(900, FRAUD, 2), submitted(1000, 3, FRAUD)]);
    assert_eq!(play.only(&["load", "run"]), ["800: load fraud", "1000: run 3/1 fraud"]);
}

#[test]
fn a_wrong_answer_at_the_load_counts_as_none() {
    let script = vec![stored(0, FRAUD), (400, Event::ModelRefuted(FRAUD)), until(3_600_500)];
    let mut play = Play::cramped().then(script);
    assert_eq!(play.only(MODELS), ["0: load fraud", "400: unload fraud", "3600400: load fraud"]);
}
