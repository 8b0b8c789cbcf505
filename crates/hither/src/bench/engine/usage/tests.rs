//! Who belongs to a process, and what this one uses.

use super::*;

#[test]
fn children_of_children_belong_and_neighbours_do_not() {
    let all = [(9, 7, 1), (1, 0, 90), (5, 1, 10), (7, 5, 4), (6, 1, 80)];
    assert_eq!(below(5, &all), BTreeMap::from([(5, 10), (7, 4), (9, 1)]));
    assert_eq!(below(3, &all), BTreeMap::new());
}

#[test]
fn this_process_has_memory_and_one_that_cannot_be_is_named() {
    let tree = Tree::of(std::process::id()).unwrap();
    assert!(tree.memory().unwrap() > 100_000);
    let missing = Tree::of(u32::MAX).unwrap_err();
    assert!(missing.message.contains("4294967295"), "{missing:?}");
}
