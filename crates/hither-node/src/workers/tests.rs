//! What a worker is given, and what is said of its end. The program is a script in place of the node's own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::process::GIVEN;
use super::*;
use crate::config::Overrides;

/// A node whose workers are this script.
fn node(dir: &Path, script: &str) -> NodeConfig {
    let program = dir.join("program");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let overrides = Overrides { data_dir: Some(dir.to_owned()), ..Overrides::default() };
    NodeConfig { program, ..NodeConfig::load(None, overrides).unwrap() }
}

fn model(dir: &Path) -> PathBuf {
    let path = dir.join("model.stub");
    std::fs::write(&path, "hither-stub").unwrap();
    path
}

async fn failure(config: &NodeConfig, model: &Path) -> StartFailure {
    let (inbox, _kept) = mpsc::channel(1);
    match Worker::start(config, Digest([7; 32]), (ModelFormat::Stub, ModelConfig::default()), model, inbox).await {
        Err(failure) => failure,
        Ok(_) => panic!("a script is no worker"),
    }
}

#[tokio::test]
async fn a_worker_sees_nothing_of_the_environment_of_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    let config = node(dir.path(), &format!("/usr/bin/env > {}", seen.display()));
    assert!(std::env::vars().count() > 2, "this test has no environment to keep");
    failure(&config, &model(dir.path())).await;
    let text = std::fs::read_to_string(seen).unwrap();
    // The shell that plays the worker sets these by itself.
    let own = ["PWD=", "SHLVL=", "_=", "OLDPWD="];
    let given = |line: &&str| !own.iter().any(|name| line.starts_with(name));
    let leaked: Vec<&str> =
        text.lines().filter(given).filter(|line| !GIVEN.iter().any(|name| line.starts_with(name))).collect();
    assert_eq!(leaked, Vec::<&str>::new());
}

#[tokio::test]
async fn a_death_while_the_model_is_opened_names_its_signal() {
    let dir = tempfile::tempdir().unwrap();
    let model = model(dir.path());
    for (script, word) in [("kill -SEGV $$", "SIGSEGV"), ("kill -KILL $$", "SIGKILL"), ("exit 3", "exit status 3")] {
        let said = failure(&node(dir.path(), script), &model).await;
        assert!(said.contains(word) && said.ends_with("while it opened the model"), "{said}");
    }
}

#[tokio::test]
async fn a_model_larger_than_the_memory_of_a_worker_is_refused_before_it_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = node(dir.path(), "exit 3");
    config.worker_memory = Some(5);
    let said = failure(&config, &model(dir.path())).await;
    assert_eq!(said, "its file alone has 11 B, and a worker here may take 5 B of memory");
}
