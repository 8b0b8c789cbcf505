//! Tests of what the command line takes.

use super::span;

#[test]
fn times_are_a_number_and_a_unit() {
    let seconds = |text: &str| span(text).map(|span| span.as_secs()).ok();
    assert_eq!(seconds("90s"), Some(90));
    assert_eq!(seconds("15m"), Some(900));
    assert_eq!(seconds("1h"), Some(3600));
    assert_eq!(seconds("0s"), Some(0));
    assert_eq!(seconds("7d"), Some(604_800));
    for wrong in ["", "h", "1", "-1h", "1.5h", "1y", "99999999999999999999s", "18446744073709551615d", "1ä"] {
        assert_eq!(seconds(wrong), None, "{wrong:?}");
    }
}
