//! Draws follow the chances that the parameters leave, and nothing but seed and place.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Sampler, fraction, log_chances};

const PLAIN: Sampler = Sampler { temperature: 1., top_p: 1., top_k: 0, min_p: 0., seed: 7 };

/// How often each token was drawn, as a share.
fn shares(sampler: Sampler, logits: &[f32]) -> Vec<f64> {
    const DRAWS: u32 = 40_000;
    let mut counts = vec![0u32; logits.len()];
    for place in 0..DRAWS {
        counts[sampler.draw(logits, place).unwrap() as usize] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
}

fn check(sampler: Sampler, chances: &[f32], expected: &[f64]) {
    let logits: Vec<f32> = chances.iter().map(|chance| chance.ln()).collect();
    let found = shares(sampler, &logits);
    let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.012);
    assert!(close, "{found:?} is not near {expected:?}");
}

#[test]
fn draws_follow_the_chances() {
    check(PLAIN, &[0.5, 0.3, 0.2], &[0.5, 0.3, 0.2]);
    check(Sampler { seed: 8, ..PLAIN }, &[0.1, 0.1, 0.8], &[0.1, 0.1, 0.8]);
}

#[test]
fn temperature_sharpens_and_flattens() {
    check(Sampler { temperature: 0.5, ..PLAIN }, &[0.6, 0.4], &[0.692, 0.308]);
    check(Sampler { temperature: 2., ..PLAIN }, &[0.6, 0.4], &[0.551, 0.449]);
}

#[test]
fn top_k_keeps_the_likeliest() {
    check(Sampler { top_k: 2, ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 0.625, 0.375]);
    check(Sampler { top_k: 1, ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 1., 0.]);
    check(Sampler { top_k: 9, ..PLAIN }, &[0.2, 0.5, 0.3], &[0.2, 0.5, 0.3]);
}

#[test]
fn top_p_keeps_the_nucleus() {
    check(Sampler { top_p: 0.79, ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 0.625, 0.375]);
    check(Sampler { top_p: 0., ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 1., 0.]);
    check(Sampler { top_p: 0.9, top_k: 2, ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 0.625, 0.375]);
}

#[test]
fn min_p_keeps_what_is_near_the_likeliest() {
    check(Sampler { min_p: 0.5, ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 0.625, 0.375]);
    check(Sampler { min_p: 1., ..PLAIN }, &[0.2, 0.5, 0.3], &[0., 1., 0.]);
    check(Sampler { min_p: 0.1, ..PLAIN }, &[0.2, 0.5, 0.3], &[0.2, 0.5, 0.3]);
}

#[test]
fn chances_are_those_of_the_whole_vocabulary() {
    let logits: Vec<f32> = [0.25f32, 0.5, 0.125, 0.125].iter().map(|chance| chance.ln() + 3.).collect();
    let (said, likeliest) = log_chances(&logits, 2, 3);
    let near = |log: f32, chance: f32| (log - chance.ln()).abs() < 1e-5;
    assert!(near(said, 0.125), "{said}");
    assert_eq!(likeliest.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 0, 2]);
    assert!(likeliest.iter().zip([0.5, 0.25, 0.125]).all(|((_, log), chance)| near(*log, chance)), "{likeliest:?}");
    assert_eq!(log_chances(&logits, 0, 0).1, []);
    assert_eq!(log_chances(&logits, 0, 20).1.len(), 4);
}

#[test]
fn greedy_takes_the_first_of_the_likeliest() {
    let greedy = Sampler { temperature: 0., ..PLAIN };
    assert_eq!(greedy.draw(&[1., 3., f32::NAN, 3., f32::NEG_INFINITY], 0), Some(1));
    assert_eq!(greedy.draw(&[f32::NAN], 0), None);
    assert_eq!(PLAIN.draw(&[], 0), None);
}

#[test]
fn numbers_are_spread_evenly_over_places_and_seeds() {
    let mean = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / 10_000.;
    assert!((mean(&mut (0..10_000).map(|place| fraction(1, place))) - 0.5).abs() < 0.01);
    assert!((mean(&mut (0..10_000).map(|seed| fraction(seed, 0))) - 0.5).abs() < 0.01);
    assert_ne!(fraction(1, 2), fraction(2, 1));
}

/// The nucleus by its definition, slowly.
fn nucleus(logits: &[f32], share: f64) -> Vec<u32> {
    let mut weights: Vec<(u32, f64)> =
        logits.iter().enumerate().map(|(id, logit)| (id as u32, f64::from(*logit).exp())).collect();
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut sum = 0.;
    let mut kept = Vec::new();
    for (id, weight) in weights {
        kept.push(id);
        sum += weight;
        if sum >= share * total * (1. + 1e-12) {
            break;
        }
    }
    kept
}

proptest! {
    #[test]
    fn no_draw_leaves_the_nucleus(logits in vec(-9f32..9., 1..40), share in 0.01f32..0.99, place in 0u32..1000) {
        let token = Sampler { top_p: share, ..PLAIN }.draw(&logits, place).unwrap();
        prop_assert!(nucleus(&logits, f64::from(share)).contains(&token));
    }

    #[test]
    fn a_draw_depends_on_seed_and_place_alone(logits in vec(-9f32..9., 1..40), seed: u64, place in 0u32..1000) {
        let sampler = Sampler { seed, top_p: 0.9, top_k: 20, ..PLAIN };
        prop_assert_eq!(sampler.draw(&logits, place), sampler.draw(&logits, place));
    }
}
