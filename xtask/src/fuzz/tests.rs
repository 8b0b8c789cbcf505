//! What the chore understands, and that it knows every target.

use std::collections::BTreeSet;

use super::{Asked, TARGETS, read};
use crate::tidy::root;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn targets_and_minutes_are_read_and_others_refused_by_name() {
    let asked = read(&words("grpc --minutes 3 http")).unwrap();
    assert_eq!(asked, Asked { targets: words("grpc http"), minutes: 3 });
    assert_eq!(read(&[]).unwrap().targets, TARGETS);
    assert!(read(&words("nothing")).unwrap_err().contains("there is no target \"nothing\"; there are http, framing"));
    for wrong in ["--minutes", "--minutes 0", "--minutes -1", "--minutes x"] {
        assert!(read(&words(wrong)).unwrap_err().contains("whole number"), "{wrong}");
    }
}

#[test]
fn every_target_is_known_and_has_a_corpus_that_is_small() {
    let fuzz = root().join("fuzz");
    let manifest: toml::Table = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap().parse().unwrap();
    let bins = manifest["bin"].as_array().unwrap().iter().map(|bin| bin["name"].as_str().unwrap());
    assert_eq!(bins.collect::<BTreeSet<_>>(), BTreeSet::from(TARGETS));
    let page = std::fs::read_to_string(root().join("docs/fuzzing.md")).unwrap();
    for target in TARGETS {
        assert!(page.contains(&format!("| `{target}` |")), "docs/fuzzing.md does not name {target}");
        let files: Vec<u64> = std::fs::read_dir(fuzz.join("corpus").join(target))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .collect();
        let bytes: u64 = files.iter().sum();
        assert!((1..=300).contains(&files.len()), "{target} has {} files", files.len());
        assert!(bytes <= 1 << 20, "{target} has {bytes} bytes");
    }
}
