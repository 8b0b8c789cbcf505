//! The tables against what textbooks say.

use super::{exponential, lognormal_cv_1, lognormal_sigma_1, normal};
use crate::chance::Chance;

const MEAN: u64 = 1_000_000;

/// Draws a quarter of a million, and compares mean and quantiles (per mille, value) to within a share in per cent.
fn check(draw: fn(&mut Chance, u64) -> u64, quantiles: &[(usize, u64)], within: u64) {
    let mut chance = Chance::new(1, 1);
    let mut drawn: Vec<u64> = (0..250_000).map(|_| draw(&mut chance, MEAN)).collect();
    let mean = drawn.iter().sum::<u64>() / 250_000;
    assert!(mean.abs_diff(MEAN) < MEAN / 100, "mean {mean}");
    drawn.sort_unstable();
    for (permille, value) in quantiles {
        let found = drawn[250 * permille];
        assert!(found.abs_diff(*value) < value * within / 100, "{permille} per mille: {found} and not {value}");
    }
}

#[test]
fn exponential_numbers_have_their_quantiles() {
    check(exponential, &[(100, 105_361), (500, 693_147), (900, 2_302_585), (990, 4_605_170), (999, 6_907_755)], 3);
}

#[test]
fn lognormal_numbers_have_their_quantiles() {
    check(lognormal_sigma_1, &[(100, 168_377), (500, 606_531), (900, 2_184_846), (990, 6_210_944)], 3);
    check(lognormal_cv_1, &[(100, 243_301), (500, 707_107), (900, 2_055_072), (990, 4_906_026)], 3);
}

#[test]
fn normal_quantiles_are_those_of_the_tables() {
    for (tail, z) in [(0.5, 0.0), (0.158_655_254, 1.0), (0.066_807_201, 1.5), (0.001_349_898, 3.0), (2.866_516e-7, 5.0)]
    {
        assert!((normal(tail) - z).abs() < 1e-6, "{tail}: {}", normal(tail));
    }
}
