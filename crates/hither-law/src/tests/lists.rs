//! Groups of countries that a policy lists itself.

use super::*;

const LISTED: &str = r#"version = 1
[blocs]
our-adequate = ["CH", "GB", { code = "US", from = 2026-01-26, until = 2027-01-01 }]
our-countries = ["EEA", { code = "DE-BY", from = 2030-01-01 }, { code = "ASEAN", until = 2026-06-01 }]
nobody-yet = [{ code = "NZ", from = 2040-01-01 }]
[[permit]]
id = "near"
origin = ["our-countries"]
target = ["EEA", "our-adequate"]
not_control = ["nobody-yet"]
[[test]]
given = { class = "public", origin = "DE", target = "US" }
expect = "permit"
on = 2026-12-31
[retention]
our-adequate = 366
"#;

fn day(text: &str) -> Day {
    let [year, month, day] = text.split('-').map(|part| part.parse().unwrap()).collect::<Vec<u32>>()[..] else {
        panic!("{text}")
    };
    Day::of_date(year, month, day).unwrap()
}

#[test]
fn members_come_and_go_on_their_days() {
    let target = |on: &str, code: &str| {
        let policy = parse(LISTED, day(on)).unwrap_or_else(|error| panic!("{error}"));
        policy.permits[0].target.as_ref().unwrap().contains(place(code))
    };
    for (on, within) in [("2026-01-25", false), ("2026-01-26", true), ("2026-12-31", true), ("2027-01-01", false)] {
        assert_eq!(target(on, "US"), within, "{on}");
        assert!(target(on, "CH") && target(on, "FR") && !target(on, "JP"), "{on}");
    }
    let policy = parse(LISTED, day("2026-05-31")).unwrap();
    let origin = policy.permits[0].origin.as_ref().unwrap();
    assert!(origin.contains(place("NO")) && origin.contains(place("ID")), "a list may name one of the program's");
    assert_eq!(origin.written, ["our-countries"]);
    assert_eq!(policy.retention.of(place("US")).0, 366);
    assert!(!parse(LISTED, day("2026-06-01")).unwrap().permits[0].origin.as_ref().unwrap().contains(place("ID")));
}

#[test]
fn a_policy_knows_on_which_days_it_is_another() {
    let policy = parse(LISTED, day("2026-11-30")).unwrap();
    let turns: Vec<String> = policy.turns().iter().map(ToString::to_string).collect();
    assert_eq!(turns, ["2026-01-26", "2026-06-01", "2027-01-01", "2030-01-01", "2040-01-01"]);
    assert!(!policy.is_out_of_date_on(day("2026-12-31")) && policy.is_out_of_date_on(day("2027-01-01")));
    assert!(policy.is_out_of_date_on(day("2026-05-31")), "a clock that is set back");
    let moves = |before: &str, after: &str| {
        policy.moves(day(before), day(after)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(moves("2026-12-31", "2027-01-01"), "-our-adequate/US");
    assert_eq!(moves("2026-01-01", "2026-02-01"), "+our-adequate/US");
    assert_eq!(moves("2026-12-31", "2026-12-31"), "");
    assert_eq!(moves("2029-12-31", "2030-01-01"), "+our-countries/DE-BY");
    assert_eq!(policy.tests[0].on, Some(day("2026-12-31")));
    assert!(parse(LISTED, Day(0)).unwrap().digest == policy.digest, "the digest is that of the text");
}

#[test]
fn a_list_without_members_on_a_day_opens_nothing() {
    let text = "version = 1\n[blocs]\nlater = [{ code = \"NZ\", from = 2040-01-01 }]\n[[permit]]\nid = \"a\"\n";
    let with = |line: &str| parse(&format!("{text}{line}\n"), Day(0)).unwrap().permits.remove(0);
    assert_eq!(with("target = [\"later\"]").target.unwrap().members, []);
    assert_eq!(with("not_control = [\"later\"]").not_control, [place("ZZ")], "who can compel it must still be known");
    assert!(crate::cedar(&parse(&format!("{text}origin = [\"later\"]\n"), Day(0)).unwrap()).contains("when { false }"));
}

#[test]
fn claims_may_name_the_lists_of_the_policy() {
    let policy = parse(LISTED, day("2026-11-30")).unwrap();
    let read = crate::claim("special never leaves our-adequate", &policy).unwrap();
    assert_eq!(read.rule.target_not.unwrap().members, [place("CH"), place("GB"), place("US")]);
    let error = crate::claim("special never leaves our-adequat", &policy).unwrap_err();
    assert!(error.to_string().contains("our-adequat") && error.help.contains("our-adequate"), "{error:?}");
    assert!(crate::claim("special never leaves our-adequate", &sample()).is_err());
}

#[test]
fn a_list_has_a_name_of_its_own() {
    for (name, code) in [
        ("eea", Code::TakenId),
        ("germany", Code::TakenId),
        ("deu", Code::TakenId),
        ("EEA", Code::TakenId),
        ("de", Code::BadValue),
        ("Ours", Code::BadValue),
        ("our_own", Code::BadValue),
        ("9-eyes", Code::BadValue),
    ] {
        let error = parse(&format!("version = 1\n[blocs]\n{name} = [\"DE\"]\n"), Day(0)).unwrap_err();
        assert_eq!((error.code, error.line, error.column), (code, 3, 1), "{name}: {error}");
    }
    let many: String = (0..51).map(|number| format!("list-{number} = [\"DE\"]\n")).collect();
    assert_eq!(parse(&format!("version = 1\n[blocs]\n{many}"), Day(0)).unwrap_err().code, Code::TooMuch);
    let days: String = (0..101).map(|day| format!("{{ code = \"DE\", from = {}-01-01 }},", 2000 + day)).collect();
    assert_eq!(parse(&format!("version = 1\n[blocs]\nours = [{days}]\n"), Day(0)).unwrap_err().code, Code::TooMuch);
}
