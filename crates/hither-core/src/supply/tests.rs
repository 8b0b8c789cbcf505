//! Models come, go, and come back.

use hither_types::id::{Digest, ModelName};
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::model::{Device, Manifest};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::tests::{
    CHAT, FRAUD, JAKARTA, LYON, PARIS, Play, beat, check, eea, heard, manifest, member, nothing, own, ready, recorded,
    said, submitted, until,
};
use crate::{Event, PullPolicy};

fn stored(at: u64, digest: Digest) -> (u64, Event) {
    (at, Event::ModelStored(digest))
}

#[test]
fn a_stored_model_is_loaded_once() {
    check(
        vec![stored(0, FRAUD), stored(1, FRAUD), ready(2, FRAUD, 1), stored(3, FRAUD)],
        "
        0: load fraud
    ",
    );
}

#[test]
fn a_file_that_came_before_its_entry_is_loaded_with_it() {
    let digest = Digest([5; 32]);
    let entry = Manifest { digest, ..manifest(CHAT) };
    check(
        vec![stored(0, digest), (5, Event::Catalogued(entry))],
        "
        5: load chat
    ",
    );
}

#[test]
fn a_lost_model_is_loaded_again_later_each_time_and_then_left_alone() {
    let script = vec![
        stored(0, FRAUD),
        ready(1, FRAUD, 1),
        (1000, Event::ModelLost(FRAUD)),
        ready(2000, FRAUD, 1),
        (3000, Event::LoadFailed(FRAUD)),
        ready(4000, FRAUD, 1),
        (5000, Event::ModelLost(FRAUD)),
        submitted(6000, 1, FRAUD),
        until(600_000),
        until(601_000),
    ];
    let play = check(
        script,
        "
        0: load fraud
        1250: load fraud
        3500: load fraud
        6000: refuse 1 ModelBroken(\"fraud\")
        6000: record ended 1/0 Refused by nobody after 0
        601000: load fraud
    ",
    );
    assert_eq!(play.core.view(Timestamp(0)).warnings, Vec::<String>::new());
}

#[test]
fn a_quarantined_model_is_a_warning() {
    let losses = (0..3).map(|n| (n, Event::LoadFailed(FRAUD)));
    let mut script = vec![stored(0, FRAUD)];
    script.extend(losses);
    let play = check(
        script,
        "
        0: load fraud
    ",
    );
    assert_eq!(
        play.core.view(Timestamp(0)).warnings,
        [
            "model fraud is in quarantine here: its engine was lost 3 times within ten minutes. It is tried again when the \
         first loss is ten minutes ago, or at once: hither models pull fraud"
        ]
    );
}

#[test]
fn an_operator_ends_a_quarantine_and_old_losses_count_no_more() {
    let script = vec![
        stored(0, FRAUD),
        (1, Event::LoadFailed(FRAUD)),
        (2, Event::LoadFailed(FRAUD)),
        (3, Event::LoadFailed(FRAUD)),
        (10, Event::PullWanted(FRAUD)),
        ready(20, FRAUD, 1),
        (30, Event::ModelLost(FRAUD)),
        until(1000),
    ];
    let play = check(
        script,
        "
        0: load fraud
        10: load fraud
        280: load fraud
    ",
    );
    assert!(play.core.view(Timestamp(0)).warnings.is_empty());
}

#[test]
fn an_operator_need_not_wait_for_the_next_try() {
    check(
        vec![
            stored(0, FRAUD),
            (1, Event::LoadFailed(FRAUD)),
            (2, Event::PullWanted(FRAUD)),
            (3, Event::PullWanted(FRAUD)),
        ],
        "
        0: load fraud
        2: load fraud
    ",
    );
}

#[test]
fn a_quarantined_model_is_told_as_such_to_others() {
    let mut script = vec![stored(0, FRAUD)];
    script.extend((0..3).map(|n| (n, Event::LoadFailed(FRAUD))));
    let play = check(script, "0: load fraud");
    assert_eq!(play.core.view(Timestamp(0)).nodes[0].models[0].stage, ModelStage::Quarantined);
}

#[test]
fn a_wanted_model_is_fetched_once_from_the_lawful_holders_nearest_first() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        said(
            0,
            LYON,
            ModelPresence {
                digest: CHAT,
                stage: ModelStage::Stored,
                device: Device::Cpu,
                slots: 0,
                busy: 0,
                queued: 0,
                service: Micros(0),
            },
        ),
        heard(0, JAKARTA, CHAT, 0),
        (1, Event::RoundTrip { peer: PARIS, rtt: Micros(900) }),
        (1, Event::RoundTrip { peer: LYON, rtt: Micros(300) }),
        (2, Event::PullWanted(CHAT)),
        (3, Event::PullWanted(CHAT)),
        (4, Event::FetchProgress { digest: CHAT, bytes: ByteCount(512) }),
    ];
    let play = check(
        script,
        "
        2: fetch chat from lyon, paris
    ",
    );
    assert_eq!(play.core.view(Timestamp(0)).nodes[0].models[0].fetched, ByteCount(512));
    play.then(vec![stored(100, CHAT)]).check(
        "
        100: load chat
    ",
    );
}

#[test]
fn a_failed_fetch_is_tried_again_later_each_time_and_given_up_with_a_word() {
    let mut script = vec![(0, Event::PullWanted(CHAT))];
    script.extend((0..80).map(|n| heard(n * 1000, PARIS, CHAT, 0)));
    script.extend([2500, 4600, 9000, 18_000, 35_000, 70_000].map(|at| (at, Event::FetchFailed(CHAT))));
    script.sort_by_key(|(at, _)| *at);
    let play = check(
        script,
        "
        1000: fetch chat from paris
        4500: fetch chat from paris
        8600: fetch chat from paris
        17000: fetch chat from paris
        34000: fetch chat from paris
    ",
    );
    assert_eq!(play.core.view(Timestamp(0)).warnings, ["model chat is not fetched: its fetch failed too often"]);
    let play = play.then(vec![stored(90_000, CHAT)]).check("90000: load chat");
    assert!(play.core.view(Timestamp(0)).warnings.is_empty(), "what came after all is no complaint any more");
}

#[test]
fn the_law_forbids_a_copy_and_says_so() {
    let play = Play::new(nothing()).then(vec![heard(0, PARIS, CHAT, 0), (1, Event::PullWanted(CHAT))]).check("");
    assert_eq!(
        play.core.view(Timestamp(0)).warnings,
        ["model chat is not fetched: the law forbids the copy from every member that holds it"]
    );
}

#[test]
fn a_model_that_is_served_elsewhere_is_fetched_meanwhile() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        submitted(1, 1, CHAT),
        recorded(2, 1),
        beat(250, own(1, 1), 1),
        beat(500, own(1, 1), 2),
        stored(600, CHAT),
        ready(700, CHAT, 1),
        submitted(701, 2, CHAT),
    ];
    Play::with(eea(), PullPolicy::OnDemand).then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        250: fetch chat from paris
        600: load chat
        701: route 2/1 munich by local
        701: run 2/1 chat
    ",
    );
}

#[test]
fn a_stream_whose_peer_dies_waits_for_the_copy_that_is_on_its_way() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        submitted(1, 1, CHAT),
        recorded(2, 1),
        beat(250, own(1, 1), 1),
        stored(300, CHAT),
        until(1000),
        ready(1100, CHAT, 1),
    ];
    Play::with(eea(), PullPolicy::OnDemand).then(script).check(
        "
        1: record#1 intent 1/1 to paris by eea, 1000 B
        2: route 1/1 paris by eea
        2: forward 1/1 to paris, 9999 ms left
        250: fetch chat from paris
        300: load chat
        1000: abandon 1/1 at paris
        1000: record settled 1/1 to paris: 1000 B, 0 B back, Refused
        1100: route 1/2 munich by local
        1100: run 1/2 chat
    ",
    );
}

#[test]
fn a_removed_model_takes_its_requests_along_to_a_peer() {
    let script =
        vec![ready(0, FRAUD, 1), submitted(1, 1, FRAUD), heard(2, PARIS, FRAUD, 0), (3, Event::ModelRemoved(FRAUD))];
    check(
        script,
        "
        1: route 1/1 munich by local
        1: run 1/1 fraud
        3: stop 1/1
        3: record#1 intent 1/2 to paris by eea, 1000 B
    ",
    );
}

#[test]
fn of_two_publishers_of_one_name_the_smaller_key_counts_whoever_came_first() {
    let other = Manifest { digest: Digest([5; 32]), publisher: crate::tests::MUNICH, ..manifest(CHAT) };
    let play = check(
        vec![(0, Event::Catalogued(other)), heard(1, PARIS, Digest([5; 32]), 0), submitted(2, 1, CHAT)],
        "
            2: record#1 intent 1/1 to paris by eea, 1000 B
        ",
    );
    assert_eq!(
        play.core.view(Timestamp(0)).warnings,
        ["2 members published different models as chat; that of the smallest key counts"]
    );
}

#[test]
fn a_name_means_no_model_of_somebody_who_may_publish_no_more_if_others_published_one() {
    let of_paris = Manifest {
        digest: Digest([6; 32]),
        name: ModelName::parse("risk").unwrap(),
        publisher: PARIS,
        ..manifest(CHAT)
    };
    let of_lyon = Manifest { digest: Digest([7; 32]), publisher: LYON, ..of_paris.clone() };
    let mut play = Play::new(eea());
    let first = |play: &Play| play.core.resolve(&of_paris.name);
    play.step(0, Event::Catalogued(of_paris.clone()));
    play.step(0, Event::MemberRemoved(PARIS));
    assert_eq!(first(&play), Some(of_paris.digest), "nobody else has one");
    play.step(1, Event::Catalogued(of_lyon.clone()));
    assert_eq!(first(&play), Some(of_lyon.digest));
    assert!(play.core.view(Timestamp(0)).warnings.iter().all(|text| !text.contains("different models")));
    // Who joined again may again.
    play.step(2, Event::MemberAdded(member(PARIS)));
    assert_eq!(first(&play), Some(of_paris.digest), "paris has the smaller key");
}

#[test]
fn an_entry_of_somebody_who_may_publish_no_more_makes_way_whatever_its_revision() {
    let last = Manifest { revision: u64::MAX, publisher: PARIS, ..manifest(CHAT) };
    let next = Manifest { revision: 1, publisher: LYON, ..manifest(CHAT) };
    let mut play = Play::new(eea());
    let publisher = |play: &Play| play.core.catalog.manifest(CHAT).map(|entry| entry.publisher);
    play.step(0, Event::Catalogued(last.clone()));
    play.step(0, Event::Catalogued(next.clone()));
    assert_eq!(publisher(&play), Some(PARIS));
    play.step(1, Event::MemberRemoved(PARIS));
    play.step(1, Event::Catalogued(next));
    assert_eq!(publisher(&play), Some(LYON));
    play.step(1, Event::Catalogued(last));
    assert_eq!(publisher(&play), Some(LYON), "it does not come back");
}

#[test]
fn a_publisher_replaces_its_own_entry_and_a_late_copy_of_the_old_one_changes_nothing() {
    let newer = Manifest { digest: Digest([5; 32]), ..manifest(CHAT) };
    let script = vec![
        (0, Event::Catalogued(newer)),
        (1, Event::Catalogued(manifest(CHAT))),
        heard(2, PARIS, Digest([5; 32]), 0),
        submitted(3, 1, CHAT),
    ];
    check(
        script,
        "
        3: record#1 intent 1/1 to paris by eea, 1000 B
    ",
    );
}
