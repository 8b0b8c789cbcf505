//! Two programs with one key, and a member between them.

use ed25519_dalek::SigningKey;
use hither_types::message::StartWord;
use hither_types::time::WallTime;

use super::{Heard, Twin, Twins};
use crate::limits::STARTS_MAX;
use crate::trust::node_id;

const NOW: WallTime = WallTime(2_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Lets a program tell a member of itself, and carries what both say until nothing is left to say.
fn meet(program: &mut Twins, member: &mut Twins) -> Vec<Twin> {
    let (twin_key, member_key) = (key(1), key(2));
    let (twin, other) = (node_id(&twin_key), node_id(&member_key));
    let mut found = Vec::new();
    let mut words = vec![program.mine(NOW)];
    for _ in 0..8 {
        let heard: Vec<Heard> = words.drain(..).map(|word| member.hear(twin, word, &member_key, NOW)).collect();
        assert!(heard.iter().all(|heard| heard.twin.is_none()), "a member's own key is in no question");
        for reply in heard.into_iter().flat_map(|heard| heard.replies) {
            let heard = program.hear(other, reply, &twin_key, NOW);
            found.extend(heard.twin);
            words.extend(heard.replies);
        }
    }
    assert!(words.is_empty(), "{words:?} go round for ever");
    found
}

#[test]
fn two_programs_with_one_key_learn_of_each_other_and_agree_who_leaves() {
    let (mut old, mut new, mut member) =
        (Twins::new(WallTime(1_000), 1), Twins::new(WallTime(2_000), 1), Twins::new(WallTime(1), 1));
    let (mut of_old, mut of_new) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        of_old.extend(meet(&mut old, &mut member));
        of_new.extend(meet(&mut new, &mut member));
    }
    assert!(!of_old.is_empty() && of_old.iter().all(|twin| *twin == Twin::Later(new.own)), "{of_old:?}");
    assert!(!of_new.is_empty() && of_new.iter().all(|twin| *twin == Twin::Earlier(old.own)), "{of_new:?}");
}

#[test]
fn a_node_that_was_started_again_finds_no_twin_however_often() {
    let mut member = Twins::new(WallTime(1), 1);
    for start in 0..20 {
        let mut program = Twins::new(WallTime(start), 1);
        for _ in 0..3 {
            assert_eq!(meet(&mut program, &mut member), []);
        }
    }
    assert!(member.seen.values().all(|seen| seen.len() <= STARTS_MAX));
}

#[test]
fn no_member_can_make_a_twin_up() {
    let (mut before, mut program) = (Twins::new(WallTime(1_000), 1), Twins::new(WallTime(2_000), 1));
    let other = node_id(&key(2));
    let twin_in = |program: &mut Twins, word| program.hear(other, word, &key(1), NOW).twin;
    // Signed with a key of its own.
    let forged = Twins::new(WallTime(1), 1).answer(program.own.challenge, &key(2));
    assert_eq!(twin_in(&mut program, StartWord::Proved(forged.clone())), None);
    // … or with the name of the other on it.
    let mut renamed = forged;
    renamed.signer = node_id(&key(1));
    assert_eq!(twin_in(&mut program, StartWord::Proved(renamed)), None);
    // What an earlier start answered to whatever was asked before this one drew its challenge.
    let asked = StartWord::Asked { challenge: [7; 32] };
    let replies = before.hear(other, asked, &key(1), NOW).replies;
    for reply in replies {
        assert_eq!(twin_in(&mut program, reply), None);
    }
    // Its own answers, sent back.
    let asked = StartWord::Asked { challenge: before.own.challenge };
    for reply in program.hear(other, asked, &key(1), NOW).replies {
        assert_eq!(twin_in(&mut program, reply), None);
    }
    // Its own challenge, asked of itself.
    let own = StartWord::Asked { challenge: program.own.challenge };
    assert_eq!(program.hear(other, own, &key(1), NOW), Heard::default());
}

#[test]
fn a_member_tells_its_clock() {
    let mut twins = Twins::new(WallTime(1), 1);
    let said = Twins::new(WallTime(1), 1).mine(WallTime(NOW.0 - 90_000));
    assert_eq!(twins.hear(node_id(&key(2)), said, &key(1), NOW).ahead_ms, Some(-90_000));
}
