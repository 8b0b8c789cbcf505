//! Counting small talk.

use super::*;

#[test]
fn each_kind_of_small_talk_is_counted_apart() {
    let spoken = Spoken::default();
    spoken.count(&PeerMessage::Members(Vec::new()), 7);
    spoken.count(&PeerMessage::Members(Vec::new()), 8);
    spoken.count(&PeerMessage::Catalog(Vec::new()), 9);
    let said: Vec<(&str, u64, u64)> =
        spoken.words().into_iter().map(|(kind, words)| (kind, words.messages, words.bytes.0)).collect();
    let expected = [("presence", 0, 0), ("signal", 0, 0), ("members", 2, 15), ("catalog", 1, 9), ("authority", 0, 0)];
    assert_eq!(said, expected);
}
