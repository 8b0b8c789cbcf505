//! Each penalty by its definition.

use hither_engine::work::{GenerateWork, Prompt};

use super::Penalties;

fn check(work: GenerateWork, said: &[u32], expected: &[f32]) {
    let mut penalties = Penalties::new(&work, &[3]).unwrap();
    said.iter().for_each(|id| penalties.say(*id));
    let mut logits = [1., 2., -3., 4.];
    penalties.apply(&mut logits);
    assert_eq!(logits, expected);
}

fn plain() -> GenerateWork {
    GenerateWork::new(Prompt::Text(String::new()))
}

#[test]
fn penalties_count_what_was_said() {
    check(GenerateWork { frequency_penalty: 0.5, ..plain() }, &[1, 1, 2], &[1., 1., -3.5, 4.]);
    check(GenerateWork { presence_penalty: 0.5, ..plain() }, &[1, 1, 2], &[1., 1.5, -3.5, 4.]);
    check(GenerateWork { presence_penalty: -1., ..plain() }, &[0], &[2., 2., -3., 4.]);
}

#[test]
fn repetition_counts_the_prompt_too_and_never_rewards() {
    check(GenerateWork { repetition_penalty: 2., ..plain() }, &[1, 1, 2], &[1., 1., -6., 2.]);
}

#[test]
fn biases_are_added_and_ids_beyond_the_vocabulary_pass() {
    check(GenerateWork { logit_bias: vec![(0, -100.), (2, 5.), (99, 1.)], ..plain() }, &[77], &[-99., 2., 2., 4.]);
}

#[test]
fn nothing_asked_costs_nothing() {
    assert!(Penalties::new(&plain(), &[1]).is_none());
}
