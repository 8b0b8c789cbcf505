//! The charts that reports have, each from the numbers of a run.

use crate::latency::Latencies;
use crate::plot::{Axis, Chart, Mark, Scale, Series, Style, Unit};

/// Points of a distribution that a chart shows.
const CURVE_POINTS: u64 = 240;

/// The fastest few are left out: on a logarithmic axis they would take half of the width.
const SHOWN_FROM: f64 = 0.005;

/// One line of a chart: its name, what it was measured as, and whether the others are held against it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a, T: ?Sized> {
    pub name: &'a str,
    pub values: &'a T,
    pub style: Style,
}

/// Which share of the requests took at most so long.
pub(crate) fn distribution(title: &str, note: &str, lines: &[Line<Latencies>]) -> String {
    let series = lines.iter().map(|line| Series {
        name: line.name.to_owned(),
        points: points(line.values, |share| share),
        style: line.style,
    });
    let y = Axis {
        label: "share of the requests answered".to_owned(),
        unit: Unit::Share,
        range: Some((0.0, 1.0)),
        ..Axis::default()
    };
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        x: latency(),
        y,
        series: series.collect(),
        ..Chart::default()
    }
    .svg()
}

/// Which share of the requests took longer: the slow end of a distribution, on logarithmic axes.
pub(crate) fn tail(title: &str, note: &str, lines: &[Line<Latencies>]) -> String {
    let series = lines.iter().map(|line| Series {
        name: line.name.to_owned(),
        points: points(line.values, |share| 1.0 - share),
        style: line.style,
    });
    let y = Axis {
        label: "share of the requests still unanswered".to_owned(),
        unit: Unit::Share,
        scale: Scale::Log,
        range: Some((0.0001, 1.0)),
        ..Axis::default()
    };
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        x: latency(),
        y,
        series: series.collect(),
        ..Chart::default()
    }
    .svg()
}

/// Something over the virtual time of a run, in seconds, on a y axis that is given.
pub(crate) fn over_time(title: &str, note: &str, y: Axis, lines: &[Line<[(f64, f64)]>], marks: &[Mark]) -> String {
    let series =
        lines.iter().map(|line| Series { name: line.name.to_owned(), points: line.values.to_vec(), style: line.style });
    let x = Axis { label: "virtual time".to_owned(), unit: Unit::Seconds, ..Axis::default() };
    let series = series.collect();
    Chart { title: title.to_owned(), note: note.to_owned(), x, y, series, marks: marks.to_vec() }.svg()
}

fn latency() -> Axis {
    Axis { label: "latency".to_owned(), scale: Scale::Log, unit: Unit::Seconds, ..Axis::default() }
}

fn points(latencies: &Latencies, share: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let curve = latencies.curve(CURVE_POINTS).into_iter().filter(|(_, at_most)| *at_most >= SHOWN_FROM);
    curve.map(|(micros, at_most)| (micros as f64 / 1e6, share(at_most))).collect()
}
