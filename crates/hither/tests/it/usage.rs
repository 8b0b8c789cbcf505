//! What can be typed, and what happens to what cannot.

use super::{ends, hither, object, text};

const UUID: &str = "018f0000-0000-7000-8000-000000000000";

#[test]
fn a_wrong_command_line_ends_with_two_and_says_what_would_be_right() {
    for args in [
        &[][..],
        &["fly"],
        &["status", "--fast"],
        &["init"],
        &["init", "--site", "a b", "--jurisdiction", "DE"],
        &["invite", "--site", "paris", "--jurisdiction", "FR", "--ttl", "soon"],
        &["explain", "yesterday"],
        &["jobs", "show", "yesterday"],
        &["jobs", "ls", "--limit", "0"],
        &["up", "--api", "8080"],
        &["models", "add", "/dev/null", "--name", "a name"],
        &["policy", "check"],
        &["policy", "prove", "policy.toml"],
        &["policy", "diff", "policy.toml"],
        &["policy", "map", "policy.toml", "--origin", "IDN"],
        &["ledger", "reconcile", "only-one"],
        &["sim"],
        &["bench"],
        &["bench", "mesh"],
        &["bench", "mesh", "--trace", "x", "--nodes", "65"],
    ] {
        let (stdout, stderr) = ends(args, 2);
        assert_eq!(stdout, "", "{args:?}");
        assert!(stderr.contains("Usage: hither") || stderr.contains("--help"), "{args:?}: {stderr}");
    }
}

#[test]
fn a_country_that_does_not_exist_is_a_usage_error_with_a_suggestion() {
    let (_, stderr) = ends(&["invite", "--site", "jakarta", "--jurisdiction", "IDN"], 2);
    assert!(stderr.contains("IDN") && stderr.contains("ID"), "{stderr}");
}

#[test]
fn help_and_version_are_answers_and_not_errors() {
    let (help, stderr) = ends(&["--help"], 0);
    assert_eq!(stderr, "");
    for command in [
        "up", "init", "invite", "join", "status", "models", "run", "jobs", "explain", "policy", "ledger", "sim",
        "demo", "bench",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in\n{help}");
        let (text, _) = ends(&[command, "--help"], 0);
        assert!(text.contains(&format!("Usage: hither {command}")), "{text}");
    }
    assert!(!help.contains("worker"), "workers are started by nodes, not by people\n{help}");
    assert!(help.contains("Exit codes: 0 ok"), "{help}");
    assert_eq!(ends(&["--version"], 0).0, format!("hither {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn where_no_node_runs_every_online_command_ends_with_four_and_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    for command in [
        &["status"][..],
        &["models", "ls"],
        &["models", "pull", "fraud"],
        &["invite", "--site", "paris", "--jurisdiction", "FR"],
        &["join", "hither1aaaa"],
        &["run", "fraud", "hello"],
        &["explain", UUID],
        &["jobs", "ls"],
        &["jobs", "show", UUID],
        &["jobs", "cancel", UUID],
    ] {
        let args: Vec<&str> = command.iter().copied().chain(["--data", text(dir.path())]).collect();
        let (stdout, stderr) = ends(&args, 4);
        assert_eq!(stdout, "", "{args:?}");
        assert!(stderr.starts_with("error[E0701]: no node runs on "), "{stderr}");
        assert!(stderr.contains(&format!("help: hither up --data {}", dir.path().display())), "{stderr}");
        let error = &object(&args, 4)["error"];
        assert_eq!((error["code"].as_str(), error["exit"].as_u64()), (Some("E0701"), Some(4)));
    }
}

#[test]
fn a_socket_that_nobody_listens_to_is_no_node() {
    let dir = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("api.sock")).unwrap());
    let error = object(&["status", "--data", text(dir.path())], 4);
    assert_eq!(error["error"]["code"], "E0701");
}

#[test]
fn the_demo_names_all_that_it_lacks_and_plays_no_stub() {
    let dir = tempfile::tempdir().unwrap();
    let output = hither(&["demo", "--script", "--models", text(dir.path())]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(stdout.trim_end().lines().last().unwrap()).unwrap();
    assert_eq!((last["ok"].as_bool(), last["code"].as_str()), (Some(false), Some("E0901")));
    assert_eq!(last["steps"].as_array().unwrap().len(), 6);
    let stderr = String::from_utf8(output.stderr).unwrap();
    for missing in
        ["fraud.onnx", "fraud.rows.csv", "maintenance.onnx", "SmolLM2-135M-Instruct.Q4_1.gguf", "libonnxruntime"]
    {
        assert!(stderr.contains(missing), "{missing} is not named in\n{stderr}");
    }
    assert!(stderr.contains("scripts/fetch-models"), "{stderr}");
}
