//! What is kept is read again as the same.

use std::collections::BTreeMap;

use hither_types::id::NodeId;
use hither_types::near::{Move, Warned};
use hither_types::time::WallTime;
use hither_types::unit::Micros;

use super::{Moves, read, write};
use crate::limits::MOVES_KEPT_MS;

fn warned(last: u64) -> Move {
    let warned = Warned { last: WallTime(last), rtt: Micros(131_000), before: Micros(8_300) };
    Move { noted: WallTime(5), at: WallTime(7), warned: Some(warned) }
}

fn moves(of: Move) -> BTreeMap<NodeId, Move> {
    let over = Move { noted: WallTime(1), at: WallTime(2), warned: None };
    [(NodeId([2; 32]), of), (NodeId([3; 32]), over)].into()
}

#[test]
fn what_was_written_is_read_as_the_same() {
    for moves in [moves(warned(9)), BTreeMap::new()] {
        assert_eq!(read(&write(&moves)), Some(moves));
    }
    let key = NodeId([2; 32]);
    for wrong in
        ["\n".to_owned(), "x 1 2".to_owned(), format!("{key} 1"), format!("{key} 1 2 3"), format!("{key} 1 -2")]
    {
        assert_eq!(read(&wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_start_knows_what_was_warned_of_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("moves");
    let open = || Moves::open(path.clone());
    let (mut before, trouble) = open();
    assert_eq!((before.kept(), trouble), (BTreeMap::new(), None));
    before.keep(&BTreeMap::new());
    assert!(!path.exists(), "there is nothing to remember");
    before.keep(&moves(warned(9)));
    assert_eq!(open().0.kept(), moves(warned(9)));
    // That it is still so is not written each moment; that it is over is.
    before.keep(&moves(warned(8 + MOVES_KEPT_MS)));
    assert_eq!(open().0.kept(), moves(warned(9)));
    before.keep(&moves(warned(9 + MOVES_KEPT_MS)));
    assert_eq!(open().0.kept(), moves(warned(9 + MOVES_KEPT_MS)));
    before.keep(&moves(Move { warned: None, ..warned(0) }));
    assert_eq!(open().0.kept(), moves(Move { warned: None, ..warned(0) }));
    std::fs::write(&path, "garbage").unwrap();
    let (after, trouble) = open();
    assert!(after.kept().is_empty() && trouble.unwrap().contains("is not known here"));
}
