//! Pages: what they hold, and what must not be in them. And samples to look at.

use std::path::PathBuf;

use super::{PageData, Table, Verdict, page};
use crate::bound::Bound;
use crate::charts::{Line, distribution, over_time, tail};
use crate::draws::{arrivals, exponential, field, gap_nanos, poisson, square};
use crate::latency::{Latencies, Outcome, Window};
use crate::mesh::{Arrival, Spot};
use crate::plot::{Axis, Chart, Mark, Scale, Series, Style, Unit};
use crate::rivals::overload::{self, Manner};
use crate::rivals::{self, CANDIDATES, Policy, Setting};

fn sample() -> PageData {
    PageData {
        title: "one <site> & \"more\"".to_owned(),
        about: "What <b>happens</b>".to_owned(),
        seed: 7,
        nodes: 1000,
        verdict: Verdict::Failed,
        hash: 0xabc,
        counters: vec![("answered".to_owned(), 1_234_567, "requests <i>answered</i>".to_owned())],
        violations: vec!["I3 at <1 s>\n  0.9 <line>\n  1.0 line".to_owned(), "a bound".to_owned()],
        charts: vec!["<svg></svg>\n".to_owned()],
        tables: vec![Table {
            title: "<t>".to_owned(),
            head: vec!["<name>".to_owned(), "p99".to_owned()],
            rows: vec![vec!["<bound>".to_owned(), "3 s".to_owned()]],
        }],
    }
}

#[test]
fn all_text_is_escaped_and_charts_are_not() {
    let html = page(&sample());
    for raw in ["<site>", "<b>", "<i>", "<1 s>", "<line>", "<t>", "<name>", "<bound>"] {
        assert!(!html.contains(raw), "{raw}");
    }
    assert!(html.contains("one &lt;site&gt; &amp; &quot;more&quot;") && html.contains("<figure><svg></svg></figure>"));
    assert!(html.contains("1\u{202f}234\u{202f}567") && html.contains("0000000000000abc"));
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let html = page(&sample());
    for word in ["<script", "http://", "https://", "@import", "url(", "<link", "<img"] {
        assert!(!html.contains(word), "{word}");
    }
}

#[test]
fn a_finding_stands_in_the_open_and_its_trace_below_it() {
    let html = page(&sample());
    assert!(
        html.contains("<details open><summary>I3 at &lt;1 s&gt;</summary><pre>  0.9 &lt;line&gt;\n  1.0 line</pre>")
    );
    assert!(html.contains("<details><summary>a bound</summary></details>"));
    assert!(html.contains("class=\"verdict failed\">failed<"));
}

#[test]
fn an_empty_page_is_a_page() {
    let html = page(&PageData::default());
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n") && html.contains(">passed<"));
    assert!(!html.contains("<table") && !html.contains("<figure"));
}

const MEAN: u64 = 500_000;

fn outcomes(spots: &[Spot], load: u64) -> Vec<(String, Outcome)> {
    let arrivals = arrivals(spots, 1, load, 150_000);
    let window = Window { from: arrivals[15_000].at, to: u64::MAX };
    let field = field(spots, CANDIDATES);
    let setting = Setting { window, ..Setting::new(1) };
    let of = |policy: Policy| (policy.name(), rivals::run(policy, &field, &setting, arrivals.iter().copied()));
    let bound = Bound::new(spots, window).run(arrivals.iter().copied());
    let others = [Policy::Prequal, Policy::TwoByGossip, Policy::LeastByGossip, Policy::Central { round_trip: 60_000 }];
    std::iter::once(("central queue, no network (bound)".to_owned(), bound)).chain(others.map(of)).collect()
}

fn style(index: usize, other: Style) -> Style {
    if index == 0 { Style::Bound } else { other }
}

fn label(text: &str) -> Axis {
    Axis { label: text.to_owned(), ..Axis::default() }
}

fn distributions(outcomes: &[(String, Outcome)]) -> [String; 2] {
    let line = |(index, (name, outcome)): (usize, &'static (String, Outcome))| Line {
        name,
        values: &outcome.latencies,
        style: style(index, Style::Line),
    };
    let kept: &'static [(String, Outcome)] = outcomes.to_vec().leak();
    let lines: Vec<Line<Latencies>> = kept.iter().enumerate().map(line).collect();
    let note = "300 nodes of 4 slots, speeds ½, 1, 1, 2, load .85, gossip each second";
    [distribution("How long requests take", note, &lines), tail("The slow end", note, &lines)]
}

fn ratios(spots: &[Spot]) -> String {
    let loads = [500, 600, 700, 800, 850, 900, 950];
    let all: Vec<_> = loads.iter().map(|load| outcomes(spots, *load)).collect();
    let p99 = |run: &[(String, Outcome)], which: usize| run[which].1.latencies.permille(990) as f64;
    let series = (1..all[0].len()).map(|which| Series {
        name: all[0][which].0.clone(),
        points: loads
            .iter()
            .zip(&all)
            .map(|(load, run)| (*load as f64 / 1000.0, p99(run, which) / p99(run, 0)))
            .collect(),
        style: Style::Dotted,
    });
    Chart {
        title: "p99 against the bound".to_owned(),
        note: "300 nodes of 4 slots, gossip each second; 1 is a central queue without a network".to_owned(),
        x: Axis { unit: Unit::Share, ..label("load") },
        y: Axis { scale: Scale::Log, unit: Unit::Times, ..label("p99 over p99 of the bound") },
        series: series.collect(),
        ..Chart::default()
    }
    .svg()
}

fn pulse() -> [String; 2] {
    let stretch = |from: u64, to: u64, load| {
        let requests = poisson(from + 1, 1, gap_nanos(MEAN, 100, load), usize::MAX, |chance| exponential(chance, MEAN));
        let moved = requests.map(move |arrival| Arrival { at: arrival.at + from * 1_000_000, ..arrival });
        moved.take_while(move |arrival| arrival.at < to * 1_000_000)
    };
    let manners = [Manner::Retries(2), Manner::Once, Manner::Fits { service: MEAN }, Manner::Capped { permille: 200 }];
    let window = Window { from: 20_000_000, to: 50_000_000 };
    let all = |manner| {
        overload::run(
            manner,
            100,
            window,
            stretch(0, 20, 900).chain(stretch(20, 50, 2000)).chain(stretch(50, 120, 900)),
        )
    };
    let courses: Vec<_> = manners.iter().map(|manner| (manner.name(), all(*manner))).collect();
    let points: Vec<Vec<(f64, f64)>> = courses
        .iter()
        .map(|(_, course)| {
            course.seconds.iter().zip(0..).map(|((_, good), at)| (f64::from(at), *good as f64 / 200.0)).collect()
        })
        .collect();
    let lines: Vec<Line<[(f64, f64)]>> = courses
        .iter()
        .zip(&points)
        .map(|((name, _), points)| Line { name, values: &points[..], style: Style::Line })
        .collect();
    let y = Axis { unit: Unit::Share, range: Some((0.0, 1.25)), ..label("answered in time, of what the pool can do") };
    let marks = [Mark { name: "twice what the pool can do".to_owned(), from: 20.0, to: 50.0 }];
    let course =
        over_time("Half a minute of overload", "100 slots, deadline 3 s, load .9 before and after", y, &lines, &marks);
    let bars = Chart {
        title: "Goodput in the pulse".to_owned(),
        note: "the same four".to_owned(),
        x: Axis { names: courses.iter().map(|(name, _)| name.clone()).collect(), ..Axis::default() },
        y: Axis { unit: Unit::Share, ..label("answered in time, of what the pool can do") },
        series: vec![Series {
            name: String::new(),
            points: courses.iter().zip(0..).map(|((_, course), at)| (f64::from(at), course.goodput)).collect(),
            style: Style::Bars,
        }],
        ..Chart::default()
    };
    [course, bars.svg()]
}

/// Writes a page and its charts into the folder that `HITHER_SAMPLES` names.
#[test]
#[ignore = "makes samples to look at"]
fn samples() {
    let folder = PathBuf::from(std::env::var_os("HITHER_SAMPLES").unwrap());
    let spots = square(300, false);
    let outcomes = outcomes(&spots, 850);
    let charts = [distributions(&outcomes).to_vec(), vec![ratios(&spots)], pulse().to_vec()].concat();
    for (index, chart) in charts.iter().enumerate() {
        std::fs::write(folder.join(format!("chart{index}.svg")), chart).unwrap();
    }
    let seconds = |micros: u64| format!("{:.2} s", micros as f64 / 1e6);
    let row = |(name, outcome): &(String, Outcome)| {
        let figures = outcome.figures();
        let times = [figures.mean, figures.p50, figures.p99, figures.p999].map(seconds);
        let rest = [format!("{:.1} %", figures.goodput * 100.0), format!("{:.2}", figures.messages_per_request)];
        [vec![name.clone()], times.to_vec(), rest.to_vec()].concat()
    };
    let head = ["policy", "mean", "p50", "p99", "p99.9", "in time", "messages per request"];
    let table = Table {
        title: "Against the bound and the rivals".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: outcomes.iter().map(row).collect(),
    };
    let data = PageData {
        title: "flash crowd".to_owned(),
        about: "300 nodes in 30 sites; a tenth of the users ask ten times as often for half a minute.".to_owned(),
        nodes: 300,
        charts,
        tables: vec![table],
        violations: vec![
            "I1 violated at 61.204 s by berlin-3: request 4711 ended twice\n   61.180 berlin-3 <- Offer(4711)\n   61.204 berlin-3 -> Answer(4711)".to_owned(),
            "steals is 3, and must reach 10".to_owned(),
        ],
        ..sample()
    };
    std::fs::write(folder.join("page.html"), page(&data)).unwrap();
}
