//! The language: what it says, what it refuses, and the words in which it does.

use hither_types::time::Day;
use std::fmt::Write as _;
use std::path::Path;

use hither_types::label::DataClass;
use hither_types::law::{LawAction, Policy};
use hither_types::place::{Assurance, Jurisdiction};
use hither_types::unit::Hours;

use crate::blocs::{BLOCS, bloc};
use crate::countries::COUNTRIES;
use crate::lists::Lists;
use crate::places::region;
use crate::{Code, country_name, default_text, jurisdiction, local_only, parse};

mod cedar;
mod lists;
mod mistakes;

/// A policy with everything that the language has.
pub(crate) const SAMPLE: &str = include_str!("../golden/sample.toml");

fn place(code: &str) -> Jurisdiction {
    Jurisdiction::parse(code).unwrap()
}

fn sample() -> Policy {
    parse(SAMPLE, Day(0)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_policy_with_everything_is_read_as_it_is_meant() {
    let policy = sample();
    assert_eq!((policy.version, policy.unlabelled), (7, DataClass::Special));
    assert_eq!(policy.digest.0, *blake3::hash(SAMPLE.as_bytes()).as_bytes());
    let ids = |rules: &[hither_types::law::Rule]| rules.iter().map(|rule| rule.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&policy.permits), ["eea-personal", "ct-triage-bavaria", "relay-ciphertext-eea"]);
    assert_eq!(ids(&policy.forbids), ["id-bank", "no-children"]);

    let eea = &policy.permits[0];
    assert_eq!((&eea.actions, &eea.classes), (&vec![LawAction::Infer], &vec![DataClass::Personal]));
    assert_eq!(eea.origin.as_ref().unwrap().written, ["EEA"]);
    assert!(eea.target.as_ref().unwrap().contains(place("NO")) && !eea.target.as_ref().unwrap().contains(place("CH")));
    assert_eq!(eea.not_control, [place("CN"), place("US")]);
    assert_eq!((eea.assurance, eea.same_operator), (Some(Assurance::Vouched), Some(true)));
    assert_eq!((&eea.origin_not, &eea.target_not), (&None, &None));
    assert!(eea.apps.is_empty() && eea.models.is_empty() && eea.purposes.is_empty() && eea.tags.is_empty());

    let triage = &policy.permits[1];
    assert_eq!(triage.apps[0].as_str(), "ct-triage");
    assert_eq!(triage.models[0].as_str(), "chest-xray");
    assert_eq!(triage.purposes[0].as_str(), "triage");
    assert_eq!(triage.target.as_ref().unwrap().members, [place("DE-BW"), place("DE-BY")]);
    assert_eq!(triage.assurance, Some(Assurance::Vouched));
    assert_eq!(policy.permits[2].target.as_ref().unwrap().written, ["EEA", "CH"]);

    let children = &policy.forbids[1];
    assert_eq!(children.tags[0].as_str(), "child");
    assert_eq!(children.same_operator, Some(false));
    assert_eq!(children.origin_not.as_ref().unwrap().members, [place("CH")]);

    assert_eq!(policy.tests.len(), 6);
    let first = &policy.tests[0];
    assert_eq!((first.action, first.class, first.permitted), (LawAction::Infer, DataClass::Special, false));
    assert_eq!((first.origin, first.target), (place("DE-BY"), place("US")));
    let last = &policy.tests[5];
    assert_eq!((last.action, last.subjects.as_slice()), (LawAction::Relay, [place("DE"), place("ID")].as_slice()));
}

#[test]
fn records_are_kept_by_what_names_their_origin_most_closely() {
    let text = "version = 1\n[retention]\ndefault = 366\nEEA = 200\nEU = 190\nDE = 184\nDE-BY = 300\n";
    let kept = parse(text, Day(0)).unwrap().retention;
    let days = |code| kept.of(place(code)).0;
    assert_eq!(["DE-BY", "DE-BW", "DE", "FR", "NO", "IN"].map(days), [300, 184, 184, 200, 200, 366]);
    assert_eq!((kept.shortest().0, kept.longest().0), (184, 366));
    assert_eq!(sample().retention.of(place("IN")).0, 366);
    let witnessed = |text: &str| parse(text, Day(0)).unwrap().witness_within.map(|days| days.0);
    assert_eq!(witnessed("version = 1\n[ledger]\nwitness_within_days = 2\n"), Some(2));
    assert_eq!((witnessed("version = 1\n[ledger]\n"), witnessed("version = 1\n")), (None, None));
    let silent = parse("version = 1\n", Day(0)).unwrap().retention;
    assert_eq!((silent.of(place("DE")).0, silent.longest().0), (184, 184));
}

#[test]
fn a_policy_may_want_new_certificates_of_members() {
    let within = |text: &str| parse(&format!("version = 1\n{text}"), Day(0)).map(|policy| policy.certified_within);
    assert_eq!(within("[members]\ncertified_within_hours = 1\n"), Ok(Some(Hours(1))));
    assert_eq!(within("[members]\ncertified_within_hours = 720\n"), Ok(Some(Hours(720))));
    assert_eq!((within("[members]\n"), within("")), (Ok(None), Ok(None)));
    for wrong in ["0", "721", "-1", "1.5", "\"24\""] {
        assert!(within(&format!("[members]\ncertified_within_hours = {wrong}\n")).is_err(), "{wrong}");
    }
}

#[test]
fn what_is_not_said_is_the_careful_choice() {
    let policy = parse("version = 1\n[[permit]]\nid = \"a\"\n[[forbid]]\nid = \"b\"\n", Day(0)).unwrap();
    assert_eq!(policy.unlabelled, DataClass::Special);
    assert_eq!(policy.permits[0].actions, [LawAction::Infer], "a permit permits one thing");
    assert_eq!(policy.forbids[0].actions, LawAction::ALL, "a forbid forbids everything");
}

#[test]
fn a_node_without_a_policy_keeps_everything_at_home() {
    let policy = local_only();
    assert_eq!(policy, parse("version = 1\n", Day(0)).unwrap());
    assert!(policy.permits.is_empty() && policy.unlabelled == DataClass::Special);
}

#[test]
fn the_digest_changes_with_every_letter() {
    assert_ne!(parse("version = 1\n", Day(0)).unwrap().digest, parse("version = 1 \n", Day(0)).unwrap().digest);
}

#[test]
fn the_default_policy_can_be_read_for_every_country() {
    let codes = COUNTRIES.iter().map(|(code, _)| *code).chain(["DE-BY", "ZZ"]);
    for code in codes {
        let text = default_text(place(code));
        let policy = parse(&text, Day(0)).unwrap_or_else(|error| panic!("{code}: {error}"));
        assert_eq!(policy.unlabelled, DataClass::Internal);
        assert!(!text.contains('{') || text.contains("given  = {"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
        let own = policy.permits.iter().find(|rule| rule.id.as_str() == "own-country");
        match own {
            None => assert_eq!(code, "ZZ"),
            Some(own) => assert_eq!(own.target.as_ref().unwrap().members, [place(code).country()]),
        }
    }
    let (of_part, of_whole) = (default_text(place("DE-BY")), default_text(place("DE")));
    assert_eq!(of_part, of_whole, "one's own machines in one country, not in one part of it");
}

fn holds(bloc: &str, code: &str) -> bool {
    region([bloc], &Lists::new(&[], Day(0))).unwrap().contains(place(code))
}

fn check_members(bloc: &str, inside: &[&str], outside: &[&str]) {
    inside.iter().for_each(|code| assert!(holds(bloc, code), "{code} is in {bloc}"));
    outside.iter().for_each(|code| assert!(!holds(bloc, code), "{code} is not in {bloc}"));
}

#[test]
fn switzerland_and_britain_are_not_in_the_eea() {
    check_members("EEA", &["DE", "FR"], &["CH", "GB", "GI", "SJ", "ZZ"]);
}

#[test]
fn norway_iceland_and_liechtenstein_are_in_the_eea_and_not_in_the_union() {
    check_members("EEA", &["NO", "IS", "LI"], &[]);
    check_members("EU", &[], &["NO", "IS", "LI"]);
}

#[test]
fn outermost_regions_are_in_the_union_and_overseas_territories_are_not() {
    check_members("EU", &["RE", "GP", "MQ", "GF", "YT", "MF"], &["PF", "NC", "WF", "BL", "PM", "AW", "CW", "SX"]);
    check_members("EU", &["AX"], &["GL", "FO"]);
}

#[test]
fn hong_kong_macao_and_taiwan_are_not_china() {
    check_members("CN", &["CN", "CN-BJ"], &["HK", "MO", "TW"]);
}

#[test]
fn a_part_is_in_the_whole_and_not_the_reverse() {
    check_members("EU", &["DE-BY"], &[]);
    check_members("DE-BY", &["DE-BY"], &["DE", "DE-BW"]);
}

#[test]
fn a_place_has_one_code() {
    for (written, own) in [
        ("US-PR", "PR"),
        ("CN-HK", "HK"),
        ("CN-TW", "TW"),
        ("FR-RE", "RE"),
        ("FR-971", "GP"),
        ("FI-01", "AX"),
        ("NO-21", "SJ"),
        ("NL-BQ2", "BQ"),
    ] {
        assert_eq!(jurisdiction(written).unwrap_err().meant.as_deref(), Some(own), "{written}");
        assert!(jurisdiction(own).is_ok());
    }
}

#[test]
fn blocs_have_the_members_that_they_have() {
    let count = |name: &str| bloc(name).unwrap().members().count();
    assert_eq!((count("EU"), count("EEA"), count("EU-ADEQUATE"), count("ASEAN")), (27 + 7, 27 + 7 + 3, 14, 11));
    for bloc in &BLOCS {
        let mut members: Vec<_> = bloc.members().collect();
        members.sort_unstable();
        members.dedup();
        assert_eq!(members.len(), bloc.members().count(), "{} names nobody twice", bloc.name);
        members.iter().for_each(|code| assert!(jurisdiction(code).is_ok(), "{code}"));
    }
    check_members("EU-ADEQUATE", &["CH", "GB", "JP", "BR"], &["US", "CA", "DE", "NO", "IN"]);
    check_members("ASEAN", &["ID", "TL"], &["PG", "TW"]);
}

#[test]
fn the_table_of_countries_is_sorted_and_whole() {
    assert!(COUNTRIES.is_sorted_by(|one, other| one.0 < other.0));
    for (code, name) in COUNTRIES {
        assert_eq!(jurisdiction(code), Ok(place(code)));
        assert_eq!(country_name(place(code)), Some(name));
    }
    assert_eq!(country_name(place("DE-BY")), Some("Germany"));
    assert_eq!(country_name(place("ZZ")), Some("an unknown place"));
    assert_eq!(country_name(place("UK")), None);
}

#[test]
fn unknown_codes_are_errors_with_what_was_meant() {
    let told: Vec<String> = [
        "UK",
        "UK-ENG",
        "EL",
        "de",
        "de-by",
        " DE",
        "IDN",
        "Germany",
        "germny",
        "united kingdom",
        "eea",
        "US-PR",
        "XX",
        "XX-BY",
        "ZZ-1",
        "EU",
        "EUU",
        "DE-",
        "",
        "DE-BAYERN",
    ]
    .iter()
    .map(|text| jurisdiction(text).unwrap_err().to_string())
    .collect();
    let example = "write an ISO 3166 code such as \"DE\" (Germany) or \"DE-BY\" (Bavaria)";
    assert_eq!(
        told,
        [
            "\"UK\" is not a jurisdiction: did you mean \"GB\" (United Kingdom)?",
            "\"UK-ENG\" is not a jurisdiction: did you mean \"GB-ENG\" (United Kingdom)?",
            "\"EL\" is not a jurisdiction: did you mean \"GR\" (Greece)?",
            "\"de\" is not a jurisdiction: did you mean \"DE\" (Germany)?",
            "\"de-by\" is not a jurisdiction: did you mean \"DE-BY\" (Germany)?",
            "\" DE\" is not a jurisdiction: did you mean \"DE\" (Germany)?",
            "\"IDN\" is not a jurisdiction: did you mean \"ID\" (Indonesia)?",
            "\"Germany\" is not a jurisdiction: did you mean \"DE\" (Germany)?",
            "\"germny\" is not a jurisdiction: did you mean \"DE\" (Germany)?",
            "\"united kingdom\" is not a jurisdiction: did you mean \"GB\" (United Kingdom)?",
            "\"eea\" is not a jurisdiction: did you mean \"EEA\" (the European Economic Area)?",
            "\"US-PR\" is not a jurisdiction: did you mean \"PR\" (Puerto Rico)?",
            &format!("\"XX\" is not a jurisdiction: {example}"),
            &format!("\"XX-BY\" is not a jurisdiction: {example}"),
            &format!("\"ZZ-1\" is not a jurisdiction: {example}"),
            &format!("\"EU\" is not a jurisdiction: {example}"),
            &format!("\"EUU\" is not a jurisdiction: {example}"),
            &format!("\"DE-\" is not a jurisdiction: {example}"),
            &format!("\"\" is not a jurisdiction: {example}"),
            &format!("\"DE-BAYERN\" is not a jurisdiction: {example}"),
        ]
    );
}

#[test]
fn every_mistake_is_told_in_the_words_of_the_golden_file() {
    let mut told = String::new();
    let mut codes = Vec::new();
    for (name, text) in mistakes::MISTAKES {
        let error = parse(text, Day(0)).err().unwrap_or_else(|| panic!("{name} is accepted"));
        codes.push(error.code);
        writeln!(told, "== {name}\n{error}\n").unwrap();
    }
    for code in [
        Code::UnknownJurisdiction,
        Code::NotToml,
        Code::UnknownKey,
        Code::MissingKey,
        Code::WrongKind,
        Code::UnknownWord,
        Code::BadValue,
        Code::TakenId,
        Code::EmptyList,
        Code::OutOfPlace,
        Code::TooMuch,
    ] {
        assert!(codes.contains(&code), "no mistake shows {code}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/mistakes.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&path, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&path).unwrap());
}

#[test]
fn a_policy_that_is_too_long_is_not_read() {
    let text = format!("version = 1\n#{}", "x".repeat(crate::MAX_TEXT));
    assert_eq!(parse(&text, Day(0)).unwrap_err().code, Code::TooMuch);
    let rules: String = (0..=1000).map(|n| format!("[[permit]]\nid = \"r{n}\"\n")).collect();
    let error = parse(&format!("version = 1\n{rules}"), Day(0)).unwrap_err();
    assert_eq!(error.message, "there are 1001 permits, and a policy may hold 1000");
}

/// Policies with one to three wounds: read or refused, with a place that lies in the text.
#[test]
fn a_damaged_policy_is_read_or_refused_and_never_a_crash() {
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    let letters: Vec<char> = "\"[]={}#\n.-_ \t'\\0aZ…ü\u{1f4a5}\u{1}".chars().collect();
    let mut refused = 0;
    for _ in 0..3000 {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        for _ in 0..=below(3) {
            let at = below(text.len());
            match below(4) {
                0 => text[at] = letters[below(letters.len())],
                1 => text.insert(at, letters[below(letters.len())]),
                2 => drop(text.remove(at)),
                _ => drop(text.drain(at..(at + below(200)).min(text.len()))),
            }
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = parse(&text, Day(0)) {
            refused += 1;
            assert!(error.line <= text.matches('\n').count() + 1, "{error}");
            assert!(error.to_string().lines().count() == 4, "{error}");
        }
    }
    assert!(refused > 500, "wounds that nobody notices are no test: {refused}");
}
