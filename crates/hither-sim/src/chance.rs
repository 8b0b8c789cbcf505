//! Chance from a seed: SplitMix64 (Steele, Lea and Flood, 2014). The same seed gives the same run on every machine, so
//! nothing here uses a floating-point function that platforms may round differently.

/// One stream of numbers. Each part of the world has its own, so that one more draw in one part does not shift another.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

/// Spreads the bits of a number over all 64.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Chance {
    /// The stream of a seed for one purpose.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below the bound; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Whether something with a chance of so many in a thousand happens.
    pub(crate) fn permille(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }

    /// A waiting time with this mean. The minimum of a fixed count of bits stands in for a logarithm: the integer part
    /// of an exponential in units of ln 2 is geometric, and the fraction is uniform to within a few per cent.
    pub(crate) fn waiting(&mut self, mean: u64) -> u64 {
        let halvings = u64::from(self.next().trailing_zeros());
        let fraction = self.below(1 << 16);
        let in_units = (halvings << 16) + fraction;
        // The mean of `halvings + fraction` is 1.5.
        ((u128::from(mean) * u128::from(in_units) * 2 / 3) >> 16) as u64
    }

    /// One of a list that is not empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

/// A number that stands for a name, the same on every machine.
pub(crate) fn of_name(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// 32 bytes that stand for a number.
pub(crate) fn bytes32(number: u64) -> [u8; 32] {
    let mut out = [0; 32];
    let mut chance = Chance::new(number, 0x1d);
    for chunk in out.chunks_exact_mut(8) {
        chunk.copy_from_slice(&chance.next().to_be_bytes());
    }
    out
}
