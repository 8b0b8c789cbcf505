//! Which entry is signed, and which of two is kept.

use hither_types::id::Digest;
use hither_types::model::{ModelFormat, ModelIo};
use hither_types::unit::ByteCount;

use super::*;
use crate::models::Shelf;

const NOW: WallTime = WallTime(1_800_000_000_000);

fn key(number: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[number; 32])
}

fn entry(revision: u64, expires: Option<u64>) -> Manifest {
    Manifest {
        name: ModelName::parse("fraud").unwrap(),
        digest: Digest([1; 32]),
        sha256: [2; 32],
        size: ByteCount(3),
        format: ModelFormat::Stub,
        licence: String::new(),
        io: ModelIo::Language { context_tokens: 9 },
        memory: ByteCount(0),
        golden: Vec::new(),
        publisher: trust::node_id(&key(1)),
        revision,
        expires: expires.map(WallTime),
        signed_by: String::new(),
    }
}

fn signed(entry: &Manifest) -> Signed {
    trust::sign(&key(1), Seal::Manifest, hither_wire::encode_manifest(entry).unwrap())
}

#[test]
fn an_older_entry_does_not_come_back_neither_told_again_nor_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog");
    let all = [entry(0, None), entry(1, Some(NOW.0)), entry(2, Some(NOW.0 + 1))];
    let mut shelf = Shelf::open(path.clone(), []);
    for (newer, entry) in [(true, &all[0]), (true, &all[2]), (false, &all[1]), (false, &all[0]), (false, &all[2])] {
        assert_eq!(shelf.put(signed(entry), entry.clone(), |_| true), newer, "revision {}", entry.revision);
    }
    let shelf = Shelf::open(path, []);
    assert_eq!(shelf.manifests(), [all[2].clone()]);
    assert!(shelf.knows(&signed(&all[2])) && !shelf.knows(&signed(&all[0])));
}

#[test]
fn an_entry_of_somebody_who_may_publish_no_more_makes_way_and_takes_the_place_of_none() {
    let dir = tempfile::tempdir().unwrap();
    let (gone, here) = (trust::node_id(&key(1)), trust::node_id(&key(2)));
    let by = |publisher, revision| Manifest { publisher, ..entry(revision, None) };
    let mut shelf = Shelf::open(dir.path().join("catalog"), []);
    let mut put = |entry: &Manifest, may: &dyn Fn(NodeId) -> bool| {
        let taken = shelf.put(signed(entry), entry.clone(), may);
        (taken, shelf.orphans(may, |_| true))
    };
    let last = by(gone, u64::MAX);
    assert_eq!(put(&last, &|_| true), (true, None));
    assert_eq!(put(&by(here, 1), &|_| true), (false, None));
    let revoked = |node| node != gone;
    let (taken, warned) = put(&last, &revoked);
    assert!(!taken && warned.as_ref().is_some_and(|text| text.contains("hither models publish fraud")), "{warned:?}");
    // That of somebody who never heard of the other, and adds the same file.
    assert_eq!(put(&by(here, 0), &revoked), (true, None));
    assert_eq!(put(&by(here, 1), &revoked), (true, None));
    assert_eq!(put(&last, &revoked), (false, None));
    assert_eq!(put(&by(here, 2), &revoked), (true, None));
}

#[test]
fn a_model_of_somebody_who_may_publish_no_more_is_published_anew_when_it_is_added() {
    let known = entry(4, None);
    assert_eq!(added_again(&known, entry(0, None), false, NOW).unwrap(), None);
    assert_eq!(added_again(&known, entry(0, None), true, NOW).unwrap().map(|entry| entry.revision), Some(5));
}

#[test]
fn a_revision_that_somebody_wrote_into_an_entry_of_another_is_not_believed() {
    let mut forged = signed(&entry(1, None));
    forged.bytes = hither_wire::encode_manifest(&entry(2, None)).unwrap();
    assert!(trust::check_manifest(&forged).is_err());
    let others = trust::sign(&key(2), Seal::Manifest, hither_wire::encode_manifest(&entry(2, None)).unwrap());
    assert!(trust::check_manifest(&others).is_err(), "an entry is its publisher's");
}

#[test]
fn a_model_that_is_added_again_gets_a_new_entry_only_for_what_that_says_more() {
    let known = Manifest { signed_by: "key sha256:5f".to_owned(), ..entry(4, Some(NOW.0 + 10)) };
    let found = |expires: Option<u64>, by: &str| Manifest { signed_by: by.to_owned(), ..entry(0, expires) };
    let again = |found| {
        added_again(&known, found, false, NOW).unwrap().map(|entry| (entry.revision, entry.expires, entry.signed_by))
    };
    assert_eq!(again(found(None, "")), None);
    assert_eq!(again(found(None, "key sha256:5f")), None);
    let key = "key sha256:5f".to_owned();
    assert_eq!(again(found(Some(NOW.0 + 99), "")), Some((5, Some(WallTime(NOW.0 + 99)), key)));
    let other = "certificate sha256:77 CN=acme".to_owned();
    assert_eq!(again(found(None, &other)), Some((5, known.expires, other.clone())));

    for end in [None, Some(NOW.0 + 99)] {
        let named = Manifest { name: ModelName::parse("risk").unwrap(), ..found(end, "") };
        let refused = added_again(&known, named, false, NOW).unwrap_err();
        assert_eq!((refused.code, refused.help.as_str()), ("E0432", "hither models add FILE --name fraud"));
    }
}

#[test]
fn what_has_ended_is_refused_with_what_to_type_until_it_gets_another_end() {
    let known = entry(1, Some(NOW.0 - 3 * 86_400_000));
    let refused = added_again(&known, entry(0, None), false, NOW).unwrap_err();
    let text = "the entry of fraud in the catalog ended 3 days ago: the model is not to be used any more";
    assert_eq!((refused.code, refused.message.as_str()), ("E0411", text));
    assert!(refused.help.starts_with("hither models publish fraud --valid-for"), "{}", refused.help);
    let renewed = added_again(&known, entry(0, Some(NOW.0 + 1)), false, NOW).unwrap().unwrap();
    assert_eq!((renewed.revision, ended(&renewed, NOW)), (2, None));
    assert!(ended(&renewed, WallTime(NOW.0 + 1)).is_some(), "the end itself is too late");
}

#[test]
fn after_the_last_revision_there_is_none() {
    let last = entry(u64::MAX, None);
    assert_eq!(renewed(&last, false).unwrap_err().code, "E0436");
    assert_eq!(renewed(&last, true).unwrap().revision, 1, "of somebody who may publish no more it is not the last");
}
