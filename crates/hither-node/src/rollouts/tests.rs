//! Words about versions: who may say them, which count, and what is kept of them.

use ed25519_dalek::SigningKey;
use hither_types::id::Digest;
use hither_types::model::{Datatype, TensorSpec};
use hither_types::rollout::RolloutFault;
use hither_types::time::WallTime;

use super::*;

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn rollout(name: &str, revision: u64, publisher: &SigningKey) -> RolloutWord {
    RolloutWord::Begun(Rollout {
        name: ModelName::parse(name).unwrap(),
        revision,
        from: Digest([1; 32]),
        to: Digest([2; 32]),
        share: 100,
        sites: Vec::new(),
        tolerance: 20,
        publisher: trust::node_id(publisher),
        at: WallTime(0),
    })
}

fn verdict(name: &str, revision: u64, publisher: &SigningKey, by: &SigningKey) -> RolloutWord {
    RolloutWord::Judged(Verdict {
        name: ModelName::parse(name).unwrap(),
        revision,
        publisher: trust::node_id(publisher),
        by: trust::node_id(by),
        fault: RolloutFault::WrongAnswer,
    })
}

fn signed(key: &SigningKey, word: &RolloutWord) -> Signed {
    trust::sign(key, Seal::Rollout, hither_wire::encode_rollout_word(word).unwrap())
}

/// Takes in a word that whoever it says signed.
fn put(versions: &mut Versions, key: &SigningKey, word: RolloutWord) -> bool {
    versions.put(signed(key, &word), word, |_| true)
}

#[test]
fn a_word_counts_only_with_the_signature_of_whom_it_names_and_only_as_what_it_was_signed_for() {
    let word = rollout("fraud", 1, &key(1));
    assert_eq!(check(&signed(&key(1), &word)).ok(), Some(word.clone()));
    assert!(matches!(check(&signed(&key(2), &word)), Err(TrustError::Signature)), "another's key");
    let mut damaged = signed(&key(1), &word);
    damaged.bytes[3] ^= 1;
    assert!(matches!(check(&damaged), Err(TrustError::Signature)));
    let bytes = hither_wire::encode_rollout_word(&word).unwrap();
    let other = trust::sign(&key(1), Seal::Manifest, bytes);
    assert!(matches!(check(&other), Err(TrustError::Signature)), "signed as a catalog entry");
    let noise = trust::sign(&key(1), Seal::Rollout, vec![1, 2, 3]);
    assert!(matches!(check(&noise), Err(TrustError::Malformed(_))));
}

#[test]
fn an_older_word_never_replaces_a_newer_one_and_verdicts_go_with_what_they_judge() {
    let dir = tempfile::tempdir().unwrap();
    let mut versions = Versions::open(dir.path().join("rollouts"));
    assert!(
        !put(&mut versions, &key(3), verdict("fraud", 1, &key(1), &key(3))),
        "nothing is known that it could judge"
    );
    assert!(put(&mut versions, &key(1), rollout("fraud", 2, &key(1))));
    assert!(!put(&mut versions, &key(1), rollout("fraud", 1, &key(1))), "an older one, told again");
    assert!(!put(&mut versions, &key(1), rollout("fraud", 2, &key(1))), "the same");
    assert!(!put(&mut versions, &key(3), verdict("fraud", 1, &key(1), &key(3))), "about an older one");
    assert!(put(&mut versions, &key(3), verdict("fraud", 2, &key(1), &key(3))));
    assert!(!put(&mut versions, &key(3), verdict("fraud", 2, &key(1), &key(3))), "a member says it once");
    assert_eq!(versions.events().len(), 2);
    assert!(put(&mut versions, &key(2), rollout("fraud", 3, &key(2))), "another publisher goes on");
    assert_eq!(versions.events().len(), 1, "what was found of the one before is no word on this one");
    // The last number there is, by somebody who may publish no more.
    let last = rollout("fraud", u64::MAX, &key(1));
    assert!(put(&mut versions, &key(1), last.clone()));
    let next = rollout("fraud", 1, &key(2));
    assert!(!put(&mut versions, &key(2), next.clone()));
    let revoked = |publisher| publisher != trust::node_id(&key(1));
    assert!(versions.put(signed(&key(2), &next), next, revoked));
    assert!(!versions.put(signed(&key(1), &last), last, revoked));
}

#[test]
fn a_mesh_whose_members_all_complain_costs_no_more_room_than_a_few_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut versions = Versions::open(dir.path().join("rollouts"));
    assert!(put(&mut versions, &key(1), rollout("fraud", 1, &key(1))));
    let taken = (2..30).filter(|by| put(&mut versions, &key(*by), verdict("fraud", 1, &key(1), &key(*by)))).count();
    assert_eq!((taken, versions.signed().len()), (VERDICTS_MAX, 1 + VERDICTS_MAX));
    assert!(put(&mut versions, &key(1), rollout("chat", 1, &key(1))));
    assert!(put(&mut versions, &key(2), verdict("chat", 1, &key(1), &key(2))), "another name has room of its own");
}

#[test]
fn what_is_known_of_versions_outlives_the_program_and_damage_is_no_reason_to_believe_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rollouts");
    let mut versions = Versions::open(path.clone());
    for name in ["fraud", "chat"] {
        assert!(put(&mut versions, &key(1), rollout(name, 1, &key(1))));
        assert!(put(&mut versions, &key(3), verdict(name, 1, &key(1), &key(3))));
    }
    versions.write();
    let again = Versions::open(path.clone());
    assert_eq!(again.signed(), versions.signed());
    assert!(matches!(
        again.events()[..],
        [Event::RolledOut(_), Event::RolledOut(_), Event::Judged(_), Event::Judged(_)]
    ));
    std::fs::write(&path, b"nonsense").unwrap();
    assert!(Versions::open(path).events().is_empty());
}

#[test]
fn a_version_has_to_answer_what_the_one_before_is_asked() {
    let tensor =
        |name: &str, shape: Vec<Option<u64>>| TensorSpec { name: name.to_owned(), datatype: Datatype::Fp32, shape };
    let io = |inputs: Vec<TensorSpec>, outputs: Vec<TensorSpec>| ModelIo::Tensors { inputs, outputs };
    let old = io(vec![tensor("x", vec![None, Some(4)])], vec![tensor("y", vec![None])]);
    assert_eq!(difference(&old, &old), None);
    let more = io(vec![tensor("x", vec![None, Some(4)])], vec![tensor("z", vec![None]), tensor("y", vec![None])]);
    assert_eq!(difference(&old, &more), None, "more than before is no loss");
    assert_eq!(difference(&more, &old).unwrap(), "it has no output z as the old version has");
    let wider = io(vec![tensor("x", vec![None, Some(5)])], vec![tensor("y", vec![None])]);
    assert_eq!(difference(&old, &wider).unwrap(), "its inputs are not those of the old version");
    let language = |context_tokens| ModelIo::Language { context_tokens };
    assert_eq!(difference(&language(2048), &language(4096)), None);
    assert_eq!(
        difference(&language(4096), &language(2048)).unwrap(),
        "it takes 2048 tokens, and the old version takes 4096"
    );
    assert_eq!(difference(&old, &language(1)).unwrap(), "one takes text, and the other tensors");
}
