//! Lines of witnesses, ours and the one of the specification.

use ed25519_dalek::SigningKey;
use hither_types::id::NodeId;

use super::{parse_witness_key, witness_key};
use crate::note::{Checkpoint, NoteError};

fn key(seed: u8) -> (SigningKey, NodeId) {
    let key = SigningKey::from_bytes(&[seed; 32]);
    let node = NodeId(key.verifying_key().to_bytes());
    (key, node)
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint { origin: "hither/n4kq7x".to_owned(), size, root: [7; 32] }
}

#[test]
fn a_witness_signs_one_checkpoint_at_one_time() {
    let ((paris, witness), (_, other)) = (key(1), key(2));
    let line = checkpoint(42).cosign("hither/paris", &paris, 1_679_315_147);
    let found = checkpoint(42).check_cosignature(&line, witness).unwrap();
    assert_eq!((found.name.as_str(), found.time), ("hither/paris", 1_679_315_147));
    assert_eq!(checkpoint(43).check_cosignature(&line, witness), Err(NoteError::Signature));
    assert_eq!(checkpoint(42).check_cosignature(&line, other), Err(NoteError::Unsigned));
    let renamed = line.replace("paris", "lyon");
    assert_eq!(checkpoint(42).check_cosignature(&renamed, witness), Err(NoteError::Unsigned));
}

#[test]
fn every_changed_letter_of_a_line_is_found() {
    let (paris, witness) = key(1);
    let line = checkpoint(42).cosign("hither/paris", &paris, 5);
    for at in 0..line.len() {
        let mut bytes = line.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(checkpoint(42).check_cosignature(&changed, witness).is_err(), "letter {at}");
        }
    }
    assert!(checkpoint(42).check_cosignature("", witness).is_err());
}

#[test]
fn the_node_s_own_signature_is_none_of_a_witness() {
    let (munich, node) = key(3);
    let note = checkpoint(42).sign(&munich);
    let line = note.split_once("\n\n").unwrap().1;
    assert!(checkpoint(42).check_cosignature(line, node).is_err());
}

#[test]
fn the_line_and_the_key_have_the_form_of_the_specification() {
    let (paris, witness) = key(1);
    let line = checkpoint(42).cosign("hither/paris", &paris, 0x64_18_50_cb);
    let blob = line.strip_prefix("\u{2014} hither/paris ").unwrap().trim_end();
    let blob = data_encoding::BASE64.decode(blob.as_bytes()).unwrap();
    assert_eq!((blob.len(), &blob[4..12]), (76, &[0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb][..]));
    let text = witness_key("hither/paris", witness).unwrap();
    assert_eq!(parse_witness_key(&text), Ok(("hither/paris".to_owned(), witness)));
    assert_eq!(text.split('+').nth(1).unwrap(), data_encoding::HEXLOWER.encode(&blob[..4]));
    assert_eq!(parse_witness_key(&text.replace("paris", "lyon")), Err(NoteError::Key));
}
