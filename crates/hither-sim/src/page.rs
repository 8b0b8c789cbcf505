//! A run as one HTML page, to be kept or sent: nothing in it comes from elsewhere.

use crate::compare::Comparison;
use crate::figures::Second;
use crate::html::{PageData, Table, Verdict, page as page_of};
use crate::plot::{Axis, Chart, Series, Style, Unit};
use crate::report::Report;
use crate::scenario::counter_texts;
use crate::trace::clock;

/// The page of a run, with the bound and the rivals if it was compared with them.
pub fn page(report: &Report, comparison: Option<&Comparison>) -> String {
    let text = |name: &str| {
        let known = counter_texts().iter().find(|(known, _)| *known == name);
        known.map_or(String::new(), |(_, text)| (*text).to_owned())
    };
    let broken = report.violations.iter().map(|violation| {
        let at = clock(violation.at);
        let first = format!("{} at {} s by {}: {}", violation.invariant, at.trim(), violation.node, violation.what);
        std::iter::once(first).chain(violation.trace.iter().cloned()).collect::<Vec<_>>().join("\n")
    });
    let unmet = report.unmet.iter().map(|unmet| format!("bound not kept: {unmet}"));
    page_of(&PageData {
        title: report.scenario.clone(),
        about: report.about.clone(),
        seed: report.seed,
        nodes: report.nodes as u64,
        verdict: if report.passed() { Verdict::Passed } else { Verdict::Failed },
        hash: report.hash,
        counters: report.counters().map(|(name, count)| (name.to_owned(), count, text(name))).collect(),
        violations: unmet.chain(broken).collect(),
        charts: charts(report),
        tables: std::iter::once(figures(report)).chain(comparison.map(beside)).collect(),
    })
}

/// The name of a line, and what of a second it shows.
type Line<'a> = (&'a str, &'a dyn Fn(&Second) -> f64);

fn charts(report: &Report) -> Vec<String> {
    let seconds = &report.figures.series;
    // The last second is seldom whole.
    let whole = &seconds[..seconds.len().saturating_sub(1)];
    let points = |of: &dyn Fn(&Second) -> f64| -> Vec<(f64, f64)> {
        whole.iter().map(|second| (second.second as f64, of(second))).collect()
    };
    let over_time = |title: &str, label: &str, unit, lines: [Line; 2]| {
        let series = |(name, of): Line| Series { name: name.to_owned(), points: points(of), style: Style::Line };
        Chart {
            title: title.to_owned(),
            note: "by the second in which they ended".to_owned(),
            x: Axis { label: "virtual time".to_owned(), unit: Unit::Seconds, ..Axis::default() },
            y: Axis { label: label.to_owned(), unit, ..Axis::default() },
            series: lines.map(series).to_vec(),
            ..Chart::default()
        }
        .svg()
    };
    let ended = over_time(
        "What became of requests",
        "requests a second",
        Unit::Number,
        [
            ("answered", &|second| second.goodput as f64),
            ("refused or failed", &|second| (second.refused + second.failed) as f64),
        ],
    );
    let took = over_time(
        "How long answers took",
        "latency",
        Unit::Seconds,
        [("median", &|second| second.p50 as f64 / 1e6), ("99th percentile", &|second| second.p99 as f64 / 1e6)],
    );
    vec![ended, took]
}

fn figures(report: &Report) -> Table {
    let of = &report.figures;
    let ms = |micros: u64| format!("{:.1} ms", micros as f64 / 1000.0);
    let rows = [
        ("requests", of.requests.to_string()),
        ("answered", of.answered.to_string()),
        ("refused", of.refused.to_string()),
        ("failed", of.failed.to_string()),
        ("mean latency", ms(of.latency_mean)),
        ("median", ms(of.latency_p50)),
        ("99th percentile", ms(of.latency_p99)),
        ("99.9th percentile", ms(of.latency_p999)),
        ("busy slots", format!("{:.1} %", of.utilisation as f64 / 10.0)),
        ("words between nodes a request", format!("{:.2}", of.signals_milli as f64 / 1000.0)),
        ("requests taken by a free slot elsewhere", of.steals.to_string()),
        ("second copies", of.hedges.to_string()),
    ];
    Table {
        title: "Figures of the measuring window".to_owned(),
        head: vec!["figure".to_owned(), "value".to_owned()],
        rows: rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect(),
    }
}

fn beside(comparison: &Comparison) -> Table {
    let (head, rows) = comparison.table();
    let title = "The same arrivals through one queue that knows all, and through what others do".to_owned();
    Table { title, head: head.into_iter().map(str::to_owned).collect(), rows }
}
