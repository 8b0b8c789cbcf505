//! The next place after a place said no or failed: never twice the same, never against the law, three at most.

use hither_types::id::RequestId;
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::model::Device;
use hither_types::refusal::{Failure, Refusal};
use hither_types::time::Timestamp;
use hither_types::unit::{Micros, Milliwatts};

use crate::event::Event;
use crate::tests::{
    CHAT, FRAUD, LYON, PARIS, Play, cap, check, done, envelope, failed, heard, law, nothing, own, prefers, ready,
    recorded, said, submitted, until, with,
};

fn overloaded() -> Failure {
    Failure::Declined(Refusal::Overloaded { retry_after: Micros::from_millis(300) })
}

#[test]
fn a_peer_that_declined_is_passed_over_for_a_second_and_the_request_goes_on() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 4),
        failed(4, own(1, 1), overloaded()),
        submitted(5, 2, FRAUD),
        submitted(1005, 3, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        4: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        4: record#2 intent 1/2 to lyon by eea, 1000 B
        5: record#3 intent 2/1 to lyon by eea, 1000 B
        1005: record#4 intent 3/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_law_that_says_no_over_there_sends_the_request_elsewhere() {
    let denial = hither_types::law::Denial::NotPermitted { nearest: None };
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        failed(4, own(1, 1), Failure::Declined(Refusal::UnlawfulThere(denial.clone()))),
        recorded(5, 2),
        failed(6, own(1, 2), Failure::Declined(Refusal::UnlawfulThere(denial))),
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
        6: record settled 1/2 to lyon: 1000 B, 0 B back, Refused
        6: refuse 1 UnlawfulThere
        6: record ended 1/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn a_retry_never_goes_where_a_changed_law_forbids() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        heard(2, LYON, FRAUD, 0),
        law(3, nothing()),
        recorded(4, 1),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        4: record settled 1/1 to paris: 0 B, 0 B back, Refused
        4: record denied 1/0, rule -, 2 considered
        4: refuse 1 Unlawful(paris, lyon)
        4: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn one_try_per_place_and_the_failure_is_the_last_word() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        failed(3, own(1, 1), Failure::Unreachable),
        submitted(4, 2, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        3: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        3: fail 1 Unreachable
        3: record ended 1/0 Refused by nobody after 1
        4: refuse 2 NoCapacity { tried: 1 }
        4: record ended 2/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_real_failure_is_remembered_over_a_later_no() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        failed(4, own(1, 1), Failure::EngineLost),
        recorded(5, 2),
        failed(6, own(1, 2), Failure::Declined(Refusal::NoPower { cap: Milliwatts(1) })),
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
        6: record settled 1/2 to lyon: 1000 B, 0 B back, Refused
        6: fail 1 EngineLost
        6: record ended 1/0 Refused by nobody after 2
    ",
    );
}

#[test]
fn three_attempts_are_the_most() {
    let mut script = vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD), heard(2, PARIS, FRAUD, 0)];
    script.push(failed(3, own(1, 1), Failure::EngineLost));
    script.push(recorded(4, 1));
    script.push(heard(5, LYON, FRAUD, 0));
    script.push(failed(6, own(1, 2), Failure::Unreachable));
    script.push(recorded(7, 2));
    script.push(ready(8, FRAUD, 1));
    script.push(failed(9, own(1, 3), Failure::Unreachable));
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: record#1 intent 1/2 to paris by eea, 1000 B
        4: route 1/2 paris by eea
        4: forward 1/2 to paris, 9997 ms left
        6: record settled 1/2 to paris: 1000 B, 0 B back, Refused
        6: record#2 intent 1/3 to lyon by eea, 1000 B
        7: route 1/3 lyon by eea
        7: forward 1/3 to lyon, 9994 ms left
        9: record settled 1/3 to lyon: 1000 B, 0 B back, Refused
        9: fail 1 Unreachable
        9: record ended 1/0 Refused by nobody after 3, 60 mJ
    ",
    );
}

#[test]
fn a_peer_that_fell_silent_is_left_alone_until_it_is_heard_again() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        until(753),
        submitted(800, 2, FRAUD),
        heard(1200, PARIS, FRAUD, 0),
        submitted(1201, 3, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        752: abandon 1/1 at paris
        752: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        752: fail 1 Silent
        752: record ended 1/0 Refused by nobody after 1
        800: refuse 2 NoCapacity { tried: 1 }
        800: record ended 2/0 Refused by nobody after 0
        1201: record#2 intent 3/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_member_that_was_not_heard_lately_is_not_asked() {
    check(
        vec![heard(0, PARIS, FRAUD, 0), submitted(2501, 1, FRAUD)],
        "
        2501: refuse 1 NoCapacity { tried: 1 }
        2501: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn a_peer_that_speaks_and_keeps_failing_is_given_time() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(1200, PARIS, FRAUD, 0),
        submitted(1201, 2, FRAUD),
        recorded(1202, 2),
        heard(2200, PARIS, FRAUD, 0),
        submitted(2201, 3, FRAUD),
        heard(5900, PARIS, FRAUD, 0),
        submitted(5901, 4, FRAUD),
        submitted(5953, 5, FRAUD),
    ];
    check(
        script,
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        752: abandon 1/1 at paris
        752: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        752: fail 1 Silent
        752: record ended 1/0 Refused by nobody after 1
        1201: record#2 intent 2/1 to paris by eea, 1000 B
        1202: route 2/1 paris by eea
        1202: forward 2/1 to paris, 9999 ms left
        1952: abandon 2/1 at paris
        1952: record settled 2/1 to paris: 1000 B, 0 B back, Refused
        1952: fail 2 Silent
        1952: record ended 2/0 Refused by nobody after 1
        2201: refuse 3 NoCapacity { tried: 1 }
        2201: record ended 3/0 Refused by nobody after 0
        5901: refuse 4 NoCapacity { tried: 1 }
        5901: record ended 4/0 Refused by nobody after 0
        5953: record#3 intent 5/1 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn a_request_whose_place_died_waits_for_a_slot_here_as_long_as_it_has() {
    let deadline = Timestamp(601 * 1000);
    let hurried = Event::Submitted { request: RequestId(2), envelope: envelope(FRAUD), deadline, affinity: None };
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        heard(1, PARIS, FRAUD, 0),
        (1, hurried),
        recorded(2, 1),
        // The queue here is longer than a new request would be let to wait; paris is dead.
        failed(3, own(2, 1), Failure::Unreachable),
        done(400, own(1, 1)),
        done(500, own(2, 2)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        1: record#1 intent 2/1 to paris by eea, 1000 B
        2: route 2/1 paris by eea
        2: forward 2/1 to paris, 599 ms left
        3: record settled 2/1 to paris: 1000 B, 0 B back, Refused
        400: finish 1
        400: record ended 1/0 Answered by munich after 1, 11970 mJ
        400: route 2/2 munich by local
        400: run 2/2 fraud
        500: finish 2
        500: record ended 2/0 Answered by munich after 2, 3000 mJ
    ",
    );
}

#[test]
fn what_lost_its_place_starts_here_at_once_though_others_are_quicker() {
    let quick = |from, busy| {
        let service = Micros::from_millis(20);
        said(
            202,
            from,
            ModelPresence {
                digest: CHAT,
                stage: ModelStage::Ready,
                device: Device::Cpu,
                slots: 4,
                busy,
                queued: 0,
                service,
            },
        )
    };
    let script = vec![
        cap(0, 1000),
        ready(0, CHAT, 1),
        submitted(1, 1, CHAT),
        done(201, own(1, 1)),
        quick(PARIS, 0),
        quick(LYON, 4),
        with(203, 2, prefers(CHAT, PARIS)),
        recorded(204, 1),
        until(960),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 chat
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
        203: record#1 intent 2/1 to paris by eea, 1000 B
        204: route 2/1 paris by eea
        204: forward 2/1 to paris, 9999 ms left
        954: abandon 2/1 at paris
        954: record settled 2/1 to paris: 1000 B, 0 B back, Refused
        954: route 2/2 munich by local
        954: run 2/2 chat
    ",
    );
}

#[test]
fn a_node_that_was_just_started_waits_to_hear_from_members() {
    // Paris is heard, and has it; Lyon never is.
    let script = vec![submitted(1, 1, FRAUD), until(100), heard(200, PARIS, FRAUD, 0), until(260)];
    let mut play = Play::settling().then(script);
    assert_eq!(play.only(&["refuse"]), [""; 0]);
    assert!(play.steps(1).contains("paris chosen"), "{}", play.steps(1));
    // Nobody is: what it was not told within its time it does not wait for.
    let mut alone =
        Play::settling().then(vec![submitted(1, 1, FRAUD), until(900), until(1_100), submitted(1_200, 2, FRAUD)]);
    let refused = alone.only(&["refuse"]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].ends_with("refuse 1 NoCapacity { tried: 0 }") && refused[1].starts_with("1200:"), "{refused:?}");
    assert!(!refused[0].starts_with("1: ") && !refused[0].starts_with("900: "), "{refused:?}");
}
