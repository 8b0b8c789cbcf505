//! A plan asks for every part, shares the work, and survives providers that fail.

use hither_types::id::NodeId;
use tokio::time::Instant;

use super::{Next, Plan, pieces};
use crate::limits;

const A: NodeId = NodeId([1; 32]);
const B: NodeId = NodeId([2; 32]);
const MIB: u64 = 1 << 20;

#[test]
fn pieces_cover_a_file_without_gap_or_overlap() {
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 300 * MIB + 7] {
        let mut end = 0;
        for piece in pieces(size) {
            assert_eq!(piece.start, end);
            assert!(piece.end > piece.start && piece.end - piece.start <= limits::PIECE_MAX);
            end = piece.end;
        }
        assert_eq!(end, size);
    }
}

#[test]
fn two_providers_share_the_work() {
    let now = Instant::now();
    let mut plan = Plan::new(pieces(2 * MIB));
    assert_eq!(plan.next(A, now), Next::Piece(0..MIB));
    assert_eq!(plan.next(B, now), Next::Piece(MIB..2 * MIB));
    assert!(plan.arrived(&(0..MIB)) && plan.arrived(&(MIB..2 * MIB)));
    assert_eq!((plan.next(A, now), plan.missing()), (Next::Complete, 0));
}

#[test]
fn an_idle_provider_takes_over_what_a_slow_one_keeps() {
    let now = Instant::now();
    let mut plan = Plan::new(pieces(MIB));
    assert_eq!(plan.next(A, now), Next::Piece(0..MIB));
    assert_eq!(plan.next(B, now), Next::Wait(limits::PIECE_SLOW));
    assert_eq!(plan.next(A, now + limits::PIECE_SLOW), Next::Wait(limits::PIECE_STALL), "not from itself");
    assert_eq!(plan.next(B, now + limits::PIECE_SLOW), Next::Piece(0..MIB));
    assert!(plan.arrived(&(0..MIB)));
    assert!(!plan.arrived(&(0..MIB)), "counted once");
    assert_eq!(plan.missing(), 0);
}

#[test]
fn what_a_dropped_provider_had_is_asked_again() {
    let now = Instant::now();
    let mut plan = Plan::new(pieces(3 * MIB));
    assert_eq!(plan.next(A, now), Next::Piece(0..MIB));
    assert_eq!(plan.next(A, now), Next::Piece(MIB..2 * MIB));
    plan.release(A);
    for start in 0..3 {
        assert_eq!(plan.next(B, now), Next::Piece(start * MIB..(start + 1) * MIB));
    }
    assert_eq!(plan.missing(), 3 * MIB);
}
