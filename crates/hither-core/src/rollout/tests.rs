//! A new version on its way, events in and actions out.

use hither_types::refusal::{Failure, InputFault};
use hither_types::request::{Envelope, RequestKind};
use hither_types::rollout::{RolledBack, Rollout, RolloutFault, Verdict};
use hither_types::time::WallTime;

use super::*;
use crate::tests::{
    CHAT, FRAUD, FRAUD_2, LYON, MUNICH, PARIS, Play, check, done, eea, envelope, failed, heard, manifest, name, own,
    ready, recorded, with,
};
use crate::{Event, PullPolicy};

/// From the model `fraud` to its second version.
fn rollout(revision: u64, share: u16) -> Rollout {
    Rollout {
        name: name(FRAUD),
        revision,
        from: FRAUD,
        to: FRAUD_2,
        share,
        sites: Vec::new(),
        tolerance: 20,
        publisher: PARIS,
        at: WallTime(0),
    }
}

fn begins(at: u64, revision: u64, share: u16) -> (u64, Event) {
    (at, Event::RolledOut(rollout(revision, share)))
}

fn known() -> (u64, Event) {
    (0, Event::Catalogued(manifest(FRAUD_2)))
}

/// Tensors of a request for `fraud`, which may be tried again with other weights.
fn tensors() -> Envelope {
    Envelope { kind: RequestKind::Infer, ..envelope(FRAUD) }
}

fn verdict(revision: u64, by: NodeId) -> (u64, Event) {
    let fault = RolloutFault::Failures { tried: 9, failed: 9 };
    (50, Event::Judged(Verdict { name: name(FRAUD), revision, publisher: PARIS, by, fault }))
}

fn standing(play: &Play) -> RolloutView {
    play.core.rollouts.view().into_iter().next().expect("a rollout was told of")
}

#[test]
fn as_many_requests_as_the_share_says_are_the_new_versions_and_those_of_a_smaller_share_stay_so() {
    let site = SiteName::parse("munich").unwrap();
    let mut before = BTreeSet::new();
    for share in [0, 10, 100, 500, 900, 1_000] {
        let standing = Standing::new(rollout(1, share));
        let drawn: BTreeSet<u64> = (0..20_000).filter(|key| standing.draws_new(&site, *key)).collect();
        let wanted = 20 * usize::from(share);
        assert!(drawn.len().abs_diff(wanted) <= 20 + wanted / 10, "{} of {wanted}", drawn.len());
        assert!(drawn.is_superset(&before), "whoever had the new version at a smaller share has it still");
        before = drawn;
    }
    assert_eq!(before.len(), 20_000);
}

#[test]
fn other_sites_than_those_that_are_named_stay_with_the_old_version() {
    let elsewhere = Rollout { sites: vec![SiteName::parse("paris").unwrap()], ..rollout(1, 1_000) };
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        ready(0, FRAUD_2, 2),
        (1, Event::RolledOut(elsewhere)),
        with(2, 1, tensors()),
        (3, Event::RolledOut(Rollout { sites: vec![SiteName::parse("munich").unwrap()], ..rollout(2, 1_000) })),
        with(4, 2, tensors()),
    ];
    let play = check(
        script,
        "
        2: route 1/1 munich by local
        2: run 1/1 fraud
        4: route 2/1 munich by local, version fraud:2
        4: run 2/1 fraud:2
    ",
    );
    assert!(play.steps(2).contains("means fraud:2: the new version"), "{}", play.steps(2));
}

#[test]
fn a_word_of_somebody_who_may_publish_no_more_makes_way_whatever_its_number() {
    let mut play = Play::new(eea());
    let share = |play: &Play| standing(play).rollout.share;
    let other = Rollout { publisher: LYON, ..rollout(1, 0) };
    play.step(0, Event::RolledOut(rollout(u64::MAX, 1_000)));
    play.step(1, Event::RolledOut(other.clone()));
    assert_eq!(share(&play), 1_000);
    play.step(2, Event::MemberRemoved(PARIS));
    play.step(3, Event::RolledOut(other));
    assert_eq!(share(&play), 0);
    play.step(4, Event::RolledOut(rollout(u64::MAX, 1_000)));
    assert_eq!(share(&play), 0, "it does not come back");
}

#[test]
fn nobody_waits_for_a_new_version_that_no_lawful_place_has_open() {
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        begins(1, 1, 1_000),
        with(2, 1, tensors()),
        ready(3, FRAUD_2, 1),
        with(4, 2, tensors()),
    ];
    let play = check(
        script,
        "
        2: route 1/1 munich by local
        2: run 1/1 fraud
        4: route 2/1 munich by local, version fraud:2
        4: run 2/1 fraud:2
    ",
    );
    assert_eq!(standing(&play).unready, 1);
}

#[test]
fn a_place_that_has_the_new_version_open_is_asked_though_the_old_one_is_here() {
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        heard(0, PARIS, FRAUD_2, 0),
        begins(1, 1, 1_000),
        with(2, 1, tensors()),
        recorded(3, 1),
    ];
    check(
        script,
        "
        2: record#1 intent 1/1 as fraud:2 to paris by eea, 1000 B
        3: route 1/1 paris by eea, version fraud:2
        3: forward 1/1 to paris, 9999 ms left
    ",
    );
}

#[test]
fn what_fails_with_the_new_version_is_answered_by_the_old_one_and_after_three_failures_the_node_goes_back() {
    let broken = || Failure::Engine("NaN".into());
    let script = vec![
        known(),
        ready(0, FRAUD, 4),
        ready(0, FRAUD_2, 4),
        begins(1, 1, 1_000),
        with(2, 1, tensors()),
        failed(3, own(1, 1), broken()),
        done(4, own(1, 2)),
        with(5, 2, tensors()),
        failed(6, own(2, 1), broken()),
        with(7, 3, tensors()),
        failed(8, own(3, 1), broken()),
        with(9, 4, tensors()),
    ];
    let play = check(
        script,
        "
        2: route 1/1 munich by local, version fraud:2
        2: run 1/1 fraud:2
        3: route 1/2 munich by local
        3: run 1/2 fraud
        4: finish 1
        4: record ended 1/0 Answered by munich after 2, 60 mJ
        5: route 2/1 munich by local, version fraud:2
        5: run 2/1 fraud:2
        6: route 2/2 munich by local
        6: run 2/2 fraud
        7: route 3/1 munich by local, version fraud:2
        7: run 3/1 fraud:2
        8: judge fraud 1: Failures { tried: 3, failed: 3 }
        8: route 3/2 munich by local
        8: run 3/2 fraud
        9: route 4/1 munich by local
        9: run 4/1 fraud
    ",
    );
    let view = standing(&play);
    assert_eq!(view.back, Some(RolledBack::Found(RolloutFault::Failures { tried: 3, failed: 3 })));
    assert_eq!((view.new.tried, view.new.failed, view.old.tried, view.old.failed), (3, 3, 1, 0));
    assert_eq!(view.against, [MUNICH]);
}

#[test]
fn a_stream_stays_with_the_weights_that_it_began_with() {
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        ready(0, FRAUD_2, 2),
        begins(1, 1, 1_000),
        with(2, 1, envelope(FRAUD)),
        heard(2, PARIS, FRAUD_2, 0),
        failed(3, own(1, 1), Failure::EngineLost),
        recorded(4, 1),
    ];
    check(
        script,
        "
        2: route 1/1 munich by local, version fraud:2
        2: run 1/1 fraud:2
        3: record#1 intent 1/2 as fraud:2 to paris by eea, 1000 B
        4: route 1/2 paris by eea, version fraud:2
        4: forward 1/2 to paris, 9998 ms left
    ",
    );
}

#[test]
fn a_stream_of_which_nothing_has_gone_out_is_answered_by_the_old_version() {
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        ready(0, FRAUD_2, 2),
        begins(1, 1, 1_000),
        with(2, 1, envelope(FRAUD)),
        (3, Event::Unanswered(RequestId(1))),
        failed(3, own(1, 1), Failure::EngineLost),
    ];
    let play = check(
        script,
        "
        2: route 1/1 munich by local, version fraud:2
        2: run 1/1 fraud:2
        3: route 1/2 munich by local
        3: run 1/2 fraud
    ",
    );
    assert!(play.steps(1).contains("means fraud: the new version failed"), "{}", play.steps(1));
}

#[test]
fn that_nothing_came_of_one_attempt_says_nothing_of_the_next() {
    let script = vec![
        known(),
        heard(0, PARIS, FRAUD_2, 0),
        ready(0, FRAUD, 2),
        begins(1, 1, 1_000),
        with(2, 1, envelope(FRAUD)),
        recorded(3, 1),
        ready(4, FRAUD_2, 2),
        (5, Event::Unanswered(RequestId(1))),
        failed(5, own(1, 1), Failure::Unreachable),
        // This one has given words, and nobody said otherwise.
        failed(6, own(1, 2), Failure::EngineLost),
    ];
    let play = check(
        script,
        "
        2: record#1 intent 1/1 as fraud:2 to paris by eea, 1000 B
        3: route 1/1 paris by eea, version fraud:2
        3: forward 1/1 to paris, 9999 ms left
        5: record settled 1/1 as fraud:2 to paris: 1000 B, 0 B back, Refused
        5: route 1/2 munich by local, version fraud:2
        5: run 1/2 fraud:2
    ",
    );
    assert!(!play.steps(1).contains("the new version failed"), "{}", play.steps(1));
}

#[test]
fn failures_that_the_old_version_has_as_well_are_not_held_against_the_new_one() {
    let mut standing = Standing::new(rollout(1, 500));
    for number in 0..1_000 {
        standing.count(Version::Old, number % 10 == 0);
        standing.count(Version::New, number % 10 == 0);
        assert!(!standing.fails_too_often(), "{number}");
    }
    // Two of a hundred more are borne, and three are not.
    let mut worse = Standing::new(rollout(1, 500));
    (worse.old.tried, worse.old.failed) = (1_000, 100);
    (worse.new.tried, worse.new.failed) = (1_000, 120);
    assert!(!worse.fails_too_often());
    worse.new.failed = 121;
    assert!(worse.fails_too_often());
}

#[test]
fn a_version_that_goes_bad_late_is_found_out() {
    let mut standing = Standing::new(rollout(1, 1_000));
    (0..1_000_000).for_each(|_| standing.count(Version::New, false));
    let failures = (1..).find(|_| {
        standing.count(Version::New, true);
        standing.fails_too_often()
    });
    assert!(failures.is_some_and(|failures| failures < 500), "{failures:?}");
}

#[test]
fn failures_of_the_way_and_of_the_question_are_not_the_versions() {
    for failure in [
        Failure::Silent,
        Failure::Unreachable,
        Failure::Stuck,
        Failure::BadInput(InputFault::Other("no such tensor".to_owned())),
    ] {
        let mut script = vec![known(), ready(0, FRAUD, 8), ready(0, FRAUD_2, 8), begins(1, 1, 1_000)];
        for request in 1..6 {
            script.extend([with(2, request, tensors()), failed(3, own(request, 1), failure.clone())]);
        }
        let play = Play::new(eea()).then(script).quietly();
        assert_eq!((standing(&play).new.failed, standing(&play).back), (0, None), "{failure:?}");
    }
}

#[test]
fn a_wrong_answer_takes_the_new_version_back_at_once() {
    let script = vec![
        known(),
        ready(0, FRAUD, 2),
        ready(0, FRAUD_2, 2),
        begins(1, 1, 1_000),
        (2, Event::ModelRefuted(FRAUD_2)),
        with(3, 1, tensors()),
    ];
    check(
        script,
        "
        2: judge fraud 1: WrongAnswer
        2: unload fraud:2
        3: route 1/1 munich by local
        3: run 1/1 fraud
    ",
    );
}

#[test]
fn two_members_take_a_version_back_everywhere_and_one_alone_does_not() {
    // What a request runs on after them tells whether the node went back, as its picture does.
    let told = |verdicts: Vec<(u64, Event)>| {
        let ready = vec![known(), ready(0, FRAUD, 9), ready(0, FRAUD_2, 9), begins(1, 4, 1_000)];
        let script = [ready, verdicts, vec![with(60, 1, tensors())]].concat();
        let mut play = Play::new(eea()).then(script);
        let run = play.only(&["run"]);
        let back = standing(&play).back;
        assert_eq!(run, [format!("60: run 1/1 {}", if back.is_some() { "fraud" } else { "fraud:2" })]);
        back
    };
    assert_eq!(told(vec![verdict(4, PARIS)]), None);
    assert_eq!(told(vec![verdict(4, PARIS), verdict(4, PARIS)]), None, "the same member counts once");
    assert_eq!(
        told(vec![verdict(4, PARIS), verdict(3, LYON)]),
        None,
        "what was said of an earlier one is no word on this one"
    );
    assert_eq!(told(vec![verdict(4, PARIS), verdict(4, LYON)]), Some(RolledBack::Told(2)));
    let own = RolloutFault::Failures { tried: 9, failed: 9 };
    assert_eq!(
        told(vec![verdict(4, MUNICH)]),
        Some(RolledBack::Found(own)),
        "what it found before its last start stands"
    );
}

#[test]
fn the_newest_word_about_a_name_counts_in_whatever_order_they_come() {
    let script = vec![
        known(),
        ready(0, FRAUD, 9),
        ready(0, FRAUD_2, 9),
        begins(1, 2, 0),
        begins(2, 1, 1_000),
        with(3, 1, tensors()),
        verdict(2, PARIS),
        verdict(2, LYON),
        begins(60, 3, 1_000),
        with(61, 2, tensors()),
    ];
    check(
        script,
        "
        3: route 1/1 munich by local
        3: run 1/1 fraud
        61: route 2/1 munich by local, version fraud:2
        61: run 2/1 fraud:2
    ",
    );
}

#[test]
fn whoever_has_the_old_version_fetches_the_new_one_before_anybody_asks() {
    let with_old = || vec![known(), (0, Event::ModelStored(FRAUD)), heard(0, PARIS, FRAUD_2, 0)];
    let fetches = |pull, share| {
        let script = [with_old(), vec![begins(1, 1, share)]].concat();
        Play::with(eea(), pull).then(script).only(&["fetch"])
    };
    assert_eq!(fetches(PullPolicy::OnDemand, 10), ["1: fetch fraud:2 from paris"]);
    assert!(fetches(PullPolicy::OnDemand, 0).is_empty(), "a rollout that was taken back needs no files");
    assert!(fetches(PullPolicy::Manual, 10).is_empty());
    let without =
        Play::with(eea(), PullPolicy::OnDemand).then(vec![known(), heard(0, PARIS, FRAUD_2, 0), begins(1, 1, 10)]);
    assert!(
        without.quietly().core.catalog.stage(FRAUD_2) == Stage::Absent,
        "who does not have the old one needs not the new one"
    );
}

#[test]
fn a_rollout_whose_models_are_not_known_leaves_the_name_as_it_was() {
    let unknown = Digest([77; 32]);
    for (from, to, runs) in
        [(unknown, unknown, "fraud"), (unknown, FRAUD_2, "fraud:2"), (FRAUD, unknown, "fraud"), (FRAUD, CHAT, "fraud")]
    {
        let script = vec![
            known(),
            ready(0, FRAUD, 9),
            ready(0, FRAUD_2, 9),
            (1, Event::RolledOut(Rollout { from, to, ..rollout(1, 1_000) })),
            with(2, 1, tensors()),
        ];
        let run = Play::new(eea()).then(script).only(&["run"]);
        assert_eq!(run, [format!("2: run 1/1 {runs}")], "{from:?} {to:?}");
    }
}
