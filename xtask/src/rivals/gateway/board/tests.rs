//! Rows and tables of made-up figures.

use super::Board;
use crate::rivals::page::Goal;

#[test]
fn what_is_added_is_compared_round_by_round() {
    let mut board = Board::default();
    for (who, figures) in [("direct", [10.0, 20.0, 30.0]), ("ours", [15.0, 24.0, 36.0]), ("other", [20.0, 28.0, 42.0])]
    {
        for figure in figures {
            board.add(who, "p50", "µs", figure);
        }
    }
    board.over("direct", "p50", "µs", "added");
    assert_eq!(board.figures("ours", "added"), Ok(&[5.0, 4.0, 6.0][..]));
    let row = board.ratio("added beside other", "added", ("ours", "other"), Goal::AtMost(1.0));
    assert_eq!(row.figures, Ok(vec![0.5, 0.5, 0.5]));
    assert!(row.line().contains("| met |"), "{}", row.line());
}

#[test]
fn who_was_not_measured_is_named_with_the_reason_and_has_no_figure() {
    let mut board = Board::default();
    board.add("ours", "rate", "/s", 5.0);
    board.add("other", "rate", "/s", 4.0);
    board.lacks("other", "it ended");
    let row = board.ratio("rate", "rate", ("ours", "other"), Goal::AtLeast(1.0));
    assert!(!row.has_run() && row.line().contains("other: it ended"), "{}", row.line());
    assert_eq!(board.table(), "| | ours |\n| --- | --- |\n| rate | 5.00 /s |\n\nother was not measured: it ended.\n");
}
