//! The tests that policies bring along, and policies as files.

use hither_types::id::{AppName, Operator, RuleId};
use hither_types::label::DataClass;
use hither_types::law::{Denial, LawAction, Policy, PolicyTest, Verdict};
use hither_types::place::{Assurance, Jurisdiction, PlaceKind};
use hither_types::time::Day;

use super::{Case, near_miss, place, policy, region, rule, texts};
use crate::policy::{FailedTest, failing_tests};

fn test_case(origin: &str, subjects: &[&str], target: &str, permitted: bool) -> PolicyTest {
    PolicyTest {
        action: LawAction::Infer,
        app: None,
        model: None,
        class: DataClass::Personal,
        purpose: None,
        origin: place(origin),
        subjects: subjects.iter().map(|code| place(code)).collect(),
        target: place(target),
        permitted,
        on: None,
    }
}

fn told(failed: &[FailedTest]) -> Vec<String> {
    failed.iter().map(ToString::to_string).collect()
}

#[test]
fn the_tests_of_a_policy_are_run_and_those_that_fail_say_why() {
    let mut own = rule("own-country");
    own.origin = region(&["DE"]);
    own.target = region(&["DE"]);
    own.same_operator = Some(true);
    own.assurance = Some(Assurance::Vouched);
    own.not_control = vec![place("US")];
    let mut forbid = rule("no-id");
    forbid.origin = region(&["ID"]);
    let mut law = policy(vec![own], vec![forbid]);
    law.tests = vec![
        test_case("DE", &[], "DE-BY", true),
        test_case("DE", &[], "FR", false),
        test_case("DE", &["ID"], "DE", false),
        test_case("FR", &[], "FR", false),
    ];
    assert_eq!(told(&failing_tests(&law)), Vec::<String>::new());

    law.tests = vec![
        test_case("DE", &[], "DE", true),
        test_case("DE", &[], "DE", false),
        test_case("DE", &[], "FR", true),
        test_case("DE", &["ID"], "DE", true),
    ];
    assert_eq!(
        told(&failing_tests(&law)),
        [
            "test 2: infer of personal data from DE at DE: expected deny, and rule own-country permits it",
            "test 3: infer of personal data from DE at FR: expected permit, and no permit allows it; the nearest is \
             own-country (target: FR is not in [\"DE\"])",
            "test 4: infer of personal data from DE at DE: expected permit, and rule no-id forbids it",
        ]
    );
    law.permits.clear();
    law.tests = vec![test_case("DE", &[], "DE", true)];
    assert_eq!(
        told(&failing_tests(&law)),
        ["test 1: infer of personal data from DE at DE: expected permit, and no permit speaks of the action"]
    );
}

#[test]
fn a_test_that_names_no_app_is_about_an_unknown_one() {
    let mut permit = rule("chat-only");
    permit.apps = vec![AppName::parse("chat").unwrap()];
    let mut forbid = permit.clone();
    forbid.id = RuleId::parse("never-chat").unwrap();
    let mut law = policy(vec![permit], vec![]);
    law.tests = vec![test_case("DE", &[], "DE", false)];
    assert_eq!(failing_tests(&law), vec![], "an unknown app satisfies no permit");
    law.tests[0].app = Some(AppName::parse("chat").unwrap());
    assert_eq!(failing_tests(&law).len(), 1);

    let mut law = policy(vec![rule("everything")], vec![forbid]);
    law.tests = vec![test_case("DE", &[], "DE", false)];
    assert_eq!(failing_tests(&law), vec![], "an unknown app escapes no forbid");
    law.tests[0].app = Some(AppName::parse("other").unwrap());
    assert_eq!(failing_tests(&law).len(), 1);
}

/// The sample of the policy language, kept beside its reader.
const SAMPLE: &str = include_str!("../../../../hither-law/golden/sample.toml");

fn read(text: &str) -> Policy {
    hither_law::parse(text, Day(0)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_sample_policy_passes_its_own_tests_and_a_changed_expectation_does_not() {
    assert_eq!(told(&failing_tests(&read(SAMPLE))), Vec::<String>::new());
    for (from, to) in [("\"deny\"", "\"permit\""), ("\"permit\"", "\"deny\"")] {
        let (head, cases) = SAMPLE.split_at(SAMPLE.find("[[test]]").unwrap());
        let wrong = read(&format!("{head}{}", cases.replace(&format!("expect = {from}"), &format!("expect = {to}"))));
        assert_eq!(failing_tests(&wrong).len(), 3, "three of the six expect {from}");
    }
}

#[test]
fn the_default_policy_of_every_country_passes_its_own_tests() {
    let letters = b'A'..=b'Z';
    let codes = letters.clone().flat_map(|a| letters.clone().map(move |b| format!("{}{}", a as char, b as char)));
    let places: Vec<Jurisdiction> = codes.filter_map(|code| hither_law::jurisdiction(&code).ok()).collect();
    assert_eq!(places.len(), 249 + 1, "every country, and the unknown place");
    for place in places {
        assert_eq!(told(&failing_tests(&read(&hither_law::default_text(place)))), Vec::<String>::new(), "{place}");
    }
}

/// What a new mesh of one's own machines may do, place by place.
#[test]
fn the_default_policy_opens_ones_own_country_and_no_border() {
    let law = read(&hither_law::default_text(place("ID")));
    for class in DataClass::ALL {
        let at = |target: &str| Case::new(class, "ID", &["ID"], target);
        let internal_or_personal = matches!(class, DataClass::Internal | DataClass::Personal);
        let public = class == DataClass::Public;
        assert_eq!(at("ID").allowed(&law), public || internal_or_personal, "{class} to another machine in ID");
        assert_eq!(at("DE-BY").allowed(&law), public, "{class} over the border");
        let mut home = at("ID");
        home.kind = PlaceKind::Home;
        assert!(home.allowed(&law), "{class} at home");
        let mut stranger = at("ID");
        stranger.target.operator = Operator::parse("globex").unwrap();
        assert_eq!(stranger.allowed(&law), public, "{class} to somebody else's machine in ID");
        let mut claimed = at("ID");
        claimed.target.assurance = Assurance::Claimed;
        assert_eq!(claimed.allowed(&law), public, "{class} to a machine that only says it is in ID");
        let mut copy = at("DE-BY");
        copy.action = LawAction::Replicate;
        assert!(copy.allowed(&law), "models travel: {class}");
        copy.action = LawAction::Export;
        assert!(!copy.allowed(&law), "the ledger does not: {class}");
    }
    let border = Case::new(DataClass::Personal, "ID", &["ID"], "DE-BY");
    assert_eq!(texts(&near_miss(&law, &border).unwrap()), ["own-country", "target: DE-BY is not in [\"ID\"]"]);
}

#[test]
fn a_node_without_a_policy_sends_nothing_anywhere() {
    let law = hither_law::local_only();
    for action in LawAction::ALL {
        for class in DataClass::ALL {
            let mut case = Case::new(class, "DE", &[], "DE");
            case.action = action;
            assert_eq!(case.ask(&law), Verdict::Denied(Denial::NotPermitted { nearest: None }));
        }
    }
}

#[test]
fn mixed_subjects_do_not_slip_past_a_forbid() {
    let law = read(SAMPLE);
    let forbidden = |case: &Case| match case.ask(&law) {
        Verdict::Denied(Denial::Forbidden { rule, .. }) => rule == RuleId::parse("id-bank").unwrap(),
        Verdict::Denied(Denial::NotPermitted { .. } | Denial::Role(_)) | Verdict::Permitted(_) => false,
    };
    assert!(forbidden(&Case::new(DataClass::Personal, "ID", &["ID"], "DE")));
    assert!(forbidden(&Case::new(DataClass::Personal, "ID", &["ID", "DE"], "DE")), "mixed subjects");
    assert!(forbidden(&Case::new(DataClass::Personal, "DE", &["ID"], "FR")), "submitted elsewhere");
    assert!(!forbidden(&Case::new(DataClass::Personal, "DE", &["DE"], "FR")));
    assert!(!forbidden(&Case::new(DataClass::Personal, "ID", &["ID"], "ID")));
    assert!(forbidden(&Case::new(DataClass::Personal, "ID", &["ID"], "ZZ")), "a place that nobody knows");
}
