//! Entries of the catalog that end, events in and actions out.

use hither_types::id::{Digest, NodeId};
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::model::{Device, Manifest};
use hither_types::request::{Envelope, RequestKind};
use hither_types::rollout::Rollout;
use hither_types::time::{Timestamp, WallTime};
use hither_types::unit::Micros;

use crate::tests::{
    CHAT, FRAUD, FRAUD_2, JAKARTA, LYON, MUNICH, PARIS, Play, asked, check, done, eea, envelope, heard, manifest, name,
    of, own, ready, recorded, said, submitted, until, with,
};
use crate::{Event, PullPolicy};

/// What time of day it is at the beginning.
const NOON: u64 = 1_800_000_000_000;

/// The clock of the machine shows this many milliseconds after noon.
fn day(at: u64, after_noon: u64) -> (u64, Event) {
    (at, Event::TimeOfDay(WallTime(NOON + after_noon)))
}

/// The entry of a model in a revision, by paris, that ends so many milliseconds after noon.
fn entry(digest: Digest, revision: u64, ends: Option<u64>) -> Manifest {
    Manifest { revision, expires: ends.map(|ends| WallTime(NOON + ends)), ..manifest(digest) }
}

fn told(at: u64, entry: Manifest) -> (u64, Event) {
    (at, Event::Catalogued(entry))
}

fn stored(at: u64, digest: Digest) -> (u64, Event) {
    (at, Event::ModelStored(digest))
}

fn holds(at: u64, from: NodeId, digest: Digest) -> (u64, Event) {
    let (device, stage) = (Device::Cpu, ModelStage::Stored);
    said(at, from, ModelPresence { digest, stage, device, slots: 0, busy: 0, queued: 0, service: Micros(0) })
}

#[test]
fn a_model_whose_entry_has_ended_is_not_loaded_and_who_asks_is_told_since_when() {
    let script = vec![day(0, 0), told(1, entry(FRAUD, 1, Some(0))), stored(2, FRAUD), submitted(3, 1, FRAUD)];
    let play = check(
        script,
        "
        3: refuse 1 ModelExpired { model: \"fraud\", ended: WallTime(1800000000000) }
        3: record ended 1/0 Refused by nobody after 0
    ",
    );
    let view = play.core.view(Timestamp(0));
    assert_eq!(view.expired, [FRAUD]);
    assert_eq!(view.nodes[0].models[0].note, "its entry in the catalog has expired");
    assert!(view.warnings.iter().any(|text| text.contains("fraud is not used any more")), "{:?}", view.warnings);
}

#[test]
fn as_long_as_nobody_told_the_time_an_entry_that_ends_has_ended() {
    let ends = entry(FRAUD, 1, Some(1_000));
    check(
        vec![told(0, ends), stored(1, FRAUD), stored(1, CHAT), day(5, 0)],
        "
        1: load chat
        5: load fraud
    ",
    );
}

#[test]
fn when_the_moment_comes_what_runs_and_waits_here_ends_and_the_engine_is_closed() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(100))),
        ready(1, FRAUD, 1),
        submitted(2, 1, FRAUD),
        submitted(3, 2, FRAUD),
        until(99),
        until(100),
        ready(101, CHAT, 1),
        until(5_000),
    ];
    check(
        script,
        "
        2: route 1/1 munich by local
        2: run 1/1 fraud
        100: stop 1/1
        100: refuse 1 ModelExpired { model: \"fraud\", ended: WallTime(1800000000100) }
        100: record ended 1/0 Refused by nobody after 1, 2940 mJ
        100: refuse 2 ModelExpired { model: \"fraud\", ended: WallTime(1800000000100) }
        100: record ended 2/0 Refused by nobody after 0
        100: unload fraud
    ",
    );
}

#[test]
fn a_task_of_a_peer_ends_with_a_word_that_its_program_knows_and_the_next_is_refused() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(100))),
        ready(1, FRAUD, 1),
        asked(2, of(PARIS, 1), FRAUD),
        recorded(3, 1),
        until(100),
        asked(200, of(PARIS, 2), FRAUD),
    ];
    let mut play = Play::new(eea()).then(script);
    let said = play.only(&["run", "stop", "fail", "decline", "unload"]);
    let expected = [
        "3: run paris:1/1 fraud",
        "100: stop paris:1/1",
        "100: fail paris:1/1 Declined(UnknownModel(\"fraud\"))",
        "100: unload fraud",
        "200: decline paris:2/1 UnknownModel(\"fraud\")",
    ];
    assert_eq!(said, expected);
}

#[test]
fn an_answer_that_is_under_way_at_a_peer_is_given_up() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(100))),
        heard(1, PARIS, FRAUD, 0),
        submitted(2, 1, FRAUD),
        recorded(3, 1),
        until(100),
    ];
    let mut play = Play::new(eea()).then(script);
    let said = play.only(&["forward", "abandon", "refuse"]);
    let expected = [
        "3: forward 1/1 to paris, 9999 ms left",
        "100: abandon 1/1 at paris",
        "100: refuse 1 ModelExpired { model: \"fraud\", ended: WallTime(1800000000100) }",
    ];
    assert_eq!(said, expected);
}

#[test]
fn what_is_opened_while_the_moment_comes_is_closed_again() {
    check(
        vec![day(0, 0), told(0, entry(FRAUD, 1, Some(100))), stored(1, FRAUD), until(100), ready(150, FRAUD, 1)],
        "
        1: load fraud
        100: unload fraud
        150: unload fraud
    ",
    );
}

#[test]
fn neither_an_operator_nor_a_neighbour_nor_a_request_fetches_what_has_ended() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(0))),
        holds(1, PARIS, FRAUD),
        (2, Event::PullWanted(FRAUD)),
        submitted(3, 1, FRAUD),
        until(60_000),
    ];
    let mut play = Play::with(eea(), PullPolicy::OnDemand).then(script);
    assert_eq!(play.only(&["fetch"]), [""; 0]);
    let view = play.core.view(Timestamp(0));
    let complaint = "model fraud is not fetched: its entry in the catalog has expired";
    assert!(view.warnings.iter().any(|text| text == complaint), "{:?}", view.warnings);
}

#[test]
fn nobody_is_a_partner_on_the_way_of_what_has_ended() {
    let script = vec![day(0, 0), told(0, entry(FRAUD, 1, Some(100))), holds(1, PARIS, FRAUD)];
    let play = Play::new(eea()).then(script).quietly();
    assert_eq!(play.core.partners(FRAUD).len(), 1);
    assert!(play.core.partner(FRAUD, PARIS).is_some());
    let play = play.then(vec![until(100)]).quietly();
    assert_eq!(play.core.partners(FRAUD), []);
    assert_eq!(play.core.partner(FRAUD, PARIS), None, "no copy is given and none is taken");
}

#[test]
fn a_newer_entry_lets_the_model_be_used_again_and_the_older_one_does_not_come_back() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(100))),
        stored(1, FRAUD),
        ready(2, FRAUD, 1),
        until(100),
        told(200, entry(FRAUD, 2, Some(10_000))),
        ready(201, FRAUD, 1),
        // As somebody kept it.
        told(300, entry(FRAUD, 1, Some(100))),
        told(301, manifest(FRAUD)),
        submitted(302, 1, FRAUD),
        done(303, own(1, 1)),
        // And an end that is taken back.
        told(400, entry(FRAUD, 3, None)),
        until(20_000),
    ];
    let play = check(
        script,
        "
        1: load fraud
        100: unload fraud
        200: load fraud
        302: route 1/1 munich by local
        302: run 1/1 fraud
        303: finish 1
        303: record ended 1/0 Answered by munich after 1, 30 mJ
    ",
    );
    let view = play.core.view(Timestamp(0));
    assert_eq!((view.expired, view.models[0].revision), (vec![], 3));
}

#[test]
fn an_entry_that_another_member_signed_anew_is_that_members_and_no_conflict_of_names() {
    let others = Manifest { publisher: LYON, ..entry(FRAUD, 1, None) };
    let play = Play::new(eea()).then(vec![told(0, others), told(1, manifest(FRAUD))]).quietly();
    let view = play.core.view(Timestamp(0));
    assert_eq!((view.models[0].publisher, view.warnings), (LYON, vec![]));
    assert_eq!(play.core.catalog.resolve(&name(FRAUD)), Some(FRAUD));
}

#[test]
fn of_two_that_were_signed_at_once_all_keep_the_same() {
    let by = |publisher, ends| Manifest { publisher, ..entry(FRAUD, 1, ends) };
    let all = [by(PARIS, None), by(LYON, Some(100)), by(LYON, Some(50)), by(MUNICH, Some(7))];
    for first in 0..all.len() {
        let order = (0..all.len()).map(|at| (at as u64, Event::Catalogued(all[(first + at) % all.len()].clone())));
        let play = Play::new(eea()).then(order.collect()).quietly();
        assert_eq!(play.core.catalog.manifest(FRAUD), Some(&all[2]), "the first was {first}");
    }
}

#[test]
fn an_entry_of_another_name_or_another_file_replaces_nothing() {
    let known = manifest(FRAUD);
    let same = entry(FRAUD, 1, None);
    assert!(same.replaces(&known));
    let differ = [
        Manifest { name: name(CHAT), ..same.clone() },
        Manifest { size: hither_types::unit::ByteCount(2), ..same.clone() },
        Manifest { sha256: [1; 32], ..same.clone() },
        Manifest { digest: CHAT, ..same.clone() },
        Manifest { revision: 0, publisher: JAKARTA, ..same.clone() },
    ];
    for other in differ {
        assert!(!other.replaces(&known), "{other:?}");
    }
}

#[test]
fn a_clock_that_is_set_counts_at_once_both_ways() {
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD, 1, Some(50_000))),
        stored(1, FRAUD),
        ready(2, FRAUD, 1),
        day(10, 60_000),
        day(20, 0),
        ready(21, FRAUD, 1),
        until(50_019),
        until(50_020),
    ];
    check(
        script,
        "
        1: load fraud
        10: unload fraud
        20: load fraud
        50020: unload fraud
    ",
    );
}

#[test]
fn a_version_that_has_ended_is_left_for_the_one_that_has_not() {
    let rollout = Rollout {
        name: name(FRAUD),
        revision: 1,
        from: FRAUD,
        to: FRAUD_2,
        share: 1_000,
        sites: Vec::new(),
        tolerance: 20,
        publisher: PARIS,
        at: WallTime(0),
    };
    let tensors = Envelope { kind: RequestKind::Infer, ..envelope(FRAUD) };
    let script = vec![
        day(0, 0),
        told(0, entry(FRAUD_2, 1, Some(100))),
        ready(1, FRAUD, 1),
        ready(1, FRAUD_2, 1),
        (2, Event::RolledOut(rollout)),
        with(3, 1, tensors.clone()),
        until(100),
        with(200, 2, tensors),
    ];
    let mut play = Play::new(eea()).then(script);
    let said = play.only(&["run", "stop", "refuse", "unload", "judge"]);
    let expected = ["3: run 1/1 fraud:2", "100: stop 1/1", "100: run 1/2 fraud", "100: unload fraud:2"];
    assert_eq!(said, expected, "the second waits for the one slot of the old version");
}
