//! Which files are taken.

use super::*;

fn line(at_us: u64, node: usize, work_us: u64) -> String {
    format!("{{\"at_us\":{at_us},\"node\":{node},\"work_us\":{work_us},\"deadline_us\":9}}\n")
}

#[test]
fn requests_are_sent_in_the_order_of_their_time() {
    let text = format!("{}\n{}", line(20, 1, 5), line(10, 0, 6));
    let arrivals = parse(&text, 2).unwrap();
    assert_eq!(arrivals.iter().map(|arrival| (arrival.at_us, arrival.node)).collect::<Vec<_>>(), [(10, 0), (20, 1)]);
}

#[test]
fn what_cannot_be_replayed_is_named_by_its_line() {
    for (text, wanted) in [
        (String::new(), "it has no request"),
        (format!("{}{}", line(1, 0, 1), line(2, 2, 1)), "line 2: node 2 of 2, counted from 0"),
        (line(1, 0, WORK_MAX_US + 1), "line 1: work_us is 16777217, and can be 16777216"),
    ] {
        assert_eq!(parse(&text, 2).unwrap_err(), wanted);
    }
    assert!(parse("{\"at_us\":1}", 2).unwrap_err().starts_with("line 1: missing field"));
    assert!(parse(&line(1, 0, 1).replace("node", "knot"), 2).unwrap_err().starts_with("line 1: unknown field"));
}
