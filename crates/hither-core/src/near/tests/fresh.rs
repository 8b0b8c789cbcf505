//! Certificates that are older than the policy wants, events in and actions out.

use hither_types::id::{NodeId, RequestId, RuleId};
use hither_types::label::DataClass;
use hither_types::law::Policy;
use hither_types::near::Weight;
use hither_types::place::Assurance;
use hither_types::request::Envelope;
use hither_types::time::Timestamp;
use hither_types::unit::Hours;
use hither_types::view::Step;

use super::{HOUR, LILLE, NOON, assurance, belongs, day, lyon, measured, weights};
use crate::Event;
use crate::tests::{FRAUD, LYON, MUNICH, PARIS, Play, eea, envelope, heard, law, of, recorded, submitted, with};

/// Personal data go to members that are vouched for alone, internal data to others, too. The policy wants certificates of the
/// last 24 hours.
fn careful() -> Policy {
    Policy { certified_within: Some(Hours(24)), ..lenient() }
}

/// The same without a word on the age of certificates.
fn lenient() -> Policy {
    let mut policy = eea();
    let mut vouched = policy.permits[0].clone();
    vouched.id = RuleId::parse("vouched").unwrap();
    (vouched.classes, vouched.assurance) = (vec![DataClass::Personal], Some(Assurance::Vouched));
    policy.permits[0].classes = vec![DataClass::Internal];
    policy.permits.push(vouched);
    policy
}

/// The certificate of a node was made so many milliseconds after noon.
fn made(at: u64, node: NodeId, after_noon: u64) -> (u64, Event) {
    let mut made = belongs(at, node, |_| {});
    if let Event::MemberAdded(member) = &mut made.1 {
        member.expires.0 = NOON + after_noon + 30 * 24 * HOUR;
    }
    made
}

/// Internal data.
fn internal() -> Envelope {
    let mut envelope = envelope(FRAUD);
    envelope.label.class = DataClass::Internal;
    envelope
}

/// Munich by a policy; lyon, whose certificate was made at noon, holds the model. It is noon.
fn stage(policy: Policy) -> Play {
    let script = vec![made(0, MUNICH, 0), made(0, LYON, 0), heard(0, LYON, FRAUD, 0)];
    Play::new(policy).then(vec![day(0, 0)]).then(script).quietly()
}

#[test]
fn a_request_that_wants_a_vouched_place_leaves_a_member_whose_certificate_grows_old() {
    let running = vec![submitted(1, 1, FRAUD), with(1, 2, internal()), recorded(2, 1), recorded(2, 2)];
    let play = stage(careful()).then(running).check(
        "1: record#1 intent 1/1 to lyon by vouched, 1000 B
         1: record#2 intent 2/1 to lyon by eea, 1000 B
         2: route 1/1 lyon by vouched
         2: forward 1/1 to lyon, 9999 ms left
         2: route 2/1 lyon by eea
         2: forward 2/1 to lyon, 9999 ms left",
    );
    // At the limit it is new, and a millisecond later it is not. What asks for no assurance goes on.
    let play = play.then(vec![day(3, 24 * HOUR)]).check("");
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
    let mut play = play.then(vec![day(4, 24 * HOUR + 1)]);
    assert_eq!(play.only(&["abandon"]), ["4: abandon 1/1 at lyon"]);
    assert_eq!(assurance(&play, LYON), Assurance::Claimed);
    let intents = |play: &mut Play| -> Vec<String> {
        let records = play.only(&["record#"]);
        records.iter().filter_map(|line| Some(line.split_once(" intent ")?.1.to_owned())).collect()
    };
    let mut play = play.then(vec![submitted(5, 3, FRAUD), with(5, 4, internal())]);
    assert_eq!(intents(&mut play), ["4/1 to lyon by eea, 1000 B"]);
    // A newer certificate opens the place again.
    let mut play = play.then(vec![made(6, LYON, 24 * HOUR), submitted(7, 5, FRAUD)]);
    assert!(intents(&mut play).contains(&"5/1 to lyon by vouched, 1000 B".to_owned()));
    assert_eq!(assurance(&play, LYON), Assurance::Vouched);
}

#[test]
fn nothing_is_old_before_somebody_told_what_time_it_is_or_by_a_policy_that_says_nothing() {
    let timeless = Play::new(careful()).then(vec![heard(0, LYON, FRAUD, 0), submitted(1, 1, FRAUD)]);
    assert!(timeless.says("intent 1/1 to lyon"), "its certificate ended in 1970");
    let silent = stage(lenient()).then(vec![day(1, 700 * HOUR), submitted(2, 1, FRAUD)]);
    assert!(silent.says("intent 1/1 to lyon"));
}

#[test]
fn a_policy_that_wants_newer_certificates_holds_at_once_and_so_does_one_that_does_not_any_more() {
    let play = stage(lenient()).then(vec![day(1, 25 * HOUR), submitted(2, 1, FRAUD), recorded(3, 1)]).quietly();
    let mut play = play.then(vec![law(4, careful())]);
    assert_eq!(play.only(&["abandon"]), ["4: abandon 1/1 at lyon"]);
    assert_eq!(assurance(&play, LYON), Assurance::Claimed);
    let longer = Policy { certified_within: Some(Hours(26)), ..careful() };
    for (at, policy) in [(5, longer), (7, lenient())] {
        play = play.then(vec![law(at, policy)]).quietly();
        assert_eq!(assurance(&play, LYON), Assurance::Vouched);
        play = play.then(vec![law(at + 1, careful())]).quietly();
        assert_eq!(assurance(&play, LYON), Assurance::Claimed);
    }
}

#[test]
fn a_certificate_from_the_future_is_not_new_and_clocks_may_differ_by_ten_minutes() {
    // It is a millisecond past noon.
    let ahead = 10 * 60_000 + 1;
    let play = stage(careful()).then(vec![made(1, LYON, ahead), made(1, PARIS, ahead + 1)]).quietly();
    assert_eq!([LYON, PARIS].map(|node| assurance(&play, node)), [Assurance::Vouched, Assurance::Claimed]);
    let play = play.then(vec![day(2, 2)]).quietly();
    assert_eq!(assurance(&play, PARIS), Assurance::Vouched);
}

#[test]
fn whose_certificate_is_old_is_not_near_and_no_anchor() {
    let later = |by, at: u64, after_noon: u64| {
        let mut sample = lyon(8);
        sample.at.0 += after_noon;
        measured(at, by, &[sample])
    };
    let news = |at, after_noon| vec![made(at, PARIS, after_noon), made(at, LILLE, after_noon)];
    let near = vec![later(PARIS, 1, 0), later(LILLE, 1, 0)];
    let play = stage(careful()).then(news(0, 0)).then(near).quietly();
    assert_eq!(assurance(&play, LYON), Assurance::Near);
    // Its own grows old, while the others' were made anew and say that it is near.
    let anew = vec![day(2, 23 * HOUR), later(PARIS, 2, 23 * HOUR), later(LILLE, 2, 23 * HOUR), day(3, 24 * HOUR + 1)];
    let play = play.then(news(2, 23 * HOUR)).then(anew).quietly();
    assert_eq!(assurance(&play, LYON), Assurance::Claimed);
    let play = play.then(vec![made(4, LYON, 24 * HOUR)]).quietly();
    assert_eq!(assurance(&play, LYON), Assurance::Near);
    // One of two anchors has an old one.
    let half =
        vec![day(5, 46 * HOUR), later(PARIS, 5, 46 * HOUR), later(LILLE, 5, 46 * HOUR), made(5, PARIS, 46 * HOUR)];
    let play = play.then(half).quietly();
    assert_eq!(assurance(&play, LYON), Assurance::Near);
    let play = play.then(vec![day(6, 47 * HOUR + 1)]).quietly();
    assert_eq!((assurance(&play, LYON), weights(&play)), (Assurance::Vouched, vec![Weight::Near, Weight::NoAnchor]));
}

#[test]
fn this_node_is_judged_alike_and_says_what_to_do() {
    let warnings = |play: &Play| play.core.view(Timestamp(0)).warnings;
    let play = stage(careful()).then(vec![made(1, LYON, 20 * HOUR), day(1, 24 * HOUR)]).quietly();
    assert_eq!((assurance(&play, MUNICH), warnings(&play)), (Assurance::Vouched, vec![]));
    let play = play.then(vec![day(2, 25 * HOUR)]).quietly();
    assert_eq!((assurance(&play, MUNICH), assurance(&play, LYON)), (Assurance::Claimed, Assurance::Vouched));
    let told = warnings(&play);
    let [warning] = told.as_slice() else { panic!("{told:?}") };
    for part in ["certificate-old", "more than 25 h ago", "of the last 24 h", "assurance 0", "hither authority"] {
        assert!(warning.contains(part), "{part}: {warning}");
    }
    // What others ask of it, it takes by the rules that ask for no assurance.
    let asks = |request, envelope: Envelope| {
        let (task, remaining) = (of(LYON, request), hither_types::unit::Micros::from_millis(10_000));
        (3, Event::Asked { task, digest: FRAUD, envelope, remaining })
    };
    let mut play = play.then(vec![crate::tests::ready(3, FRAUD, 2), asks(7, envelope(FRAUD)), asks(8, internal())]);
    assert_eq!(
        play.only(&["decline", "record#"]),
        ["3: decline lyon:7/1 UnlawfulThere", "3: record#1 ingress 8/1 from lyon by eea, 1000 B"]
    );
    let play = play.then(vec![made(4, MUNICH, 25 * HOUR)]).quietly();
    assert_eq!((assurance(&play, MUNICH), warnings(&play)), (Assurance::Vouched, vec![]));
}

#[test]
fn who_asks_why_is_told_that_the_certificate_is_too_old() {
    let mut play = stage(careful()).then(vec![day(1, 31 * HOUR), submitted(2, 1, FRAUD)]);
    play.only(&[]);
    let steps = play.core.explain(RequestId(1)).unwrap().steps;
    let what_ifs = steps.into_iter().filter_map(|(_, step)| match step {
        Step::Denied { what_ifs, .. } => Some(what_ifs),
        _ => None,
    });
    let told: Vec<String> =
        what_ifs.flatten().filter(|what_if| what_if.fact == "assurance").map(|what_if| what_if.now).collect();
    let now = "0 (claimed); its certificate was made more than 31 h ago, and the policy here wants one of the last 24 h \
               (certified_within_hours): an issuer has to reach it";
    assert_eq!(told, [now]);
    let view = play.core.view(Timestamp(0));
    let outdated = |node| {
        let known = view.nodes.iter().find(|known| known.member.node == node).unwrap();
        known.evidence.as_ref().unwrap().outdated
    };
    assert_eq!(outdated(LYON).map(|outdated| outdated.made.0), Some(NOON));
    assert_eq!(outdated(LYON).map(|outdated| outdated.within), Some(Hours(24)));
}
