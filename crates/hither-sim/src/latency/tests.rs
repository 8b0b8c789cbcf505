//! Percentiles against sorted lists.

use super::{Latencies, bucket, middle};
use crate::chance::Chance;

#[test]
fn a_percentile_is_within_a_thousandth_of_the_sorted_list() {
    for seed in 1..=20 {
        let mut chance = Chance::new(seed, 1);
        let mut latencies = Latencies::default();
        let mut list: Vec<u64> = (0..5000).map(|_| chance.next() >> chance.between(20, 63)).collect();
        list.iter().for_each(|micros| latencies.record(*micros));
        list.sort_unstable();
        for permille in [1, 10, 500, 900, 990, 999, 1000] {
            let exact = list[(list.len() * permille).div_ceil(1000) - 1];
            let found = latencies.permille(permille as u64);
            assert!(found.abs_diff(exact) <= exact / 1000, "seed {seed}, {permille} permille: {found} for {exact}");
        }
        let sum: u128 = list.iter().copied().map(u128::from).sum();
        assert_eq!(latencies.mean(), (sum / 5000) as u64);
    }
}

#[test]
fn buckets_follow_each_other_without_a_gap() {
    let mut last = 0;
    for value in (0..1 << 14).chain((14..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit])) {
        let index = bucket(value);
        assert!(index == last || index == last + 1 || value >= 1 << 14, "value {value}");
        assert_eq!(bucket(middle(index)), index, "value {value}");
        last = index;
    }
}

#[test]
fn two_halves_merged_are_the_whole() {
    let mut chance = Chance::new(7, 7);
    let [mut whole, mut left, mut right] = [(); 3].map(|()| Latencies::default());
    for turn in 0..1000 {
        let micros = chance.below(1 << 30);
        whole.record(micros);
        if turn % 3 == 0 { left.record(micros) } else { right.record(micros) }
    }
    left.merge(&right);
    assert_eq!(left, whole);
}

#[test]
fn nothing_recorded_is_zero() {
    let nothing = Latencies::default();
    assert_eq!((nothing.mean(), nothing.permille(990)), (0, 0));
}
