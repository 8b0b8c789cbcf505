//! Plans as a table.

use hither_engine::work::CacheScope;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Held, Plan, plan};

const A: Option<CacheScope> = Some(CacheScope([1; 16]));
const B: Option<CacheScope> = Some(CacheScope([2; 16]));
const EMPTY: Held<'_> = Held { is_busy: false, scope: None, tokens: &[], used: 0 };

fn idle(scope: Option<CacheScope>, tokens: &[i32], used: u64) -> Held<'_> {
    Held { is_busy: false, scope, tokens, used }
}

fn busy(scope: Option<CacheScope>, tokens: &[i32]) -> Held<'_> {
    Held { is_busy: true, scope, tokens, used: 9 }
}

fn check(
    slots: &[Held<'_>],
    scope: Option<CacheScope>,
    prompt: &[i32],
    expected: Option<(usize, Option<usize>, usize)>,
) {
    let expected = expected.map(|(slot, from, common)| Plan { slot, from, common });
    assert_eq!(plan(slots, scope, prompt), expected);
}

#[test]
fn the_beginning_is_taken_where_it_is() {
    check(&[EMPTY, idle(A, &[1, 2, 3], 1)], A, &[1, 2, 3, 4], Some((1, Some(1), 3)));
    // The last token is read anew.
    check(&[EMPTY, idle(A, &[1, 2, 3], 1)], A, &[1, 2, 3], Some((1, Some(1), 2)));
    // A beginning of something longer is copied, unless there is no other slot.
    check(&[EMPTY, idle(A, &[1, 2, 3, 4, 5], 1)], A, &[1, 2, 9], Some((0, Some(1), 2)));
    check(&[busy(B, &[]), idle(A, &[1, 2, 3, 4, 5], 1)], A, &[1, 2, 9], Some((1, Some(1), 2)));
    // A conversation that goes on can be copied from.
    check(&[busy(A, &[1, 2, 3]), EMPTY], A, &[1, 2, 9], Some((1, Some(0), 2)));
}

#[test]
fn nothing_is_taken_across_scopes() {
    check(&[idle(A, &[1, 2, 3], 1), EMPTY], B, &[1, 2, 3], Some((1, None, 0)));
    check(&[idle(A, &[1, 2, 3], 1), EMPTY], None, &[1, 2, 3], Some((1, None, 0)));
    check(&[idle(None, &[1, 2, 3], 1), EMPTY], None, &[1, 2, 3], Some((1, None, 0)));
}

#[test]
fn an_empty_slot_goes_first_and_then_the_one_used_longest_ago() {
    check(&[idle(A, &[1], 5), EMPTY, idle(A, &[2], 3)], B, &[7], Some((1, None, 0)));
    check(&[idle(A, &[1], 5), idle(A, &[2], 3), busy(A, &[3])], B, &[7], Some((1, None, 0)));
    check(&[busy(A, &[1]), busy(A, &[2])], A, &[1, 2], None);
}

proptest! {
    #[test]
    fn a_plan_never_takes_from_another_scope_or_ends_a_conversation(
        slots in vec((any::<bool>(), 0usize..3, vec(0..3i32, 0..6), 0u64..9), 1..6),
        scope in 0usize..3,
        prompt in vec(0..3i32, 1..6),
    ) {
        let scopes = [None, A, B];
        let held: Vec<Held<'_>> = slots
            .iter()
            .map(|(is_busy, scope, tokens, used)| Held { is_busy: *is_busy, scope: scopes[*scope], tokens, used: *used })
            .collect();
        match plan(&held, scopes[scope], &prompt) {
            None => prop_assert!(held.iter().all(|held| held.is_busy)),
            Some(plan) => {
                prop_assert!(!held[plan.slot].is_busy);
                prop_assert!(plan.common < prompt.len());
                prop_assert_eq!(plan.from.is_some(), plan.common > 0);
                if let Some(from) = plan.from {
                    prop_assert!(held[from].scope == scopes[scope] && scopes[scope].is_some());
                    prop_assert_eq!(&held[from].tokens[..plan.common], &prompt[..plan.common]);
                }
            }
        }
    }
}
