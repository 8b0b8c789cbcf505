//! A policy is checked and tested before a node is asked to live by it.

use std::path::PathBuf;

use super::node::{Node, init};
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

#[test]
fn a_check_without_a_node_says_that_nothing_was_looked_at() {
    let (_dir, path) = file(GOOD);
    let (stdout, _) = ends(&["policy", "check", text(&path)], 0);
    assert!(stdout.contains("failover in the mesh was not looked at: no node runs on "), "{stdout}");
    let found = object(&["policy", "check", text(&path)], 0);
    assert_eq!(found["failover"]["looked"], false);
}

#[test]
fn a_claim_that_holds_is_proved_and_one_that_does_not_meets_its_case() {
    let (_dir, path) = file(GOOD);
    let prove = |claims: &[&'static str], code| {
        let args: Vec<&str> = ["policy", "prove", text(&path)].into_iter().chain(claims.iter().copied()).collect();
        (ends(&args, code).0, object(&args, code))
    };
    let (stdout, found) = prove(&["internal from EEA never leaves EEA", "infer of special never leaves its node"], 0);
    assert_eq!(stdout.matches('✓').count(), 2, "{stdout}");
    assert_eq!((found["holds"].as_bool(), found["claims"][0]["holds"].as_bool()), (Some(true), Some(true)));
    assert!(found["claims"][0]["cases"].as_u64().unwrap() > 0 && found["policy"]["digest"].is_string(), "{found}");

    let (stdout, found) = prove(&["infer of internal never leaves DE"], 1);
    assert!(stdout.contains("✗") && stdout.contains("rule eea permits infer of"), "{stdout}");
    let against = &found["claims"][0]["against"];
    assert_eq!((against["rule"].as_str(), against["case"]["class"].as_str()), (Some("eea"), Some("internal")));
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
}

#[test]
fn a_claim_that_makes_no_sense_is_a_usage_error_with_what_would() {
    let (_dir, path) = file(GOOD);
    let (_, stderr) = ends(&["policy", "prove", text(&path), "internal from IDN never leaves ID"], 2);
    assert!(stderr.contains("error[E0333]") && stderr.contains("did you mean \"ID\""), "{stderr}");
    let (help, _) = ends(&["policy", "prove", "--help"], 0);
    assert!(help.contains("never leaves EEA"), "{help}");
}

#[test]
fn a_difference_is_told_in_groups_and_ends_with_one() {
    let (_old, old) = file(GOOD);
    let (_same, same) = file(&GOOD.replace("version = 3", "version = 4"));
    let (stdout, _) = ends(&["policy", "diff", text(&old), text(&same)], 0);
    assert!(stdout.contains("no answer changes, in "), "{stdout}");
    assert_eq!(object(&["policy", "diff", text(&old), text(&same)], 0)["equal"], true);

    let (_new, new) =
        file(&GOOD.replace("target = [\"EEA\"]", "target = [\"EEA\", \"GB\"]").replace("\"CH\"", "\"US\""));
    let args = ["policy", "diff", text(&old), text(&new)];
    let (stdout, stderr) = ends(&args, 1);
    assert_eq!(stderr, "", "the answer is all there is to say");
    for part in [
        "+ infer: permitted by eea",
        "before    permitted by no rule",
        "class     internal",
        "from      EEA",
        "to        GB",
    ] {
        assert!(stdout.contains(part), "{part:?} is not in\n{stdout}");
    }
    let found = object(&args, 1);
    assert_eq!(
        (found["equal"].as_bool(), &found["changes"][0]["case"]["targets"]),
        (Some(false), &serde_json::json!(["GB"]))
    );
    let (_class, class) = file(&GOOD.replace("\"internal\"\n[[permit]]", "\"public\"\n[[permit]]"));
    let (stdout, _) = ends(&["policy", "diff", text(&old), text(&class)], 1);
    assert!(stdout.contains("a request without a label is public from then on, and was internal"), "{stdout}");
}

#[test]
fn a_map_fits_the_screen_and_names_blocs_and_conditions() {
    let (_dir, path) = file(&GOOD.replacen("[[test]]", "same_operator = true\n[[test]]", 1));
    let args = ["policy", "map", text(&path), "--origin", "DE"];
    let (stdout, _) = ends(&args, 0);
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
    let row = stdout.lines().find(|line| line.trim_start().starts_with("EEA")).unwrap_or_else(|| panic!("{stdout}"));
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["EEA", "no", "if", "no", "no", "no"]);
    assert!(stdout.contains("anywhere but EEA") && stdout.contains("same_operator = true"), "{stdout}");
    let found = object(&args, 0);
    assert_eq!(found["rows"][0]["answers"]["internal"]["permitted"], "if");
    let (stdout, _) = ends(&["policy", "map", text(&path), "--origin", "CH", "--class", "internal"], 0);
    assert!(stdout.lines().any(|line| line.split_whitespace().eq(["anywhere", "no"])), "{stdout}");
    let (_, stderr) = ends(&["policy", "map", text(&path)], 2);
    assert!(stderr.contains("error[E0337]") && stderr.contains("--origin DE"), "{stderr}");
}

#[test]
fn a_policy_is_applied_to_a_node_at_work_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path());
    let law = dir.path().join("policy.toml");
    let before = std::fs::read_to_string(&law).unwrap();
    let (node, _) = Node::up(dir.path());
    let (_new, new) = file(GOOD);
    let apply = |args: &[&str], code| {
        let args: Vec<&str> = ["policy", "apply", "--data", text(dir.path()), text(&new)]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        object(&args, code)
    };
    let in_force = || object(&["status", "--data", text(dir.path())], 0)["policy"].clone();
    let old = in_force();
    let rehearsed = apply(&["--dry-run"], 0);
    assert_eq!((rehearsed["dry_run"].as_bool(), &rehearsed["in_force"]), (Some(true), &old));
    assert!(!rehearsed["changes"]["changes"].as_array().unwrap().is_empty());
    assert_eq!((in_force(), std::fs::read_to_string(&law).unwrap()), (old.clone(), before));

    let done = apply(&[], 0);
    assert_eq!((in_force(), std::fs::read_to_string(&law).unwrap()), (done["in_force"].clone(), GOOD.to_owned()));
    assert_ne!(done["in_force"], old);
    let again = apply(&[], 0);
    assert_eq!((&again["in_force"], again["changes"]["equal"].as_bool()), (&done["in_force"], Some(true)));

    std::fs::write(&new, GOOD.replace("\"deny\"", "\"permit\"")).unwrap();
    assert_eq!(apply(&[], 1)["error"]["code"], "E0332");
    assert_eq!(in_force(), done["in_force"]);
    assert_eq!(node.stop(), Some(0));
    let shown = object(&["ledger", "show", text(&dir.path().join("ledger"))], 0);
    let changes: Vec<&serde_json::Value> =
        shown["records"].as_array().unwrap().iter().filter(|record| record["kind"] == "policy.change").collect();
    assert_eq!(changes.len(), 1, "once, for what changed once: {shown}");
    assert_eq!(apply(&[], 1)["error"]["code"], "E0332", "a file that fails its tests does not even look for a node");
}

#[test]
fn a_policy_is_exported_to_cedar_and_nothing_else_is_guessed() {
    let (dir, path) = file(GOOD);
    let (shown, _) = ends(&["policy", "export", "--cedar", text(&path)], 0);
    assert!(shown.contains("@id(\"eea\")\npermit (") && shown.contains("namespace Hither"), "{shown}");
    let to = dir.path().join("a/b");
    ends(&["policy", "export", "--cedar", text(&path), "--to", text(&to)], 0);
    let object = object(&["policy", "export", "--cedar", text(&path)], 0);
    for (name, key) in [("policy.cedar", "policies"), ("policy.cedarschema", "schema")] {
        assert_eq!(object[key], std::fs::read_to_string(to.join(name)).unwrap());
    }
    let (_, stderr) = ends(&["policy", "export", text(&path)], 2);
    assert!(stderr.contains("error[E0338]") && stderr.contains("hither policy export --cedar"), "{stderr}");
    let (_, stderr) = ends(&["policy", "export", "--cedar", text(&path), "--to", text(&path)], 1);
    assert!(stderr.contains("error[E0339]: cannot make ") && stderr.contains("help: name a folder"), "{stderr}");
}
