//! Servers outside the mesh: the last resort, within the law.

use std::collections::BTreeMap;

use hither_types::filter::Withheld;
use hither_types::id::{Attempt, NodeId, Operator, RequestId, SiteName};
use hither_types::member::Member;
use hither_types::message::Signal;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::Envelope;
use hither_types::unit::Micros;

use crate::tests::{
    CHAT, FRAUD, LYON, PARIS, Play, check, done, eea, failed, heard, load, member, nothing, own, place, prefers, ready,
    recorded, submitted, told, until, with,
};
use crate::{Event, PullPolicy};

const CLOUD: NodeId = NodeId([0xc0; 32]);
const OTHER: NodeId = NodeId([0xc1; 32]);

/// A server that stands somewhere and is run by somebody.
fn server(at: u64, node: NodeId, jurisdiction: &str, kind: PlaceKind) -> (u64, Event) {
    let site = SiteName::parse(if node == CLOUD { "cloud" } else { "other" }).unwrap();
    let operator = Operator::parse("somebody").unwrap();
    let place = Member { node, site, jurisdiction: place(jurisdiction), operator, ..member(PARIS) };
    (at, Event::EndpointAdded { place, kind, trains: BTreeMap::new() })
}

fn cloud(jurisdiction: &str) -> Vec<(u64, Event)> {
    vec![server(0, CLOUD, jurisdiction, PlaceKind::Cloud), heard(0, CLOUD, CHAT, 0)]
}

fn after(begin: Vec<(u64, Event)>, rest: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    begin.into_iter().chain(rest).collect()
}

#[test]
fn a_server_outside_is_asked_when_nobody_in_the_mesh_has_the_model_and_its_egress_is_recorded_first() {
    check(
        after(cloud("FR"), vec![submitted(1, 1, CHAT), recorded(2, 1), done(300, own(1, 1))]),
        "
        1: record#1 intent 1/1 to cloud by eea, 1000 B
        2: route 1/1 nowhere by eea
        2: forward 1/1 to nowhere, 9999 ms left
        300: record settled 1/1 to cloud: 1000 B, 50 B back, Answered
        300: finish 1
        300: record ended 1/0 Answered by nowhere after 1
    ",
    );
}

#[test]
fn a_member_with_room_goes_before_it_and_so_does_a_wait_here() {
    let script = after(
        cloud("FR"),
        vec![
            heard(0, PARIS, CHAT, 0),
            submitted(1, 1, CHAT),
            ready(2, CHAT, 1),
            submitted(3, 2, CHAT),
            submitted(4, 3, CHAT),
        ],
    );
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        3: route 2/1 munich by local
        3: run 2/1 chat
    ",
    );
}

/// A request that belongs to the server.
fn belongs(at: u64, id: u128) -> (u64, Event) {
    let prefer = Some(SiteName::parse("cloud").unwrap());
    with(at, id, Envelope { prefer, ..prefers(CHAT, PARIS) })
}

#[test]
fn what_belongs_there_goes_there_though_others_have_room() {
    let begin = after(cloud("FR"), vec![heard(0, PARIS, CHAT, 0), ready(0, CHAT, 1)]);
    check(
        after(begin, vec![belongs(1, 1), recorded(2, 1), done(300, own(1, 1))]),
        "
        1: record#1 intent 1/1 to cloud by eea, 1000 B
        2: route 1/1 nowhere by eea
        2: forward 1/1 to nowhere, 9999 ms left
        300: record settled 1/1 to cloud: 1000 B, 50 B back, Answered
        300: finish 1
        300: record ended 1/0 Answered by nowhere after 1
    ",
    );
}

#[test]
fn what_belongs_there_is_answered_elsewhere_where_the_law_or_the_server_says_no() {
    let here = "
        1: route 1/1 munich by local
        1: run 1/1 chat
    ";
    let unlawful = after(cloud("US"), vec![ready(0, CHAT, 1), belongs(1, 1)]);
    check(unlawful, here);
    let silent = vec![server(0, CLOUD, "FR", PlaceKind::Cloud), ready(0, CHAT, 1), belongs(1, 1)];
    check(silent, here);
    // It broke off: the next try is placed like any other.
    let failing = after(
        cloud("FR"),
        vec![ready(0, CHAT, 1), belongs(1, 1), recorded(2, 1), failed(3, own(1, 1), Failure::Unreachable)],
    );
    assert!(Play::new(eea()).then(failing).says("3: run 1/2 chat"));
}

#[test]
fn it_takes_over_when_the_members_cannot_be_reached() {
    let script = after(
        cloud("FR"),
        vec![
            heard(0, PARIS, CHAT, 0),
            submitted(1, 1, CHAT),
            recorded(2, 1),
            failed(3, own(1, 1), Failure::Unreachable),
            recorded(4, 2),
        ],
    );
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        3: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        3: record#2 intent 1/2 to cloud by eea, 1000 B
        4: route 1/2 nowhere by eea
        4: forward 1/2 to nowhere, 9997 ms left
    ",
    );
}

#[test]
fn the_law_is_asked_about_it_as_about_any_place() {
    check(
        after(cloud("US"), vec![submitted(1, 1, CHAT)]),
        "
        1: record denied 1/0, rule -, 1 considered
        1: refuse 1 Unlawful(nowhere)
        1: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn what_stays_on_this_machine_is_no_egress_and_always_lawful() {
    let begin = vec![server(0, CLOUD, "DE", PlaceKind::Home), heard(0, CLOUD, CHAT, 0)];
    Play::new(nothing()).then(after(begin, vec![submitted(1, 1, CHAT), done(9, own(1, 1))])).check(
        "
        1: route 1/1 nowhere by local
        1: forward 1/1 to nowhere, 10000 ms left
        9: finish 1
        9: record ended 1/0 Answered by nowhere after 1
    ",
    );
}

#[test]
fn a_server_that_does_not_speak_is_not_asked() {
    let begin = vec![server(0, CLOUD, "FR", PlaceKind::Cloud)];
    let silent = after(begin, vec![submitted(1, 1, CHAT)]);
    let gone = after(cloud("FR"), vec![until(4000), submitted(4000, 1, CHAT)]);
    for script in [silent, gone] {
        assert!(Play::new(eea()).then(script).says("refuse 1 NoCapacity"));
    }
}

#[test]
fn one_that_is_frozen_is_left_for_another_and_one_that_says_no_too() {
    let two = |kind| {
        vec![
            server(0, CLOUD, "DE", kind),
            server(0, OTHER, "DE", kind),
            heard(0, CLOUD, CHAT, 0),
            heard(0, OTHER, CHAT, 0),
        ]
    };
    let frozen = after(two(PlaceKind::Home), vec![submitted(1, 1, CHAT), until(800)]);
    let lines = Play::new(eea()).then(frozen).only(&["forward", "abandon"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("abandon 1/1") && lines[2].contains("forward 1/2"), "{lines:?}");

    let no = Failure::Declined(Refusal::Overloaded { retry_after: Micros::from_millis(1) });
    let full = after(two(PlaceKind::Home), vec![submitted(1, 1, CHAT), failed(2, own(1, 1), no)]);
    let lines = Play::new(eea()).then(full).only(&["forward", "refuse"]);
    assert!(lines.last().is_some_and(|line| line.contains("forward 1/2")), "{lines:?}");
}

#[test]
fn an_answer_that_broke_off_there_does_not_begin_again_elsewhere() {
    let begin = vec![server(0, CLOUD, "DE", PlaceKind::Home), heard(0, CLOUD, CHAT, 0)];
    let broken = Failure::Severed("cloud went away".to_owned());
    let script = vec![submitted(1, 1, CHAT), heard(4, PARIS, CHAT, 0), failed(5, own(1, 1), broken)];
    check(
        after(begin, script),
        "
        1: route 1/1 nowhere by local
        1: forward 1/1 to nowhere, 10000 ms left
        5: fail 1 Severed(\"cloud went away\")
        5: record ended 1/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn it_gives_no_files_and_gets_no_second_copies() {
    let begin = vec![server(0, CLOUD, "DE", PlaceKind::Home), heard(0, CLOUD, FRAUD, 0)];
    let script = vec![submitted(1, 1, FRAUD), done(5, own(1, 1)), (6, Event::PullWanted(FRAUD))];
    let lines = Play::with(eea(), PullPolicy::OnDemand).then(after(begin, script)).only(&["fetch", "load", "finish"]);
    assert_eq!(lines, ["5: finish 1"]);
}

#[test]
fn equal_servers_share_the_work() {
    let begin = vec![
        server(0, CLOUD, "DE", PlaceKind::Home),
        server(0, OTHER, "DE", PlaceKind::Home),
        heard(0, CLOUD, CHAT, 0),
        heard(0, OTHER, CHAT, 0),
    ];
    let mut script = begin;
    for request in 1..=40 {
        let at = u64::try_from(request).unwrap();
        script.extend([submitted(at, request, CHAT), done(at, own(request, 1))]);
    }
    let mut play = Play::new(eea()).then(script);
    assert_eq!(play.only(&["finish"]).len(), 40);
    let at_cloud = (1..=40).filter(|request| play.steps(*request).contains("cloud chosen")).count();
    assert!((10..=30).contains(&at_cloud), "{at_cloud} of 40 at one of two equal servers");
}

#[test]
fn one_that_cannot_take_this_request_is_asked_by_others_and_the_request_waits_for_a_member() {
    let offer = |request, attempt| (RequestId(request), Attempt(attempt));
    let accept = |at, from, (request, attempt)| told(at, from, Signal::Accept { request, attempt, load: load(1, 4) });
    let no = |at, from, (request, attempt), refusal| {
        told(at, from, Signal::Reject { request, attempt, refusal, load: load(4, 4) })
    };
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        submitted(1, 1, CHAT),
        accept(2, PARIS, offer(1, 1)),
        recorded(2, 1),
        heard(3, LYON, CHAT, 0),
        failed(4, own(1, 1), Failure::Unreachable),
        no(5, LYON, offer(1, 2), Refusal::Overloaded { retry_after: Micros::from_millis(500) }),
        no(6, CLOUD, offer(1, 2), Refusal::NoCapacity { tried: 0 }),
        submitted(7, 2, CHAT),
    ];
    let lines = Play::new(eea()).with_signals().then(after(cloud("FR"), script)).only(&["tell", "refuse", "fail"]);
    let to_cloud: Vec<_> = lines.iter().filter(|line| line.contains("tell nowhere")).collect();
    assert_eq!(to_cloud, ["5: tell nowhere offer 1/2", "7: tell nowhere offer 2/1"], "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("refuse") || line.contains("fail")), "{lines:?}");
}

#[test]
fn what_a_filter_keeps_from_one_goes_to_another_and_costs_no_retry() {
    let mut script = vec![
        server(0, CLOUD, "DE", PlaceKind::Home),
        server(0, OTHER, "DE", PlaceKind::Home),
        heard(0, CLOUD, CHAT, 0),
        heard(0, OTHER, CHAT, 0),
    ];
    let withheld = || {
        let (site, why) = (SiteName::parse("cloud").unwrap(), Withheld::Unreadable("ids of tokens"));
        Failure::Declined(Refusal::Withheld { site, why })
    };
    for request in 1..=20 {
        let at = u64::try_from(request).unwrap();
        script.extend([submitted(at, request, CHAT), failed(at, own(request, 1), withheld())]);
    }
    let both = Play::new(eea()).then(script.clone()).only(&["forward", "refuse"]);
    assert_eq!(both.len(), 40, "each went to the second at once: {both:?}");
    // Where both keep it back, the client is told so.
    script.extend((1..=20).map(|request| failed(30, own(request, 2), withheld())));
    let refused = Play::new(eea()).then(script).only(&["refuse"]);
    assert_eq!(refused.len(), 20, "{refused:?}");
    assert!(refused.iter().all(|line| line.contains("Withheld")), "{refused:?}");
}
