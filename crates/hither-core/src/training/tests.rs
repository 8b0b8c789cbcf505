//! Examples to train with: within the law for both that happens to them there, to servers outside alone, and once.

use hither_types::filter::Withheld;
use hither_types::id::{AppName, Digest, NodeId, RuleId, SiteName, Ticket};
use hither_types::law::{LawAction, Policy, Rule};
use hither_types::member::Member;
use hither_types::message::{ModelPresence, ModelStage};
use hither_types::model::Device;
use hither_types::place::PlaceKind;
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Envelope, RequestKind};
use hither_types::spending::{Budgets, Money, Price, Purse};
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use crate::tests::{
    CHAT, PARIS, Play, asked, done, eea, envelope, failed, heard, law, member, name, nothing, of, own, place, ready,
    recorded, said, submitted, with,
};
use crate::{Action, Event};

const CLOUD: NodeId = NodeId([0xc0; 32]);
const OTHER: NodeId = NodeId([0xc1; 32]);
/// What stands for the training of the model.
const TRAINING: Digest = Digest([0x77; 32]);

fn site(node: NodeId) -> SiteName {
    SiteName::parse(if node == CLOUD { "cloud" } else { "other" }).unwrap()
}

/// A server that trains the model, and is there.
fn trainer(node: NodeId, jurisdiction: &str, kind: PlaceKind) -> Vec<(u64, Event)> {
    let place = Member { node, site: site(node), jurisdiction: place(jurisdiction), ..member(PARIS) };
    let added = Event::EndpointAdded { place, kind, trains: [(name(CHAT), TRAINING)].into() };
    vec![(0, added), heard(0, node, Digest([0x55; 32]), 0)]
}

fn cloud() -> Vec<(u64, Event)> {
    trainer(CLOUD, "FR", PlaceKind::Cloud)
}

/// The law of the other tests, and what may rest where it is worked on.
fn resting() -> Policy {
    let mut policy = eea();
    let infer = policy.permits[0].clone();
    policy.permits.push(Rule { id: id("eea-rest"), actions: vec![LawAction::Enqueue], ..infer });
    policy
}

fn id(text: &str) -> RuleId {
    RuleId::parse(text).unwrap()
}

fn examples() -> Envelope {
    Envelope { kind: RequestKind::Train, ..envelope(CHAT) }
}

fn handed(at: u64, id: u128) -> (u64, Event) {
    with(at, id, examples())
}

fn handed_to(at: u64, id: u128, site: &str) -> (u64, Event) {
    with(at, id, Envelope { prefer: Some(SiteName::parse(site).unwrap()), ..examples() })
}

fn after(begin: Vec<(u64, Event)>, rest: Vec<(u64, Event)>) -> Vec<(u64, Event)> {
    begin.into_iter().chain(rest).collect()
}

#[test]
fn examples_go_where_both_that_happens_to_them_is_permitted_and_both_are_on_record_before() {
    Play::new(resting()).then(after(cloud(), vec![handed(1, 1), recorded(2, 1), done(300, own(1, 1))])).check(
        "
        1: record#1 intent 1/1 to cloud by eea, rests by eea-rest, 1000 B
        2: route 1/1 nowhere by eea
        2: forward 1/1 to nowhere, 9999 ms left
        300: record settled 1/1 to cloud: 1000 B, 50 B back, Answered
        300: finish 1
        300: record ended 1/0 Answered by nowhere after 1
    ",
    );
}

#[test]
fn a_permit_to_work_on_them_is_none_for_them_to_rest_there_and_one_to_rest_none_to_work() {
    let refused = "
        1: record denied 1/0, rule -, 1 considered
        1: refuse 1 Unlawful(nowhere)
        1: record ended 1/0 Refused by nobody after 0
    ";
    let script = || after(cloud(), vec![handed(1, 1)]);
    let play = Play::new(eea()).then(script()).check(refused);
    assert!(play.steps(1).contains("cloud denied enqueue"), "{}", play.steps(1));
    let mut rest_alone = resting();
    rest_alone.permits.remove(0);
    let play = Play::new(rest_alone).then(script()).check(refused);
    assert!(play.steps(1).contains("cloud denied;"), "{}", play.steps(1));
    // A forbid of either beats all permits.
    let mut forbidden = resting();
    let ban = Rule { id: id("no-rest"), actions: vec![LawAction::Enqueue], ..forbidden.permits[0].clone() };
    forbidden.forbids.push(ban);
    Play::new(forbidden).then(script()).check(&refused.replace("rule -", "rule no-rest"));
}

#[test]
fn no_member_is_asked_whatever_it_says_and_whatever_the_law_permits() {
    let says = ModelPresence {
        digest: TRAINING,
        stage: ModelStage::Ready,
        device: Device::Cpu,
        slots: 4,
        busy: 0,
        queued: 0,
        service: Micros(0),
    };
    // The model is open here and there, and a member pretends to train it.
    let begin = || vec![heard(0, PARIS, CHAT, 0), said(1, PARIS, says), ready(1, CHAT, 1)];
    Play::new(resting()).then(after(begin(), vec![handed(2, 1)])).check(
        "
        2: refuse 1 NotTrained { model: \"chat\", site: None }
        2: record ended 1/0 Refused by nobody after 0
    ",
    );
    // Nor when the server that trains it fails.
    let script = vec![handed(2, 1), recorded(3, 1), failed(4, own(1, 1), Failure::Unreachable)];
    let lines = Play::new(resting()).then(after(after(cloud(), begin()), script)).only(&["forward", "run", "fail"]);
    assert_eq!(lines, ["3: forward 1/1 to nowhere, 9999 ms left", "4: fail 1 Unreachable"]);
    // What a member sends here to train with is declined.
    let (at, event) = asked(5, of(PARIS, 50), CHAT);
    let Event::Asked { task, digest, envelope, remaining } = event else { unreachable!("it is asked") };
    let envelope = Envelope { kind: RequestKind::Train, ..envelope };
    let event = Event::Asked { task, digest, envelope, remaining };
    let lines = Play::new(resting()).then(vec![ready(1, CHAT, 1), (at, event)]).only(&["run", "decline"]);
    assert!(lines.len() == 1 && lines[0].contains("UnlawfulThere"), "{lines:?}");
}

#[test]
fn what_may_lie_there_already_goes_to_no_second_server_and_what_never_left_does() {
    let both = || after(cloud(), trainer(OTHER, "FR", PlaceKind::Cloud));
    for failure in [
        Failure::Unreachable,
        Failure::Silent,
        Failure::Engine("it failed".to_owned()),
        Failure::Declined(Refusal::Overloaded { retry_after: Micros::from_millis(500) }),
    ] {
        let script = vec![handed(1, 1), recorded(2, 1), failed(3, own(1, 1), failure.clone())];
        let lines = Play::new(resting()).then(after(both(), script)).only(&["record#", "forward", "refuse", "fail"]);
        assert_eq!(lines.len(), 3, "{failure:?}: {lines:?}");
        assert!(lines[2].starts_with("3: fail 1") || lines[2].starts_with("3: refuse 1"), "{lines:?}");
    }
    let why = Withheld::Unreadable("a text that is too long");
    let kept = Failure::Declined(Refusal::Withheld { site: site(CLOUD), why });
    let script = vec![handed(1, 1), recorded(2, 1), failed(3, own(1, 1), kept), recorded(4, 2)];
    let lines = Play::new(resting()).then(after(both(), script)).only(&["record#", "forward"]);
    assert_eq!(lines.len(), 4, "the law and the record were asked again: {lines:?}");
}

#[test]
fn a_server_that_is_named_is_the_only_one() {
    let begin = || after(cloud(), trainer(OTHER, "US", PlaceKind::Cloud));
    let lines = Play::new(resting()).then(after(begin(), vec![handed_to(1, 1, "cloud")])).only(&["record#"]);
    assert!(lines[0].contains("to cloud"), "{lines:?}");
    // The law forbids that one, and the other is not asked in its stead.
    let lines = Play::new(resting()).then(after(begin(), vec![handed_to(1, 1, "other")])).only(&["record#", "refuse"]);
    assert_eq!(lines, ["1: refuse 1 Unlawful(nowhere)"]);
    let lines = Play::new(resting()).then(after(begin(), vec![handed_to(1, 1, "nobody")])).only(&["refuse"]);
    assert!(lines[0].contains("NotTrained"), "{lines:?}");
}

#[test]
fn nothing_leaves_that_is_not_on_the_record() {
    let script = vec![handed(1, 1), (2, Event::RecordFailed(Ticket(1)))];
    let lines = Play::new(resting()).then(after(cloud(), script)).only(&["forward", "refuse"]);
    assert_eq!(lines, ["2: refuse 1 LedgerUnavailable"]);
}

#[test]
fn a_law_that_changes_meanwhile_ends_it_there() {
    let script = vec![handed(1, 1), recorded(2, 1), law(3, eea())];
    let lines = Play::new(resting()).then(after(cloud(), script)).only(&["forward", "abandon", "refuse"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("abandon 1/1") && lines[2].contains("UnlawfulThere"), "{lines:?}");
    // Between the offer and the record, too.
    let script = vec![handed(1, 1), law(2, eea()), recorded(3, 1)];
    let lines = Play::new(resting()).then(after(cloud(), script)).only(&["forward", "refuse"]);
    assert_eq!(lines, ["3: refuse 1 Unlawful(nowhere)"]);
}

#[test]
fn on_this_machine_nothing_leaves_and_it_is_always_lawful() {
    let begin = trainer(CLOUD, "DE", PlaceKind::Home);
    Play::new(nothing()).then(after(begin, vec![handed(1, 1), done(9, own(1, 1))])).check(
        "
        1: route 1/1 nowhere by local
        1: forward 1/1 to nowhere, 10000 ms left
        9: finish 1
        9: record ended 1/0 Answered by nowhere after 1
    ",
    );
}

#[test]
fn chats_with_the_model_do_not_go_to_a_server_that_only_trains_it() {
    let lines = Play::new(resting()).then(after(cloud(), vec![submitted(1, 1, CHAT)])).only(&["record#", "refuse"]);
    assert_eq!(lines, ["1: refuse 1 NoCapacity { tried: 0 }"]);
}

#[test]
fn budgets_and_the_list_of_apps_hold() {
    let price = Price { input: Money(3_000_000), ..Price::default() };
    let budgets = |purse: Purse| {
        let budgets = Budgets { purses: [(site(CLOUD), purse)].into(), ..Budgets::default() };
        (0, Event::Budgets(Box::new(budgets)))
    };
    let poor = budgets(Purse { price, day: Some(Money(1)), ..Purse::default() });
    let lines = Play::new(resting()).then(after(cloud(), vec![poor, handed(1, 1)])).only(&["record", "refuse"]);
    assert!(lines[0].contains("denied 1/0, rule egress-budget"), "{lines:?}");
    assert!(lines[1].contains("BudgetSpent"), "{lines:?}");
    let app = AppName::parse("other-app").unwrap();
    let foreign = budgets(Purse { apps: Some([app].into()), ..Purse::default() });
    let lines = Play::new(resting()).then(after(cloud(), vec![foreign, handed(1, 1)])).only(&["record#", "refuse"]);
    assert!(lines[0].contains("NotTrained"), "{lines:?}");
    let bytes = Budgets { other_apps: Some(ByteCount(999)), ..Budgets::default() };
    let small = (0, Event::Budgets(Box::new(bytes)));
    let lines = Play::new(resting()).then(after(cloud(), vec![small, handed(1, 1)])).only(&["record#", "refuse"]);
    assert!(lines[0].contains("BudgetSpent"), "{lines:?}");
}

#[test]
fn no_second_copy_is_made_of_examples_however_late_the_answer_is() {
    let mut play = Play::new(resting()).then(after(cloud(), vec![handed(1, 1), recorded(2, 1)]));
    play.only(&["forward"]);
    let mut said = Vec::new();
    for at in 3..1_000 {
        let progress = Event::Beat { task: own(1, 1), progress: at };
        said.extend(play.step(at, progress).into_iter().filter(|line| line.contains("record#")));
        let actions: Vec<Action> = play.core.handle(Event::Tick, Timestamp(at * 1000)).collect();
        assert!(actions.iter().all(|action| !matches!(action, Action::Forward { .. })), "{at}");
    }
    assert!(said.is_empty(), "{said:?}");
}

#[test]
fn who_hands_over_to_a_server_that_is_left_alone_is_told_why_and_until_when() {
    let failure = Failure::Declined(Refusal::Barred {
        site: site(CLOUD),
        why: hither_types::refusal::Bar::Key(401),
        again: Micros(0),
    });
    let script = vec![handed(1, 1), recorded(2, 1), failed(3, own(1, 1), failure), handed(4, 2)];
    let lines = Play::new(resting()).then(after(cloud(), script)).only(&["forward", "refuse"]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].contains("refuse 2 Barred"), "{lines:?}");
}
