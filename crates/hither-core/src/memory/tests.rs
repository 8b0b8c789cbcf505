//! Who leaves, and when nobody may.

use hither_types::id::Digest;
use hither_types::time::Timestamp;
use hither_types::unit::{ByteCount, Micros};

use super::{Memory, Room, Want};
use crate::limits;

const A: Digest = Digest([1; 32]);
const B: Digest = Digest([2; 32]);
const C: Digest = Digest([3; 32]);

const MIB: u64 = 1 << 20;

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

fn mib(count: u64) -> ByteCount {
    ByteCount(count * MIB)
}

fn nobody(_: Digest) -> bool {
    false
}

/// A memory of 100 MiB with models that are open since the first second; each took a second to load.
fn memory(models: &[(Digest, u64)]) -> Memory {
    let mut memory = Memory::new(Some(mib(100)));
    for (digest, size) in models {
        memory.open(*digest, mib(*size), at(0));
        memory.opened(*digest, None, at(1));
    }
    memory
}

#[test]
fn what_fits_needs_nobody_to_leave() {
    let memory = memory(&[(A, 40)]);
    for want in [Want::Spare, Want::Nearer, Want::Urgent] {
        assert_eq!(memory.room(mib(60), want, nobody, at(1)), Room::After(vec![]));
    }
    assert_eq!(memory.used(), mib(40));
}

#[test]
fn what_is_larger_than_all_never_fits_and_nobody_leaves_in_vain() {
    assert_eq!(memory(&[(A, 40)]).room(mib(101), Want::Urgent, nobody, at(1)), Room::Never);
    assert_eq!(Memory::new(None).room(mib(101), Want::Spare, nobody, at(1)), Room::After(vec![]), "not watched");
}

#[test]
fn nothing_leaves_for_what_nobody_asked_for() {
    assert_eq!(memory(&[(A, 60)]).room(mib(60), Want::Spare, nobody, at(9999)), Room::Later);
}

#[test]
fn for_what_is_answered_elsewhere_only_the_unused_leaves() {
    let mut memory = memory(&[(A, 60)]);
    let idle_at = at(1).after(limits::WARM_FOR);
    assert_eq!(memory.room(mib(60), Want::Nearer, nobody, at(2)), Room::Later);
    assert_eq!(memory.room(mib(60), Want::Nearer, nobody, idle_at), Room::After(vec![A]));
    memory.uses(A, at(30));
    assert_eq!(memory.room(mib(60), Want::Nearer, nobody, idle_at), Room::Later);
}

#[test]
fn the_busy_stays_and_so_does_what_is_being_opened() {
    let mut memory = memory(&[(A, 50)]);
    memory.open(B, mib(50), at(2));
    assert_eq!(memory.room(mib(50), Want::Urgent, |digest| digest == A, at(99)), Room::Later);
    assert_eq!(memory.room(mib(50), Want::Urgent, nobody, at(99)), Room::After(vec![A]));
    memory.opened(B, None, at(3));
    assert_eq!(memory.room(mib(50), Want::Urgent, |digest| digest == A, at(99)), Room::After(vec![B]));
}

#[test]
fn of_equal_size_and_load_the_less_used_leaves() {
    let mut memory = memory(&[(A, 50), (B, 50)]);
    memory.uses(A, at(2));
    assert_eq!(memory.room(mib(30), Want::Urgent, nobody, at(3)), Room::After(vec![B]));
    memory.uses(B, at(2));
    memory.uses(B, at(2));
    assert_eq!(memory.room(mib(30), Want::Urgent, nobody, at(3)), Room::After(vec![A]));
    assert_eq!(memory.room(mib(60), Want::Urgent, nobody, at(3)), Room::After(vec![A, B]), "as many as it takes");
}

#[test]
fn what_was_slow_to_load_or_is_small_stays() {
    let mut memory = Memory::new(Some(mib(100)));
    memory.open(A, mib(50), at(0));
    memory.opened(A, None, at(9));
    memory.open(B, mib(50), at(9));
    memory.opened(B, None, at(10));
    assert_eq!(memory.room(mib(10), Want::Urgent, nobody, at(10)), Room::After(vec![B]), "A took 9 s to load");
    let memory = self::memory(&[(A, 80), (B, 20)]);
    assert_eq!(memory.room(mib(10), Want::Urgent, nobody, at(2)), Room::After(vec![A]), "B is small");
}

#[test]
fn old_fame_fades() {
    let mut memory = memory(&[(A, 50), (B, 50)]);
    (0..5).for_each(|_| memory.uses(A, at(2)));
    // Others come and go, each used twice: the level rises above what A was worth.
    for round in 0..4 {
        let Room::After(leave) = memory.room(mib(50), Want::Urgent, nobody, at(3 + round)) else { unreachable!() };
        assert_eq!(leave.len(), 1);
        if leave == [A] {
            return;
        }
        memory.evict(leave[0]);
        let next = Digest([10 + round as u8; 32]);
        memory.open(next, mib(50), at(3 + round));
        memory.opened(next, None, at(4 + round));
        memory.uses(next, at(4 + round));
    }
    panic!("A stays for ever");
}

#[test]
fn what_was_measured_counts() {
    let mut memory = memory(&[(A, 40)]);
    memory.open(C, mib(10), at(2));
    assert_eq!(memory.opening_since(C), Some(at(2)));
    memory.opened(C, Some(mib(30)), at(5));
    assert_eq!((memory.used(), memory.load(C), memory.bytes(C)), (mib(70), Some(Micros(3_000_000)), mib(30)));
    memory.close(C);
    assert_eq!((memory.used(), memory.load(C)), (mib(40), None));
}
