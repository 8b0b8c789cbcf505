//! Both see the same words, and each thing that differs shows.

use super::*;

fn encounter() -> Encounter {
    Encounter {
        mesh: MeshId([1; 32]),
        invite: [2; 16],
        issuer: NodeId([3; 32]),
        joiner: NodeId([4; 32]),
        issuer_number: [5; 32],
        joiner_number: [6; 32],
    }
}

#[test]
fn whatever_differs_between_the_two_sides_shows() {
    let same = encounter().words();
    assert_eq!(encounter().words(), same);
    let others = [
        Encounter { mesh: MeshId([9; 32]), ..encounter() },
        Encounter { invite: [9; 16], ..encounter() },
        Encounter { issuer: NodeId([9; 32]), ..encounter() },
        Encounter { joiner: NodeId([9; 32]), ..encounter() },
        Encounter { issuer_number: [9; 32], ..encounter() },
        Encounter { joiner_number: [9; 32], ..encounter() },
        // The same bytes, cut at another place.
        Encounter { issuer: NodeId([4; 32]), joiner: NodeId([3; 32]), ..encounter() },
    ];
    for other in others {
        assert_ne!(other.words(), same, "{other:?}");
    }
}

#[test]
fn the_words_of_this_version_are_these() {
    // Two programs must show the same: another list or another hash is another version.
    assert_eq!(encounter().words().to_string(), "canyon waffle carpet fiddle");
}

#[test]
fn words_are_read_as_people_type_them() {
    let words = encounter().words();
    let shown = words.to_string();
    for typed in
        [shown.clone(), shown.to_uppercase(), shown.replace(' ', "-"), format!("  {} \n", shown.replace(' ', ",  "))]
    {
        assert_eq!(Words::parse(&typed), Some(words), "{typed:?}");
    }
    for wrong in ["", "acorn", "acorn acorn acorn", "acorn acorn acorn acorn acorn", "acorn acorn acorn xylophone"] {
        assert_eq!(Words::parse(wrong), None, "{wrong:?}");
    }
}

#[test]
fn the_words_are_told_apart_by_their_beginning() {
    let mut sorted = LIST;
    sorted.sort_unstable();
    assert_eq!(sorted, LIST, "they are searched in the order of the alphabet");
    let beginnings: std::collections::BTreeSet<&str> = LIST.iter().map(|word| &word[..word.len().min(4)]).collect();
    assert_eq!(beginnings.len(), LIST.len());
    assert!(
        LIST.iter().all(|word| (3..=8).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase()))
    );
}

#[test]
fn a_promise_says_nothing_else_than_its_number() {
    assert_eq!(commitment(&[6; 32]), commitment(&[6; 32]));
    assert_ne!(commitment(&[6; 32]), commitment(&[7; 32]));
}
