//! Tests of checkpoints.

use super::*;
use crate::samples::{MUNICH, PARIS, node, origin};
use crate::tree::Tree;

/// The key and the note that Go's package `golang.org/x/mod/sumdb/note` shows in its documentation.
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const GO_SIGNATURE: &str =
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";

fn sample() -> Checkpoint {
    Checkpoint { origin: origin(&MUNICH), size: 42, root: Tree::default().root() }
}

fn note() -> String {
    sample().sign(&SigningKey::from_bytes(&MUNICH))
}

#[test]
fn keys_and_signatures_are_those_of_other_implementations() {
    let (name, peter) = parse_verifier_key(GO_KEY).unwrap();
    assert_eq!(name, "PeterNeumann");
    let key = VerifyingKey::from_bytes(&peter.0).unwrap();
    let blob = BASE64.decode(GO_SIGNATURE.as_bytes()).unwrap();
    assert_eq!(blob[..4], key_id("PeterNeumann", &key));
    key.verify_strict(GO_TEXT.as_bytes(), &Signature::from_slice(&blob[4..]).unwrap()).unwrap();
}

#[test]
fn a_signed_checkpoint_reads_back() {
    assert_eq!(Checkpoint::open(&note(), node(&MUNICH)), Ok(sample()));
    assert_eq!(note().lines().count(), 5);
}

#[test]
fn another_key_did_not_sign_it() {
    assert_eq!(Checkpoint::open(&note(), node(&PARIS)), Err(NoteError::Unsigned));
}

#[test]
fn a_cosignature_by_somebody_else_does_no_harm() {
    let cosigned = format!("{}\u{2014} witness.example/one {GO_SIGNATURE}\n", note());
    assert_eq!(Checkpoint::open(&cosigned, node(&MUNICH)), Ok(sample()));
    let alone = cosigned.replace(&format!("\u{2014} {} ", origin(&MUNICH)), "\u{2014} somebody ");
    assert_eq!(Checkpoint::open(&alone, node(&MUNICH)), Err(NoteError::Unsigned));
}

#[test]
fn every_changed_character_is_found() {
    let note = note();
    for (at, _) in note.char_indices() {
        for with in ['0', 'A', ' ', '\n', '+'] {
            let mut changed: String = note[..at].to_owned();
            let mut rest = note[at..].chars();
            if rest.next() == Some(with) {
                continue;
            }
            changed.push(with);
            changed.push_str(rest.as_str());
            assert!(Checkpoint::open(&changed, node(&MUNICH)).is_err(), "{with:?} at {at}");
        }
    }
}

#[test]
fn a_verifier_key_reads_back_and_a_changed_one_does_not() {
    let key = verifier_key(&origin(&MUNICH), node(&MUNICH)).unwrap();
    assert_eq!(parse_verifier_key(&key), Ok((origin(&MUNICH), node(&MUNICH))));
    for at in 0..key.len() {
        let mut changed = key.clone().into_bytes();
        changed[at] ^= 1;
        assert!(parse_verifier_key(&String::from_utf8(changed).unwrap()).is_err(), "at {at}");
    }
}
