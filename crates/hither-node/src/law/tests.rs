//! Tests of a policy, on all days of its lists.

use super::*;

const LISTED: &str = "version = 1\n[blocs]\nours = [\"FR\", { code = \"US\", until = 2027-01-01 }]\n\
                      [[permit]]\nid = \"near\"\ntarget = [\"ours\"]\n";

fn told(tests: &str, day: Day) -> Vec<String> {
    let text = format!("{LISTED}{tests}");
    let policy = parse(&text, day).unwrap_or_else(|error| panic!("{error}"));
    failing_on_all_days(&text, &policy).iter().map(ToString::to_string).collect()
}

fn case(target: &str, expect: &str, on: &str) -> String {
    format!(
        "[[test]]\ngiven = {{ class = \"public\", origin = \"DE\", target = \"{target}\" }}\nexpect = \"{expect}\"\n{on}\n"
    )
}

#[test]
fn a_test_must_hold_on_each_day_to_come_unless_it_names_its_own() {
    let before = Day::of_date(2026, 11, 30).unwrap();
    let after = Day::of_date(2027, 1, 1).unwrap();
    assert_eq!(told(&case("FR", "permit", ""), before), Vec::<String>::new());
    let open = case("US", "permit", "");
    let [later] = &told(&open, before)[..] else { panic!("one test fails, later") };
    assert!(
        later.starts_with("as of 2027-01-01, test 1: infer of public data from DE at US: expected permit"),
        "{later}"
    );
    let [now] = &told(&open, after)[..] else { panic!("it fails by then") };
    assert!(now.starts_with("test 1: infer"), "{now}");
    for day in [before, after] {
        assert_eq!(told(&case("US", "permit", "on = 2026-12-31"), day), Vec::<String>::new());
        assert_eq!(told(&case("US", "deny", "on = 2027-01-01"), day), Vec::<String>::new());
        let [wrong] = &told(
            &format!("{}{}", case("US", "permit", "on = 2026-12-31"), case("US", "permit", "on = 2027-05-01")),
            day,
        )[..] else {
            panic!("one of them fails on {day}")
        };
        assert!(wrong.starts_with("as of 2027-05-01, test 2:"), "{wrong}");
    }
}
