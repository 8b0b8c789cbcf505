//! A text counts by its digest alone, and those who may have it are asked in turn.

use super::*;

fn texts(dir: &tempfile::TempDir) -> Texts {
    Texts::new(dir.path().join("policies"))
}

#[test]
fn a_text_is_there_again_and_one_that_was_changed_on_the_disk_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let digest = digest_of("version = 8\n");
    let mut kept = texts(&dir);
    assert!(!kept.holds(digest));
    kept.keep("version = 8\n").unwrap();
    assert_eq!(texts(&dir).get(digest).as_deref(), Some("version = 8\n"));
    let begins = digest.to_string();
    assert_eq!(kept.beginning_with(&begins[..6]), [digest]);
    assert_eq!(kept.beginning_with("zz"), []);
    std::fs::write(kept.path(digest), "version = 9\n").unwrap();
    assert_eq!((kept.get(digest), texts(&dir).holds(digest)), (None, false));
    // It is written anew.
    let mut again = texts(&dir);
    again.keep("version = 8\n").unwrap();
    assert!(again.get(digest).is_some());
}

#[test]
fn each_of_those_who_may_have_a_text_is_asked_in_turn() {
    let dir = tempfile::tempdir().unwrap();
    let mut texts = texts(&dir);
    let (digest, peers) = (Digest([1; 32]), [3, 5, 9].map(|n| NodeId([n; 32])));
    let start = Instant::now();
    let asked: Vec<_> = (0..5u32).map(|round| texts.ask(digest, &peers, start + POLICY_ASK_AGAIN * round)).collect();
    assert_eq!(asked, [3, 5, 9, 3, 5].map(|n| Some(NodeId([n; 32]))));
    let soon = start + POLICY_ASK_AGAIN * 4 + POLICY_ASK_AGAIN / 2;
    assert_eq!(texts.ask(digest, &peers, soon), None, "it may still come");
    assert_eq!(texts.ask(Digest([2; 32]), &peers, soon), Some(peers[0]), "of another text nobody was asked");
    assert_eq!(texts.ask(Digest([3; 32]), &[], soon), None);
}

#[test]
fn nobody_is_given_one_text_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut texts = texts(&dir);
    let (one, other, start) = (NodeId([1; 32]), NodeId([2; 32]), Instant::now());
    assert!(texts.may_give(one, start) && !texts.may_give(one, start) && texts.may_give(other, start));
    assert!(texts.may_give(one, start + POLICY_GIVEN_EVERY));
    assert_eq!(texts.given.len(), 1, "the others are forgotten");
}
