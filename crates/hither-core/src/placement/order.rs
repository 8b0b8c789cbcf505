//! Whose turn it is with a model: rendezvous hashing (Thaler and Ravishankar, 1998), with weights (Schindelhauer and
//! Schomaker, SPAA 2005). Everybody who knows the same nodes comes to the same order without asking.
//!
//! Integers only: the logarithm of a standard library may differ between platforms, and then nodes would not agree.

use hither_types::id::{Digest, NodeId};

use crate::random::Random;

/// Bits behind the point of a logarithm. The least of a thousand is about 2⁻¹⁰, and is told from the next by the other 14.
const FRACTION: u32 = 24;

/// The number that a node drew for a model.
fn drawn(model: Digest, node: NodeId) -> u64 {
    Random::new(model.prefix().rotate_left(23) ^ node.prefix()).next()
}

/// The order in which nodes stand for a model whatever weighs on them: the greatest comes first. It never changes, so
/// two nodes cannot disagree about who of the two comes first.
pub(super) fn standing(model: Digest, node: NodeId) -> (u64, NodeId) {
    (drawn(model, node), node)
}

/// The place of a node in the weighted order of a model: the least comes first, and a node of twice the weight comes first
/// twice as often. It is −log₂ u ÷ w, as −w ÷ ln u would be turned round; the base matters to nobody. A node without weight
/// has no place.
pub(super) fn place(model: Digest, node: NodeId, weight: u32) -> Option<(u64, NodeId)> {
    // At most 64 · 2²⁴ · 2²⁴.
    let scaled = minus_log2(drawn(model, node)) << 24;
    scaled.checked_div(u64::from(weight)).map(|score| (score, node))
}

/// −log₂(number ÷ 2⁶⁴), with [`FRACTION`] bits behind the point; digit by digit, by squaring.
pub(super) fn minus_log2(number: u64) -> u64 {
    let number = number | 1;
    let zeros = number.leading_zeros();
    // From 1 to 2, with 63 bits behind the point.
    let mut rest = number << zeros;
    let mut log = 0;
    for _ in 0..FRACTION {
        let square = (u128::from(rest) * u128::from(rest)) >> 63;
        let two = square >> 64;
        log = log << 1 | two as u64;
        rest = (square >> two) as u64;
    }
    ((u64::from(zeros) + 1) << FRACTION) - log
}
