//! Tests of the tree.

use data_encoding::HEXLOWER;

use super::*;

/// The leaves and roots that implementations of RFC 6962 test themselves with.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];
const LARGEST: usize = 40;

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// The definition of RFC 6962, 2.1, word for word.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root_by_definition(left), &root_by_definition(right))
        }
    }
}

#[test]
fn known_leaves_have_the_known_roots() {
    let mut tree = Tree::default();
    assert_eq!(HEXLOWER.encode(&tree.root()), ROOTS[0]);
    for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        tree.push(leaf_hash(&HEXLOWER.decode(leaf.as_bytes()).unwrap()));
        assert_eq!(HEXLOWER.encode(&tree.root()), *root);
    }
}

#[test]
fn the_growing_tree_has_the_root_of_the_definition() {
    for count in 0..LARGEST {
        assert_eq!(root(&leaves(count)), root_by_definition(&leaves(count)), "{count} leaves");
    }
}

#[test]
fn every_leaf_is_proven_inside_and_nowhere_else() {
    for count in 1..LARGEST {
        let leaves = leaves(count);
        let root = root(&leaves);
        for index in 0..count {
            let proof = inclusion_proof(&leaves, index).unwrap();
            let check = |leaf: &Hash, at: usize| verify_inclusion(leaf, at as u64, count as u64, &root, &proof);
            assert_eq!(check(&leaves[index], index), Ok(()), "{index} of {count}");
            for other in (0..count).filter(|other| *other != index) {
                assert!(check(&leaves[index], other).is_err(), "{index} of {count} taken for {other}");
                assert!(check(&leaves[other], index).is_err(), "{other} of {count} in place of {index}");
            }
        }
    }
    assert_eq!(inclusion_proof(&leaves(3), 3), None);
    assert_eq!(verify_inclusion(&[0; 32], 3, 3, &[0; 32], &[]), Err(ProofError::Size { of: 3, size: 3 }));
}

#[test]
fn every_prefix_is_proven_consistent_and_nothing_else() {
    for count in 0..LARGEST {
        let leaves = leaves(count);
        let whole = root(&leaves);
        for old in 0..=count {
            let proof = consistency_proof(&leaves, old).unwrap();
            let before = root(&leaves[..old]);
            let check = |old_root: &Hash, new_root: &Hash, proof: &[Hash]| {
                verify_consistency((old as u64, old_root), (count as u64, new_root), proof)
            };
            assert_eq!(check(&before, &whole, &proof), Ok(()), "{old} of {count}");
            assert!(check(&[1; 32], &whole, &proof).is_err(), "another old root, {old} of {count}");
            if old > 0 {
                assert!(check(&before, &[1; 32], &proof).is_err(), "another new root, {old} of {count}");
            }
        }
    }
    assert_eq!(consistency_proof(&leaves(3), 4), None);
}

#[test]
fn a_proof_with_a_changed_missing_or_spare_hash_is_refused() {
    for count in 2..LARGEST {
        let leaves = leaves(count);
        let whole = root(&leaves);
        for at in 0..count {
            let inclusion = inclusion_proof(&leaves, at).unwrap();
            for wrong in spoilt(&inclusion) {
                let found = verify_inclusion(&leaves[at], at as u64, count as u64, &whole, &wrong);
                assert!(found.is_err(), "inclusion of {at} in {count}");
            }
            let before = root(&leaves[..at]);
            for wrong in spoilt(&consistency_proof(&leaves, at).unwrap()) {
                let found = verify_consistency((at as u64, &before), (count as u64, &whole), &wrong);
                assert!(found.is_err(), "consistency of {at} with {count}");
            }
        }
    }
}

fn spoilt(proof: &[Hash]) -> Vec<Vec<Hash>> {
    let mut all = vec![[proof, &[[0; 32]]].concat()];
    for i in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[i][31] ^= 1;
        let mut short = proof.to_vec();
        short.remove(i);
        all.extend([changed, short]);
    }
    all
}
