//! The wheel gives what a sorted list would.

use super::Queue;
use crate::chance::Chance;

#[test]
fn what_was_put_in_comes_out_by_time_and_then_by_turn() {
    let (mut queue, mut chance, mut model) = (Queue::new(), Chance::new(5, 5), Vec::new());
    let (mut now, mut number) = (0, 0);
    for round in 0..20_000 {
        for _ in 0..chance.below(4) {
            let reach = [1, 300, 40_000, 60_000_000][chance.below(4) as usize];
            let at = now + chance.below(reach);
            number += 1;
            queue.push(at, number);
            model.push((at, number));
        }
        if round % 2 == 0 {
            let first = model.iter().copied().min();
            assert_eq!(queue.pop(), first);
            model.retain(|entry| Some(*entry) != first);
            now = first.map_or(now, |(at, _)| at);
        }
        if model.len() > 200 {
            while let Some(entry) = queue.pop() {
                assert_eq!(Some(entry), model.iter().copied().min());
                model.retain(|other| *other != entry);
                now = entry.0;
            }
        }
    }
}
