//! SplitMix64 (Steele, Lea and Flood, 2014): the same numbers from a seed on every machine.

/// By how much its state grows with each number.
pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that follows a state.
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(GAMMA);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
