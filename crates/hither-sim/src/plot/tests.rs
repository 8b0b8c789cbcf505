//! What axes read, and what a chart holds.

use super::axis::names;
use super::{Axis, Chart, Mark, Scale, Series, Style, Unit, escaped};

/// The ticks of a standing axis for some numbers.
fn check(unit: Unit, scale: Scale, numbers: &[f64], expected: &str) {
    let axis = Axis { unit, scale, ..Axis::default() };
    assert_eq!(names(&axis, numbers).join(" | "), expected);
}

#[test]
fn linear_ticks_are_round_and_begin_at_zero_if_it_is_near() {
    check(Unit::Number, Scale::Linear, &[3.0, 97.0], "0 | 20 | 40 | 60 | 80 | 100");
    check(Unit::Number, Scale::Linear, &[0.0, 1.0], "0.0 | 0.2 | 0.4 | 0.6 | 0.8 | 1.0");
    check(Unit::Number, Scale::Linear, &[1000.0, 1010.0], "1000 | 1002 | 1004 | 1006 | 1008 | 1010");
    check(Unit::Number, Scale::Linear, &[-3.0, 3.0], "−3 | −2 | −1 | 0 | 1 | 2 | 3");
    check(Unit::Number, Scale::Linear, &[0.0, 61_000.0], "0 | 20 000 | 40 000 | 60 000 | 80 000");
    check(Unit::Share, Scale::Linear, &[0.0, 0.12], "0 % | 2 % | 4 % | 6 % | 8 % | 10 % | 12 %");
    check(Unit::Share, Scale::Linear, &[0.0, 1.0], "0 % | 20 % | 40 % | 60 % | 80 % | 100 %");
    check(Unit::Seconds, Scale::Linear, &[0.0, 300.0], "0 | 1 min | 2 min | 3 min | 4 min | 5 min");
}

#[test]
fn logarithmic_ticks_are_powers_of_ten_and_what_fits_between() {
    check(Unit::Seconds, Scale::Log, &[0.0011, 90.0], "1 ms | 10 ms | 100 ms | 1 s | 10 s | 100 s");
    check(Unit::Times, Scale::Log, &[1.0, 12.0], "1× | 2× | 5× | 10× | 20×");
    check(Unit::Number, Scale::Log, &[3.0, 40_000.0], "10 | 100 | 1000 | 10 000");
}

fn chart() -> Chart {
    let of =
        |name: &str, style, points: &[(f64, f64)]| Series { name: name.to_owned(), points: points.to_vec(), style };
    Chart {
        title: "a <b> & \"c\"".to_owned(),
        series: vec![
            of("broken", Style::Line, &[(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0), (3.0, 2.0)]),
            of("dots", Style::Dotted, &[(0.0, 2.0), (3.0, 1.0)]),
            of("best", Style::Bound, &[(0.0, 1.0), (3.0, 1.0)]),
        ],
        marks: vec![Mark { name: "pulse".to_owned(), from: 1.0, to: 2.0 }],
        ..Chart::default()
    }
}

#[test]
fn a_chart_is_the_same_text_each_time_and_all_its_numbers_are_numbers() {
    let svg = chart().svg();
    assert_eq!(svg, chart().svg());
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    assert!(svg.contains("a &lt;b&gt; &amp; &quot;c&quot;") && !svg.contains("<b>"), "{svg}");
    for name in ["broken", "dots", "best", "pulse"] {
        assert!(svg.contains(&format!(">{name}</text>")), "{name}");
    }
}

#[test]
fn a_point_that_is_no_number_breaks_the_line() {
    let svg = chart().svg();
    let path = svg.split("<path d=\"M").find(|part| part.contains("#0072b2\" stroke-width=\"2\" stroke-linejoin"));
    let path = path.and_then(|part| part.split('"').next()).unwrap();
    assert_eq!(path.matches('M').count(), 1, "{path}");
}

#[test]
fn a_chart_of_nothing_or_of_one_point_is_still_a_chart() {
    for points in [vec![], vec![(1.0, 1.0)], vec![(0.0, 0.0)], vec![(f64::INFINITY, -1.0)], vec![(1e300, 1e-300)]] {
        for scale in [Scale::Linear, Scale::Log] {
            for style in [Style::Line, Style::Points, Style::Bars, Style::Dotted] {
                let axis = Axis { scale, ..Axis::default() };
                let series = vec![Series { name: "one".to_owned(), points: points.clone(), style }];
                let svg = Chart { x: axis.clone(), y: axis, series, ..Chart::default() }.svg();
                let is_well = !svg.contains("NaN") && !svg.contains("inf");
                assert!(is_well && svg.ends_with("</svg>\n"), "{points:?} {scale:?} {style:?}\n{svg}");
            }
        }
    }
}

#[test]
fn every_element_that_opens_closes() {
    let svg = chart().svg();
    for element in ["svg", "g", "text"] {
        let [opened, closed] = [format!("<{element} "), format!("</{element}>")].map(|tag| svg.matches(&tag).count());
        assert_eq!(opened, closed, "{element}");
    }
}

#[test]
fn escaped_text_holds_nothing_that_is_markup() {
    assert_eq!(escaped("<script>'\"&\u{0}\u{1b}"), "&lt;script&gt;&#39;&quot;&amp;");
    assert_eq!(escaped("München · 3 ≤ 4"), "München · 3 ≤ 4");
}
