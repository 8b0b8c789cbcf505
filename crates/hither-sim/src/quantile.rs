//! Exponential and lognormal numbers from tables of quantiles.
//!
//! `ln` and `exp` of the standard library may differ between platforms, so the tables are made here with sums, products
//! and quotients only, which IEEE 754 rounds alike everywhere, and are kept as integers. A table has [`STEPS`] places for
//! each halving of the tail probability and is linear in between, so that the far tail is as fine as the middle. The
//! normal tail is the usual series below 1.5 and the continued fraction of Laplace above it (Abramowitz and Stegun 26.2.11
//! and 26.2.14), inverted by bisection.

use std::sync::LazyLock;

use crate::chance::Chance;

#[cfg(test)]
mod tests;

/// Places for each halving of the tail.
const STEPS: u64 = 32;
/// Halvings; one number in 2^32 lies beyond, and gets the last place.
const HALVINGS: u64 = 32;
/// The unit of the tables.
const ONE: f64 = 1_048_576.0;
const ONE_BITS: u32 = 20;

/// ln 2, 1 / √(2π), and √(ln 2): the sigma of a lognormal whose deviation is its mean.
const LN_2: f64 = std::f64::consts::LN_2;
const ROOT: f64 = 0.398_942_280_401_432_7;
const SIGMA_CV_1: f64 = 0.832_554_611_157_697_8;

/// Values at falling tail probabilities.
struct Table(Vec<u64>);

impl Table {
    /// The value at the tail probability that a random word stands for.
    fn at(&self, word: u64) -> u64 {
        let halvings = u64::from(word.leading_zeros()).min(HALVINGS - 1);
        let fraction = (word << (halvings + 1)) >> 32;
        let fine = ((1_u64 << 32) - fraction) * STEPS;
        let (step, between) = (fine >> 32, fine & 0xffff_ffff);
        let place = (halvings * STEPS + step) as usize;
        let (low, high) = (self.0[place], self.0[(place + 1).min(self.0.len() - 1)]);
        let gap = high.abs_diff(low);
        let part = ((u128::from(gap) * u128::from(between)) >> 32) as u64;
        if high >= low { low + part } else { low - part }
    }
}

/// The tail probabilities of the places of a table, from 1 down.
fn tails() -> Vec<f64> {
    let mut places = Vec::new();
    let mut halved = 1.0;
    for _ in 0..HALVINGS {
        places.extend((0..STEPS).map(|step| halved * (1.0 - step as f64 / (2 * STEPS) as f64)));
        halved /= 2.0;
    }
    places.push(halved);
    places
}

fn in_units(value: f64) -> u64 {
    (value * ONE) as u64
}

fn exp(x: f64) -> f64 {
    let small = x / 1024.0;
    let sum = (1..=8).rev().fold(1.0, |sum, n| 1.0 + sum * small / f64::from(n));
    (0..10).fold(sum, |power, _| power * power)
}

/// The logarithm of a number of 1 to 2.
fn ln(x: f64) -> f64 {
    let t = (x - 1.0) / (x + 1.0);
    let mut power = t;
    let mut sum = 0.0;
    for n in 0..40 {
        sum += power / f64::from(2 * n + 1);
        power *= t * t;
    }
    2.0 * sum
}

/// The chance that a normal number is above `z`, which is not negative.
fn normal_tail(z: f64) -> f64 {
    let density = ROOT * exp(-z * z / 2.0);
    if z < 1.5 {
        let mut term = z;
        let mut sum = z;
        for n in 1..60 {
            term *= z * z / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    density / (1..=120).rev().fold(z, |rest, n| z + f64::from(n) / rest)
}

/// The normal quantile of a tail of at most a half.
fn normal(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 12.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if normal_tail(middle) > tail { low = middle } else { high = middle }
    }
    low
}

/// The upper and the lower half of a lognormal of mean 1.
fn halves(sigma: f64) -> [Table; 2] {
    let shift = sigma * sigma / 2.0;
    [1.0, -1.0].map(|sign| Table(NORMAL.iter().map(|z| in_units(exp(sign * sigma * z - shift))).collect()))
}

static NORMAL: LazyLock<Vec<f64>> = LazyLock::new(|| tails().into_iter().map(|tail| normal(tail / 2.0)).collect());
static EXPONENTIAL: LazyLock<Table> = LazyLock::new(|| {
    let value = |mut tail: f64| {
        let mut halvings = 0.0;
        while tail < 1.0 {
            tail *= 2.0;
            halvings += 1.0;
        }
        in_units(halvings * LN_2 - ln(tail))
    };
    Table(tails().into_iter().map(value).collect())
});
static SIGMA_1: LazyLock<[Table; 2]> = LazyLock::new(|| halves(1.0));
static CV_1: LazyLock<[Table; 2]> = LazyLock::new(|| halves(SIGMA_CV_1));

fn of_halves(halves: &[Table; 2], word: u64) -> u64 {
    halves[(word & 1) as usize].at(word | 1)
}

fn times(mean: u64, factor: u64) -> u64 {
    ((u128::from(mean) * u128::from(factor)) >> ONE_BITS) as u64
}

/// An exponential number with this mean.
pub(crate) fn exponential(chance: &mut Chance, mean: u64) -> u64 {
    times(mean, EXPONENTIAL.at(chance.next() | 1))
}

/// A lognormal number with this mean and the sigma 1: one in a hundred is above six times the mean.
pub(crate) fn lognormal_sigma_1(chance: &mut Chance, mean: u64) -> u64 {
    times(mean, of_halves(&SIGMA_1, chance.next()))
}

/// A lognormal number with this mean, and a deviation of as much.
pub(crate) fn lognormal_cv_1(chance: &mut Chance, mean: u64) -> u64 {
    times(mean, of_halves(&CV_1, chance.next()))
}
