//! When a server is left alone, for how long, and what brings it back.

use std::collections::BTreeMap;

use hither_types::id::{AppName, NodeId, SiteName};
use hither_types::member::Member;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Bar, Failure, Refusal};
use hither_types::spending::{Budgets, Money, Price, Purse};
use hither_types::unit::Micros;

use crate::Event;
use crate::tests::{
    CHAT, FRAUD, PARIS, Play, done, eea, failed, heard, member, own, place, ready, recorded, submitted, until,
};

const LAB: NodeId = NodeId([0xc0; 32]);

/// A server with a model, as it is told when the node starts.
fn server(at: u64, kind: PlaceKind) -> (u64, Event) {
    let place = Member { node: LAB, site: lab(), jurisdiction: place("DE"), ..member(PARIS) };
    (at, Event::EndpointAdded { place, kind, trains: BTreeMap::new() })
}

fn lab() -> SiteName {
    SiteName::parse("lab").unwrap()
}

fn crash() -> Failure {
    Failure::Engine("endpoint lab: it failed: HTTP 500".to_owned())
}

fn refuses(why: Bar) -> Failure {
    Failure::Declined(Refusal::Barred { site: lab(), why, again: Micros(0) })
}

/// One that is there, and fails three requests.
fn broken() -> Vec<(u64, Event)> {
    let mut script = vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0)];
    for request in 1..=3 {
        script.extend([submitted(request, request.into(), CHAT), failed(request, own(request.into(), 1), crash())]);
    }
    script
}

/// What goes there, and what is refused.
fn lines(script: Vec<(u64, Event)>) -> Vec<String> {
    Play::new(eea()).then(script).only(&["forward", "run", "refuse"])
}

fn then(mut begin: Vec<(u64, Event)>, rest: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    begin.extend(rest);
    begin
}

#[test]
fn after_three_failures_in_a_row_the_fourth_request_does_not_go_there_and_is_told_when_to_come_again() {
    let said = lines(then(broken(), vec![heard(500, LAB, CHAT, 0), submitted(503, 4, CHAT)]));
    let refusal = Refusal::Barred { site: lab(), why: Bar::Failing, again: Micros::from_millis(500) };
    assert_eq!(said.iter().filter(|line| line.contains("forward")).count(), 3, "{said:?}");
    assert_eq!(said.last().unwrap(), &format!("503: refuse 4 {refusal:?}"));
}

#[test]
fn an_answer_between_failures_and_what_is_no_failure_of_the_server_do_not_count() {
    let wrong = Failure::BadInput(hither_types::refusal::InputFault::Other("too long".to_owned()));
    let full = Failure::Declined(Refusal::Overloaded { retry_after: Micros(1) });
    let mut script = vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0)];
    let ends = [Some(crash()), Some(crash()), None, Some(crash()), Some(wrong), Some(crash())];
    for (request, end) in (1..).zip(ends) {
        let task = own(request, 1);
        let at = u64::try_from(request).unwrap();
        let end = end.map_or_else(|| done(at, task), |failure| failed(at, task, failure));
        script.extend([submitted(at, request, CHAT), end]);
    }
    script.extend([submitted(7, 7, CHAT), failed(7, own(7, 1), full)]);
    script.extend([heard(1_100, LAB, CHAT, 0), submitted(1_100, 8, CHAT)]);
    assert_eq!(lines(script).iter().filter(|line| line.contains("forward")).count(), 8);
}

#[test]
fn after_the_pause_one_request_shows_what_has_changed_and_each_failure_doubles_the_pause() {
    let mut script = broken();
    // One at a time, whatever the server shows of itself meanwhile.
    script.extend([heard(1_000, LAB, CHAT, 0), submitted(1_004, 4, CHAT), submitted(1_005, 5, CHAT)]);
    script.extend([failed(1_006, own(4, 1), crash())]);
    script.extend([heard(3_000, LAB, CHAT, 0), submitted(3_000, 6, CHAT)]);
    script.extend([submitted(3_007, 7, CHAT), done(3_008, own(7, 1))]);
    script.extend([submitted(3_009, 8, CHAT), submitted(3_009, 9, CHAT)]);
    let said = lines(script);
    let forwarded: Vec<&str> =
        said.iter().filter(|line| line.contains("forward")).map(|line| line.split(" to ").next().unwrap()).collect();
    let expected = [
        "1: forward 1/1",
        "2: forward 2/1",
        "3: forward 3/1",
        "1004: forward 4/1",
        "3007: forward 7/1",
        "3009: forward 8/1",
        "3009: forward 9/1",
    ];
    assert_eq!(forwarded, expected, "{said:?}");
}

#[test]
fn pauses_grow_to_a_minute_and_no_further() {
    let mut script = broken();
    let (mut at, mut pause) = (3, 1_000);
    for request in 4..=14 {
        at += pause;
        script.extend([heard(at, LAB, CHAT, 0), submitted(at, request, CHAT), failed(at, own(request, 1), crash())]);
        pause = (pause * 2).min(60_000);
    }
    assert_eq!(lines(script).iter().filter(|line| line.contains("forward")).count(), 14);
}

#[test]
fn requests_that_fail_together_are_one_failure_of_a_server_that_was_left_alone() {
    let mut script = vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0)];
    for request in 1..=9 {
        script.push(submitted(1, request, CHAT));
    }
    for request in 1..=9 {
        script.push(failed(2, own(request, 1), crash()));
    }
    script.extend([heard(1_002, LAB, CHAT, 0), submitted(1_002, 10, CHAT)]);
    assert!(lines(script).last().unwrap().starts_with("1002: forward 10/1"), "the pause was one second");
}

#[test]
fn a_key_that_is_refused_counts_nothing_spends_no_retry_and_bars_at_once_and_for_long() {
    let price = Price { request: Money(10_000), ..Price::default() };
    let purses = [(lab(), Purse { price, ..Purse::default() })].into();
    let mut play = Play::new(eea()).then(vec![
        (0, Event::Budgets(Box::new(Budgets { purses, ..Budgets::default() }))),
        server(0, PlaceKind::Cloud),
        heard(0, LAB, CHAT, 0),
        submitted(1, 1, CHAT),
        ready(1, CHAT, 1),
        recorded(2, 1),
        failed(3, own(1, 1), refuses(Bar::Key(401))),
    ]);
    let said = play.only(&["forward", "run"]);
    assert!(said.len() == 2 && said[1].starts_with("3: run 1/2"), "it goes on here: {said:?}");
    let spent = play.core.spending().spent;
    assert_eq!(spent.money[&(lab(), AppName::parse("app").unwrap())], Money(0));
    let warnings = play.core.view(hither_types::time::Timestamp(4_000)).warnings;
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    for part in ["endpoint lab is left alone", "refuses the key", "HTTP 401", "60 s", "key_file"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }

    let alone = |rest| then(vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0)], rest);
    let mut script = alone(vec![submitted(1, 1, CHAT), failed(1, own(1, 1), refuses(Bar::Key(401)))]);
    script.extend([heard(59_000, LAB, CHAT, 0), submitted(59_000, 2, CHAT)]);
    script.extend([heard(60_001, LAB, CHAT, 0), submitted(60_001, 3, CHAT)]);
    let said = lines(script);
    let refusal = |again| Refusal::Barred { site: lab(), why: Bar::Key(401), again: Micros::from_millis(again) };
    assert_eq!(said[1], format!("1: refuse 1 {:?}", refusal(60_000)));
    assert_eq!(said[2], format!("59000: refuse 2 {:?}", refusal(1_001)));
    assert!(said[3].starts_with("60001: forward 3/1"), "{said:?}");
}

#[test]
fn what_an_operator_changed_is_tried_at_once_and_the_warning_goes_with_it() {
    let begin = vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0), submitted(1, 1, CHAT)];
    let script = then(begin, vec![failed(1, own(1, 1), refuses(Bar::Key(401))), server(2, PlaceKind::Home)]);
    let mut play = Play::new(eea()).then(then(script, vec![submitted(3, 2, CHAT)]));
    assert!(play.only(&["forward"]).last().unwrap().starts_with("3: forward 2/1"));
    assert!(play.core.view(hither_types::time::Timestamp(4_000)).warnings.is_empty());
}

#[test]
fn one_model_that_is_not_there_does_not_bar_the_others() {
    for why in [Bar::NoModel, Bar::Key(403)] {
        let mut script = vec![server(0, PlaceKind::Home), heard(0, LAB, CHAT, 0), submitted(1, 1, CHAT)];
        script.extend([failed(1, own(1, 1), refuses(why)), submitted(2, 2, CHAT)]);
        script.extend([heard(3, LAB, FRAUD, 0), submitted(3, 3, FRAUD), done(4, own(3, 1)), until(10)]);
        let mut play = Play::new(eea()).then(script);
        let forwarded = play.only(&["forward"]);
        assert_eq!(forwarded.len(), 2, "{why:?}: {forwarded:?}");
        let warnings = play.core.view(hither_types::time::Timestamp(11_000)).warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("model chat"), "{warnings:?}");
    }
}
