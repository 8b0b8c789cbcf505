//! What the fuzzers found worth keeping, through the same entry points.

use std::path::Path;

/// Every input of a target's corpus holds its properties.
fn replay(target: &str, entry: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for file in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(std::panic::catch_unwind(|| entry(&bytes)).is_ok(), "{} fails (above)", path.display());
        count += 1;
    }
    assert!(count >= 5, "only {count} inputs in {}", corpus.display());
}

#[test]
fn every_gguf_header_of_the_corpus_is_refused_or_passes() {
    replay("gguf", super::gguf);
}

#[test]
fn every_onnx_file_of_the_corpus_is_refused_or_passes() {
    replay("onnx", super::onnx);
}

#[test]
fn everything_of_the_corpus_that_decodes_is_encoded_again() {
    replay("work", super::work);
}
