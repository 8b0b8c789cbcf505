//! Power, stopping, and what holds whatever comes.

use hither_types::id::RequestId;
use hither_types::time::Timestamp;
use hither_types::unit::Milliwatts;

use crate::random::Random;
use crate::tests::{
    FRAUD, LYON, MUNICH, PARIS, Play, asked, beat, cap, check, critical, done, eea, failed, heard, law, low,
    no_fraud_in_germany, of, own, ready, recorded, submitted, until, with,
};
use crate::{Action, Event};
use hither_types::refusal::Failure;

#[test]
fn a_cap_that_falls_stops_the_least_important_and_youngest_and_they_wait_for_power() {
    let script = vec![
        ready(0, FRAUD, 3),
        submitted(1, 1, FRAUD),
        with(2, 2, low(FRAUD)),
        with(3, 3, critical(FRAUD)),
        cap(4, 75),
        cap(5, 45),
        done(205, own(3, 1)),
        cap(300, 100),
        done(400, own(1, 2)),
        done(401, own(2, 2)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: route 2/1 munich by local
        2: run 2/1 fraud
        3: route 3/1 munich by local
        3: run 3/1 fraud
        4: stop 2/1
        5: stop 1/1
        205: finish 3
        205: record ended 3/0 Answered by munich after 1, 6060 mJ
        205: route 1/2 munich by local
        205: run 1/2 fraud
        300: route 2/2 munich by local
        300: run 2/2 fraud
        400: finish 1
        400: record ended 1/0 Answered by munich after 2, 5970 mJ
        401: finish 2
        401: record ended 2/0 Answered by munich after 2, 3090 mJ
    ",
    );
}

#[test]
fn a_cap_that_falls_sends_running_work_to_a_lawful_peer() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        heard(2, PARIS, FRAUD, 0),
        cap(3, 20),
        recorded(4, 1),
        done(200, own(1, 2)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: stop 1/1
        3: record#1 intent 1/2 to paris by eea, 1000 B
        4: route 1/2 paris by eea
        4: forward 1/2 to paris, 9997 ms left
        200: record settled 1/2 to paris: 1000 B, 50 B back, Answered
        200: finish 1
        200: record ended 1/0 Answered by paris after 2, 60 mJ
    ",
    );
}

#[test]
fn new_work_goes_to_a_peer_while_the_cap_is_down_and_stays_here_when_it_is_back() {
    let script = vec![
        ready(0, FRAUD, 1),
        heard(0, PARIS, FRAUD, 0),
        cap(1, 20),
        submitted(2, 1, FRAUD),
        cap(3, 100),
        submitted(4, 2, FRAUD),
    ];
    check(
        script,
        "
        2: record#1 intent 1/1 to paris by eea, 1000 B
        4: route 2/1 munich by local
        4: run 2/1 fraud
    ",
    );
}

#[test]
fn no_power_and_no_peer_is_said_as_such() {
    check(
        vec![ready(0, FRAUD, 1), cap(1, 20), submitted(2, 1, FRAUD)],
        "
        2: refuse 1 NoPower(20 W)
        2: record ended 1/0 Refused by nobody after 0
    ",
    );
}

#[test]
fn what_waits_for_power_goes_to_a_peer_that_shows_up() {
    let script =
        vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD), cap(2, 20), heard(3, PARIS, FRAUD, 0), recorded(4, 1)];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        2: stop 1/1
        3: record#1 intent 1/2 to paris by eea, 1000 B
        4: route 1/2 paris by eea
        4: forward 1/2 to paris, 9997 ms left
    ",
    );
}

#[test]
fn a_node_that_stops_refuses_what_is_new_and_finishes_what_runs() {
    let script = vec![
        ready(0, FRAUD, 2),
        submitted(1, 1, FRAUD),
        (2, Event::Draining),
        submitted(3, 2, FRAUD),
        asked(4, of(PARIS, 7), FRAUD),
        done(201, own(1, 1)),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: refuse 2 Stopping
        3: record ended 2/0 Refused by nobody after 0
        4: decline paris:7/1 Stopping
        201: finish 1
        201: record ended 1/0 Answered by munich after 1, 6000 mJ
    ",
    );
}

#[test]
fn late_words_about_older_attempts_change_nothing() {
    let script = vec![
        heard(0, PARIS, FRAUD, 0),
        submitted(1, 1, FRAUD),
        recorded(2, 1),
        heard(3, LYON, FRAUD, 0),
        failed(4, own(1, 1), Failure::Unreachable),
        recorded(5, 2),
        recorded(6, 1),
        failed(6, own(1, 1), Failure::Unreachable),
        beat(7, own(1, 1), 9),
        done(8, own(1, 1)),
        done(9, own(1, 2)),
        failed(10, own(1, 2), Failure::Unreachable),
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
        9: record settled 1/2 to lyon: 1000 B, 50 B back, Answered
        9: finish 1
        9: record ended 1/0 Answered by lyon after 2
    ",
    );
}

#[test]
fn the_view_shows_members_with_the_time_since_they_were_heard() {
    let play = check(vec![heard(100, PARIS, FRAUD, 1), ready(200, FRAUD, 2)], "");
    let view = play.core.view(Timestamp(5_100_000));
    let nodes = view.nodes.iter().map(|node| format!("{} {:?}", node.member.site, node.presence));
    let expected = ["munich Here", "paris Gone(Some(Micros(5000000)))", "lyon Gone(None)", "jakarta Gone(None)"];
    assert_eq!(nodes.collect::<Vec<_>>(), expected);
    assert_eq!(view.nodes[0].models[0].slots, 2);
    assert_eq!(view.nodes[1].models[0].busy, 1);
}

#[test]
fn a_model_without_a_watt_left_is_a_warning() {
    let play = check(vec![ready(0, FRAUD, 1), cap(1, 20)], "");
    let warnings = play.core.view(Timestamp(0)).warnings;
    assert_eq!(warnings, ["model fraud is ready, and the power cap of 20 W leaves it no slot"]);
}

/// One world by chance: events in any order, most of them about things that exist. Says how requests ended.
fn storm(seed: u64) -> (Vec<String>, u64) {
    let mut random = Random::new(seed);
    let mut core = Play::new(eea()).core;
    let (mut open, mut endings, mut hash) = (Vec::<u128>::new(), std::collections::BTreeMap::<u128, u32>::new(), 0u64);
    let (mut tickets, mut tasks, mut next) = (Vec::new(), Vec::new(), 0u128);
    let mut now = 0;
    for _ in 0..600 {
        now += random.below(120) as u64;
        let mut pick = |from: &Vec<hither_types::id::Task>| match from.len() {
            0 => own(1, 1),
            len => from[random.below(len)],
        };
        let task = pick(&tasks);
        let (at, event) = match random.below(20) {
            0..=4 => {
                next += 1;
                open.push(next);
                with(now, next, [low, critical, crate::tests::envelope][random.below(3)](FRAUD))
            }
            5 => ready(now, FRAUD, 1 + random.below(4) as u16),
            6 => (now, Event::ModelLost(FRAUD)),
            7 => cap(now, 10 + random.below(150) as u64),
            8 | 9 => heard(now, [PARIS, LYON][random.below(2)], FRAUD, random.below(5) as u16),
            10 => {
                next += 1;
                asked(now, of(PARIS, next + 1_000_000), FRAUD)
            }
            11 | 12 => done(now, task),
            13 => {
                let failures = [Failure::EngineLost, Failure::Unreachable, Failure::Engine("x".to_owned())];
                failed(now, task, failures[random.below(3)].clone())
            }
            14 => law(now, [eea(), no_fraud_in_germany()][random.below(2)].clone()),
            15 => (now, Event::AskerGone(task)),
            16 => (now, Event::ClientGone(task.request)),
            17 => beat(now, task, random.below(9) as u64),
            _ => until(now),
        };
        let mut feed = vec![(at, event)];
        while let Some((at, event)) = feed.pop() {
            for action in core.handle(event, Timestamp(at * 1000)) {
                hash = Random::new(
                    hash ^ format!("{action:?}").bytes().fold(0, |h: u64, b| h.rotate_left(9) ^ u64::from(b)),
                )
                .next();
                match action {
                    Action::Record { ticket: Some(ticket), .. } => tickets.push(ticket),
                    Action::Run { task, .. } | Action::Forward { task, .. } => tasks.push(task),
                    Action::Finish { request, .. } | Action::Refuse { request, .. } | Action::Fail { request, .. } => {
                        *endings.entry(request.0).or_default() += 1;
                    }
                    _ => {}
                }
            }
            assert!(core.busy_slots() == 0 || core.power_now() <= core.cap(), "seed {seed}: the cap holds");
            if random.below(8) > 0
                && let Some(ticket) = tickets.pop()
            {
                feed.push((
                    now,
                    if random.below(9) == 0 { Event::RecordFailed(ticket) } else { Event::Recorded(ticket) },
                ));
            }
        }
    }
    // Every deadline passes; only those whose client left may have no ending.
    for _ in 0..10_000 {
        let Some(due) = core.deadline().filter(|due| due.0 < (now + 20_000) * 1000) else { break };
        for action in core.handle(Event::Tick, due) {
            if let Action::Finish { request, .. } | Action::Refuse { request, .. } | Action::Fail { request, .. } =
                action
            {
                *endings.entry(request.0).or_default() += 1;
            }
        }
    }
    assert_eq!(core.open_requests().count(), 0, "seed {seed}: every request ended");
    assert_eq!(core.busy_slots(), 0, "seed {seed}: nothing runs for nobody");
    assert_eq!((core.queued(), core.hosted_tasks().count()), (0, 0), "seed {seed}: nothing waits for nobody");
    assert_eq!(core.power_now(), Milliwatts::from_watts(10), "seed {seed}: every watt came back");
    assert!(endings.values().all(|count| *count == 1), "seed {seed}: each ends once");
    let states = open.iter().filter_map(|id| core.explain(RequestId(*id)));
    let states: Vec<String> = states.map(|e| format!("{:?}", e.request.state)).collect();
    assert!(states.iter().all(|state| state != "Open"), "seed {seed}: no request is left open");
    let cancelled = states.iter().filter(|state| *state == "Cancelled").count();
    assert_eq!(endings.len() + cancelled, open.len(), "seed {seed}: an ending, or a client that left");
    assert_eq!(core.me().node, MUNICH);
    (states, hash)
}

#[test]
fn whatever_comes_every_request_ends_once_and_every_watt_comes_back() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        seen.extend(storm(seed).0.iter().map(|state| state.split(['(', '{']).next().unwrap().to_owned()));
    }
    let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, ["Answered", "Cancelled", "Failed", "Refused"], "a run that exercised nothing is a failure");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(storm(11).1, storm(11).1);
    assert_ne!(storm(11).1, storm(12).1);
}

#[test]
fn a_cap_that_falls_sends_what_waits_to_a_lawful_peer() {
    let script = vec![
        ready(0, FRAUD, 1),
        submitted(1, 1, FRAUD),
        submitted(2, 2, FRAUD),
        heard(3, PARIS, FRAUD, 0),
        cap(4, 39),
        recorded(5, 1),
        recorded(5, 2),
    ];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        4: stop 1/1
        4: record#1 intent 1/2 to paris by eea, 1000 B
        4: record#2 intent 2/1 to paris by eea, 1000 B
        5: route 1/2 paris by eea
        5: forward 1/2 to paris, 9996 ms left
        5: route 2/1 paris by eea
        5: forward 2/1 to paris, 9997 ms left
    ",
    );
}
