//! What a tree grew by since it had another size: as few hashes as show it to whoever knows the tree as it was then.
//!
//! They are the roots of the complete subtrees that cover the leaves from there on, each as large as its place lets it be.
//! Put behind the peaks of the older tree they give the newer one, so its root shows that the older leaves are still there.
//! That is what a consistency proof of RFC 6962 (2.1.2) shows to somebody who knows only the older root, in a form that can be
//! made while leaves pass by, without a look at those before.

use super::{Hash, Tree, node_hash};

/// What a tree grew by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    from: u64,
    to: u64,
    hashes: Vec<Hash>,
}

impl Growth {
    /// Of a tree of this size, by nothing.
    pub fn of(from: u64) -> Self {
        Self { from, to: from, hashes: Vec::new() }
    }

    /// Another leaf.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut start, mut size) = (leaf, self.to, 1);
        self.to += 1;
        // A subtree is complete if what stands before it begins where one twice as large may.
        while start >= self.from + size && (start - size).is_multiple_of(size * 2) {
            let left = self.hashes.pop().expect("what stands before is covered");
            hash = node_hash(&left, &hash);
            (start, size) = (start - size, size * 2);
        }
        self.hashes.push(hash);
    }

    /// How many leaves there are now.
    pub fn to(&self) -> u64 {
        self.to
    }

    /// The hashes, from the first leaf to the last.
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }
}

impl Tree {
    /// The tree as it is after it grew to a size. `None`: these hashes are not a growth from here to there.
    pub fn grown(&self, to: u64, hashes: &[Hash]) -> Option<Self> {
        let mut tree = self.clone();
        let mut hashes = hashes.iter();
        if to < tree.size {
            return None;
        }
        while tree.size < to {
            // As large as the place lets it be, and no larger than what is left.
            let left = to - tree.size;
            let size = 1_u64 << tree.size.trailing_zeros().min(left.ilog2());
            let mut hash = *hashes.next()?;
            let mut below = size;
            while tree.size & below != 0 {
                let peak = tree.peaks.pop().expect("one peak for each bit of the size");
                hash = node_hash(&peak, &hash);
                below <<= 1;
            }
            tree.peaks.push(hash);
            tree.size += size;
        }
        hashes.next().is_none().then_some(tree)
    }

    /// The roots of its complete subtrees, the largest first.
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }
}

#[cfg(test)]
mod tests;
