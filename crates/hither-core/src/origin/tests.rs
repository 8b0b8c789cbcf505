//! A request that entered here: where it goes, and its one end.

use hither_types::fact::Fact;
use hither_types::id::RequestId;
use hither_types::member::Role;
use hither_types::refusal::{Failure, InputFault};
use hither_types::time::Timestamp;
use hither_types::unit::Micros;

use crate::tests::{
    FRAUD, JAKARTA, LYON, MUNICH, PARIS, Play, cap, check, critical, done, eea, envelope, failed, heard, law, low, may,
    no_fraud_in_germany, nothing, own, prefers, ready, recorded, submitted, until, with,
};
use crate::{Action, Event};

#[test]
fn a_free_slot_here_serves_without_a_packet() {
    check(
        vec![ready(0, FRAUD, 1), heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), done(201, own(1, 1))],
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
    ",
    );
}

#[test]
fn the_record_of_an_end_says_how_long_the_request_was_there() {
    let mut play = Play::new(eea()).then(vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD)]).quietly();
    let (_, answered) = done(201, own(1, 1));
    let actions: Vec<Action> = play.core.handle(answered, Timestamp(201_000)).collect();
    let took = actions.iter().find_map(|action| match action {
        Action::Record { fact: Fact::Ended { took, .. }, .. } => Some(*took),
        _ => None,
    });
    assert_eq!(took, Some(Micros::from_millis(200)));
}

#[test]
fn a_name_that_nobody_catalogued_is_unknown() {
    let mut unknown = envelope(FRAUD);
    unknown.model = hither_types::id::ModelName::parse("nobody").unwrap();
    check(
        vec![with(0, 1, unknown)],
        "
        0: refuse 1 UnknownModel(\"nobody\")
        0: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_model_that_only_unlawful_places_hold_is_refused_by_law_and_on_the_record() {
    check(
        vec![heard(0, JAKARTA, FRAUD, 0), submitted(1, 1, FRAUD)],
        "
        1: record denied 1/0, rule -, 1 considered
        1: refuse 1 Unlawful(jakarta)
        1: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_member_whose_certificate_does_not_let_it_serve_is_never_asked() {
    let held = vec![
        heard(0, LYON, FRAUD, 0),
        heard(0, PARIS, FRAUD, 3),
        may(1, LYON, &[Role::Request, Role::Relay, Role::Publish]),
        submitted(2, 1, FRAUD),
    ];
    // Lyon is free and paris nearly full.
    check(held, "2: record#1 intent 1/1 to paris by eea, 1000 B");
    // Nobody else: its reason is a role, and not the law.
    let mut alone =
        Play::new(eea()).then(vec![heard(0, LYON, FRAUD, 0), may(1, LYON, &[Role::Request]), submitted(2, 1, FRAUD)]);
    assert_eq!(alone.only(&["refuse"]), ["2: refuse 1 Unlawful(lyon)"]);
    assert!(alone.steps(1).contains("lyon denied"), "{}", alone.steps(1));
}

#[test]
fn a_node_whose_certificate_does_not_let_it_ask_serves_itself_or_refuses() {
    let alone = [Role::Serve, Role::Relay, Role::Publish];
    let script = vec![heard(0, PARIS, FRAUD, 0), may(1, MUNICH, &alone), submitted(2, 1, FRAUD)];
    assert_eq!(Play::new(eea()).then(script).only(&["refuse", "forward"]), ["2: refuse 1 Unlawful(paris)"]);
    check(
        vec![ready(0, FRAUD, 1), may(1, MUNICH, &alone), submitted(2, 1, FRAUD)],
        "
        2: route 1/1 munich by local
        2: run 1/1 fraud
    ",
    );
}

#[test]
fn a_model_that_nobody_holds_finds_no_capacity() {
    check(
        vec![submitted(1, 1, FRAUD)],
        "
        1: refuse 1 NoCapacity { tried: 0 }
        1: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_home_that_a_forbid_names_is_not_used_while_a_lawful_peer_is() {
    let script = vec![ready(0, FRAUD, 1), heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD)];
    Play::new(no_fraud_in_germany()).then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn the_wish_of_the_caller_beats_a_free_slot_here() {
    check(
        vec![ready(0, FRAUD, 1), heard(0, PARIS, FRAUD, 0), with(1, 1, prefers(FRAUD, PARIS))],
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn the_wish_of_the_caller_does_not_beat_the_law() {
    check(
        vec![ready(0, FRAUD, 1), heard(0, JAKARTA, FRAUD, 0), with(1, 1, prefers(FRAUD, JAKARTA))],
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
    ",
    );
}

#[test]
fn a_full_node_sends_to_a_peer_with_a_free_slot() {
    check(
        vec![ready(0, FRAUD, 1), heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), submitted(2, 2, FRAUD)],
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: record#1 intent 2/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_full_node_without_peers_queues_while_the_wait_is_short_and_refuses_with_an_honest_word_beyond() {
    // 200 ms each: ten may wait for the two seconds that are a fifth of the time left.
    let mut script = vec![ready(0, FRAUD, 1)];
    script.extend((1..=12).map(|request| submitted(1, request, FRAUD)));
    script.push(done(201, own(1, 1)));
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        1: refuse 12 Overloaded(200 ms)
        1: record ended 12/0 Refused by nobody after 0
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
        201: route 2/1 munich by local
        201: run 2/1 fraud
    ",
    );
}

#[test]
fn a_critical_request_overtakes_those_that_wait() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        with(2, 2, low(FRAUD)),
        submitted(3, 3, FRAUD),
        with(4, 4, critical(FRAUD)),
        done(201, own(1, 1)),
        done(401, own(4, 1)),
        done(601, own(3, 1)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
        201: route 4/1 munich by local
        201: run 4/1 fraud
        401: finish 4
        401: record ended 4/0 Answered by munich after 1, 6000 mJ
        401: route 3/1 munich by local
        401: run 3/1 fraud
        601: finish 3
        601: record ended 3/0 Answered by munich after 1, 6000 mJ
        601: route 2/1 munich by local
        601: run 2/1 fraud
    ",
    );
}

#[test]
fn a_tenth_of_many_slots_is_kept_for_critical_requests() {
    let mut script = vec![cap(0, 1000), ready(0, FRAUD, 10)];
    script.extend((1..=10).map(|request| submitted(1, request, FRAUD)));
    script.push(with(2, 11, critical(FRAUD)));
    let normal: String =
        (1..=9).map(|request| format!("1: route {request}/1 munich by local\n1: run {request}/1 fraud\n")).collect();
    check(script, &format!("{normal}2: route 11/1 munich by local\n2: run 11/1 fraud"));
}

#[test]
fn a_request_waits_for_a_model_that_is_being_loaded() {
    check(
        vec![(0, Event::ModelStored(FRAUD)), submitted(1, 1, FRAUD), ready(50, FRAUD, 1), done(250, own(1, 1))],
        "
        0: load fraud
        50: route 1/1 munich by local
        50: run 1/1 fraud
        250: finish 1
        250: record ended 1/0 Answered by munich after 1, 6000 mJ
    ",
    );
}

#[test]
fn a_request_that_waits_for_a_model_goes_to_a_peer_that_has_it_ready_first() {
    check(
        vec![(0, Event::ModelStored(FRAUD)), submitted(1, 1, FRAUD), heard(50, PARIS, FRAUD, 0), recorded(51, 1)],
        "
            0: load fraud
            50: record#1 intent 1/1 to paris by eea, 1000 B
            51: route 1/1 paris by eea
            51: forward 1/1 to paris, 9950 ms left
        ",
    );
}

#[test]
fn the_deadline_ends_a_request_that_runs_and_one_that_waits() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        submitted(1, 2, FRAUD),
        until(11_000),
        done(11_001, own(1, 1)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        10001: stop 1/1
        10001: refuse 1 DeadlinePassed
        10001: record ended 1/0 Refused by nobody after 1, 300000 mJ
        10001: refuse 2 DeadlinePassed
        10001: record ended 2/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_request_that_comes_too_late_is_not_started() {
    let (_, event) = submitted(0, 1, FRAUD);
    let Event::Submitted { request, envelope, .. } = event else { panic!("a submission") };
    let deadline = hither_types::time::Timestamp(5_000);
    check(
        vec![ready(0, FRAUD, 1), (5, Event::Submitted { request, envelope, deadline, affinity: None })],
        "
        5: refuse 1 DeadlinePassed
        5: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_client_that_leaves_stops_the_work_and_is_told_nothing() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        (2, Event::ClientGone(RequestId(1))),
        done(3, own(1, 1)),
        (4, Event::ClientGone(RequestId(1))),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: stop 1/1
        2: record ended 1/0 Cancelled by nobody after 1, 30 mJ
    ",
    );
}

#[test]
fn a_request_that_is_submitted_twice_is_served_once() {
    let script = vec![
        ready(0, FRAUD, 2),
        submitted(1, 1, FRAUD),
        submitted(2, 1, FRAUD),
        done(3, own(1, 1)),
        done(4, own(1, 1)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: finish 1
        3: record ended 1/0 Answered by munich after 1, 60 mJ
    ",
    );
}

#[test]
fn a_wrong_input_is_never_tried_again() {
    let fault = Failure::BadInput(InputFault::Other("no such tensor".to_owned()));
    let script =
        vec![ready(0, FRAUD, 1), heard(0, PARIS, FRAUD, 0), submitted(1, 1, FRAUD), failed(2, own(1, 1), fault)];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: fail 1 BadInput(Other(\"no such tensor\"))
        2: record ended 1/0 Refused by nobody after 1, 30 mJ
    ",
    );
}

#[test]
fn a_lost_engine_here_sends_its_request_to_a_peer() {
    let script = vec![
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        failed(2, own(1, 1), Failure::EngineLost),
        (2, Event::ModelLost(FRAUD)),
        recorded(3, 1),
        done(300, own(1, 2)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: record#1 intent 1/2 to paris by eea, 1000 B
        3: route 1/2 paris by eea
        3: forward 1/2 to paris, 9998 ms left
        252: load fraud
        300: record settled 1/2 to paris: 1000 B, 50 B back, Answered
        300: finish 1
        300: record ended 1/0 Answered by paris after 2, 30 mJ
    ",
    );
}

#[test]
fn a_lost_engine_without_peers_tries_once_more_here_when_it_is_back_and_no_further() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        failed(2, own(1, 1), Failure::EngineLost),
        (2, Event::ModelLost(FRAUD)),
        ready(400, FRAUD, 1),
        failed(500, own(1, 2), Failure::EngineLost),
        (500, Event::ModelLost(FRAUD)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        252: load fraud
        400: route 1/2 munich by local
        400: run 1/2 fraud
        500: fail 1 EngineLost
        500: record ended 1/0 Refused by nobody after 2, 3030 mJ
    ",
    );
}

#[test]
fn an_engine_that_lost_a_task_is_trusted_again_after_a_second_if_nothing_more_is_said() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        failed(2, own(1, 1), Failure::EngineLost),
        submitted(3, 2, FRAUD),
        until(1100),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        1002: route 1/2 munich by local
        1002: run 1/2 fraud
    ",
    );
}

#[test]
fn an_engine_that_fails_inside_is_not_asked_the_same_again() {
    let failure = Failure::Engine("NaN in layer 3".to_owned());
    check(
        vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD), failed(2, own(1, 1), failure)],
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: fail 1 Engine(\"NaN in layer 3\")
        2: record ended 1/0 Refused by nobody after 1, 30 mJ
    ",
    );
}

#[test]
fn a_change_of_the_law_stops_what_it_does_not_allow_any_more() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        law(100, nothing()),
        done(101, own(1, 1)),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        100: abandon 1/1 at paris
        100: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        100: record denied 1/0, rule -, 1 considered
        100: refuse 1 Unlawful(paris)
        100: record ended 1/0 Refused by nobody after 1
    ",
    );
}

#[test]
fn the_explanation_tells_the_whole_story() {
    let script = vec![
        heard(0, JAKARTA, FRAUD, 0),
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(700, LYON, FRAUD, 0),
        until(760),
        recorded(761, 2),
        done(900, own(1, 2)),
    ];
    let play = check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        752: abandon 1/1 at paris
        752: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        752: record#2 intent 1/2 to lyon by eea, 1000 B
        761: route 1/2 lyon by eea
        761: forward 1/2 to lyon, 9240 ms left
        900: record settled 1/2 to lyon: 1000 B, 50 B back, Answered
        900: finish 1
        900: record ended 1/0 Answered by lyon after 2
    ",
    );
    assert_eq!(
        play.steps(1),
        "1: Arrived; 1: paris permitted by eea; 1: jakarta denied; 1: paris chosen, 200 ms; \
         2: Recorded { bytes: ByteCount(1000) }; 2: started at paris; 752: paris failed, Silent; \
         752: paris permitted by eea; 752: lyon permitted by eea; 752: jakarta denied; \
         752: paris passed over, it was tried before; 752: lyon chosen, 200 ms; 761: Recorded { bytes: ByteCount(1000) }; \
         761: started at lyon; 900: answered by lyon"
    );
    let totals = play.core.view(hither_types::time::Timestamp(0)).totals;
    assert_eq!((totals.requests, totals.answered, totals.migrated, totals.egress_requests.0), (1, 1, 1, 2000));
}
