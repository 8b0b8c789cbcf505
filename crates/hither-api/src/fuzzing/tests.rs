//! What the fuzzers found worth keeping, through the same entry points.

use std::path::Path;

/// Every input of a target's corpus holds its properties, and each is an input at all.
fn replay(target: &str, entry: fn(&[u8]) -> bool) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry_of in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
        let path = entry_of.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| entry(&bytes));
        assert!(held.unwrap_or_else(|_| panic!("{} fails (above)", path.display())), "{} is no input", path.display());
        count += 1;
    }
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
