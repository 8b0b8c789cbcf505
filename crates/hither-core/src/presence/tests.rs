//! What others are told, and when.

use hither_types::id::{Digest, NodeId};
use hither_types::message::Presence;
use hither_types::time::Timestamp;
use hither_types::unit::Milliwatts;

use crate::Event;
use crate::limits;
use crate::tests::{FRAUD, PARIS, Play, cap, done, eea, heard, own, ready, submitted, until};

#[track_caller]
fn telling(script: Vec<(u64, Event)>, expected: &str) -> Play {
    Play::new(eea()).telling().then(script).check(expected)
}

#[test]
fn a_node_tells_of_itself_twice_a_second() {
    telling(
        vec![until(1600)],
        "
        20: announce 2: 100 W
        520: announce 3: 100 W
        1020: announce 4: 100 W
        1520: announce 5: 100 W
    ",
    );
}

#[test]
fn a_change_that_matters_is_told_at_once_and_a_burst_of_them_as_one() {
    telling(
        vec![ready(100, FRAUD, 1), submitted(105, 1, FRAUD), until(119), until(121), done(305, own(1, 1)), until(400)],
        "
        20: announce 2: 100 W
        100: announce 3: 100 W fraud Ready 0/1+0
        105: route 1/1 munich by local
        105: run 1/1 fraud
        120: announce 4: 100 W fraud Ready 1/1+0
        305: finish 1
        305: record ended 1/0 Answered by munich after 1, 6000 mJ
        305: announce 5: 100 W fraud Ready 0/1+0
    ",
    );
}

#[test]
fn a_cap_is_told_at_once() {
    telling(
        vec![ready(100, FRAUD, 1), cap(101, 20), cap(102, 50)],
        "
        20: announce 2: 100 W
        100: announce 3: 100 W fraud Ready 0/1+0
        101: announce 4: 20 W fraud Ready 0/0+0
        102: announce 5: 50 W fraud Ready 0/1+0
    ",
    );
}

#[test]
fn a_node_that_stops_offers_no_slots() {
    telling(
        vec![ready(100, FRAUD, 1), (200, Event::Draining)],
        "
        20: announce 2: 100 W
        100: announce 3: 100 W fraud Ready 0/1+0
        200: announce 4: 100 W fraud Ready 0/0+0
    ",
    );
}

#[test]
fn an_older_presence_is_ignored_and_a_restart_is_newer() {
    let mut play = Play::new(eea()).then(vec![heard(100, PARIS, FRAUD, 3), heard(50, PARIS, FRAUD, 1)]).check("");
    let busy = |play: &Play| play.core.view(Timestamp(0)).nodes[1].models.first().map(|model| model.busy);
    assert_eq!(busy(&play), Some(3));
    let presence = std::sync::Arc::new(Presence {
        incarnation: 2,
        sequence: 1,
        models: vec![],
        power: Milliwatts(0),
        cap: Milliwatts(0),
        policy: Digest([0; 32]),
        placing: None,
    });
    play = play.then(vec![(101, Event::Presence { from: PARIS, presence })]).check("");
    assert_eq!(busy(&play), None);
}

#[test]
fn a_node_that_knows_nobody_asks_for_no_timer() {
    let mut script = vec![ready(10, FRAUD, 1)];
    script.extend([2, 3, 4].map(|n| (20, Event::MemberRemoved(hither_types::id::NodeId([n; 32])))));
    script.extend([submitted(30, 1, FRAUD), done(40, own(1, 1))]);
    let ended = "
        30: route 1/1 munich by local
        30: run 1/1 fraud
        40: finish 1
        40: record ended 1/0 Answered by munich after 1, 300 mJ
    ";
    let play = Play::new(eea()).then(script).check(ended);
    assert_eq!(play.core.deadline(), None);
}

#[test]
fn a_mesh_that_is_full_takes_nobody_in_says_so_and_does_when_one_has_left() {
    let mut play = Play::new(eea());
    let node = |number: usize| {
        let mut key = [9; 32];
        key[..2].copy_from_slice(&(number as u16).to_be_bytes());
        NodeId(key)
    };
    let shown = |play: &Play| play.core.view(Timestamp(0)).nodes.len() - 1;
    let before = shown(&play);
    let added = |number| (1, Event::MemberAdded(crate::tests::member(node(number))));
    play = play.then((before..limits::MEMBERS_MAX).map(added).collect()).check("");
    assert_eq!((shown(&play), play.core.view(Timestamp(0)).warnings.len()), (limits::MEMBERS_MAX, 0));
    let late = node(limits::MEMBERS_MAX);
    play = play.then(vec![added(limits::MEMBERS_MAX)]).check("");
    let said = play.core.view(Timestamp(0)).warnings;
    assert!(said.iter().any(|said| said.starts_with("no room for member") && said.contains("1024")), "{said:?}");
    assert_eq!(shown(&play), limits::MEMBERS_MAX);
    play =
        play.then(vec![(2, Event::MemberRemoved(node(before))), (3, Event::MemberAdded(crate::tests::member(late)))]);
    play = play.check("");
    assert!(play.core.view(Timestamp(0)).nodes.iter().any(|shown| shown.member.node == late));
}
