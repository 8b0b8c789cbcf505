//! Critical work that lacks nothing but power.

use crate::Event;
use crate::tests::{CHAT, FRAUD, Play, cap, critical, done, eea, own, ready, submitted, until, with};

/// Watts for two slots; an answer of `chat` is known to take 200 ms, and two run since 300.
fn two_chats() -> Vec<(u64, Event)> {
    let known = [cap(0, 70), ready(0, CHAT, 2), ready(0, FRAUD, 2), submitted(1, 1, CHAT), done(201, own(1, 1))];
    known.into_iter().chain([submitted(300, 2, CHAT), submitted(300, 3, CHAT)]).collect()
}

#[test]
fn critical_work_waits_a_moment_for_watts_that_are_about_to_come_back() {
    let script = vec![with(301, 4, critical(FRAUD)), done(500, own(2, 1))];
    Play::new(eea()).then(two_chats()).quietly().then(script).check(
        "
        500: finish 2
        500: record ended 2/0 Answered by munich after 1, 6000 mJ
        500: route 4/1 munich by local
        500: run 4/1 fraud
    ",
    );
}

#[test]
fn critical_work_takes_the_watts_of_others_after_a_fifth_of_its_time() {
    let script = vec![with(301, 4, critical(FRAUD)), until(2302)];
    Play::new(eea()).then(two_chats()).quietly().then(script).check(
        "
        2301: stop 3/1
        2301: route 4/1 munich by local
        2301: run 4/1 fraud
    ",
    );
}

#[test]
fn critical_work_takes_the_watts_of_work_of_which_nothing_is_known() {
    let unknown = vec![cap(0, 40), ready(0, CHAT, 2), ready(0, FRAUD, 2), submitted(1, 1, CHAT)];
    Play::new(eea()).then(unknown).quietly().then(vec![with(2, 2, critical(FRAUD))]).check(
        "
        2: stop 1/1
        2: route 2/1 munich by local
        2: run 2/1 fraud
    ",
    );
}
