//! Words of peers.

use super::*;
use crate::tests::{FRAUD, PARIS, load};

#[test]
fn a_word_is_used_up_however_often_something_is_meant_for_its_peer() {
    let mut pool = Pool::default();
    pool.add(FRAUD, PARIS, load(0, 4), Timestamp(0));
    assert!(pool.of(FRAUD, PARIS, Timestamp(0)).is_some());
    for _ in 0..1_000 {
        pool.used(FRAUD, PARIS);
    }
    assert!(pool.of(FRAUD, PARIS, Timestamp(0)).is_none());
}
