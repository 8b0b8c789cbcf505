//! What the fuzzer found worth keeping, through the same entry point.

use std::path::Path;

#[test]
fn everything_of_the_corpus_that_is_read_is_said_again() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/wire");
    let (mut count, mut taken) = (0, 0);
    for file in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let forms = std::panic::catch_unwind(|| super::wire(&bytes));
        taken += usize::from(forms.unwrap_or_else(|_| panic!("{} fails (above)", path.display())) > 0);
        count += 1;
    }
    assert!(taken >= 20 && count > taken, "of {count} inputs in {}, {taken} are read", corpus.display());
}
