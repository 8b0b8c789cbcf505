//! Any bytes: refused or passed, and never taken for what was not signed.

use std::path::Path;
use std::sync::LazyLock;

use data_encoding::BASE64;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};
use serde_json::Value;

use super::{Author, now, outcome, put, statement};
use crate::{Bundle, Rules, Signed, Trust, fuzzing};

const FILES: &[(&str, &str)] = &[("model.onnx", "the weights of a model"), ("words/all.txt", "words")];

struct Sample {
    bytes: Vec<u8>,
    trust: Trust,
    signed: Signed,
}

static SAMPLE: LazyLock<Sample> = LazyLock::new(|| {
    let author = Author::new();
    let bytes = author.sign(&statement(FILES)).to_string().into_bytes();
    let (trust, signed) = (author.trust(), author.signed(&statement(FILES)).unwrap());
    Sample { bytes, trust, signed }
});

/// The same statement in other words: a bundle may change where nothing is signed, and what is signed does not.
fn holds(bytes: &[u8]) -> bool {
    let verified = Bundle::parse(bytes).ok().and_then(|bundle| bundle.verify(&SAMPLE.trust, now()).ok());
    verified.is_none_or(|signed| signed == SAMPLE.signed)
}

#[test]
fn no_flipped_bit_of_a_bundle_changes_what_is_believed() {
    for place in 0..SAMPLE.bytes.len() {
        for bit in 0..8 {
            let mut bytes = SAMPLE.bytes.clone();
            bytes[place] ^= 1 << bit;
            assert!(holds(&bytes), "byte {place}, bit {bit}");
        }
    }
}

#[test]
fn no_flipped_bit_of_what_is_signed_is_believed() {
    let bundle: Value = serde_json::from_slice(&SAMPLE.bytes).unwrap();
    let payload = BASE64.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap().as_bytes()).unwrap();
    for place in 0..payload.len() {
        let mut altered = payload.clone();
        altered[place] ^= 1;
        let mut bundle = bundle.clone();
        bundle["dsseEnvelope"]["payload"] = BASE64.encode(&altered).into();
        let bundle = Bundle::parse(bundle.to_string().as_bytes()).unwrap();
        assert!(bundle.verify(&SAMPLE.trust, now()).is_err(), "byte {place}");
    }
}

#[test]
fn every_input_of_the_corpus_is_refused_or_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/bundle");
    let mut bundles = 0;
    for file in std::fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display())) {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        fuzzing::bundle(&bytes);
        bundles += usize::from(Bundle::parse(&bytes).is_ok());
    }
    assert!(bundles >= 5, "only {bundles} bundles in {}", corpus.display());
}

#[test]
fn no_cut_bundle_is_believed() {
    for end in 0..SAMPLE.bytes.len() {
        assert!(Bundle::parse(&SAMPLE.bytes[..end]).is_err(), "{end} bytes");
    }
}

/// Bytes that look like something: cut, joined and overwritten pieces of what is right, and of what is not.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let statement = statement(FILES).to_string().into_bytes();
    let pem = Author::new().0.public_key_pem().into_bytes();
    let right = prop_oneof![Just(SAMPLE.bytes.clone()), Just(statement), Just(pem)];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let cut = (any::<prop::sample::Index>(), any::<prop::sample::Index>());
    let near = (right, changes, cut).prop_map(|(mut bytes, changes, (from, to))| {
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
        let middle = bytes[from.min(to)..from.max(to)].to_vec();
        if from % 3 == 0 { middle } else { [bytes, middle].concat() }
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..256), near]
}

proptest! {
    #[test]
    fn garbage_is_refused_without_a_panic(bytes in bytes()) {
        fuzzing::bundle(&bytes);
        prop_assert!(holds(&bytes));
    }

    #[test]
    fn no_altered_file_is_taken_for_the_one_that_was_signed(
        place in any::<prop::sample::Index>(),
        byte in 1_u8..,
        end in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), FILES);
        prop_assert_eq!(outcome(&SAMPLE.signed, folder.path(), &Rules::default()), "ok model.onnx words/all.txt of 2");
        let path = folder.path().join("model.onnx");
        let right = FILES[0].1.as_bytes();
        let mut flipped = right.to_vec();
        flipped[place.index(right.len())] ^= byte;
        for content in [&flipped, &right[..end.index(right.len())], &[right, b"\0"].concat()] {
            std::fs::write(&path, content).unwrap();
            for asked in [folder.path(), &path] {
                let text = outcome(&SAMPLE.signed, asked, &Rules::default());
                prop_assert!(text.contains("is not the file that was signed"), "{}", text);
            }
        }
    }
}
