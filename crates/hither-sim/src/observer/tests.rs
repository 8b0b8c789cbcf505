//! An honest story passes; each lie in it is found, and called by its name.

use hither_types::time::Day;
use std::sync::Arc;

use hither_core::{Action, LocalModel};
use hither_types::fact::{Counterpart, Fact, Outcome, Subject};
use hither_types::id::{
    AppName, Attempt, Digest, MeshId, ModelName, NodeId, Operator, RequestId, RuleId, SiteName, Task, Ticket,
};
use hither_types::label::{DataClass, Label};
use hither_types::member::{Member, Roles};
use hither_types::message::{ModelPresence, ModelStage, Presence};
use hither_types::model::{Device, Manifest, ModelFormat, ModelIo};
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::refusal::{DeniedPlace, Failure, Refusal};
use hither_types::request::{Cost, Envelope, Prefix, Priority, Quality, RequestKind};
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Micros, Milliwatts};

use super::{Observer, Terms, token};

const LAW: &str = r#"
version = 1
[default]
unlabelled = "special"
[[permit]]
id = "eea"
action = ["infer"]
class = ["personal"]
origin = ["EEA"]
target = ["EEA"]
[[permit]]
id = "models"
action = ["replicate"]
target = ["EEA"]
"#;
const CLOSED: &str = "version = 1\n[default]\nunlabelled = \"special\"\n";

const REQUEST: RequestId = RequestId(7);
const MODEL: Digest = Digest([9; 32]);
const PARIS: usize = 0;
const MUNICH: usize = 1;
const BOSTON: usize = 2;

fn member(node: usize) -> Member {
    let (site, place) = [("paris", "FR"), ("munich", "DE-BY"), ("boston", "US-MA")][node];
    Member {
        node: key(node),
        mesh: MeshId([0; 32]),
        site: SiteName::parse(site).unwrap(),
        jurisdiction: Jurisdiction::parse(place).unwrap(),
        control: None,
        operator: Operator::parse("acme").unwrap(),
        assurance: Assurance::Vouched,
        expires: WallTime(0),
        roles: Roles::ALL,
    }
}

fn key(node: usize) -> NodeId {
    NodeId([node as u8 + 1; 32])
}

fn manifest() -> Manifest {
    Manifest {
        name: ModelName::parse("chat").unwrap(),
        digest: MODEL,
        sha256: [0; 32],
        size: ByteCount(1),
        format: ModelFormat::Stub,
        licence: String::new(),
        io: ModelIo::Language { context_tokens: 100 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: key(MUNICH),
        revision: 0,
        expires: None,
        signed_by: String::new(),
    }
}

fn envelope() -> Envelope {
    Envelope {
        app: AppName::parse("app").unwrap(),
        model: ModelName::parse("chat").unwrap(),
        label: Label {
            class: DataClass::Personal,
            tags: Vec::new(),
            subjects: vec![Jurisdiction::parse("FR").unwrap()],
            purpose: None,
        },
        kind: RequestKind::Infer,
        size: ByteCount(100),
        priority: Priority::Normal,
        prefer: None,
        quality: Quality::Exact,
    }
}

fn task(attempt: u8) -> Task {
    Task { origin: key(PARIS), request: REQUEST, attempt: Attempt(attempt) }
}

fn subject() -> Subject {
    let Envelope { app, model, label, .. } = envelope();
    Subject {
        request: REQUEST,
        attempt: Attempt(1),
        app,
        model,
        ran: None,
        class: label.class,
        tags: label.tags,
        subjects: label.subjects,
        purpose: None,
        policy: Digest([0; 32]),
    }
}

fn counterpart(node: usize) -> Counterpart {
    Counterpart::of(&member(node), PlaceKind::Peer)
}

fn rule() -> RuleId {
    RuleId::parse("eea").unwrap()
}

fn intent(bytes: u64) -> Fact {
    Fact::EgressIntent {
        subject: subject(),
        to: counterpart(MUNICH),
        rule: rule(),
        rests: None,
        cache: None,
        bytes: ByteCount(bytes),
        reference: None,
    }
}

fn settled() -> Fact {
    let (bytes, answer) = (ByteCount(100), ByteCount(12));
    Fact::EgressSettled {
        subject: subject(),
        to: counterpart(MUNICH),
        bytes,
        answer,
        outcome: Outcome::Answered,
        left_by: None,
        over: None,
    }
}

fn accepted() -> Fact {
    Fact::IngressAccepted {
        subject: subject(),
        from: counterpart(PARIS),
        rule: rule(),
        cache: None,
        bytes: ByteCount(100),
    }
}

/// One step of a story: what happens, at which node.
#[derive(Clone)]
enum Step {
    Act(usize, Action),
    Durable(usize, Fact),
    Arrives(usize, Envelope),
    Leaves(usize),
    Piece(u32, Vec<u32>),
    PieceOf(u8, u32, Vec<u32>),
    Ready(usize),
    Free(usize),
    Cap(usize, u64),
    Law(usize, &'static str),
    LawHolds(usize),
    Over,
    AskOver(usize),
    Time(u64),
}

fn record(fact: Fact) -> Action {
    Action::Record { ticket: Some(Ticket(1)), fact }
}

fn forward(attempt: u8, to: usize, envelope: Envelope) -> Action {
    Action::Forward {
        task: task(attempt),
        peer: key(to),
        digest: MODEL,
        envelope,
        remaining: Micros(1000),
        prefix: Prefix::Goes,
    }
}

fn route(to: usize) -> Action {
    Action::Route {
        request: REQUEST,
        attempt: Attempt(1),
        served_by: key(to),
        rule: rule(),
        instead: None,
        version: None,
    }
}

fn run(attempt: u8) -> Action {
    Action::Run { task: task(attempt), digest: MODEL, prefix: Prefix::Goes }
}

fn finish() -> Action {
    Action::Finish { request: REQUEST, cost: Cost::default() }
}

/// A request of paris, answered at munich with three tokens.
fn honest() -> Vec<(&'static str, Step)> {
    let token = |index| token(REQUEST, index);
    vec![
        ("intent", Step::Act(PARIS, record(intent(100)))),
        ("intent durable", Step::Durable(PARIS, intent(100))),
        ("route", Step::Act(PARIS, route(MUNICH))),
        ("forward", Step::Act(PARIS, forward(1, MUNICH, envelope()))),
        ("arrives", Step::Arrives(MUNICH, envelope())),
        ("accepted durable", Step::Durable(MUNICH, accepted())),
        ("accept", Step::Act(MUNICH, Action::Accept(task(1)))),
        ("run", Step::Act(MUNICH, run(1))),
        ("leaves", Step::Leaves(MUNICH)),
        ("tokens", Step::Piece(0, vec![token(0), token(1)])),
        ("last token", Step::Piece(2, vec![token(2)])),
        ("free", Step::Free(MUNICH)),
        ("finish ask", Step::Act(MUNICH, Action::FinishAsk { task: task(1), cost: Cost::default() })),
        ("ask over", Step::AskOver(MUNICH)),
        ("over", Step::Over),
        ("finish", Step::Act(PARIS, finish())),
        ("settled durable", Step::Durable(PARIS, settled())),
    ]
}

fn at(story: &[(&'static str, Step)], name: &str) -> usize {
    story.iter().position(|(known, _)| *known == name).unwrap()
}

fn without(name: &str) -> Vec<(&'static str, Step)> {
    let mut story = honest();
    story.remove(at(&story, name));
    story
}

fn instead(name: &str, step: Step) -> Vec<(&'static str, Step)> {
    let mut story = honest();
    let index = at(&story, name);
    story[index].1 = step;
    story
}

fn after(name: &str, step: Step) -> Vec<(&'static str, Step)> {
    let mut story = honest();
    story.insert(at(&story, name) + 1, ("inserted", step));
    story
}

fn local() -> LocalModel {
    LocalModel { digest: MODEL, slots: 1, slot_power: Milliwatts(5000), memory: None, device: Device::Cpu }
}

fn observer() -> Observer {
    let policy = Arc::new(hither_law::parse(LAW, Day(0)).unwrap());
    let nodes = [PARIS, MUNICH, BOSTON].map(|node| (member(node), policy.clone(), 60_000, 20_000)).to_vec();
    let mut observer = Observer::new(nodes, vec![manifest()]);
    observer.stored(MUNICH, MODEL);
    observer.ready(MUNICH, local());
    observer.submitted(1, PARIS, REQUEST, &envelope(), Terms { deadline: 1000, tokens: 3 });
    observer
}

/// Tells a story to an observer, and names what it found broken, in order and once each.
fn check(story: Vec<(&'static str, Step)>, expected: &str) {
    let mut observer = observer();
    let mut now = 10;
    for (_, step) in story {
        match step {
            Step::Act(node, action) => {
                observer.action(now, node, &action);
                observer.settle(now, node);
            }
            Step::Durable(node, fact) => observer.durable(node, &fact),
            Step::Arrives(node, envelope) => observer.asked(now, node, task(1), &envelope, 1000),
            Step::Leaves(node) => observer.answer_leaves(now, node, task(1)),
            Step::Piece(first, ids) => observer.piece(now, REQUEST, Attempt(1), first, &ids),
            Step::PieceOf(attempt, first, ids) => observer.piece(now, REQUEST, Attempt(attempt), first, &ids),
            Step::Ready(node) => {
                observer.ready(node, local());
            }
            Step::Free(node) => observer.engine_free(now, node, task(1)),
            Step::Cap(node, cap) => observer.cap(node, cap),
            Step::Law(node, text) => observer.law(node, Arc::new(hither_law::parse(text, Day(0)).unwrap())),
            Step::LawHolds(node) => observer.law_holds(now, node),
            Step::Over => observer.attempt_over(task(1)),
            Step::AskOver(node) => observer.answer_over(now, node, task(1)),
            Step::Time(time) => now = time,
        }
    }
    observer.close(now);
    let mut found: Vec<_> = observer.breaches().iter().map(|breach| breach.invariant).collect();
    found.dedup();
    assert_eq!(found.join(" "), expected, "{:#?}", observer.breaches());
}

#[test]
fn an_honest_story_breaks_nothing() {
    check(honest(), "");
}

#[test]
fn a_forward_before_its_record_is_found() {
    let mut story = honest();
    let (record, forward) = (at(&story, "intent durable"), at(&story, "forward"));
    story.swap(record, forward);
    check(story, "P2");
}

#[test]
fn a_forward_to_an_unlawful_place_is_found() {
    let elsewhere = Step::Act(PARIS, forward(1, BOSTON, envelope()));
    check(instead("forward", elsewhere), "I3 P2 I5 I3");
}

#[test]
fn a_run_against_the_law_of_the_target_is_found() {
    check(after("arrives", Step::Law(MUNICH, CLOSED)), "I3");
}

#[test]
fn a_run_that_nobody_asked_for_is_found() {
    check(without("arrives"), "I2 I3 I2");
}

#[test]
fn a_task_that_arrives_elsewhere_is_found() {
    check(after("arrives", Step::Arrives(BOSTON, envelope())), "I3");
}

#[test]
fn a_second_ending_is_found() {
    check(after("finish", Step::Act(PARIS, finish())), "I2");
    let failed = Action::Fail { request: REQUEST, failure: Failure::Silent };
    check(after("finish", Step::Act(PARIS, failed)), "I2");
}

#[test]
fn a_missing_ending_is_found() {
    check(without("finish"), "I1");
}

#[test]
fn a_skipped_a_repeated_and_a_wrong_token_are_found() {
    let token = |index| token(REQUEST, index);
    check(instead("tokens", Step::Piece(0, vec![token(0)])), "I2");
    check(instead("last token", Step::Piece(1, vec![token(1), token(2)])), "I2");
    check(instead("last token", Step::Piece(2, vec![token(1)])), "I2");
    check(without("last token"), "I2");
}

#[test]
fn a_token_after_the_end_and_one_before_the_route_are_found() {
    check(after("finish", Step::Piece(3, vec![token(REQUEST, 3)])), "I2");
    check(without("route"), "I2");
}

#[test]
fn a_false_route_is_found() {
    check(instead("route", Step::Act(PARIS, route(BOSTON))), "I3 I5");
}

#[test]
fn power_beyond_the_cap_is_found() {
    check(after("accept", Step::Cap(MUNICH, 24_999)), "I4");
    check(after("accept", Step::Cap(MUNICH, 25_000)), "");
}

#[test]
fn more_tasks_than_slots_are_found() {
    let mut story = honest();
    story.insert(at(&story, "run"), ("another", Step::Act(MUNICH, run(2))));
    check(story, "I3 I4");
}

#[test]
fn a_fourth_attempt_and_a_place_tried_twice_are_found() {
    check(instead("forward", Step::Act(PARIS, forward(4, MUNICH, envelope()))), "P2 I5 I3 I5");
    check(after("forward", Step::Act(PARIS, forward(1, MUNICH, envelope()))), "I5");
}

#[test]
fn what_starts_or_leaves_too_late_is_found() {
    check(after("accept", Step::Time(1001)), "I6");
    check(after("route", Step::Time(1001)), "I6");
    check(after("accept", Step::Time(1000)), "");
}

#[test]
fn a_model_that_is_not_there_is_found() {
    check(after("finish", Step::Act(PARIS, Action::Load(MODEL))), "I8");
    let run = Action::Run { task: task(1), digest: Digest([8; 32]), prefix: Prefix::Goes };
    check(instead("run", Step::Act(MUNICH, run)), "I8");
}

#[test]
fn an_unlawful_copy_of_a_model_is_found() {
    let fetch = Action::Fetch { manifest: manifest(), providers: vec![key(MUNICH)] };
    check(after("finish", Step::Act(PARIS, fetch.clone())), "");
    check(after("finish", Step::Act(BOSTON, fetch)), "I3");
}

#[test]
fn a_changed_envelope_is_found() {
    let mut changed = envelope();
    changed.label.subjects.clear();
    check(instead("arrives", Step::Arrives(MUNICH, changed.clone())), "I10");
    check(instead("forward", Step::Act(PARIS, forward(1, MUNICH, changed))), "I10");
}

#[test]
fn an_answer_before_its_ingress_is_on_disk_is_found() {
    check(without("accepted durable"), "P2");
}

#[test]
fn an_acceptance_and_a_start_before_the_ingress_is_on_disk_are_found() {
    for early in ["accept", "run"] {
        let mut story = honest();
        let step = story.remove(at(&story, early));
        let index = at(&story, "accepted durable");
        story.insert(index, step);
        check(story, "P2");
    }
}

#[test]
fn what_goes_on_against_a_new_law_is_found() {
    for (node, place) in [(PARIS, "run"), (MUNICH, "run")] {
        let mut story = after(place, Step::LawHolds(node));
        let index = at(&story, "inserted");
        story.insert(index, ("law", Step::Law(node, CLOSED)));
        check(story, "I3");
    }
}

#[test]
fn work_for_nobody_is_found() {
    check(without("over"), "I5");
    check(without("free"), "I5");
}

fn tells(busy: u16, queued: u16) -> Step {
    let model = ModelPresence {
        digest: MODEL,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 1,
        busy,
        queued,
        service: Micros(1),
    };
    let (power, cap) = (Milliwatts(0), Milliwatts(0));
    let (incarnation, sequence, policy) = (1, 1, Digest([0; 32]));
    let presence = Presence { incarnation, sequence, models: vec![model], power, cap, policy, placing: None };
    Step::Act(MUNICH, Action::Announce(presence))
}

#[test]
fn a_slot_that_is_kept_for_nobody_is_found() {
    for (step, time, expected) in [
        (tells(1, 0), 2_500_000, ""),
        (tells(1, 0), 2_600_000, "I4"),
        (tells(0, 1), 2_600_000, "I1"),
        (tells(0, 0), 2_600_000, ""),
    ] {
        let mut story = honest();
        story.extend([("later", Step::Time(time)), ("tells", step)]);
        check(story, expected);
    }
}

#[test]
fn an_egress_that_is_never_settled_is_found() {
    check(without("settled durable"), "P2");
}

#[test]
fn a_record_that_lies_is_found() {
    check(instead("intent", Step::Act(PARIS, record(intent(99)))), "P2");
}

#[test]
fn a_refusal_for_want_of_a_lawful_place_is_found() {
    let denial = hither_types::law::Denial::NotPermitted { nearest: None };
    let place = |node| DeniedPlace {
        node: key(node),
        jurisdiction: member(node).jurisdiction,
        action: hither_types::law::LawAction::Infer,
        denial: denial.clone(),
    };
    let refuse = |node| Action::Refuse {
        request: REQUEST,
        refusal: Refusal::Unlawful { model: envelope().model, class: DataClass::Personal, denied: vec![place(node)] },
    };
    check(instead("finish", Step::Act(PARIS, refuse(BOSTON))), "");
    check(instead("finish", Step::Act(PARIS, refuse(MUNICH))), "I3");
}

/// The request also runs at home, beside munich, which answers first.
fn hedged() -> Vec<(&'static str, Step)> {
    let mut story = honest();
    let beside = Action::Route {
        request: REQUEST,
        attempt: Attempt(2),
        served_by: key(PARIS),
        rule: home(),
        instead: None,
        version: None,
    };
    let index = at(&story, "leaves");
    story.insert(index, ("run beside", Step::Act(PARIS, run(2))));
    story.insert(index, ("route beside", Step::Act(PARIS, beside)));
    let index = at(&story, "finish");
    story.insert(index, ("stop", Step::Act(PARIS, Action::StopRun(task(2)))));
    story
}

#[test]
fn a_second_copy_of_what_must_not_be_copied_is_found() {
    let special = |observer: &mut Observer| {
        if let Some(watch) = observer.requests.get_mut(&REQUEST) {
            watch.envelope.kind = RequestKind::Generate;
        }
    };
    let mut observer = observer();
    special(&mut observer);
    observer.attempt(10, PARIS, task(1), MUNICH);
    observer.attempt(10, PARIS, task(2), PARIS);
    assert_eq!(observer.breaches().iter().map(|breach| breach.invariant).collect::<Vec<_>>(), ["I5"]);
}

#[test]
fn more_second_tries_and_copies_than_the_budget_are_found() {
    for (says_no, allowed) in [(true, 5), (false, 5)] {
        let mut observer = observer();
        for index in 0..=allowed {
            let request = RequestId(100 + index);
            let task = |attempt| Task { origin: key(PARIS), request, attempt: Attempt(attempt) };
            observer.submitted(1, PARIS, request, &envelope(), Terms { deadline: 1000, tokens: 3 });
            observer.attempt(10, PARIS, task(1), MUNICH);
            if says_no {
                observer.attempt_over(task(1));
                observer.said_no(task(1));
            }
            observer.attempt(10, PARIS, task(2), BOSTON);
            let found = observer.breaches().len();
            assert_eq!(found, usize::from(index == allowed), "{says_no} {index}");
        }
    }
}

fn home() -> RuleId {
    RuleId::parse("local").unwrap()
}

/// Tells a story in which something is inserted after a step, or a step is left out.
fn check_hedged(change: impl Fn(&mut Vec<(&'static str, Step)>), expected: &str) {
    let mut story = hedged();
    change(&mut story);
    let index = at(&story, "intent");
    // Home has an engine, too.
    story.insert(index, ("ready", Step::Ready(PARIS)));
    check(story, expected);
}

#[test]
fn two_copies_of_which_one_answers_break_nothing() {
    check_hedged(|_| {}, "");
}

#[test]
fn tokens_of_a_copy_that_was_beaten_are_found() {
    let late = |story: &mut Vec<(&'static str, Step)>| {
        let index = at(story, "last token");
        story[index].1 = Step::PieceOf(2, 2, vec![token(REQUEST, 2)]);
    };
    check_hedged(late, "I2");
}

#[test]
fn a_copy_that_goes_on_for_nobody_is_found() {
    check_hedged(|story| drop(story.remove(at(story, "stop"))), "I5");
}

#[test]
fn an_answer_that_the_record_gives_to_another_is_found() {
    let ended = |by| Fact::Ended {
        subject: subject(),
        served_by: Some(key(by)),
        outcome: Outcome::Answered,
        attempts: 2,
        energy: Default::default(),
        took: Micros(0),
        reference: None,
    };
    for (by, expected) in [(MUNICH, ""), (PARIS, "I2")] {
        let record = Action::Record { ticket: None, fact: ended(by) };
        check_hedged(
            |story| story.insert(at(story, "finish") + 1, ("ended", Step::Act(PARIS, record.clone()))),
            expected,
        );
    }
}
