//! Budgets: what is counted when, what is refused, and what is given back.

use hither_types::id::{AppName, NodeId, Operator, RequestId, SiteName, Ticket};
use hither_types::member::Member;
use hither_types::place::{Assurance, PlaceKind};
use hither_types::refusal::{Failure, Refusal};
use hither_types::request::{Cost, Envelope};
use hither_types::spending::{Budgets, Flow, Link, Money, Price, Purse, Spent};
use hither_types::time::WallTime;
use hither_types::unit::{ByteCount, Micros};

use crate::tests::{
    CHAT, LYON, PARIS, Play, asked, done, eea, envelope, failed, heard, member, of, own, place, ready, recorded,
    submitted, until, with,
};
use crate::{Event, PullPolicy};

const CLOUD: NodeId = NodeId([0xc0; 32]);
const NEIGHBOUR: NodeId = NodeId([0xb0; 32]);
const DAY: u64 = 86_400_000;

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn site(name: &str) -> SiteName {
    SiteName::parse(name).unwrap()
}

fn allows(budgets: Budgets) -> (u64, Event) {
    (0, Event::Budgets(Box::new(budgets)))
}

/// A second before midnight.
fn late() -> (u64, Event) {
    (0, Event::TimeOfDay(WallTime(20_000 * DAY - 1_000)))
}

fn of_app(bytes: u64) -> Budgets {
    Budgets { apps: [(app("app"), ByteCount(bytes))].into(), ..Budgets::default() }
}

fn of_site(bytes: u64) -> Budgets {
    Budgets { site: Some(ByteCount(bytes)), ..Budgets::default() }
}

/// Two euros for a million tokens in, eight for a million out, a cent for a request.
fn priced(purse: Purse) -> Budgets {
    let price = Price { request: Money(10_000), input: Money(2_000_000), output: Money(8_000_000), ..Price::default() };
    Budgets {
        purses: [(site("cloud"), Purse { price, ..purse })].into(),
        compared: Some(site("cloud")),
        ..Budgets::default()
    }
}

fn cloud() -> Vec<(u64, Event)> {
    let operator = Operator::parse("somebody").unwrap();
    let assurance = Assurance::Claimed;
    let place =
        Member { node: CLOUD, site: site("cloud"), jurisdiction: place("FR"), operator, assurance, ..member(PARIS) };
    vec![
        (0, Event::EndpointAdded { place, kind: PlaceKind::Cloud, trains: Default::default() }),
        heard(0, CLOUD, CHAT, 0),
    ]
}

fn by(at: u64, request: u128, name: &str) -> (u64, Event) {
    with(at, request, Envelope { app: app(name), ..envelope(CHAT) })
}

/// An answer with tokens.
fn answer(at: u64, request: u128, prompt: u32, output: u32) -> (u64, Event) {
    let cost = Cost { prompt_tokens: prompt, output_tokens: output, answer: ByteCount(50), ..Cost::default() };
    (at, Event::Done { task: own(request, 1), cost })
}

fn play(budgets: Budgets, script: Vec<(u64, Event)>) -> (Vec<String>, Spent) {
    let mut play = Play::with(eea(), PullPolicy::Manual).then(vec![allows(budgets)]).then(script);
    let lines = play.only(&["refuse", "forward", "record denied", "run", "decline"]);
    let spent = play.core.spending().spent;
    (lines, spent)
}

fn is_refused(lines: &[String], request: u32) -> bool {
    lines.iter().any(|line| line.contains(&format!("refuse {request} BudgetSpent")))
}

#[test]
fn an_app_that_has_sent_what_it_may_is_refused_and_another_is_not() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        submitted(1, 1, CHAT),
        recorded(2, 1),
        done(3, own(1, 1)),
        submitted(4, 2, CHAT),
        by(5, 3, "other"),
        recorded(6, 2),
    ];
    let (lines, spent) = play(of_app(1_500), script);
    assert!(is_refused(&lines, 2), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("denied 2/0, rule egress-budget, 1 considered")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("forward 3/1 to paris")), "{lines:?}");
    assert_eq!(spent.apps, [(app("app"), ByteCount(1_000)), (app("other"), ByteCount(1_000))].into());
    assert_eq!(spent.links[Link::CrossBorder as usize].requests, ByteCount(2_000));
}

#[test]
fn the_refusal_says_which_budget_and_when_the_day_ends() {
    let mut play = Play::with(eea(), PullPolicy::Manual).then(vec![
        late(),
        allows(of_app(10)),
        heard(0, PARIS, CHAT, 0),
        submitted(400, 1, CHAT),
    ]);
    let lines = play.only(&["refuse"]);
    let renewed = Micros::from_millis(600);
    let budget = hither_types::spending::Budget::App(app("app"), ByteCount(10));
    assert_eq!(lines, [format!("400: refuse 1 {:?}", Refusal::BudgetSpent { budget, renewed })]);
}

#[test]
fn what_leaves_side_by_side_stays_within_a_budget_together() {
    let script = vec![heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT), submitted(1, 2, CHAT), recorded(2, 1)];
    let (lines, spent) = play(of_app(1_999), script);
    assert!(is_refused(&lines, 2) && !is_refused(&lines, 1), "{lines:?}");
    assert_eq!(spent.apps[&app("app")], ByteCount(1_000));
}

#[test]
fn what_did_not_leave_is_given_back() {
    let lost = vec![heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT), (2, Event::RecordFailed(Ticket(1)))];
    let (_, spent) = play(of_app(1_999), lost);
    assert_eq!((spent.apps[&app("app")], spent.links[Link::CrossBorder as usize].requests), Default::default());
    let gone = vec![heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT), (2, Event::ClientGone(RequestId(1)))];
    let (_, spent) = play(of_app(1_999), gone);
    assert_eq!(spent.apps[&app("app")], ByteCount(0));
}

#[test]
fn what_left_in_vain_stays_counted_and_so_does_each_try() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        heard(0, LYON, CHAT, 0),
        submitted(1, 1, CHAT),
        recorded(2, 1),
        failed(3, own(1, 1), Failure::Unreachable),
        recorded(4, 2),
    ];
    let (_, spent) = play(of_app(9_999), script.clone());
    assert_eq!(spent.apps[&app("app")], ByteCount(2_000));
    let (lines, spent) = play(of_app(1_999), script);
    assert!(is_refused(&lines, 1), "{lines:?}");
    assert_eq!(spent.apps[&app("app")], ByteCount(1_000));
}

#[test]
fn work_at_home_needs_no_budget() {
    let (lines, spent) = play(of_app(0), vec![ready(0, CHAT, 1), heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT)]);
    assert_eq!(lines, ["1: run 1/1 chat"]);
    assert_eq!(spent.out_of_site(), ByteCount(0));
}

#[test]
fn a_neighbour_in_the_same_site_costs_nothing_and_has_its_share_of_the_site() {
    let mate = Member { node: NEIGHBOUR, ..Play::with(eea(), PullPolicy::Manual).core.me().clone() };
    let near = vec![(0, Event::MemberAdded(mate)), heard(0, NEIGHBOUR, CHAT, 0), submitted(1, 1, CHAT), recorded(2, 1)];
    let (lines, spent) = play(of_app(0), near.clone());
    assert!(lines.iter().any(|line| line.contains("forward 1/1")), "{lines:?}");
    assert_eq!(spent.links[Link::Lan as usize].requests, ByteCount(1_000));
    let far = vec![near[0].clone(), heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT)];
    let (lines, _) = play(of_site(1_998), far.clone());
    assert!(is_refused(&lines, 1), "{lines:?}");
    let (lines, _) = play(of_site(2_000), far);
    assert!(!is_refused(&lines, 1), "{lines:?}");
}

#[test]
fn a_new_day_begins_with_nothing_spent_and_a_clock_that_is_set_back_begins_none() {
    let begin = vec![late(), heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT), recorded(2, 1), done(3, own(1, 1))];
    let then = |rest: Vec<(u64, Event)>| begin.clone().into_iter().chain(rest).collect::<Vec<_>>();
    let (lines, spent) = play(of_app(1_500), then(vec![heard(1_050, PARIS, CHAT, 0), submitted(1_100, 2, CHAT)]));
    assert!(!is_refused(&lines, 2), "{lines:?}");
    assert_eq!((spent.day, spent.apps[&app("app")]), (20_000, ByteCount(1_000)));
    let back = (10, Event::TimeOfDay(WallTime(19_000 * DAY)));
    let (lines, spent) = play(of_app(1_500), then(vec![back, submitted(11, 2, CHAT)]));
    assert!(is_refused(&lines, 2), "{lines:?}");
    assert_eq!((spent.day, spent.apps[&app("app")]), (19_000, ByteCount(1_000)));
}

#[test]
fn a_clock_that_was_ahead_does_not_hold_the_next_days_up() {
    let ahead = (0, Event::TimeOfDay(WallTime(30_000 * DAY)));
    let right = (10, Event::TimeOfDay(WallTime(20_000 * DAY - 1_000)));
    let script = vec![ahead, heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT), recorded(2, 1), right];
    let (_, spent) = play(of_app(1_500), script.clone());
    assert_eq!((spent.day, spent.apps[&app("app")]), (19_999, ByteCount(1_000)));
    let next = [script, vec![heard(1_050, PARIS, CHAT, 0), submitted(1_100, 2, CHAT)]].concat();
    let (lines, spent) = play(of_app(1_500), next);
    assert!(!is_refused(&lines, 2), "{lines:?}");
    assert_eq!(spent.day, 20_000);
}

#[test]
fn an_answer_without_a_word_of_tokens_costs_what_was_guessed() {
    let script = [cloud(), vec![submitted(1, 1, CHAT), recorded(2, 1), answer(9, 1, 0, 0)]].concat();
    let (_, spent) = play(priced(Purse::default()), script);
    assert_eq!(spent.at(&site("cloud")), Money(14_764));
}

#[test]
fn what_failed_at_its_last_place_is_told_so_though_the_budget_is_spent() {
    let script = vec![
        heard(0, PARIS, CHAT, 0),
        submitted(1, 1, CHAT),
        recorded(2, 1),
        failed(3, own(1, 1), Failure::Engine("it burst".to_owned())),
        until(9),
    ];
    let (lines, _) = play(of_app(1_000), script);
    assert!(!is_refused(&lines, 1), "{lines:?}");
}

#[test]
fn what_ends_on_the_next_day_is_not_given_back_to_it() {
    let script = vec![
        late(),
        heard(0, PARIS, CHAT, 0),
        submitted(990, 1, CHAT),
        heard(1_010, PARIS, CHAT, 0),
        submitted(1_020, 2, CHAT),
        (1_030, Event::ClientGone(RequestId(1))),
    ];
    let (_, spent) = play(of_app(1_500), script);
    assert_eq!((spent.day, spent.apps[&app("app")]), (20_000, ByteCount(1_000)));
}

#[test]
fn what_was_spent_before_a_start_counts() {
    let spent = Spent { day: 19_999, apps: [(app("app"), ByteCount(900))].into(), ..Spent::default() };
    let before = |spent: &Spent| (0, Event::SpentBefore(Box::new(spent.clone())));
    let script = vec![before(&spent), late(), heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT)];
    let (lines, _) = play(of_app(1_500), script);
    assert!(is_refused(&lines, 1), "{lines:?}");
    let old = Spent { day: 19_998, ..spent };
    let (lines, _) = play(of_app(1_500), vec![before(&old), late(), heard(0, PARIS, CHAT, 0), submitted(1, 1, CHAT)]);
    assert!(!is_refused(&lines, 1), "{lines:?}");
}

#[test]
fn money_is_guessed_before_and_known_after() {
    // 1,000 bytes are taken for 334 tokens, and an answer for 512: 0.01 + 0.000668 + 0.004096.
    let begin = vec![submitted(1, 1, CHAT), recorded(2, 1)];
    let script = |rest: Vec<(u64, Event)>| [cloud(), begin.clone(), rest].concat();
    let (_, spent) = play(priced(Purse::default()), script(vec![]));
    assert_eq!(spent.at(&site("cloud")), Money(14_764));
    let (_, spent) = play(priced(Purse::default()), script(vec![answer(9, 1, 1_000, 100)]));
    assert_eq!(spent.at(&site("cloud")), Money(10_000 + 2_000 + 800));
    let broken = failed(9, own(1, 1), Failure::Unreachable);
    let (_, spent) = play(priced(Purse::default()), script(vec![broken]));
    assert_eq!(spent.at(&site("cloud")), Money(14_764), "nobody knows what it took");
    let full = Failure::Declined(Refusal::Overloaded { retry_after: Micros(1) });
    let (_, spent) = play(priced(Purse::default()), script(vec![failed(9, own(1, 1), full)]));
    assert_eq!(spent.at(&site("cloud")), Money(0), "who says no does not ask for money");
    assert_eq!(spent.links[Link::Cloud as usize], Flow { requests: ByteCount(1_000), answers: ByteCount(0) });
}

#[test]
fn a_server_is_left_alone_when_its_purse_is_empty() {
    let script =
        [cloud(), vec![submitted(1, 1, CHAT), recorded(2, 1), submitted(3, 2, CHAT), by(4, 3, "other")]].concat();
    let day = Purse { day: Some(Money(29_000)), ..Purse::default() };
    let (lines, _) = play(priced(day), script.clone());
    assert!(is_refused(&lines, 2) && is_refused(&lines, 3), "{lines:?}");
    let each = Purse { app_day: Some(Money(29_000)), ..Purse::default() };
    let (lines, _) = play(priced(each), script.clone());
    assert!(is_refused(&lines, 2) && !is_refused(&lines, 3), "{lines:?}");
    let scoped = Purse { apps: Some([app("other")].into()), ..Purse::default() };
    let (lines, spent) = play(priced(scoped), script);
    let alone = lines.iter().filter(|line| line.contains("refuse") && line.contains("NoCapacity")).count();
    assert_eq!(alone, 2, "{lines:?}");
    assert!(spent.money.keys().all(|(_, name)| *name == app("other")), "{spent:?}");
}

#[test]
fn answers_of_the_mesh_are_worth_what_the_server_would_have_asked() {
    let here = vec![ready(0, CHAT, 1), submitted(1, 1, CHAT), answer(9, 1, 1_000, 100)];
    let (_, spent) = play(priced(Purse::default()), [cloud(), here].concat());
    assert_eq!((spent.saved, spent.at(&site("cloud"))), (Money(12_800), Money(0)));
    let (_, spent) = play(
        priced(Purse::default()),
        [cloud(), vec![submitted(1, 1, CHAT), recorded(2, 1), answer(9, 1, 1_000, 100)]].concat(),
    );
    assert_eq!(spent.saved, Money(0));
}

#[test]
fn answers_for_other_sites_count_and_are_not_begun_when_nothing_may_leave() {
    let first = of(PARIS, 7);
    let script = vec![
        ready(0, CHAT, 2),
        asked(1, first, CHAT),
        recorded(2, 1),
        done(3, first),
        asked(4, of(PARIS, 8), CHAT),
        until(5),
    ];
    let (lines, spent) = play(of_site(50), script.clone());
    assert_eq!(spent.links[Link::CrossBorder as usize].answers, ByteCount(50));
    assert!(lines.iter().any(|line| line.contains("decline") && line.contains("NoCapacity")), "{lines:?}");
    let (lines, _) = play(of_site(51), script);
    assert!(!lines.iter().any(|line| line.contains("decline")), "{lines:?}");
}
