//! A policy is checked and tested before a node is asked to live by it.

use std::path::PathBuf;

use super::{ends, object, text};

const GOOD: &str = r#"version = 3
[default]
unlabelled = "internal"
[[permit]]
id = "eea"
action = ["infer"]
class = ["internal"]
origin = ["EEA"]
target = ["EEA"]
[[test]]
given = { class = "internal", origin = "DE-BY", target = "FR" }
expect = "permit"
[[test]]
given = { class = "internal", origin = "DE-BY", target = "CH" }
expect = "deny"
"#;

fn file(policy: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.toml");
    std::fs::write(&path, policy).unwrap();
    (dir, path)
}

#[test]
fn a_good_policy_is_counted() {
    let (_dir, path) = file(GOOD);
    let (stdout, _) = ends(&["policy", "check", text(&path)], 0);
    assert!(stdout.contains("version 3") && stdout.contains("1 permits, 0 forbids, 2 tests hold"), "{stdout}");
    let found = object(&["policy", "check", text(&path)], 0);
    assert_eq!((found["version"].as_u64(), found["tests"].as_u64()), (Some(3), Some(2)));
    let (stdout, _) = ends(&["policy", "test", text(&path)], 0);
    assert_eq!(stdout.matches('✓').count(), 2, "{stdout}");
    assert!(stdout.ends_with("all 2 tests hold\n"), "{stdout}");
}

#[test]
fn a_mistake_is_shown_where_it_is_with_what_would_be_right() {
    let (_dir, path) = file(&GOOD.replace("target = [\"EEA\"]", "target = [\"IDN\"]"));
    let (_, stderr) = ends(&["policy", "check", text(&path)], 1);
    assert!(stderr.starts_with(&format!("error[E0310]: {}:9:", path.display())), "{stderr}");
    assert!(stderr.contains("9 | target = [\"IDN\"]") && stderr.contains("^^^"), "{stderr}");
    assert!(stderr.contains("help: "), "{stderr}");
    assert_eq!(object(&["policy", "check", text(&path)], 1)["error"]["code"], "E0310");
}

#[test]
fn a_policy_that_fails_its_own_tests_does_not_pass() {
    let (_dir, path) =
        file(&GOOD.replace("target = \"CH\" }\nexpect = \"deny\"", "target = \"CH\" }\nexpect = \"permit\""));
    for command in ["check", "test"] {
        let (_, stderr) = ends(&["policy", command, text(&path)], 1);
        assert!(stderr.contains("error[E0332]") && stderr.contains("1 of 2 tests do not hold"), "{stderr}");
        assert!(stderr.contains("test 2: infer of internal data from DE-BY at CH"), "{stderr}");
    }
    assert_eq!(object(&["policy", "test", text(&path)], 1)["error"]["code"], "E0332");
}

#[test]
fn a_policy_that_is_not_there_or_has_no_tests_says_so() {
    let (_, stderr) = ends(&["policy", "check", "/nonexistent/policy.toml"], 1);
    assert!(stderr.contains("error[E0330]: cannot read /nonexistent/policy.toml"), "{stderr}");
    let (_dir, path) = file(GOOD.split("[[test]]").next().unwrap());
    let (_, stderr) = ends(&["policy", "test", text(&path)], 1);
    assert!(stderr.contains("error[E0331]") && stderr.contains("help: add [[test]]"), "{stderr}");
    ends(&["policy", "check", text(&path)], 0);
}
