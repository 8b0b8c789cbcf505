//! What the fuzzers found worth keeping, through the same entry points.

use std::path::Path;

/// Every input of a target's corpus holds its properties, and each is an input at all.
fn replay(target: &str, entry: fn(&[u8]) -> bool) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let (mut count, mut no_input) = (0, Vec::new());
    for file in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        match std::panic::catch_unwind(|| entry(&bytes)) {
            Ok(true) => count += 1,
            Ok(false) => no_input.push(path.display().to_string()),
            Err(_) => panic!("{} fails (above)", path.display()),
        }
    }
    assert!(no_input.is_empty(), "nothing is made of\n{}", no_input.join("\n"));
    assert!(count >= 20, "only {count} inputs in {}", corpus.display());
}

#[test]
fn every_request_of_the_corpus_is_answered_in_form() {
    replay("http", super::http);
}

#[test]
fn every_frame_of_the_corpus_comes_back_or_is_refused() {
    replay("framing", super::framing);
}

#[test]
fn every_message_of_the_corpus_is_answered_as_over_http() {
    replay("grpc", super::grpc);
}
