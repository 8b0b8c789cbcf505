//! Which ladders are taken, and what is said of the others.

use std::path::Path;

use super::super::{NodeConfig, Overrides};
use super::*;

fn check(text: &str, wanted: &str) {
    let section: LadderSection = toml::from_str(text).unwrap();
    let said = match families(section) {
        Ok(families) => format!("{families:?}"),
        Err(error) => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    assert_eq!(said, wanted, "{text}");
}

#[test]
fn families_are_taken_as_they_stand_largest_first() {
    check("", "[]");
    check(
        "eyes = [\"yolo-l\", \"yolo-m\", \"yolo-s\"]\nchat = [\"llama-8b\", \"smollm2-135m\"]",
        r#"[["llama-8b", "smollm2-135m"], ["yolo-l", "yolo-m", "yolo-s"]]"#,
    );
}

#[test]
fn what_leaves_open_which_model_is_smaller_is_refused_by_name() {
    check("chat = []", "family chat has 0 of the two models or more that it needs, the largest first");
    check("chat = [\"a\"]", "family chat has 1 of the two models or more that it needs, the largest first");
    check("chat = [\"a\", \"b\", \"a\"]", "family chat names a twice");
    check(
        "chat = [\"a\", \"b\"]\ntalk = [\"c\", \"b\"]",
        "model b is in two families, chat and talk; it can be in one",
    );
    check(
        "chat = [\"a\", \"b c\"]",
        "family chat names what cannot be a model: expected a model name of at most 120 letters, digits and ._-/:, \
         found \"b c\"",
    );
}

#[test]
fn what_the_readme_shows_of_the_configuration_can_be_read() {
    let readme = include_str!("../../../../../README.md");
    let dir = tempfile::tempdir().unwrap();
    let mut ladders = 0;
    // All that the README shows of hither.toml can be read.
    for block in readme.split("```toml\n").skip(1) {
        let (text, _) = block.split_once("```").unwrap();
        ladders += load(dir.path(), text).unwrap().ladder.len();
    }
    assert_eq!(ladders, 1);
}

fn load(dir: &Path, text: &str) -> Result<NodeConfig, String> {
    std::fs::write(dir.join("hither.toml"), text).unwrap();
    let overrides = Overrides { data_dir: Some(dir.to_owned()), ..Overrides::default() };
    NodeConfig::load(None, overrides).map_err(|error| error.to_string())
}

#[test]
fn the_file_of_a_node_has_its_ladder_or_none() {
    let dir = tempfile::tempdir().unwrap();
    assert!(load(dir.path(), "[models]\nslots = 3\n").unwrap().ladder.is_empty());
    let config = load(dir.path(), "[ladder]\nchat = [\"llama-8b\", \"smollm2-135m\"]\n").unwrap();
    assert_eq!(format!("{:?}", config.ladder), r#"[["llama-8b", "smollm2-135m"]]"#);
    let error = load(dir.path(), "[ladder]\nchat = [\"llama-8b\"]\n").unwrap_err();
    assert!(error.starts_with("the ladder of ") && error.ends_with("cannot be used"), "{error}");
    let error = load(dir.path(), "[ladder]\nchat = \"llama-8b\"\n").unwrap_err();
    assert!(error.contains("line 2") && error.contains("sequence"), "{error}");
}
