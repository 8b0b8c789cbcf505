//! A task of a peer: our own law, our own room, and the end that the peer is told.

use hither_types::id::{NodeId, Ticket};
use hither_types::member::Role;
use hither_types::refusal::Failure;
use hither_types::unit::Micros;

use crate::Event;
use crate::tests::{
    FRAUD, JAKARTA, MUNICH, PARIS, Play, asked, cap, check, done, eea, envelope, failed, law, may, nothing, of,
    offered, own, ready, recorded, submitted, until,
};

#[test]
fn a_task_is_recorded_then_accepted_then_run_and_its_answer_is_on_the_record() {
    let script = vec![
        ready(0, FRAUD, 1),
        asked(1, of(PARIS, 7), FRAUD),
        recorded(2, 1),
        done(202, of(PARIS, 7)),
        done(203, of(PARIS, 7)),
    ];
    let play = check(
        script,
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        202: record answer 7/1 to paris: 50 B, Answered
        202: finish paris:7/1
    ",
    );
    let totals = play.core.view(hither_types::time::Timestamp(0)).totals;
    assert_eq!((totals.requests, totals.served_for_peers, totals.egress_answers.0), (0, 1, 50));
    assert_eq!(play.steps(7), "2: served for paris");
}

#[test]
fn a_stranger_is_declined() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(NodeId([9; 32]), 7), FRAUD)],
        "
        1: decline nowhere:7/1 NotAMember
    ",
    );
}

#[test]
fn our_own_law_decides_whatever_the_origin_thinks() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(JAKARTA, 7), FRAUD)],
        "
        1: record ingress refused 7/1 from jakarta, rule -
        1: decline jakarta:7/1 UnlawfulThere
    ",
    );
}

#[test]
fn home_is_lawful_for_our_own_requests_only() {
    Play::new(nothing()).then(vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), submitted(2, 1, FRAUD)]).check(
        "
            1: record ingress refused 7/1 from paris, rule -
            1: decline paris:7/1 UnlawfulThere
            2: route 1/1 munich by local
            2: run 1/1 fraud
        ",
    );
}

#[test]
fn a_member_whose_certificate_does_not_let_it_ask_is_declined() {
    // Whatever it offers or sends: what its own program thinks of it does not count.
    check(
        vec![
            ready(0, FRAUD, 1),
            may(0, PARIS, &[Role::Serve, Role::Relay, Role::Publish]),
            asked(1, of(PARIS, 7), FRAUD),
        ],
        "
        1: record ingress refused 7/1 from paris, rule -
        1: decline paris:7/1 UnlawfulThere
    ",
    );
    let offer = vec![ready(0, FRAUD, 1), may(0, PARIS, &[Role::Serve]), offered(1, PARIS, FRAUD, 0)];
    let said = Play::new(eea()).with_signals().then(offer).only(&["tell"]);
    assert_eq!(said, ["1: tell paris reject 50/1 UnlawfulThere"]);
}

#[test]
fn a_node_whose_certificate_does_not_let_it_serve_works_for_itself_alone() {
    let script = vec![
        ready(0, FRAUD, 1),
        may(0, MUNICH, &[Role::Request]),
        asked(1, of(PARIS, 7), FRAUD),
        submitted(2, 1, FRAUD),
    ];
    check(
        script,
        "
        1: record ingress refused 7/1 from paris, rule -
        1: decline paris:7/1 UnlawfulThere
        2: route 1/1 munich by local
        2: run 1/1 fraud
    ",
    );
}

#[test]
fn a_certificate_that_says_less_than_the_one_before_stops_what_runs() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), recorded(2, 1), may(3, PARIS, &[Role::Serve])],
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        3: stop paris:7/1
        3: record answer 7/1 to paris: 0 B, Refused
        3: fail paris:7/1 Declined(UnlawfulThere)
    ",
    );
}

#[test]
fn a_law_that_changed_while_the_acceptance_was_written_declines() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), law(2, nothing()), recorded(3, 1)],
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        3: record answer 7/1 to paris: 0 B, Refused
        3: fail paris:7/1 Declined(UnlawfulThere)
    ",
    );
}

#[test]
fn a_law_that_changed_while_a_task_runs_stops_it() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), recorded(2, 1), law(3, nothing())],
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        3: stop paris:7/1
        3: record answer 7/1 to paris: 0 B, Refused
        3: fail paris:7/1 Declined(UnlawfulThere)
    ",
    );
}

#[test]
fn a_task_comes_in_twice_and_runs_once() {
    let script = vec![
        ready(0, FRAUD, 2),
        asked(1, of(PARIS, 7), FRAUD),
        asked(1, of(PARIS, 7), FRAUD),
        recorded(2, 1),
        asked(3, of(PARIS, 7), FRAUD),
        done(202, of(PARIS, 7)),
        asked(203, of(PARIS, 7), FRAUD),
    ];
    check(
        script,
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        202: record answer 7/1 to paris: 50 B, Answered
        202: finish paris:7/1
    ",
    );
}

#[test]
fn a_model_that_is_being_opened_here_is_asked_for_again() {
    check(
        vec![(0, Event::ModelStored(FRAUD)), asked(1, of(PARIS, 7), FRAUD)],
        "
        0: load fraud
        1: decline paris:7/1 Overloaded(2000 ms)
    ",
    );
}

#[test]
fn tasks_wait_here_for_a_second_at_most_and_the_rest_is_declined_early() {
    let mut script = vec![ready(0, FRAUD, 1)];
    script.extend((1..=8).map(|task| asked(1, of(PARIS, task), FRAUD)));
    script.extend((1..=6).map(|ticket| recorded(2, ticket)));
    check(
        script,
        "
        1: record#1 ingress 1/1 from paris by eea, 1000 B
        1: record#2 ingress 2/1 from paris by eea, 1000 B
        1: record#3 ingress 3/1 from paris by eea, 1000 B
        1: record#4 ingress 4/1 from paris by eea, 1000 B
        1: record#5 ingress 5/1 from paris by eea, 1000 B
        1: record#6 ingress 6/1 from paris by eea, 1000 B
        1: decline paris:7/1 Overloaded(1200 ms)
        1: decline paris:8/1 Overloaded(1200 ms)
        2: accept paris:1/1
        2: run paris:1/1 fraud
        2: accept paris:2/1
        2: accept paris:3/1
        2: accept paris:4/1
        2: accept paris:5/1
        2: accept paris:6/1
    ",
    );
}

#[test]
fn a_node_without_power_says_so() {
    check(
        vec![cap(0, 20), ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD)],
        "
        1: decline paris:7/1 NoPower(20 W)
    ",
    );
}

#[test]
fn a_peer_that_does_not_want_the_answer_any_more_stops_the_work() {
    let script = vec![
        ready(0, FRAUD, 1),
        asked(1, of(PARIS, 7), FRAUD),
        recorded(2, 1),
        asked(3, of(PARIS, 8), FRAUD),
        (4, Event::AskerGone(of(PARIS, 7))),
        (4, Event::AskerGone(of(PARIS, 8))),
        recorded(5, 2),
        done(6, of(PARIS, 7)),
    ];
    check(
        script,
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        3: record#2 ingress 8/1 from paris by eea, 1000 B
        4: stop paris:7/1
        4: record answer 7/1 to paris: 0 B, Cancelled
        4: record answer 8/1 to paris: 0 B, Cancelled
    ",
    );
}

#[test]
fn the_engine_fails_and_the_peer_is_told() {
    let script = vec![
        ready(0, FRAUD, 2),
        asked(1, of(PARIS, 7), FRAUD),
        asked(1, of(PARIS, 8), FRAUD),
        recorded(2, 1),
        recorded(2, 2),
        failed(3, of(PARIS, 7), Failure::EngineLost),
        (4, Event::ModelLost(FRAUD)),
    ];
    check(
        script,
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        1: record#2 ingress 8/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        2: accept paris:8/1
        2: run paris:8/1 fraud
        3: record answer 7/1 to paris: 0 B, Refused
        3: fail paris:7/1 EngineLost
        4: record answer 8/1 to paris: 0 B, Refused
        4: fail paris:8/1 EngineLost
    ",
    );
}

#[test]
fn a_ledger_that_cannot_record_accepts_nothing() {
    check(
        vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), (2, Event::RecordFailed(Ticket(1)))],
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: decline paris:7/1 LedgerUnavailable
    ",
    );
}

#[test]
fn the_deadline_of_a_task_ends_it_here_too() {
    let (_, event) = asked(1, of(PARIS, 7), FRAUD);
    let Event::Asked { task, .. } = event else { panic!("a task") };
    let event = Event::Asked { task, digest: FRAUD, envelope: envelope(FRAUD), remaining: Micros::from_millis(100) };
    check(
        vec![ready(0, FRAUD, 1), (1, event), recorded(2, 1), until(102)],
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        101: stop paris:7/1
        101: record answer 7/1 to paris: 0 B, Refused
        101: fail paris:7/1 Declined(DeadlinePassed)
    ",
    );
}

#[test]
fn a_member_that_is_removed_is_served_no_more() {
    let script =
        vec![ready(0, FRAUD, 1), asked(1, of(PARIS, 7), FRAUD), recorded(2, 1), (3, Event::MemberRemoved(PARIS))];
    check(
        script,
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        3: stop paris:7/1
        3: record answer 7/1 to paris: 0 B, Refused
        3: fail paris:7/1 Declined(NotAMember)
    ",
    );
}

#[test]
fn a_cap_that_falls_sends_the_tasks_of_peers_back_and_keeps_what_fits() {
    let script = vec![
        ready(0, FRAUD, 3),
        asked(1, of(PARIS, 7), FRAUD),
        recorded(2, 1),
        submitted(3, 1, FRAUD),
        asked(4, of(PARIS, 8), FRAUD),
        recorded(5, 2),
        cap(6, 75),
        done(202, own(1, 1)),
    ];
    Play::new(eea()).then(script).check(
        "
        1: record#1 ingress 7/1 from paris by eea, 1000 B
        2: accept paris:7/1
        2: run paris:7/1 fraud
        3: route 1/1 munich by local
        3: run 1/1 fraud
        4: record#2 ingress 8/1 from paris by eea, 1000 B
        5: accept paris:8/1
        5: run paris:8/1 fraud
        6: stop paris:8/1
        6: record answer 8/1 to paris: 0 B, Refused
        6: fail paris:8/1 Declined(NoPower(75 W))
        202: finish 1
        202: record ended 1/0 Answered by munich after 1, 5970 mJ
    ",
    );
}
