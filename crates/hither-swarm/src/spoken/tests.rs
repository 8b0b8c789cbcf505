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
    assert_eq!(said.len(), KINDS.len());
    let some: Vec<_> = said.into_iter().filter(|(_, messages, _)| *messages > 0).collect();
    assert_eq!(some, [("members", 2, 15), ("catalog", 1, 9)]);
}
