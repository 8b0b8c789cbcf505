//! Tests of what is old enough to go. How it goes is tested beside the writer.

use super::*;

#[test]
fn a_time_that_cannot_be_read_is_never_over() {
    assert_eq!(end("yesterday", Days(1)), WallTime(u64::MAX));
    assert_eq!(end("1970-01-02T00:00:00.000Z", Days(2)), WallTime(3 * DAY_MS));
}

#[test]
fn the_last_line_of_a_file_is_found_however_short_or_long_the_file_is() {
    let dir = crate::samples::scratch();
    let path = dir.path().join("lines");
    for (text, last) in [("", ""), ("a\n", "a"), ("a\nbc\n", "bc"), (&*format!("{}\nd\n", "x".repeat(40_000)), "d")] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(last_line(&mut File::open(&path).unwrap()).unwrap(), last.as_bytes());
    }
}
