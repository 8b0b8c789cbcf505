//! What is left when a share of all nodes dies at one instant.

use super::routing::{axis, no_marks};
use super::table::{Page, Study};
use super::{Scale, Setup, beside, hash_of, load, ms};
use crate::figures::Slice;
use crate::plot::{Chart, Scale as AxisScale, Series, Style, Unit};
use crate::report::Report;

const ABOUT: &str = "The mesh of [routing](routing.md). At one instant a random share of all nodes is killed (no goodbye, \
memory gone); their clients go to live neighbours, so that the survivors carry the whole load. The load before is chosen so \
that the survivors stand at ρ = 0.85 afterwards. A node that died is noticed by the requests it served after three missed \
beats (750 ms), by those that offer to it after 150 ms and a round trip; the stand-in for membership tells its acquaintances \
after 4 s, and they meet the next nearest. **Lost** are requests that were refused or failed although the node where they \
entered lived; what entered at a node that died with it is counted apart.";

/// The kill, in milliseconds.
const KILL: u64 = 30_000;

fn run((share, seed, nodes): &(f64, u64, u32)) -> Report {
    let rho = 0.85 * (1.0 - share);
    let fault = if *share > 0.0 {
        format!("[[fault]]\nkind = \"kill\"\nat_ms = {KILL}\nshare = {share}\n")
    } else {
        String::new()
    };
    let rest = format!("{}\n{fault}", load(rho, "deadline_ms = 60000\nfrom_ms = 1000\nmeasure_from_ms = 15000"));
    let mut slices = vec![(20_000, 30_000), (30_000, 40_000), (40_000, 50_000), (55_000, 75_000)];
    slices.extend((0..10).map(|second| (KILL + second * 1000, KILL + (second + 1) * 1000)));
    let setup = Setup { slices, ..Setup::new(*nodes, 75, rest) };
    crate::run(&setup.scenario(), *seed, None).expect("a study's scenario runs")
}

fn share_of(slice: &Slice) -> f64 {
    slice.answered as f64 / slice.offered().max(1) as f64
}

/// By the share that is killed.
pub(super) fn loss(scale: Scale) -> Study {
    let (nodes, shares, seeds): (u32, &[f64], &[u64]) = match scale {
        Scale::Full => (1000, &[0.0, 0.1, 0.3, 0.5, 0.7, 0.9], &[1, 2]),
        Scale::Quick => (100, &[0.0, 0.5], &[1]),
    };
    let mut jobs = Vec::new();
    for share in shares {
        jobs.extend(seeds.iter().map(|seed| (*share, *seed, nodes)));
    }
    let reports = beside(&jobs, run);
    let mut page = Page::new("loss", "Capacity lost against nodes lost", ABOUT);
    reports.iter().for_each(|report| page.count(report));
    let mut rows = Vec::new();
    for ((share, seed, _), report) in jobs.iter().zip(&reports) {
        let [before, at, after, steady] = [0, 1, 2, 3].map(|index| report.figures.slices[index]);
        let worst = report.figures.slices[4..].iter().map(|slice| slice.p99).max().unwrap_or(0);
        rows.push(vec![
            format!("{:.0} %", share * 100.0),
            seed.to_string(),
            format!("{:.2} → 0.85", 0.85 * (1.0 - share)),
            format!("{:.4}", share_of(&at)),
            (report.figures.refused + report.figures.failed).to_string(),
            report.figures.lost_with_origin.to_string(),
            ms(before.p99),
            ms(worst),
            ms(after.p99),
            ms(steady.p99),
            format!("{:+.1} %", (after.p99 as f64 / steady.p99.max(1) as f64 - 1.0) * 100.0),
        ]);
    }
    page.heading(&format!("{nodes} nodes"));
    page.table(
        &[
            "killed",
            "seed",
            "ρ before → after",
            "answered of what came in the 10 s after",
            "lost, origin alive",
            "gone with their origin",
            "p99 before, ms",
            "worst second",
            "10–20 s after",
            "25–45 s after",
            "10–20 s against 25–45 s",
        ],
        &rows,
    );
    let of_seed = || jobs.iter().zip(&reports).filter(|((_, seed, _), _)| *seed == seeds[0]);
    let chart = Chart {
        title: "What is answered when nodes die at one instant".to_owned(),
        note: format!("{nodes} nodes, the survivors at ρ = 0.85; requests that came in the ten seconds after"),
        x: axis("share of nodes killed", AxisScale::Linear, Unit::Share),
        y: crate::plot::Axis { range: Some((0.0, 1.05)), ..axis("share", AxisScale::Linear, Unit::Share) },
        series: vec![
            Series {
                name: "requests answered".to_owned(),
                points: of_seed().map(|((share, ..), report)| (*share, share_of(&report.figures.slices[1]))).collect(),
                style: Style::Line,
            },
            Series {
                name: "capacity left".to_owned(),
                points: of_seed().map(|((share, ..), _)| (*share, 1.0 - share)).collect(),
                style: Style::Bound,
            },
        ],
        marks: no_marks(),
    };
    page.chart("goodput", "share of requests answered, by the share of nodes killed", chart.svg());
    page.done(&format!("{seeds:?}"), hash_of(reports.iter()))
}
