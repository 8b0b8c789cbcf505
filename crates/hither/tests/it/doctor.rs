//! The doctor on this very machine: whatever it finds, each trouble has a fix, and the exit code says whether one fails.

use std::os::unix::fs::PermissionsExt;

use super::{hither, object, text};

const AREAS: [&str; 7] = ["machine", "sandbox", "engines", "disk", "secrets", "network", "law"];

#[test]
fn every_area_is_looked_at_without_a_node_and_every_trouble_has_a_fix() {
    let dir = tempfile::tempdir().unwrap();
    // Any port will do: the usual one may be held by a node of whoever runs this.
    std::fs::write(dir.path().join("hither.toml"), "[api]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let output = hither(&["--json", "--data", text(dir.path()), "doctor"]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = found["checks"].as_array().unwrap();
    for area in AREAS {
        assert!(checks.iter().any(|check| check["area"] == area), "{area}: {found}");
    }
    for check in checks {
        let fixed = check["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert_eq!(fixed, check["state"] != "ok", "{check}");
        assert!(check["found"].as_str().is_some_and(|found| !found.is_empty()), "{check}");
    }
    let fails = checks.iter().filter(|check| check["state"] == "fail").count();
    assert_eq!((found["failed"].as_u64(), output.status.code()), (Some(fails as u64), Some(i32::from(fails > 0))));
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "the doctor left something behind");
}

#[test]
fn a_key_that_anybody_can_read_and_a_broken_policy_fail_with_the_command_that_mends_them() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.toml"), "version = 1\nnonsense = 2\n").unwrap();
    std::fs::write(dir.path().join("key"), "0").unwrap();
    for (path, mode) in [(dir.path().to_owned(), 0o755), (dir.path().join("key"), 0o644)] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let found = object(&["--data", text(dir.path()), "doctor"], 1);
    let check = |name: &str| {
        let checks = found["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {found}")).clone()
    };
    for (name, fix) in [("policy", "hither policy check"), ("file modes", "chmod -R go= ")] {
        assert_eq!(check(name)["state"], "fail", "{found}");
        assert!(check(name)["fix"].as_str().unwrap().starts_with(fix), "{found}");
    }
}
