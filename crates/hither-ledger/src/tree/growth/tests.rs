//! A growth leads from every size to every later one, and nowhere else.

use super::Growth;
use crate::tree::{Hash, Tree, leaf_hash, root};

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|number| leaf_hash(&number.to_le_bytes())).collect()
}

fn tree(leaves: &[Hash]) -> Tree {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree
}

fn growth(leaves: &[Hash], from: usize) -> Growth {
    let mut growth = Growth::of(from as u64);
    leaves[from..].iter().for_each(|leaf| growth.push(*leaf));
    growth
}

#[test]
fn a_tree_grows_from_every_size_to_every_later_one() {
    let leaves = leaves(130);
    for to in 0..=leaves.len() {
        for from in 0..=to {
            let growth = growth(&leaves[..to], from);
            let grown = tree(&leaves[..from]).grown(to as u64, growth.hashes());
            assert_eq!(grown, Some(tree(&leaves[..to])), "from {from} to {to}");
            assert_eq!(grown.unwrap().root(), root(&leaves[..to]));
            assert_eq!(growth.to(), to as u64);
            assert!(growth.hashes().len() <= 2 * 8);
        }
    }
}

#[test]
fn from_nothing_a_growth_is_the_peaks() {
    for count in [1, 2, 3, 7, 8, 100] {
        let leaves = leaves(count);
        assert_eq!(growth(&leaves, 0).hashes(), tree(&leaves).peaks());
    }
}

#[test]
fn what_is_no_growth_from_here_leads_nowhere_or_to_another_root() {
    let leaves = leaves(40);
    let whole = tree(&leaves);
    for from in 1..40 {
        let old = tree(&leaves[..from]);
        let right = growth(&leaves, from);
        assert_eq!(old.grown(from as u64 - 1, &[]), None, "a tree does not shrink");
        assert_eq!(old.grown(40, &right.hashes()[1..]), None, "too few");
        let more = [right.hashes(), &[[0; 32]]].concat();
        assert_eq!(old.grown(40, &more), None, "too many");
        for place in 0..right.hashes().len() {
            let mut wrong = right.hashes().to_vec();
            wrong[place][7] ^= 1;
            assert_ne!(old.grown(40, &wrong).map(|tree| tree.root()), Some(whole.root()), "from {from} at {place}");
        }
        // A history that was told anew has the same growth only if it has the same leaves.
        let mut other = leaves.clone();
        other[from - 1][0] ^= 1;
        assert_ne!(tree(&other[..from]).grown(40, right.hashes()).map(|tree| tree.root()), Some(whole.root()));
    }
}
