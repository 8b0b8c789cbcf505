//! How far a mesh without a centre is from one queue that knows everything, by load and by the age of gossip.

use super::table::{Page, Study};
use super::{Scale, Setup, beside, hash_of, load, ms};
use crate::compare::{Comparison, Row, compare};
use crate::plot::{Axis, Chart, Mark, Scale as AxisScale, Series, Style, Unit};

const SETUP: &str = "Sites of ten nodes on a map, round trips 0.5 ms in a site and 1 to 60 ms between sites; four slots \
a node; speeds ½, 1 and 2 (25, 50, 25 %); lognormal work, mean 500 ms at speed 1, deviation as much; demand of each node \
lognormal with sigma 1, so that some are asked twenty times the mean. Each node knows 64 near and 128 far members. Latency \
counts both ways, the ledger's writes (3 ms at each end of a transfer) and the offer. Every message passes the real codec. \
**The bound** is one omniscient queue over all slots of all nodes, fastest idle slot first, without network, delay or \
ledger, on the same arrival trace; every ratio is to it, from one run.";

#[derive(Debug, Clone, Copy)]
struct Job {
    nodes: u32,
    rho: f64,
    seed: u64,
    gossip_ms: u64,
    rivals: bool,
}

fn run(job: &Job) -> Comparison {
    // Gossip of every age has been round at least once before anything is measured.
    let (from, to) = if job.nodes < 10_000 { (20_000, 40_000) } else { (10_000, 18_000) };
    let rest = load(job.rho, &format!("deadline_ms = 60000\nfrom_ms = 1000\nmeasure_from_ms = {from}"));
    let setup = Setup { gossip_ms: job.gossip_ms, ..Setup::new(job.nodes, to / 1000, rest) };
    compare(&setup.scenario(), job.seed, None, job.rivals).expect("a study's scenario has a topology")
}

fn ratio(value: f64) -> String {
    format!("{value:.3}")
}

fn cells(comparison: &Comparison, row: &Row) -> Vec<String> {
    vec![
        ms(row.mean),
        ratio(comparison.mean_ratio(row)),
        ms(row.p99),
        ratio(comparison.p99_ratio(row)),
        format!("{:.1}", row.messages),
    ]
}

/// By load, beside the rivals.
pub(super) fn routing(scale: Scale) -> Study {
    match scale {
        Scale::Full => by_load("routing", &[0.5, 0.6, 0.7, 0.8, 0.85, 0.92], &[1000], &[1, 2, 3]),
        Scale::Quick => by_load("routing", &[0.7, 0.85], &[100], &[1]),
    }
}

/// By load, with ten thousand nodes.
pub(super) fn large(scale: Scale) -> Study {
    match scale {
        Scale::Full => by_load("routing-large", &[0.7, 0.85, 0.92], &[10_000], &[1]),
        Scale::Quick => by_load("routing-large", &[0.85], &[300], &[1]),
    }
}

fn by_load(name: &'static str, rhos: &[f64], sizes: &[u32], seeds: &[u64]) -> Study {
    let mut jobs = Vec::new();
    for nodes in sizes {
        for rho in rhos {
            jobs.extend(seeds.iter().map(|seed| {
                let rivals = *seed == seeds[0] && *nodes < 10_000;
                Job { nodes: *nodes, rho: *rho, seed: *seed, gossip_ms: 10_000, rivals }
            }));
        }
    }
    // The longest first, so that they do not run alone at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse((job.nodes, (job.rho * 100.0) as u64)));
    let results = beside(&jobs, run);
    let mut page = Page::new(name, "Distance to the bound", SETUP);
    results.iter().for_each(|result| page.count(&result.report));
    for nodes in sizes {
        let mut rows = Vec::new();
        for rho in rhos {
            let of = jobs.iter().zip(&results).filter(|(job, _)| job.nodes == *nodes && job.rho == *rho);
            let mut of: Vec<_> = of.collect();
            of.sort_by_key(|(job, _)| job.seed);
            for (job, result) in of {
                let mut row = vec![format!("{rho}"), format!("{}", job.seed), result.hither.count.to_string()];
                row.extend(cells(result, &result.hither));
                row.extend([ms(result.bound.mean), ms(result.bound.p99)]);
                rows.push(row);
            }
        }
        page.heading(&format!("{nodes} nodes"));
        page.table(
            &[
                "ρ",
                "seed",
                "requests",
                "mean ms",
                "÷ bound",
                "p99 ms",
                "÷ bound",
                "words a request",
                "bound mean",
                "bound p99",
            ],
            &rows,
        );
    }
    let beside_rivals: Vec<(&Job, &Comparison)> =
        jobs.iter().zip(&results).filter(|(job, result)| job.rivals && !result.rivals.is_empty()).collect();
    let mut beside_rivals = beside_rivals;
    beside_rivals.sort_by_key(|(job, _)| (job.rho * 100.0) as u64);
    if !beside_rivals.is_empty() {
        rivals(&mut page, &beside_rivals, sizes[0]);
    }
    page.done("as in the tables", hash_of(results.iter().map(|result| &result.report)))
}

/// The same arrivals through what rivals do.
fn rivals(page: &mut Page, beside_rivals: &[(&Job, &Comparison)], nodes: u32) {
    page.heading("Beside what others do");
    page.text(
        "The same arrivals through the policies that rivals use, in a model that favours them: everybody sees gossip at \
         once, no ledger, no offers. The data centre has the capacity of all nodes in one place, 60 ms away. p99 ÷ bound:",
    );
    let names: Vec<String> = beside_rivals
        .first()
        .map(|(_, result)| result.rivals.iter().map(|row| row.name.clone()).collect())
        .unwrap_or_default();
    let head: Vec<&str> = ["ρ", "Hither"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let line = |of: &dyn Fn(&Comparison, &Row) -> f64| -> Vec<Vec<String>> {
        beside_rivals
            .iter()
            .map(|(job, result)| {
                let all = std::iter::once(&result.hither).chain(&result.rivals);
                std::iter::once(format!("{}", job.rho))
                    .chain(all.map(|row| format!("{:.2}", of(result, row))))
                    .collect()
            })
            .collect()
    };
    page.table(&head, &line(&Comparison::p99_ratio));
    page.text("Mean ÷ bound:");
    page.table(&head, &line(&Comparison::mean_ratio));
    let series = |index: Option<usize>, name: &str, style: Style| Series {
        name: name.to_owned(),
        points: beside_rivals
            .iter()
            .map(|(job, result)| {
                let row = index.map_or(&result.hither, |index| &result.rivals[index]);
                (job.rho, result.p99_ratio(row))
            })
            .collect(),
        style,
    };
    let mut all = vec![series(None, "Hither", Style::Line)];
    all.extend(
        names
            .iter()
            .enumerate()
            .filter(|(_, name)| *name != "local only" && *name != "random")
            .map(|(index, name)| series(Some(index), name, Style::Line)),
    );
    all.push(Series {
        name: "one queue that knows all".to_owned(),
        points: beside_rivals.iter().map(|(job, _)| (job.rho, 1.0)).collect(),
        style: Style::Bound,
    });
    let chart = Chart {
        title: "Slowest hundredth of requests, against one queue that knows everything".to_owned(),
        note: format!("{} nodes, seed 1, the same arrivals; 1 is the bound", nodes),
        x: axis("load ρ", AxisScale::Linear, Unit::Number),
        y: axis("p99 ÷ bound", AxisScale::Log, Unit::Times),
        series: all,
        marks: Vec::new(),
    };
    page.chart("p99", "p99 latency as a multiple of the bound, by load", chart.svg());
}

/// By the age of gossip.
pub(super) fn gossip(scale: Scale) -> Study {
    let (nodes, ages, seeds): (u32, &[u64], &[u64]) = match scale {
        Scale::Full => (300, &[100, 300, 1000, 3000, 10_000, 30_000], &[1, 2, 3]),
        Scale::Quick => (100, &[1000, 10_000], &[1]),
    };
    let mut jobs = Vec::new();
    for gossip_ms in ages {
        jobs.extend(seeds.iter().map(|seed| Job {
            nodes,
            rho: 0.85,
            seed: *seed,
            gossip_ms: *gossip_ms,
            rivals: false,
        }));
    }
    let results = beside(&jobs, run);
    let mut page = Page::new("gossip", "What the age of gossip does", SETUP);
    results.iter().for_each(|result| page.count(&result.report));
    page.text(&format!(
        "{nodes} nodes at ρ = 0.85. Each node tells the members that know it of itself once in the given time; means over \
         the seeds. Gossip finds members; probes, offers and free slots decide, so its age should not matter."
    ));
    let mut rows = Vec::new();
    let mut points = Vec::new();
    for age in ages {
        let of: Vec<&Comparison> =
            jobs.iter().zip(&results).filter(|(job, _)| job.gossip_ms == *age).map(|(_, result)| result).collect();
        let mean = |of: &dyn Fn(&Comparison) -> f64, list: &[&Comparison]| {
            list.iter().map(|result| of(result)).sum::<f64>() / list.len().max(1) as f64
        };
        let p99 = mean(&|result| result.hither.p99 as f64 / 1000.0, &of);
        points.push((*age as f64 / 1000.0, p99));
        rows.push(vec![
            format!("{}", *age as f64 / 1000.0),
            format!("{:.0}", mean(&|result| result.hither.mean as f64 / 1000.0, &of)),
            ratio(mean(&|result| result.mean_ratio(&result.hither), &of)),
            format!("{p99:.0}"),
            ratio(mean(&|result| result.p99_ratio(&result.hither), &of)),
        ]);
    }
    page.table(&["gossip every, s", "mean ms", "÷ bound", "p99 ms", "÷ bound"], &rows);
    let (low, high) = points.iter().fold((f64::MAX, 0.0_f64), |(low, high), (_, p99)| (low.min(*p99), high.max(*p99)));
    page.text(&format!(
        "From the best to the worst of these, p99 differs by {:.1} %. The goal was 5 %.",
        (high / low - 1.0) * 100.0
    ));
    page.done(&format!("{seeds:?}"), hash_of(results.iter().map(|result| &result.report)))
}

pub(super) fn axis(label: &str, scale: AxisScale, unit: Unit) -> Axis {
    Axis { label: label.to_owned(), scale, unit, ..Axis::default() }
}

pub(super) fn no_marks() -> Vec<Mark> {
    Vec::new()
}
